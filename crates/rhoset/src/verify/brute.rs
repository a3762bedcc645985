//! Brute force: every input decided exactly, as fast as the machine allows.
//!
//! Each pair (x, y) is evaluated in float32 and its margin compared with a bound on the rounding error; what that leaves
//! undecided is evaluated in float64 with its own bound, and what still is undecided, ties among it, in exact
//! arithmetic. The count is therefore that of real arithmetic over the stored weights (`docs/soundness.md`, section 2),
//! except that with [`Activation::Gelu`], which has no exact arithmetic, undecided pairs count as wrong.

mod exact;
mod precise;

use std::sync::OnceLock;

use rayon::prelude::*;

use self::exact::Exact;
use self::precise::Precise;
use super::Verification;
use super::kernel::{BLOCK, Kernel, Row, Scratch};
use super::lanes;
use super::rounding::{OUTWARD, SINGLE_SUBNORMAL, SINGLE_UNIT, UNIT, gamma};
use crate::group::{Element, Group};
use crate::network::{Activation, Folded, Network};

/// Pairs that one task decides: enough to hide what a task costs.
pub(super) const TASK: usize = 10 * BLOCK;

/// Decides inputs one by one; ready for use on any number of them.
pub struct Brute<'a> {
    network: &'a Network,
    folded: &'a Folded,
    group: &'a Group,
    /// Packed when the first pair is decided; none where an evaluation could overflow.
    single: OnceLock<Option<Single>>,
    /// For what float32 leaves undecided.
    precise: OnceLock<Precise<'a>>,
    /// Bound on the error of a float64 logit.
    double_error: OnceLock<f64>,
    exact: OnceLock<Exact<'a>>,
}

/// The network in float32, where no evaluation of it can overflow.
struct Single {
    left: Vec<f32>,
    right: Vec<f32>,
    kernel: Kernel,
    /// Bound on the error of a float32 logit.
    error: f64,
}

impl Single {
    fn new(folded: &Folded) -> Option<Self> {
        let LogitError { error, magnitude } = LogitError::single(folded);
        // A quarter of the largest float32 number: partial sums exceed the sum of magnitudes by rounding alone.
        let overflows = magnitude.is_nan() || magnitude >= f64::from(f32::MAX) / 4.0;
        (!overflows).then(|| Self {
            left: folded.left.iter().map(|&left| left as f32).collect(),
            right: folded.right.iter().map(|&right| right as f32).collect(),
            kernel: Kernel::new(
                &folded.unembed.iter().map(|&unembed| unembed as f32).collect::<Vec<_>>(),
                &folded.bias.iter().map(|&bias| bias as f32).collect::<Vec<_>>(),
            ),
            error,
        })
    }
}

/// Certifies exactly the pairs that the network has right; 2 m n^3 flops.
///
/// The loss bound and the time are left to the caller ([`super::loss::evaluate`], [`super::measure`]).
///
/// # Panics
/// If `folded` is not the network's own or `group` has another order.
pub fn verify(network: &Network, folded: &Folded, group: &Group) -> Verification {
    let brute = Brute::new(network, folded, group);
    let (n, m) = (group.order(), network.neurons());
    Verification::new(n * n, brute.count(), 2 * (m * n * n * n) as u64)
}

impl<'a> Brute<'a> {
    /// Weights are packed and rounding errors bounded, in O(m n), when they are first needed; and so are the inputs of neurons in
    /// float64, for what float32 leaves undecided.
    ///
    /// # Panics
    /// If `folded` is not the network's own or `group` has another order.
    pub fn new(network: &'a Network, folded: &'a Folded, group: &'a Group) -> Self {
        assert_eq!(network.order(), group.order(), "a network over this group");
        assert_eq!(
            (network.order(), network.neurons()),
            (folded.order(), folded.neurons()),
            "this network, folded"
        );
        Self {
            network,
            folded,
            group,
            single: OnceLock::new(),
            precise: OnceLock::new(),
            double_error: OnceLock::new(),
            exact: OnceLock::new(),
        }
    }

