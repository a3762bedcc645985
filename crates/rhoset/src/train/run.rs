//! Runs: one network from its first epoch to its last, in memory or in a directory, and many side by side.
//!
//! A directory holds `config.toml`, `network.safetensors` (once finished), `metrics.parquet`, `checkpoints/` with
//! `epoch-*.safetensors` at the chosen epochs, and `checkpoints/latest.safetensors` for resuming.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::checkpoint::{Checkpoint, CheckpointError, PART, write_whole};
use super::config::{Batch, ConfigError, Precision, TrainConfig};
use super::cpu::CpuEngine;
use super::engine::{Engine, Score, Workers};
use super::metrics::{History, Measurement, norms};
use super::split::{Split, batches};
use super::weights::{initialise, network};
use crate::group::Group;
use crate::network::Network;
use crate::network::file::{NetworkFileError, save};

/// How often the checkpoint for resuming is renewed, beside the chosen epochs.
const RENEWAL: Duration = Duration::from_secs(20);
/// How often progress is reported.
const REPORT: Duration = Duration::from_millis(100);

/// One network to train.
#[derive(Clone, Debug)]
pub struct Job {
    /// All settings, its seed among them.
    pub config: TrainConfig,
    /// The group that the configuration names.
    pub group: Group,
    /// Where the run is kept; in memory only where there is none.
    pub directory: Option<PathBuf>,
    /// Whether to go on with a run that the directory holds.
    pub resume: bool,
}

/// How far a job is.
#[derive(Clone, Debug)]
pub struct Progress<'a> {
    /// Which job, counted from 0.
    pub job: usize,
    /// The number of epochs made.
    pub epoch: u64,
    /// The loss of the last step.
    pub loss: f64,
    /// What was measured so far.
    pub history: &'a History,
}

/// How a job ended.
#[derive(Debug)]
pub enum Outcome {
    /// All epochs are made.
    Finished {
        /// The network, rounded to float32.
        network: Box<Network>,
        /// All measurements; the last row is the final network's.
        history: History,
    },
    /// Stopped from outside; `--resume` goes on.
    Interrupted {
        /// The number of epochs made.
        epoch: u64,
    },
    /// The loss is no longer a number.
    Diverged {
        /// The epoch whose loss was not finite.
        epoch: u64,
        /// The last checkpoint with finite weights, where the run has a directory.
        checkpoint: Option<PathBuf>,
    },
}

/// Why a job could not run or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration does not fit the group.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The directory is not empty of runs.
    #[error("{}: holds a run already; --resume goes on with it, another --out keeps it", directory.display())]
    Exists {
        /// The directory.
        directory: PathBuf,
    },
    /// The saved configuration is another one.
    #[error(
        "{}: was started with other settings: {}; give the same settings, or another --out",
        directory.display(),
        list(differences)
    )]
    Changed {
        /// The directory.
        directory: PathBuf,
        /// Field, value in the directory, value now.
        differences: Vec<(String, String, String)>,
    },
    /// The saved configuration cannot be read.
    #[error("{}: cannot be read: {reason}", path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file could not be written or read.
    #[error("{0}; what was saved before is intact, --resume goes on from there")]
    Checkpoint(#[from] CheckpointError),
    /// The network could not be written.
    #[error("{0}; what was saved before is intact, --resume goes on from there")]
    Network(#[from] NetworkFileError),
}

fn list(differences: &[(String, String, String)]) -> String {
    let each = differences
        .iter()
        .map(|(field, then, now)| format!("{field} was {then}, now {now}"));
    each.collect::<Vec<_>>().join("; ")
}

/// What [`train_all`] did.
#[derive(Debug)]
pub struct Summary {
    /// How each job ended, in their order.
    pub outcomes: Vec<Result<Outcome, RunError>>,
    /// Optimiser steps per second over all jobs, measurements and checkpoints included; 0 if none was made.
    pub steps_per_second: f64,
    /// Optimiser steps made, over all jobs.
    pub steps: u64,
}

/// Trains a network in memory, on all threads.
///
/// # Errors
/// [`RunError::Config`] where the settings do not fit the group.
///
/// ```
/// use rhoset::group::spec;
/// use rhoset::train::{Outcome, TrainConfig, train};
/// let mut config = TrainConfig::recipe("paper", "C5")?;
/// (config.epochs, config.train_fraction) = (200, 1.0);
/// let Outcome::Finished { history, .. } = train(&spec::parse("C5")?, &config)? else { panic!() };
/// assert_eq!(history.last("accuracy"), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn train(group: &Group, config: &TrainConfig) -> Result<Outcome, RunError> {
    let job = Job {
        config: config.clone(),
        group: group.clone(),
        directory: None,
        resume: false,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut summary = train_all(&[job], threads, &AtomicBool::new(false), &|_| {});
    summary.outcomes.pop().expect("one job")
}

/// Trains all jobs on so many threads: as many jobs at a time as there are threads, each on one; where fewer jobs are
/// left, they share the threads.
///
/// `stop` ends all jobs after their current step, with a checkpoint. `report` is told of each job's progress, from the
/// threads that train.
pub fn train_all(jobs: &[Job], threads: usize, stop: &AtomicBool, report: &(dyn Fn(Progress<'_>) + Sync)) -> Summary {
    let threads = threads.max(1);
    let drivers = threads.min(jobs.len());
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok();
    let crew = Crew {
        threads,
        pool,
        active: AtomicUsize::new(drivers),
        steps: AtomicU64::new(0),
        stop,
        report,
    };
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..jobs.len()).collect());
    let outcomes: Mutex<Vec<Option<Result<Outcome, RunError>>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..drivers {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("no driver panics while it holds this").pop_front();
                    let Some(index) = next else { break };
                    let outcome = crew.run(index, &jobs[index]);
                    outcomes.lock().expect("no driver panics while it holds this")[index] = Some(outcome);
                }
                crew.active.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    let steps = crew.steps.into_inner();
    let outcomes = outcomes.into_inner().expect("all drivers have ended");
    Summary {
        outcomes: outcomes
            .into_iter()
            .map(|outcome| outcome.expect("every job was taken"))
            .collect(),
        steps_per_second: if steps == 0 { 0.0 } else { steps as f64 / seconds },
        steps,
    }
}

/// What all jobs share.
struct Crew<'a> {
    threads: usize,
    pool: Option<rayon::ThreadPool>,
    /// The number of threads that still have a job.
    active: AtomicUsize,
    steps: AtomicU64,
    stop: &'a AtomicBool,
    report: &'a (dyn Fn(Progress<'_>) + Sync),
}

