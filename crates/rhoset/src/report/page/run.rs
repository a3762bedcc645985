//! A run's directory: how the network came to be.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde::{Deserialize, Serialize};

use super::cache::{Cache, CacheError, Key};
use super::formation::Formation;
use super::short;
use crate::explain;
use crate::explain::circuit::{CircuitOptions, find_circuits};
use crate::group::Group;
use crate::irrep::Irreps;
use crate::network::evaluate::Evaluation;
use crate::network::{Activation, Network};
use crate::train::checkpoint::{Checkpoint, CheckpointError};
use crate::train::config::{ConfigError, TrainConfig};
use crate::train::weights;
use crate::verify::cascade;

/// Curves and checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Training {
    /// Settings by name, as in `config.toml`.
    pub settings: Vec<(String, String)>,
    /// The measured epochs, increasing.
    pub epochs: Vec<u64>,
    /// What was measured.
    pub curves: Vec<Curve>,
    /// The chosen checkpoints, by epoch.
    pub checkpoints: Vec<CheckpointRow>,
    /// What could not be read, in words.
    pub missing: Vec<String>,
}

/// A column of `metrics.parquet`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Curve {
    /// The column's name.
    pub name: String,
    /// One value per epoch; none where it is no number.
    pub values: Vec<Option<f64>>,
}

/// What a network was at some epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointRow {
    /// The number of epochs made.
    pub epoch: u64,
    /// Correct pairs of all n^2, in float64.
    pub correct: usize,
    /// n^2.
    pub pairs: usize,
    /// Mean cross-entropy over all pairs, in nats.
    pub cross_entropy: Option<f64>,
    /// Pairs that the explanation alone proves right; none for other than relu.
    pub explained: Option<usize>,
    /// Circuits found.
    pub circuits: usize,
    /// Those with a neuron for every pair.
    pub full_circuits: usize,
    /// Neurons in circuits.
    pub in_circuits: usize,
    /// The circuits, so that one can watch them form.
    pub formations: Vec<Formation>,
}

/// A run's directory.
#[derive(Clone, Debug)]
pub struct Run {
    directory: PathBuf,
    /// Its settings.
    pub config: TrainConfig,
}

/// Why a directory is no run that can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFileError {
    /// The operating system refused.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// `config.toml` is no TOML.
    #[error("{}: is no TOML: {reason}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The settings are not those of a run.
    #[error("{}: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        reason: ConfigError,
    },
    /// `metrics.parquet` is not readable.
    #[error("{}: {reason}", path.display())]
    Metrics {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: ParquetError,
    },
    /// `metrics.parquet` has no epochs.
    #[error("{}: has no column epoch of integers", path.display())]
    NoEpochs {
        /// The file.
        path: PathBuf,
    },
    /// A checkpoint is not readable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

impl Run {
    /// Whether a directory is that of a run: whether it has settings, and something that was made with them.
    pub fn is_at(directory: &Path) -> bool {
        let made = ["network.safetensors", "metrics.parquet", "checkpoints"];
        directory.join("config.toml").is_file() && made.iter().any(|name| directory.join(name).exists())
    }

