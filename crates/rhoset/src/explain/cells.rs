//! Cells without a subgroup: inputs that several neurons hardly tell apart.
//!
//! Over a cyclic group of prime order no coset helps, but a neuron's function is a wave, and neurons of one frequency know
//! of an input little more than an arc on a circle. Neurons are put together by the irreps that their functions share, and
//! inputs by how near their values are to one another, in all neurons of a set at once.

use crate::explain::partition::Input;
use crate::group::Group;
use ndarray::{Array2, ArrayView2, Axis};

/// Sets of functions, the columns of an `[n, m]` matrix, that share irreps: two are alike where at least half of their
/// energy is in the same isotypic components, and a set is what chains of such pairs connect. Constants are in none.
///
/// With centred f and g the sum over h of <f, f'(h)>^2, f' translated by h, is that over irreps of their energies' products,
/// up to dimensions (Schur). O(m^2 n^2).
pub(super) fn alike(functions: ArrayView2<f64>, group: &Group, inner: Input) -> Vec<Vec<usize>> {
    let mean = functions.mean_axis(Axis(0)).expect("elements");
    let centred = &functions - &mean;
    let mut shared = Array2::<f64>::zeros((functions.ncols(), functions.ncols()));
    for h in group.elements() {
        let places: Vec<usize> = group
            .elements()
            .map(|x| match inner {
                Input::Left => group.mul(h, x).index(),
                Input::Right => group.mul(x, h).index(),
            })
            .collect();
        let inner_products = centred.t().dot(&centred.select(Axis(0), &places));
        shared.zip_mut_with(&inner_products, |shared, product| *shared += product * product);
    }
    let m = functions.ncols();
    let mut sets: Vec<Vec<usize>> = Vec::new();
    for i in (0..m).filter(|&i| shared[[i, i]] > 0.0) {
        let near = |&j: &usize| shared[[i, j]] > 0.5 * (shared[[i, i]] * shared[[j, j]]).sqrt();
        let (mut own, others): (Vec<_>, Vec<_>) = sets.into_iter().partition(|set| set.iter().any(near));
        own.push(vec![i]);
        sets = others;
        sets.push(own.concat());
    }
    sets
}

/// The cell of every point, the rows of an `[n, d]` matrix: `count` of them, near their means (k-means, from points as far
/// from one another as can be).
pub(super) fn nearest(points: ArrayView2<f64>, count: usize) -> Vec<u16> {
    let distance = |a: ndarray::ArrayView1<f64>, b: ndarray::ArrayView1<f64>| {
        a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
    };
    let n = points.nrows();
    let mut means = points.select(Axis(0), &[0]);
    let mut far: Vec<f64> = points
        .rows()
        .into_iter()
        .map(|point| distance(point, means.row(0)))
        .collect();
    while means.nrows() < count.min(n) {
        let next = (0..n).max_by(|&a, &b| far[a].total_cmp(&far[b])).expect("points");
        means.push_row(points.row(next)).expect("the same length");
        for (far, point) in far.iter_mut().zip(points.rows()) {
            *far = far.min(distance(point, points.row(next)));
        }
    }
    let mut cells = vec![u16::MAX; n];
    for _ in 0..ROUNDS {
        let mut changed = false;
        for (cell, point) in cells.iter_mut().zip(points.rows()) {
            let nearest = (0..means.nrows())
                .min_by(|&a, &b| distance(point, means.row(a)).total_cmp(&distance(point, means.row(b))))
                .expect("means");
            changed |= usize::from(*cell) != nearest;
            *cell = nearest as u16;
        }
        if !changed {
            break;
        }
        let mut counts = vec![0.0; means.nrows()];
        means.fill(0.0);
        for (&cell, point) in cells.iter().zip(points.rows()) {
            let cell = usize::from(cell);
            counts[cell] += 1.0;
            means.row_mut(cell).zip_mut_with(&point, |mean, value| *mean += value);
        }
        for (mut mean, &count) in means.rows_mut().into_iter().zip(&counts) {
            // A cell that has lost its points stays where nothing is near it.
            mean.mapv_inplace(|value| if count > 0.0 { value / count } else { f64::INFINITY });
        }
    }
    numbered(cells)
}

/// More rounds change little.
const ROUNDS: usize = 20;

/// The same cells, numbered as they occur.
fn numbered(mut cells: Vec<u16>) -> Vec<u16> {
    let mut numbers: Vec<u16> = Vec::new();
    for cell in &mut cells {
        let number = numbers.iter().position(|number| number == cell);
        *cell = number.unwrap_or_else(|| {
            numbers.push(*cell);
            numbers.len() - 1
        }) as u16;
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::spec;

    /// Waves over C29 by frequency and phase.
    fn waves(waves: &[(usize, f64)]) -> Array2<f64> {
        let angle = |x: usize, frequency: usize| (x * frequency % 29) as f64 / 29.0 * std::f64::consts::TAU;
        Array2::from_shape_fn((29, waves.len()), |(x, i)| {
            1.0 + (angle(x, waves[i].0) + waves[i].1).cos()
        })
    }

    #[test]
    fn waves_of_one_frequency_are_alike_whatever_their_phases() {
        let group = spec::parse("C29").unwrap();
        let functions = waves(&[(3, 0.0), (5, 1.0), (3, 1.6), (5, 4.0), (26, 0.3), (7, 0.0)]);
        for inner in [Input::Left, Input::Right] {
            let mut sets = alike(functions.view(), &group, inner);
            sets.iter_mut().for_each(|set| set.sort_unstable());
            sets.sort();
            assert_eq!(sets, [vec![0, 2, 4], vec![1, 3], vec![5]]);
        }
        let constant = Array2::from_elem((29, 2), 3.0);
        assert!(alike(constant.view(), &group, Input::Left).is_empty());
    }

    #[test]
    fn cells_are_arcs_where_points_lie_on_a_circle() {
        // A quarter turn apart: a circle, on which x and x + 10 are next to one another (3 * 10 = 1 modulo 29).
        let points = waves(&[(3, 0.0), (3, std::f64::consts::FRAC_PI_2)]);
        let cells = nearest(points.view(), 8);
        assert_eq!(cells.iter().max(), Some(&7), "all are used");
        let changes = (0..29)
            .filter(|&x| cells[x * 10 % 29] != cells[(x + 1) * 10 % 29])
            .count();
        assert_eq!(changes, 8, "every cell is an arc");
    }

    #[test]
    fn equal_points_share_a_cell_however_many_there_may_be() {
        let points = Array2::from_shape_fn((12, 1), |(x, _)| (x % 3) as f64);
        assert_eq!(nearest(points.view(), 7), [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
    }
}
