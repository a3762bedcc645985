//! The orbit tier: what circuits prove, at O(1) per pair (x, y) once their tables stand.
//!
//! Every logit is split into
//!
//! ```text
//! f(z|x,y) = T(x^-1 z y^-1) + T_R(x, z y^-1) + T_L(x^-1 z, y) + A(x, z) + B(y, z) + constant(z) + rest
//! ```
//!
//! with tables T, T_R, T_L from the equivariant parts of the circuits (`docs/soundness.md`, Theorem 4), A and B what depends
//! on one of x and y alone, and `|rest| <= slack(z)` for every x and y (Theorems 3 and 5). Pairs are decided by what x and
//! y have each by themselves ([`OrbitTier::gaps`]), or at the few z that can matter ([`Scan`]).

mod check;
mod defect;
mod kernels;
mod scan;
mod separable;

pub use check::OrbitError;
pub use scan::Scan;

use self::kernels::Tables;
use self::separable::{Separable, Side};
use super::lanes;
use super::rounding::UNIT;
use crate::explain::circuit::{Circuit, Circuits, PointSet, centre};
use crate::explain::partition::Input;
use crate::group::{Element, Group};
use crate::network::Folded;
use ndarray::{Array2, ArrayView2};

/// The tables of the orbit tier.
pub struct OrbitTier<'a> {
    group: &'a Group,
    tables: Tables,
    of_x: Separable<'a>,
    of_y: Separable<'a>,
    /// `[n]`: constant + slack and constant - slack, for bounds from above and from below.
    upper: Vec<f64>,
    lower: Vec<f64>,
    /// Whether no table overflowed; where one did, nothing is certified.
    finite: bool,
    /// Whether there is enough to do for a second thread.
    parallel: bool,
    /// Multiplications and additions spent on the tables.
    pub flops: u64,
}

/// What x and y have each by themselves: the margin at (x, y) is at least `two_sided + of_x[x] + of_y[y]`.
pub struct Gaps {
    /// `T(e) - max T(w)` over w other than e.
    pub two_sided: f64,
    /// `[n]`: the least the correct logit has of what x decides, less the most another can have.
    pub of_x: Vec<f64>,
    /// `[n]`: the same for y.
    pub of_y: Vec<f64>,
    /// Bound the magnitudes of A with the slack, and of B.
    largest_of_x: f64,
    largest_of_y: f64,
}

impl Gaps {
    /// A lower bound on the margin at (x, y); NaN or negative where nothing is proved.
    pub fn margin(&self, x: Element, y: Element) -> f64 {
        (self.two_sided + self.of_x[x.index()]) + self.of_y[y.index()]
    }

    /// What the other input must exceed, by its own gaps `[n]`, to be proved with this one.
    pub fn limit(&self, outer: Element, inner: Input) -> (&[f64], f64) {
        let (of_outer, of_inner) = match inner {
            Input::Left => (&self.of_y, &self.of_x),
            Input::Right => (&self.of_x, &self.of_y),
        };
        (of_inner, -(self.two_sided + of_outer[outer.index()]))
    }

    /// The number of pairs that this proves right.
    pub fn proved(&self, group: &Group) -> usize {
        let proved = |x: Element| {
            let (of_y, limit) = self.limit(x, Input::Right);
            lanes::count_above(of_y, limit)
        };
        group.elements().map(proved).sum()
    }

    /// The pairs that it leaves, by x.
    pub fn left(&self, group: &Group) -> Vec<(Element, Element)> {
        let mut left = Vec::new();
        for x in group.elements() {
            let (of_y, limit) = self.limit(x, Input::Right);
            if lanes::count_above(of_y, limit) < of_y.len() {
                let proved = |y: &Element| of_y[y.index()] > limit;
                left.extend(group.elements().filter(|y| !proved(y)).map(|y| (x, y)));
            }
        }
        left
    }
}

