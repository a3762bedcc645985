//! Partitions: neurons that know one input only by a cell of a partition of G.
//!
//! A neuron whose right function is nearly constant on the left cosets of a subgroup needs no more of y than its coset.
//! Training makes most neurons such ones (the stabilisers of rho-sets, Wu et al. 2025, section 4), complete circuits or
//! not. Over cyclic groups arcs of a circle do what cosets cannot. How far functions are from constant, and what a row of
//! logits per cell then saves, is for the verifier to say ([`crate::verify::partition`]); here partitions are found.

use crate::explain::cells;
use crate::group::{Element, Group, Subgroup};
use crate::network::{Activation, Folded};
use ndarray::{ArrayView1, ArrayView2, Axis};
use std::collections::HashMap;

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
    /// How many logits of a row are formed at once: as many as keep the rows within a core's own memory.
    pub panel: usize,
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

    /// The neurons below m that no part has.
    pub(crate) fn neurons_in_no_part(&self, m: usize) -> Vec<usize> {
        let mut outside = vec![true; m];
        for &i in self.parts.iter().flat_map(|part| &part.neurons) {
            outside[i] = false;
        }
        (0..m).filter(|&i| outside[i]).collect()
    }
}

/// Whether the numbers are below `count` and differ.
fn at_most_once<'a>(mut numbers: impl Iterator<Item = &'a usize>, count: usize) -> bool {
    let mut seen = vec![false; count];
    numbers.all(|&i| i < count && !std::mem::replace(&mut seen[i], true))
}

/// What every neuron may take for the partition of one input: cosets of a subgroup that moves its function little, or cells
/// of inputs that it and neurons like it hardly tell apart.
pub struct Choices {
    order: usize,
    inner: Input,
    /// Every partition once, and its number.
    partitions: Vec<Vec<u16>>,
    numbers: HashMap<Vec<u16>, usize>,
    /// By neuron, cosets.
    cosets: Vec<Vec<Choice>>,
    /// By set of neurons and number of cells, what each of them may take if all do.
    shared: Vec<Vec<Vec<(usize, Choice)>>>,
    /// `[m]`: what leaving a neuron out misses of a logit of usual size.
    left_out: Vec<f64>,
    /// The most that a neuron can change a logit by.
    most: f64,
}

/// A partition for a neuron.
#[derive(Clone, Copy)]
struct Choice {
    partition: usize,
    cells: usize,
    /// What the cells miss of a logit of usual size: at most, and on average over the input.
    at_most: f64,
    on_average: f64,
}

/// Shares of the most that a translation moves a function by, at which its stabiliser is looked for.
const TOLERANCES: [f64; 14] = [
    1.0, 0.7, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.01, 0.0,
];

/// Numbers of cells that neurons may share.
const COUNTS: [usize; 14] = [2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64];

/// Neurons are not compared where that takes more multiplications.
const MOST_PRODUCTS: usize = 1_000_000_000;

