//! The partition tier: one input exact, the other known to each neuron by a cell of a partition (`docs/soundness.md`,
//! Theorem 8).
//!
//! Say y is the inner input. A neuron whose right function is nearly constant on the cells of a partition of G - the cosets
//! of a subgroup, in trained networks - is `relu(l_i(x) + c_i(cell of y))` up to the distance of its right function from
//! its value on the cell. For one x, all neurons with the same partition together are a table with a row of n logits for
//! every cell; the logits of (x, y) are a sum of such rows, a few additions each where brute force has m products. What the
//! circuits leave because they are complete on neither side costs nothing here: nothing is assumed of x.

use super::brute::TASK;
use super::kernel::{self, Kernel, Line};
use super::lanes;
use super::orbit::Gaps;
use super::rounding::{OUTWARD, SINGLE_SUBNORMAL, SINGLE_UNIT, gamma};
use super::units::{Known, LANES, Sums, Wide};
use crate::explain::partition::{Input, Part, Partitions};
use crate::group::{Element, Group};
use crate::network::{Activation, Folded};
use multiversion::multiversion;
use rayon::prelude::*;

/// Added to a number below 2^22 in magnitude this leaves its nearest integer in the low bits.
const MAGIC: f32 = 12_582_912.0;

/// How many inner elements a task bounds at once.
const EACH: usize = 24;

/// More tables than this are never worth adding up.
const MOST_TABLES: usize = 256;

/// No sum of tables exceeds this many units.
const LARGEST: f64 = 32_000.0;

/// The network with one input known by cells.
pub struct PartitionTier<'a> {
    group: &'a Group,
    activation: Activation,
    /// Which input is known by cells; the other is exact.
    inner: Input,
    /// `[n, neurons]`: the functions of the outer input, by part.
    outer: Vec<f32>,
    neurons: usize,
    parts: Vec<PartTables>,
    tables: Vec<Table>,
    /// Units in a logit of one; a power of two.
    scale: f64,
    /// Vectors in a row of n logits.
    width: usize,
    /// `[n, width]`, or one row for all elements: what the inner input adds to every logit, from above and from below.
    upper: Vec<Wide>,
    lower: Vec<Wide>,
    /// Multiplications and additions spent so far, on one outer element, and on one pair.
    flops: [u64; 3],
}

/// The neurons with one partition.
struct PartTables {
    /// Of these neurons.
    kernel: Kernel,
    /// Their first in the order of [`PartitionTier::outer`], and how many.
    start: usize,
    count: usize,
    /// `[cells, count]`: what the inner input adds to a neuron's input on a cell.
    values: Vec<f32>,
    cells: usize,
}

/// Parts that are looked up together: a row of logits for every combination of their cells that occurs.
struct Table {
    parts: Vec<usize>,
    /// `[rows, parts]`.
    cells: Vec<usize>,
    /// `[n]`: the row of every inner element, times the width.
    row: Vec<usize>,
}

/// Pairs that were decided, and those that are left.
#[derive(Default)]
pub struct Decided {
    /// Pairs that the network has right.
    pub right: usize,
    /// Pairs that it has wrong.
    pub wrong: usize,
    /// Pairs whose margin is within the bounds' width.
    pub rest: Vec<(Element, Element)>,
    /// Multiplications and additions.
    pub flops: u64,
}

