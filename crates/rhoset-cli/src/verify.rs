//! `rhoset verify`: proved accuracies of networks, and what each proof costs.

use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
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

    /// Verifiers to run, separated by commas: brute (all inputs, one by one).
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = verifier, default_value = "brute")]
    verifiers: Vec<Verifier>,

    /// Print one JSON object per network, a line each.
    #[arg(long)]
    json: bool,
}

/// The verifiers that this command runs.
const AVAILABLE: [Verifier; 1] = [Verifier::Brute];

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
                let result = verify(&input, &verifiers);
                if arguments.json {
                    println!("{}", serde_json::to_string(&result)?);
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
        print!("{}", table(&verified));
    }
    Ok(ExitCode::from(if failed > 0 { 2 } else { 0 }))
}

/// Runs the verifiers one after the other, each with the whole thread pool.
pub(crate) fn verify(input: &NetworkInput, verifiers: &[Verifier]) -> Verified {
    let mut verified = Verified {
        network: input.name.clone(),
        group: input.group.name().to_owned(),
        order: input.group.order(),
        neurons: input.network.neurons(),
        explain_seconds: 0.0,
        verifiers: serde_json::Map::new(),
        rows: Vec::new(),
    };
    for &verifier in verifiers {
        let row = match verifier {
            Verifier::Brute => brute(input),
            _ => unreachable!("the command line takes available verifiers only"),
        };
        tracing::info!(
            "{}: {} certifies {} of {} pairs in {}",
            input.name,
            verifier.name(),
            row.verification.certified_pairs,
            row.verification.pairs,
            terminal::seconds(row.verification.seconds)
        );
        let value = serde_json::to_value(&row).expect("numbers");
        verified.verifiers.insert(verifier.name().to_owned(), value);
        verified.rows.push((verifier, row.verification));
    }
    verified
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
