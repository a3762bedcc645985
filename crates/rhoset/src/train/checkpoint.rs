//! Checkpoints: all that a run needs in order to go on, in one file that is never torn.
//!
//! A safetensors file with the weights under their own names (so any reader of safetensors can look at them), the
//! optimiser's memory as `first.NAME` and `second.NAME`, all in the engine's precision, and the measurements so far as
//! `metrics.epoch` and `metrics.rows`. Files are written beside their place, synchronised, and renamed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

pub use crate::network::file::whole::PART;

use super::config::{Precision, TrainConfig};
use super::engine::State;
use super::metrics::{COLUMNS, History};
use super::weights::{Tensor, shapes};
use crate::network::file::whole;

/// A run after some epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The number of epochs made.
    pub epoch: u64,
    /// Weights and optimiser.
    pub state: State,
    /// What was measured so far.
    pub history: History,
}

/// What is wrong with a checkpoint or its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file holds no checkpoint of this configuration.
    #[error("{}: is no checkpoint of this run: {reason}; remove it to resume from the one before", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is missing or of the wrong shape.
        reason: String,
    },
}

/// Writes a file so that it is found whole or not at all, even after a power failure.
///
/// # Errors
/// [`CheckpointError::Io`]; an earlier file of that name is then intact.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    whole::write_whole(path, bytes).map_err(|reason| CheckpointError::Io {
        path: path.to_owned(),
        reason,
    })
}

impl Checkpoint {
    /// The file's bytes; the same for the same checkpoint.
    pub fn to_bytes(&self, precision: Precision) -> Vec<u8> {
        let mut tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::new();
        let numbers = |values: &[f64]| match precision {
            // Exact: they were float32 before.
            Precision::Float32 => values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect(),
            Precision::Float64 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        let dtype = match precision {
            Precision::Float32 => Dtype::F32,
            Precision::Float64 => Dtype::F64,
        };
        let integers = |values: &[u64]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
        for (i, tensor) in self.state.weights.iter().enumerate() {
            let mut add = |prefix, values| {
                let shape = vec![tensor.rows, tensor.columns];
                tensors.insert(format!("{prefix}{}", tensor.name), (dtype, shape, numbers(values)));
            };
            add("", &tensor.values);
            add("first.", &self.state.first[i]);
            if let Some(second) = self.state.second.get(i) {
                add("second.", second);
            }
        }
        let counters = [self.epoch, self.state.step];
        tensors.insert("epoch_and_step".to_owned(), (Dtype::U64, vec![2], integers(&counters)));
        let epochs = &self.history.epochs;
        tensors.insert(
            "metrics.epoch".to_owned(),
            (Dtype::U64, vec![epochs.len()], integers(epochs)),
        );
        let columns = COLUMNS.len() + self.state.weights.len();
        let rows = self
            .history
            .rows
            .concat()
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        tensors.insert(
            "metrics.rows".to_owned(),
            (Dtype::F64, vec![epochs.len(), columns], rows),
        );
        let views = tensors.iter().map(|(name, (dtype, shape, bytes))| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).expect("as many bytes as the shape says");
            (name, view)
        });
        safetensors::serialize(views, None).expect("distinct names")
    }

    /// Reads a checkpoint of a run with this configuration over a group of this order.
    ///
    /// # Errors
    /// A [`CheckpointError`] that names the file.
    pub fn read(path: &Path, config: &TrainConfig, order: usize) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path).map_err(|reason| CheckpointError::Io {
            path: path.to_owned(),
            reason,
        })?;
        Self::from_bytes(&bytes, config, order).map_err(|reason| CheckpointError::Malformed {
            path: path.to_owned(),
            reason,
        })
    }

    fn from_bytes(bytes: &[u8], config: &TrainConfig, order: usize) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let find = |name: &str, dtype: Dtype, shape: &[usize]| {
            let tensor = file.tensor(name).map_err(|_| format!("it has no {name}"))?;
            if tensor.dtype() == dtype && tensor.shape() == shape {
                Ok(tensor.data().to_vec())
            } else {
                let (found, shaped) = (tensor.dtype(), tensor.shape());
                Err(format!(
                    "{name} is {found:?} {shaped:?} where {dtype:?} {shape:?} belongs"
                ))
            }
        };
        let doubles = |bytes: Vec<u8>| -> Vec<f64> {
            let numbers = bytes.chunks_exact(8);
            numbers
                .map(|bytes| f64::from_le_bytes(bytes.try_into().expect("eight bytes")))
                .collect()
        };
        let integers = |bytes: Vec<u8>| -> Vec<u64> {
            let numbers = bytes.chunks_exact(8);
            numbers
                .map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
                .collect()
        };
        let numbers = |name: &str, rows: usize, columns: usize| -> Result<Vec<f64>, String> {
            if config.precision == Precision::Float64 {
                return Ok(doubles(find(name, Dtype::F64, &[rows, columns])?));
            }
            let bytes = find(name, Dtype::F32, &[rows, columns])?;
            let singles = bytes.chunks_exact(4);
            let singles = singles.map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")));
            Ok(singles.map(f64::from).collect())
        };
        let counters = integers(find("epoch_and_step", Dtype::U64, &[2])?);
        let width = config.embedding_width.unwrap_or(0);
        let shapes = shapes(config.architecture, order, width, config.neurons, config.bias);
        let mut state = State {
            weights: Vec::new(),
            step: counters[1],
            first: Vec::new(),
            second: Vec::new(),
        };
        for &(name, rows, columns) in &shapes {
            state.weights.push(Tensor {
                name,
                rows,
                columns,
                values: numbers(name, rows, columns)?,
            });
            state.first.push(numbers(&format!("first.{name}"), rows, columns)?);
            if config.beta1.is_some() {
                state.second.push(numbers(&format!("second.{name}"), rows, columns)?);
            }
        }
        let measured = file.tensor("metrics.epoch").map_err(|_| "it has no metrics.epoch")?;
        let measured = measured.shape().iter().product();
        let epochs = integers(find("metrics.epoch", Dtype::U64, &[measured])?);
        let columns = COLUMNS.len() + shapes.len();
        let rows = doubles(find("metrics.rows", Dtype::F64, &[measured, columns])?);
        Ok(Self {
            epoch: counters[0],
            state,
            history: History {
                tensors: shapes.iter().map(|(name, ..)| (*name).to_owned()).collect(),
                epochs,
                rows: rows.chunks(columns).map(<[f64]>::to_vec).collect(),
            },
        })
    }
}