impl<'a> PartitionTier<'a> {
    /// Bounds what the partitions miss; O(mn), or O(mn^2) where that is done for every inner element by itself.
    ///
    /// Nothing in `partitions` is trusted: where functions are not constant on cells, or neurons that matter are in no
    /// part, the bounds are wide. `None` where the mathematics does not apply: other activations than relu and abs, numbers
    /// beyond float32, neurons in two parts, elements without a cell.
    pub fn new(folded: &Folded, group: &'a Group, partitions: &Partitions) -> Option<Self> {
        let (n, m) = (folded.order(), folded.neurons());
        let applies = matches!(folded.activation, Activation::Relu | Activation::Abs) && n > 0 && m > 0;
        if !applies || !partitions.fits(n, m) {
            return None;
        }
        let functions = [&folded.left, &folded.right].map(|matrix| matrix.as_standard_layout());
        let functions = functions
            .each_ref()
            .map(|matrix| matrix.as_slice().expect("standard layout"));
        let (outer, inner) = match partitions.inner {
            Input::Left => (functions[1], functions[0]),
            Input::Right => (functions[0], functions[1]),
        };
        let unembed = folded.unembed.as_standard_layout();
        let unembed = unembed.as_slice().expect("standard layout");
        let unembed = |i: usize| &unembed[i * n..(i + 1) * n];
        let width = n.div_ceil(LANES);
        let parts = || {
            let part = |part| PartTables::new(part, (inner, m), unembed, n);
            partitions.parts.iter().map(part).collect::<Vec<_>>()
        };
        let largest = || {
            let most = functions.map(|functions| {
                let mut most = vec![0.0; m];
                functions
                    .chunks_exact(m)
                    .for_each(|row| lanes::raise_magnitudes(&mut most, row));
                most
            });
            // Sound: above any value of the input, or of one with a value on a cell in it, which is rounded to float32.
            let input = |(x, y): (&f64, &f64)| 1.001 * (x + y);
            most[0].iter().zip(&most[1]).map(input).collect::<Vec<f64>>()
        };
        let order: Vec<usize> = partitions
            .parts
            .iter()
            .flat_map(|part| part.neurons.iter().copied())
            .collect();
        // In parallel from the start: what comes after finds the other thread awake.
        let ((parts, off), (inputs, outer_in_order)) =
            rayon::join(|| unzip(parts()), || (largest(), in_order(outer, m, &order)));
        // Sound: an activation is no further than its input from the constant 0 that replaces it.
        let mut missed = inputs.clone();
        order.iter().zip(&off).for_each(|(&i, &off)| missed[i] = off);
        let seen = |i: usize| missed[i] < inputs[i];
        // Sound: products and sums of at most m + parts terms in float32, of numbers rounded to it.
        let rounding = gamma(2 * m + 64, SINGLE_UNIT);
        let mut slack = vec![0.0; n];
        let mut magnitude: Vec<f64> = folded.bias.iter().map(|bias| bias.abs()).collect();
        for i in 0..m {
            let apart = partitions.pointwise && seen(i);
            // Sound: below float32's range inputs are rounded by an absolute amount, which the unembedding multiplies.
            let own = folded.left_error[i] + folded.right_error[i] + rounding * inputs[i] + 8.0 * SINGLE_SUBNORMAL;
            let own = own + if apart { 0.0 } else { missed[i] };
            lanes::add_scaled_magnitudes(&mut slack, own, unembed(i));
            lanes::add_scaled_magnitudes(&mut magnitude, inputs[i] + missed[i], unembed(i));
        }
        // Sound: and below its range unembeddings and products are.
        let all_inputs = lanes::sum(&inputs);
        let underflow = (all_inputs + (2 * m) as f64) * 2.0 * SINGLE_SUBNORMAL;
        // Not a number where one is not: comparisons alone would miss it.
        let most_function = lanes::largest(outer) + lanes::largest(inner);
        let most_unembed = (0..m).map(|i| lanes::largest(unembed(i))).fold(0.0, f64::max);
        let most = lanes::largest(&magnitude) + lanes::largest(&slack) + underflow;
        let in_range = [most, all_inputs, most_function, most_unembed]
            .into_iter()
            .all(|v| v * 4.0 < f64::from(f32::MAX));
        if !in_range || partitions.tables.len() > MOST_TABLES {
            return None;
        }
        let tables: Vec<Table> = partitions
            .tables
            .iter()
            .map(|parts| Table::new(partitions, parts, width))
            .collect();
        let of_parts: usize = parts.iter().map(|part| part.cells * part.count * (2 * n + 2)).sum();
        let of_tables: usize = tables.iter().map(|table| table.cells.len() * n).sum();
        let mut tier = Self {
            group,
            activation: folded.activation,
            inner: partitions.inner,
            outer: outer_in_order,
            neurons: order.len(),
            parts,
            // A power of two: scaling is exact.
            scale: 2.0_f64.powi((LARGEST / most).log2().floor().min(100.0) as i32),
            width,
            upper: Vec::new(),
            lower: Vec::new(),
            flops: [
                (12 * m * n) as u64,
                (of_parts + of_tables) as u64,
                ((tables.len() + 1) * n) as u64,
            ],
            tables,
        };
        // Sound: every table is rounded by at most half a unit, and these bounds by less than one.
        let rounds = (tier.tables.len().div_ceil(2) + 2) as f64;
        let slack: Vec<f64> = slack.iter().map(|slack| slack * OUTWARD + underflow).collect();
        if partitions.pointwise && !order.is_empty() {
            tier.bound_each(folded, partitions, inner, &slack, rounds);
        } else {
            let bounds = |sign: f64| {
                let bound = |(bias, slack): (&f64, &f64)| (bias + sign * slack) * tier.scale + sign * rounds;
                wide_row(folded.bias.iter().zip(&slack).map(bound), width)
            };
            (tier.upper, tier.lower) = (bounds(1.0), bounds(-1.0));
        }
        Some(tier)
    }

