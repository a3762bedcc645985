//! Bounds on the loss, and what goes with them: the smallest margin, and what float32 gets right.

use rayon::prelude::*;

use super::brute::LogitError;
use super::rounding::{OUTWARD, UNIT, gamma};
use crate::group::{Element, Group};
use crate::network::Folded;
use crate::network::evaluate::{cross_entropy, logits_of_row, margin};

/// Sound bounds from the evaluation of all inputs in float64.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Loss {
    /// Upper bound on the mean cross-entropy over all inputs, in nats.
    pub cross_entropy_bound: f64,
    /// Lower bound on the smallest margin over all inputs; infinite where the group is trivial.
    pub min_margin: f64,
    /// The number of pairs that are right in float32 as well, whatever the order of the operations.
    pub float32_pairs: usize,
}

/// Evaluates all inputs in float64 and rounds outward; 2 m n^3 flops, in parallel over x.
///
/// # Panics
/// If `group` has another order than the network.
pub fn evaluate(folded: &Folded, group: &Group) -> Loss {
    assert_eq!(folded.order(), group.order(), "a network over this group");
    let n = group.order();
    let error = LogitError::double(folded).error;
    let stored = LogitError::stored_single(folded);
    // Where a float32 evaluation may overflow, it proves nothing.
    let float32_error = match stored.magnitude < f64::from(f32::MAX) / 4.0 {
        true => stored.error,
        false => f64::INFINITY,
    };
    let rows: Vec<(f64, f64, usize)> = (0..n as u16)
        .into_par_iter()
        .map(|x| {
            let logits = logits_of_row(folded, Element(x));
            let (mut total, mut least, mut right) = (0.0, f64::INFINITY, 0);
            for (row, &product) in logits.rows().into_iter().zip(group.row(Element(x))) {
                let margin = margin(row, product) - 2.0 * error * OUTWARD;
                total += cross_entropy(row, product);
                least = least.min(margin);
                right += usize::from(n == 1 || margin > 2.0 * float32_error * OUTWARD);
            }
            (total, least, right)
        })
        .collect();
    let pairs = n * n;
    let mean = rows.iter().map(|row| row.0).sum::<f64>() / pairs as f64;
    // The cross-entropy moves by at most twice what the logits move. Its own evaluation: an exponential and a logarithm
    // accurate to 4 u, sums of n and of n^2 nonnegative terms, and two differences of numbers no larger than the logits.
    let magnitude = LogitError::double(folded).magnitude;
    let evaluation = gamma(n * n + n + 16, UNIT) * (mean.abs() + 1.0) + 8.0 * UNIT * magnitude;
    Loss {
        cross_entropy_bound: (mean + 2.0 * error + evaluation) * OUTWARD,
        min_margin: rows.iter().fold(f64::INFINITY, |least, row| least.min(row.1)),
        float32_pairs: rows.iter().map(|row| row.2).sum(),
    }
}

/// The largest cross-entropy of an input whose margin is at least `margin`: `log(1 + (n - 1) exp(-margin))`, rounded up.
///
/// Infinite where `margin` is -infinity or not a number. Section 1 of `docs/soundness.md`.
pub fn cross_entropy_of_margin(margin: f64, order: usize) -> f64 {
    let rivals = (order - 1) as f64;
    if rivals == 0.0 {
        0.0
    } else if margin.is_nan() {
        f64::INFINITY
    } else {
        // log(1 + exp(t)) with t = log(n - 1) - margin, from the side that does not overflow.
        let t = rivals.ln() - margin;
        (t.max(0.0) + (-t.abs()).exp().ln_1p()) * OUTWARD + f64::MIN_POSITIVE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_bound_the_loss_from_above() {
        assert!((cross_entropy_of_margin(0.0, 120) - 120f64.ln()).abs() < 1e-6);
        assert!(cross_entropy_of_margin(1e6, 120) > 0.0);
        assert!(cross_entropy_of_margin(-1e6, 120) >= 1e6);
        assert_eq!(cross_entropy_of_margin(f64::NEG_INFINITY, 120), f64::INFINITY);
        assert_eq!(cross_entropy_of_margin(f64::NAN, 120), f64::INFINITY);
        assert_eq!(cross_entropy_of_margin(5.0, 1), 0.0);
    }
}
