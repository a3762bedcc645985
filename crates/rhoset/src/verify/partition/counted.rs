//! The functions of some neurons, the steps in which they are counted, and what that and their cells can miss.

use super::rows::count;
use crate::explain::partition::{Part, largest_activation};
use crate::network::Activation;
use crate::verify::rounding::OUTWARD;
use crate::verify::{fixed, lanes};

/// A folded network, row by row, by which input is exact.
pub(super) struct Matrices<'a> {
    pub(super) activation: Activation,
    /// `[n, m]`.
    pub(super) outer: &'a [f64],
    pub(super) inner: &'a [f64],
    /// `[m, n]`.
    pub(super) unembed: &'a [f64],
    /// `[m]`: what both functions together can be off by.
    pub(super) error: Vec<f64>,
    pub(super) order: usize,
}

impl<'a> Matrices<'a> {
    pub(super) fn unembed(&self, i: usize) -> &'a [f64] {
        &self.unembed[i * self.order..(i + 1) * self.order]
    }

    /// `[n, k]`: these columns.
    fn columns(&self, functions: &[f64], neurons: &[usize]) -> Vec<f64> {
        let mut columns = vec![0.0; self.order * neurons.len()];
        let rows = functions.chunks_exact(self.error.len());
        for (to, row) in columns.chunks_exact_mut(neurons.len().max(1)).zip(rows) {
            to.iter_mut().zip(neurons).for_each(|(to, &i)| *to = row[i]);
        }
        columns
    }
}

/// What some neurons do to logits.
pub(super) struct Share {
    /// `[n]`: what they can be off by, apart from what is bounded for every inner element by itself.
    pub(super) slack: Vec<f64>,
    /// `[n]`: what the magnitudes of their terms, and all that those can be off by, add up to.
    pub(super) magnitude: Vec<f64>,
    /// No number of theirs is larger; not a number where one of them is not.
    pub(super) largest: f64,
}

impl Share {
    fn new(n: usize, largest: f64) -> Self {
        Self {
            slack: vec![0.0; n],
            magnitude: vec![0.0; n],
            largest,
        }
    }

    /// A neuron whose input is at most `input`, whose activation can be off by `missed` and is taken to be off by `off`.
    fn add(&mut self, unembed: &[f64], input: f64, missed: f64, off: f64) {
        lanes::add_scaled_magnitudes(&mut self.slack, off, unembed);
        lanes::add_scaled_magnitudes(&mut self.magnitude, input + missed, unembed);
        // Sums are no numbers where one of their terms is none, maxima would be.
        self.largest += lanes::largest(unembed) + input;
    }

    /// Of the neurons that are in no part.
    pub(super) fn outside(network: &Matrices, neurons: &[usize]) -> Self {
        let functions = Functions::new(network, neurons, &vec![0; network.order]);
        let mut share = Self::new(network.order, functions.largest);
        for (k, &i) in neurons.iter().enumerate() {
            // Sound: an activation is no further from the constant 0 that replaces it than it is large.
            let missed = functions.activation(network.activation, k) * OUTWARD;
            share.add(
                network.unembed(i),
                functions.input(k),
                missed,
                missed + network.error[i],
            );
        }
        share
    }
}

/// The functions of some neurons, and their ranges.
struct Functions {
    /// `[n, k]`.
    outer: Vec<f64>,
    inner: Vec<f64>,
    /// `[k]`, of the outer one and of the inner one.
    ranges: [Ranges; 2],
    /// `[cells, k]`, of the inner one on every cell.
    on_cells: Ranges,
    largest: f64,
}

/// The least and the most numbers of rows.
struct Ranges {
    least: Vec<f64>,
    most: Vec<f64>,
}

impl Ranges {
    /// `[cells, k]`: of the rows of every cell; infinite where it has none.
    fn new(rows: &[f64], k: usize, of: impl Iterator<Item = usize>, cells: usize) -> Self {
        let (mut least, mut most) = (vec![f64::INFINITY; cells * k], vec![f64::NEG_INFINITY; cells * k]);
        for (row, cell) in rows.chunks_exact(k.max(1)).zip(of) {
            let here = cell * k..(cell + 1) * k;
            lanes::widen(&mut least[here.clone()], &mut most[here], row);
        }
        Self { least, most }
    }

    /// `[k]`: of all rows.
    fn all(rows: &[f64], k: usize) -> Self {
        Self::new(rows, k, std::iter::repeat(0), 1)
    }
}

