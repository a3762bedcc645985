//! The partition tier: one input exact, the other known to each neuron by a cell of a partition (`docs/soundness.md`,
//! Theorem 8).
//!
//! Say y is the inner input. A neuron whose right function is nearly constant on the cells of a partition of G - the cosets
//! of a subgroup, in trained networks - is `relu(l_i(x) + c_i(cell of y))` up to the distance of its right function from
//! its value on the cell. For one x, all neurons with the same partition together are a table with a row of n logits for
//! every cell; the logits of (x, y) are a sum of such rows, a few additions each where brute force has m products. What the
//! circuits leave because they are complete on neither side costs nothing here: nothing is assumed of x.
//!
//! All of it is in integers: activations in steps, logits in units. Only the bounds know of real numbers.

mod counted;
mod differences;
mod rows;

use self::counted::{Counted, Matrices, Share};
use self::differences::Differences;
use self::rows::{PartRows, Table, activate, count, tables};
use super::brute::TASK;
use super::fixed::{self, Fixed};
use super::lanes;
use super::logit::LogitBounds;
use super::orbit::Gaps;
use super::rounding::OUTWARD;
use super::units::{self, Bounds, LANES, Least, Starts, Tables, Wide};
use crate::explain::partition::{Input, Partitions};
use crate::group::{Element, Group};
use crate::network::{Activation, Folded};
use rayon::prelude::*;

/// How many rows are formed at once, and how many inner elements a task bounds.
const BLOCK: usize = 24;

/// How many outer elements share a panel of bounds, where rows are formed panel by panel.
const BATCH: usize = 8;

/// More tables than this are never worth adding up.
const MOST_TABLES: usize = 256;

/// Rows of so many vectors in all would not be worth their memory.
const MOST_VECTORS: usize = 1 << 20;

/// No sum of rows and bounds exceeds this many units, but for rounding: at most so many units for both.
const LARGEST: f64 = 32_000.0;
const MOST_ROUNDS: f64 = 380.0;

