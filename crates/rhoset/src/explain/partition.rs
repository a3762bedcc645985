//! Partitions: neurons that know one input only by a cell of a partition of G.
//!
//! A neuron whose right function is nearly constant on the left cosets of a subgroup needs no more of y than its coset.
//! Training makes most neurons such ones (the stabilisers of rho-sets, Wu et al. 2025, section 4), complete circuits or
//! not. How far functions are from constant, and what a row of logits per cell then saves, is for the verifier to say
//! ([`crate::verify::partition`]); here partitions are found.

use crate::group::{Element, Group, Subgroup};
use crate::network::Folded;
use ndarray::{Array2, ArrayView1};

/// One of the two inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// x.
    Left,
    /// y.
    Right,
}

/// Neurons with one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// `[n]`: the cell of every element.
    pub cells: Vec<u16>,
    /// Which neurons of the network.
    pub neurons: Vec<usize>,
}

/// Partitions for the neurons that matter; others are in no part.
#[derive(Clone, Debug, PartialEq)]
pub struct Partitions {
    /// Which input is known by cells only.
    pub inner: Input,
    /// Neurons by their partitions.
    pub parts: Vec<Part>,
    /// Parts that are looked up together, by their places among the parts.
    pub tables: Vec<Vec<usize>>,
    /// Whether what the cells miss is bounded for every inner element by itself.
    pub pointwise: bool,
}

impl Partitions {
    /// Whether no neuron below m is in two parts, every part is in one table, and every one of n elements has a cell below
    /// n.
    pub fn fits(&self, n: usize, m: usize) -> bool {
        let cells = |part: &Part| part.cells.len() == n && part.cells.iter().all(|&cell| usize::from(cell) < n);
        at_most_once(self.parts.iter().flat_map(|part| &part.neurons), m)
            && at_most_once(self.tables.iter().flatten(), self.parts.len())
            && self.tables.iter().map(Vec::len).sum::<usize>() == self.parts.len()
            && self.parts.iter().all(|part| cells(part) && !part.neurons.is_empty())
            && self.tables.iter().all(|parts| !parts.is_empty())
    }
}

/// Whether the numbers are below `count` and differ.
fn at_most_once<'a>(mut numbers: impl Iterator<Item = &'a usize>, count: usize) -> bool {
    let mut seen = vec![false; count];
    numbers.all(|&i| i < count && !std::mem::replace(&mut seen[i], true))
}

/// How far translations of one input move every neuron's function of it.
pub struct Moved<'a> {
    folded: &'a Folded,
    group: &'a Group,
    inner: Input,
    /// `[m, n]`: the most that translation by every element changes the function, times the neuron's largest unembedding.
    by: Array2<f64>,
    /// `[m]`: bounds on the activations, times the largest unembedding.
    most: Vec<f64>,
}

impl<'a> Moved<'a> {
    /// O(m n^2).
    pub fn new(folded: &'a Folded, group: &'a Group, inner: Input) -> Self {
        let functions = match inner {
            Input::Left => &folded.left,
            Input::Right => &folded.right,
        };
        let mut by = Array2::zeros((folded.neurons(), folded.order()));
        let mut most = Vec::with_capacity(folded.neurons());
        let largest =
            |matrix: &Array2<f64>, i: usize| matrix.column(i).iter().fold(0.0_f64, |most, v| most.max(v.abs()));
        for (i, mut by) in by.rows_mut().into_iter().enumerate() {
            let f: Vec<f64> = functions.column(i).to_vec();
            let weight = folded.unembed.row(i).iter().fold(0.0_f64, |most, u| most.max(u.abs()));
            most.push(weight * (largest(&folded.left, i) + largest(&folded.right, i)));
            for (h, by) in group.elements().zip(&mut by) {
                let moved = |x: Element| match inner {
                    Input::Left => group.mul(h, x),
                    Input::Right => group.mul(x, h),
                };
                let most = group
                    .elements()
                    .fold(0.0_f64, |most, x| most.max((f[moved(x).index()] - f[x.index()]).abs()));
                *by = weight * most;
            }
        }
        Self {
            folded,
            group,
            inner,
            by,
            most,
        }
    }