    fn precise(&self) -> &Precise<'a> {
        self.precise.get_or_init(|| Precise::new(self.network))
    }

    fn single(&self) -> Option<&Single> {
        self.single.get_or_init(|| Single::new(self.folded)).as_ref()
    }

    /// The number of all n^2 pairs that the network has right; in parallel.
    pub fn count(&self) -> usize {
        let n = self.group.order();
        let pairs = n * n;
        (0..pairs.div_ceil(TASK))
            .into_par_iter()
            .map_init(
                || self.scratch(),
                |scratch, task| {
                    let pairs = (task * TASK..pairs.min((task + 1) * TASK))
                        .map(|pair| (Element((pair / n) as u16), Element((pair % n) as u16)));
                    let mut right = 0;
                    self.decide_each(pairs, scratch, |is_right| right += usize::from(is_right));
                    right
                },
            )
            .sum()
    }

    /// For each of these pairs, whether the network has it right; in parallel where they are many.
    pub fn decide(&self, pairs: &[(Element, Element)]) -> Vec<bool> {
        let decide = |scratch: &mut Option<Scratch>, pairs: &[(Element, Element)]| {
            let mut right = Vec::with_capacity(pairs.len());
            self.decide_each(pairs.iter().copied(), scratch, |is_right| right.push(is_right));
            right
        };
        if pairs.len() <= FEW {
            return pairs.iter().map(|&(x, y)| self.decide_double(x, y)).collect();
        }
        if pairs.len() <= TASK {
            return decide(&mut self.scratch(), pairs);
        }
        pairs
            .par_chunks(TASK)
            .map_init(|| self.scratch(), decide)
            .flatten_iter()
            .collect()
    }

    /// Whether `f(z | x, y) > f(rival | x, y)` in real arithmetic; false where GELU leaves it undecided. O(m).
    pub fn beats(&self, x: Element, y: Element, z: Element, rival: Element) -> bool {
        let (folded, precise) = (self.folded, self.precise());
        let (left, right) = precise.inputs(x, y);
        let (bias, rival_bias) = (folded.bias[z.index()], folded.bias[rival.index()]);
        let sum_gamma = gamma(folded.neurons() + 4, UNIT);
        let mut lead = bias - rival_bias;
        let mut error = sum_gamma * (bias.abs() + rival_bias.abs());
        let mut equal = bias == rival_bias;
        for (neuron, weights) in folded.unembed.rows().into_iter().enumerate() {
            let weight = weights[z.index()] - weights[rival.index()];
            if weight == 0.0 {
                continue;
            }
            equal = false;
            let (left, right) = (left[neuron], right[neuron]);
            let hidden = Rounded::hidden(
                folded,
                left.abs() + right.abs(),
                precise.error[neuron],
                UNIT,
                f64::MIN_POSITIVE,
            );
            lead += weight * folded.activation.apply(left + right);
            error += weight.abs() * (hidden.error + sum_gamma * hidden.magnitude) + f64::MIN_POSITIVE;
        }
        error *= OUTWARD;
        if equal {
            false
        } else if lead.abs() > error {
            lead > 0.0
        } else if folded.activation == Activation::Gelu {
            false
        } else {
            self.exact
                .get_or_init(|| Exact::new(self.network))
                .beats(x, y, z, rival)
        }
    }

    fn scratch(&self) -> Option<Scratch> {
        self.single().map(|single| single.kernel.scratch())
    }

    /// Calls `report` with whether each pair is right, in order.
    fn decide_each(
        &self,
        pairs: impl Iterator<Item = (Element, Element)> + Clone,
        scratch: &mut Option<Scratch>,
        mut report: impl FnMut(bool),
    ) {
        let (Some(single), Some(scratch)) = (self.single(), scratch) else {
            return pairs.for_each(|(x, y)| report(self.decide_double(x, y)));
        };
        let m = self.folded.neurons();
        let (left, right) = (
            |x: Element| &single.left[x.index() * m..][..m],
            |y: Element| &single.right[y.index() * m..][..m],
        );
        let threshold = 2.0 * single.error * OUTWARD;
        let mut margins = [(0.0, 0.0); BLOCK];
        let mut block: Vec<(Element, Element)> = Vec::with_capacity(BLOCK);
        let mut pairs = pairs;
        loop {
            block.clear();
            block.extend(pairs.by_ref().take(BLOCK));
            if block.is_empty() {
                return;
            }
            let rows = block.iter().map(|&(x, y)| Row {
                left: left(x),
                right: right(y),
                correct: self.group.mul(x, y).index(),
            });
            let margins = &mut margins[..block.len()];
            single.kernel.margins(self.folded.activation, rows, scratch, margins);
            for (&(x, y), &mut (correct, rival)) in block.iter().zip(margins) {
                // Sound: both logits are within `error` of the real ones.
                let margin = f64::from(correct) - f64::from(rival);
                report(if margin > threshold {
                    true
                } else if margin < -threshold {
                    false
                } else {
                    self.decide_double(x, y)
                });
            }
        }
    }

    /// `[n]`: in float64.
    fn logits(&self, x: Element, y: Element) -> Vec<f64> {
        let folded = self.folded;
        let (left, right) = self.precise().inputs(x, y);
        let unembed = folded.unembed.as_standard_layout();
        let mut logits = folded.bias.to_vec();
        for ((left, right), weights) in left.iter().zip(right).zip(unembed.rows()) {
            let weights = weights.to_slice().expect("standard layout");
            lanes::add_scaled(&mut logits, folded.activation.apply(left + right), weights);
        }
        logits
    }

    /// Whether the network has this pair right, from float64 on.
    fn decide_double(&self, x: Element, y: Element) -> bool {
        let logits = self.logits(x, y);
        let z = self.group.mul(x, y);
        let double_error = *self
            .double_error
            .get_or_init(|| LogitError::precise(self.folded, &self.precise().error).error);
        let threshold = 2.0 * double_error * OUTWARD;
        let mut near: Vec<(f64, Element)> = Vec::new();
        for (rival, &logit) in logits.iter().enumerate() {
            let lead = logits[z.index()] - logit;
            if rival == z.index() || lead > threshold {
                continue;
            }
            if lead < -threshold {
                return false;
            }
            near.push((lead, Element(rival as u16)));
        }
        // The most dangerous rival first: a pair that is wrong is then found out soonest.
        near.sort_by(|a, b| a.0.total_cmp(&b.0));
        near.into_iter().all(|(_, rival)| self.beats(x, y, z, rival))
    }
}