    /// Reads a run's settings.
    ///
    /// # Errors
    /// Where there are none, or none that can be read.
    pub fn open(directory: &Path) -> Result<Self, RunFileError> {
        let path = directory.join("config.toml");
        let text = std::fs::read_to_string(&path).map_err(|reason| RunFileError::Io {
            path: path.clone(),
            reason,
        })?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| RunFileError::Toml {
            path: path.clone(),
            reason: error.message().to_owned(),
        })?;
        let config = TrainConfig::resolve(&[table]).map_err(|reason| RunFileError::Config { path, reason })?;
        Ok(Self {
            directory: directory.to_owned(),
            config,
        })
    }

    /// The finished network's file, where the run is finished.
    pub fn network(&self) -> Option<PathBuf> {
        let path = self.directory.join("network.safetensors");
        path.is_file().then_some(path)
    }

    /// The network of the last checkpoint and its epoch: what there is of a run that is not finished.
    ///
    /// # Errors
    /// Where there is no checkpoint, or none that can be read.
    pub fn latest(&self, order: usize) -> Result<(u64, Network), RunFileError> {
        let path = self.directory.join("checkpoints").join("latest.safetensors");
        let checkpoint = Checkpoint::read(&path, &self.config, order)?;
        let network = weights::network(&checkpoint.state.weights, self.config.activation);
        Ok((checkpoint.epoch, network))
    }

    /// Curves and checkpoints; what cannot be read is said in [`Training::missing`]. The second answer is the first
    /// error to keep something. Checkpoints are left out unless asked for: explaining them takes time.
    pub fn training(
        &self,
        group: &Group,
        irreps: &Irreps,
        cache: Option<&Cache>,
        checkpoints: bool,
    ) -> (Training, Result<(), CacheError>) {
        let mut training = Training {
            settings: (self.config.to_table().into_iter())
                .map(|(name, value)| match value {
                    toml::Value::String(text) => (name, text),
                    value => (name, value.to_string()),
                })
                .collect(),
            ..Training::default()
        };
        match self.metrics() {
            Ok((epochs, curves)) => (training.epochs, training.curves) = (epochs, curves),
            Err(error) => training.missing.push(error.to_string()),
        }
        let mut kept = Ok(());
        let paths = if checkpoints { self.checkpoints() } else { Vec::new() };
        for path in paths {
            match Checkpoint::read(&path, &self.config, group.order()) {
                Ok(checkpoint) => {
                    let network = weights::network(&checkpoint.state.weights, self.config.activation);
                    let key = Key::new("checkpoint", &network, group);
                    let mut row = cache
                        .and_then(|cache| cache.read::<CheckpointRow>(&key))
                        .unwrap_or_else(|| {
                            let row = CheckpointRow::of(checkpoint.epoch, &network, group, irreps);
                            if let (Some(cache), true) = (cache, kept.is_ok()) {
                                kept = cache.write(&key, &row);
                            }
                            row
                        });
                    // The same weights may have been reached at another epoch.
                    row.epoch = checkpoint.epoch;
                    training.checkpoints.push(row);
                }
                Err(error) => training.missing.push(error.to_string()),
            }
        }
        training.checkpoints.sort_by_key(|row| row.epoch);
        (training, kept)
    }

    /// The files of the chosen checkpoints, by name.
    pub fn checkpoints(&self) -> Vec<PathBuf> {
        let Ok(files) = std::fs::read_dir(self.directory.join("checkpoints")) else {
            return Vec::new();
        };
        let mut paths: Vec<PathBuf> = files.flatten().map(|file| file.path()).collect();
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("epoch-") && name.ends_with(".safetensors")
        });
        paths.sort();
        paths
    }

    fn metrics(&self) -> Result<(Vec<u64>, Vec<Curve>), RunFileError> {
        let path = self.directory.join("metrics.parquet");
        let file = File::open(&path).map_err(|reason| RunFileError::Io {
            path: path.clone(),
            reason,
        })?;
        let bad = |reason| RunFileError::Metrics {
            path: path.clone(),
            reason,
        };
        let reader = SerializedFileReader::new(file).map_err(bad)?;
        let (mut epochs, mut curves) = (Vec::new(), Vec::<Curve>::new());
        for row in reader.get_row_iter(None).map_err(bad)? {
            let row = row.map_err(bad)?;
            for (name, field) in row.get_column_iter() {
                match field {
                    Field::Long(epoch) if name == "epoch" => epochs.push(*epoch as u64),
                    Field::Double(value) => {
                        let value = Some(short(*value)).filter(|value| value.is_finite());
                        match curves.iter_mut().find(|curve| curve.name == *name) {
                            Some(curve) => curve.values.push(value),
                            None => curves.push(Curve {
                                name: name.clone(),
                                values: vec![value],
                            }),
                        }
                    }
                    _ => {}
                }
            }
        }
        if epochs.is_empty() || curves.iter().any(|curve| curve.values.len() != epochs.len()) {
            return Err(RunFileError::NoEpochs { path });
        }
        Ok((epochs, curves))
    }
}

impl CheckpointRow {
    /// Measures and explains a network.
    ///
    /// # Panics
    /// If network, group and irreps differ in order.
    pub fn of(epoch: u64, network: &Network, group: &Group, irreps: &Irreps) -> Self {
        let folded = network.fold();
        let evaluation = Evaluation::of(&folded, group);
        let explanation = explain::explain(&folded, group, irreps);
        let explained = (network.activation == Activation::Relu).then(|| {
            let circuits = find_circuits(&folded, group, CircuitOptions::default()).ok()?;
            let outcome = cascade::explained(&folded, group, &circuits, irreps).ok()?;
            Some(outcome.verification.certified_pairs)
        });
        Self {
            epoch,
            correct: evaluation.correct,
            pairs: evaluation.pairs,
            cross_entropy: Some(short(evaluation.cross_entropy)).filter(|loss| loss.is_finite()),
            explained: explained.flatten(),
            circuits: explanation.circuits.len(),
            full_circuits: explanation.circuits.iter().filter(|circuit| circuit.is_full()).count(),
            in_circuits: explanation
                .neurons
                .iter()
                .filter(|neuron| neuron.circuit.is_some())
                .count(),
            formations: Formation::all(&explanation, group, irreps),
        }
    }
}
