//! `rhoset-check`: yes, or exactly where a certificate fails.

use std::io::{Write, stdout};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rhoset_check::{Proof, check};
use serde_json::{Value, json};

/// Prove again what rhoset certificates claim of networks, believing nothing in them and sharing no code with rhoset.
///
/// Exit codes: 0 all proved; 1 a certificate is refused; 2 a file cannot be read, or the command line is wrong.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// WEIGHTS.safetensors and CERTIFICATE.json; or a folder, of which every NAME.certificate.json is checked with
    /// NAME.safetensors beside it
    #[arg(required = true, num_args = 1..=2, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The group that is meant: its multiplication table as text, products by rows with commas or spaces between. Weights
    /// that carry a table themselves need none
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
    /// Threads to prove pairs on. Default: all
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Print one JSON object per certificate, a line each: what is claimed and proved here, or what is refused, and why
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    answer(&Arguments::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}; rhoset-check --help tells more");
        ExitCode::from(2)
    })
}

/// Checks one certificate after the other, and says what is proved.
fn answer(arguments: &Arguments) -> Result<ExitCode> {
    let table = arguments.table.as_deref().map(table).transpose()?;
    let threads = arguments.threads.map_or_else(std::thread::available_parallelism, Ok)?;
    let certificates = certificates(&arguments.paths)?;
    let (all, mut proved) = (certificates.len(), 0);
    for (weights, certificate) in certificates {
        let (bytes, json, start) = (read(&weights)?, read(&certificate)?, Instant::now());
        let result = check(&bytes, &json, table.as_deref(), threads).map_err(|error| format!("{error:#}"));
        let seconds = start.elapsed().as_secs_f64();
        match &result {
            Ok(proof) if !arguments.json => say(&text(&weights, proof, seconds, all == 1)),
            Err(why) => eprintln!("refused: {}: {why}", certificate.display()),
            _ => {}
        }
        if arguments.json {
            let (proof, why) = (result.as_ref().ok(), result.as_ref().err());
            let mut fields = json!({ "weights": weights, "certificate": certificate, "seconds": seconds });
            (fields["proved"], fields["refused"]) = (json!(proof), json!(why));
            say(&fields.to_string());
        }
        proved += usize::from(result.is_ok());
    }
    if all > 1 && !arguments.json {
        say(&format!("Proved {proved} of {all} certificates."));
    }
    Ok(ExitCode::from(u8::from(proved < all)))
}

/// Which weights with which certificates.
fn certificates(paths: &[PathBuf]) -> Result<Vec<(PathBuf, PathBuf)>> {
    if let [weights, certificate] = paths {
        return Ok(vec![(weights.clone(), certificate.clone())]);
    }
    let folder = &paths[0];
    let mut pairs = Vec::new();
    for file in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let certificate = file?.path();
        if let Some(name) = certificate.to_string_lossy().strip_suffix(".certificate.json") {
            pairs.push((format!("{name}.safetensors").into(), certificate.clone()));
        }
    }
    ensure!(!pairs.is_empty(), "{folder:?} has no NAME.certificate.json");
    pairs.sort();
    Ok(pairs)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn table(path: &Path) -> Result<Vec<u64>> {
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let separator = |c: char| c == ',' || c.is_whitespace();
    let words = text.split(separator).filter(|word| !word.is_empty());
    let number = |word: &str| word.parse().with_context(|| format!("{}: {word:?}", path.display()));
    words.map(number).collect()
}

/// The answer, a line; and, if wanted, a table of what is claimed and proved.
fn text(weights: &Path, proof: &Proof, seconds: f64, table: bool) -> String {
    let claimed = |name: &str| proof.claimed.get(name).unwrap_or(&Value::Null);
    let (pairs, right) = (claimed("pairs"), claimed("certified_pairs"));
    let percent = 100.0 * right.as_f64().unwrap_or(0.0) / pairs.as_f64().unwrap_or(1.0);
    let (weights, group, percent) = (weights.display(), &proof.group, (100.0 * percent).floor() / 100.0);
    let mut text = format!("Proved: {weights} is right on at least {right} of {pairs} pairs ({percent:.2} %) ");
    text += &format!("over {group}, in {seconds:.2} s.");
    if table {
        text += &format!("\n\n{:<30} {:>9} {:>12}", "claim", "claimed", "proved here");
    }
    for (name, proved) in proof.proved.iter().filter(|_| table) {
        let number = |value: &Value| match value.as_f64() {
            Some(bound) if name.ends_with("_bound") => format!("{bound:.6}"),
            _ => value.to_string(),
        };
        let (claimed, proved) = (number(claimed(name)), number(proved));
        text += &format!("\n{:<30} {claimed:>9} {proved:>12}", name.replace('_', " "));
    }
    text
}

/// Prints a line; a reader that has gone away is no failure.
fn say(text: &str) {
    _ = writeln!(stdout(), "{text}");
}
