//! An oracle for verifiers: networks of every kind, decided in rational arithmetic.
#![allow(dead_code)]

use ndarray::{Array1, Array2, ArrayView2, s};
use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use rhoset::group::{Element, Group, spec};
use rhoset::network::{Activation, Embedding, Network};

/// The activations whose values are rational.
pub(crate) const RATIONAL: [Activation; 4] = [
    Activation::Relu,
    Activation::Square,
    Activation::Abs,
    Activation::Linear,
];

/// How the weights of a random network are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Weights {
    /// Small integers, many of them 0: ties everywhere.
    Integers,
    /// Uniform in [-1, 1].
    Uniform,
    /// Uniform in [-1, 1], then each tensor scaled by its own power of two, as far as float32 goes.
    Scaled,
    /// Every weight with an exponent of its own, subnormal ones among them.
    AnyExponent,
    /// Zero.
    Zero,
}

/// A random small network over a random small group: every architecture, ties, duplicates and huge scales included.
pub(crate) fn random_network(random: &mut impl Rng, activations: &[Activation]) -> (Network, Group) {
    let spec = ["C1", "C2", "C3", "C4", "V4", "C5", "S3"].choose(random).expect("some");
    let group = spec::parse(spec).expect("a group");
    let n = group.order();
    let (m, d) = (random.random_range(1..=5), random.random_range(1..=3));
    let kinds = [
        Weights::Integers,
        Weights::Integers,
        Weights::Uniform,
        Weights::Scaled,
        Weights::AnyExponent,
    ];
    let kind = match random.random_range(0..40) {
        0 => Weights::Zero,
        _ => *kinds.choose(random).expect("some"),
    };
    let mut tensor = |rows, columns| weights(random, kind, rows, columns);
    let embeddings = [
        Embedding::TwoLinear {
            embed_left: tensor(n, d),
            embed_right: tensor(n, d),
            linear_left: tensor(d, m),
            linear_right: tensor(d, m),
        },
        Embedding::Concat {
            embed_left: tensor(n, d),
            embed_right: tensor(n, d),
            linear: tensor(2 * d, m),
        },
        Embedding::SharedLinear {
            embed_left: tensor(n, d),
            embed_right: tensor(n, d),
            linear: tensor(d, m),
        },
        Embedding::Direct {
            left: tensor(n, m),
            right: tensor(n, m),
        },
    ];
    let mut unembed = tensor(m, n);
    let mut bias = tensor(1, n).row(0).to_owned();
    // Two logits the same, or apart by one bit somewhere.
    if n > 1 && random.random_bool(0.3) {
        let column = unembed.column(0).to_owned();
        unembed.column_mut(1).assign(&column);
        bias[1] = bias[0];
        let neuron = random.random_range(0..m);
        match random.random_range(0..3) {
            0 => unembed[[neuron, 1]] = nudged(unembed[[neuron, 1]]),
            1 => bias[1] = nudged(bias[1]),
            _ => {}
        }
    }
    let network = Network {
        embedding: embeddings.choose(random).expect("some").clone(),
        unembed,
        bias: random.random_bool(0.7).then_some(bias),
        activation: *activations.choose(random).expect("some"),
    };
    (network, group)
}

/// The next float32 number, where that is finite.
fn nudged(weight: f32) -> f32 {
    if weight.next_up().is_finite() {
        weight.next_up()
    } else {
        weight
    }
}

fn weights(random: &mut impl Rng, kind: Weights, rows: usize, columns: usize) -> Array2<f32> {
    let exponent = random.random_range(-140..=127);
    Array2::from_shape_simple_fn((rows, columns), || match kind {
        Weights::Integers => random.random_range(-2..=2) as f32,
        Weights::Uniform => random.random_range(-1.0..=1.0),
        Weights::Scaled => scaled(random.random_range(-1.0..=1.0), exponent),
        Weights::AnyExponent => scaled(random.random_range(-1.0..=1.0), random.random_range(-149..=127)),
        Weights::Zero => 0.0,
    })
}

fn scaled(weight: f32, exponent: i32) -> f32 {
    (f64::from(weight) * 2f64.powi(exponent)) as f32
}

