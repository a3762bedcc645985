//! Layouts: which tensor of a file plays which part, and the networks that they make up.
//!
//! People name and orient the same tensors differently. [`LAYOUTS`] lists the forms that exist; a file is recognised
//! by the names of its tensors, and every shape is checked before a weight is read.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayD, Axis, Ix1, Ix2, concatenate};

use super::tensor::{StoredTensor, StoredTensors};
use super::{FileProblem, Source};
use crate::group::Group;
use crate::network::{Activation, Embedding, Network};

/// The layouts that are read, for people.
pub const LAYOUTS: &str = "\
Layouts that are read (n group elements, embedding width d, m neurons; each tensor may have one more axis in front,
one network per index):
  native      embed_left, embed_right [n,d], then linear_left, linear_right [d,m], or linear [2d,m] (concatenated) or
              [d,m] (shared); unembed [m,n]; bias [n] if any
  folded      left, right [n,m]; unembed [m,n]; bias [n] if any
  Chughtai    W_x, W_y [n,d]; W [2d,m]; W_U [m,n]; b_U [n] if any
  Wu          embedding_left, embedding_right; linear_left, linear_right, or linear, or neither; unembedding;
              unembed_bias if any
  nn.Module   lembed.weight, rembed.weight (or embedding_left.weight ...); linear.weight [m,2d], or linear_left.weight,
              linear_right.weight [m,d]; unembed.weight [n,m]; and a .bias of each linear map if any
from safetensors, or PyTorch .pt files (torch.save of a state dict or of a checkpoint with one in it, zip or legacy).
Weights are F32, F16 or BF16 (exact), or F64 (rounded to F32, with a warning).";

/// The largest number of weights in one file.
const LARGEST_WEIGHTS: usize = 1 << 28;

/// What a tensor is to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    EmbedLeft,
    EmbedRight,
    LinearLeft,
    LinearRight,
    Linear,
    Unembed,
    LinearLeftBias,
    LinearRightBias,
    LinearBias,
    Bias,
}

/// The role of a tensor by its name, and whether it is stored as `nn.Linear` does: `[out, in]`.
fn role(name: &str) -> Option<(Role, bool)> {
    use Role::*;
    let name = name.to_ascii_lowercase();
    if let Some(module) = name.strip_suffix(".bias") {
        let role = match role(module)?.0 {
            Linear => LinearBias,
            LinearLeft => LinearLeftBias,
            LinearRight => LinearRightBias,
            Unembed => Bias,
            _ => return None,
        };
        return Some((role, false));
    }
    let (name, module) = match name.strip_suffix(".weight") {
        Some(module) => (module, true),
        None => (name.as_str(), false),
    };
    let role = match name {
        "embed_left" | "embedding_left" | "left_embed" | "left_embedding" | "lembed" | "w_x" | "left" => EmbedLeft,
        "embed_right" | "embedding_right" | "right_embed" | "right_embedding" | "rembed" | "w_y" | "right" => {
            EmbedRight
        }
        "linear_left" | "left_linear" => LinearLeft,
        "linear_right" | "right_linear" => LinearRight,
        "linear" | "w" => Linear,
        "unembed" | "unembedding" | "umbedding" | "w_u" => Unembed,
        "bias" | "unembed_bias" | "unembedding_bias" | "b_u" if !module => Bias,
        _ => return None,
    };
    // nn.Embedding.weight is [n, d] already.
    let transposed = module && !matches!(role, EmbedLeft | EmbedRight);
    Some((role, transposed))
}

/// The longest prefix `module.` that all names share, such as DataParallel and torch.compile leave.
fn common_module<'a>(mut names: impl Iterator<Item = &'a str>) -> &'a str {
    let Some(first) = names.next() else { return "" };
    let mut shared = first;
    let mut several = false;
    for name in names {
        several = true;
        let length = shared.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        shared = shared.get(..length).unwrap_or("");
    }
    match shared.rfind('.') {
        Some(dot) if several => &shared[..=dot],
        _ => "",
    }
}

struct Part<'a> {
    tensor: &'a StoredTensor,
    transposed: bool,
}

/// The tensors of one file by role, with their shapes checked.
struct Parts<'a> {
    parts: BTreeMap<Role, Part<'a>>,
    /// The length of the axis in front, where there is one.
    instances: Option<usize>,
}

/// Reads every network of a file; also the largest relative change made by rounding float64 weights.
pub(super) fn networks(
    tensors: &StoredTensors,
    source: &mut dyn Source,
    activation: Activation,
) -> Result<(Vec<Network>, f64), FileProblem> {
    let parts = Parts::new(tensors)?;
    let mut rounding = 0.0_f64;
    let mut weights = BTreeMap::new();
    for (&role, part) in &parts.parts {
        let (values, change) = part.tensor.weights(source)?;
        rounding = rounding.max(change);
        weights.insert(role, values);
    }
    let networks = (0..parts.instances.unwrap_or(1))
        .map(|instance| parts.network(&weights, instance, activation))
        .collect();
    Ok((networks, rounding))
}

