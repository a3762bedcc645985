//! The tables at the few z that can matter, for all y of one x at a time.
//!
//! For a given x the two-sided and the right table are one function of w = z y^-1, and only entries that come near the
//! correct logit, whatever the rest adds at most, are looked at. What depends on y is laid out by w, so that such an entry
//! meets all y in rows of float32 numbers; A(x, z), which would have to be gathered, is looked up only where its maximum
//! does not suffice.

use super::{Gaps, OrbitTier};
use crate::group::{Element, Group};
use crate::verify::lanes;
use multiversion::multiversion;
use rayon::prelude::*;

/// Numbers that are looked at together.
const LANES: usize = 16;

/// The tables laid out by w.
pub struct Scan<'t> {
    tier: &'t OrbitTier<'t>,
    /// n, rounded up to whole lanes.
    stride: usize,
    /// `[n]`: the mean of A over x.
    mean: Vec<f64>,
    /// `[n, stride]`: B, the slack and the mean of A at (y, w y), by w and y.
    of_y: Vec<f32>,
    /// `[n, stride]`: T_L at (v y, y), by v = x^-1 w and y.
    left: Option<Vec<f32>>,
    /// `[stride]`: the most that B and T_L add to any wrong logit.
    most_of_y: Vec<f32>,
    /// Bounds the float32 rounding of one sum of entries.
    rounding: f32,
}

/// One x: its entries of the tables by w, and A by z.
struct Row {
    x: Element,
    /// `[n]`: the sum of T and T_R at w; minus infinity at the correct logit's.
    entries: Vec<f32>,
    /// `[n]`: what A has besides its mean over x, and the most of it.
    upper: Vec<f32>,
    most: f32,
    numbers: Vec<usize>,
    sum: Vec<f64>,
}

impl<'t> Scan<'t> {
    /// O(n^2); `None` where a table overflowed and nothing can be proved.
    pub fn new(tier: &'t OrbitTier<'t>, gaps: &Gaps) -> Option<Self> {
        let (n, group) = (tier.group.order(), tier.group);
        let stride = n.next_multiple_of(LANES);
        let largest_left = tier.tables.left.as_deref().map_or(0.0, lanes::largest);
        let largest = [
            lanes::largest(&tier.tables.two_sided),
            tier.tables.right.as_deref().map_or(0.0, lanes::largest),
            largest_left,
            gaps.largest_of_x + gaps.largest_of_y,
        ];
        let largest: f64 = largest.iter().sum();
        if !tier.finite || largest.is_nan() || largest > 1e30 {
            return None;
        }
        // Sound: at most ten roundings of each number and sum, each within 2^-24 of it; the last term is underflow.
        let rounding = (64.0 * 2.0_f64.powi(-24) * largest + 1e-36) as f32;
        // What A has at every x alike is laid out with B, so that A's own part, looked up last, is small.
        let mean = tier.of_x.mean_row();
        let of_y = || {
            let (mut numbers, mut most) = (Vec::new(), Vec::with_capacity(stride));
            let of_y = by_w(group, stride, |y, row| {
                tier.of_y.row(group, y, row, &mut numbers);
                lanes::add_scaled(row, 1.0, &mean);
                lanes::add_scaled(row, 1.0, &tier.upper);
                most.push(above(lanes::maximum(row)));
            });
            (of_y, most)
        };
        let left = tier.tables.left.as_ref();
        let ((of_y, mut most_of_y), left) = super::join(tier.parallel, of_y, || {
            let of = |table: &Vec<f64>| {
                by_w(group, stride, |y, row| {
                    row.copy_from_slice(&table[y.index() * n..(y.index() + 1) * n])
                })
            };
            left.map(of)
        });
        if let Some(table) = &tier.tables.left {
            for ((y, row), most) in table.chunks_exact(n).enumerate().zip(&mut most_of_y) {
                *most += above(largest_but(row, y));
            }
        }
        most_of_y.iter_mut().for_each(|most| *most += rounding);
        most_of_y.resize(stride, f32::NEG_INFINITY);
        Some(Self {
            tier,
            stride,
            mean,
            of_y,
            left,
            most_of_y,
            rounding,
        })
    }

