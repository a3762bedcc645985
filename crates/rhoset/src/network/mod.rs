//! Networks that multiply in a group: weights, folding, exact evaluation, files.
//!
//! Every architecture computes `f(z | x, y) = bias(z) + sum_i unembed_i(z) * act(left_i(x) + right_i(y))`
//! (Wu et al. 2025, section 3); [`Network::fold`] brings it to that form.

pub mod evaluate;
pub mod file;
mod fold;
pub mod infer;
pub mod real;

pub(crate) use fold::Layers;

use ndarray::{Array1, Array2};

/// The nonlinearity of the hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `max(t, 0)`.
    Relu,
    /// `t^2`.
    Square,
    /// `|t|`.
    Abs,
    /// `t * Phi(t)` with the exact normal distribution function, as PyTorch's default.
    Gelu,
    /// `t`.
    Linear,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 5] = [Self::Relu, Self::Square, Self::Abs, Self::Gelu, Self::Linear];

    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Square => "square",
            Self::Abs => "abs",
            Self::Gelu => "gelu",
            Self::Linear => "linear",
        }
    }

    /// The activation with this name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|activation| activation.name().eq_ignore_ascii_case(name))
    }
}

/// How the weights are laid out; the forms of Wu et al. 2025, Chughtai et al. 2023, Stander et al. 2024 and Morwani et al. 2024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// `left = embed_left * linear_left`, `right = embed_right * linear_right`.
    TwoLinear,
    /// `left = embed_left * linear[..d]`, `right = embed_right * linear[d..]`.
    Concat,
    /// `left = embed_left * linear`, `right = embed_right * linear`.
    SharedLinear,
    /// `left` and `right` themselves.
    Direct,
}

impl Architecture {
    /// Its name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::TwoLinear => "two-linear",
            Self::Concat => "concat",
            Self::SharedLinear => "shared-linear",
            Self::Direct => "direct",
        }
    }
}

/// The weights of a network, exactly as stored: n elements, embedding width d, m neurons.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Embedding {
    /// `embed_*` are `[n, d]`, `linear_*` are `[d, m]`.
    TwoLinear {
        embed_left: Array2<f32>,
        embed_right: Array2<f32>,
        linear_left: Array2<f32>,
        linear_right: Array2<f32>,
    },
    /// `embed_*` are `[n, d]`, `linear` is `[2d, m]`.
    Concat {
        embed_left: Array2<f32>,
        embed_right: Array2<f32>,
        linear: Array2<f32>,
    },
    /// `embed_*` are `[n, d]`, `linear` is `[d, m]`.
    SharedLinear {
        embed_left: Array2<f32>,
        embed_right: Array2<f32>,
        linear: Array2<f32>,
    },
    /// `left` and `right` are `[n, m]`.
    Direct { left: Array2<f32>, right: Array2<f32> },
}

impl Embedding {
    /// Its tensors with the names that they have in files.
    pub fn tensors(&self) -> Vec<(&'static str, &Array2<f32>)> {
        match self {
            Self::TwoLinear {
                embed_left,
                embed_right,
                linear_left,
                linear_right,
            } => vec![
                ("embed_left", embed_left),
                ("embed_right", embed_right),
                ("linear_left", linear_left),
                ("linear_right", linear_right),
            ],
            Self::Concat {
                embed_left,
                embed_right,
                linear,
            }
            | Self::SharedLinear {
                embed_left,
                embed_right,
                linear,
            } => vec![
                ("embed_left", embed_left),
                ("embed_right", embed_right),
                ("linear", linear),
            ],
            Self::Direct { left, right } => vec![("left", left), ("right", right)],
        }
    }
}

/// A one-hidden-layer network over a group of order n, with m neurons.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// What comes before the activation.
    pub embedding: Embedding,
    /// `[m, n]`: the weight from each neuron to each logit.
    pub unembed: Array2<f32>,
    /// `[n]`, where the network has one.
    pub bias: Option<Array1<f32>>,
    /// The nonlinearity.
    pub activation: Activation,
}

/// A network in the form `bias + unembed' * act(left + right)`, in float64.
///
/// `left` and `right` may be rounded products; `left_error` and `right_error` bound, neuron by neuron, how far they are
/// from the real-number products of the stored weights (0 where they are the stored weights themselves).
/// `unembed` and `bias` are exact.
#[derive(Clone, Debug)]
pub struct Folded {
    /// `[n, m]`: what x adds to each neuron's input.
    pub left: Array2<f64>,
    /// `[n, m]`: what y adds to each neuron's input.
    pub right: Array2<f64>,
    /// `[m, n]`.
    pub unembed: Array2<f64>,
    /// `[n]`, zero where the network has none.
    pub bias: Array1<f64>,
    /// `[m]`: bound on `|left - exact|` over all x.
    pub left_error: Array1<f64>,
    /// `[m]`: bound on `|right - exact|` over all y.
    pub right_error: Array1<f64>,
    /// The nonlinearity.
    pub activation: Activation,
}

impl Folded {
    /// The order n of the group.
    pub fn order(&self) -> usize {
        self.left.nrows()
    }

    /// The number m of neurons.
    pub fn neurons(&self) -> usize {
        self.left.ncols()
    }

    /// The folded network as one with float32 weights, and the largest relative change that this rounding made.
    ///
    /// It is another network than the one that was folded, where the change is not 0: bounds proved of the one are not
    /// proved of the other.
    pub fn round(&self) -> (Network, f64) {
        let mut change = 0.0_f64;
        let mut round = |weight: f64| {
            let rounded = weight as f32;
            if f64::from(rounded) != weight {
                change = change.max((f64::from(rounded) - weight).abs() / weight.abs());
            }
            rounded
        };
        let network = Network {
            embedding: Embedding::Direct {
                left: self.left.mapv(&mut round),
                right: self.right.mapv(&mut round),
            },
            unembed: self.unembed.mapv(&mut round),
            bias: Some(self.bias.mapv(&mut round)),
            activation: self.activation,
        };
        (network, change)
    }
}

impl Network {
    /// The order n of the group.
    pub fn order(&self) -> usize {
        self.unembed.ncols()
    }

    /// The number m of neurons.
    pub fn neurons(&self) -> usize {
        self.unembed.nrows()
    }

    /// Which architecture the weights are laid out in.
    pub fn architecture(&self) -> Architecture {
        match self.embedding {
            Embedding::TwoLinear { .. } => Architecture::TwoLinear,
            Embedding::Concat { .. } => Architecture::Concat,
            Embedding::SharedLinear { .. } => Architecture::SharedLinear,
            Embedding::Direct { .. } => Architecture::Direct,
        }
    }
}