    /// The most that a neuron can change a logit by.
    pub fn most(&self) -> f64 {
        self.most.iter().fold(0.0, |most, &v| f64::max(most, v))
    }

    /// Cosets of the largest subgroups found that change no logit by more than `tolerance` through one neuron; neurons that
    /// do not at all are left out.
    pub fn partitions(&self, tolerance: f64, pointwise: bool) -> Partitions {
        let group = self.group;
        let mut found: Vec<(Subgroup, Part)> = Vec::new();
        for i in (0..self.folded.neurons()).filter(|&i| self.most[i] > tolerance) {
            let subgroup = self.stabiliser(self.by.row(i), tolerance);
            match found.iter_mut().find(|(other, _)| *other == subgroup) {
                Some((_, part)) => part.neurons.push(i),
                None => {
                    let cosets = match self.inner {
                        Input::Left => subgroup.right_cosets(group),
                        Input::Right => subgroup.left_cosets(group),
                    };
                    let cells = group.elements().map(|x| cosets.number(x) as u16).collect();
                    found.push((
                        subgroup,
                        Part {
                            cells,
                            neurons: vec![i],
                        },
                    ));
                }
            }
        }
        let parts: Vec<Part> = found.into_iter().map(|(_, part)| part).collect();
        Partitions {
            inner: self.inner,
            tables: joined(&parts, group.order()),
            parts,
            pointwise,
        }
    }

    /// A subgroup whose elements all move the function by at most the tolerance, the nearest generators first.
    fn stabiliser(&self, by: ArrayView1<f64>, tolerance: f64) -> Subgroup {
        let mut near: Vec<Element> = self.group.elements().filter(|h| by[h.index()] <= tolerance).collect();
        near.sort_by(|a, b| by[a.index()].total_cmp(&by[b.index()]));
        let mut subgroup = Subgroup::trivial(self.group);
        for h in near {
            if !subgroup.contains(h) {
                let larger = subgroup.extended(self.group, &[h]);
                if larger.elements().iter().all(|k| by[k.index()] <= tolerance) {
                    subgroup = larger;
                }
            }
        }
        subgroup
    }
}