    /// Bounds for every inner element by itself. `relu(t + d) - relu(t)` is `d/2`, up to `|d|/2`: the first is summed with
    /// its sign.
    fn bound_each(&mut self, folded: &Folded, partitions: &Partitions, inner: &[f64], slack: &[f64], rounds: f64) {
        let (n, m, k) = (self.group.order(), folded.neurons(), self.neurons);
        let columns = self.width * LANES;
        let (odd, even) = match self.activation {
            Activation::Relu => (0.5, 0.5),
            _ => (0.0, 1.0),
        };
        let mut rows = vec![0.0; k * columns];
        let order = partitions.parts.iter().flat_map(|part| &part.neurons);
        for (row, &i) in rows.chunks_exact_mut(columns).zip(order) {
            let unembed = folded.unembed.row(i);
            row.iter_mut()
                .zip(unembed)
                .for_each(|(single, &value)| *single = value as f32);
        }
        let signed = Kernel::new(&rows, &vec![0.0; columns]);
        rows.iter_mut().for_each(|value| *value = value.abs());
        let magnitudes = Kernel::new(&rows, &vec![0.0; columns]);
        // Sound: the differences are rounded once, and their sums of k products in float32.
        let inflate = 1.0 + 4.0 * gamma(k + 16, SINGLE_UNIT);
        // In units.
        let (odd, even) = (
            odd * self.scale,
            even * inflate * self.scale * (1.0 + 4.0 * SINGLE_UNIT),
        );
        let in_units = |values: &mut dyn Iterator<Item = f64>| {
            let mut row = vec![0.0; columns];
            row.iter_mut()
                .zip(values)
                .for_each(|(single, value)| *single = (value * self.scale) as f32);
            row
        };
        let middle = in_units(&mut folded.bias.iter().copied());
        let wide = in_units(&mut slack.iter().map(|slack| slack + rounds / self.scale));
        let elements: Vec<usize> = (0..n).collect();
        let bound = |elements: &[usize]| {
            let (mut first, mut second) = (signed.scratch_of(EACH), magnitudes.scratch_of(EACH));
            let differences = first.hidden.chunks_exact_mut(k).zip(second.hidden.chunks_exact_mut(k));
            for (&y, (first, second)) in elements.iter().zip(differences) {
                for (part, tables) in partitions.parts.iter().zip(&self.parts) {
                    let values = &tables.values[usize::from(part.cells[y]) * tables.count..][..tables.count];
                    let first = &mut first[tables.start..][..tables.count];
                    for ((first, value), &i) in first.iter_mut().zip(values).zip(&part.neurons) {
                        *first = (inner[y * m + i] - f64::from(*value)) as f32;
                    }
                }
                second
                    .iter_mut()
                    .zip(first)
                    .for_each(|(second, first)| *second = first.abs());
            }
            signed.logits(&mut first, elements.len());
            magnitudes.logits(&mut second, elements.len());
            let rows = elements.len() * self.width;
            let (mut upper, mut lower) = (vec![Wide::LEAST; rows], vec![Wide::LEAST; rows]);
            bounds_in_units(
                (&first.logits, &second.logits),
                (&middle, &wide),
                (odd as f32, even as f32),
                &mut upper,
                &mut lower,
            );
            for row in upper
                .chunks_exact_mut(self.width)
                .chain(lower.chunks_exact_mut(self.width))
            {
                row[self.width - 1].0[n - (self.width - 1) * LANES..].fill(i16::MIN);
            }
            (upper, lower)
        };
        let bounds: Vec<(Vec<Wide>, Vec<Wide>)> = elements.par_chunks(EACH).map(bound).collect();
        for (upper, lower) in bounds {
            self.upper.extend(upper);
            self.lower.extend(lower);
        }
        self.flops[0] += (4 * k * n * n) as u64;
    }