impl<'a> Parts<'a> {
    fn new(tensors: &'a StoredTensors) -> Result<Self, FileProblem> {
        use Role::*;
        let unknown = || FileProblem::UnknownLayout {
            found: tensors.keys().cloned().collect(),
        };
        let module = common_module(tensors.keys().map(String::as_str));
        let mut parts = BTreeMap::new();
        for (name, tensor) in tensors {
            let (role, transposed) = role(&name[module.len()..]).ok_or_else(unknown)?;
            if parts.insert(role, Part { tensor, transposed }).is_some() {
                return Err(unknown());
            }
        }
        let has = |role| parts.contains_key(&role);
        let two = has(LinearLeft) && has(LinearRight);
        let complete = has(EmbedLeft) && has(EmbedRight) && has(Unembed);
        let consistent = has(LinearLeft) == has(LinearRight)
            && !(two && has(Linear))
            && (has(Linear) || !has(LinearBias))
            && (two || !has(LinearLeftBias) && !has(LinearRightBias));
        if !complete || !consistent {
            return Err(unknown());
        }
        let embed = parts[&EmbedLeft].tensor;
        let instances = (embed.shape().len() == 3).then(|| embed.shape()[0]);
        let parts = Self { parts, instances };
        parts.check()?;
        Ok(parts)
    }

    /// The shape of a role in one network, `[in, out]`; checks the number of axes and instances.
    fn shape(&self, role: Role) -> Result<Vec<usize>, FileProblem> {
        let Part { tensor, transposed } = &self.parts[&role];
        let mut shape = tensor.shape().to_vec();
        if let Some(instances) = self.instances {
            if shape.first() != Some(&instances) {
                return Err(self.mismatch(role, Role::EmbedLeft, "the first axis counts the networks"));
            }
            shape.remove(0);
        }
        let vector = matches!(
            role,
            Role::Bias | Role::LinearBias | Role::LinearLeftBias | Role::LinearRightBias
        );
        if shape.len() != if vector { 1 } else { 2 } {
            return Err(FileProblem::Axes {
                tensor: tensor.name().to_owned(),
                shape: tensor.shape().to_vec(),
                expected: if vector { "a vector" } else { "a matrix" },
            });
        }
        if *transposed {
            shape.reverse();
        }
        Ok(shape)
    }

    fn mismatch(&self, role: Role, other: Role, reason: &'static str) -> FileProblem {
        let (tensor, other) = (self.parts[&role].tensor, self.parts[&other].tensor);
        FileProblem::ShapeMismatch {
            tensor: tensor.name().to_owned(),
            shape: tensor.shape().to_vec(),
            other: other.name().to_owned(),
            other_shape: other.shape().to_vec(),
            reason,
        }
    }

    fn check(&self) -> Result<(), FileProblem> {
        use Role::*;
        let mut total = 0_usize;
        for (&role, part) in &self.parts {
            self.shape(role)?;
            let elements = part.tensor.elements();
            if elements == 0 {
                return Err(FileProblem::NoWeights {
                    tensor: part.tensor.name().to_owned(),
                    shape: part.tensor.shape().to_vec(),
                });
            }
            total = total.saturating_add(elements);
        }
        if total > LARGEST_WEIGHTS {
            return Err(FileProblem::TooManyWeights {
                weights: total,
                largest: LARGEST_WEIGHTS,
            });
        }
        let agree = |same: bool, role, other, reason| {
            if same {
                Ok(())
            } else {
                Err(self.mismatch(role, other, reason))
            }
        };
        let (left, right, unembed) = (self.shape(EmbedLeft)?, self.shape(EmbedRight)?, self.shape(Unembed)?);
        let order = left[0];
        if order > Group::LARGEST {
            return Err(FileProblem::TooManyElements {
                tensor: self.parts[&EmbedLeft].tensor.name().to_owned(),
                order,
                largest: Group::LARGEST,
            });
        }
        agree(
            right[0] == order,
            EmbedRight,
            EmbedLeft,
            "both have one row per group element",
        )?;
        agree(
            unembed[1] == order,
            Unembed,
            EmbedLeft,
            "there is one logit per group element",
        )?;
        if self.parts.contains_key(&Bias) {
            let bias = self.shape(Bias)?;
            agree(
                bias[0] == order,
                Bias,
                EmbedLeft,
                "there is one logit per group element",
            )?;
        }
        let into = "the rows of the one are the columns of the other";
        let neurons = if self.parts.contains_key(&Linear) {
            let linear = self.shape(Linear)?;
            let concatenated = left[1].checked_add(right[1]);
            let shared = linear[0] == left[1] && left[1] == right[1];
            let reason = "the linear map takes the embedding, or both embeddings one after the other";
            agree(shared || Some(linear[0]) == concatenated, Linear, EmbedLeft, reason)?;
            agree(
                unembed[0] == linear[1],
                Unembed,
                Linear,
                "both have one axis for the neurons",
            )?;
            (Linear, linear[1])
        } else if self.parts.contains_key(&LinearLeft) {
            let (linear_left, linear_right) = (self.shape(LinearLeft)?, self.shape(LinearRight)?);
            agree(linear_left[0] == left[1], LinearLeft, EmbedLeft, into)?;
            agree(linear_right[0] == right[1], LinearRight, EmbedRight, into)?;
            agree(
                linear_left[1] == linear_right[1],
                LinearRight,
                LinearLeft,
                "both have one column per neuron",
            )?;
            agree(
                unembed[0] == linear_left[1],
                Unembed,
                LinearLeft,
                "both have one axis for the neurons",
            )?;
            (LinearLeft, linear_left[1])
        } else {
            agree(
                left[1] == right[1],
                EmbedRight,
                EmbedLeft,
                "both have one column per neuron",
            )?;
            agree(
                unembed[0] == left[1],
                Unembed,
                EmbedLeft,
                "both have one axis for the neurons",
            )?;
            (EmbedLeft, left[1])
        };
        for role in [LinearBias, LinearLeftBias, LinearRightBias] {
            if self.parts.contains_key(&role) {
                let bias = self.shape(role)?;
                agree(bias[0] == neurons.1, role, neurons.0, "there is one entry per neuron")?;
            }
        }
        Ok(())
    }

