//! Verifiers: proved lower bounds on accuracy, and what they cost.
//!
//! The claim is always the same (`docs/soundness.md`, section 1): on at least `certified_pairs` of the n^2 inputs (x, y)
//! the logit of xy is strictly the largest, in real arithmetic, for the float32 weights as stored. A wrong explanation
//! may give a weak bound, never a false one.

pub mod brute;
pub mod cascade;
pub mod certificate;
pub mod coset;
mod fixed;
mod kernel;
mod lanes;
pub mod logit;
pub mod loss;
pub mod orbit;
pub mod partition;
pub mod rho_set;
pub mod rounding;
pub mod spectral;
pub mod subject;
mod units;
mod vectors;

use crate::network::{Activation, Embedding, Folded, Network};
use std::time::Instant;

/// What a verifier proved, and at what cost.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Verification {
    /// The number of inputs, n^2.
    pub pairs: usize,
    /// The number of inputs proved right.
    pub certified_pairs: usize,
    /// `certified_pairs / pairs`.
    pub accuracy_bound: f64,
    /// Upper bound on the mean of `-log softmax(logits)[xy]` over all inputs, in nats; none where none was proved.
    pub cross_entropy_bound: Option<f64>,
    /// Wall-clock seconds from weights and explanation to `certified_pairs` ([`measure`]).
    pub seconds: f64,
    /// Floating-point operations from weights and explanation to `certified_pairs`; a multiplication and an addition
    /// count one each.
    pub flops: u64,
}

impl Verification {
    /// A verification without a loss bound, not timed yet.
    pub fn new(pairs: usize, certified_pairs: usize, flops: u64) -> Self {
        Self {
            pairs,
            certified_pairs,
            accuracy_bound: certified_pairs as f64 / pairs as f64,
            cross_entropy_bound: None,
            seconds: 0.0,
            flops,
        }
    }
}

/// The verifiers by name, from the dearest to the cheapest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verifier {
    /// All inputs, one by one: [`brute`].
    Brute,
    /// Equivariance of the network idealised by its rho-sets (Wu et al. 2025, section 6).
    RhoSet,
    /// Equivariance of the network with its neurons averaged over cosets (Wu et al. 2025, section 6).
    Coset,
    /// Sound bounds from circuits and irreps; no logit but the correct one is evaluated.
    Explained,
    /// Circuits, then logits as sums over cells of one input, then the exact evaluation of what is left: [`cascade`].
    Cascade,
}

impl Verifier {
    /// Every verifier.
    pub const ALL: [Self; 5] = [Self::Brute, Self::RhoSet, Self::Coset, Self::Explained, Self::Cascade];

    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brute => "brute",
            Self::RhoSet => "rho-set",
            Self::Coset => "coset",
            Self::Explained => "explained",
            Self::Cascade => "cascade",
        }
    }

    /// Every verifier for networks with this activation.
    pub fn applicable(activation: Activation) -> &'static [Self] {
        match activation {
            Activation::Relu => &Self::ALL,
            // What needs no circuits: brute force and the spectral tier.
            _ => &[Self::Brute, Self::Explained, Self::Cascade],
        }
    }

    /// The verifier with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verifier| verifier.name() == name)
    }
}

/// The result of `run` and its time in seconds: the median of up to 31 runs, after which about 50 ms have passed. Fewer would
/// measure how memory and a second core wake up, where runs take a fraction of a millisecond.
///
/// A run longer than 50 ms is taken once. Verifiers are timed one after the other, each with the whole thread pool.
pub fn measure<T: Send>(mut run: impl FnMut() -> T + Send) -> (T, f64) {
    measure_own(|| {
        let start = Instant::now();
        let result = run();
        (result, start.elapsed().as_secs_f64())
    })
}

/// How many runs a time is the median of, at most.
const MOST_RUNS: usize = 31;

/// As [`measure`], of what times itself: `run` returns its result and the seconds that count.
pub fn measure_own<T: Send>(mut run: impl FnMut() -> (T, f64) + Send) -> (T, f64) {
    // Inside the pool: handing work over from outside would cost more than the shortest verifications take.
    rayon::scope(|_| {
        let start = Instant::now();
        let mut times = Vec::with_capacity(MOST_RUNS);
        loop {
            let (result, seconds) = run();
            times.push(seconds);
            if times.len() == MOST_RUNS || start.elapsed().as_secs_f64() > 0.05 {
                times.sort_by(f64::total_cmp);
                return (result, times[(times.len() - 1) / 2]);
            }
        }
    })
}

/// The seconds and flops of multiplying out the layers before the activation, by [`Network::fold`] or
/// [`Network::fold_single`]: part of every verifier's cost.
pub fn measure_folding(network: &Network, fold: fn(&Network) -> Folded) -> (f64, u64) {
    let Embedding::Direct { .. } = network.embedding else {
        let width = network.embedding.tensors()[0].1.ncols();
        let (_, seconds) = measure(|| fold(network));
        // Left and right, a multiplication and an addition each.
        return (seconds, 4 * (network.order() * width * network.neurons()) as u64);
    };
    (0.0, 0)
}