    /// What all tables and what one pair costs, in flops of a matrix product that take the same time: additions of short
    /// rows are slower than they count.
    pub fn cost(&self) -> (f64, f64) {
        let (n, tables) = (self.group.order() as f64, self.tables.len() as f64);
        // A row of logits is stored as well, and a part begun.
        let of_part = |part: &PartTables| (part.cells * (part.count + 4) + 16) as f64;
        let of_parts: f64 = self.parts.iter().map(of_part).sum();
        let rows: usize = self
            .tables
            .iter()
            .map(|table| table.cells.len() + 2 * table.cells.len() / table.parts.len())
            .sum();
        // Waking a second thread takes as long as the first number.
        let bounds = 8e6 + 500.0 * n * self.neurons as f64 + self.flops[0] as f64;
        // Beyond a core's own memory everything takes about three times as long.
        let bytes = n * (4.0 * self.parts.iter().map(|part| part.cells).sum::<usize>() as f64)
            + 2.0
                * n
                * self
                    .tables
                    .iter()
                    .map(|table| table.cells.len() / table.parts.len())
                    .sum::<usize>() as f64;
        let far = if bytes > 1e6 { 3.0 } else { 1.0 };
        (
            bounds + far * n * n * (2.5 * of_parts + 3.0 * rows as f64),
            far * (tables * (2.0 * n + 100.0) + 700.0),
        )
    }

    /// The share of pairs that is left open, of so many outer elements.
    pub fn sample(&self, count: usize) -> f64 {
        let elements: Vec<Element> = self.group.elements().collect();
        let step = elements.len().div_ceil(count);
        let (mut memory, mut decided) = (Memory::new(self), Decided::default());
        let sample = elements.iter().skip(step / 2).step_by(step);
        let count = sample.clone().count() * elements.len();
        sample.for_each(|&outer| self.decide_row(outer, None, &mut memory, &mut decided));
        decided.rest.len() as f64 / count.max(1) as f64
    }

    /// Decides pairs, right or wrong: all, or those that the gaps do not prove; in parallel.
    pub fn decide(&self, gaps: Option<&Gaps>) -> Decided {
        let n = self.group.order();
        let elements: Vec<Element> = self.group.elements().collect();
        let task = (TASK / n).clamp(1, 16);
        let decided: Vec<Decided> = elements
            .par_chunks(task)
            .map_init(
                || Memory::new(self),
                |memory, outer| {
                    let mut decided = Decided::default();
                    outer
                        .iter()
                        .for_each(|&outer| self.decide_row(outer, gaps, memory, &mut decided));
                    decided
                },
            )
            .collect();
        let mut all = Decided {
            flops: self.flops[0],
            ..Decided::default()
        };
        for mut decided in decided {
            all.right += decided.right;
            all.wrong += decided.wrong;
            all.rest.append(&mut decided.rest);
            all.flops += decided.flops;
        }
        all
    }

    /// Decides the open pairs of one outer element.
    fn decide_row(&self, outer: Element, gaps: Option<&Gaps>, memory: &mut Memory, decided: &mut Decided) {
        let gaps = gaps.map(|gaps| gaps.limit(outer, self.inner));
        if gaps.is_some_and(|(of_inner, limit)| lanes::count_above(of_inner, limit) == of_inner.len()) {
            return;
        }
        self.lay_out(outer, &mut memory.logits);
        let tables = self.tables.iter().zip(&memory.logits.tables);
        let tables: Vec<(&[Wide], &[usize])> = tables.map(|(table, rows)| (&rows[..], &table.row[..])).collect();
        let sums = Sums {
            tables: &tables,
            upper: &self.upper,
            lower: &self.lower,
            width: self.width,
        };
        let Memory { known, correct, .. } = memory;
        *known = Known::default();
        match self.inner {
            Input::Right => sums.decide(self.group.row(outer), gaps, known),
            Input::Left => {
                let column = self
                    .group
                    .table()
                    .iter()
                    .skip(outer.index())
                    .step_by(self.group.order());
                correct.clear();
                correct.extend(column);
                sums.decide(correct, gaps, known);
            }
        }
        decided.right += known.right;
        decided.wrong += known.wrong;
        let pair = |&inner: &Element| match self.inner {
            Input::Left => (inner, outer),
            Input::Right => (outer, inner),
        };
        decided.rest.extend(known.rest.iter().map(pair));
        let pairs = (known.right + known.wrong + known.rest.len()) as u64;
        decided.flops += self.flops[1] + self.flops[2] * pairs;
    }

