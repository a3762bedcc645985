//! Re-proves what a rhoset certificate claims of a network: with arithmetic of its own, from the weights alone.
//!
//! Nothing in the certificate is believed, and no code is shared with rhoset. A claim is accepted where this program
//! proves at least as much by itself: the number of right pairs by direct evaluation (float64 with a rounding bound, then
//! integers), what the explanation proves by the theorems of `docs/soundness.md`, the loss. The format is described in
//! `docs/certificate.md`. To read it all: `ball` (arithmetic), `certificate`, `group` and `network` (what is read, and
//! checked), `circuits`, `basis` and `evaluation` (what is proved), and [`check`], which compares.

/// Returns an error, `entry: why`, where a condition does not hold.
macro_rules! ensure {
    ($holds:expr, $entry:literal: $($why:tt)+) => {
        if !$holds {
            anyhow::bail!("{}: {}", format_args!($entry), format_args!($($why)+));
        }
    };
}

mod ball;
mod basis;
mod certificate;
mod circuits;
mod evaluation;
mod group;
mod network;

use std::num::NonZeroUsize;

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use certificate::{Claims, VERSION};

use ball::{UNIT, gamma};
use basis::Basis;
use certificate::{Certificate, Header};
use circuits::Tables;
use evaluation::{Layer, cross_entropy_of_margin};
use group::Group;
use network::{Activation, Network};

/// What this program proves of the network.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Proof {
    /// The name that the certificate gives the group, and who says that its table is what it is.
    pub group: String,
    /// What the certificate claims.
    pub claimed: Claims,
    /// What is proved here of the same: counts are at least, bounds at most what is claimed.
    pub proved: Claims,
}

/// Checks a certificate against a safetensors file, on so many threads; `table` is that of the group that is meant, by
/// rows.
///
/// # Errors
/// If the certificate cannot be read, speaks of other weights or another group, holds an explanation that is none, or
/// claims more than is proved here: `entry: why`, where the entry is one of the certificate or `weights`.
pub fn check(weights: &[u8], certificate: &[u8], table: Option<&[u64]>, threads: NonZeroUsize) -> Result<Proof> {
    // The version first: another one may have other entries.
    let Header { format, version } = parse(certificate)?;
    ensure!(format == "rhoset-certificate", "format": "{format:?}, not \"rhoset-certificate\"");
    ensure!(version == VERSION, "version": "{version} is not known, only {VERSION}");
    let certificate: Certificate = parse(certificate)?;
    let (stated, found) = (&certificate.weights.sha256, hash(weights));
    ensure!(*stated == found, "weights.sha256": "is {stated}; these weights have {found}");
    let network = Network::read(weights)?;
    let group = Group::new(&certificate.group.table)?;
    let products: Vec<u16> = certificate.group.table.concat();
    let bytes: Vec<u8> = products.iter().flat_map(|product| product.to_le_bytes()).collect();
    let (stated, table_hash) = (&certificate.group.sha256, hash(&bytes));
    ensure!(*stated == table_hash, "group.sha256": "is {stated}; this table has {table_hash}");
    let (n, m, logits) = (group.order, network.unembed.len(), network.bias.len());
    ensure!(n == logits, "group.table": "{n} elements; the network has {logits} logits");
    let mut source = format!("the certificate alone: SHA-256 {table_hash}");
    for (table, other) in [(network.table.as_deref(), "the weights"), (table, "--table")] {
        let Some(table) = table else { continue };
        let same = table.iter().copied().eq(products.iter().map(|&z| u64::from(z)));
        ensure!(same, "group.table": "the certificate is about another group than that of {other}");
        source = other.into();
    }
    certificate.check(n, m)?;
    let circuits = network.activation == Activation::Relu || certificate.explanation.circuits.is_empty();
    ensure!(circuits, "explanation.circuits": "circuits are for relu networks");
    let tables = match network.activation {
        Activation::Relu => Some(Tables::new(&network, &group, &certificate)?),
        _ => None,
    };
    let basis = certificate.plan.basis.map(|basis| Basis::new(&network, &basis));
    let proved = prove(&network, &group, tables, basis, threads.get().min(n));
    let claimed = certificate.claims;
    compare(&claimed, &proved)?;
    let group = format!("{} (table from {source})", certificate.group.name);
    Ok(Proof { group, claimed, proved })
}

