//! Measures: what a network does and what its explanation accounts for, in numbers that describe and prove nothing.
//!
//! One idea per file, each a statistic of the literature: [`equivariance`], [`coset_concentration`], [`variance_of_a`],
//! [`idealised_fit`] (R^2 per tensor), [`ablation`] (losses without, or with nothing but, some neurons),
//! [`irrep`] (Chughtai et al. 2023), [`margin_error`], [`intervention`] (Stander et al. 2024) and [`census`] (over many networks).
//! [`Measures::of`] takes them all of one network. Bounds that hold are in [`crate::verify`].

pub mod ablation;
pub mod census;
pub mod coset_concentration;
pub mod equivariance;
pub mod idealised_fit;
pub mod intervention;
pub mod irrep;
pub mod margin_error;
pub mod variance_of_a;

use serde::{Deserialize, Serialize};

pub use ablation::BlockLosses;
pub use census::{Census, CensusRow};
pub use coset_concentration::CosetShare;
pub use equivariance::{BiEquivariance, Variation};
pub use idealised_fit::{IdealisedFit, TensorLosses};
pub use intervention::{Intervened, Intervention};
pub use irrep::IrrepMeasure;
pub use margin_error::MarginError;

use crate::explain::{self, Explanation, IdealisedError, RhoSetExplanation, idealise};
use crate::group::Group;
use crate::group::name::SubgroupNames;
use crate::irrep::Irreps;
use crate::network::evaluate::Evaluation;
use crate::network::{Activation, Folded, Network};

/// Share of a circuit's pairs (b, c) that must have a neuron for it to be idealised here. The paper asks for all of them;
/// a circuit that lacks one pair of 36 is a circuit none the less.
pub const COMPLETE: f64 = 0.9;

/// Accuracy and loss on all n^2 inputs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// Share of the inputs whose correct logit is strictly the largest.
    pub accuracy: f64,
    /// Mean cross-entropy, in nats.
    pub cross_entropy: f64,
}

impl From<Evaluation> for Performance {
    fn from(evaluation: Evaluation) -> Self {
        Self {
            accuracy: evaluation.accuracy,
            cross_entropy: evaluation.cross_entropy,
        }
    }
}

/// A circuit, and what is lost without it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CircuitMeasure {
    /// Name of the irrep.
    pub irrep: String,
    /// Structure of the stabiliser of the left vector b, such as `S4`.
    pub left_stabiliser: String,
    /// Structure of the stabiliser of the right vector c.
    pub right_stabiliser: String,
    /// Sizes of the two rho-sets.
    pub rho_sets: (usize, usize),
    /// The number of neurons.
    pub neurons: usize,
    /// Pairs (b, c) that have a neuron.
    pub present: usize,
    /// Pairs that exist.
    pub pairs: usize,
    /// Losses without the circuit, with it alone, and with its neurons idealised where it is idealised.
    pub losses: BlockLosses,
}

/// Every measure of one network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measures {
    /// Of the network itself.
    pub original: Performance,
    /// The smallest margin over all inputs; none where the group is trivial.
    pub min_margin: Option<f64>,
    /// Sum of the Euclidean norms of the weight matrices as stored, the bias left out.
    pub norm: f64,
    /// Neurons that are not dormant.
    pub active_neurons: usize,
    /// Neurons in circuits of rho-sets.
    pub circuit_neurons: usize,
    /// Bi-equivariance of the logits.
    pub equivariance: BiEquivariance,
    /// Of the idealised network; none where there is no circuit to idealise.
    pub idealised_equivariance: Option<BiEquivariance>,
    /// Accuracy and loss of the idealised network with all pairs of its circuits.
    pub idealised: Option<Performance>,
    /// R^2 of the idealised tensors; none where the activation is not relu.
    pub fit: Option<IdealisedFit>,
    /// Losses with idealised tensors; none where the activation is not relu.
    pub tensors: Option<TensorLosses>,
    /// By irrep: shares, similarities, losses.
    pub irreps: Vec<IrrepMeasure>,
    /// By circuit, the largest first.
    pub circuits: Vec<CircuitMeasure>,
    /// Coset concentration of every neuron that is not dormant.
    pub cosets: Vec<CosetShare>,
    /// What interventions do.
    pub interventions: Vec<Intervened>,
}