/// The network with one input known by cells.
pub struct PartitionTier<'a> {
    group: &'a Group,
    activation: Activation,
    /// Which input is known by cells; the other is exact.
    inner: Input,
    parts: Vec<PartRows>,
    tables: Vec<Table>,
    /// Where the rows of every inner element begin.
    starts: Starts,
    /// Units in a logit of one; a power of two.
    scale: f64,
    /// Vectors in a row of n logits, and how many are formed at once.
    width: usize,
    panel: usize,
    /// `[n, width]`, or one row for all elements: what the inner input adds to every logit, from above and from below.
    upper: Vec<Wide>,
    lower: Vec<Wide>,
    /// Correct logits, where rows are formed panel by panel.
    correct: Option<LogitBounds>,
    /// Multiplications and additions spent so far, on one outer element, and on one pair.
    flops: [u64; 3],
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
        if !applies || !partitions.fits(n, m) || partitions.tables.len() > MOST_TABLES {
            return None;
        }
        let matrices = [&folded.left, &folded.right, &folded.unembed].map(|matrix| matrix.as_standard_layout());
        let [left, right, unembed] = matrices
            .each_ref()
            .map(|matrix| matrix.as_slice().expect("standard layout"));
        let (outer, inner) = match partitions.inner {
            Input::Left => (right, left),
            Input::Right => (left, right),
        };
        let errors = folded.left_error.iter().zip(&folded.right_error);
        let network = Matrices {
            activation: folded.activation,
            outer,
            inner,
            unembed,
            error: errors.map(|(left, right)| left + right).collect(),
            order: n,
        };
        let pointwise = partitions.pointwise && !partitions.parts.is_empty();
        let (counted, outside): (Vec<Counted>, Share) = rayon::join(
            || {
                let parts = partitions.parts.par_iter();
                parts.map(|part| Counted::new(&network, part, pointwise)).collect()
            },
            || Share::outside(&network, &partitions.neurons_in_no_part(m)),
        );
        let mut magnitude: Vec<f64> = folded.bias.iter().map(|bias| bias.abs()).collect();
        let mut slack = vec![0.0; n];
        let mut largest = 0.0;
        for share in counted.iter().map(|part| &part.share).chain([&outside]) {
            lanes::add_scaled(&mut slack, 1.0, &share.slack);
            lanes::add_scaled(&mut magnitude, 1.0, &share.magnitude);
            largest += share.largest;
        }
        let most = lanes::largest(&magnitude) + lanes::largest(&slack);
        // Not a number where one is not: comparisons the other way round would miss it.
        let in_range = (most + largest) * 4.0 < f64::from(f32::MAX);
        if !in_range {
            return None;
        }
        // A power of two: scaling is exact.
        let scale = 2.0_f64.powi((LARGEST / most).log2().floor().min(100.0) as i32);
        let width = n.div_ceil(LANES);
        let panel = partitions
            .panel
            .div_ceil(LANES)
            .next_multiple_of(fixed::PANEL)
            .max(fixed::PANEL);
        let panel = if folded.activation == Activation::Relu {
            panel.min(width)
        } else {
            width
        };
        let rows: usize = partitions.parts.iter().map(|part| count(&part.cells)).sum();
        if (rows + partitions.tables.len() * n) * panel > MOST_VECTORS {
            return None;
        }
        let (weights, (each, (tables, starts))): (Vec<Fixed>, _) = rayon::join(
            || {
                let weights = |part: &Counted| {
                    let neurons = &part.part.neurons;
                    Fixed::new(n, &part.steps, |k| network.unembed(neurons[k]), scale)
                };
                counted.par_iter().map(weights).collect()
            },
            || {
                let each = pointwise.then(|| Differences::new(&network, &counted, scale));
                (each, tables(partitions, panel, n))
            },
        );
        // Sound: rows are rounded, bounds by half a unit; what float64 loses of values in steps is far below the rest of two.
        let rounds: f64 = weights.iter().map(Fixed::error).sum::<f64>() + 2.0;
        let rounds = rounds + each.as_ref().map_or(0.0, Differences::error);
        // Sound: twice that is left between the largest sum and what 16 bits hold.
        if rounds > MOST_ROUNDS {
            return None;
        }
        let bounds = |sign: f64| {
            let bound = |(bias, slack): (&f64, &f64)| (bias + sign * slack * OUTWARD) * scale + sign * rounds;
            wide_row(folded.bias.iter().zip(&slack).map(bound), width)
        };
        let (mut upper, mut lower) = (bounds(1.0), bounds(-1.0));
        let mut flops = (12 * m * n) as u64;
        if let Some(each) = each {
            (upper, lower) = each.bounds(&counted, n, (&upper, &lower));
            flops += (4 * each.neurons() * n * n) as u64;
        }
        let parts = counted.into_iter().zip(weights);
        let parts: Vec<PartRows> = parts
            .map(|(counted, weights)| PartRows::new(counted, weights))
            .collect();
        let of_parts: usize = parts.iter().map(|part| part.cells * part.neurons * (2 * n + 2)).sum();
        let of_tables: usize = tables.iter().map(|table| table.cells.len() * n).sum();
        Some(Self {
            group,
            activation: folded.activation,
            inner: partitions.inner,
            parts,
            starts,
            scale,
            width,
            panel,
            upper,
            lower,
            correct: (panel < width).then(|| LogitBounds::new(folded)),
            flops: [flops, (of_parts + of_tables) as u64, ((tables.len() + 1) * n) as u64],
            tables,
        })
    }

    /// What all rows and what one pair costs, in flops of a matrix product in float32 that take the same time: measured.
    pub fn cost(&self) -> (f64, f64) {
        let (n, columns) = (self.group.order() as f64, (LANES * self.width) as f64);
        let sum = |of_part: &dyn Fn(&PartRows) -> usize| self.parts.iter().map(of_part).sum::<usize>() as f64;
        let products = sum(&|part| part.cells * part.neurons.div_ceil(2));
        let added: usize = self.tables.iter().map(|table| table.cells.len() + table.rows).sum();
        let rows = n * columns * (1.1 * products + 6.0 * sum(&|part| part.cells) + 0.7 * added as f64);
        let neurons = sum(&|part| part.neurons);
        let of_each = if self.upper.len() > self.width {
            5.0 * n + 800.0
        } else {
            0.0
        };
        (
            1e6 + rows + n * (1000.0 + of_each) * neurons,
            columns * (1.2 * self.tables.len() as f64 + 21.0),
        )
    }

    /// The share of pairs that is left open, of so many outer elements.
    pub fn sample(&self, count: usize) -> f64 {
        let elements: Vec<Element> = self.group.elements().collect();
        let step = elements.len().div_ceil(count);
        let sample: Vec<Element> = elements.iter().copied().skip(step / 2).step_by(step).collect();
        let decided = self.decide_some(&sample, None);
        decided.rest.len() as f64 / (sample.len() * elements.len()).max(1) as f64
    }

    /// Decides pairs, right or wrong: all, or those that the gaps do not prove; in parallel.
    pub fn decide(&self, gaps: Option<&Gaps>) -> Decided {
        let elements: Vec<Element> = self.group.elements().collect();
        self.decide_some(&elements, gaps)
    }

    /// The pairs of these outer elements.
    fn decide_some(&self, outer: &[Element], gaps: Option<&Gaps>) -> Decided {
        let n = self.group.order();
        let task = if self.panel < self.width {
            BATCH
        } else {
            (TASK / n).clamp(1, 16)
        };
        let decided: Vec<Decided> = outer
            .par_chunks(task)
            .map_init(
                || Memory::new(self),
                |memory, outer| {
                    let mut decided = Decided::default();
                    let batch = if self.panel < self.width { task } else { 1 };
                    outer
                        .chunks(batch)
                        .for_each(|outer| self.decide_batch(outer, gaps, memory, &mut decided));
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

    /// Decides the open pairs of these outer elements; of one where rows are formed whole.
    fn decide_batch(&self, outer: &[Element], gaps: Option<&Gaps>, memory: &mut Memory, decided: &mut Decided) {
        let n = self.group.order();
        let Memory {
            rows,
            places,
            least,
            counts,
            single,
        } = memory;
        // Which pairs are open: what counts more than one is closed.
        let mut open = 0;
        for (&outer, counts) in outer.iter().zip(counts.chunks_exact_mut(n)) {
            counts.fill(0);
            if let Some((of_inner, limit)) = gaps.map(|gaps| gaps.limit(outer, self.inner)) {
                let closed = |(count, &gap): (&mut u32, &f64)| *count = if gap > limit { u32::MAX } else { 0 };
                counts.iter_mut().zip(of_inner).for_each(closed);
            }
            open += counts.iter().filter(|&&count| count == 0).count();
        }
        if open == 0 {
            return;
        }
        decided.flops += self.flops[1] * outer.len() as u64 + self.flops[2] * open as u64;
        for start in (0..self.width).step_by(self.panel) {
            let columns = start..self.width.min(start + self.panel);
            for (at, &outer) in outer.iter().enumerate() {
                let (least, counts) = (&mut least[at * n..][..n], &mut counts[at * n..][..n]);
                self.lay_out(outer, columns.clone(), rows);
                let tables = Tables {
                    rows: &rows.rows,
                    starts: &self.starts,
                    width: columns.len(),
                };
                let (upper, lower) = (self.bounds(&self.upper, start), self.bounds(&self.lower, start));
                if let Some(correct) = &self.correct {
                    if start == 0 {
                        self.correct_logits(correct, outer, single, least);
                    }
                    tables.count(upper, Least::Given(least), counts);
                    continue;
                }
                self.products(outer, places);
                decided.wrong += count_whole(&tables, places, (upper, lower), counts);
            }
        }
        for (&outer, counts) in outer.iter().zip(counts.chunks_exact(n)) {
            // The correct one reaches its own lower bound.
            let right = counts.iter().filter(|&&count| count <= 1).count();
            decided.right += right;
            if right == n {
                continue;
            }
            for (inner, &count) in self.group.elements().zip(counts) {
                if (2..u32::MAX).contains(&count) {
                    decided.rest.push(match self.inner {
                        Input::Left => (inner, outer),
                        Input::Right => (outer, inner),
                    });
                }
            }
        }
    }

    fn bounds<'b>(&self, rows: &'b [Wide], start: usize) -> Bounds<'b> {
        Bounds {
            rows: &rows[start..],
            stride: if rows.len() > self.width { self.width } else { 0 },
        }
    }

    /// Every inner element's product with the outer one.
    fn products(&self, outer: Element, products: &mut Vec<Element>) {
        products.clear();
        match self.inner {
            Input::Right => products.extend_from_slice(self.group.row(outer)),
            Input::Left => {
                let table = self.group.table().iter();
                products.extend(table.skip(outer.index()).step_by(self.group.order()));
            }
        }
    }

    /// In units, lower bounds on the correct logits of every inner element.
    fn correct_logits(&self, logits: &LogitBounds, outer: Element, single: &mut Vec<f64>, least: &mut [i16]) {
        logits.correct(self.group, outer, self.inner, single);
        for (least, bound) in least.iter_mut().zip(single) {
            // Sound: scaling by a power of two is exact.
            *least = (*bound * self.scale).floor().max(-LARGEST) as i16;
        }
    }

    /// The rows of one outer element, in these columns.
    fn lay_out(&self, outer: Element, columns: std::ops::Range<usize>, rows: &mut Rows) {
        let of_parts: usize = self.parts.iter().map(|part| part.cells * self.panel).sum();
        let (of_parts, mut sums) = rows.rows.split_at_mut(of_parts);
        let mut rest = &mut *of_parts;
        for part in &self.parts {
            let inputs = &part.outer[outer.index() * part.stride..][..part.stride];
            for values in part.values.chunks(BLOCK * part.stride) {
                let activations = &mut rows.activations[..values.len()];
                activate(self.activation, activations, inputs, values);
                let target = rest
                    .split_off_mut(..values.len() / part.stride * self.panel)
                    .expect("a row per cell");
                part.weights.multiply(activations, columns.clone(), target);
            }
        }
        let mut parts: Vec<&[Wide]> = Vec::with_capacity(self.parts.len());
        let mut rest = &*of_parts;
        for part in &self.parts {
            parts.push(rest.split_off(..part.cells * self.panel).expect("a row per cell"));
        }
        for table in self.tables.iter().filter(|table| table.parts.len() > 1) {
            let target = sums
                .split_off_mut(..table.rows * self.panel)
                .expect("a row per combination");
            let parts: Vec<&[Wide]> = table.parts.iter().map(|&part| parts[part]).collect();
            units::add_up(target, self.panel, &parts, &table.cells);
        }
    }
}