impl<'a> OrbitTier<'a> {
    /// Builds the tables and bounds what they miss.
    ///
    /// Nothing in `circuits` is trusted but that its G-sets are G-sets, which their constructor checked: other errors
    /// make the slack large.
    ///
    /// # Errors
    /// If the circuits speak of neurons or points that do not exist.
    pub fn new(folded: &Folded, group: &'a Group, circuits: &'a Circuits) -> Result<Self, OrbitError> {
        Self::with(folded, group, circuits, |_| true)
    }

    /// The same with some of the circuits only; the neurons of the others count as unexplained.
    ///
    /// # Errors
    /// As [`OrbitTier::new`].
    pub fn with(
        folded: &Folded,
        group: &'a Group,
        circuits: &'a Circuits,
        chosen: impl Fn(usize) -> bool,
    ) -> Result<Self, OrbitError> {
        let (n, m) = (folded.order(), folded.neurons());
        check::check(circuits, m)?;
        let circuits: Vec<&Circuit> = circuits
            .circuits
            .iter()
            .enumerate()
            .filter(|&(i, _)| chosen(i))
            .map(|(_, circuit)| circuit)
            .collect();
        let entries = |c: &&Circuit| n * c.left.len() * c.right.len() * c.kernels.len();
        let parallel = circuits.iter().map(entries).sum::<usize>() >= PARALLEL;
        let rows = folded.unembed.as_standard_layout();
        let rows = rows.as_slice().expect("standard layout");
        let unembed = |neuron: usize| &rows[neuron * n..(neuron + 1) * n];
        let largest_unembed = lanes::largest(rows);
        let (left_distances, right_distances) = join(
            parallel,
            || distances(&circuits, &folded.left, group, Side::Left),
            || distances(&circuits, &folded.right, group, Side::Right),
        );
        let distances: Vec<f64> = left_distances
            .iter()
            .zip(&right_distances)
            .map(|(l, r)| l + r)
            .collect();
        let mut tables = Tables::new(n);
        let (mut of_x, mut of_y) = (Separable::new(Side::Left, n), Separable::new(Side::Right, n));
        // Per neuron: what is left of its activation, and the constant it is replaced by.
        let mut left_over = vec![0.0; m];
        let mut middle = vec![0.0; m];
        let mut explained = vec![false; m];
        let mut distances = distances.into_iter();
        for circuit in &circuits {
            let (a, b) = (circuit.left.len(), circuit.right.len());
            let members = circuit.members.len();
            let (mut cores, mut of_rows, mut of_columns) = (
                vec![0.0; members * a * b],
                vec![0.0; members * a],
                vec![0.0; members * b],
            );
            let parts = cores
                .chunks_exact_mut(a * b)
                .zip(of_rows.chunks_exact_mut(a))
                .zip(of_columns.chunks_exact_mut(b));
            for (member, ((core, row), column)) in circuit.members.iter().zip(parts) {
                centre((&member.left_values, &member.right_values), core, row, column);
                // Sound: relu is 1-Lipschitz (Theorem 3).
                let distance = distances.next().expect("one per member");
                left_over[member.neuron] = distance;
                explained[member.neuron] = true;
                let inputs = lanes::largest(&member.left_values) + lanes::largest(&member.right_values) + distance;
                tables.magnitude += 8.0 * largest_unembed * inputs;
            }
            tables.longest_sum += (members + a * b) as f64;
            tables.flops += (members * (6 * n + 6 * a * b)) as u64;
            let starts = || circuit.members.iter().map(|member| member.neuron * n);
            let left = circuit.members.iter().map(|member| usize::from(member.left_point));
            let right = circuit.members.iter().map(|member| usize::from(member.right_point));
            let of_left = left
                .zip(of_rows.chunks_exact(a))
                .zip(starts())
                .map(|((p, values), start)| (p, values, start));
            let of_right = right
                .zip(of_columns.chunks_exact(b))
                .zip(starts())
                .map(|((q, values), start)| (q, values, start));
            let flops = join(
                parallel,
                || of_x.push(&circuit.left, of_left, rows),
                || of_y.push(&circuit.right, of_right, rows),
            );
            tables.flops += flops.0 + flops.1;
            tables.add(circuit, (rows, largest_unembed), group, &mut cores, parallel);
            for (member, core) in circuit.members.iter().zip(cores.chunks_exact(a * b)) {
                left_over[member.neuron] += lanes::largest(core);
            }
        }
        tables.magnitude += replace_unexplained(folded, &explained, largest_unembed, &mut middle, &mut left_over);
        let mut constant = folded.bias.to_vec();
        let largest_bias = lanes::largest(&constant);
        for i in 0..m {
            let left_over = left_over[i] + folded.left_error[i] + folded.right_error[i];
            lanes::add_scaled_magnitudes(&mut tables.slack, left_over, unembed(i));
            if middle[i] != 0.0 {
                lanes::add_scaled(&mut constant, middle[i], unembed(i));
            }
        }
        tables.flops += (6 * m * n) as u64;
        let magnitude = tables.magnitude + largest_bias;
        // Sound: every value above is a sum of at most `longest_sum` rounded products whose absolute values add up to at
        // most `magnitude`; the factor 32 covers the norms, the bounds themselves and what is added later (Theorem 6).
        let rounding = 32.0 * (tables.longest_sum + (m + 64) as f64) * UNIT * magnitude;
        let slack: Vec<f64> = tables
            .slack
            .iter()
            .map(|slack| slack * (1.0 + 1e-9) + rounding)
            .collect();
        // Sound: an overflow anywhere shows in the magnitude, which bounds every entry, or in these sums.
        let one_sided = [&tables.right, &tables.left].into_iter().flatten();
        let sum: f64 = [&tables.two_sided, &slack, &constant]
            .into_iter()
            .chain(one_sided)
            .map(|values| lanes::sum(values))
            .sum();
        let finite = magnitude < 1e290 && sum.is_finite();
        Ok(Self {
            group,
            finite,
            parallel,
            upper: constant
                .iter()
                .zip(&slack)
                .map(|(constant, slack)| constant + slack)
                .collect(),
            lower: constant
                .iter()
                .zip(&slack)
                .map(|(constant, slack)| constant - slack)
                .collect(),
            flops: tables.flops,
            tables,
            of_x,
            of_y,
        })
    }

