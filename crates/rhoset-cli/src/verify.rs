//! `rhoset verify`: proved accuracies of networks, and what each proof costs.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use anyhow::{Context, ensure};
use comfy_table::{CellAlignment, Table, presets};
use rhoset::explain::circuit::Circuits;
use rhoset::explain::file;
use rhoset::group::Group;
use rhoset::irrep::Irreps;
use rhoset::network::file::LoadedNetwork;
use rhoset::network::{self, Activation};
use rhoset::verify::certificate::{self, Certificate};
use rhoset::verify::subject::{Proved, Subject};
use rhoset::verify::{Verification, Verifier};

use crate::convert;
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

    /// Verifiers to run, separated by commas: brute (all inputs, one by one), rho-set and coset (the paper's), explained
    /// (what circuits and irreps prove), cascade (circuits, then cells of one input, then the exact evaluation of what is
    /// left). rho-set and coset are for relu networks. Default: all that the network's activation allows.
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = verifier)]
    verifiers: Option<Vec<Verifier>>,

    /// Circuits to verify instead of those that a search would find: a file of `rhoset explain --save`, edited or not. For
    /// one network. A wrong explanation may give a weak bound, never a false one.
    #[arg(long, value_name = "FILE")]
    explanation: Option<PathBuf>,

    /// Write a certificate of each network to this folder, NAME.certificate.json, and its weights beside it as
    /// NAME.safetensors: all that `rhoset-check` needs.
    #[arg(long, value_name = "DIR")]
    certificate: Option<PathBuf>,

    /// Prove every claim of a certificate again, for one network, instead of making claims.
    #[arg(long, value_name = "CERTIFICATE", conflicts_with_all = ["verifiers", "explanation", "certificate"])]
    check: Option<PathBuf>,

    /// Networks to verify at a time, each with its share of the threads: many small ones are done sooner that way. Seconds
    /// are those of a verifier on its network's threads, beside the others; to compare times, leave it at 1.
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,

    /// Print one JSON object per network, a line each.
    #[arg(long)]
    json: bool,
}

fn verifier(name: &str) -> Result<Verifier, String> {
    Verifier::named(name).ok_or_else(|| format!("known are {}", Verifier::ALL.map(Verifier::name).join(", ")))
}

/// What the verifiers found of one network.
#[derive(serde::Serialize)]
pub(crate) struct Verified {
    network: String,
    group: String,
    order: usize,
    neurons: usize,
    /// Threads that each verifier had.
    threads: usize,
    /// The search for the explanation; 0 where no verifier asked for one.
    explain_seconds: f64,
    verifiers: serde_json::Map<String, serde_json::Value>,
    #[serde(skip)]
    rows: Vec<(Verifier, Verification)>,
}