impl Choices {
    /// O(m n^2) and closures of subgroups; O(m^2 n^2) to compare neurons with one another, where that is not too much.
    pub fn new(folded: &Folded, group: &Group, inner: Input) -> Self {
        let functions = match inner {
            Input::Left => &folded.left,
            Input::Right => &folded.right,
        };
        let (n, m) = (folded.order(), folded.neurons());
        let mut choices = Self {
            order: n,
            inner,
            partitions: Vec::new(),
            numbers: HashMap::new(),
            cosets: Vec::with_capacity(m),
            shared: Vec::new(),
            left_out: Vec::with_capacity(m),
            most: 0.0,
        };
        let range = |values: ArrayView1<f64>| {
            let range = (f64::INFINITY, f64::NEG_INFINITY);
            values
                .iter()
                .fold(range, |(least, most), &v| (least.min(v), most.max(v)))
        };
        // What the functions are worth of a logit of usual size.
        let mut worth = functions.clone();
        for i in 0..m {
            let unembed = folded.unembed.row(i);
            let usual = (unembed.dot(&unembed) / n as f64).sqrt();
            let (left, right) = (range(folded.left.column(i)), range(folded.right.column(i)));
            let largest = largest_activation(folded.activation, left.0 + right.0, left.1 + right.1);
            let (low, high) = range(unembed);
            choices.most = f64::max(choices.most, high.max(-low) * largest);
            choices.left_out.push(usual * largest);
            worth.column_mut(i).mapv_inplace(|value| value * usual);
            let function: Vec<f64> = worth.column(i).to_vec();
            let by = moved(&function, group, inner);
            let farthest = by.iter().fold(0.0, |most: f64, &v| most.max(v));
            let mut subgroups: Vec<Subgroup> = Vec::new();
            for share in TOLERANCES {
                let subgroup = stabiliser(group, &by, share * farthest);
                if !subgroups.contains(&subgroup) {
                    subgroups.push(subgroup);
                }
            }
            let cosets = subgroups.iter().map(|subgroup| {
                let partition = choices.numbered(cosets(group, inner, subgroup));
                choices.choice(partition, &function)
            });
            let cosets = cosets.collect();
            choices.cosets.push(cosets);
        }
        if m * m * n * n <= MOST_PRODUCTS {
            choices.share(worth.view(), group);
        }
        choices
    }

    /// Cells for neurons that are alike; `functions` is `[n, m]`.
    fn share(&mut self, functions: ArrayView2<f64>, group: &Group) {
        for set in cells::alike(functions, group, self.inner) {
            let points = functions.select(Axis(1), &set);
            let mut of_count = Vec::new();
            let most = self.order;
            for count in COUNTS.into_iter().filter(|&count| count < most) {
                let partition = self.numbered(cells::nearest(points.view(), count));
                let of_neuron =
                    |(&i, function): (&usize, ArrayView1<f64>)| (i, self.choice(partition, &function.to_vec()));
                of_count.push(set.iter().zip(points.columns()).map(of_neuron).collect());
            }
            self.shared.push(of_count);
        }
    }

    /// The partition's number.
    fn numbered(&mut self, cells: Vec<u16>) -> usize {
        if let Some(&number) = self.numbers.get(&cells) {
            return number;
        }
        let number = self.partitions.len();
        self.partitions.push(cells.clone());
        self.numbers.insert(cells, number);
        number
    }

    /// What the partition is for a neuron whose function is worth this.
    fn choice(&self, partition: usize, function: &[f64]) -> Choice {
        let cells = &self.partitions[partition];
        let count = cells.iter().max().map_or(0, |&most| usize::from(most) + 1);
        let (mut least, mut most) = (vec![f64::INFINITY; count], vec![f64::NEG_INFINITY; count]);
        for (&cell, &value) in cells.iter().zip(function) {
            let cell = usize::from(cell);
            (least[cell], most[cell]) = (least[cell].min(value), most[cell].max(value));
        }
        let missed = |(&cell, &value): (&u16, &f64)| {
            let cell = usize::from(cell);
            (value - 0.5 * (least[cell] + most[cell])).abs()
        };
        let missed: Vec<f64> = cells.iter().zip(function).map(missed).collect();
        Choice {
            partition,
            cells: count,
            at_most: missed.iter().fold(0.0, |most: f64, &v| most.max(v)),
            on_average: missed.iter().sum::<f64>() / missed.len() as f64,
        }
    }

    /// The most that a neuron can change a logit by.
    pub fn most(&self) -> f64 {
        self.most
    }

