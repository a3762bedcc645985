//! The inputs of the neurons in float64, row by row: the few pairs that float32 leaves need few of them.

use std::sync::OnceLock;

use crate::group::Element;
use crate::network::{Layers, Network};

/// The layers before the activation; rows are made when they are first needed.
pub(super) struct Precise<'a> {
    layers: [Layers<'a>; 2],
    /// The inputs from each x, then from each y.
    rows: [Vec<OnceLock<Vec<f64>>>; 2],
    /// `[m]`: how far the inputs from x and y together can be from the real ones.
    pub(super) error: Vec<f64>,
}

impl<'a> Precise<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        let layers = network.layers();
        let [left, right] = layers.each_ref().map(Layers::errors);
        let rows = || std::iter::repeat_with(OnceLock::new).take(network.order()).collect();
        Self {
            layers,
            rows: [rows(), rows()],
            error: left.iter().zip(&right).map(|(left, right)| left + right).collect(),
        }
    }

    /// `[m]` from x, and from y.
    pub(super) fn inputs(&self, x: Element, y: Element) -> (&[f64], &[f64]) {
        (self.row(0, x), self.row(1, y))
    }

    fn row(&self, side: usize, element: Element) -> &[f64] {
        self.rows[side][element.index()].get_or_init(|| self.layers[side].row(element))
    }
}