    /// The tables of one outer element.
    fn lay_out(&self, outer: Element, logits: &mut Logits) {
        let inputs = &self.outer[outer.index() * self.neurons..(outer.index() + 1) * self.neurons];
        for (part, scratch) in self.parts.iter().zip(&mut logits.parts) {
            let inputs = &inputs[part.start..part.start + part.count];
            let rows = scratch.hidden.chunks_exact_mut(part.count);
            for (hidden, values) in rows.zip(part.values.chunks_exact(part.count)) {
                kernel::activate(self.activation, hidden, inputs, values);
            }
            part.kernel.logits(scratch, part.cells);
        }
        for (table, rows) in self.tables.iter().zip(&mut logits.tables) {
            let parts: Vec<&[Line]> = table.parts.iter().map(|&part| &logits.parts[part].logits[..]).collect();
            add_rows(rows, self.width, &parts, &table.cells, self.scale as f32);
        }
    }
}

impl Table {
    fn new(partitions: &Partitions, parts: &[usize], width: usize) -> Self {
        let cells_of = |part: usize| &partitions.parts[part].cells;
        // Combinations of cells are numbered part after part.
        let mut numbers: Vec<usize> = Vec::new();
        let mut cells: Vec<usize> = Vec::new();
        for (place, &part) in parts.iter().enumerate() {
            let wide = count(cells_of(part));
            let mut known = vec![usize::MAX; wide * (cells.len() / place.max(1)).max(1)];
            let mut combined = Vec::new();
            numbers.resize(cells_of(part).len(), 0);
            for (number, &cell) in numbers.iter_mut().zip(cells_of(part)) {
                let known = &mut known[*number * wide + usize::from(cell)];
                if *known == usize::MAX {
                    *known = combined.len() / (place + 1);
                    combined.extend_from_slice(cells.get(*number * place..(*number + 1) * place).unwrap_or(&[]));
                    combined.push(usize::from(cell));
                }
                *number = *known;
            }
            cells = combined;
        }
        let row = numbers.into_iter().map(|number| number * width).collect();
        Self {
            parts: parts.to_vec(),
            cells,
            row,
        }
    }
}

/// How many cells there are, the empty ones below the last included.
fn count(cells: &[u16]) -> usize {
    cells.iter().max().map_or(0, |&most| usize::from(most) + 1)
}

/// The memory of one thread.
struct Memory {
    logits: Logits,
    /// `[n]`: what every inner element's product with the outer one is.
    correct: Vec<Element>,
    known: Known,
}

/// The tables of one outer element.
struct Logits {
    /// Per part, `[cells, n]` logits.
    parts: Vec<kernel::Scratch>,
    /// Per table, `[rows, width]`.
    tables: Vec<Vec<Wide>>,
}

impl Memory {
    fn new(tier: &PartitionTier) -> Self {
        let rows = |table: &Table| table.cells.len() / table.parts.len();
        let parts = tier.parts.iter().map(|part| part.kernel.scratch_of(part.cells));
        let tables = tier
            .tables
            .iter()
            .map(|table| vec![Wide::ZERO; rows(table) * tier.width]);
        Self {
            logits: Logits {
                parts: parts.collect(),
                tables: tables.collect(),
            },
            correct: Vec::with_capacity(tier.group.order()),
            known: Known::default(),
        }
    }
}

impl PartTables {
    /// The tables, and for every neuron how far its inner function is from its values on the cells.
    fn new<'u>(
        part: &Part,
        (inner, m): (&[f64], usize),
        unembed: impl Fn(usize) -> &'u [f64],
        n: usize,
    ) -> (Self, Vec<f64>) {
        let (cells, count) = (count(&part.cells), part.neurons.len());
        let mut least = vec![f64::INFINITY; cells * count];
        let mut most = vec![f64::NEG_INFINITY; cells * count];
        let mut own = vec![0.0; count];
        for (row, &cell) in inner.chunks_exact(m).zip(&part.cells) {
            own.iter_mut().zip(&part.neurons).for_each(|(own, &i)| *own = row[i]);
            let here = usize::from(cell) * count..(usize::from(cell) + 1) * count;
            lanes::widen(&mut least[here.clone()], &mut most[here], &own);
        }
        let mut off = vec![0.0; count];
        let mut values = vec![0.0; cells * count];
        for (place, (value, (&least, &most))) in values.iter_mut().zip(least.iter().zip(&most)).enumerate() {
            // A cell without elements is never looked up.
            if least <= most {
                *value = (0.5 * (least + most)) as f32;
                let middle = f64::from(*value);
                // Sound: differences of two numbers, rounded once.
                off[place % count] = f64::max(off[place % count], (most - middle).max(middle - least) * OUTWARD);
            }
        }
        let columns = n.next_multiple_of(LANES);
        let mut rows = vec![0.0; count * columns];
        for (row, &i) in rows.chunks_exact_mut(columns).zip(&part.neurons) {
            lanes::to_single(&mut row[..n], unembed(i));
        }
        let tables = Self {
            kernel: Kernel::new(&rows, &vec![0.0; columns]),
            start: 0,
            count,
            values,
            cells,
        };
        (tables, off)
    }
}

