//! Circuits at a checkpoint, so that one can watch them form: which pairs of members have a neuron.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::explain::{Explanation, RhoSet};
use crate::group::name::SubgroupNames;
use crate::group::{Element, Group};
use crate::irrep::Irreps;

/// The circuits over one pair of rho-sets, their signs together.
///
/// Members are in an order that does not depend on the network, so that matrices of one run can be laid on each other: by
/// the elements of their stabilisers, then by their coordinates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Formation {
    /// The irrep's name.
    pub irrep: String,
    /// The stabilisers' names, of b and of c.
    pub stabilisers: [String; 2],
    /// The numbers of members, of b and of c.
    pub sizes: [usize; 2],
    /// The number of neurons.
    pub neurons: usize,
    /// Pairs (b, c) that have a neuron, signs together.
    pub present: usize,
    /// Those pairs: row, column, and a bit for each of ++, +-, -+ and -- (the signs of b and c) that has a neuron; empty
    /// where there are too many to draw.
    pub cells: Vec<[u16; 3]>,
}

/// Matrices of more cells are not drawn.
const MOST_CELLS: usize = 4096;
/// Pairs of rho-sets shown of a checkpoint: those with most neurons.
const MOST_PAIRS: usize = 12;

impl Formation {
    /// The circuits of an explanation, those of most neurons first.
    pub fn all(explanation: &Explanation, group: &Group, irreps: &Irreps) -> Vec<Self> {
        let mut pairs: Vec<(usize, usize, Vec<usize>)> = Vec::new();
        for circuit in &explanation.circuits {
            let [left, right] = [circuit.left.0, circuit.right.0];
            match pairs.iter_mut().find(|(l, r, _)| (*l, *r) == (left, right)) {
                Some((_, _, neurons)) => neurons.extend(&circuit.neurons),
                None => pairs.push((left, right, circuit.neurons.clone())),
            }
        }
        pairs.sort_by_key(|(_, _, neurons)| std::cmp::Reverse(neurons.len()));
        pairs.truncate(MOST_PAIRS);
        let mut ordered: Vec<Option<Members>> = explanation.rho_sets.iter().map(|_| None).collect();
        let mut names = SubgroupNames::default();
        let mut formations = Vec::new();
        for (left, right, neurons) in pairs {
            for index in [left, right] {
                ordered[index].get_or_insert_with(|| Members::new(&explanation.rho_sets[index], group, irreps));
            }
            let members = |index: usize| ordered[index].as_ref().expect("ordered above");
            let mut cells: Vec<[u16; 3]> = Vec::new();
            for &neuron in &neurons {
                let Some(place) = &explanation.neurons[neuron].place else {
                    continue;
                };
                let (row, b) = members(left).at(place.left.element, place.left.sign);
                let (column, c) = members(right).at(place.right.element, place.right.sign);
                let bit = 1 << (2 * u16::from(b < 0) + u16::from(c < 0));
                match cells.iter_mut().find(|cell| cell[..2] == [row, column]) {
                    Some(cell) => cell[2] |= bit,
                    None => cells.push([row, column, bit]),
                }
            }
            cells.sort_unstable();
            let sets = [left, right].map(|index| &explanation.rho_sets[index]);
            let present = cells.len();
            if sets[0].size() * sets[1].size() > MOST_CELLS {
                cells.clear();
            }
            formations.push(Self {
                irrep: irreps.real()[sets[0].irrep].name().to_owned(),
                stabilisers: sets.map(|set| names.of(group, &set.stabiliser)),
                sizes: sets.map(RhoSet::size),
                neurons: neurons.len(),
                present,
                cells,
            });
        }
        formations
    }
}

/// The members of a rho-set in an order of their own.
struct Members {
    cosets: crate::group::Cosets,
    /// The place of each coset.
    places: Vec<u16>,
    /// -1 where the set's sign is turned.
    sign: i8,
}

impl Members {
    fn new(set: &RhoSet, group: &Group, irreps: &Irreps) -> Self {
        let cosets = set.stabiliser.left_cosets(group);
        let irrep = &irreps.real()[set.irrep];
        let vector = ndarray::Array1::from(set.vector.clone());
        let members: Vec<(Vec<Element>, Vec<f64>)> = (cosets.representatives().iter())
            .map(|&g| {
                let mut stabiliser: Vec<Element> = (set.stabiliser.elements().iter())
                    .map(|&h| group.conjugate(g, h))
                    .collect();
                stabiliser.sort_unstable();
                (stabiliser, irrep.matrix(g).dot(&vector).to_vec())
            })
            .collect();
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|&i, &j| {
            let by_stabiliser = members[i].0.cmp(&members[j].0);
            by_stabiliser.then_with(|| descending(&members[i].1, &members[j].1))
        });
        let mut places = vec![0; members.len()];
        (order.iter().enumerate()).for_each(|(place, &coset)| places[coset] = place as u16);
        // A set and its negative are one: the first member's first coordinate decides, and in antipodal sets there is
        // nothing to decide.
        let first = members[order[0]].1.iter().find(|t| t.abs() > 1e-6);
        let turned = !set.antipodal && first.is_some_and(|&t| t < 0.0);
        Self {
            cosets,
            places,
            sign: if turned { -1 } else { 1 },
        }
    }

    fn at(&self, element: Element, sign: i8) -> (u16, i8) {
        (self.places[self.cosets.number(element)], sign * self.sign)
    }
}

/// By the first coordinate that differs, the larger first.
fn descending(a: &[f64], b: &[f64]) -> Ordering {
    let differing = a.iter().zip(b).find(|(s, t)| (**s - **t).abs() > 1e-6);
    differing.map_or(Ordering::Equal, |(s, t)| t.total_cmp(s))
}
