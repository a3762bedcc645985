//! The parts of a circuit that depend on (x, z) or on (y, z) alone.
//!
//! A member at p contributes `row(x^-1 p) u(z)` to A and `column(y q) u(z)` to B. Members at one point are pooled, so that
//! a row of A is a sum of as many rows as there are points with members.

use crate::explain::circuit::PointSet;
use crate::group::{Element, Group};
use crate::verify::lanes;
use crate::verify::rounding::{SINGLE_SUBNORMAL, SINGLE_UNIT};

/// Which of the two factors of a product moves the points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// x, by its inverse.
    Left,
    /// y.
    Right,
}

impl Side {
    /// Where the points go for this x or y.
    pub(super) fn moved<'a>(self, points: &'a PointSet, group: &Group, x: Element) -> &'a [u16] {
        points.moved(match self {
            Self::Left => group.inv(x),
            Self::Right => x,
        })
    }
}

/// A or B, row by row.
pub(super) struct Separable<'a> {
    side: Side,
    order: usize,
    /// `[sum of points^2, n]`: by circuit, point with members, and where that point is moved.
    pooled: Vec<f64>,
    /// Per circuit its set, and per point with members the point and the number of its first row of `pooled`.
    circuits: Vec<(&'a PointSet, Vec<(usize, usize)>)>,
}

impl<'a> Separable<'a> {
    pub(super) fn new(side: Side, order: usize) -> Self {
        Self {
            side,
            order,
            pooled: Vec::new(),
            circuits: Vec::new(),
        }
    }

    /// Adds a circuit: for each member its point, its function of the moved point, and where its row of `unembed` begins.
    /// Returns the flops.
    pub(super) fn push<'m>(
        &mut self,
        points: &'a PointSet,
        members: impl Iterator<Item = (usize, &'m [f64], usize)>,
        unembed: &[f64],
    ) -> u64 {
        let (n, mut flops) = (self.order, 0);
        let mut members: Vec<(usize, &[f64], usize)> = members.collect();
        members.sort_unstable_by_key(|&(point, _, start)| (point, start));
        let mut present: Vec<(usize, usize)> = Vec::new();
        let (mut scales, mut starts) = (Vec::new(), Vec::new());
        for members in members.chunk_by(|a, b| a.0 == b.0) {
            let first = self.pooled.len() / n;
            self.pooled.resize(self.pooled.len() + points.len() * n, 0.0);
            present.push((members[0].0, first));
            starts.clear();
            starts.extend(members.iter().map(|&(.., start)| start));
            for (to, row) in self.pooled[first * n..].chunks_exact_mut(n).enumerate() {
                scales.clear();
                scales.extend(members.iter().map(|&(_, values, _)| values[to]));
                lanes::add_products(row, &scales, unembed, &starts);
            }
            flops += 2 * (points.len() * members.len() * n) as u64;
        }
        self.circuits.push((points, present));
        flops
    }

    /// Flops of one row.
    pub(super) fn row_flops(&self) -> u64 {
        self.circuits
            .iter()
            .map(|(_, present)| (present.len() * self.order) as u64)
            .sum()
    }

    /// `[n]`: A at x, or B at y, for every z. `numbers` is memory.
    pub(super) fn row(&self, group: &Group, x: Element, row: &mut [f64], numbers: &mut Vec<usize>) {
        self.number_rows(group, x, numbers);
        row.fill(0.0);
        lanes::add_rows(row, &self.pooled, numbers);
    }

    /// `[n]`: the mean of A over x, or of B over y.
    pub(super) fn mean_row(&self) -> Vec<f64> {
        let n = self.order;
        let mut mean = vec![0.0; n];
        for (points, present) in &self.circuits {
            let share = 1.0 / points.len() as f64;
            for &(_, first) in present {
                let rows = self.pooled[first * n..(first + points.len()) * n].chunks_exact(n);
                rows.for_each(|row| lanes::add_scaled(&mut mean, share, row));
            }
        }
        mean
    }

    /// A + upper and A + lower (or B), to look at their ranges over z.
    pub(super) fn ranges(&self, (upper, lower): (&[f64], &[f64])) -> RangesOverZ<'_> {
        let terms = self.circuits.iter().map(|(_, present)| present.len()).sum::<usize>() as f64;
        let most = terms * lanes::largest(&self.pooled) + lanes::largest(upper).max(lanes::largest(lower));
        let n = self.order;
        let stride = n.next_multiple_of(lanes::RANGE);
        // What is beyond n widens no range.
        let in_blocks = |rows: &[f64], beyond: f32| {
            let mut single = vec![beyond; rows.len() / n * stride];
            for (single, row) in single.chunks_exact_mut(stride).zip(rows.chunks_exact(n)) {
                lanes::to_single(&mut single[..n], row);
            }
            single
        };
        let pooled = in_blocks(&self.pooled, 0.0);
        let (upper, lower) = (in_blocks(upper, f32::NEG_INFINITY), in_blocks(lower, f32::INFINITY));
        RangesOverZ {
            of: self,
            pooled,
            upper,
            lower,
            // Sound: `terms` + 1 numbers are rounded once each, and their sums as often.
            rounding: if most < f64::from(f32::MAX) / 4.0 {
                2.0 * (terms + 4.0) * (2.0 * SINGLE_UNIT * most + SINGLE_SUBNORMAL)
            } else {
                f64::INFINITY
            },
            numbers: Vec::new(),
        }
    }

    fn number_rows(&self, group: &Group, x: Element, numbers: &mut Vec<usize>) {
        numbers.clear();
        for (points, present) in &self.circuits {
            let moved = self.side.moved(points, group, x);
            numbers.extend(present.iter().map(|&(point, first)| first + usize::from(moved[point])));
        }
    }
}

/// The rows of A or B in float32, with what bounds them from above and below.
pub(super) struct RangesOverZ<'s> {
    of: &'s Separable<'s>,
    pooled: Vec<f32>,
    upper: Vec<f32>,
    lower: Vec<f32>,
    rounding: f64,
    numbers: Vec<usize>,
}

impl RangesOverZ<'_> {
    /// Not less than the largest of A (or B) + upper, and not more than the least of A (or B) + lower, over z.
    pub(super) fn range(&mut self, group: &Group, x: Element) -> (f64, f64) {
        self.of.number_rows(group, x, &mut self.numbers);
        let (most, least) = lanes::range_of_rows(&self.pooled, &self.numbers, &self.upper, &self.lower);
        (f64::from(most) + self.rounding, f64::from(least) - self.rounding)
    }
}
