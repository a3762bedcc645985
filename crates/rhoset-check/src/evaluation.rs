//! Every logit by direct evaluation in float64, with a bound on its rounding; integers decide what that leaves open.

use std::iter::zip;

use crate::ball::{Ball, Matrix, UNIT, gamma, largest};
use crate::network::Network;

/// A layer of weights `[m, n]`, to be applied to many vectors of activations.
pub(crate) struct Layer {
    weights: Matrix<f64>,
    /// Of every row, the largest magnitude.
    largest: Vec<f64>,
}

impl Layer {
    pub(crate) fn new(weights: Matrix<f64>) -> Self {
        let size = |row: &Vec<f64>| largest(row.iter().map(|weight| weight.abs()));
        let largest = weights.iter().map(size).collect();
        Self { weights, largest }
    }

    /// `start(z) + sum_i weights_i(z) hidden_i` for every z, of which `correct` is to be the largest.
    pub(crate) fn logits(&self, start: &[f64], hidden: &[Ball], correct: usize) -> Logits {
        let (mut values, mut error) = (start.to_vec(), 0.0);
        let mut size = largest(start.iter().map(|value| value.abs()));
        for (hidden, (row, most)) in zip(hidden, zip(&self.weights, &self.largest)) {
            if hidden.value != 0.0 {
                zip(&mut values, row).for_each(|(sum, weight)| *sum += hidden.value * weight);
            }
            error += most * hidden.error;
            size += most * hidden.value.abs();
        }
        // Sums of at most m + 1 products; twice, for the rounding of this bound, and a term for what underflows. Infinite
        // where a sum may overflow.
        let error = 2.0 * error + gamma(hidden.len() + 2, UNIT) * (2.0 * size) + f64::MIN_POSITIVE;
        Logits { values, error, correct }
    }
}

/// All logits of one pair, or bounds on them.
pub(crate) struct Logits {
    values: Vec<f64>,
    /// How far any of them can be from the real one.
    error: f64,
    /// Which is to be the largest.
    correct: usize,
}

impl Logits {
    pub(crate) fn correct(&self) -> Ball {
        Ball::new(self.values[self.correct], self.error)
    }

    /// The largest of the others.
    pub(crate) fn rival(&self) -> Ball {
        Ball::new(largest(self.rivals().map(|z| self.values[z])), self.error)
    }

    fn rivals(&self) -> impl Iterator<Item = usize> {
        (0..self.values.len()).filter(|&z| z != self.correct)
    }

    /// Whether the correct logit is the largest, in real arithmetic: integers tell where balls do not.
    pub(crate) fn is_right(&self, network: &Network, (x, y): (usize, usize)) -> bool {
        let (correct, rival) = (self.correct(), self.rival());
        if correct.lower() > rival.upper() || correct.upper() < rival.lower() {
            return correct.lower() > rival.upper();
        }
        let logits = network.exactly(x, y);
        self.rivals().all(|z| logits[z] < logits[self.correct])
    }

    /// At least the real cross-entropy, in nats: it grows with every difference of a rival and the correct logit.
    pub(crate) fn cross_entropy(&self) -> f64 {
        let above = |z: usize| (Ball::new(self.values[z], self.error) - self.correct()).upper();
        let most = largest(self.rivals().map(above));
        let sum: f64 = self.rivals().map(|z| (above(z) - most).exp()).sum();
        softplus(most + sum.ln())
    }
}

/// At least the cross-entropy where the correct of n logits is at least `margin` above every other.
pub(crate) fn cross_entropy_of_margin(margin: f64, n: usize) -> f64 {
    if n == 1 {
        0.0
    } else {
        softplus((n as f64 - 1.0).ln() - margin)
    }
}

/// At least log(1 + exp(t)). The library's exponential and logarithm are taken to be accurate to 2^-40; with what t itself
/// can be off, and whatever order sums are taken in, that is much less than the billionth that is added.
fn softplus(t: f64) -> f64 {
    (t.max(0.0) + (-t.abs()).exp().ln_1p()) * (1.0 + 1e-9) + f64::MIN_POSITIVE
}
