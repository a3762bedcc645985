//! Idealised fit: how much of each tensor the rho-set explanation accounts for, and what the loss becomes with it.
//!
//! Each neuron of a circuit is replaced by its circuit's function, moved to the neuron's pair and scaled; every other
//! neuron by a constant. Wu et al. 2025, section 4: "R^2 of the idealised network", and loss by idealised tensor.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use super::Performance;
use crate::explain::idealised::{Template, table};
use crate::explain::{IdealisedError, Parts, RhoSetExplanation};
use crate::group::{Element, Group};
use crate::irrep::Irreps;
use crate::network::Folded;
use crate::network::evaluate::{Evaluation, cross_entropy, margin};

/// The neurons of the network with their idealised functions, without bias; the same shapes.
///
/// A member's left and right functions are its circuit's, times its scale, with the two constants (of which only the sum
/// is determined) shifted alike. The neurons of one pair share their circuit's unembedding in proportion to their own.
///
/// # Errors
/// If a circuit cannot be tabulated.
pub fn in_place(
    network: &Folded,
    group: &Group,
    irreps: &Irreps,
    explanation: &RhoSetExplanation,
) -> Result<Folded, IdealisedError> {
    let templates = (explanation.circuits.iter().enumerate())
        .map(|(index, circuit)| circuit.tabulate(index, group, irreps))
        .collect::<Result<Vec<Template>, _>>()?;
    let mean = |f: ArrayView1<f64>| f.sum() / f.len() as f64;
    let mut ideal = Folded {
        left: Array2::zeros(network.left.dim()),
        right: Array2::zeros(network.right.dim()),
        unembed: Array2::zeros(network.unembed.dim()),
        bias: Array1::zeros(network.order()),
        left_error: Array1::zeros(network.neurons()),
        right_error: Array1::zeros(network.neurons()),
        activation: network.activation,
    };
    // How strongly each member votes as its circuit does, and all members of its pair together.
    let vote = |i: usize| {
        let member = explanation.members[i]?;
        let gamma = &templates[member.circuit].unembed;
        let size = gamma.dot(gamma);
        let product = (group.elements())
            .map(|z| network.unembed[[i, z.index()]] * gamma[moved(group, member.left, z, member.right).index()]);
        (size > 0.0).then(|| member.scale * product.sum::<f64>() / size)
    };
    let votes: Vec<f64> = (0..network.neurons()).map(|i| vote(i).unwrap_or(0.0)).collect();
    let mut pairs: Vec<Vec<f64>> = templates.iter().map(|template| vec![0.0; template.pairs()]).collect();
    for (member, vote) in explanation.members.iter().zip(&votes) {
        if let Some(member) = member {
            pairs[member.circuit][templates[member.circuit].pair(member.left, member.right)] += vote;
        }
    }
    for i in 0..network.neurons() {
        let (left, right) = (mean(network.left.column(i)), mean(network.right.column(i)));
        let Some(member) = explanation.members[i] else {
            ideal.left.column_mut(i).fill(left);
            ideal.right.column_mut(i).fill(right);
            continue;
        };
        let template = &templates[member.circuit];
        let (phi, psi) = (mean(template.left.view()), mean(template.right.view()));
        let shift = (member.scale * (phi + psi) - left - right) / 2.0;
        let total = pairs[member.circuit][template.pair(member.left, member.right)];
        // Where the pair's votes cancel, nobody has a share.
        let share = if total.abs() > 1e-12 {
            votes[i] / total / member.scale
        } else {
            0.0
        };
        let inverse = group.inv(member.left);
        for x in group.elements() {
            ideal.left[[x.index(), i]] =
                left + shift + member.scale * (template.left[group.mul(inverse, x).index()] - phi);
            ideal.right[[x.index(), i]] =
                right + shift + member.scale * (template.right[group.mul(x, member.right).index()] - psi);
            ideal.unembed[[i, x.index()]] =
                share * template.unembed[moved(group, member.left, x, member.right).index()];
        }
    }
    Ok(ideal)
}

/// `g^-1 z k`.
fn moved(group: &Group, g: Element, z: Element, k: Element) -> Element {
    group.mul(group.mul(group.inv(g), z), k)
}