/// So few pairs are evaluated in float64 at once: packing the weights in float32 would take longer.
const FEW: usize = 4;

/// How large a number can be, and how far from the real one its rounded value can lie.
#[derive(Clone, Copy)]
pub(super) struct Rounded {
    pub(super) magnitude: f64,
    pub(super) error: f64,
}

impl Rounded {
    /// A neuron's activation for an input whose rounded parts add up to at most `input` in magnitude and are off by at
    /// most `input_error` together; `unit` and `subnormal` are the number format's.
    pub(super) fn hidden(folded: &Folded, input: f64, input_error: f64, unit: f64, subnormal: f64) -> Self {
        // Two parts are rounded to the format and so is their sum: 2 u (1 + u) of the magnitude, and at most 3 u of it.
        let input = input + input_error;
        let error = input_error + 3.0 * unit * input + 2.0 * subnormal;
        let magnitude = input + error;
        match folded.activation {
            // 1-Lipschitz, and computed without rounding.
            Activation::Relu | Activation::Abs | Activation::Linear => Self { magnitude, error },
            Activation::Square => Self {
                magnitude: magnitude * magnitude * (1.0 + unit) + subnormal,
                error: 2.0 * magnitude * error + unit * magnitude * magnitude + subnormal,
            },
            // |gelu'| < 1.13 everywhere; evaluation within 16 u |t| where erf is accurate to 4 u.
            Activation::Gelu => {
                let error = 1.13 * error + 16.0 * unit * magnitude + subnormal;
                Self {
                    magnitude: magnitude + error,
                    error,
                }
            }
        }
    }
}