    /// Prepares an x.
    fn prepare(&self, x: Element, row: &mut Row) {
        let (tier, group) = (self.tier, self.tier.group);
        let n = group.order();
        row.x = x;
        tier.of_x.row(group, x, &mut row.sum, &mut row.numbers);
        lanes::add_scaled(&mut row.sum, -1.0, &self.mean);
        for (upper, value) in row.upper.iter_mut().zip(&row.sum) {
            *upper = *value as f32 + self.rounding;
        }
        row.most = row.upper.iter().fold(f32::NEG_INFINITY, |most, &v| f32::max(most, v));
        let right = tier
            .tables
            .right
            .as_ref()
            .map(|table| &table[x.index() * n..(x.index() + 1) * n]);
        let by_w = group.row(group.inv(x));
        let entry = |w: Element| {
            (tier.tables.two_sided[by_w[w.index()].index()] + right.map_or(0.0, |right| right[w.index()])) as f32
        };
        row.entries.clear();
        row.entries.extend(group.elements().map(entry));
        row.entries[x.index()] = f32::NEG_INFINITY;
    }

    /// Raises `floor[y]`, `[stride]`, to the largest upper bound on a wrong logit; infinite floors beyond n stay.
    fn raise(&self, row: &Row, floor: &mut [f32]) {
        let group = self.tier.group;
        let inverse = group.inv(row.x);
        // No entry below this reaches any y's floor.
        let least = least_difference(floor, &self.most_of_y) - row.most;
        let mut blocks = Vec::new();
        for (w, &entry) in group.elements().zip(&row.entries) {
            if entry < least || entry == f32::NEG_INFINITY {
                continue;
            }
            let of_y = &self.of_y[w.index() * self.stride..][..self.stride];
            let v = group.mul(inverse, w);
            let left = self
                .left
                .as_ref()
                .map(|left| &left[v.index() * self.stride..][..self.stride]);
            blocks.clear();
            match left {
                None => blocks_reaching(&mut blocks, entry + row.most, of_y, floor),
                Some(left) => blocks_reaching_both(&mut blocks, entry + row.most, of_y, left, floor),
            }
            let images = group.row(w);
            for &block in &blocks {
                let here = block * LANES..(block + 1) * LANES;
                let images = &images[here.start..images.len().min(here.end)];
                let mut bounds = [entry; LANES];
                for (bound, z) in bounds.iter_mut().zip(images) {
                    *bound += row.upper[z.index()];
                }
                let (of_y, left) = (&of_y[here.clone()], left.map(|left| &left[here.clone()]));
                let mut reaching = reaching_lanes(&mut bounds, of_y, left, &floor[here.clone()]);
                while reaching != 0 {
                    let k = reaching.trailing_zeros() as usize;
                    reaching &= reaching - 1;
                    floor[here.start + k] = bounds[k];
                }
            }
        }
    }

    /// `[n, n]`: for every pair an upper bound on `f(z | x, y)` over all z other than xy; in parallel.
    pub fn bounds(&self) -> Vec<f64> {
        let n = self.tier.group.order();
        let mut bounds = vec![f64::NEG_INFINITY; n * n];
        let rows = bounds
            .par_chunks_mut(n)
            .zip(self.tier.group.elements().collect::<Vec<_>>());
        rows.for_each_init(
            || (Row::new(n), Vec::new()),
            |(row, floor), (bounds, x)| {
                self.prepare(x, row);
                floor.clear();
                floor.resize(n, f32::NEG_INFINITY);
                floor.resize(self.stride, f32::INFINITY);
                self.raise(row, floor);
                bounds
                    .iter_mut()
                    .zip(&*floor)
                    .for_each(|(bound, &most)| *bound = f64::from(most));
            },
        );
        bounds
    }
}