/// R^2 of each tensor, all neurons together; each neuron's function is taken about its mean. 1 where the explanation
/// accounts for everything, 0 where for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdealisedFit {
    /// Of left, right and unembedding over all neurons.
    pub all: Parts<f64>,
    /// The same over the neurons of idealised circuits alone; none where there are none.
    pub members: Option<Parts<f64>>,
    /// Share of the variance of the left functions that neurons of idealised circuits have.
    pub explained: f64,
}

impl IdealisedFit {
    /// Compares a network with the idealised functions of its neurons ([`in_place`]).
    pub fn of(network: &Folded, ideal: &Folded) -> Self {
        let members: Vec<usize> = (0..network.neurons())
            .filter(|&i| ideal.unembed.row(i).iter().any(|&u| u != 0.0))
            .collect();
        let everyone: Vec<usize> = (0..network.neurons()).collect();
        let fit = |neurons: &[usize]| Parts {
            left: r_squared(network.left.t(), ideal.left.t(), neurons).0,
            right: r_squared(network.right.t(), ideal.right.t(), neurons).0,
            unembed: r_squared(network.unembed.view(), ideal.unembed.view(), neurons).0,
        };
        let variance = |neurons: &[usize]| r_squared(network.left.t(), ideal.left.t(), neurons).1;
        let total = variance(&everyone);
        Self {
            all: fit(&everyone),
            members: (!members.is_empty()).then(|| fit(&members)),
            explained: if total > 0.0 { variance(&members) / total } else { 0.0 },
        }
    }
}

/// R^2 and total variance of some rows, each about its mean.
fn r_squared(functions: ArrayView2<f64>, ideal: ArrayView2<f64>, rows: &[usize]) -> (f64, f64) {
    let (mut unexplained, mut total) = (0.0, 0.0);
    for &i in rows {
        let (f, g) = (functions.row(i), ideal.row(i));
        let (mean_f, mean_g) = (f.sum() / f.len() as f64, g.sum() / g.len() as f64);
        for (f, g) in f.iter().zip(g) {
            unexplained += (f - mean_f - g + mean_g).powi(2);
            total += (f - mean_f).powi(2);
        }
    }
    (if total > 0.0 { 1.0 - unexplained / total } else { 0.0 }, total)
}

/// Losses with tensors replaced by their idealised values, the bias kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorLosses {
    /// Left embeddings replaced.
    pub left: Performance,
    /// Right embeddings replaced.
    pub right: Performance,
    /// Unembedding replaced.
    pub unembed: Performance,
    /// All three replaced.
    pub all: Performance,
}

impl TensorLosses {
    /// Four evaluations of all inputs.
    ///
    /// # Panics
    /// If the network's order is not the group's, or `ideal` has another shape.
    pub fn of(network: &Folded, ideal: &Folded, group: &Group) -> Self {
        let with = |change: &dyn Fn(&mut Folded)| {
            let mut changed = network.clone();
            change(&mut changed);
            Evaluation::of(&changed, group).into()
        };
        Self {
            left: with(&|changed| changed.left.assign(&ideal.left)),
            right: with(&|changed| changed.right.assign(&ideal.right)),
            unembed: with(&|changed| changed.unembed.assign(&ideal.unembed)),
            all: with(&|changed| {
                changed.left.assign(&ideal.left);
                changed.right.assign(&ideal.right);
                changed.unembed.assign(&ideal.unembed);
            }),
        }
    }
}

/// Accuracy and loss of the idealised network with all pairs of its circuits: it is bi-equivariant, so one input says it
/// of all.
///
/// # Errors
/// If a circuit cannot be tabulated.
pub fn complete_performance(
    explanation: &RhoSetExplanation,
    group: &Group,
    irreps: &Irreps,
) -> Result<Performance, IdealisedError> {
    let logits = table(explanation, group, irreps)?;
    let correct = group.identity();
    Ok(Performance {
        accuracy: if margin(logits.view(), correct) > 0.0 { 1.0 } else { 0.0 },
        cross_entropy: cross_entropy(logits.view(), correct),
    })
}