/// Tables one after the other, and what belongs to their neurons in the same order.
fn unzip(parts: Vec<(PartTables, Vec<f64>)>) -> (Vec<PartTables>, Vec<f64>) {
    let mut off = Vec::new();
    let place = |(mut tables, own): (PartTables, Vec<f64>)| {
        tables.start = off.len();
        off.extend(own);
        tables
    };
    let tables = parts.into_iter().map(place).collect();
    (tables, off)
}

/// `[n, order]`: these columns of `[n, m]` in this order, in float32.
fn in_order(matrix: &[f64], m: usize, order: &[usize]) -> Vec<f32> {
    let rows = matrix.chunks_exact(m);
    rows.flat_map(|row| order.iter().map(|&i| row[i] as f32)).collect()
}

/// Bounds in units, rounded; what is beyond them is the least number.
fn wide_row(bounds: impl Iterator<Item = f64>, width: usize) -> Vec<Wide> {
    let mut row = vec![Wide::LEAST; width];
    for (number, bound) in row.iter_mut().flat_map(|wide| &mut wide.0).zip(bounds) {
        *number = bound.round() as i16;
    }
    row
}

/// Row after row the sum of one row of every part, `[_, 2 * width]` lines each, times the scale and rounded to the nearest
/// integer; all of them fit.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2"))]
fn add_rows(target: &mut [Wide], width: usize, parts: &[&[Line]], cells: &[usize], scale: f32) {
    let mut rows: Vec<&[Line]> = Vec::with_capacity(parts.len());
    for (target, cells) in target.chunks_exact_mut(width).zip(cells.chunks_exact(parts.len())) {
        rows.clear();
        for (part, &cell) in parts.iter().zip(cells) {
            rows.push(&part[2 * width * cell..][..2 * width]);
        }
        for (block, wide) in target.iter_mut().enumerate() {
            let (mut low, mut high) = ([0.0; 16], [0.0; 16]);
            for row in &rows {
                let lines = &row[2 * block..2 * block + 2];
                for k in 0..16 {
                    low[k] += lines[0].0[k];
                    high[k] += lines[1].0[k];
                }
            }
            for k in 0..16 {
                wide.0[k] = (low[k] * scale + MAGIC).to_bits() as i16;
                wide.0[k + 16] = (high[k] * scale + MAGIC).to_bits() as i16;
            }
        }
    }
}

/// `middle + odd * first` plus and minus `wide + even * second`, row after row, rounded to the nearest integer; all of them
/// fit.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2"))]
fn bounds_in_units(
    (first, second): (&[Line], &[Line]),
    (middle, wide): (&[f32], &[f32]),
    (odd, even): (f32, f32),
    upper: &mut [Wide],
    lower: &mut [Wide],
) {
    let (middle, wide) = (middle.as_chunks::<16>().0, wide.as_chunks::<16>().0);
    let (first, second) = (first.chunks_exact(middle.len()), second.chunks_exact(middle.len()));
    let bounds = upper
        .chunks_exact_mut(middle.len() / 2)
        .zip(lower.chunks_exact_mut(middle.len() / 2));
    for ((first, second), (upper, lower)) in first.zip(second).zip(bounds) {
        for line in 0..middle.len() {
            let (upper, lower) = (&mut upper[line / 2].0, &mut lower[line / 2].0);
            let at = line % 2 * 16;
            for k in 0..16 {
                let centre = middle[line][k] + odd * first[line].0[k];
                let off = wide[line][k] + even * second[line].0[k];
                upper[at + k] = (centre + off + MAGIC).to_bits() as i16;
                lower[at + k] = (centre - off + MAGIC).to_bits() as i16;
            }
        }
    }
}
