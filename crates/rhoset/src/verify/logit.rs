//! One logit at a time, in float32 with its rounding bounded.

use super::lanes;
use super::rounding::SINGLE_SUBNORMAL;
use crate::explain::partition::Input;
use crate::group::{Element, Group};
use crate::network::Folded;
use ndarray::Array2;

/// Bounds on single logits: a dot product of length m each.
pub struct LogitBounds {
    neurons: usize,
    /// `[n, m]`, all three.
    left: Vec<f32>,
    right: Vec<f32>,
    unembed: Vec<f32>,
    bias: Vec<f64>,
    /// `[n]`: how far off a logit can be.
    slack: Vec<f64>,
}

impl LogitBounds {
    /// Transposes the unembedding and rounds to float32; O(mn).
    pub fn new(folded: &Folded) -> Self {
        let (n, m) = (folded.order(), folded.neurons());
        let (left, left_magnitude) = in_single(&folded.left);
        let (right, right_magnitude) = in_single(&folded.right);
        let magnitude: Vec<f64> = left_magnitude
            .iter()
            .zip(&right_magnitude)
            .map(|(l, r)| l + r)
            .collect();
        // Sound: past the range of float32 an infinite input can hide behind relu (inf - inf, or relu of -inf), so nothing
        // is proved there.
        let in_range = magnitude.iter().all(|&most| most < f64::from(f32::MAX) / 4.0);
        let mut slack = vec![if in_range { 0.0 } else { f64::INFINITY }; n];
        // gamma_{m + 8} in float32: rounding l and r, their sum, and m products in any order; the last term is underflow.
        let gamma = (m + 8) as f64 * f64::from(f32::EPSILON);
        let rows = folded.unembed.as_standard_layout();
        let rows = rows.as_slice().expect("standard layout");
        for (i, row) in rows.chunks_exact(n.max(1)).enumerate() {
            // Sound: below float32's range l and r are rounded by an absolute amount, which u multiplies.
            let rounding = gamma * magnitude[i] + 4.0 * SINGLE_SUBNORMAL;
            let error = folded.left_error[i] + folded.right_error[i] + rounding;
            lanes::add_scaled_magnitudes(&mut slack, error, row);
        }
        slack.iter_mut().for_each(|s| *s = *s * (1.0 + 1e-9) + 1e-30 * m as f64);
        let mut unembed = vec![0.0; n * m];
        lanes::transpose_to_single(&mut unembed, rows, n);
        Self {
            neurons: m,
            left,
            right,
            unembed,
            bias: folded.bias.to_vec(),
            slack,
        }
    }

    /// `[n]`: lower bounds on the correct logits of one outer element and every inner one, whichever input that is; minus
    /// infinity where there is none.
    pub fn correct(&self, group: &Group, outer: Element, inner: Input, bounds: &mut Vec<f64>) {
        let product = |element: Element| match inner {
            Input::Left => group.mul(element, outer),
            Input::Right => group.mul(outer, element),
        };
        let (of_outer, of_inner) = match inner {
            Input::Left => (&self.right, &self.left),
            Input::Right => (&self.left, &self.right),
        };
        let places = group.elements().map(|element| (element, product(element)));
        bounds.clear();
        bounds.resize(group.order(), 0.0);
        logits(self.row(of_outer, outer), of_inner, &self.unembed, places, bounds);
        for (bound, element) in bounds.iter_mut().zip(group.elements()) {
            *bound = self.lower(*bound, product(element));
        }
    }

    fn row<'a>(&self, matrix: &'a [f32], at: Element) -> &'a [f32] {
        &matrix[at.index() * self.neurons..(at.index() + 1) * self.neurons]
    }

    fn lower(&self, sum: f64, z: Element) -> f64 {
        let logit = sum + self.bias[z.index()];
        let bound = logit - self.slack[z.index()] - 1e-12 * logit.abs();
        if bound.is_finite() { bound } else { f64::NEG_INFINITY }
    }
}

/// A matrix in float32, and the largest magnitude of every column.
fn in_single(matrix: &Array2<f64>) -> (Vec<f32>, Vec<f64>) {
    let matrix = matrix.as_standard_layout();
    let values = matrix.as_slice().expect("standard layout");
    let mut single = vec![0.0; values.len()];
    lanes::to_single(&mut single, values);
    let mut most = vec![0.0; matrix.ncols()];
    for row in values.chunks_exact(most.len().max(1)) {
        lanes::raise_magnitudes(&mut most, row);
    }
    (single, most)
}

/// For each (y, z) `sum_i unembed[z, i] * relu(left[i] + right[y, i])`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+fma", "x86_64+avx2+fma"))]
fn logits(
    left: &[f32],
    right: &[f32],
    unembed: &[f32],
    places: impl Iterator<Item = (Element, Element)>,
    sums: &mut [f64],
) {
    const LANES: usize = 32;
    let m = left.len();
    let (blocks, rest) = left.as_chunks::<LANES>();
    for ((y, z), sum) in places.zip(sums) {
        let right = &right[y.index() * m..(y.index() + 1) * m];
        let unembed = &unembed[z.index() * m..(z.index() + 1) * m];
        let (right, right_rest) = right.as_chunks::<LANES>();
        let (unembed, unembed_rest) = unembed.as_chunks::<LANES>();
        let mut lanes = [0.0_f32; LANES];
        for ((l, r), u) in blocks.iter().zip(right).zip(unembed) {
            for k in 0..LANES {
                let t = l[k] + r[k];
                lanes[k] += u[k] * if t > 0.0 { t } else { 0.0 };
            }
        }
        let mut tail = 0.0;
        for ((l, r), u) in rest.iter().zip(right_rest).zip(unembed_rest) {
            let t = l + r;
            tail += u * if t > 0.0 { t } else { 0.0 };
        }
        // Halving: a chain of additions would cost more than the products.
        let mut width = LANES / 2;
        while width > 0 {
            for k in 0..width {
                lanes[k] += lanes[k + width];
            }
            width /= 2;
        }
        *sum = f64::from(lanes[0] + tail);
    }
}
