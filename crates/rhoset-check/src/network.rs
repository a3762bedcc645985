//! The network: read from safetensors, folded to `f(z | x, y) = c(z) + sum_i u_i(z) act(l_i(x) + r_i(y))`.

use std::collections::HashMap;
use std::iter::zip;
use std::ops::Add;

use anyhow::{Context, Result, bail};
use num_bigint::BigInt;
use num_traits::FromPrimitive;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::ball::{Ball, Matrix, add_multiple, gamma, largest, matrix, width};

/// What is between the inputs and the unembedding: functions that map integers to integers.
#[derive(Clone, Copy, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Activation {
    Relu,
    Abs,
    Square,
    Linear,
}

/// A network whose shapes fit one another. All numbers are float32 numbers, but for l and r.
pub(crate) struct Network {
    pub(crate) activation: Activation,
    /// The multiplication table that the file carries, by rows.
    pub(crate) table: Option<Vec<u64>>,
    inputs: [Input; 2],
    /// `[n, m]`, both: l and r.
    pub(crate) left: Matrix<Ball>,
    pub(crate) right: Matrix<Ball>,
    /// `[m, n]`.
    pub(crate) unembed: Matrix<f64>,
    /// `[n]`.
    pub(crate) bias: Vec<f64>,
}

impl Network {
    /// Reads a safetensors file in the native layout.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).context("weights")?;
        let (_, header) = SafeTensors::read_metadata(bytes).context("weights")?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let activation = metadata.get("activation").map_or("relu", String::as_str);
        let activation = serde_json::from_value(activation.into()).context("weights: activation")?;
        let table = file.tensor("table").ok().map(|view| integers(&view));
        let mut tensors = HashMap::new();
        for (name, view) in file.tensors().into_iter().filter(|(name, _)| name != "table") {
            tensors.insert(name.clone(), tensor(&name, &view)?);
        }
        let stored = if tensors.contains_key("left") { "" } else { "embed_" };
        let mut take = |name: &str| tensors.remove(name);
        let embeds = [take(&format!("{stored}left")), take(&format!("{stored}right"))];
        let (Some(unembed), [Some(left), Some(right)], bias) = (take("unembed"), embeds, take("bias")) else {
            bail!("weights: there is no tensor unembed, {stored}left or {stored}right");
        };
        let inner = width(&left);
        let linear = match (take("linear"), [take("linear_left"), take("linear_right")]) {
            (None, linear) => linear,
            // One layer, for the left input above that for the right, or shared by both.
            (Some(both), [None, None]) if both.len() == inner || both.len() == 2 * inner => {
                [&both[..inner], &both[both.len() - inner..]].map(|rows| Some(rows.to_vec()))
            }
            _ => bail!("weights: linear does not fit the other tensors"),
        };
        ensure!(tensors.is_empty(), "weights": "tensors {:?} that no architecture has", tensors.keys());
        let (m, n) = (unembed.len(), width(&unembed));
        let bias = bias.unwrap_or_else(|| vec![vec![0.0; n]]);
        let as_stored = linear.iter().all(|linear| linear.is_none() == stored.is_empty());
        let [of_left, of_right] = linear;
        let inputs = [(left, of_left), (right, of_right)].map(|(embed, linear)| Input { embed, linear });
        let fit = as_stored && inputs.iter().all(|input| input.shape() == Some((n, m)));
        ensure!(fit && (bias.len(), width(&bias)) == (1, n), "weights": "the tensors' shapes do not fit one another");
        let [left, right] = [0, 1].map(|side| inputs[side].folded((n, m), |weight| weight));
        let bias = bias.concat();
        Ok(Self {
            activation,
            table,
            inputs,
            left,
            right,
            unembed,
            bias,
        })
    }

    /// The activations of all neurons at (x, y).
    pub(crate) fn hidden(&self, x: usize, y: usize) -> Vec<Ball> {
        let inputs = zip(&self.left[x], &self.right[y]);
        inputs.map(|(&left, &right)| self.activation.of(left + right)).collect()
    }

    /// All logits at (x, y), times the same power of two: float32 numbers are integers times 2^-149.
    pub(crate) fn exactly(&self, x: usize, y: usize) -> Vec<BigInt> {
        // Products of three float32 numbers, or five where the activation squares two of them.
        let factors = if self.activation == Activation::Square { 5 } else { 3 };
        let bias = self.bias.iter().map(|&bias| integer(bias) << (149 * (factors - 1)));
        let mut logits: Vec<BigInt> = bias.collect();
        for (i, unembed) in self.unembed.iter().enumerate() {
            let terms = self.inputs[0].terms(x, i).into_iter().chain(self.inputs[1].terms(y, i));
            let input = terms.map(|(a, b)| integer(a) * integer(b)).sum();
            let hidden = self.activation.of_integer(input);
            zip(&mut logits, unembed).for_each(|(logit, &weight)| *logit += &hidden * integer(weight));
        }
        logits
    }

    /// At least what any logit can be off where everything is computed in float32, in any order (`docs/soundness.md`,
    /// section 2.2); infinite where something might overflow.
    pub(crate) fn float32_error(&self) -> f64 {
        let (n, m, unit, least) = (self.bias.len(), self.unembed.len(), 2f64.powi(-24), 2f64.powi(-149));
        let products = 2 * self.inputs[0].terms(0, 0).len().max(self.inputs[1].terms(0, 0).len());
        // The largest magnitude of the input of neuron i; and the same where all products in it are positive.
        let size = |rows: &Matrix<Ball>, i: usize| Ball::from(largest(rows.iter().map(|row| row[i].magnitude())));
        let [all_left, all_right] = [0, 1].map(|side| self.inputs[side].folded((n, m), f64::abs));
        // Of every logit, the sum of the magnitudes of its terms, and what errors of the activations add up to.
        let mut logits: Vec<Ball> = self.bias.iter().map(|bias| bias.abs().into()).collect();
        let mut most = 0.0;
        for (i, unembed) in self.unembed.iter().enumerate() {
            let all = size(&all_left, i) + size(&all_right, i);
            let error = (all * gamma(products, unit) + products as f64 * least).upper();
            let mut hidden = Ball::new((size(&self.left, i) + size(&self.right, i)).upper(), error);
            if self.activation == Activation::Square {
                hidden = hidden * hidden;
                hidden.error = (Ball::from(hidden.magnitude()) * unit + hidden.error + least).upper();
            }
            most = largest([most, (all + error).upper(), hidden.magnitude()]);
            let sizes: Vec<f64> = unembed.iter().map(|weight| weight.abs()).collect();
            add_multiple(&mut logits, hidden, &sizes);
        }
        let rounding = |logit: &Ball| Ball::from(logit.magnitude()) * gamma(m + 3, unit) + m as f64 * least;
        let error = largest(logits.iter().map(|logit| (rounding(logit) + logit.error).upper()));
        let fits = largest(logits.iter().map(|logit| logit.magnitude())).max(most) < f64::from(f32::MAX) / 4.0;
        if fits { error } else { f64::INFINITY }
    }
}

