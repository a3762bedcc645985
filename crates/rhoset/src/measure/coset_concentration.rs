//! Coset concentration: how constant a neuron is on the cosets of a subgroup, `E[var | cosets] / var`.
//!
//! 0 is exactly constant on each coset, 1 knows nothing of them; by the law of total variance the ratio lies between.
//! (Stander et al. 2024 add the cosets' variances up instead of averaging them, which can exceed 1.) Left functions are
//! measured on right cosets `H x`, right functions on left cosets `y K`, as rho-sets predict (Wu et al. 2025, section 5).

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};

use crate::explain::Explanation;
use crate::group::name::SubgroupNames;
use crate::group::{Cosets, Element, Group};
use crate::network::Folded;

/// A neuron and the subgroups on whose cosets it is nearly constant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CosetShare {
    /// The neuron.
    pub neuron: usize,
    /// Structure of the subgroup H of the left function.
    pub left_subgroup: String,
    /// `E[var | H x] / var` of the left function.
    pub left: f64,
    /// Structure of the subgroup K of the right function.
    pub right_subgroup: String,
    /// `E[var | y K] / var` of the right function.
    pub right: f64,
}

/// `E[var | cosets] / var` of a function with one value per element; 0 for a constant.
///
/// # Panics
/// If the cosets are of another group.
pub fn within(f: ArrayView1<f64>, cosets: &Cosets) -> f64 {
    let mut sums = vec![(0.0, 0.0); cosets.count()];
    for (x, &value) in f.iter().enumerate() {
        let sum = &mut sums[cosets.number(Element(x as u16))];
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    let mean = f.sum() / f.len() as f64;
    let (mut inside, mut total) = (0.0, 0.0);
    for (x, &value) in f.iter().enumerate() {
        let (sum, count) = sums[cosets.number(Element(x as u16))];
        inside += (value - sum / count).powi(2);
        total += (value - mean).powi(2);
    }
    // What rounding leaves of a constant is no variance.
    if total > 1e-20 * f.dot(&f) { inside / total } else { 0.0 }
}

/// Every neuron that is not dormant, on the cosets that its explanation names.
pub fn of_neurons(network: &Folded, group: &Group, explanation: &Explanation) -> Vec<CosetShare> {
    let mut names = SubgroupNames::default();
    (explanation.neurons.iter().enumerate())
        .filter(|(_, neuron)| !neuron.is_dormant())
        .map(|(i, neuron)| {
            let (h, k) = (&neuron.left_cosets.subgroup, &neuron.right_cosets.subgroup);
            CosetShare {
                neuron: i,
                left_subgroup: names.of(group, h),
                left: within(network.left.column(i), &h.right_cosets(group)),
                right_subgroup: names.of(group, k),
                right: within(network.right.column(i), &k.left_cosets(group)),
            }
        })
        .collect()
}
