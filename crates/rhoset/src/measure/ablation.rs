//! Ablation: the loss without some neurons, with nothing but them, and with their idealised functions in their place.
//!
//! The neurons of one irrep or one circuit are a block; logits are sums over blocks, so one pass over the inputs serves all
//! blocks at once. Chughtai et al. 2023 (ablated and restricted loss); Wu et al. 2025 (idealised loss by irrep).

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Performance;
use crate::group::{Element, Group};
use crate::network::Folded;
use crate::network::evaluate::{cross_entropy, margin};

/// What a block of neurons contributes: over the inputs of some x ([`spaced`]).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockLosses {
    /// Without the block.
    pub ablated: Performance,
    /// With nothing but the block and the bias.
    pub restricted: Performance,
    /// With the block's idealised functions in its place; none where nothing is idealised.
    pub idealised: Option<Performance>,
}

/// Logits that are looked at for so many blocks together: S5's 120^3 for 2000 blocks, S6's 720^3 for 10.
const MOST_LOGITS: usize = 4_000_000_000;

/// The x at which the losses of so many blocks are taken: all, or where that would cost minutes as many evenly spaced ones
/// as do not. Networks that have learned are nearly equivariant, and do much the same at every x.
pub fn spaced(group: &Group, blocks: usize) -> Vec<Element> {
    let n = group.order();
    let taken = (MOST_LOGITS / (n * n * blocks.max(1))).clamp(1, n);
    (0..taken).map(|k| Element((k * n / taken) as u16)).collect()
}

/// The losses of every block, a set of neurons each, over the inputs of all `xs` and all y; `ideal` has an idealised
/// function for each neuron of the network.
///
/// Costs the logits of these inputs twice, and for each block the losses of three networks; in parallel over x.
///
/// # Panics
/// If the network's order is not the group's, a block names no neuron of it, or `ideal` has another shape.
pub fn blocks(
    network: &Folded,
    group: &Group,
    blocks: &[Vec<usize>],
    ideal: Option<&Folded>,
    xs: &[Element],
) -> Vec<BlockLosses> {
    assert_eq!(network.order(), group.order(), "a network over this group");
    if blocks.is_empty() {
        return Vec::new();
    }
    let unembeds = |network: &Folded| -> Vec<Array2<f64>> {
        blocks
            .iter()
            .map(|block| network.unembed.select(Axis(0), block))
            .collect()
    };
    let unembed = unembeds(network);
    let ideal = ideal.map(|ideal| (ideal, unembeds(ideal)));
    let rows: Vec<Vec<[Sums; 3]>> = xs
        .par_iter()
        .map(|&x| {
            let hidden = hidden(network, x);
            let logits = hidden.dot(&network.unembed) + &network.bias;
            let ideal = ideal.as_ref().map(|(ideal, unembed)| (self::hidden(ideal, x), unembed));
            let products = group.row(x);
            (blocks.iter().enumerate())
                .map(|(b, block)| {
                    let own = hidden.select(Axis(1), block).dot(&unembed[b]);
                    let ablated = &logits - &own;
                    let restricted = Sums::of((own + &network.bias).view(), products);
                    let idealised = ideal.as_ref().map_or(Sums::default(), |(hidden, unembed)| {
                        let replaced = hidden.select(Axis(1), block).dot(&unembed[b]) + &ablated;
                        Sums::of(replaced.view(), products)
                    });
                    [Sums::of(ablated.view(), products), restricted, idealised]
                })
                .collect()
        })
        .collect();
    (0..blocks.len())
        .map(|b| {
            let mean = |which: usize| {
                let sums = rows.iter().map(|row| row[b][which]);
                sums.fold(Sums::default(), Sums::and)
                    .performance(xs.len() * group.order())
            };
            BlockLosses {
                ablated: mean(0),
                restricted: mean(1),
                idealised: ideal.is_some().then(|| mean(2)),
            }
        })
        .collect()
}

/// The activations of all neurons at one x: `[n, m]`, one row per y.
fn hidden(network: &Folded, x: Element) -> Array2<f64> {
    let mut hidden = &network.right + &network.left.row(x.index());
    hidden.mapv_inplace(|t| network.activation.apply(t));
    hidden
}

/// Right answers and loss, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    correct: usize,
    loss: f64,
}

impl Sums {
    /// Of the logits at one x, one row per y.
    pub(super) fn of(logits: ArrayView2<f64>, products: &[Element]) -> Self {
        let mut sums = Self::default();
        for (row, &product) in logits.rows().into_iter().zip(products) {
            sums.correct += usize::from(margin(row, product) > 0.0);
            sums.loss += cross_entropy(row, product);
        }
        sums
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self {
            correct: self.correct + other.correct,
            loss: self.loss + other.loss,
        }
    }

    /// Means over so many inputs.
    pub(super) fn performance(self, inputs: usize) -> Performance {
        Performance {
            accuracy: self.correct as f64 / inputs as f64,
            cross_entropy: self.loss / inputs as f64,
        }
    }
}