impl Functions {
    /// `cells`: of every inner element.
    fn new(network: &Matrices, neurons: &[usize], cells: &[u16]) -> Self {
        let k = neurons.len();
        let [outer, inner] = [network.outer, network.inner].map(|functions| network.columns(functions, neurons));
        let on_cells = Ranges::new(&inner, k, cells.iter().map(|&cell| usize::from(cell)), count(cells));
        let of_inner = Ranges {
            least: Ranges::all(&on_cells.least, k).least,
            most: Ranges::all(&on_cells.most, k).most,
        };
        Self {
            largest: lanes::largest(&outer) + lanes::largest(&inner),
            ranges: [Ranges::all(&outer, k), of_inner],
            outer,
            inner,
            on_cells,
        }
    }

    /// Above the magnitude of any value of the input, or of one with a value on a cell in it.
    fn input(&self, k: usize) -> f64 {
        let magnitude = |ranges: &Ranges| ranges.most[k].max(-ranges.least[k]);
        1.001 * (magnitude(&self.ranges[0]) + magnitude(&self.ranges[1]))
    }

    /// The most that the activation can be in magnitude.
    fn activation(&self, activation: Activation, k: usize) -> f64 {
        let [outer, inner] = &self.ranges;
        largest_activation(
            activation,
            outer.least[k] + inner.least[k],
            outer.most[k] + inner.most[k],
        )
    }
}

/// The neurons of a part, and how they are counted.
pub(super) struct Counted<'a> {
    pub(super) part: &'a Part,
    /// A row of numbers in steps, padded.
    pub(super) stride: usize,
    /// `[n, stride]`: the outer function, and `[cells, stride]`: the inner one on the cells; in steps.
    pub(super) outer: Vec<i16>,
    pub(super) values: Vec<i16>,
    /// `[n, k]`: the inner function.
    pub(super) inner: Vec<f64>,
    /// `[k]`: what a step of the input stands for, and how far the inner function is from its values on the cells.
    pub(super) steps: Vec<f64>,
    pub(super) off: Vec<f64>,
    pub(super) share: Share,
}

impl<'a> Counted<'a> {
    /// `pointwise`: what the cells miss is bounded for every inner element by itself.
    pub(super) fn new(network: &Matrices, part: &'a Part, pointwise: bool) -> Self {
        let k = part.neurons.len();
        let functions = Functions::new(network, &part.neurons, &part.cells);
        let steps: Vec<f64> = (0..k).map(|k| fixed::step(functions.input(k))).collect();
        let per: Vec<f64> = steps.iter().map(|step| 1.0 / step).collect();
        let stride = k.next_multiple_of(fixed::PADDING);
        let mut outer = vec![0; network.order * stride];
        for (to, from) in outer.chunks_exact_mut(stride).zip(functions.outer.chunks_exact(k)) {
            fixed::row_in_steps(to, from, &per);
        }
        let Ranges { least, most } = &functions.on_cells;
        let (mut values, mut off) = (vec![0; least.len() / k * stride], vec![0.0; k]);
        for (cell, values) in values.chunks_exact_mut(stride).enumerate() {
            let ranges = least[cell * k..].iter().zip(&most[cell * k..]);
            for (at, (value, (&least, &most))) in values.iter_mut().zip(ranges).take(k).enumerate() {
                // A cell without elements is never looked up.
                if least > most {
                    continue;
                }
                *value = fixed::in_steps(0.5 * (least + most), per[at]);
                let middle = f64::from(*value) * steps[at];
                // Sound: differences of two numbers, rounded once.
                off[at] = f64::max(off[at], (most - middle).max(middle - least) * OUTWARD);
            }
        }
        let mut share = Share::new(network.order, functions.largest);
        for (at, &i) in part.neurons.iter().enumerate() {
            // Sound: inputs in steps are off by half a step.
            let mut rounded = 0.5 * steps[at];
            if pointwise {
                // Sound: the difference is in steps as well, and so is its magnitude; each counts half, or the second alone.
                rounded += 0.5 * fixed::step(off[at]);
            }
            let beside = if pointwise { 0.0 } else { off[at] };
            let own = network.error[i] + rounded * OUTWARD + beside;
            share.add(network.unembed(i), functions.input(at), off[at], own);
        }
        Self {
            part,
            stride,
            outer,
            values,
            inner: functions.inner,
            steps,
            off,
            share,
        }
    }
}