impl Crew<'_> {
    fn workers(&self) -> Workers<'_> {
        match &self.pool {
            Some(pool) if self.active.load(Ordering::Relaxed) < self.threads => Workers::Pool(pool),
            _ => Workers::One,
        }
    }

    fn run(&self, index: usize, job: &Job) -> Result<Outcome, RunError> {
        let config = &job.config;
        let order = job.group.order();
        let split = Split::random(order, config.train_fraction, config.split_seed.unwrap_or(config.seed))?;
        if let Batch::Size(size) = config.batch
            && size.get() > split.train.len() as u64
        {
            return Err(ConfigError::BatchTooLarge {
                batch: size.get(),
                pairs: split.train.len(),
            }
            .into());
        }
        let directory = match &job.directory {
            Some(directory) => Some(RunDirectory::open(directory, config, job.resume)?),
            None => None,
        };
        let initial = initialise(config, order);
        let tensors = initial.iter().map(|tensor| tensor.name.to_owned()).collect();
        let mut engine: Box<dyn Engine> = match config.precision {
            Precision::Float32 => Box::new(CpuEngine::<f32>::new(config, &job.group, &initial)),
            Precision::Float64 => Box::new(CpuEngine::<f64>::new(config, &job.group, &initial)),
        };
        let mut epoch = 0;
        let mut history = History {
            tensors,
            ..History::default()
        };
        let mut last_good = None;
        if let Some((path, checkpoint)) = directory.as_ref().map_or(Ok(None), |at| at.latest(config, order))? {
            engine.restore(&checkpoint.state);
            (epoch, history) = (checkpoint.epoch, checkpoint.history);
            last_good = Some(path);
        }
        let mut diverged = None;
        let mut loss = history.last("train_loss").unwrap_or(f64::NAN);
        let (mut renewed, mut reported) = (Instant::now(), None::<Instant>);
        if epoch == 0 {
            history.push(&measure(engine.as_mut(), &split, 0, self.workers()));
        }
        while epoch < config.epochs {
            if self.stop.load(Ordering::Relaxed) {
                if let Some(directory) = &directory {
                    directory.save(config, epoch, engine.as_ref(), &history, false)?;
                }
                return Ok(Outcome::Interrupted { epoch });
            }
            let shuffled;
            let batches = if config.batch == Batch::Full {
                std::slice::from_ref(&split.train)
            } else {
                shuffled = batches(config, &split.train, epoch);
                &shuffled
            };
            let mut step = epoch * batches.len() as u64;
            for batch in batches {
                step += 1;
                let rate = config.learning_rate * (step as f64 / config.warm_up.max(1) as f64).min(1.0);
                loss = engine.step(batch, rate, self.workers());
                if !loss.is_finite() {
                    diverged = Some(epoch + 1);
                    break;
                }
            }
            self.steps.fetch_add(batches.len() as u64, Ordering::Relaxed);
            if diverged.is_some() {
                break;
            }
            epoch += 1;
            let last = epoch == config.epochs;
            let keep = config.checkpoints.contains(epoch) || last;
            if config.metrics.contains(epoch) || last {
                let measurement = measure(engine.as_mut(), &split, epoch, self.workers());
                if !measurement.train.loss.is_finite() {
                    diverged = Some(epoch);
                    break;
                }
                history.push(&measurement);
            }
            if let Some(directory) = &directory
                && (keep || renewed.elapsed() > RENEWAL)
            {
                // A state that is no longer finite must not replace the last good one.
                let state = engine.state();
                if state
                    .weights
                    .iter()
                    .any(|tensor| tensor.values.iter().any(|value| !value.is_finite()))
                {
                    diverged = Some(epoch);
                    break;
                }
                last_good = Some(directory.save(config, epoch, engine.as_ref(), &history, keep)?);
                renewed = Instant::now();
            }
            if last || reported.is_none_or(|at| at.elapsed() > REPORT) {
                (self.report)(Progress {
                    job: index,
                    epoch,
                    loss,
                    history: &history,
                });
                reported = Some(Instant::now());
            }
        }
        if let Some(epoch) = diverged {
            return Ok(Outcome::Diverged {
                epoch,
                checkpoint: last_good,
            });
        }
        let network = Box::new(network(&engine.state().weights, config.activation));
        if let Some(directory) = &directory {
            directory.finish(config, epoch, engine.as_ref(), &history, &network, &job.group)?;
        }
        Ok(Outcome::Finished { network, history })
    }
}