/// Counts the sums that reach the lower bound of the correct one, and closes the pairs where another's lower bound exceeds its
/// upper bound: how many.
fn count_whole(tables: &Tables, places: &[Element], (upper, lower): (Bounds, Bounds), counts: &mut [u32]) -> usize {
    tables.count(upper, Least::Of(places, lower), counts);
    let undecided = |count: u32| (2..u32::MAX).contains(&count);
    if !counts.iter().any(|&count| undecided(count)) {
        return 0;
    }
    // What counts more than one is left alone.
    let of_decided = |&count: &u32| if undecided(count) { 0 } else { 2 };
    let mut others: Vec<u32> = counts.iter().map(of_decided).collect();
    tables.count(lower, Least::Above(places, upper), &mut others);
    let mut wrong = 0;
    for (count, others) in counts.iter_mut().zip(others) {
        if undecided(*count) && others > 0 {
            wrong += 1;
            *count = u32::MAX;
        }
    }
    wrong
}

/// The memory of one thread.
struct Memory {
    rows: Rows,
    /// `[n]`: what every inner element's product with the outer one is, and its logit.
    places: Vec<Element>,
    single: Vec<f64>,
    /// By outer element, `[n]`: what a sum must reach to count, and how many do.
    least: Vec<i16>,
    counts: Vec<u32>,
}

