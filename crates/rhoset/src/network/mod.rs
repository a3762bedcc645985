//! Networks that multiply in a group: weights, folding, exact evaluation, files.
//!
//! Every architecture computes `f(z | x, y) = bias(z) + sum_i unembed_i(z) * act(left_i(x) + right_i(y))`
//! (Wu et al. 2025, section 3); [`Network::fold`] brings it to that form.

pub mod evaluate;
pub mod file;
pub mod infer;
pub mod real;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use multiversion::multiversion;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

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

    /// Brings the network to the form `bias + unembed' * act(left + right)`, with bounds on what rounding did.
    ///
    /// The products are float64 sums of d exact products of float32 numbers, so each entry is within
    /// `gamma_d * sum |terms|` of the real product (Higham 2002, section 3.1).
    pub fn fold(&self) -> Folded {
        let (left, left_error, right, right_error) = match &self.embedding {
            Embedding::TwoLinear {
                embed_left,
                embed_right,
                linear_left,
                linear_right,
            } => products((embed_left, linear_left.view()), (embed_right, linear_right.view())),
            Embedding::Concat {
                embed_left,
                embed_right,
                linear,
            } => {
                let (upper, lower) = linear.view().split_at(Axis(0), embed_left.ncols());
                products((embed_left, upper), (embed_right, lower))
            }
            Embedding::SharedLinear {
                embed_left,
                embed_right,
                linear,
            } => products((embed_left, linear.view()), (embed_right, linear.view())),
            Embedding::Direct { left, right } => {
                let exact = Array1::zeros(left.ncols());
                (double(left.view()), exact.clone(), double(right.view()), exact)
            }
        };
        Folded {
            left,
            right,
            unembed: double(self.unembed.view()),
            bias: self
                .bias
                .as_ref()
                .map_or_else(|| Array1::zeros(self.order()), |bias| bias.mapv(f64::from)),
            left_error,
            right_error,
            activation: self.activation,
        }
    }
}

/// Both sides' `embed * linear` in float64, and for each column a bound on its distance from the real product; in parallel.
fn products(
    left: (&Array2<f32>, ArrayView2<f32>),
    right: (&Array2<f32>, ArrayView2<f32>),
) -> (Array2<f64>, Array1<f64>, Array2<f64>, Array1<f64>) {
    let (mut left, mut right) = rayon::join(
        || Product::new(left.0.view(), left.1),
        || Product::new(right.0.view(), right.1),
    );
    // Blocks of both sides: a thread that is late leaves more of them to the other.
    left.blocks()
        .chain(right.blocks())
        .for_each(|(product, embed, linear)| multiply(product, embed, linear));
    (left.product, left.error, right.product, right.error)
}

/// `embed * linear`, to be multiplied out.
struct Product {
    embed: Array2<f64>,
    linear: Array2<f64>,
    product: Array2<f64>,
    error: Array1<f64>,
}

impl Product {
    /// Rows of a block.
    const ROWS: usize = 24;

    fn new(embed: ArrayView2<f32>, linear: ArrayView2<f32>) -> Self {
        let (embed, linear) = (double(embed), double(linear));
        let ((n, terms), m) = (embed.dim(), linear.ncols());
        // gamma_k = k u / (1 - k u); the factor 2 covers the rounding of the bound itself.
        let unit = f64::EPSILON / 2.0;
        let gamma = 2.0 * terms as f64 * unit / (1.0 - terms as f64 * unit);
        // The magnitudes of the terms add up to at most the product of the norms (Cauchy and Schwarz).
        let norm = |values: ArrayView1<f64>| values.dot(&values).sqrt();
        let longest = embed.rows().into_iter().map(norm).fold(0.0, f64::max);
        let mut squares = Array1::<f64>::zeros(m);
        for row in linear.rows() {
            squares.zip_mut_with(&row, |square, &value| *square += value * value);
        }
        Self {
            error: squares.mapv(|square| gamma * longest * square.sqrt()),
            product: Array2::zeros((n, m)),
            embed,
            linear,
        }
    }