/// Every logit `f(z | x, y)` in rational arithmetic over the stored weights, at `(x * n + y) * n + z`.
///
/// # Panics
/// For GELU, whose values are not rational.
pub(crate) fn rational_logits(network: &Network) -> Vec<BigRational> {
    let n = network.order();
    let (left, right) = rational_inputs(&network.embedding);
    let unembed = rational(network.unembed.view());
    let bias = match &network.bias {
        Some(bias) => bias.mapv(exact),
        None => Array1::from_elem(n, BigRational::zero()),
    };
    let mut logits = Vec::with_capacity(n * n * n);
    for left in left.rows() {
        for right in right.rows() {
            let hidden: Vec<BigRational> = left
                .iter()
                .zip(right)
                .map(|(left, right)| activate(network.activation, left + right))
                .collect();
            for z in 0..n {
                let terms = hidden.iter().zip(unembed.column(z)).map(|(hidden, u)| hidden * u);
                logits.push(terms.fold(bias[z].clone(), |sum, term| sum + term));
            }
        }
    }
    logits
}

/// For each pair, x first, the margin in rational arithmetic; none where n = 1.
pub(crate) fn rational_margins(network: &Network, group: &Group) -> Vec<Option<BigRational>> {
    let n = group.order();
    let logits = rational_logits(network);
    logits
        .chunks(n)
        .enumerate()
        .map(|(pair, logits)| {
            let (x, y) = (Element((pair / n) as u16), Element((pair % n) as u16));
            let z = group.mul(x, y).index();
            let rivals = logits.iter().enumerate().filter(|&(rival, _)| rival != z);
            let rival = rivals.map(|(_, logit)| logit).max()?;
            Some(&logits[z] - rival)
        })
        .collect()
}

/// For each pair, x first, whether the network has it right in rational arithmetic.
pub(crate) fn rational_decisions(network: &Network, group: &Group) -> Vec<bool> {
    rational_margins(network, group)
        .into_iter()
        .map(|margin| margin.is_none_or(|margin| margin.is_positive()))
        .collect()
}

/// All pairs, x first.
pub(crate) fn all_pairs(group: &Group) -> Vec<(Element, Element)> {
    group
        .elements()
        .flat_map(|x| group.elements().map(move |y| (x, y)))
        .collect()
}

fn rational_inputs(embedding: &Embedding) -> (Array2<BigRational>, Array2<BigRational>) {
    match embedding {
        Embedding::TwoLinear {
            embed_left,
            embed_right,
            linear_left,
            linear_right,
        } => (
            product(embed_left.view(), linear_left.view()),
            product(embed_right.view(), linear_right.view()),
        ),
        Embedding::Concat {
            embed_left,
            embed_right,
            linear,
        } => {
            let d = embed_left.ncols();
            (
                product(embed_left.view(), linear.slice(s![..d, ..])),
                product(embed_right.view(), linear.slice(s![d.., ..])),
            )
        }
        Embedding::SharedLinear {
            embed_left,
            embed_right,
            linear,
        } => (
            product(embed_left.view(), linear.view()),
            product(embed_right.view(), linear.view()),
        ),
        Embedding::Direct { left, right } => (rational(left.view()), rational(right.view())),
    }
}

fn product(a: ArrayView2<f32>, b: ArrayView2<f32>) -> Array2<BigRational> {
    let (a, b) = (rational(a), rational(b));
    Array2::from_shape_fn((a.nrows(), b.ncols()), |(row, column)| {
        let terms = a.row(row).into_iter().zip(b.column(column)).map(|(a, b)| a * b);
        terms.fold(BigRational::zero(), |sum: BigRational, term: BigRational| sum + term)
    })
}

fn rational(weights: ArrayView2<f32>) -> Array2<BigRational> {
    weights.map(|&weight| exact(weight))
}

fn exact(weight: f32) -> BigRational {
    BigRational::from_float(weight).unwrap_or_else(|| BigRational::from_integer(BigInt::zero()))
}

fn activate(activation: Activation, t: BigRational) -> BigRational {
    match activation {
        Activation::Relu if t.is_negative() => BigRational::zero(),
        Activation::Relu | Activation::Linear => t,
        Activation::Square => &t * &t,
        Activation::Abs => t.abs(),
        Activation::Gelu => panic!("GELU has no rational values"),
    }
}