    /// Whether anything can be proved: no table overflowed.
    pub fn is_finite(&self) -> bool {
        self.finite
    }

    /// Bounds on margins without any logit evaluated: O(n^2) in all.
    pub fn gaps(&self) -> Gaps {
        let n = self.group.order();
        if !self.finite {
            let nothing = vec![f64::NEG_INFINITY; n];
            return Gaps {
                two_sided: f64::NEG_INFINITY,
                of_x: nothing.clone(),
                of_y: nothing,
                largest_of_x: f64::INFINITY,
                largest_of_y: f64::INFINITY,
            };
        }
        let nothing = vec![0.0; n];
        let ((of_x, largest_of_x), (of_y, largest_of_y)) = join(
            self.parallel,
            || self.gaps_of(&self.of_x, self.tables.right.as_deref(), (&self.upper, &self.lower)),
            || self.gaps_of(&self.of_y, self.tables.left.as_deref(), (&nothing, &nothing)),
        );
        let correct = self.tables.two_sided[self.group.identity().index()];
        Gaps {
            two_sided: correct - self.most_two_sided(),
            of_x,
            of_y,
            largest_of_x,
            largest_of_y,
        }
    }

    /// Flops of [`OrbitTier::gaps`].
    pub fn gap_flops(&self) -> u64 {
        let n = self.group.order() as u64;
        n * (self.of_x.row_flops() + self.of_y.row_flops()) + 10 * n * n
    }