    /// For every neuron the partition for which its cells and what they miss cost least together, where to miss `worth` of a
    /// logit costs as much as n cells. Neurons that miss less than that when they are left out are in no part.
    pub fn partitions(&self, worth: f64, pointwise: bool) -> Partitions {
        let prices = Prices {
            choices: self,
            of_logit: self.order as f64 / worth.max(f64::MIN_POSITIVE),
            pointwise,
        };
        let mut taken: Vec<Taken> = (0..self.cosets.len()).map(|i| prices.best(i, |_| true)).collect();
        prices.share(&mut taken);
        prices.give_up(&mut taken);
        let mut found: Vec<(usize, Part)> = Vec::new();
        for (i, taken) in taken.into_iter().enumerate() {
            let Some(partition) = taken.partition else { continue };
            match found.iter_mut().find(|(other, _)| *other == partition) {
                Some((_, part)) => part.neurons.push(i),
                None => found.push((
                    partition,
                    Part {
                        cells: self.partitions[partition].clone(),
                        neurons: vec![i],
                    },
                )),
            }
        }
        let parts: Vec<Part> = found.into_iter().map(|(_, part)| part).collect();
        Partitions {
            inner: self.inner,
            tables: joined(&parts, self.order),
            parts,
            pointwise,
            // Beyond, rows and bounds leave a core's own memory.
            panel: if self.order > 256 { 128 } else { self.order },
        }
    }
}

/// What cells and logits cost, in cells.
struct Prices<'a> {
    choices: &'a Choices,
    /// To miss a logit of one.
    of_logit: f64,
    pointwise: bool,
}

/// The partition that a neuron takes, none where it is left out; and what that costs.
#[derive(Clone, Copy)]
struct Taken {
    cost: f64,
    partition: Option<usize>,
}

impl Taken {
    fn or(self, other: Self) -> Self {
        if other.cost < self.cost { other } else { self }
    }
}

impl Prices<'_> {
    /// One more row to add for every inner element costs about as much as a row for every cell, of one neuron.
    fn of_part(&self) -> f64 {
        self.choices.order as f64
    }

    fn missed(&self, missed: f64) -> f64 {
        // Nothing missed costs nothing, whatever a logit is worth.
        if missed > 0.0 { missed * self.of_logit } else { 0.0 }
    }

    fn take(&self, choice: &Choice) -> Taken {
        let missed = if self.pointwise {
            choice.on_average
        } else {
            choice.at_most
        };
        Taken {
            cost: choice.cells as f64 + self.missed(missed),
            partition: Some(choice.partition),
        }
    }

    /// The cheapest that neuron i may take by itself, among these partitions.
    fn best(&self, i: usize, may: impl Fn(usize) -> bool) -> Taken {
        let left_out = Taken {
            cost: self.missed(self.choices.left_out[i]),
            partition: None,
        };
        let choices = self.choices.cosets[i].iter().filter(|choice| may(choice.partition));
        choices.map(|choice| self.take(choice)).fold(left_out, Taken::or)
    }

    /// Neurons that are alike share cells where that is cheaper than what each has.
    fn share(&self, taken: &mut [Taken]) {
        for options in &self.choices.shared {
            let total = |option: &Vec<(usize, Choice)>| -> f64 {
                let costs = option.iter().map(|(i, choice)| taken[*i].or(self.take(choice)).cost);
                costs.sum()
            };
            let least = options.iter().min_by(|a, b| total(a).total_cmp(&total(b)));
            let Some(option) = least else { continue };
            let alone: f64 = option.iter().map(|(i, _)| taken[*i].cost).sum();
            if total(option) + self.of_part() < alone {
                for (i, choice) in option {
                    taken[*i] = taken[*i].or(self.take(choice));
                }
            }
        }
    }

    /// Parts are given up where their neurons lose less by that than adding a row costs.
    fn give_up(&self, taken: &mut [Taken]) {
        let count = self.choices.partitions.len();
        loop {
            let mut used = vec![false; count];
            taken
                .iter()
                .filter_map(|taken| taken.partition)
                .for_each(|at| used[at] = true);
            // Where every neuron would go, and what each partition's neurons would lose.
            let others: Vec<Taken> = (0..taken.len())
                .map(|i| self.best(i, |other| used[other] && taken[i].partition != Some(other)))
                .collect();
            let mut losses = vec![0.0; count];
            for (taken, other) in taken.iter().zip(&others) {
                if let Some(partition) = taken.partition {
                    losses[partition] += other.cost - taken.cost;
                }
            }
            let candidates = (0..count).filter(|&partition| used[partition] && losses[partition] < self.of_part());
            let Some(gone) = candidates.min_by(|&a, &b| losses[a].total_cmp(&losses[b])) else {
                return;
            };
            for (taken, other) in taken.iter_mut().zip(others) {
                if taken.partition == Some(gone) {
                    *taken = other;
                }
            }
        }
    }
}

