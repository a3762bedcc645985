//! Explanations: irreps and cosets of neurons, rho-sets, idealised networks.
//!
//! [`explain`] reads a network in the terms of Wu et al. 2025: which irrep each neuron lives in, the rank-one vectors of
//! its functions ([`irrep_sparsity`]), the finite sets that those vectors run through ([`rho_set`]), and the cosets on
//! which it is constant ([`coset`]). [`idealised`] turns that into the network it would be if it were the whole truth.
//! Everything here is a search and may be approximate: what it fails to capture is bounded in [`crate::verify`], never
//! assumed away.

pub mod account;
mod cells;
pub mod circuit;
pub mod coset;
pub mod file;
pub mod idealised;
pub mod irrep_sparsity;
pub mod partition;
pub mod rho_set;

use ndarray::{Array1, ArrayView1};
use rayon::prelude::*;

pub use coset::CosetConcentration;
pub use idealised::{CosetExplanation, IdealCircuit, IdealisedError, Member, RhoSetExplanation, idealise};
pub use irrep_sparsity::{Family, Parts, RankOne, Shares};
pub use rho_set::{PairOfPlaces, Place, RhoSet, RhoSetCircuit};

use crate::group::{Element, Group};
use crate::irrep::Irreps;
use crate::network::{Activation, Folded};

/// A network in the paper's terms.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// One for each neuron.
    pub neurons: Vec<Neuron>,
    /// Common vectors a, by irrep.
    pub families: Vec<Family>,
    /// The rho-sets found, by family.
    pub rho_sets: Vec<RhoSet>,
    /// The circuits found, the largest first.
    pub circuits: Vec<RhoSetCircuit>,
}

/// What is known of one neuron.
#[derive(Clone, Debug)]
pub struct Neuron {
    /// The most that the neuron can move any two logits apart, relative to the network's strongest neuron; 0 where it
    /// is never active.
    pub reach: f64,
    /// Share of the variance of left, right and unembedding that lies in the neuron's irrep.
    pub share: Parts<f64>,
    /// The vectors in its irrep; none where the neuron is constant.
    pub rank_one: Option<RankOne>,
    /// Which members of which rho-sets b and c are; none where either is none.
    pub place: Option<PairOfPlaces>,
    /// Index into the circuits, where it is in one.
    pub circuit: Option<usize>,
    /// Right cosets `H x` on which the left function is nearly constant.
    pub left_cosets: CosetConcentration,
    /// Left cosets `y K` on which the right function is nearly constant.
    pub right_cosets: CosetConcentration,
}

/// Share of a neuron's variance from which on it counts as living in its irrep.
pub const IRREP_SHARE: f64 = 0.5;

/// Reach below which a neuron counts as dormant and is not explained: weight decay leaves many such behind.
pub const DORMANT_REACH: f64 = 1e-3;

impl Neuron {
    /// Whether the neuron does next to nothing: reach below [`DORMANT_REACH`].
    pub fn is_dormant(&self) -> bool {
        self.reach < DORMANT_REACH
    }
}

/// Explains a network. Deterministic; parallel over neurons.
///
/// # Panics
/// If the network's order is not the group's.
pub fn explain(network: &Folded, group: &Group, irreps: &Irreps) -> Explanation {
    assert_eq!(network.order(), group.order(), "a network over the group");
    let shares = Shares::new(network, irreps);
    let neurons = network.neurons();
    let reach = reaches(network);
    let dominant: Vec<Option<(usize, Parts<f64>)>> = (0..neurons).map(|i| shares.dominant(i)).collect();

    // Rank-one vectors, irrep by irrep.
    let mut families = Vec::new();
    let mut rank_one: Vec<Option<RankOne>> = vec![None; neurons];
    for irrep in 1..irreps.real().len() {
        let inside: Vec<usize> = (0..neurons)
            .filter(|&i| {
                reach[i] >= DORMANT_REACH
                    && dominant[i].is_some_and(|(k, share)| k == irrep && share.mean() >= IRREP_SHARE)
            })
            .collect();
        if inside.is_empty() {
            continue;
        }
        let described = irrep_sparsity::rank_one(network, irreps, irrep, &inside, &mut families);
        for (i, description) in inside.into_iter().zip(described) {
            rank_one[i] = Some(description);
        }
    }

    // rho-sets, family by family, then circuits.
    let searched: Vec<_> = families
        .par_iter()
        .map(|family| {
            let inside = family.neurons.iter();
            let search = rho_set::Search {
                group,
                irreps,
                family,
                neurons: inside
                    .map(|&i| (i, rank_one[i].as_ref().expect("families list the described")))
                    .collect(),
            };
            let mut rho_sets = Vec::new();
            let places = search.run(&mut rho_sets);
            (rho_sets, places)
        })
        .collect();
    let mut rho_sets = Vec::new();
    let mut places: Vec<Option<PairOfPlaces>> = vec![None; neurons];
    for (family, (found, found_places)) in families.iter().zip(searched) {
        let first = rho_sets.len();
        let shifted = |place: Place| Place {
            rho_set: place.rho_set + first,
            ..place
        };
        for (&i, (left, right)) in family.neurons.iter().zip(found_places) {
            places[i] = left.zip(right).map(|(left, right)| PairOfPlaces {
                left: shifted(left),
                right: shifted(right),
            });
        }
        rho_sets.extend(found);
    }
    let (circuits, circuit_of) = rho_set::circuits(group, &rho_sets, &rank_one, &places);

    let cosets: Vec<(CosetConcentration, CosetConcentration)> = (0..neurons)
        .into_par_iter()
        .map(|i| {
            let left = coset::right_cosets(group, network.left.column(i));
            (left, coset::left_cosets(group, network.right.column(i)))
        })
        .collect();
    let neurons = (rank_one.into_iter().zip(places).zip(cosets).enumerate())
        .map(|(i, ((rank_one, place), (left_cosets, right_cosets)))| Neuron {
            reach: reach[i],
            share: dominant[i].map_or(Parts::default(), |(_, share)| share),
            rank_one,
            place,
            circuit: circuit_of[i],
            left_cosets,
            right_cosets,
        })
        .collect();
    Explanation {
        neurons,
        families,
        rho_sets,
        circuits,
    }
}