    fn gaps_of(
        &self,
        separable: &Separable,
        table: Option<&[f64]>,
        (upper, lower): (&[f64], &[f64]),
    ) -> (Vec<f64>, f64) {
        let n = self.group.order();
        let (mut row, mut ranges) = (vec![0.0; n], separable.ranges((upper, lower)));
        let mut largest = 0.0_f64;
        let gaps = self
            .group
            .elements()
            .map(|x| {
                let (most, least) = ranges.range(self.group, x);
                largest = largest.max(most.abs()).max(least.abs());
                let one_sided = table.map_or(0.0, |table| {
                    // w = z y^-1 (or x^-1 z) is wrong where it is not x (or y) itself.
                    row.copy_from_slice(&table[x.index() * n..(x.index() + 1) * n]);
                    let correct = std::mem::replace(&mut row[x.index()], f64::NEG_INFINITY);
                    correct - lanes::maximum(&row)
                });
                least - most + one_sided
            })
            .collect();
        (gaps, largest)
    }

    /// A lower bound on the margin at (x, y) from the tables at every z, without any logit evaluated; O(n) times the
    /// number of points with members, for a few pairs.
    pub fn margin(&self, x: Element, y: Element) -> f64 {
        if !self.finite {
            return f64::NEG_INFINITY;
        }
        let (n, group) = (self.group.order(), self.group);
        let (mut of_x, mut of_y, mut numbers) = (vec![0.0; n], vec![0.0; n], Vec::new());
        self.of_x.row(group, x, &mut of_x, &mut numbers);
        self.of_y.row(group, y, &mut of_y, &mut numbers);
        let (x_inverse, y_inverse) = (group.inv(x), group.inv(y));
        let (right, left) = (self.tables.right.as_ref(), self.tables.left.as_ref());
        let known = |z: Element| {
            let (right_w, left_w) = (group.mul(z, y_inverse), group.mul(x_inverse, z));
            self.tables.two_sided[group.mul(left_w, y_inverse).index()]
                + right.map_or(0.0, |table| table[x.index() * n + right_w.index()])
                + left.map_or(0.0, |table| table[y.index() * n + left_w.index()])
                + of_x[z.index()]
                + of_y[z.index()]
        };
        let correct = group.mul(x, y);
        let wrong = group.elements().filter(|&z| z != correct);
        let most = wrong
            .map(|z| known(z) + self.upper[z.index()])
            .fold(f64::NEG_INFINITY, f64::max);
        known(correct) + self.lower[correct.index()] - most
    }

    /// The largest entry of T besides that of the identity.
    fn most_two_sided(&self) -> f64 {
        let identity = self.group.identity().index();
        let (before, after) = self.tables.two_sided.split_at(identity);
        lanes::maximum(before).max(lanes::maximum(&after[1..]))
    }
}

/// Per member of these circuits, one after the other: how far its left (or right) function is from its values on the
/// G-set.
fn distances(circuits: &[&Circuit], matrix: &Array2<f64>, group: &Group, side: Side) -> Vec<f64> {
    let matrix = matrix.as_standard_layout();
    let mut all = Vec::new();
    let mut values: Vec<f64> = Vec::new();
    for circuit in circuits {
        let points = match side {
            Side::Left => &circuit.left,
            Side::Right => &circuit.right,
        };
        values.clear();
        let mut places: Vec<(usize, usize)> = Vec::with_capacity(circuit.members.len());
        for member in &circuit.members {
            let (point, of_points) = match side {
                Side::Left => (member.left_point, &member.left_values),
                Side::Right => (member.right_point, &member.right_values),
            };
            places.push((member.neuron, usize::from(point)));
            values.extend(of_points);
        }
        all.extend(distances_in(points, &places, &values, matrix.view(), group, side));
    }
    all
}

