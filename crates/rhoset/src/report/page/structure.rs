//! What the neurons do, in the paper's terms: irreps, rho-sets, circuits, and each neuron's place in them.

use ndarray::Array1;
use serde::Serialize;

use super::heat::{HeatMap, base64};
use super::projection::{axes, nearest_pairs};
use super::short;
use crate::explain::{Explanation, Place, RhoSet};
use crate::group::name::SubgroupNames;
use crate::group::{Cosets, Group};
use crate::irrep::Irreps;
use crate::network::Folded;

/// The neurons of one irrep that share their vector a.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IrrepUse {
    /// The irrep's name.
    pub irrep: String,
    /// Its real dimension D.
    pub dimension: usize,
    /// Its Frobenius-Schur type: real, complex or quaternionic.
    pub kind: String,
    /// The number of neurons.
    pub neurons: usize,
    /// Mean share of the neurons' variance that lies in the irrep, 0..1.
    pub share: f64,
    /// Mean R^2 of the rank-one description of left, right and unembedding.
    pub fit: [f64; 3],
    /// How far the neurons' own vectors a are from the common one, 0..1.
    pub variance: f64,
}

/// A rho-set and how to draw it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RhoSetPicture {
    /// The irrep's name.
    pub irrep: String,
    /// Its real dimension D.
    pub dimension: usize,
    /// The stabiliser's name.
    pub stabiliser: String,
    /// Whether the negative of every member is a member.
    pub antipodal: bool,
    /// How many of the neurons' vectors lie near a member or its negative.
    pub near: usize,
    /// Mean cosine of those vectors with their members.
    pub cosine: f64,
    /// The members, unit vectors of length D.
    pub vectors: Vec<Vec<f64>>,
    /// Pairs of members nearest to each other: the edges of the picture.
    pub edges: Vec<(usize, usize)>,
    /// Up to three orthonormal vectors of length D to look along.
    pub axes: Vec<Vec<f64>>,
    /// Base64 of bytes `[n, members]`: which member each group element takes each member to; empty where there are more
    /// than 256.
    pub images: String,
}

/// A circuit: neurons whose vectors b and c run through the same two rho-sets with the same signs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CircuitRow {
    /// Index of the rho-set of b.
    pub left: usize,
    /// +1 or -1: b is near a member, or near the negative of one.
    pub left_sign: i8,
    /// Index of the rho-set of c.
    pub right: usize,
    /// As `left_sign`, of c.
    pub right_sign: i8,
    /// Whether the neurons vote for `z = xy` where they are active.
    pub positive: bool,
    /// The number of neurons.
    pub neurons: usize,
    /// Pairs (b, c) that exist.
    pub pairs: usize,
    /// Pairs that have a neuron.
    pub present: usize,
    /// Mean over the present pairs of the summed weights of their neurons.
    pub weight: f64,
    /// Standard deviation of those sums, relative to the mean.
    pub spread: f64,
}

/// A neuron that does something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NeuronRow {
    /// Its index in the network.
    pub neuron: usize,
    /// The most that it can move two logits apart, relative to the strongest neuron.
    pub reach: f64,
    /// The irrep that holds most of it, where that is more than half.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub irrep: Option<String>,
    /// Index of its circuit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub circuit: Option<usize>,
    /// Which member of the circuit's left rho-set b is near.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<usize>,
    /// Which member of the circuit's right rho-set c is near.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub right: Option<usize>,
    /// Its share of the pair's weight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// b times the circuit's left sign, unit vector of length D.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub b: Option<Vec<f64>>,
    /// c times the circuit's right sign, unit vector of length D.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub c: Option<Vec<f64>>,
}

/// Subgroups on whose cosets neurons are nearly constant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CosetRow {
    /// H of the right cosets `H x` of the left functions.
    pub left: String,
    /// K of the left cosets `y K` of the right functions.
    pub right: String,
    /// The number of neurons.
    pub neurons: usize,
    /// Mean share of variance left after averaging over the cosets, 0..1.
    pub share: f64,
}

