//! The cascade: every pair (x, y) decided by the cheapest bound that suffices.

use super::loss::cross_entropy_of_margin;
use super::orbit::{OrbitError, OrbitTier};
use super::rounding::OUTWARD;
use super::spectral::SpectralTier;
use super::{Verification, brute};
use crate::explain::circuit::{Circuits, Kernel};
use crate::group::{Element, Group};
use crate::irrep::Irreps;
use crate::network::{Activation, Folded, Network};
use ndarray::Array2;
use rayon::prelude::*;

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
        // Sound: past the range of float32 an infinite input can hide behind relu (inf - inf, or relu of -inf), so nothing
        // is proved there.
        let in_range = magnitude.iter().all(|&most| most < f64::from(f32::MAX) / 4.0);
        let mut slack = vec![if in_range { 0.0 } else { f64::INFINITY }; n];
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

    /// `[n, n]`: lower bounds on `f(xy | x, y)`; in parallel over x.
    pub fn all(&self, group: &Group) -> Array2<f64> {
        let n = group.order();
        let mut bounds = Array2::zeros((n, n));
        let rows = bounds.as_slice_mut().expect("standard layout");
        rows.par_chunks_mut(n.max(1))
            .enumerate()
            .with_min_len(8)
            .for_each(|(x, row)| self.row(group, Element(x as u16), row));
        bounds
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
            if !bound.is_finite() {
                *bound = f64::NEG_INFINITY;
            }
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

/// Lower bounds on every margin from the orbit tier: correct logit less row bounds.
///
/// # Errors
/// If the circuits speak of neurons or points that do not exist.
pub fn orbit_margins(folded: &Folded, group: &Group, circuits: &Circuits) -> Result<Array2<f64>, OrbitError> {
    let tier = OrbitTier::new(folded, group, circuits)?;
    Ok(margins(group, &tier, CorrectLogits::new(folded).all(group)))
}

/// Correct logits less row bounds, for every pair.
fn margins(group: &Group, tier: &OrbitTier, mut correct: Array2<f64>) -> Array2<f64> {
    let mut bounds = vec![0.0; group.order()];
    for (x, mut row) in group.elements().zip(correct.rows_mut()) {
        tier.row_bounds(x, &mut bounds);
        row.iter_mut().zip(&bounds).for_each(|(margin, bound)| *margin -= bound);
    }
    correct
}

/// How many pairs each tier decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tiers {
    /// Row maxima of the orbit tables: O(1) per pair besides the correct logit.
    pub orbit: usize,
    /// The orbit tables at every z: O(n) per pair.
    pub tables: usize,
    /// Logits in a few irreps: O(mD + nD) per pair.
    pub spectral: usize,
    /// All logits exactly, right or wrong: O(mn) per pair.
    pub exact: usize,
    /// Decided by no tier.
    pub undecided: usize,
}

/// What the cascade proved.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The claim; `seconds` is left at zero.
    pub verification: Verification,
    /// Which tier decided how many pairs.
    pub tiers: Tiers,
}

/// Which circuits the cascade uses: those that save more than they cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// One entry per circuit; all false: the orbit tier is left out.
    pub circuits: Vec<bool>,
}

impl Plan {
    /// Tries all circuits, all but the dear ones, and none, and takes what promises the least time.
    ///
    /// Part of the search for an explanation, not of the verification: the verifier uses any plan soundly.
    ///
    /// # Errors
    /// If the circuits speak of neurons or points that do not exist.
    pub fn new(folded: &Folded, group: &Group, circuits: &Circuits) -> Result<Self, OrbitError> {
        let (n, m) = (folded.order(), folded.neurons());
        let brute = (2 * m * n * n * n) as f64;
        let cost = |i: usize| -> f64 {
            let circuit = &circuits.circuits[i];
            let (a, b) = (circuit.left.len(), circuit.right.len());
            let kernels = circuit.kernels.iter();
            let one_sided = |k: &Kernel| usize::from(k.right.is_some()) * a + usize::from(k.left.is_some()) * b;
            kernels.map(|k| (a * b * (1 + one_sided(k) / 8) * n) as f64).sum()
        };
        let correct_logits = CorrectLogits::new(folded).all(group);
        let mut best = (
            1.0,
            Self {
                circuits: vec![false; circuits.circuits.len()],
            },
        );
        for limit in [f64::INFINITY, 1e-3 * brute, 2e-4 * brute] {
            let chosen: Vec<bool> = (0..circuits.circuits.len()).map(|i| cost(i) <= limit).collect();
            if !chosen.contains(&true) {
                continue;
            }
            // Measured against a matrix product: an entry of a kernel's tables takes the time of 1300 of its flops, an entry
            // of the n x n tables that of 1500.
            let tables: f64 =
                (0..chosen.len()).filter(|&i| chosen[i]).map(cost).sum::<f64>() * 1300.0 + 1500.0 * (n * n) as f64;
            let correct = (4 * m * n * n) as f64 * 4.0;
            if (tables + correct) / brute >= best.0 {
                continue;
            }
            let tier = OrbitTier::with(folded, group, circuits, |i| chosen[i])?;
            let margins = margins(group, &tier, correct_logits.clone());
            let undecided = margins
                .iter()
                .filter(|&&margin| margin.is_nan() || margin <= 0.0)
                .count() as f64;
            let share = (tables + correct) / brute + undecided / (n * n) as f64;
            if share < best.0 {
                best = (share, Self { circuits: chosen });
            }
        }
        Ok(best.1)
    }
}