impl Activation {
    pub(crate) fn of(self, input: Ball) -> Ball {
        match self {
            Self::Relu => input.relu(),
            Self::Abs => Ball::new(input.value.abs(), input.error),
            Self::Square => input * input,
            Self::Linear => input,
        }
    }

    fn of_integer(self, input: BigInt) -> BigInt {
        match self {
            Self::Relu => input.max(BigInt::ZERO),
            Self::Abs => BigInt::from(input.into_parts().1),
            Self::Square => &input * &input,
            Self::Linear => input,
        }
    }
}

/// One of the two inputs of every neuron: a tensor, or a product of two.
struct Input {
    embed: Matrix<f64>,
    linear: Option<Matrix<f64>>,
}

impl Input {
    fn shape(&self) -> Option<(usize, usize)> {
        let inner = width(&self.embed);
        let columns = self
            .linear
            .as_ref()
            .map_or(Some(inner), |rows| (rows.len() == inner).then(|| width(rows)));
        columns.map(|columns| (self.embed.len(), columns))
    }

    /// The products of which the entry at x and neuron i is the sum.
    fn terms(&self, x: usize, i: usize) -> Vec<(f64, f64)> {
        match &self.linear {
            None => vec![(self.embed[x][i], 1.0)],
            Some(linear) => zip(&self.embed[x], linear)
                .map(|(&embed, row)| (embed, row[i]))
                .collect(),
        }
    }

    /// `[n, m]`, of a function of every weight.
    fn folded(&self, (n, m): (usize, usize), of: fn(f64) -> f64) -> Matrix<Ball> {
        let product = |(a, b)| Ball::from(of(a)) * of(b);
        let entry = |x, i| {
            self.terms(x, i)
                .into_iter()
                .map(product)
                .fold(Ball::default(), Add::add)
        };
        matrix(n, m, entry)
    }
}

/// A float32 number times 2^149; float64 holds it exactly.
fn integer(weight: f64) -> BigInt {
    BigInt::from_f64(weight * 2f64.powi(149)).expect("weights are finite")
}

fn tensor(name: &str, view: &TensorView) -> Result<Matrix<f64>> {
    let (dtype, shape) = (view.dtype(), view.shape());
    ensure!(dtype == Dtype::F32, "weights: tensor {name:?}": "dtype {dtype}, not F32");
    let full = [1, 2].contains(&shape.len()) && !view.data().is_empty();
    ensure!(full, "weights: tensor {name:?}": "shape {shape:?}, neither a matrix nor a vector");
    let numbers = view.data().as_chunks::<4>().0.iter();
    let numbers: Vec<f64> = numbers.map(|&bytes| f32::from_le_bytes(bytes).into()).collect();
    let bad = numbers.iter().position(|number| !number.is_finite());
    ensure!(bad.is_none(), "weights: tensor {name:?}": "entry {} is not finite", bad.unwrap_or(0));
    let rows = numbers.chunks_exact(shape[shape.len() - 1]);
    Ok(rows.map(<[f64]>::to_vec).collect())
}

/// A tensor of integers, each of a few bytes of which the lowest is first.
fn integers(view: &TensorView) -> Vec<u64> {
    let bytes = (view.dtype().bitsize() / 8).max(1);
    let integer = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0, |number, &byte| number << 8 | u64::from(byte))
    };
    view.data().chunks_exact(bytes).map(integer).collect()
}