/// How a network is made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Structure {
    /// Irreps in use.
    pub irreps: Vec<IrrepUse>,
    /// rho-sets found.
    pub rho_sets: Vec<RhoSetPicture>,
    /// Circuits found, the largest first.
    pub circuits: Vec<CircuitRow>,
    /// Subgroups on whose cosets neurons are nearly constant, the most frequent first.
    pub cosets: Vec<CosetRow>,
    /// Neurons that do something, circuit by circuit, then by the places of b and c; as many as are drawn.
    pub neurons: Vec<NeuronRow>,
    /// Neurons that do something but are not drawn: the weakest of a large network.
    pub omitted: usize,
    /// Neurons that do next to nothing.
    pub dormant: usize,
    /// Left functions, right functions and unembeddings of `neurons`.
    pub heat: [HeatMap; 3],
}

/// Edges that a picture may have.
const MOST_EDGES: usize = 1500;
/// Weights that a heat map may have: what a page can hold and a screen show.
const MOST_WEIGHTS: usize = 400_000;

impl Structure {
    /// Puts an explanation into the terms of the page.
    pub fn new(explanation: &Explanation, network: &Folded, group: &Group, irreps: &Irreps) -> Self {
        let cosets: Vec<Cosets> = (explanation.rho_sets.iter())
            .map(|set| set.stabiliser.left_cosets(group))
            .collect();
        let member = |place: &Place| cosets[place.rho_set].number(place.element);
        let mut active: Vec<usize> = (0..explanation.neurons.len())
            .filter(|&i| !explanation.neurons[i].is_dormant())
            .collect();
        let dormant = explanation.neurons.len() - active.len();
        active.sort_by(|&i, &j| explanation.neurons[j].reach.total_cmp(&explanation.neurons[i].reach));
        let drawn = (MOST_WEIGHTS / group.order().max(1)).max(16).min(active.len());
        let omitted = active.len() - drawn;
        active.truncate(drawn);
        // The neurons of a circuit together, in the order of its pairs; those of none last, irrep by irrep.
        active.sort_by_key(|&i| {
            let neuron = &explanation.neurons[i];
            let place = neuron.place.as_ref().filter(|_| neuron.circuit.is_some());
            (
                neuron.circuit.unwrap_or(usize::MAX),
                place.map(|place| (member(&place.left), member(&place.right))),
                neuron.rank_one.as_ref().map_or(usize::MAX, |vectors| vectors.irrep),
                i,
            )
        });
        let neurons = (active.iter())
            .map(|&i| {
                let neuron = &explanation.neurons[i];
                let vectors = neuron.rank_one.as_ref();
                let mut row = NeuronRow {
                    neuron: i,
                    reach: short(neuron.reach),
                    irrep: vectors.map(|vectors| irreps.real()[vectors.irrep].name().to_owned()),
                    circuit: neuron.circuit,
                    left: None,
                    right: None,
                    weight: None,
                    b: None,
                    c: None,
                };
                if let (Some(vectors), Some(place), Some(_)) = (vectors, &neuron.place, neuron.circuit) {
                    let signed =
                        |v: &[f64], sign: i8| Some(v.iter().map(|t| thousandth(f64::from(sign) * t)).collect());
                    row.left = Some(member(&place.left));
                    row.right = Some(member(&place.right));
                    row.weight = Some(short(vectors.weight * vectors.scale));
                    row.b = signed(&vectors.b, place.left.sign);
                    row.c = signed(&vectors.c, place.right.sign);
                }
                row
            })
            .collect();
        let heat = [
            HeatMap::new(active.iter().map(|&i| network.left.column(i))),
            HeatMap::new(active.iter().map(|&i| network.right.column(i))),
            HeatMap::new(active.iter().map(|&i| network.unembed.row(i))),
        ];
        let mut names = SubgroupNames::default();
        Self {
            irreps: irreps_in_use(explanation, irreps),
            rho_sets: (explanation.rho_sets.iter().zip(&cosets))
                .map(|(set, cosets)| picture(set, cosets, group, irreps, &mut names))
                .collect(),
            circuits: (explanation.circuits.iter())
                .map(|circuit| CircuitRow {
                    left: circuit.left.0,
                    left_sign: circuit.left.1,
                    right: circuit.right.0,
                    right_sign: circuit.right.1,
                    positive: circuit.positive,
                    neurons: circuit.neurons.len(),
                    pairs: circuit.pairs,
                    present: circuit.present,
                    weight: short(circuit.coefficient),
                    spread: short(circuit.spread),
                })
                .collect(),
            cosets: coset_rows(explanation, group, &mut names),
            neurons,
            omitted,
            dormant,
            heat,
        }
    }
}