/// Proves the exact accuracy: orbit tier, then every logit of what it leaves.
///
/// # Errors
/// If the circuits speak of neurons or points that do not exist.
///
/// # Panics
/// If `folded` is not the network's own or `group` has another order.
pub fn cascade(
    network: &Network,
    folded: &Folded,
    group: &Group,
    circuits: &Circuits,
    plan: &Plan,
) -> Result<Outcome, OrbitError> {
    let (n, m) = (folded.order(), folded.neurons());
    if folded.activation != Activation::Relu || !plan.circuits.contains(&true) {
        let verification = brute::verify(network, folded, group);
        return Ok(Outcome {
            verification,
            tiers: Tiers {
                exact: n * n,
                ..Tiers::default()
            },
        });
    }
    let chosen = |i: usize| plan.circuits.get(i).copied().unwrap_or(false);
    let (tier, correct) = rayon::join(
        || OrbitTier::with(folded, group, circuits, chosen),
        || CorrectLogits::new(folded).all(group),
    );
    let tier = tier?;
    let tables = tier.flops;
    let margins = margins(group, &tier, correct);
    let undecided = pairs_where(&margins, |margin| margin.is_nan() || margin <= 0.0);
    let mut right = n * n - undecided.len();
    if !undecided.is_empty() {
        let decided = brute::Brute::new(network, folded, group).decide(&undecided);
        right += decided.into_iter().filter(|&is_right| is_right).count();
    }
    let flops = tables + (4 * m * n * n + 2 * m * n * undecided.len()) as u64;
    let tiers = Tiers {
        orbit: n * n - undecided.len(),
        exact: undecided.len(),
        ..Tiers::default()
    };
    Ok(Outcome {
        verification: Verification::new(n * n, right, flops),
        tiers,
    })
}

/// Proves what the explanation alone proves: orbit tier, then its tables at every z, then logits in a few irreps. No
/// logit but the correct one is evaluated exactly. Bounds the loss as well.
///
/// # Errors
/// If the circuits speak of neurons or points that do not exist.
pub fn explained(folded: &Folded, group: &Group, circuits: &Circuits, irreps: &Irreps) -> Result<Outcome, OrbitError> {
    let (n, m) = (folded.order(), folded.neurons());
    let mut tiers = Tiers::default();
    let (mut bounds, mut flops);
    if folded.activation == Activation::Relu {
        let tier = OrbitTier::new(folded, group, circuits)?;
        let logits = CorrectLogits::new(folded);
        bounds = margins(group, &tier, logits.all(group));
        flops = tier.flops + (4 * m * n * n) as u64;
        let undecided = |margin: f64| margin.is_nan() || margin <= 0.0;
        tiers.orbit = bounds.iter().filter(|&&margin| !undecided(margin)).count();
        // A look at every z pays only where the row maxima were not hopeless.
        if 20 * tiers.orbit >= n * n {
            let mut correct = vec![0.0; n];
            for x in group.elements() {
                let row = bounds.row_mut(x.index()).into_slice().expect("standard layout");
                if !row.iter().any(|&margin| undecided(margin)) {
                    continue;
                }
                logits.row(group, x, &mut correct);
                for y in group
                    .elements()
                    .filter(|y| undecided(row[y.index()]))
                    .collect::<Vec<_>>()
                {
                    row[y.index()] = correct[y.index()] - tier.pair_bound(group, x, y);
                    tiers.tables += usize::from(row[y.index()] > 0.0);
                    flops += 5 * n as u64;
                }
            }
        }
    } else {
        bounds = Array2::from_elem((n, n), f64::NEG_INFINITY);
        flops = 0;
    }
    let undecided = pairs_where(&bounds, |margin| margin.is_nan() || margin <= 0.0);
    if !undecided.is_empty() {
        let tier = SpectralTier::new(folded, group, irreps, SPECTRAL_ENERGY);
        let found: Vec<(Element, Vec<Element>, Vec<f64>)> = group
            .elements()
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|x| {
                let ys: Vec<Element> = undecided.iter().filter(|(a, _)| *a == x).map(|&(_, y)| y).collect();
                let margins = tier.margins(group, x, &ys);
                (x, ys, margins)
            })
            .collect();
        for (x, ys, margins) in found {
            for (y, margin) in ys.into_iter().zip(margins) {
                let bound = &mut bounds[[x.index(), y.index()]];
                *bound = if *bound >= margin { *bound } else { margin };
                tiers.spectral += usize::from(*bound > 0.0);
            }
        }
        flops += tier.table_flops() + undecided.len() as u64 * tier.pair_flops();
    }
    tiers.undecided = bounds
        .iter()
        .filter(|&&margin| margin.is_nan() || margin <= 0.0)
        .count();
    let mut verification = Verification::new(n * n, n * n - tiers.undecided, flops);
    let loss: f64 = bounds.iter().map(|&margin| cross_entropy_of_margin(margin, n)).sum();
    verification.cross_entropy_bound = Some(loss / (n * n) as f64 * OUTWARD).filter(|bound| bound.is_finite());
    Ok(Outcome { verification, tiers })
}

/// Share of the scaled unembedding that the irreps of the spectral tier carry.
const SPECTRAL_ENERGY: f64 = 0.995;

fn pairs_where(margins: &Array2<f64>, predicate: impl Fn(f64) -> bool) -> Vec<(Element, Element)> {
    margins
        .indexed_iter()
        .filter(|&(_, &margin)| predicate(margin))
        .map(|((x, y), _)| (Element(x as u16), Element(y as u16)))
        .collect()
}
