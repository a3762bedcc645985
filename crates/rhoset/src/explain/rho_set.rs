//! rho-sets: finite sets of vectors that an irrep permutes transitively, found among the vectors of the neurons.
//!
//! A rho-set is an orbit `B = {rho(g) t}`, in bijection with the cosets of the stabiliser of t. Each neuron's unit
//! vectors b and c lie near plus or minus a member of some rho-set; neurons with the same sets and signs form a
//! [`RhoSetCircuit`], which is full when it has a neuron for every pair. Wu et al. 2025, section 4.

use ndarray::{Array1, Array2, ArrayView1, s};
use serde::Serialize;

use super::coset::{approximate_stabiliser, projection};
use super::irrep_sparsity::{Family, RankOne};
use crate::group::{Element, Group, Subgroup};
use crate::irrep::{Irrep, Irreps};

/// The share of `|b|^2` that projecting b onto what its stabiliser fixes may cost.
pub const TOLERANCE: f64 = 0.1;

/// Cosine from which on a vector counts as a member of a rho-set.
pub const MEMBER_COSINE: f64 = 0.85;

/// An orbit of a vector under an irrep.
#[derive(Clone, Debug)]
pub struct RhoSet {
    /// Index of the irrep in [`Irreps::real`].
    pub irrep: usize,
    /// A member t, of unit length D, fixed by the stabiliser.
    pub vector: Vec<f64>,
    /// The elements that fix t.
    pub stabiliser: Subgroup,
    /// Whether -t is a member too.
    pub antipodal: bool,
    /// How many of the neurons' vectors b and c lie near a member or its negative.
    pub members: usize,
    /// Mean cosine of those vectors with their members.
    pub cosine: f64,
}

impl RhoSet {
    /// The number of members: the index of the stabiliser.
    pub fn size(&self) -> usize {
        self.stabiliser.index()
    }
}

/// Which member of which rho-set a vector is near: `v ~ sign * rho(element) t`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Place {
    /// Index into the rho-sets.
    pub rho_set: usize,
    /// +1 or -1; always +1 in antipodal sets.
    pub sign: i8,
    /// An element that takes t to the member.
    pub element: Element,
    /// Cosine of the angle to the member.
    pub cosine: f64,
}

/// Neurons whose left and right vectors run through the same two rho-sets with the same signs.
#[derive(Clone, Debug, Serialize)]
pub struct RhoSetCircuit {
    /// Index of the irrep in [`Irreps::real`].
    pub irrep: usize,
    /// Index of the family, for its vector a.
    pub family: usize,
    /// The rho-set of b and its sign.
    pub left: (usize, i8),
    /// The rho-set of c and its sign.
    pub right: (usize, i8),
    /// Whether the neurons' weights are positive: votes for `z = xy` where the neuron is active.
    pub positive: bool,
    /// The neurons, in increasing order.
    pub neurons: Vec<usize>,
    /// Pairs (b, c) that exist.
    pub pairs: usize,
    /// Pairs that have a neuron.
    pub present: usize,
    /// Mean over the present pairs of the summed coefficients (weight times scale squared) of the pair's neurons.
    pub coefficient: f64,
    /// Standard deviation of the coefficients over the present pairs, relative to the mean: 0 is uniform.
    pub spread: f64,
}

impl RhoSetCircuit {
    /// Whether every pair has a neuron.
    pub fn is_full(&self) -> bool {
        self.present == self.pairs
    }
}

/// A neuron's place in a circuit.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PairOfPlaces {
    /// Where b is.
    pub left: Place,
    /// Where c is.
    pub right: Place,
}

/// Vectors of the neurons of one family, two rows a neuron (b, then c), and what to do with them.
pub(crate) struct Search<'a> {
    pub(crate) group: &'a Group,
    pub(crate) irreps: &'a Irreps,
    pub(crate) family: &'a Family,
    pub(crate) neurons: Vec<(usize, &'a RankOne)>,
}