/// For each neuron the range of its unembedding times the range of its activation, relative to the largest such product.
fn reaches(network: &Folded) -> Vec<f64> {
    let range = |f: ArrayView1<f64>| {
        let bounds = (f64::INFINITY, f64::NEG_INFINITY);
        f.iter().fold(bounds, |(least, most), &t| (least.min(t), most.max(t)))
    };
    let reach: Vec<f64> = (0..network.neurons())
        .map(|i| {
            let (l, r, u) = (network.left.column(i), network.right.column(i), network.unembed.row(i));
            let ((l0, l1), (r0, r1), (u0, u1)) = (range(l), range(r), range(u));
            let input = match network.activation {
                Activation::Relu => (l1 + r1).max(0.0) - (l0 + r0).max(0.0),
                _ => (l1 + r1) - (l0 + r0),
            };
            input * (u1 - u0)
        })
        .collect();
    let largest = reach.iter().fold(f64::MIN_POSITIVE, |m: f64, &t| m.max(t));
    reach.into_iter().map(|t| t / largest).collect()
}

impl Explanation {
    /// What the coset verifier is told: the cosets of every neuron that is concentrated on both sides.
    pub fn coset_explanation(&self) -> CosetExplanation {
        let elements =
            |cosets: &CosetConcentration| (cosets.subgroup.order() > 1).then(|| cosets.subgroup.elements().to_vec());
        CosetExplanation {
            neurons: (self.neurons.iter())
                .map(|neuron| elements(&neuron.left_cosets).zip(elements(&neuron.right_cosets)))
                .collect(),
        }
    }

    /// What the rho-set verifier is told: every circuit with at least `least` (0..1) of its pairs present, made full and
    /// uniform, fitted to the network. The neurons of the others count as unexplained.
    pub fn rho_set_explanation(
        &self,
        network: &Folded,
        group: &Group,
        irreps: &Irreps,
        least: f64,
    ) -> RhoSetExplanation {
        let mut answer = RhoSetExplanation {
            circuits: Vec::new(),
            members: vec![None; self.neurons.len()],
            offsets: vec![0.0; self.neurons.len()],
            weights: vec![0; self.neurons.len()],
        };
        for circuit in &self.circuits {
            if (circuit.present as f64) < least * circuit.pairs as f64 {
                continue;
            }
            if let Some(ideal) = self.fit(
                circuit,
                answer.circuits.len(),
                network,
                group,
                irreps,
                &mut answer.members,
            ) {
                answer.circuits.push(ideal);
            }
        }
        balance(&mut answer, network, group, irreps);
        answer
    }

