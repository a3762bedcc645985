//! `rhoset verify`: proved accuracies of networks, and what each proof costs.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use rhoset::explain::circuit::{CircuitOptions, Circuits, find_circuits};
use rhoset::irrep::Irreps;
use rhoset::verify::cascade::{self, Outcome, Plan, Tiers};
use rhoset::verify::{Verification, Verifier, brute, loss, measure};

use crate::network_input::{NetworkArguments, NetworkInput};
use crate::terminal;

/// Prove the accuracy of networks.
///
/// Every verifier proves a lower bound on the share of the n^2 inputs (x, y) on which the logit of xy is strictly the
/// largest, in real arithmetic over the weights as stored. Seconds and flops are the verification's alone; the search
/// for an explanation is reported apart.
#[derive(clap::Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    networks: NetworkArguments,

    /// Verifiers to run, separated by commas: brute (all inputs, one by one), explained (what circuits and irreps prove),
    /// cascade (the same, then the exact evaluation of what they leave).
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = verifier, default_value = "brute,explained,cascade")]
    verifiers: Vec<Verifier>,

    /// Print one JSON object per network, a line each.
    #[arg(long)]
    json: bool,
}

/// The verifiers that this command runs.
const AVAILABLE: [Verifier; 3] = [Verifier::Brute, Verifier::Explained, Verifier::Cascade];

fn verifier(name: &str) -> Result<Verifier, String> {
    let known = AVAILABLE.map(Verifier::name).join(", ");
    match Verifier::named(name) {
        Some(verifier) if AVAILABLE.contains(&verifier) => Ok(verifier),
        Some(_) => Err(format!("not built yet; there are {known}")),
        None => Err(format!("known are {known}")),
    }
}

/// What the verifiers found of one network.
#[derive(serde::Serialize)]
pub(crate) struct Verified {
    network: String,
    group: String,
    order: usize,
    neurons: usize,
    /// The search for the explanation; 0 where no verifier asked for one.
    explain_seconds: f64,
    verifiers: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    rows: Vec<(Verifier, Verification)>,
}

/// A verification, and what only brute force knows.
#[derive(serde::Serialize)]
struct Row {
    #[serde(flatten)]
    verification: Verification,
    /// Lower bound on the smallest margin over all inputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_margin: Option<f64>,
    /// Pairs that are right in float32 as well, whatever the order of operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    float32_pairs: Option<usize>,
    /// How many pairs each tier of the cascade decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    tiers: Option<Tiers>,
}