fn irreps_in_use(explanation: &Explanation, irreps: &Irreps) -> Vec<IrrepUse> {
    let row = |family: &crate::explain::Family| {
        let irrep = &irreps.real()[family.irrep];
        let (mut share, mut fit) = (0.0, [0.0; 3]);
        for &i in &family.neurons {
            let neuron = &explanation.neurons[i];
            share += neuron.share.mean();
            if let Some(vectors) = &neuron.rank_one {
                let parts = [vectors.fit.left, vectors.fit.right, vectors.fit.unembed];
                fit.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
            }
        }
        let count = family.neurons.len() as f64;
        IrrepUse {
            irrep: irrep.name().to_owned(),
            dimension: irrep.dimension(),
            kind: format!("{:?}", irrep.kind()).to_lowercase(),
            neurons: family.neurons.len(),
            share: short(share / count),
            fit: fit.map(|sum| short(sum / count)),
            variance: short(family.variance),
        }
    };
    explanation.families.iter().map(row).collect()
}

fn picture(set: &RhoSet, cosets: &Cosets, group: &Group, irreps: &Irreps, names: &mut SubgroupNames) -> RhoSetPicture {
    let irrep = &irreps.real()[set.irrep];
    let vector = Array1::from(set.vector.clone());
    let representatives = cosets.representatives();
    let exact: Vec<Vec<f64>> = (representatives.iter())
        .map(|&g| irrep.matrix(g).dot(&vector).to_vec())
        .collect();
    let images = if exact.len() <= 256 {
        let image = |g| {
            (representatives.iter())
                .map(move |&p| cosets.number(group.mul(g, p)) as u8)
                .collect::<Vec<_>>()
        };
        base64(&group.elements().flat_map(image).collect::<Vec<_>>())
    } else {
        String::new()
    };
    RhoSetPicture {
        irrep: irrep.name().to_owned(),
        dimension: irrep.dimension(),
        stabiliser: names.of(group, &set.stabiliser),
        antipodal: set.antipodal,
        near: set.members,
        cosine: short(set.cosine),
        edges: nearest_pairs(&exact, MOST_EDGES),
        vectors: exact
            .into_iter()
            .map(|vector| vector.into_iter().map(thousandth).collect())
            .collect(),
        axes: (axes(group, irrep).into_iter())
            .map(|axis| axis.into_iter().map(|t| (t * 1e6).round() / 1e6).collect())
            .collect(),
        images,
    }
}

fn coset_rows(explanation: &Explanation, group: &Group, names: &mut SubgroupNames) -> Vec<CosetRow> {
    let mut rows: Vec<CosetRow> = Vec::new();
    for neuron in explanation.neurons.iter().filter(|neuron| !neuron.is_dormant()) {
        let (left, right) = (&neuron.left_cosets, &neuron.right_cosets);
        let (h, k) = (names.of(group, &left.subgroup), names.of(group, &right.subgroup));
        let share = (left.share + right.share) / 2.0;
        match rows.iter_mut().find(|row| row.left == h && row.right == k) {
            Some(row) => {
                row.neurons += 1;
                row.share += share;
            }
            None => rows.push(CosetRow {
                left: h,
                right: k,
                neurons: 1,
                share,
            }),
        }
    }
    for row in &mut rows {
        row.share = short(row.share / row.neurons as f64);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.neurons));
    rows
}

/// A coordinate to three decimals: a pixel.
fn thousandth(coordinate: f64) -> f64 {
    let rounded = (coordinate * 1e3).round() / 1e3;
    if rounded == 0.0 { 0.0 } else { rounded }
}
