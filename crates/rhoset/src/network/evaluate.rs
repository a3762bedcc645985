//! Exact evaluation: every logit in float64, and what it says of accuracy, margins and loss.
//!
//! "Exact" as in brute force over all inputs: float64 sums of the stored weights, with no bound on rounding. What is
//! proved of a network, rounding included, is in [`crate::verify`].

use std::borrow::Cow;

use multiversion::multiversion;
use ndarray::{Array1, Array2, ArrayView1, Zip};
use rayon::prelude::*;

use super::real::Real;
use super::{Activation, Folded};
use crate::group::{Element, Group};

impl Activation {
    /// The activation of one neuron whose input is `t`.
    #[inline]
    pub fn apply(self, t: f64) -> f64 {
        match self {
            Self::Relu => t.max(0.0),
            Self::Square => t * t,
            Self::Abs => t.abs(),
            // Phi(t) = erfc(-t / sqrt 2) / 2 keeps its relative accuracy in the left tail, where 1 + erf does not.
            Self::Gelu => t * 0.5 * libm::erfc(-t * std::f64::consts::FRAC_1_SQRT_2),
            Self::Linear => t,
        }
    }
}

/// What a network does on all n^2 inputs of its group.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Evaluation {
    /// The number of inputs, n^2.
    pub pairs: usize,
    /// The number of inputs whose correct logit is strictly the largest.
    pub correct: usize,
    /// `correct / pairs`.
    pub accuracy: f64,
    /// The smallest [`margin`] over all inputs.
    pub min_margin: f64,
    /// The mean over all inputs of `-log softmax(logits)[xy]`, in nats.
    pub cross_entropy: f64,
}

impl Evaluation {
    /// Evaluates all n^2 inputs against the group's products; 2 m n^3 flops, in parallel over x.
    ///
    /// # Panics
    /// If the network's order is not the group's.
    pub fn of(folded: &Folded, group: &Group) -> Self {
        assert_eq!(folded.order(), group.order(), "a network over this group");
        let rows: Vec<_> = (0..group.order() as u16)
            .into_par_iter()
            .map(|x| {
                let logits = logits_of_row(folded, Element(x));
                let (mut correct, mut min_margin, mut loss) = (0, f64::INFINITY, 0.0);
                for (row, &product) in logits.rows().into_iter().zip(group.row(Element(x))) {
                    let margin = margin(row, product);
                    correct += usize::from(margin > 0.0);
                    min_margin = min_margin.min(margin);
                    loss += cross_entropy(row, product);
                }
                (correct, min_margin, loss)
            })
            .collect();
        let pairs = group.order() * group.order();
        let correct = rows.iter().map(|row| row.0).sum();
        Self {
            pairs,
            correct,
            accuracy: correct as f64 / pairs as f64,
            min_margin: rows.iter().fold(f64::INFINITY, |least, row| least.min(row.1)),
            cross_entropy: rows.iter().map(|row| row.2).sum::<f64>() / pairs as f64,
        }
    }
}

/// The logits `f(z | x, y)` for every z: `[n]`.
pub fn logits(folded: &Folded, x: Element, y: Element) -> Array1<f64> {
    let mut hidden = folded.left.row(x.index()).to_owned();
    hidden.zip_mut_with(&folded.right.row(y.index()), |t, &right| {
        *t = folded.activation.apply(*t + right);
    });
    hidden.dot(&folded.unembed) + &folded.bias
}

/// The logits `f(z | x, y)` for one x, and every y and z: `[n, n]`, one row per y.
pub fn logits_of_row(folded: &Folded, x: Element) -> Array2<f64> {
    let mut hidden = folded.right.clone();
    for mut row in hidden.rows_mut() {
        Zip::from(&mut row)
            .and(folded.left.row(x.index()))
            .for_each(|t, &left| *t = folded.activation.apply(left + *t));
    }
    hidden.dot(&folded.unembed) + &folded.bias
}

/// Margin of the correct logit: `f(xy | x, y) - max over z != xy of f(z | x, y)`.
///
/// `logits` has length n, one per element. Negative where the network is wrong; a tie is 0 and counts as wrong.
/// Infinite where n = 1. Wu et al. 2025, section 6.
pub fn margin(logits: ArrayView1<f64>, correct: Element) -> f64 {
    let logits = logits.to_slice().map_or_else(|| logits.to_vec().into(), Cow::Borrowed);
    let (before, after) = (&logits[..correct.index()], &logits[correct.index() + 1..]);
    logits[correct.index()] - largest(before).max(largest(after))
}

/// The loss of one input, `-log softmax(logits)[correct]`, in nats.
pub fn cross_entropy(logits: ArrayView1<f64>, correct: Element) -> f64 {
    let logits = logits.to_slice().map_or_else(|| logits.to_vec().into(), Cow::Borrowed);
    let largest = largest(&logits);
    sum_of_exponentials(&logits, largest).ln() + largest - logits[correct.index()]
}

/// `sum over z of exp(logits[z] - largest)`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
fn sum_of_exponentials(logits: &[f64], largest: f64) -> f64 {
    let mut sums = [0.0; LANES];
    let (chunks, rest) = logits.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            sums[lane] += (chunk[lane] - largest).exp_of_nonpositive();
        }
    }
    let rest: f64 = rest.iter().map(|logit| (logit - largest).exp_of_nonpositive()).sum();
    rest + sums.iter().sum::<f64>()
}

/// Sums and maxima that the compiler may keep side by side.
const LANES: usize = 8;

/// The largest number; minus infinity where there is none.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
fn largest(numbers: &[f64]) -> f64 {
    let mut largest = [f64::NEG_INFINITY; LANES];
    let chunks = numbers.chunks_exact(LANES);
    let rest = chunks
        .remainder()
        .iter()
        .fold(f64::NEG_INFINITY, |most, &t| most.max(t));
    for chunk in chunks {
        for lane in 0..LANES {
            largest[lane] = largest[lane].max(chunk[lane]);
        }
    }
    largest.iter().fold(rest, |most, &t| most.max(t))
}

/// The z of the largest logit for every x and y: `[n, n]`; the first of several equal ones.
pub fn argmax(folded: &Folded) -> Array2<u16> {
    let order = folded.order();
    let rows: Vec<u16> = (0..order as u16)
        .into_par_iter()
        .flat_map_iter(|x| {
            let logits = logits_of_row(folded, Element(x));
            logits
                .rows()
                .into_iter()
                .map(|row| {
                    let mut best = 0;
                    for (z, &logit) in row.iter().enumerate() {
                        if logit > row[best] {
                            best = z;
                        }
                    }
                    best as u16
                })
                .collect::<Vec<_>>()
        })
        .collect();
    Array2::from_shape_vec((order, order), rows).expect("one entry per pair")
}
