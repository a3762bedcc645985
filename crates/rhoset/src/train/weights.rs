//! Weights while they are trained: named matrices in the engine's precision.

use ndarray::{Array1, Array2};

use super::config::{Distribution, DistributionShape, TrainConfig};
use super::split::{Purpose, Random};
use crate::network::{Activation, Architecture, Embedding, Network};

/// A named matrix, row by row; a vector has one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<T> {
    /// Its name in network files.
    pub name: &'static str,
    /// The number of rows.
    pub rows: usize,
    /// The number of columns.
    pub columns: usize,
    /// `rows * columns` numbers.
    pub values: Vec<T>,
}

impl<T> Tensor<T> {
    /// Whether weight decay acts on it: on all but the bias.
    pub fn decays(&self) -> bool {
        self.name != "bias"
    }

    /// The same shape with numbers of another type.
    pub fn map<U>(&self, convert: impl Fn(&T) -> U) -> Tensor<U> {
        Tensor {
            name: self.name,
            rows: self.rows,
            columns: self.columns,
            values: self.values.iter().map(convert).collect(),
        }
    }
}

/// All weights of a network, in the order of its architecture, `unembed` and `bias` last.
pub type Weights = Vec<Tensor<f64>>;

/// Names and shapes of the weights: n elements, width d, m neurons.
pub(super) fn shapes(
    architecture: Architecture,
    n: usize,
    d: usize,
    m: usize,
    bias: bool,
) -> Vec<(&'static str, usize, usize)> {
    let mut shapes = match architecture {
        Architecture::TwoLinear => vec![
            ("embed_left", n, d),
            ("embed_right", n, d),
            ("linear_left", d, m),
            ("linear_right", d, m),
        ],
        Architecture::Concat => vec![("embed_left", n, d), ("embed_right", n, d), ("linear", 2 * d, m)],
        Architecture::SharedLinear => vec![("embed_left", n, d), ("embed_right", n, d), ("linear", d, m)],
        Architecture::Direct => vec![("left", n, m), ("right", n, m)],
    };
    shapes.push(("unembed", m, n));
    if bias {
        shapes.push(("bias", 1, n));
    }
    shapes
}

/// The weights that training starts from; the float32 engine rounds them.
pub fn initialise(config: &TrainConfig, order: usize) -> Weights {
    let mut random = Random::new(config.seed, Purpose::Initial);
    let width = config.embedding_width.unwrap_or(0);
    shapes(config.architecture, order, width, config.neurons, config.bias)
        .into_iter()
        .map(|(name, rows, columns)| {
            let distribution = match name {
                "bias" => None,
                "unembed" => Some(config.initial_unembed),
                "linear" | "linear_left" | "linear_right" => config.initial_linear,
                _ => Some(config.initial_embedding),
            };
            let values = match distribution {
                Some(distribution) => draw(distribution, rows, columns, &mut random),
                None => vec![0.0; rows * columns],
            };
            Tensor {
                name,
                rows,
                columns,
                values,
            }
        })
        .collect()
}

fn draw(distribution: Distribution, rows: usize, columns: usize, random: &mut Random) -> Vec<f64> {
    let scale = distribution.scale.of(rows);
    let count = rows * columns;
    match distribution.shape {
        DistributionShape::Uniform => (0..count).map(|_| scale * (2.0 * random.uniform() - 1.0)).collect(),
        DistributionShape::Normal => {
            let mut values: Vec<f64> = (0..count.div_ceil(2)).flat_map(|_| random.normals()).collect();
            values.truncate(count);
            values.iter_mut().for_each(|value| *value *= scale);
            values
        }
    }
}

/// The network with these weights, rounded to float32.
///
/// # Panics
/// If the names or shapes are not those of [`shapes`] for some architecture.
pub fn network(weights: &[Tensor<f64>], activation: Activation) -> Network {
    let find = |name: &str| weights.iter().find(|tensor| tensor.name == name);
    let matrix = |name: &str| {
        let tensor = find(name).expect("a weight of the architecture");
        let values = tensor.values.iter().map(|&value| value as f32).collect();
        Array2::from_shape_vec((tensor.rows, tensor.columns), values).expect("rows * columns values")
    };
    let embedding = if find("left").is_some() {
        Embedding::Direct {
            left: matrix("left"),
            right: matrix("right"),
        }
    } else if find("linear_left").is_some() {
        Embedding::TwoLinear {
            embed_left: matrix("embed_left"),
            embed_right: matrix("embed_right"),
            linear_left: matrix("linear_left"),
            linear_right: matrix("linear_right"),
        }
    } else {
        let (embed_left, embed_right, linear) = (matrix("embed_left"), matrix("embed_right"), matrix("linear"));
        if linear.nrows() == 2 * embed_left.ncols() {
            Embedding::Concat {
                embed_left,
                embed_right,
                linear,
            }
        } else {
            Embedding::SharedLinear {
                embed_left,
                embed_right,
                linear,
            }
        }
    };
    Network {
        embedding,
        unembed: matrix("unembed"),
        bias: find("bias").map(|bias| bias.values.iter().map(|&value| value as f32).collect::<Array1<f32>>()),
        activation,
    }
}
