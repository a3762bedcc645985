//! `rhoset train`: many networks at once, kept in directories, resumable.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use comfy_table::{Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use rhoset::group::{Group, spec};
use rhoset::train::{Job, Outcome, Progress, RunError, Summary, TrainConfig, train_all};
use serde_json::json;

use crate::group_names::{directory, each_once};

/// Train networks to multiply in a group.
///
/// Settings come from a recipe, then the configuration file, then the options here. Each seed's run is kept in
/// OUT/seed-000 (OUT/GROUP/seed-000 with several groups): network.safetensors, metrics.parquet, config.toml, checkpoints.
#[derive(clap::Args)]
pub(crate) struct TrainArguments {
    /// The group, as S5, A5xC2, C11:C5 or table:FILE; give it several times for several groups.
    #[arg(long, value_name = "SPEC")]
    group: Vec<String>,
    /// Where the settings come from that nothing else sets: paper, chughtai, stander or morwani.
    #[arg(long)]
    recipe: Option<String>,
    /// A TOML file of settings, named as in the config.toml of a run.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The seeds: one, a range A..B without B, or several of these with commas.
    #[arg(long, default_value = "0..1")]
    seeds: String,
    /// The directory for the runs.
    #[arg(long, value_name = "DIR", required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// Go on with the runs in OUT; with no group or configuration given, with all of them as they were started. More
    /// --epochs than before lengthen the runs; no other setting may change.
    #[arg(long)]
    resume: bool,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Print the resolved settings and train nothing.
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Declares the options that set one field each.
macro_rules! settings {
    ($($(#[$attribute:meta])* $field:ident),* $(,)?) => {
        #[derive(clap::Args)]
        #[command(next_help_heading = "Settings")]
        struct Settings {
            $($(#[$attribute])* #[arg(long, value_name = "VALUE", allow_hyphen_values = true)] $field: Option<String>,)*
        }

        impl Settings {
            fn table(&self) -> toml::Table {
                let mut table = toml::Table::new();
                $(if let Some(text) = &self.$field {
                    table.insert(stringify!($field).to_owned(), value(text));
                })*
                table
            }
        }
    };
}

settings! {
    /// two-linear, concat, shared-linear or direct.
    architecture,
    /// relu, square, abs, gelu or linear.
    activation,
    /// Width of the embeddings.
    embedding_width,
    /// Number of neurons.
    neurons,
    /// Whether logits have a bias: true or false.
    bias,
    /// Initial embeddings: normal:SCALE or uniform:SCALE, SCALE a number, 1/sqrt(fan_in) or 1/sqrt(K*fan_in).
    initial_embedding,
    /// Initial linear maps.
    initial_linear,
    /// Initial unembedding.
    initial_unembed,
    /// adam (L2 decay), adamw (decoupled decay) or sgd.
    optimiser,
    /// Learning rate.
    learning_rate,
    /// Steps over which the learning rate grows linearly to its value.
    warm_up,
    /// Weight decay, never on the bias.
    weight_decay,
    /// Adam's decay of the mean gradient.
    beta1,
    /// Adam's decay of the mean squared gradient.
    beta2,
    /// Adam's epsilon.
    epsilon,
    /// Momentum of sgd.
    momentum,
    /// Share of all pairs that is trained on.
    train_fraction,
    /// Seed of the split, if it is not the run's.
    split_seed,
    /// Pairs of a step: full, or a number.
    batch,
    /// Whether minibatches are drawn with replacement: true or false.
    replacement,
    /// Number of epochs.
    epochs,
    /// float32 or float64.
    precision,
    /// Epochs to measure at: log:K (K to a factor of ten), every:K or none.
    metrics,
    /// Epochs to keep checkpoints of: log:K, every:K or none.
    checkpoints,
}

/// A number or truth value where the text is one, else the text.
fn value(text: &str) -> toml::Value {
    match text.parse::<toml::Value>() {
        Ok(value @ (toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_))) => value,
        _ => text.into(),
    }
}

pub(crate) fn run(arguments: TrainArguments) -> anyhow::Result<ExitCode> {
    if arguments.print_config {
        for config in configurations(&arguments)? {
            print!("{}", toml::to_string(&config)?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let out = arguments
        .out
        .as_deref()
        .context("--out DIR says where the runs are kept")?;
    let jobs = if arguments.resume && arguments.group.is_empty() && arguments.config.is_none() {
        saved_jobs(&arguments, out)?
    } else {
        new_jobs(&arguments, out)?
    };
    // As many as --threads says.
    let threads = rayon::current_num_threads();
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        // The second time at once: every file is whole at any moment.
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("cannot listen for Ctrl-C")?;
    let display = Display::new(&jobs);
    let summary = train_all(&jobs, threads, &STOP, &|progress| display.show(progress));
    display.bars.clear().ok();
    if arguments.json {
        println!("{}", to_json(&jobs, &summary));
    } else {
        print!("{}", to_text(&jobs, &summary));
    }
    for outcome in &summary.outcomes {
        if let Err(error) = outcome {
            eprintln!("error: {error}");
        }
    }
    let any = |holds: fn(&Result<Outcome, RunError>) -> bool| summary.outcomes.iter().any(holds);
    Ok(if any(|outcome| matches!(outcome, Ok(Outcome::Interrupted { .. }))) {
        ExitCode::from(130)
    } else if any(Result::is_err) {
        ExitCode::from(2)
    } else if any(|outcome| matches!(outcome, Ok(Outcome::Diverged { .. }))) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The settings for each group.
fn configurations(arguments: &TrainArguments) -> anyhow::Result<Vec<TrainConfig>> {
    let mut layers = Vec::new();
    if let Some(path) = &arguments.config {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let table: toml::Table = text.parse().with_context(|| path.display().to_string())?;
        layers.push(table);
    }
    let mut table = arguments.settings.table();
    if let Some(recipe) = &arguments.recipe {
        table.insert("recipe".to_owned(), recipe.as_str().into());
    }
    layers.push(table);
    let resolve = |layers: &[toml::Table]| resolve(layers, arguments.config.as_deref());
    if arguments.group.is_empty() {
        return Ok(vec![resolve(&layers)?]);
    }
    let each = each_once(&arguments.group).map(|group| {
        let mut layers = layers.clone();
        layers.push(toml::Table::from_iter([("group".to_owned(), group.as_str().into())]));
        resolve(&layers)
    });
    each.collect()
}

/// The settings in layers, the first of which is what `file` holds, where there is one: it is named where it is at fault.
pub(crate) fn resolve(layers: &[toml::Table], file: Option<&Path>) -> anyhow::Result<TrainConfig> {
    TrainConfig::resolve(layers).map_err(|error| {
        // Wrong without the others, but for the group, which may be given elsewhere.
        let mut alone = layers[0].clone();
        alone.entry("group").or_insert_with(|| "C2".into());
        match file {
            Some(path) if TrainConfig::resolve(&[alone]).is_err() => {
                anyhow::Error::new(error).context(path.display().to_string())
            }
            _ => error.into(),
        }
    })
}

/// One job for each group and seed.
fn new_jobs(arguments: &TrainArguments, out: &Path) -> anyhow::Result<Vec<Job>> {
    let configs = configurations(arguments)?;
    let seeds = seeds(&arguments.seeds)?;
    let several = configs.len() > 1;
    let mut jobs = Vec::new();
    for config in configs {
        let group = spec::parse(&config.group)?;
        let folder = if several {
            out.join(directory(&config.group))
        } else {
            out.to_owned()
        };
        for &seed in &seeds {
            jobs.push(Job {
                config: TrainConfig { seed, ..config.clone() },
                group: group.clone(),
                directory: Some(folder.join(format!("seed-{seed:03}"))),
                resume: arguments.resume,
            });
        }
    }
    Ok(jobs)
}

/// One job for each run that the directory holds, one or two levels down, with the settings that are given besides.
fn saved_jobs(arguments: &TrainArguments, out: &Path) -> anyhow::Result<Vec<Job>> {
    let mut paths = Vec::new();
    for folder in subfolders(out).with_context(|| out.display().to_string())? {
        let is_run = |folder: &PathBuf| folder.join("config.toml").is_file();
        if is_run(&folder) {
            paths.push(folder);
        } else {
            paths.extend(subfolders(&folder)?.into_iter().filter(is_run));
        }
    }
    if paths.is_empty() {
        bail!("{}: holds no runs to resume; --group starts some", out.display());
    }
    let mut groups: HashMap<String, Group> = HashMap::new();
    let mut jobs = Vec::new();
    for directory in paths {
        let path = directory.join("config.toml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let table: toml::Table = text.parse().with_context(|| path.display().to_string())?;
        let layers = [table, arguments.settings.table()];
        let config = TrainConfig::resolve(&layers).with_context(|| path.display().to_string())?;
        let group = match groups.get(&config.group) {
            Some(group) => group.clone(),
            None => spec::parse(&config.group)?,
        };
        groups.insert(config.group.clone(), group.clone());
        jobs.push(Job {
            config,
            group,
            directory: Some(directory),
            resume: true,
        });
    }
    Ok(jobs)
}

fn subfolders(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    Ok(folders)
}

fn seeds(text: &str) -> anyhow::Result<Vec<u64>> {
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let range = match part.split_once("..") {
            Some((from, to)) => from.trim().parse().ok().zip(to.trim().parse().ok()),
            None => part
                .trim()
                .parse::<u64>()
                .ok()
                .map(|seed| (seed, seed.saturating_add(1))),
        };
        let Some((from, to)) = range.filter(|&(from, to): &(u64, u64)| from < to && to - from <= 1_000_000) else {
            bail!(
                "--seeds {text:?} holds no seeds; write 7, or 0..8 for eight of them, or several of these with commas"
            );
        };
        seeds.extend(from..to);
    }
    seeds.sort_unstable();
    seeds.dedup();
    if seeds.last().is_some_and(|&last| i64::try_from(last).is_err()) {
        bail!("--seeds {text:?}: a seed is at most 2^63 - 1");
    }
    Ok(seeds)
}

/// A bar for each network that is being trained; silent where standard error is no terminal.
struct Display {
    bars: MultiProgress,
    each: Mutex<HashMap<usize, ProgressBar>>,
    names: Vec<(String, u64)>,
}

impl Display {
    fn new(jobs: &[Job]) -> Self {
        let names = jobs.iter().map(|job| {
            (
                format!("{} seed {}", job.config.group, job.config.seed),
                job.config.epochs,
            )
        });
        Self {
            bars: MultiProgress::new(),
            each: Mutex::new(HashMap::new()),
            names: names.collect(),
        }
    }

    fn show(&self, progress: Progress<'_>) {
        let (name, epochs) = &self.names[progress.job];
        let mut each = self.each.lock().expect("no bar panics while it holds this");
        let bar = each.entry(progress.job).or_insert_with(|| {
            let style = ProgressStyle::with_template("{prefix:14} {wide_bar} {pos}/{len} {msg} ETA {eta}")
                .expect("a valid template");
            let bar = self.bars.add(ProgressBar::new(*epochs).with_style(style));
            bar.with_prefix(name.clone())
        });
        let last = |column| progress.history.last(column).unwrap_or(f64::NAN);
        bar.set_message(format!(
            "loss {:.4} test {:.4} accuracy {:.1} %",
            progress.loss,
            last("test_loss"),
            100.0 * last("accuracy")
        ));
        bar.set_position(progress.epoch);
        if progress.epoch == *epochs {
            bar.finish_and_clear();
        }
    }
}

fn to_json(jobs: &[Job], summary: &Summary) -> serde_json::Value {
    let results: Vec<_> = jobs
        .iter()
        .zip(&summary.outcomes)
        .map(|(job, outcome)| {
            let mut result = json!({ "group": job.config.group, "seed": job.config.seed });
            let mut set = |key: &str, value: serde_json::Value| result[key] = value;
            match outcome {
                Ok(Outcome::Finished { history, .. }) => {
                    set("status", "finished".into());
                    set("epoch", job.config.epochs.into());
                    for column in ["accuracy", "train_loss", "test_loss", "min_margin"] {
                        set(column, json!(history.last(column)));
                    }
                    if let Some(directory) = &job.directory {
                        set(
                            "network",
                            directory.join("network.safetensors").display().to_string().into(),
                        );
                    }
                }
                Ok(Outcome::Interrupted { epoch }) => {
                    set("status", "interrupted".into());
                    set("epoch", (*epoch).into());
                }
                Ok(Outcome::Diverged { epoch, checkpoint }) => {
                    set("status", "diverged".into());
                    set("epoch", (*epoch).into());
                    set("checkpoint", json!(checkpoint));
                }
                Err(error) => {
                    set("status", "failed".into());
                    set("error", error.to_string().into());
                }
            }
            result
        })
        .collect();
    json!({ "steps_per_second": summary.steps_per_second, "steps": summary.steps, "results": results })
}

fn to_text(jobs: &[Job], summary: &Summary) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header([
        "group",
        "seed",
        "epochs",
        "train loss",
        "test loss",
        "accuracy",
        "min margin",
        "kept in",
    ]);
    let (mut finished, mut perfect) = (0, 0);
    for (job, outcome) in jobs.iter().zip(&summary.outcomes) {
        let place = job.directory.as_ref().map(|directory| directory.display().to_string());
        let mut row = vec![job.config.group.clone(), job.config.seed.to_string()];
        match outcome {
            Ok(Outcome::Finished { history, .. }) => {
                let last = |column| history.last(column).unwrap_or(f64::NAN);
                finished += 1;
                perfect += usize::from(last("accuracy") == 1.0);
                row.push(job.config.epochs.to_string());
                row.extend(["train_loss", "test_loss"].map(|column| format!("{:.4}", last(column))));
                row.push(format!("{:.2} %", 100.0 * last("accuracy")));
                row.push(format!("{:.3}", last("min_margin")));
                row.extend(place);
            }
            Ok(Outcome::Interrupted { epoch }) => {
                row.push(format!("{epoch}, interrupted: --resume goes on"));
            }
            Ok(Outcome::Diverged { epoch, checkpoint }) => {
                let good = checkpoint.as_ref().map_or_else(
                    || "no checkpoint before it".to_owned(),
                    |path| format!("last good: {}", path.display()),
                );
                row.push(format!(
                    "{epoch}, the loss is not finite; {good}; try a smaller learning_rate"
                ));
            }
            Err(_) => row.push("failed".to_owned()),
        }
        table.add_row(row);
    }
    format!(
        "{perfect} of {} networks answer every pair correctly ({finished} finished); {:.0} network-steps per second\n{table}\n",
        jobs.len(),
        summary.steps_per_second
    )
}