pub(crate) fn run(arguments: VerifyArguments) -> anyhow::Result<ExitCode> {
    let mut verifiers = arguments.verifiers;
    verifiers.sort_unstable();
    verifiers.dedup();
    let inputs = arguments.networks.load()?;
    let progress = terminal::progress(inputs.len(), "networks");
    let mut failed = 0;
    let mut verified = Vec::new();
    for input in inputs {
        match input {
            Ok(input) => {
                let result = match verify(&input, &verifiers) {
                    Ok(result) => result,
                    Err(error) => {
                        progress.suspend(|| eprintln!("error: {error:#}"));
                        failed += 1;
                        continue;
                    }
                };
                if arguments.json {
                    terminal::print(format_args!("{}\n", serde_json::to_string(&result)?))?;
                }
                verified.push(result);
            }
            Err(error) => {
                progress.suspend(|| eprintln!("error: {error:#}"));
                failed += 1;
            }
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if !arguments.json && !verified.is_empty() {
        terminal::print(format_args!("{}", table(&verified)))?;
    }
    Ok(ExitCode::from(if failed > 0 { 2 } else { 0 }))
}

/// Runs the verifiers one after the other, each with the whole thread pool.
pub(crate) fn verify(input: &NetworkInput, verifiers: &[Verifier]) -> anyhow::Result<Verified> {
    let mut verified = Verified {
        network: input.name.clone(),
        group: input.group.name().to_owned(),
        order: input.group.order(),
        neurons: input.network.neurons(),
        explain_seconds: 0.0,
        verifiers: serde_json::Map::new(),
        rows: Vec::new(),
    };
    let explanation = verifiers.iter().any(|verifier| *verifier != Verifier::Brute).then(|| {
        let start = Instant::now();
        let explanation = Explanation::of(input);
        verified.explain_seconds = start.elapsed().as_secs_f64();
        explanation
    });
    for &verifier in verifiers {
        let row = match (verifier, &explanation) {
            (Verifier::Brute, _) => Ok(brute(input)),
            (Verifier::Explained, Some(Ok(explanation))) => explanation.explained(input),
            (Verifier::Cascade, Some(Ok(explanation))) => explanation.cascade(input),
            (_, Some(Err(error))) => Err(anyhow::anyhow!("{error:#}")),
            _ => unreachable!("the command line takes available verifiers only"),
        }
        .with_context(|| format!("{}: {}", input.name, verifier.name()))?;
        let value = serde_json::to_value(&row).expect("numbers");
        verified.verifiers.insert(verifier.name().to_owned(), value);
        verified.rows.push((verifier, row.verification));
    }
    Ok(verified)
}

/// What the verifiers are given to work with.
struct Explanation {
    circuits: Circuits,
    plan: Plan,
    irreps: Irreps,
}

impl Explanation {
    fn of(input: &NetworkInput) -> anyhow::Result<Self> {
        let circuits = find_circuits(&input.folded, &input.group, CircuitOptions::default())?;
        let plan = Plan::new(&input.folded, &input.group, &circuits)?;
        let irreps = Irreps::new(&input.group, 0)?;
        Ok(Self { circuits, plan, irreps })
    }

    fn explained(&self, input: &NetworkInput) -> anyhow::Result<Row> {
        let (outcome, seconds) =
            measure(|| cascade::explained(&input.folded, &input.group, &self.circuits, &self.irreps));
        Ok(Row::of(outcome?, seconds))
    }

    fn cascade(&self, input: &NetworkInput) -> anyhow::Result<Row> {
        let (outcome, seconds) =
            measure(|| cascade::cascade(&input.network, &input.folded, &input.group, &self.circuits, &self.plan));
        Ok(Row::of(outcome?, seconds))
    }
}

impl Row {
    fn of(outcome: Outcome, seconds: f64) -> Self {
        Self {
            verification: Verification {
                seconds,
                ..outcome.verification
            },
            min_margin: None,
            float32_pairs: None,
            tiers: Some(outcome.tiers),
        }
    }
}

fn brute(input: &NetworkInput) -> Row {
    let (verification, seconds) = measure(|| brute::verify(&input.network, &input.folded, &input.group));
    let loss = loss::evaluate(&input.folded, &input.group);
    Row {
        verification: Verification {
            seconds,
            cross_entropy_bound: Some(loss.cross_entropy_bound),
            ..verification
        },
        min_margin: Some(loss.min_margin),
        float32_pairs: Some(loss.float32_pairs),
        tiers: None,
    }
}

/// A summary line, then one row per network and verifier.
fn table(verified: &[Verified]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "network",
        "group",
        "neurons",
        "verifier",
        "accuracy >=",
        "pairs",
        "loss <=",
        "time",
        "flops",
    ]);
    for column in [2, 4, 5, 6, 7, 8] {
        table
            .column_mut(column)
            .expect("a column")
            .set_cell_alignment(CellAlignment::Right);
    }
    for network in verified {
        for (verifier, row) in &network.rows {
            table.add_row([
                network.network.clone(),
                network.group.clone(),
                network.neurons.to_string(),
                verifier.name().to_owned(),
                format!("{:.2} %", floor(100.0 * row.accuracy_bound)),
                format!("{}/{}", row.certified_pairs, row.pairs),
                row.cross_entropy_bound
                    .map_or_else(|| "-".to_owned(), |bound| format!("{bound:.2e}")),
                terminal::seconds(row.seconds),
                format!("{:.2e}", row.flops as f64),
            ]);
        }
    }
    let plural = if verified.len() == 1 { "" } else { "s" };
    let best = |network: &Verified| {
        network
            .rows
            .iter()
            .map(|(_, row)| row.accuracy_bound)
            .fold(0.0, f64::max)
    };
    let least = verified.iter().map(best).fold(f64::INFINITY, f64::min);
    let perfect = verified.iter().filter(|network| best(network) == 1.0).count();
    format!(
        "Proved {} network{plural}: {perfect} at 100 % accuracy, the least at {:.2} %.\n{table}\n",
        verified.len(),
        floor(100.0 * least)
    )
}

/// Rounds down to two decimals: a printed bound is a bound.
fn floor(percent: f64) -> f64 {
    (percent * 100.0).floor() / 100.0
}
