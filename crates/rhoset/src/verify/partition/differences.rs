//! What the cells miss, for every inner element by itself (`docs/soundness.md`, Theorem 8 b).

use super::BLOCK;
use super::counted::{Counted, Matrices};
use crate::network::Activation;
use crate::verify::fixed::{self, Fixed};
use crate::verify::units::{self, Wide};
use multiversion::multiversion;
use rayon::prelude::*;

/// What the cells miss, for every inner element by itself: `relu(t + d) - relu(t)` is `d/2`, up to `|d|/2`, and the first is
/// summed with its sign.
pub(super) struct Differences {
    /// Nothing is known of the sign for the absolute value.
    signed: Option<Fixed>,
    magnitudes: Fixed,
    /// `[k]`: how many steps of the difference there are in one.
    per: Vec<f64>,
    stride: usize,
}

impl Differences {
    pub(super) fn new(network: &Matrices, counted: &[Counted], scale: f64) -> Self {
        let steps: Vec<f64> = counted
            .iter()
            .flat_map(|part| &part.off)
            .map(|&off| fixed::step(off))
            .collect();
        let neurons: Vec<usize> = counted.iter().flat_map(|part| &part.part.neurons).copied().collect();
        let halves = network.activation == Activation::Relu;
        let scale = if halves { 0.5 * scale } else { scale };
        let signed = Fixed::new(network.order, &steps, |i| network.unembed(neurons[i]), scale);
        Self {
            magnitudes: signed.magnitudes(),
            signed: halves.then_some(signed),
            stride: steps.len().next_multiple_of(fixed::PADDING),
            per: steps.into_iter().map(|step| 1.0 / step).collect(),
        }
    }

    pub(super) fn neurons(&self) -> usize {
        self.per.len()
    }

    pub(super) fn error(&self) -> f64 {
        self.magnitudes.error() + self.signed.as_ref().map_or(0.0, Fixed::error)
    }

    /// `[n, width]`, from above and from below, with these for all elements.
    pub(super) fn bounds(
        &self,
        counted: &[Counted],
        n: usize,
        (upper, lower): (&[Wide], &[Wide]),
    ) -> (Vec<Wide>, Vec<Wide>) {
        let width = upper.len();
        let (mut above, mut below) = (vec![Wide::ZERO; n * width], vec![Wide::ZERO; n * width]);
        let elements: Vec<usize> = (0..n).collect();
        elements
            .par_chunks(BLOCK)
            .zip(above.par_chunks_mut(BLOCK * width))
            .zip(below.par_chunks_mut(BLOCK * width))
            .for_each(|((elements, above), below)| {
                let mut differences = vec![0; elements.len() * self.stride];
                for (&y, row) in elements.iter().zip(differences.chunks_exact_mut(self.stride)) {
                    let mut start = 0;
                    for part in counted {
                        let count = part.steps.len();
                        let here = start..start + count;
                        in_steps(
                            &mut row[here.clone()],
                            &part.inner[y * count..][..count],
                            &part.values[usize::from(part.part.cells[y]) * part.stride..][..count],
                            &part.steps,
                            &self.per[here],
                        );
                        start += count;
                    }
                }
                match &self.signed {
                    Some(signed) => signed.multiply(&differences, 0..width, above),
                    None => above.fill(Wide::ZERO),
                }
                differences
                    .iter_mut()
                    .for_each(|difference| *difference = difference.abs());
                self.magnitudes.multiply(&differences, 0..width, below);
                for (above, below) in above.chunks_exact_mut(width).zip(below.chunks_exact_mut(width)) {
                    units::widen(above, below, upper, lower);
                }
            });
        (above, below)
    }
}

/// Differences of the inner function from its values on the cells, in steps of their own.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2"))]
fn in_steps(differences: &mut [i16], inner: &[f64], values: &[i16], steps: &[f64], per: &[f64]) {
    let of_cells = values.iter().zip(steps).map(|(&value, step)| f64::from(value) * step);
    for (((difference, of_cell), inner), &per) in differences.iter_mut().zip(of_cells).zip(inner).zip(per) {
        *difference = fixed::in_steps(inner - of_cell, per);
    }
}
