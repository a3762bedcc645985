//! The cascade: every pair (x, y) decided by the cheapest bound that suffices.

use super::orbit::{OrbitError, OrbitTier};
use crate::explain::circuit::Circuits;
use crate::group::{Element, Group};
use crate::network::Folded;
use ndarray::Array2;

/// The correct logits `f(xy | x, y)` from below: one dot product of length m per pair, in float32 with its rounding bounded.
pub struct CorrectLogits {
    left: Array2<f32>,
    right: Array2<f32>,
    unembed: Array2<f32>,
    bias: Vec<f64>,
    slack: Vec<f64>,
}

impl CorrectLogits {
    /// Transposes the unembedding and rounds to float32.
    pub fn new(folded: &Folded) -> Self {
        let (n, m) = (folded.order(), folded.neurons());
        let mut magnitude = vec![0.0; m];
        for matrix in [&folded.left, &folded.right] {
            let mut most = vec![0.0_f64; m];
            for row in matrix.rows() {
                row.iter()
                    .zip(&mut most)
                    .for_each(|(v, most)| *most = if v.abs() > *most { v.abs() } else { *most });
            }
            most.iter().zip(&mut magnitude).for_each(|(most, sum)| *sum += most);
        }
        let mut slack = vec![0.0; n];
        let mut unembed = Array2::zeros((n, m));
        // gamma_{m + 8} in float32: rounding l and r, their sum, and m products in any order; the last term is underflow.
        let gamma = (m + 8) as f64 * f64::from(f32::EPSILON);
        for i in 0..m {
            let error = folded.left_error[i] + folded.right_error[i] + gamma * magnitude[i];
            for (z, &u) in folded.unembed.row(i).iter().enumerate() {
                slack[z] += u.abs() * error;
                unembed[[z, i]] = u as f32;
            }
        }
        slack.iter_mut().for_each(|s| *s = *s * (1.0 + 1e-9) + 1e-30 * m as f64);
        Self {
            left: folded.left.mapv(|v| v as f32),
            right: folded.right.mapv(|v| v as f32),
            unembed,
            bias: folded.bias.to_vec(),
            slack,
        }
    }

    /// Lower bounds on `f(xy | x, y)` for every y.
    pub fn row(&self, group: &Group, x: Element, bounds: &mut [f64]) {
        let left = self.left.row(x.index());
        let left = left.as_slice().expect("standard layout");
        let right = self.right.as_slice().expect("standard layout");
        let unembed = self.unembed.as_slice().expect("standard layout");
        correct_logits(left, right, unembed, group.row(x), bounds);
        for (&z, bound) in group.row(x).iter().zip(bounds.iter_mut()) {
            *bound += self.bias[z.index()];
            *bound -= self.slack[z.index()] + 1e-12 * bound.abs();
        }
    }
}

/// `sums[y] = sum_i unembed[products[y]][i] * relu(left[i] + right[y][i])`.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw+fma", "x86_64+avx2+fma"))]
fn correct_logits(left: &[f32], right: &[f32], unembed: &[f32], products: &[Element], sums: &mut [f64]) {
    const LANES: usize = 32;
    let m = left.len();
    for ((right, product), sum) in right.chunks_exact(m.max(1)).zip(products).zip(sums) {
        let unembed = &unembed[product.index() * m..(product.index() + 1) * m];
        let mut lanes = [0.0_f32; LANES];
        let blocks = m / LANES * LANES;
        for start in (0..blocks).step_by(LANES) {
            let (l, r, u) = (
                &left[start..start + LANES],
                &right[start..start + LANES],
                &unembed[start..start + LANES],
            );
            for k in 0..LANES {
                let t = l[k] + r[k];
                lanes[k] += u[k] * if t > 0.0 { t } else { 0.0 };
            }
        }
        let mut tail = 0.0;
        for k in blocks..m {
            tail += unembed[k] * (left[k] + right[k]).max(0.0);
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

/// What the orbit tier and the correct logits prove.
pub struct Decided {
    /// `[n, n]`: lower bounds on the margin.
    pub margins: Array2<f64>,
    /// Flops spent.
    pub flops: u64,
}

/// Lower bounds on every margin from the orbit tier: correct logit less row bounds.
///
/// # Errors
/// If the circuits speak of neurons or points that do not exist.
pub fn orbit_margins(folded: &Folded, group: &Group, circuits: &Circuits) -> Result<Decided, OrbitError> {
    let n = folded.order();
    let tier = OrbitTier::new(folded, group, circuits)?;
    let logits = CorrectLogits::new(folded);
    let mut margins = Array2::zeros((n, n));
    let mut bounds = vec![0.0; n];
    for x in group.elements() {
        tier.row_bounds(x, &mut bounds);
        let mut row = margins.row_mut(x.index());
        let row = row.as_slice_mut().expect("standard layout");
        logits.row(group, x, row);
        row.iter_mut().zip(&bounds).for_each(|(margin, bound)| *margin -= bound);
    }
    Ok(Decided {
        margins,
        flops: tier.flops + (4 * n * n * folded.neurons()) as u64,
    })
}