impl Measures {
    /// Measures a network whose explanation is known; about 15 evaluations of all inputs, 2 m n^3 flops each, and for each
    /// irrep and circuit 3 n^3 exponentials. The noise of interventions is drawn from `seed`.
    ///
    /// # Errors
    /// If a circuit of the explanation cannot be tabulated: see [`IdealisedError`].
    ///
    /// # Panics
    /// If network, folded network, group and irreps do not belong together.
    pub fn of(
        network: &Network,
        folded: &Folded,
        group: &Group,
        irreps: &Irreps,
        explanation: &Explanation,
        seed: u64,
    ) -> Result<Self, IdealisedError> {
        let relu = folded.activation == Activation::Relu;
        let ideal = match relu {
            true => explanation.rho_set_explanation(folded, group, irreps, COMPLETE),
            false => RhoSetExplanation {
                members: vec![None; folded.neurons()],
                ..RhoSetExplanation::default()
            },
        };
        let evaluation = Evaluation::of(folded, group);
        let tables = equivariance::Tables::of(folded, group);
        let in_place = idealised_fit::in_place(folded, group, irreps, &ideal)?;
        let complete = match ideal.circuits.is_empty() {
            true => None,
            false => Some(idealise(&ideal, group, irreps)?),
        };

        // One pass for the blocks of neurons, irreps first.
        let irrep_blocks = irrep::neurons(explanation, irreps);
        let circuit_blocks = explanation.circuits.iter().map(|circuit| circuit.neurons.clone());
        let blocks: Vec<Vec<usize>> = (irrep_blocks.iter().map(|(_, neurons)| neurons.clone()))
            .chain(circuit_blocks)
            .collect();
        let mut losses = {
            let xs = ablation::spaced(group, blocks.len());
            ablation::blocks(folded, group, &blocks, relu.then_some(&in_place), &xs).into_iter()
        };
        let irrep_losses: Vec<BlockLosses> = losses.by_ref().take(irrep_blocks.len()).collect();
        let described = irrep_blocks.into_iter().zip(irrep_losses);
        let irreps_measured = irrep::measure(folded, group, irreps, explanation, &tables, described);
        let mut names = SubgroupNames::default();
        let circuits = (explanation.circuits.iter().zip(losses))
            .map(|(circuit, losses)| {
                let [left, right] = [circuit.left.0, circuit.right.0].map(|set| &explanation.rho_sets[set]);
                CircuitMeasure {
                    irrep: irreps.real()[circuit.irrep].name().to_owned(),
                    left_stabiliser: names.of(group, &left.stabiliser),
                    right_stabiliser: names.of(group, &right.stabiliser),
                    rho_sets: (left.size(), right.size()),
                    neurons: circuit.neurons.len(),
                    present: circuit.present,
                    pairs: circuit.pairs,
                    losses,
                }
            })
            .collect();
        Ok(Self {
            original: evaluation.into(),
            min_margin: evaluation.min_margin.is_finite().then_some(evaluation.min_margin),
            norm: norm(network),
            active_neurons: explanation.neurons.iter().filter(|neuron| !neuron.is_dormant()).count(),
            circuit_neurons: explanation.circuits.iter().map(|circuit| circuit.neurons.len()).sum(),
            equivariance: tables.equivariance(),
            idealised_equivariance: complete
                .as_ref()
                .map(|complete| equivariance::Tables::of(complete, group).equivariance()),
            idealised: match &complete {
                Some(_) => Some(idealised_fit::complete_performance(&ideal, group, irreps)?),
                None => None,
            },
            fit: relu.then(|| IdealisedFit::of(folded, &in_place)),
            tensors: relu.then(|| TensorLosses::of(folded, &in_place, group)),
            irreps: irreps_measured,
            circuits,
            cosets: coset_concentration::of_neurons(folded, group, explanation),
            interventions: intervention::all(network, group, seed),
        })
    }

    /// Explains a network and measures it.
    ///
    /// # Errors
    /// As [`Measures::of`].
    ///
    /// # Panics
    /// As [`Measures::of`].
    pub fn explained(
        network: &Network,
        folded: &Folded,
        group: &Group,
        irreps: &Irreps,
        seed: u64,
    ) -> Result<Self, IdealisedError> {
        let explanation = explain::explain(folded, group, irreps);
        Self::of(network, folded, group, irreps, &explanation, seed)
    }
}

/// Sum of the Euclidean norms of the weight matrices as stored, the bias left out: what the paper plots against the
/// variance of a.
pub fn norm(network: &Network) -> f64 {
    let matrices = network.embedding.tensors().into_iter().map(|(_, tensor)| tensor);
    let size = |matrix: &ndarray::Array2<f32>| matrix.iter().map(|&w| f64::from(w) * f64::from(w)).sum::<f64>().sqrt();
    matrices.chain([&network.unembed]).map(size).sum()
}