    /// The network at an index of the axis in front; the shapes are known to fit.
    fn network(&self, weights: &BTreeMap<Role, ArrayD<f32>>, instance: usize, activation: Activation) -> Network {
        use Role::*;
        let one = |role| {
            let all = weights.get(&role)?.view();
            Some(match self.instances {
                Some(_) => all.index_axis_move(Axis(0), instance),
                None => all,
            })
        };
        let matrix = |role| -> Option<Array2<f32>> {
            let stored = one(role)?.into_dimensionality::<Ix2>().expect("checked to be a matrix");
            let matrix = if self.parts[&role].transposed {
                stored.t()
            } else {
                stored
            };
            Some(matrix.as_standard_layout().into_owned())
        };
        let vector = |role| -> Option<Array1<f32>> {
            Some(
                one(role)?
                    .into_dimensionality::<Ix1>()
                    .expect("checked to be a vector")
                    .to_owned(),
            )
        };
        let (embed_left, embed_right) = (
            matrix(EmbedLeft).expect("checked"),
            matrix(EmbedRight).expect("checked"),
        );
        let embedding = if let (Some(left), Some(right)) = (matrix(LinearLeft), matrix(LinearRight)) {
            let (left_bias, right_bias) = (vector(LinearLeftBias), vector(LinearRightBias));
            Embedding::TwoLinear {
                embed_left: with_constant(embed_left, left_bias.as_ref().map(|_| 1.0)),
                embed_right: with_constant(embed_right, right_bias.as_ref().map(|_| 1.0)),
                linear_left: with_row(left, left_bias),
                linear_right: with_row(right, right_bias),
            }
        } else if let Some(linear) = matrix(Linear) {
            let bias = vector(LinearBias);
            let constant = bias.as_ref().map(|_| 1.0);
            if linear.nrows() == embed_left.ncols() {
                // The bias counts once: a constant 1 on the left, 0 on the right.
                Embedding::SharedLinear {
                    embed_left: with_constant(embed_left, constant),
                    embed_right: with_constant(embed_right, constant.map(|_| 0.0)),
                    linear: with_row(linear, bias),
                }
            } else {
                // On the right, the bias is the last row of the concatenated map.
                Embedding::Concat {
                    embed_left,
                    embed_right: with_constant(embed_right, constant),
                    linear: with_row(linear, bias),
                }
            }
        } else {
            Embedding::Direct {
                left: embed_left,
                right: embed_right,
            }
        };
        Network {
            embedding,
            unembed: matrix(Unembed).expect("checked"),
            bias: vector(Bias),
            activation,
        }
    }
}

/// Appends a constant column to an embedding, so that a bias of the hidden layer is a row of the linear map. Exact.
fn with_constant(embed: Array2<f32>, constant: Option<f32>) -> Array2<f32> {
    match constant {
        Some(constant) => {
            let column = Array2::from_elem((embed.nrows(), 1), constant);
            concatenate![Axis(1), embed, column]
        }
        None => embed,
    }
}

fn with_row(linear: Array2<f32>, row: Option<Array1<f32>>) -> Array2<f32> {
    match row {
        Some(row) => concatenate![Axis(0), linear, row.insert_axis(Axis(0))],
        None => linear,
    }
}