/// The largest relu or absolute value of inputs from `least` to `most`.
pub(crate) fn largest_activation(activation: Activation, least: f64, most: f64) -> f64 {
    match activation {
        Activation::Relu => most.max(0.0),
        _ => most.max(-least),
    }
}

/// The coset of every element: those on which a function of this input is constant if the subgroup does not move it.
fn cosets(group: &Group, inner: Input, subgroup: &Subgroup) -> Vec<u16> {
    let cosets = match inner {
        Input::Left => subgroup.right_cosets(group),
        Input::Right => subgroup.left_cosets(group),
    };
    group.elements().map(|x| cosets.number(x) as u16).collect()
}

/// `[n]`: the most that translation by every element changes the function of an input.
fn moved(function: &[f64], group: &Group, inner: Input) -> Vec<f64> {
    let by = |h: Element| {
        let moved = |x: Element| match inner {
            Input::Left => group.mul(h, x),
            Input::Right => group.mul(x, h),
        };
        let change = |x: Element| (function[moved(x).index()] - function[x.index()]).abs();
        group.elements().map(change).fold(0.0, f64::max)
    };
    group.elements().map(by).collect()
}

/// A subgroup whose elements all move the function by at most the tolerance, the nearest generators first.
fn stabiliser(group: &Group, by: &[f64], tolerance: f64) -> Subgroup {
    let mut near: Vec<Element> = group.elements().filter(|h| by[h.index()] <= tolerance).collect();
    near.sort_by(|a, b| by[a.index()].total_cmp(&by[b.index()]));
    let mut subgroup = Subgroup::trivial(group);
    for h in near {
        if !subgroup.contains(h) {
            let larger = subgroup.extended(group, &[h]);
            if larger.elements().iter().all(|k| by[k.index()] <= tolerance) {
                subgroup = larger;
            }
        }
    }
    subgroup
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

    /// In rows of n additions: rows to add up, from those of the parts, and to add for every inner element. A row that is
    /// added up is one more that does not stay in a core's nearest memory.
    fn cost(&self, n: usize) -> f64 {
        let added = if self.parts.len() > 1 {
            self.count * (self.parts.len() + 1)
        } else {
            0
        };
        (2 * added + n + 20) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::spec;
    use crate::network::Activation;
    use ndarray::{Array1, Array2};

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
        let choices = Choices::new(&folded, &group, Input::Right);
        let found = choices.partitions(1e-9, false);
        assert!(found.fits(6, 3));
        assert_eq!(found.parts.len(), 1, "one partition serves both");
        assert_eq!(found.parts[0].neurons, [0, 1], "the third is left out");
        for y in group.elements() {
            for &h in subgroup.elements() {
                let cell = |y: Element| found.parts[0].cells[y.index()];
                assert_eq!(cell(y), cell(group.mul(y, h)));
            }
        }
        let coarse = choices.partitions(100.0 * choices.most(), false);
        assert!(
            coarse.parts.is_empty(),
            "where logits are worth nothing, no neuron is worth a cell"
        );
        // The left functions take six values.
        let left = Choices::new(&folded, &group, Input::Left).partitions(1e-9, false);
        assert!(left.parts.iter().all(|part| part.cells.iter().max() == Some(&5)));
    }

    #[test]
    fn what_is_no_partition_does_not_fit() {
        let (folded, group, _) = network();
        let good = Choices::new(&folded, &group, Input::Right).partitions(1e-9, false);
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
