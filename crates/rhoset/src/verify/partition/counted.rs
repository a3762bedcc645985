//! The functions of the neurons in parts, and the steps in which they are counted.

use super::rows::count;
use crate::explain::partition::Partitions;
use crate::verify::rounding::OUTWARD;
use crate::verify::{fixed, lanes};

/// The neurons in parts, in their order: their functions and how they are counted.
pub(super) struct Counted {
    pub(super) order: Vec<usize>,
    /// `[n, k]`.
    pub(super) outer: Vec<f64>,
    pub(super) inner: Vec<f64>,
    /// `[k]`: what a step of the input stands for, how many there are in one, and how far the inner function is from its
    /// values on the cells.
    pub(super) steps: Vec<f64>,
    pub(super) per: Vec<f64>,
    pub(super) off: Vec<f64>,
    /// By part, `[cells, neurons]`: the inner function on the cells, in steps.
    pub(super) values: Vec<Vec<i16>>,
}

impl Counted {
    pub(super) fn new(partitions: &Partitions, (outer, inner): (&[f64], &[f64]), m: usize, inputs: &[f64]) -> Self {
        let parts = || partitions.parts.iter();
        let order: Vec<usize> = parts().flat_map(|part| part.neurons.iter().copied()).collect();
        let k = order.len();
        // Another thread that is awake now will be when there is more for it to do.
        let (outer, inner) = rayon::join(|| in_order(outer, m, &order), || in_order(inner, m, &order));
        let steps: Vec<f64> = order.iter().map(|&i| fixed::step(inputs[i])).collect();
        let per: Vec<f64> = steps.iter().map(|step| 1.0 / step).collect();
        let mut off = vec![0.0; k];
        let mut values = Vec::with_capacity(partitions.parts.len());
        let mut start = 0;
        for part in parts() {
            let (cells, count) = (count(&part.cells), part.neurons.len());
            let mut least = vec![f64::INFINITY; cells * count];
            let mut most = vec![f64::NEG_INFINITY; cells * count];
            for (row, &cell) in inner.chunks_exact(k).zip(&part.cells) {
                let here = usize::from(cell) * count..(usize::from(cell) + 1) * count;
                lanes::widen(&mut least[here.clone()], &mut most[here], &row[start..start + count]);
            }
            let value = |(place, (&least, &most)): (usize, (&f64, &f64))| {
                // A cell without elements is never looked up.
                if least > most {
                    return 0;
                }
                let at = start + place % count;
                let value = fixed::in_steps(0.5 * (least + most), per[at]);
                let middle = f64::from(value) * steps[at];
                // Sound: differences of two numbers, rounded once.
                off[at] = f64::max(off[at], (most - middle).max(middle - least) * OUTWARD);
                value
            };
            values.push(least.iter().zip(&most).enumerate().map(value).collect());
            start += count;
        }
        Self {
            order,
            outer,
            inner,
            steps,
            per,
            off,
            values,
        }
    }
}

/// `[n, order]`: these columns of `[n, m]` in this order.
fn in_order(matrix: &[f64], m: usize, order: &[usize]) -> Vec<f64> {
    let mut columns = vec![0.0; matrix.len() / m * order.len()];
    for (to, row) in columns.chunks_exact_mut(order.len().max(1)).zip(matrix.chunks_exact(m)) {
        to.iter_mut().zip(order).for_each(|(to, &i)| *to = row[i]);
    }
    columns
}