fn distances_in(
    points: &PointSet,
    places: &[(usize, usize)],
    values: &[f64],
    matrix: ArrayView2<f64>,
    group: &Group,
    side: Side,
) -> Vec<f64> {
    // Members at one point next to each other, so that what they should be is one row for each place the point is moved to.
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&member| places[member].1);
    let neurons: Vec<usize> = order.iter().map(|&member| places[member].0).collect();
    let mut by_point: Vec<(usize, usize, usize)> = Vec::new();
    let mut expected = vec![0.0; values.len()];
    let mut end = 0;
    for members in order.chunk_by(|&i, &j| places[i].1 == places[j].1) {
        let (begin, count) = (end, members.len());
        end += count;
        for (k, &member) in members.iter().enumerate() {
            let values = &values[member * points.len()..(member + 1) * points.len()];
            for (to, value) in values.iter().enumerate() {
                expected[begin * points.len() + to * count + k] = *value;
            }
        }
        by_point.push((places[members[0]].1, begin, end));
    }
    let mut sorted = vec![0.0; neurons.len()];
    for x in group.elements() {
        let row = matrix.row(x.index());
        let row = row.to_slice().expect("standard layout");
        let moved = side.moved(points, group, x);
        for &(point, begin, end) in &by_point {
            let at = begin * points.len() + usize::from(moved[point]) * (end - begin);
            let members = neurons[begin..end].iter().zip(&expected[at..at + end - begin]);
            for ((&neuron, expected), distance) in members.zip(&mut sorted[begin..end]) {
                let off = (row[neuron] - expected).abs();
                *distance = if off > *distance { off } else { *distance };
            }
        }
    }
    let mut distances = vec![0.0; places.len()];
    order
        .iter()
        .zip(sorted)
        .for_each(|(&member, distance)| distances[member] = distance);
    distances
}

/// Neurons in no circuit: each activation lies in an interval; its middle is a constant, half its width is left over.
///
/// Returns a bound on the absolute values that are added up.
fn replace_unexplained(
    folded: &Folded,
    explained: &[bool],
    largest_unembed: f64,
    middle: &mut [f64],
    left_over: &mut [f64],
) -> f64 {
    if explained.iter().all(|&explained| explained) {
        return 0.0;
    }
    let (left, right) = (Ranges::of_columns(&folded.left), Ranges::of_columns(&folded.right));
    let mut magnitude = 0.0;
    for neuron in (0..explained.len()).filter(|&i| !explained[i]) {
        let (lo, hi) = (
            left.least[neuron] + right.least[neuron],
            left.most[neuron] + right.most[neuron],
        );
        let (lo, hi) = (lo.max(0.0), hi.max(0.0));
        (middle[neuron], left_over[neuron]) = ((hi + lo) / 2.0, (hi - lo) / 2.0);
        let inputs = [
            left.least[neuron],
            left.most[neuron],
            right.least[neuron],
            right.most[neuron],
        ];
        magnitude += largest_unembed * inputs.iter().map(|v| v.abs()).sum::<f64>();
    }
    magnitude
}

/// The least and the largest entry of every column.
struct Ranges {
    least: Vec<f64>,
    most: Vec<f64>,
}

impl Ranges {
    /// One pass over the rows, which are contiguous.
    fn of_columns(matrix: &Array2<f64>) -> Self {
        let matrix = matrix.as_standard_layout();
        let mut ranges = Self {
            least: vec![f64::INFINITY; matrix.ncols()],
            most: vec![f64::NEG_INFINITY; matrix.ncols()],
        };
        for row in matrix.rows() {
            let row = row.to_slice().expect("standard layout");
            lanes::widen(&mut ranges.least, &mut ranges.most, row);
        }
        ranges
    }
}

/// Entries of kernels times n from which on a second thread pays: waking one takes as long as the tables of small circuits,
/// and one that has work again and again need not be woken.
const PARALLEL: usize = 1 << 15;

fn join<A: Send, B: Send>(parallel: bool, a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if parallel { rayon::join(a, b) } else { (a(), b()) }
}