/// Reads JSON, and says which entry is at fault.
fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| match error.inner().is_eof() {
        true => anyhow!("certificate: ends in the middle; it is truncated"),
        false => error.into(),
    })?;
    reader.end().context("certificate: something follows it")?;
    Ok(read)
}

fn hash(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compare(claimed: &Claims, proved: &Claims) -> Result<()> {
    let pairs = claimed.get("pairs");
    ensure!(pairs.is_some_and(Value::is_number), "claims.pairs": "of how many pairs is not said");
    for (name, claim) in claimed.iter().filter(|(_, claim)| !claim.is_null()) {
        let holds = match (claim.as_f64(), proved.get(name).and_then(Value::as_f64)) {
            (Some(claim), Some(proof)) if name == "pairs" => claim == proof,
            (Some(claim), Some(proof)) if name.ends_with("_bound") => claim >= proof,
            (Some(claim), Some(proof)) => claim <= proof,
            _ => false,
        };
        let proof = proved.get(name).unwrap_or(&Value::Null);
        ensure!(holds, "claims.{name}": "{claim}; only {proof} is proved");
    }
    Ok(())
}

/// Adds up what is proved of all pairs.
fn prove(network: &Network, group: &Group, tables: Option<Tables>, basis: Option<Basis>, threads: usize) -> Claims {
    let n = group.order;
    let (unembed, float32_error) = (Layer::new(network.unembed.clone()), network.float32_error());
    let gaps = tables.as_ref().map(Tables::gaps);
    let pair = |(x, y): (usize, usize)| {
        let (z, hidden) = (group.mul(x, y), network.hidden(x, y));
        let logits = unembed.logits(&network.bias, &hidden, z);
        // At most what the correct logit has above every other, by a bound on these.
        let above = |bound: f64| (logits.correct().lower() - bound).next_down();
        let above_any = |bound: Option<f64>| bound.map_or(f64::NEG_INFINITY, above);
        let by_circuits = above_any(tables.as_ref().map(|tables| tables.bound((x, y), z)));
        let by_basis = above_any(basis.as_ref().map(|basis| basis.bound((x, y), z, &hidden)));
        let explained = by_circuits.max(by_basis);
        let gap = gaps.as_ref().map_or(0.0, |[of_x, of_y]| of_x[x] + of_y[y]).next_down();
        let in_float32 = n == 1 || above(logits.rival().upper()) > 2.0 * float32_error;
        [
            ("pairs", 1.0),
            ("certified_pairs", logits.is_right(network, (x, y)).into()),
            ("explained_pairs", (explained > 0.0).into()),
            ("circuit_pairs", (by_circuits > 0.0).into()),
            ("gap_pairs", (gap > 0.0).into()),
            ("float32_pairs", in_float32.into()),
            ("cross_entropy_bound", logits.cross_entropy()),
            ("explained_cross_entropy_bound", cross_entropy_of_margin(explained, n)),
        ]
    };
    let add = |a: [(&'static str, f64); 8], b: [(&str, f64); 8]| std::array::from_fn(|k| (a[k].0, a[k].1 + b[k].1));
    let share = |first: usize| {
        let pairs = (first..n).step_by(threads).flat_map(|x| (0..n).map(move |y| (x, y)));
        pairs.map(pair).reduce(add)
    };
    let totals = std::thread::scope(|scope| {
        let shares: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first))).collect();
        let totals = shares.into_iter().map(|share| share.join().expect("no pair panics"));
        totals.flatten().reduce(add)
    });
    let claim = |(name, total): (&str, f64)| {
        // A sum of n^2 losses is off by this at most.
        let mean = total / (n * n) as f64 * (1.0 + gamma(n * n + 8, UNIT));
        let bound = name.ends_with("_bound");
        (name.to_owned(), if bound { mean.into() } else { (total as u64).into() })
    };
    totals.into_iter().flatten().map(claim).collect()
}