/// Which parts to look up together: two tables become one where making the rows of both costs less than adding them n
/// times.
fn joined(parts: &[Part], n: usize) -> Vec<Vec<usize>> {
    let mut tables: Vec<Rows> = parts.iter().enumerate().map(|(i, part)| Rows::of(i, part)).collect();
    // What joining two would save.
    let gain = |a: &Rows, b: &Rows| a.cost(n) + b.cost(n) - a.with(b).cost(n);
    let mut gains: Vec<Vec<f64>> = Vec::new();
    for (i, table) in tables.iter().enumerate() {
        gains.push(tables[..i].iter().map(|other| gain(table, other)).collect());
    }
    loop {
        let pairs = (0..tables.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let best = pairs.max_by(|&(i, j), &(k, l)| gains[i][j].total_cmp(&gains[k][l]));
        let Some((i, j)) = best.filter(|&(i, j)| gains[i][j] > 0.0) else {
            return tables.into_iter().map(|table| table.parts).collect();
        };
        let other = tables.remove(i);
        gains.remove(i);
        gains.iter_mut().skip(i).for_each(|gains| {
            gains.remove(i);
        });
        tables[j] = tables[j].with(&other);
        for k in 0..tables.len() {
            if k != j {
                gains[k.max(j)][k.min(j)] = gain(&tables[k], &tables[j]);
            }
        }
    }
}

/// The rows of a table.
struct Rows {
    parts: Vec<usize>,
    /// `[n]`: the row of every element, and how many there are.
    row: Vec<usize>,
    count: usize,
}

impl Rows {
    fn of(number: usize, part: &Part) -> Self {
        let cells = part.cells.iter().map(|&cell| usize::from(cell));
        Self::numbered(vec![number], cells.collect())
    }

    /// One for every combination of rows that occurs.
    fn with(&self, other: &Self) -> Self {
        let row = self.row.iter().zip(&other.row).map(|(a, b)| a * other.count + b);
        Self::numbered(self.parts.iter().chain(&other.parts).copied().collect(), row.collect())
    }

    fn numbered(parts: Vec<usize>, mut row: Vec<usize>) -> Self {
        let most = row.iter().max().map_or(0, |most| most + 1);
        let (mut numbers, mut count) = (vec![usize::MAX; most], 0);
        for row in &mut row {
            let number = &mut numbers[*row];
            if *number == usize::MAX {
                *number = count;
                count += 1;
            }
            *row = *number;
        }
        Self { parts, row, count }
    }

    /// In rows of n products: rows to make, from those of the parts, and to add for every inner element.
    fn cost(&self, n: usize) -> f64 {
        1.25 * (self.count * (self.parts.len() + 3)) as f64 + 0.75 * n as f64 + 40.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::spec;
    use crate::network::Activation;
    use ndarray::Array1;

    /// Two neurons over S3 whose right functions are constant on the left cosets of a subgroup of order 2, one that
    /// matters to no logit, and the subgroup.
    fn network() -> (Folded, Group, Subgroup) {
        let group = spec::parse("S3").unwrap();
        let order_two = |g: &Element| *g != group.identity() && group.mul(*g, *g) == group.identity();
        let subgroup = Subgroup::generated(&group, &[group.elements().find(order_two).unwrap()]);
        let cosets = subgroup.left_cosets(&group);
        let folded = Folded {
            left: Array2::from_shape_fn((6, 3), |(x, i)| (x * (i + 1)) as f64),
            right: Array2::from_shape_fn((6, 3), |(y, i)| {
                [1.0, -2.0, 3.0][cosets.number(Element(y as u16))] * (i + 1) as f64
            }),
            unembed: Array2::from_shape_fn((3, 6), |(i, z)| if i < 2 { z as f64 - 2.0 } else { 0.0 }),
            bias: Array1::zeros(6),
            left_error: Array1::zeros(3),
            right_error: Array1::zeros(3),
            activation: Activation::Relu,
        };
        (folded, group, subgroup)
    }

    #[test]
    fn cosets_are_found_where_functions_are_constant_on_them() {
        let (folded, group, subgroup) = network();
        let moved = Moved::new(&folded, &group, Input::Right);
        let found = moved.partitions(1e-9, false);
        assert!(found.fits(6, 3));
        assert_eq!(found.parts.len(), 1, "one partition serves both");
        assert_eq!(found.parts[0].neurons, [0, 1], "the third is left out");
        for y in group.elements() {
            for &h in subgroup.elements() {
                let cell = |y: Element| found.parts[0].cells[y.index()];
                assert_eq!(cell(y), cell(group.mul(y, h)));
            }
        }
        let coarse = moved.partitions(2.0 * moved.most(), false);
        assert!(coarse.parts.is_empty(), "a tolerance of everything leaves no neuron");
        // The left functions take six values.
        let left = Moved::new(&folded, &group, Input::Left).partitions(1e-9, false);
        assert!(left.parts.iter().all(|part| part.cells.iter().max() == Some(&5)));
    }

    #[test]
    fn what_is_no_partition_does_not_fit() {
        let (folded, group, _) = network();
        let good = Moved::new(&folded, &group, Input::Right).partitions(1e-9, false);
        let spoilt = |spoil: &dyn Fn(&mut Partitions)| {
            let mut partitions = good.clone();
            spoil(&mut partitions);
            partitions.fits(6, 3)
        };
        assert!(spoilt(&|_| ()));
        assert!(!spoilt(&|p| p.parts[0].neurons.push(0)), "a neuron twice");
        assert!(!spoilt(&|p| p.parts[0].neurons.push(3)), "no such neuron");
        assert!(!spoilt(&|p| p.parts[0].neurons.clear()), "no neuron");
        assert!(!spoilt(&|p| p.parts[0].cells[2] = 6), "more cells than elements");
        assert!(!spoilt(&|p| p.parts[0].cells.truncate(5)), "an element without a cell");
        assert!(!spoilt(&|p| p.tables.clear()), "a part in no table");
        assert!(!spoilt(&|p| p.tables.push(vec![0])), "a part in two tables");
        assert!(!spoilt(&|p| p.tables.push(Vec::new())), "a table of nothing");
    }
}