pub(crate) fn run(arguments: VerifyArguments) -> anyhow::Result<ExitCode> {
    let mut asked = arguments.verifiers;
    if let Some(verifiers) = &mut asked {
        verifiers.sort_unstable();
        verifiers.dedup();
    }
    let inputs = arguments.networks.load()?;
    ensure!(
        arguments.explanation.is_none() || inputs.len() == 1,
        "--explanation explains one network, not {}",
        inputs.len()
    );
    if let Some(path) = &arguments.check {
        return check(inputs, path, arguments.json);
    }
    if let Some(directory) = &arguments.certificate {
        let is_file = directory.exists() && !directory.is_dir();
        ensure!(
            !is_file,
            "{}: is a file; certificates are written to a directory",
            directory.display()
        );
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let progress = terminal::progress(inputs.len(), "networks");
    let written = Mutex::new(HashSet::new());
    let mut failed = false;
    let mut fail = |error: anyhow::Error| {
        progress.suspend(|| eprintln!("error: {error:#}"));
        failed = true;
    };
    let explanation = arguments.explanation.as_deref();
    let certificates = arguments.certificate.as_deref();
    let answer = |input: anyhow::Result<NetworkInput>, explainer: &mut Explainer| -> Answer {
        let input = match input {
            Ok(input) => input,
            Err(error) => return (None, vec![error]),
        };
        let verifiers = asked
            .as_deref()
            .unwrap_or(Verifier::applicable(input.network.activation));
        let mut subject = Subject::new(&input.network, &input.folded, &input.group);
        if let Some(path) = explanation {
            match file::load(path, &input.group, input.network.neurons()) {
                Ok(circuits) => subject = subject.with_circuits(circuits),
                Err(error) => return (None, vec![error.into()]),
            }
        }
        let (result, mut errors) = verify_subject(&input, verifiers, explainer, &subject);
        if let Some(directory) = certificates {
            errors.extend(certify(&input, directory, explainer, &subject, &written).err());
        }
        (Some(result), errors)
    };
    let mut verified = Vec::new();
    in_order(inputs, arguments.jobs.get(), answer, |(result, errors)| {
        errors.into_iter().for_each(&mut fail);
        if let Some(result) = result {
            if arguments.json {
                println!("{}", serde_json::to_string(&result)?);
            }
            verified.push(result);
        }
        progress.inc(1);
        Ok(())
    })?;
    progress.finish_and_clear();
    if !arguments.json && verified.iter().any(|network| !network.rows.is_empty()) {
        print!("{}", table(&verified));
    }
    Ok(ExitCode::from(if failed { 2 } else { 0 }))
}

/// Writes a network's certificate, and its weights in the layout that `rhoset-check` reads.
fn certify(
    input: &NetworkInput,
    directory: &Path,
    explainer: &mut Explainer,
    subject: &Subject,
    written: &Mutex<HashSet<PathBuf>>,
) -> anyhow::Result<()> {
    let nothing = Circuits::default();
    let circuits = match input.network.activation {
        Activation::Relu => subject.circuits()?,
        _ => &nothing,
    };
    let (network, group) = (&input.network, &input.group);
    // Before anything is written.
    certificate::possible(network).map_err(|problem| problem.of(&input.path))?;
    let irreps = explainer.irreps(group)?;
    let weights = directory.join(convert::file_name(&input.name));
    let path = weights.with_extension("certificate.json");
    ensure!(
        (written.lock().expect("nobody panics while holding this")).insert(path.clone()),
        "{}: the certificate of another network of that name is {}; certify it by itself",
        input.path.display(),
        path.display()
    );
    if convert::same_file(&weights, &input.path) {
        // The user's own file stays as it is.
        let own = only_network(&input.path)?;
        ensure!(
            own.group.is_none_or(|own| own == *group),
            "{}: carries another group than {}; write its certificate to another folder, with weights that say so",
            input.path.display(),
            group.name()
        );
        ensure!(
            own.network.activation == network.activation,
            "{}: says that its activation is {}; write its certificate to another folder, with weights that say {}",
            input.path.display(),
            own.network.activation.name(),
            network.activation.name()
        );
    } else {
        network::file::save(&weights, network, Some(group))?;
    }
    let bytes = std::fs::read(&weights).with_context(|| weights.display().to_string())?;
    let file = convert::file_name(&input.name);
    let proved = Certificate::new((&file, &bytes), network, &input.folded, group, circuits, irreps)
        .map_err(|problem| problem.of(&path))?;
    Ok(certificate::save(&path, &proved)?)
}

/// What a file of one network says itself, whatever the command line says.
fn only_network(path: &Path) -> anyhow::Result<LoadedNetwork> {
    let mut networks = network::file::load(path)?;
    ensure!(
        networks.len() == 1,
        "{}: holds {} networks, not one",
        path.display(),
        networks.len()
    );
    Ok(networks.remove(0))
}

/// Checks a certificate of one network with rhoset's own verifiers.
fn check(inputs: Vec<anyhow::Result<NetworkInput>>, path: &Path, json: bool) -> anyhow::Result<ExitCode> {
    ensure!(inputs.len() == 1, "--check checks one network, not {}", inputs.len());
    let input = inputs.into_iter().next().expect("one network")?;
    let stated = certificate::load(path)?;
    let start = Instant::now();
    let bytes = std::fs::read(&input.path).with_context(|| input.path.display().to_string())?;
    let hash = certificate::file_hash(&bytes);
    // What the weights say of their activation and group counts more than what the command line says.
    let own = only_network(&input.path)?;
    let group = own.group.unwrap_or(input.group);
    let result = stated.check(&hash, &own.network, &own.network.fold(), &group);
    let seconds = start.elapsed().as_secs_f64();
    let reason = result.err().map(|problem| problem.of(path).to_string());
    if json {
        let claims = &stated.claims;
        let accepted = reason.is_none();
        println!(
            "{}",
            serde_json::json!({ "accepted": accepted, "reason": reason, "claims": claims, "seconds": seconds })
        );
    }
    match reason {
        None if json => {}
        None => println!(
            "Yes: {} of {} pairs are right in {}, {} by explanation alone; proved again in {}.",
            stated.claims.certified_pairs,
            stated.claims.pairs,
            stated.group.name,
            stated.claims.explained_pairs,
            terminal::seconds(seconds)
        ),
        Some(reason) => {
            eprintln!("error: {reason}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What came of one file: its results, and what went wrong.
type Answer = (Option<Verified>, Vec<anyhow::Error>);

/// Answers so many inputs at a time, each on its share of the threads, and tells the answers in the order of the inputs.
fn in_order(
    inputs: Vec<anyhow::Result<NetworkInput>>,
    jobs: usize,
    answer: impl Fn(anyhow::Result<NetworkInput>, &mut Explainer) -> Answer + Sync,
    mut tell: impl FnMut(Answer) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let jobs = jobs.min(inputs.len());
    if jobs <= 1 {
        let mut explainer = Explainer::default();
        return (inputs.into_iter()).try_for_each(|input| tell(answer(input, &mut explainer)));
    }
    let threads = (rayon::current_num_threads() / jobs).max(1);
    let pools = (0..jobs).map(|_| rayon::ThreadPoolBuilder::new().num_threads(threads).build());
    let pools = pools.collect::<Result<Vec<_>, _>>().context("--jobs")?;
    let queue = Mutex::new(inputs.into_iter().enumerate());
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for pool in pools {
            let (queue, answer, sender) = (&queue, &answer, sender.clone());
            scope.spawn(move || {
                let mut explainer = Explainer::default();
                loop {
                    let next = queue.lock().expect("nobody panics while holding this").next();
                    let Some((index, input)) = next else { break };
                    let answered = pool.install(|| answer(input, &mut explainer));
                    // Nobody listens any more where standard output is gone.
                    if sender.send((index, answered)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut next = 0;
        for (index, answered) in receiver {
            early.insert(index, answered);
            while let Some(answered) = early.remove(&next) {
                tell(answered)?;
                next += 1;
            }
        }
        Ok(())
    })
}

/// Runs the verifiers one after the other, each with the whole thread pool; an error for each that cannot be.
pub(crate) fn verify(
    input: &NetworkInput,
    verifiers: &[Verifier],
    explainer: &mut Explainer,
) -> (Verified, Vec<anyhow::Error>) {
    let subject = Subject::new(&input.network, &input.folded, &input.group);
    verify_subject(input, verifiers, explainer, &subject)
}

/// The same, with what is known of the network already; what is found besides is kept there.
fn verify_subject(
    input: &NetworkInput,
    verifiers: &[Verifier],
    explainer: &mut Explainer,
    subject: &Subject,
) -> (Verified, Vec<anyhow::Error>) {
    let mut verified = Verified {
        network: input.name.clone(),
        group: input.group.name().to_owned(),
        order: input.group.order(),
        neurons: input.network.neurons(),
        threads: rayon::current_num_threads(),
        explain_seconds: 0.0,
        verifiers: serde_json::Map::new(),
        rows: Vec::new(),
    };
    let activation = input.network.activation;
    if activation != Activation::Relu && verifiers.iter().any(|verifier| *verifier >= Verifier::Explained) {
        tracing::warn!(
            "{}: circuits need relu; with {} the cascade is brute force, and `explained` uses irreps alone",
            input.name,
            activation.name()
        );
    }
    let mut errors = Vec::new();
    for &verifier in verifiers {
        let proved: anyhow::Result<Proved> = subject.run(verifier, || explainer.irreps(&input.group));
        let row = match proved.with_context(|| format!("{}: {}", input.name, verifier.name())) {
            Ok(row) => row,
            Err(error) => {
                errors.push(error);
                continue;
            }
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
    verified.explain_seconds = subject.search_seconds();
    (verified, errors)
}

/// The irreps of the last network's group: networks of one run are mostly over one group.
#[derive(Default)]
pub(crate) struct Explainer {
    last: Option<(Group, Irreps)>,
}

impl Explainer {
    pub(crate) fn irreps(&mut self, group: &Group) -> anyhow::Result<&Irreps> {
        if self.last.as_ref().is_none_or(|(last, _)| last != group) {
            self.last = Some((group.clone(), Irreps::new(group, 0)?));
        }
        Ok(&self.last.as_ref().expect("made above").1)
    }
}

/// A summary line, then one row per network and verifier.
pub(crate) fn table(verified: &[Verified]) -> String {
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
                row.cross_entropy_bound.map_or_else(|| "-".to_owned(), ceiling),
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

/// Three digits, rounded up.
fn ceiling(bound: f64) -> String {
    if bound == 0.0 || !bound.is_finite() {
        return format!("{bound}");
    }
    let unit = 10f64.powi(bound.abs().log10().floor() as i32 - 2);
    let digits = (bound / unit).ceil() * unit;
    match bound.abs() {
        size if (1e-4..1e4).contains(&size) => format!("{digits:.*}", (-unit.log10().round()).max(0.0) as usize),
        _ => format!("{digits:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_bounds_are_bounds() {
        assert_eq!(ceiling(0.030_294_3), "0.0303");
        assert_eq!(ceiling(0.030_300_1), "0.0304");
        assert_eq!(ceiling(2.012_3), "2.02");
        assert_eq!(ceiling(123.4), "124");
        assert_eq!(ceiling(1.234e-9), "1.24e-9");
        assert_eq!(ceiling(f64::INFINITY), "inf");
        assert_eq!(floor(99.999), 99.99);
        assert_eq!(floor(100.0), 100.0);
    }
}