    /// Some rows of the product and of the embedding each, and all of `linear`.
    fn blocks(
        &mut self,
    ) -> impl ParallelIterator<Item = (ArrayViewMut2<'_, f64>, ArrayView2<'_, f64>, ArrayView2<'_, f64>)> {
        let linear = self.linear.view();
        self.product
            .axis_chunks_iter_mut(Axis(0), Self::ROWS)
            .into_par_iter()
            .zip(self.embed.axis_chunks_iter(Axis(0), Self::ROWS))
            .map(move |(product, embed)| (product, embed, linear))
    }
}

fn multiply(mut product: ArrayViewMut2<f64>, embed: ArrayView2<f64>, linear: ArrayView2<f64>) {
    let ((n, terms), m) = (embed.dim(), linear.ncols());
    matmul(
        MatMut::from_row_major_slice_mut(product.as_slice_mut().expect("row by row"), n, m),
        Accum::Replace,
        MatRef::from_row_major_slice(embed.to_slice().expect("row by row"), n, terms),
        MatRef::from_row_major_slice(linear.to_slice().expect("row by row"), terms, m),
        1.0,
        Par::Seq,
    );
}

/// The matrix in float64, row by row.
fn double(matrix: ArrayView2<f32>) -> Array2<f64> {
    let rows = matrix.as_standard_layout();
    let values = to_double(rows.as_slice().expect("standard layout"));
    Array2::from_shape_vec(rows.dim(), values).expect("as many values")
}

/// In vectors: the fastest proofs take a tenth of their time to fold a network that needs no folding.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
fn to_double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

#[cfg(test)]
mod tests {
    use num_rational::BigRational;
    use proptest::prelude::*;

    use super::*;

    fn exact(value: f64) -> BigRational {
        BigRational::from_float(value).expect("finite")
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        /// Cancellation included: huge terms of both signs, and small ones between them.
        #[test]
        fn fold_error_bounds_the_distance_from_the_exact_product(
            d in 1_usize..40,
            weights in prop::collection::vec(
                prop_oneof![
                    2 => -4.0_f32..4.0,
                    1 => (-4.0_f32..4.0, -60_i32..60).prop_map(|(weight, exponent)| weight * 2.0_f32.powi(exponent)),
                    1 => prop::sample::select(vec![0.0, 1.0, -1.0, 1e20, -1e20, f32::MAX, f32::MIN_POSITIVE, 1e-45]),
                ],
                5 * 40,
            ),
        ) {
            let embed = Array2::from_shape_fn((3, d), |(x, k)| weights[x * 40 + k]);
            let linear = Array2::from_shape_fn((d, 2), |(k, i)| weights[(3 + i) * 40 + k]);
            let (folded, error, ..) = products((&embed, linear.view()), (&embed, linear.view()));
            for x in 0..3 {
                for i in 0..2 {
                    let terms = (0..d).map(|k| exact(embed[[x, k]].into()) * exact(linear[[k, i]].into()));
                    let difference = exact(folded[[x, i]]) - terms.sum::<BigRational>();
                    let distance = difference.clone().max(-difference);
                    prop_assert!(distance <= exact(error[i]), "{distance} exceeds {}", error[i]);
                }
            }
        }
    }

    #[test]
    fn folding_a_direct_network_changes_nothing() {
        let matrix =
            |rows, columns, seed: f32| Array2::from_shape_fn((rows, columns), |(i, j)| seed / (i + 3 * j + 1) as f32);
        let network = Network {
            embedding: Embedding::Direct {
                left: matrix(3, 4, 1.3),
                right: matrix(3, 4, -0.7),
            },
            unembed: matrix(4, 3, 2.9),
            bias: Some(Array1::from_elem(3, 0.1)),
            activation: Activation::Gelu,
        };
        let folded = network.fold();
        assert!(
            folded
                .left_error
                .iter()
                .chain(&folded.right_error)
                .all(|&error| error == 0.0)
        );
        assert_eq!(folded.round(), (network, 0.0));
    }
}