/// Bounds over all (x, y, z) on logits as a number format computes them, whatever the order of summation.
pub(super) struct LogitError {
    /// Bound on the distance of the computed logit from the real one.
    pub(super) error: f64,
    /// Bound on the magnitudes of everything computed on the way.
    pub(super) magnitude: f64,
}

impl LogitError {
    /// The folded network in float32.
    pub(super) fn single(folded: &Folded) -> Self {
        Self::of(folded, SINGLE_UNIT, SINGLE_SUBNORMAL, |error, _| (0.0, error))
    }

    /// The folded network in float64.
    pub(super) fn double(folded: &Folded) -> Self {
        Self::of(folded, UNIT, f64::MIN_POSITIVE, |error, _| (0.0, error))
    }

    /// The network in float64, from inputs that are off by `errors` (`[m]`) where the folded ones may be off by more.
    fn precise(folded: &Folded, errors: &[f64]) -> Self {
        Self::of(folded, UNIT, f64::MIN_POSITIVE, |folding, neuron| {
            // Sound: the folded input is within `folding` of the real one, and that within `errors` of the one evaluated.
            (folding + errors[neuron], errors[neuron])
        })
    }

    /// The network as stored, every step of it in float32.
    pub(super) fn stored_single(folded: &Folded) -> Self {
        // Folding errors are gamma_d(2^-53) times magnitudes; in float32 they are up to gamma_d(2^-24) times the same.
        let folding = |error, _| (0.0, 2f64.powi(30) * error);
        let mut bounds = Self::of(folded, SINGLE_UNIT, SINGLE_SUBNORMAL, folding);
        // Terms that cancel in a folded product may overflow all the same. They sum in magnitude to at most 2^52 times
        // the product's error bound, which is 2 gamma_d times that sum with gamma_d >= 2^-53.
        for (left, right) in folded.left_error.iter().zip(&folded.right_error) {
            bounds.magnitude = bounds.magnitude.max((left + right) * 2f64.powi(52) * OUTWARD);
        }
        bounds
    }

    /// `inputs` says of a neuron, from what folding lost of its input, by how much the input that is evaluated may exceed the
    /// folded one, and how far it is from the real one.
    fn of(folded: &Folded, unit: f64, subnormal: f64, inputs: impl Fn(f64, usize) -> (f64, f64)) -> Self {
        let sum_gamma = gamma(folded.neurons() + 3, unit);
        let (left, right) = (largest_by_column(&folded.left), largest_by_column(&folded.right));
        let mut error: Vec<f64> = folded.bias.iter().map(|bias| sum_gamma * bias.abs()).collect();
        let mut magnitude: Vec<f64> = folded.bias.iter().map(|bias| bias.abs()).collect();
        let (mut largest_hidden, mut underflow) = (0.0_f64, 0.0);
        let unembed = folded.unembed.as_standard_layout();
        for (neuron, weights) in unembed.rows().into_iter().enumerate() {
            let (beyond, input_error) = inputs(folded.left_error[neuron] + folded.right_error[neuron], neuron);
            let input = left[neuron] + right[neuron] + beyond;
            let hidden = Rounded::hidden(folded, input, input_error, unit, subnormal);
            largest_hidden = largest_hidden.max(hidden.magnitude);
            underflow += subnormal;
            let weights = weights.to_slice().expect("standard layout");
            lanes::add_scaled_magnitudes(&mut error, hidden.error + sum_gamma * hidden.magnitude, weights);
            lanes::add_scaled_magnitudes(&mut magnitude, hidden.magnitude, weights);
        }
        let largest = |values: &[f64]| values.iter().fold(0.0, |largest: f64, &value| largest.max(value));
        Self {
            error: (largest(&error) + underflow) * OUTWARD,
            magnitude: largest(&magnitude).max(largest_hidden) * OUTWARD,
        }
    }
}

fn largest_by_column(matrix: &ndarray::Array2<f64>) -> Vec<f64> {
    let mut largest = vec![0.0_f64; matrix.ncols()];
    let matrix = matrix.as_standard_layout();
    for row in matrix.rows() {
        lanes::raise_magnitudes(&mut largest, row.to_slice().expect("standard layout"));
    }
    largest
}