impl Search<'_> {
    /// Finds the rho-sets of a family, appending them to `rho_sets`; the answer has the places of b and c for each
    /// neuron of `self.neurons`, where they have any.
    pub(crate) fn run(&self, rho_sets: &mut Vec<RhoSet>) -> Vec<(Option<Place>, Option<Place>)> {
        let irrep = &self.irreps.real()[self.family.irrep];
        let dimension = irrep.dimension();
        let mut vectors = Array2::zeros((2 * self.neurons.len(), dimension));
        let mut energy = Vec::with_capacity(vectors.nrows());
        for (i, (_, neuron)) in self.neurons.iter().enumerate() {
            vectors.row_mut(2 * i).assign(&ArrayView1::from(&neuron.b));
            vectors.row_mut(2 * i + 1).assign(&ArrayView1::from(&neuron.c));
            // A vector's own precision: what the irrep leaves of the function unexplained blurs it.
            energy.extend([neuron.scale * neuron.fit.left, neuron.scale * neuron.fit.right]);
        }
        // Each vector's own stabiliser; sharply defined ones first.
        let mut candidates: Vec<(usize, Subgroup, f64)> = (0..vectors.nrows())
            .filter(|&i| vectors.row(i).dot(&vectors.row(i)) > 0.5)
            .map(|i| {
                let similarity = similarities(irrep, vectors.row(i));
                let stabiliser = approximate_stabiliser(self.group, &similarity, TOLERANCE);
                let quality = projection(&stabiliser, &similarity);
                (i, stabiliser, quality)
            })
            .collect();
        candidates.sort_by(|p, q| {
            (q.1.order().cmp(&p.1.order()))
                .then(q.2.total_cmp(&p.2))
                .then(p.0.cmp(&q.0))
        });
        let mut places: Vec<Option<Place>> = vec![None; vectors.nrows()];
        for (i, stabiliser, _) in candidates {
            if places[i].is_some() {
                continue;
            }
            let index = rho_sets.len();
            let mut orbit = Orbit::new(self.group, irrep, vectors.row(i).to_owned(), stabiliser);
            let mut near: Vec<(usize, Place)> = Vec::new();
            for _ in 0..3 {
                near = (0..vectors.nrows())
                    .filter(|&j| places[j].is_none())
                    .filter_map(|j| Some((j, orbit.place(index, vectors.row(j))?)))
                    .collect();
                let mut mean = Array1::zeros(dimension);
                for (j, place) in &near {
                    // rho(g)' v ~ sign * t.
                    let pulled = irrep.matrix(place.element).t().dot(&vectors.row(*j));
                    mean.scaled_add(energy[*j] * f64::from(place.sign), &pulled);
                }
                // Less noise may show a larger stabiliser.
                let similarity = similarities(irrep, mean.view());
                let stabiliser = approximate_stabiliser(self.group, &similarity, TOLERANCE / 2.0);
                let stabiliser = if orbit.stabiliser.is_subgroup_of(&stabiliser) {
                    stabiliser
                } else {
                    orbit.stabiliser
                };
                orbit = Orbit::new(self.group, irrep, mean, stabiliser);
            }
            near = (near.iter().map(|(j, _)| *j))
                .filter_map(|j| Some((j, orbit.place(index, vectors.row(j))?)))
                .collect();
            if near.is_empty() {
                continue;
            }
            for (j, place) in &near {
                places[*j] = Some(*place);
            }
            rho_sets.push(RhoSet {
                irrep: self.family.irrep,
                vector: orbit.members.row(0).to_vec(),
                antipodal: orbit.antipodal,
                stabiliser: orbit.stabiliser,
                members: near.len(),
                cosine: near.iter().map(|(_, place)| place.cosine).sum::<f64>() / near.len() as f64,
            });
        }
        places.chunks(2).map(|pair| (pair[0], pair[1])).collect()
    }
}

/// `<rho(g) v, v> / <v, v>` for every g.
fn similarities(irrep: &Irrep, v: ArrayView1<f64>) -> Vec<f64> {
    let size = v.dot(&v);
    super::irrep_sparsity::matrix_coefficient(irrep.matrices(), v, v)
        .iter()
        .map(|s| s / size)
        .collect()
}

/// A rho-set with all its members.
struct Orbit {
    stabiliser: Subgroup,
    antipodal: bool,
    /// One for each member, the identity first.
    elements: Vec<Element>,
    /// `[size, D]`, unit length.
    members: Array2<f64>,
}