/// All pairs, scored.
fn measure(engine: &mut dyn Engine, split: &Split, epoch: u64, workers: Workers<'_>) -> Measurement {
    let train = engine.score(&split.train, workers);
    let test: Score = engine.score(&split.test, workers);
    Measurement {
        epoch,
        train,
        test,
        norms: norms(&engine.state().weights),
    }
}

/// A run's files.
struct RunDirectory<'a> {
    path: &'a Path,
}

impl<'a> RunDirectory<'a> {
    /// Makes the directory, or checks that the run in it is this one.
    fn open(path: &'a Path, config: &TrainConfig, resume: bool) -> Result<Self, RunError> {
        let saved = path.join("config.toml");
        if saved.exists() {
            if !resume {
                return Err(RunError::Exists {
                    directory: path.to_owned(),
                });
            }
            let bad = |reason: String| RunError::BadConfig {
                path: saved.clone(),
                reason,
            };
            let text = std::fs::read_to_string(&saved).map_err(|error| bad(error.to_string()))?;
            let table: toml::Table = text.parse().map_err(|error: toml::de::Error| bad(error.to_string()))?;
            let earlier = TrainConfig::resolve(&[table]).map_err(|error| bad(error.to_string()))?;
            let mut differences = earlier.differences(config);
            // More epochs of the same are what resuming is for.
            if config.epochs > earlier.epochs {
                differences.retain(|(field, ..)| field != "epochs");
            }
            if !differences.is_empty() {
                return Err(RunError::Changed {
                    directory: path.to_owned(),
                    differences,
                });
            }
        }
        let checkpoints = path.join("checkpoints");
        std::fs::create_dir_all(&checkpoints).map_err(|reason| CheckpointError::Io {
            path: checkpoints.clone(),
            reason,
        })?;
        // What a killed run was writing never became a file of its own.
        for directory in [path, &checkpoints] {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(PART) {
                    _ = std::fs::remove_file(entry.path());
                }
            }
        }
        let text = toml::to_string(config).expect("flat and checked");
        write_whole(&saved, text.as_bytes())?;
        Ok(Self { path })
    }

    fn latest_path(&self) -> PathBuf {
        self.path.join("checkpoints/latest.safetensors")
    }

    /// The checkpoint to go on from.
    fn latest(&self, config: &TrainConfig, order: usize) -> Result<Option<(PathBuf, Checkpoint)>, RunError> {
        let path = self.latest_path();
        if !path.exists() {
            return Ok(None);
        }
        let checkpoint = Checkpoint::read(&path, config, order)?;
        Ok(Some((path, checkpoint)))
    }

    /// Renews the checkpoint for resuming and the metrics; keeps a checkpoint of this epoch too if asked.
    fn save(
        &self,
        config: &TrainConfig,
        epoch: u64,
        engine: &dyn Engine,
        history: &History,
        keep: bool,
    ) -> Result<PathBuf, RunError> {
        let checkpoint = Checkpoint {
            epoch,
            state: engine.state(),
            history: history.clone(),
        };
        let bytes = checkpoint.to_bytes(config.precision);
        let latest = self.latest_path();
        if keep {
            let kept = self.path.join(format!("checkpoints/epoch-{epoch:08}.safetensors"));
            write_whole(&kept, &bytes)?;
        }
        write_whole(&latest, &bytes)?;
        self.write_metrics(history)?;
        Ok(latest)
    }

    fn write_metrics(&self, history: &History) -> Result<(), RunError> {
        let path = self.path.join("metrics.parquet");
        let bytes = history.to_parquet().map_err(|error| CheckpointError::Io {
            path: path.clone(),
            reason: std::io::Error::other(error),
        })?;
        Ok(write_whole(&path, &bytes)?)
    }

    /// Writes the finished network; the last checkpoint was saved with the last epoch.
    fn finish(
        &self,
        config: &TrainConfig,
        epoch: u64,
        engine: &dyn Engine,
        history: &History,
        network: &Network,
        group: &Group,
    ) -> Result<(), RunError> {
        if !self.latest_path().exists() {
            self.save(config, epoch, engine, history, true)?;
        }
        self.write_metrics(history)?;
        save(self.path.join("network.safetensors"), network, Some(group))?;
        Ok(())
    }
}