/// The rows of one outer element.
struct Rows {
    activations: Vec<i16>,
    /// `[_, panel]`: of every cell of every part, and of every row of tables of several parts.
    rows: Vec<Wide>,
}

impl Memory {
    fn new(tier: &PartitionTier) -> Self {
        let n = tier.group.order();
        let batch = if tier.panel < tier.width { BATCH } else { 1 };
        let of_parts: usize = tier.parts.iter().map(|part| part.cells).sum();
        let several = tier.tables.iter().filter(|table| table.parts.len() > 1);
        let of_tables: usize = several.map(|table| table.rows).sum();
        let most = tier.parts.iter().map(|part| BLOCK.min(part.cells) * part.stride).max();
        Self {
            rows: Rows {
                activations: vec![0; most.unwrap_or(0)],
                rows: vec![Wide::ZERO; (of_parts + of_tables) * tier.panel],
            },
            places: Vec::with_capacity(n),
            single: Vec::with_capacity(n),
            least: vec![0; batch * n],
            counts: vec![0; batch * n],
        }
    }
}

/// Bounds in units, rounded; what is beyond them is the least number.
fn wide_row(bounds: impl Iterator<Item = f64>, width: usize) -> Vec<Wide> {
    let mut row = vec![Wide::LEAST; width];
    for (number, bound) in row.iter_mut().flat_map(|wide| &mut wide.0).zip(bounds) {
        *number = bound.round() as i16;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::partition::Choices;
    use crate::group::spec;
    use ndarray::{Array1, Array2};
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Functions that are constant on cosets up to noise, over many magnitudes, known up to an error; and one that is as
    /// far from them as that error allows.
    fn functions(group: &Group, m: usize, random: &mut ChaCha8Rng) -> (Array2<f64>, Array1<f64>, Array2<f64>) {
        let n = group.order();
        let mut known = Array2::zeros((n, m));
        let mut exact = Array2::zeros((n, m));
        let mut error = Array1::zeros(m);
        for i in 0..m {
            let generator = Element(random.random_range(0..n as u16));
            let subgroup = crate::group::Subgroup::generated(group, &[generator]);
            let cosets = [subgroup.left_cosets(group), subgroup.right_cosets(group)][i % 2].clone();
            let noise = [0.0, 1e-13, 1e-3, 0.1, 1.0][random.random_range(0..5)];
            let size = 10.0_f64.powf(random.random_range(-3.0..3.0));
            error[i] = [0.0, 1e-9, 1e-2][random.random_range(0..3)] * size;
            let values: Vec<f64> = (0..n).map(|_| random.random_range(-1.0..1.0)).collect();
            for x in group.elements() {
                let off: f64 = random.random_range(-1.0..1.0);
                let value = size * (values[cosets.number(x)] + noise * off);
                known[[x.index(), i]] = value;
                exact[[x.index(), i]] = value + error[i] * [-1.0, 1.0][random.random_range(0..2)];
            }
        }
        (known, error, exact)
    }

    /// What all logits are in the units of the tier, by pair of outer and inner element.
    fn check(tier: &PartitionTier, exact: &dyn Fn(usize, usize) -> Array1<f64>) -> Result<(), TestCaseError> {
        let n = tier.group.order();
        let mut memory = Memory::new(tier);
        for start in (0..tier.width).step_by(tier.panel) {
            let columns = start..tier.width.min(start + tier.panel);
            for outer in tier.group.elements() {
                tier.lay_out(outer, columns.clone(), &mut memory.rows);
                let tables = Tables {
                    rows: &memory.rows.rows,
                    starts: &tier.starts,
                    width: columns.len(),
                };
                for inner in 0..n {
                    let logits = exact(outer.index(), inner);
                    for z in start * LANES..n.min(columns.end * LANES) {
                        let at = z - start * LANES;
                        let upper = tables.sum(tier.bounds(&tier.upper, start), inner, at);
                        let lower = tables.sum(tier.bounds(&tier.lower, start), inner, at);
                        prop_assert!(upper <= i32::from(i16::MAX) && lower >= i32::from(i16::MIN));
                        let logit = logits[z] * tier.scale;
                        prop_assert!(
                            f64::from(lower) <= logit && logit <= f64::from(upper),
                            "{lower} {logit} {upper}"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn every_logit_is_between_its_bounds(
            which in 0..5_usize, m in 1..60_usize, seed: u64, abs: bool, pointwise: bool, worth in -8..2_i32, whole: bool,
        ) {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let group = spec::parse(["C7", "S3", "S4", "C37", "C2xC35"][which]).unwrap();
            let n = group.order();
            let (left, left_error, exact_left) = functions(&group, m, &mut random);
            let (right, right_error, exact_right) = functions(&group, m, &mut random);
            let folded = Folded {
                unembed: Array2::from_shape_fn((m, n), |_| random.random_range(-1.0..1.0) * 10.0_f64.powf(random.random_range(-3.0..0.0))),
                bias: Array1::from_shape_fn(n, |_| random.random_range(-1.0..1.0)),
                left,
                right,
                left_error,
                right_error,
                activation: if abs { Activation::Abs } else { Activation::Relu },
            };
            let inner = [Input::Left, Input::Right][random.random_range(0..2)];
            let choices = Choices::new(&folded, &group, inner);
            let mut partitions = choices.partitions(10.0_f64.powi(worth) * choices.most(), pointwise);
            if !whole {
                partitions.panel = 1;
            }
            for part in &mut partitions.parts {
                if random.random_bool(0.2) {
                    part.cells.iter_mut().for_each(|cell| *cell = random.random_range(0..n as u16));
                }
            }
            if let Some(tier) = PartitionTier::new(&folded, &group, &partitions) {
                check(&tier, &|outer, inner_element| {
                    let (x, y) = match inner {
                        Input::Left => (inner_element, outer),
                        Input::Right => (outer, inner_element),
                    };
                    let act = |i: usize| folded.activation.apply(exact_left[[x, i]] + exact_right[[y, i]]);
                    Array1::from_shape_fn(m, act).dot(&folded.unembed) + &folded.bias
                })?;
            }
        }
    }
}