impl Orbit {
    /// The orbit of what `stabiliser` fixes of `vector`.
    fn new(group: &Group, irrep: &Irrep, vector: Array1<f64>, stabiliser: Subgroup) -> Self {
        let mut fixed = Array1::<f64>::zeros(vector.len());
        for &h in stabiliser.elements() {
            fixed += &irrep.matrix(h).dot(&vector);
        }
        let size = fixed.dot(&fixed).sqrt();
        if size > 0.0 {
            fixed /= size;
        }
        // Where some g of order two modulo the stabiliser H nearly turns t into -t, the set is {t, -t} times something:
        // make it exactly so.
        let similarity = similarities(irrep, fixed.view());
        let opposite = group
            .elements()
            .filter(|g| {
                similarity[g.index()] <= -1.0 + 2.0 * TOLERANCE
                    && stabiliser.contains(group.mul(*g, *g))
                    && stabiliser
                        .elements()
                        .iter()
                        .all(|&h| stabiliser.contains(group.conjugate(*g, h)))
            })
            .min_by(|g, h| similarity[g.index()].total_cmp(&similarity[h.index()]));
        if let Some(g) = opposite {
            let turned = irrep.matrix(g).dot(&fixed);
            fixed -= &turned;
            fixed /= fixed.dot(&fixed).sqrt();
        }
        let antipodal = opposite.is_some();
        let mut elements = stabiliser.left_cosets(group).representatives().to_vec();
        // The coset of the identity goes first, whatever the labels.
        if let Some(own) = elements.iter().position(|&g| stabiliser.contains(g)) {
            elements[own] = group.identity();
            elements.swap(0, own);
        }
        let mut members = Array2::zeros((elements.len(), vector.len()));
        for (row, &g) in elements.iter().enumerate() {
            members.slice_mut(s![row, ..]).assign(&irrep.matrix(g).dot(&fixed));
        }
        Self {
            stabiliser,
            antipodal,
            elements,
            members,
        }
    }

    /// The nearest member or, in sets that are not antipodal, negative of a member.
    fn place(&self, rho_set: usize, vector: ArrayView1<f64>) -> Option<Place> {
        let cosines = self.members.dot(&vector);
        let signed = |cosine: f64| if self.antipodal { cosine } else { cosine.abs() };
        let (row, &cosine) = cosines
            .iter()
            .enumerate()
            .max_by(|(_, p), (_, q)| signed(**p).total_cmp(&signed(**q)))?;
        (signed(cosine) >= MEMBER_COSINE).then(|| Place {
            rho_set,
            sign: if cosine < 0.0 { -1 } else { 1 },
            element: self.elements[row],
            cosine: signed(cosine),
        })
    }
}

/// Sorts the neurons that have places on both sides into circuits. `descriptions` and `places` have one entry per
/// neuron of the network; the second answer is the neurons' circuits.
pub(crate) fn circuits(
    group: &Group,
    rho_sets: &[RhoSet],
    descriptions: &[Option<RankOne>],
    places: &[Option<PairOfPlaces>],
) -> (Vec<RhoSetCircuit>, Vec<Option<usize>>) {
    let mut circuits: Vec<RhoSetCircuit> = Vec::new();
    let mut circuit_of = vec![None; places.len()];
    for (neuron, (description, place)) in descriptions.iter().zip(places).enumerate() {
        let (Some(description), Some(place)) = (description, place) else {
            continue;
        };
        let left = (place.left.rho_set, place.left.sign);
        let right = (place.right.rho_set, place.right.sign);
        let positive = description.weight >= 0.0;
        let same = |c: &RhoSetCircuit| c.left == left && c.right == right && c.positive == positive;
        let index = circuits.iter().position(same).unwrap_or_else(|| {
            circuits.push(RhoSetCircuit {
                irrep: description.irrep,
                family: description.family,
                left,
                right,
                positive,
                neurons: Vec::new(),
                pairs: rho_sets[left.0].size() * rho_sets[right.0].size(),
                present: 0,
                coefficient: 0.0,
                spread: 0.0,
            });
            circuits.len() - 1
        });
        circuits[index].neurons.push(neuron);
    }
    circuits.sort_by_key(|c| (std::cmp::Reverse(c.neurons.len()), c.neurons.first().copied()));
    for (index, circuit) in circuits.iter_mut().enumerate() {
        circuit
            .neurons
            .iter()
            .for_each(|&neuron| circuit_of[neuron] = Some(index));
        let left = rho_sets[circuit.left.0].stabiliser.left_cosets(group);
        let right = rho_sets[circuit.right.0].stabiliser.left_cosets(group);
        let mut coefficients = std::collections::BTreeMap::<(usize, usize), f64>::new();
        for &neuron in &circuit.neurons {
            let (Some(d), Some(place)) = (&descriptions[neuron], &places[neuron]) else {
                continue;
            };
            let pair = (left.number(place.left.element), right.number(place.right.element));
            *coefficients.entry(pair).or_default() += d.weight * d.scale;
        }
        let count = coefficients.len() as f64;
        let mean = coefficients.values().sum::<f64>() / count;
        let variance = coefficients.values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count;
        circuit.present = coefficients.len();
        circuit.coefficient = mean;
        circuit.spread = if mean == 0.0 { 0.0 } else { variance.sqrt() / mean.abs() };
    }
    (circuits, circuit_of)
}
