//! Exact arithmetic for the few logits that float64 cannot tell apart: ties, and weights of hugely different sizes.
//!
//! A float32 number is an integer times a power of two. Each tensor is brought to one power of two, and sums and
//! products are then of integers of any length.

use std::sync::OnceLock;

use ndarray::{ArrayView1, Axis};
use num_bigint::BigInt;

use crate::group::Element;
use crate::network::{Activation, Layers, Network};

/// The stored weights of a network as integers; rows are made when they are first needed.
pub(super) struct Exact<'a> {
    network: &'a Network,
    layers: [Layers<'a>; 2],
    /// `2^-scale` is the unit of the embedding matrices.
    embed_scale: i32,
    /// `2^-scale` is the unit of the linear layers.
    linear_scale: i32,
    unembed_scale: i32,
    bias_scale: i32,
    /// The inputs of the neurons from each x, then from each y.
    inputs: [Vec<OnceLock<Vec<BigInt>>>; 2],
    /// The weights to each logit.
    outputs: Vec<OnceLock<Vec<BigInt>>>,
}

impl<'a> Exact<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        let layers = network.layers();
        let order = network.order();
        let rows = || std::iter::repeat_with(OnceLock::new).take(order).collect();
        Self {
            network,
            embed_scale: scale(layers.iter().flat_map(|layers| layers.embed)),
            linear_scale: scale(layers.iter().flat_map(|layers| layers.linear).flatten()),
            layers,
            unembed_scale: scale(&network.unembed),
            bias_scale: scale(network.bias.iter().flatten()),
            inputs: [rows(), rows()],
            outputs: rows(),
        }
    }

    /// Whether `f(z | x, y) > f(rival | x, y)` in real arithmetic.
    ///
    /// # Panics
    /// For [`Activation::Gelu`], whose values are no rational numbers.
    pub(super) fn beats(&self, x: Element, y: Element, z: Element, rival: Element) -> bool {
        let (left, right) = (self.input(0, x), self.input(1, y));
        let (better, worse) = (self.output(z), self.output(rival));
        let mut sum = BigInt::ZERO;
        for neuron in 0..left.len() {
            let t = &left[neuron] + &right[neuron];
            let hidden = match self.network.activation {
                Activation::Relu if t < BigInt::ZERO => continue,
                Activation::Relu | Activation::Linear => t,
                Activation::Abs => BigInt::from(t.magnitude().clone()),
                Activation::Square => &t * &t,
                Activation::Gelu => unreachable!("GELU has no exact values"),
            };
            sum += (&better[neuron] - &worse[neuron]) * hidden;
        }
        let input_scale = self.embed_scale + self.linear_scale;
        let hidden_scale = match self.network.activation {
            Activation::Square => 2 * input_scale,
            _ => input_scale,
        };
        let Some(bias) = &self.network.bias else {
            return sum > BigInt::ZERO;
        };
        let lead = integer(bias[z.index()], self.bias_scale) - integer(bias[rival.index()], self.bias_scale);
        let shift = hidden_scale + self.unembed_scale - self.bias_scale;
        if shift >= 0 {
            sum + (lead << shift) > BigInt::ZERO
        } else {
            (sum << -shift) + lead > BigInt::ZERO
        }
    }

    /// What x (side 0) or y (side 1) adds to each neuron's input.
    fn input(&self, side: usize, element: Element) -> &[BigInt] {
        self.inputs[side][element.index()].get_or_init(|| {
            let layers = &self.layers[side];
            let row = integers(layers.embed.row(element.index()), self.embed_scale);
            let Some(linear) = layers.linear else { return row };
            linear
                .axis_iter(Axis(1))
                .map(|column| {
                    let column = integers(column, self.linear_scale);
                    row.iter().zip(column).map(|(embed, linear)| embed * linear).sum()
                })
                .collect()
        })
    }

    fn output(&self, z: Element) -> &[BigInt] {
        self.outputs[z.index()].get_or_init(|| integers(self.network.unembed.column(z.index()), self.unembed_scale))
    }
}

/// The least s such that every weight is an integer times `2^-s`; 0 where all are 0.
fn scale<'a>(weights: impl IntoIterator<Item = &'a f32>) -> i32 {
    weights
        .into_iter()
        .map(|&weight| parts(weight))
        .filter(|&(mantissa, _)| mantissa != 0)
        .map(|(_, exponent)| -exponent)
        .max()
        .unwrap_or(0)
}

/// `weight = mantissa * 2^exponent` with an odd mantissa, or 0.
fn parts(weight: f32) -> (i32, i32) {
    let bits = weight.to_bits();
    let (fraction, exponent) = ((bits & 0x7f_ffff) as i32, (bits >> 23 & 0xff) as i32);
    let (magnitude, exponent) = match exponent {
        0 => (fraction, -149),
        _ => (fraction | 0x80_0000, exponent - 150),
    };
    if magnitude == 0 {
        return (0, 0);
    }
    let zeros = magnitude.trailing_zeros() as i32;
    let sign = if weight < 0.0 { -1 } else { 1 };
    (sign * (magnitude >> zeros), exponent + zeros)
}

/// `weight * 2^scale`.
fn integer(weight: f32, scale: i32) -> BigInt {
    match parts(weight) {
        (0, _) => BigInt::ZERO,
        (mantissa, exponent) => BigInt::from(mantissa) << (exponent + scale),
    }
}

fn integers(weights: ArrayView1<f32>, scale: i32) -> Vec<BigInt> {
    weights.iter().map(|&weight| integer(weight, scale)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_multiply_back_to_the_weight() {
        for weight in [1.0, -0.75, 3.0e38, f32::MIN_POSITIVE, 1e-45, -1.1754942e-38, 0.1, 0.0] {
            let (mantissa, exponent) = parts(weight);
            assert_eq!(f64::from(mantissa) * 2f64.powi(exponent), f64::from(weight));
        }
    }
}