/// `[n, stride]`: at w and y what `fill` puts at w y in the row of y.
fn by_w(group: &Group, stride: usize, mut fill: impl FnMut(Element, &mut [f64])) -> Vec<f32> {
    let n = group.order();
    let mut table = vec![0.0; n * stride];
    let mut rows = vec![0.0; LANES * n];
    let ys: Vec<Element> = group.elements().collect();
    for (block, ys) in ys.chunks(LANES).enumerate() {
        for (&y, row) in ys.iter().zip(rows.chunks_exact_mut(n)) {
            fill(y, row);
        }
        for (w, entries) in group.elements().zip(table.chunks_exact_mut(stride)) {
            let images = &group.row(w)[block * LANES..][..ys.len()];
            let entries = &mut entries[block * LANES..][..ys.len()];
            for ((entry, z), row) in entries.iter_mut().zip(images).zip(rows.chunks_exact(n)) {
                *entry = row[z.index()] as f32;
            }
        }
    }
    table
}

impl Row {
    /// Memory for a group of this order.
    fn new(order: usize) -> Self {
        Self {
            x: Element(0),
            entries: Vec::with_capacity(order),
            upper: vec![0.0; order],
            most: 0.0,
            numbers: Vec::new(),
            sum: vec![0.0; order],
        }
    }
}

/// The blocks of y for some of which `entry + of_y` reaches the floor.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2"))]
fn blocks_reaching(blocks: &mut Vec<usize>, entry: f32, of_y: &[f32], floor: &[f32]) {
    let (of_y, floor) = (of_y.as_chunks::<LANES>().0, floor.as_chunks::<LANES>().0);
    for (block, (of_y, floor)) in of_y.iter().zip(floor).enumerate() {
        let mut any = false;
        for k in 0..LANES {
            any |= entry + of_y[k] >= floor[k];
        }
        if any {
            blocks.push(block);
        }
    }
}

/// The same with T_L.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2"))]
fn blocks_reaching_both(blocks: &mut Vec<usize>, entry: f32, of_y: &[f32], left: &[f32], floor: &[f32]) {
    let (of_y, floor) = (of_y.as_chunks::<LANES>().0, floor.as_chunks::<LANES>().0);
    let left = left.as_chunks::<LANES>().0;
    for (block, ((of_y, left), floor)) in of_y.iter().zip(left).zip(floor).enumerate() {
        let mut any = false;
        for k in 0..LANES {
            any |= entry + (of_y[k] + left[k]) >= floor[k];
        }
        if any {
            blocks.push(block);
        }
    }
}

/// Adds what depends on y to the bounds of 16 y; the lanes that then reach the floor, as bits.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2"))]
fn reaching_lanes(bounds: &mut [f32; LANES], of_y: &[f32], left: Option<&[f32]>, floor: &[f32]) -> u32 {
    for (bound, of_y) in bounds.iter_mut().zip(of_y) {
        *bound += of_y;
    }
    if let Some(left) = left {
        for (bound, left) in bounds.iter_mut().zip(left) {
            *bound += left;
        }
    }
    let mut lanes = 0;
    for (k, (bound, floor)) in bounds.iter().zip(floor).enumerate() {
        lanes |= u32::from(bound >= floor) << k;
    }
    lanes
}

/// The least of `a[i] - b[i]`, of whole blocks.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2"))]
fn least_difference(a: &[f32], b: &[f32]) -> f32 {
    let mut least = [f32::INFINITY; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for k in 0..LANES {
            let difference = a[k] - b[k];
            least[k] = if difference < least[k] { difference } else { least[k] };
        }
    }
    least.into_iter().fold(f32::INFINITY, f32::min)
}

/// A float32 number that is not below the value.
fn above(value: f64) -> f32 {
    (value as f32).next_up()
}

/// The largest of the values, one left out.
fn largest_but(values: &[f64], index: usize) -> f64 {
    lanes::maximum(&values[..index]).max(lanes::maximum(&values[index + 1..]))
}