    /// The full circuit nearest to its neurons, and their scales.
    fn fit(
        &self,
        circuit: &RhoSetCircuit,
        index: usize,
        network: &Folded,
        group: &Group,
        irreps: &Irreps,
        members: &mut [Option<Member>],
    ) -> Option<IdealCircuit> {
        let (left, right) = (&self.rho_sets[circuit.left.0], &self.rho_sets[circuit.right.0]);
        let described: Vec<(usize, &RankOne, &PairOfPlaces)> = (circuit.neurons.iter())
            .filter_map(|&i| Some((i, self.neurons[i].rank_one.as_ref()?, self.neurons[i].place.as_ref()?)))
            .collect();
        let (mut size_left, mut size_right) = (0.0, 0.0);
        for (_, d, _) in &described {
            size_left += d.scale * d.balance.sqrt();
            size_right += d.scale / d.balance.sqrt();
        }
        let balance = (size_left / size_right).sqrt();
        if !balance.is_finite() || balance <= 0.0 {
            return None;
        }
        let times = |v: &[f64], factor: f64| v.iter().map(|t| t * factor).collect::<Vec<_>>();
        let mut ideal = IdealCircuit {
            irrep: circuit.irrep,
            a: self.families[circuit.family].a.clone(),
            b: times(&left.vector, f64::from(circuit.left.1) * balance),
            c: times(&right.vector, f64::from(circuit.right.1) / balance),
            constant: 0.0,
            coefficient: 1.0,
            left_stabiliser: left.stabiliser.elements().to_vec(),
            right_stabiliser: right.stabiliser.elements().to_vec(),
        };
        let template = ideal.tabulate(index, group, irreps).ok()?;
        let (left_size, right_size) = (template.left.dot(&template.left), template.right.dot(&template.right));
        let unembed_size = template.unembed.dot(&template.unembed);
        let (mut constant, mut total, mut votes) = (0.0, 0.0, 0.0);
        for (i, _, place) in &described {
            let (g, k) = (place.left.element, place.right.element);
            let inverse = group.inv(g);
            let dot = |f: ArrayView1<f64>, ideal: &Array1<f64>, moved: &dyn Fn(Element) -> Element| {
                group
                    .elements()
                    .map(|x| f[x.index()] * ideal[moved(x).index()])
                    .sum::<f64>()
            };
            let scale = (dot(network.left.column(*i), &template.left, &|x| group.mul(inverse, x))
                + dot(network.right.column(*i), &template.right, &|y| group.mul(y, k)))
                / (left_size + right_size);
            if scale.is_nan() || scale <= 0.0 {
                continue;
            }
            let mean = |f: ArrayView1<f64>| f.sum() / f.len() as f64;
            let importance = scale * network.unembed.row(*i).dot(&network.unembed.row(*i)).sqrt();
            constant += importance * (mean(network.left.column(*i)) + mean(network.right.column(*i))) / scale;
            total += importance;
            let unembed = network.unembed.row(*i);
            votes += scale * dot(unembed, &template.unembed, &|z| group.mul(group.mul(inverse, z), k));
            members[*i] = Some(Member {
                circuit: index,
                left: g,
                right: k,
                scale,
            });
        }
        ideal.constant = if total > 0.0 { constant / total } else { 0.0 };
        ideal.coefficient = votes / (unembed_size * circuit.pairs as f64);
        Some(ideal)
    }
}

impl RhoSetExplanation {
    /// The same without one circuit, whose neurons become unexplained.
    ///
    /// # Panics
    /// If there is no such circuit.
    pub fn without(&self, circuit: usize, network: &Folded, group: &Group, irreps: &Irreps) -> Self {
        let mut answer = self.clone();
        answer.circuits.remove(circuit);
        for member in &mut answer.members {
            *member = member.filter(|m| m.circuit != circuit);
            if let Some(member) = member.as_mut().filter(|m| m.circuit > circuit) {
                member.circuit -= 1;
            }
        }
        balance(&mut answer, network, group, irreps);
        answer
    }
}

/// Chooses offsets and weights: the constants nearest to the activations' deviations, and the weights that balance the
/// two sides of the Cauchy-Schwarz inequality. Measured on a sample of the inputs: any choice is sound.
fn balance(explanation: &mut RhoSetExplanation, network: &Folded, group: &Group, irreps: &Irreps) {
    let templates: Vec<_> = (explanation.circuits.iter().enumerate())
        .map(|(index, circuit)| circuit.tabulate(index, group, irreps).ok())
        .collect();
    let order = network.order();
    let step = order.div_ceil(24).max(1);
    let chosen: Vec<(f64, i16)> = (0..network.neurons())
        .into_par_iter()
        .map(|i| {
            let member = explanation.members[i].and_then(|m| Some((m, templates[m.circuit].as_ref()?)));
            let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
            for x in group.elements().step_by(step) {
                let left = network.left[[x.index(), i]];
                let ideal_left = member.map_or(0.0, |(m, t)| t.left[group.mul(group.inv(m.left), x).index()]);
                for y in group.elements() {
                    let mut difference = (left + network.right[[y.index(), i]]).max(0.0);
                    if let Some((m, t)) = member {
                        difference -= m.scale * (ideal_left + t.right[group.mul(y, m.right).index()]).max(0.0);
                    }
                    sum += difference;
                    squares += difference * difference;
                    count += 1.0;
                }
            }
            let mean = sum / count;
            let spread = (squares / count - mean * mean).max(0.0).sqrt();
            let unembed = network.unembed.row(i);
            let average = unembed.sum() / order as f64;
            let votes = (unembed.iter().map(|u| (u - average) * (u - average)).sum::<f64>() / order as f64).sqrt();
            let weight = (votes / spread).sqrt().log2().round();
            (
                mean,
                if weight.is_finite() {
                    weight.clamp(-40.0, 40.0) as i16
                } else {
                    0
                },
            )
        })
        .collect();
    (explanation.offsets, explanation.weights) = chosen.into_iter().unzip();
}
