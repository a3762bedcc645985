//! `rhoset reproduce`: every experiment and figure of the paper, for any group.
//!
//! Train (or take what is there), explain, verify, measure; then tables, figures and the page. What was found of a network
//! is kept under its weights' hash, so that the same command goes on where it was stopped.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, ensure};
use indicatif::ProgressBar;
use rhoset::group::isomorphism::isomorphism;
use rhoset::group::{Group, spec};
use rhoset::irrep::Irreps;
use rhoset::measure::Census;
use rhoset::report::page::run::Run;
use rhoset::report::page::{Cache, Described, Named, Page};
use rhoset::report::plot::{to_png, to_svg};
use rhoset::report::study::{CheckpointMeasures, Record, Studied, VERIFIERS, figures, tables};
use rhoset::train::checkpoint::write_whole;
use rhoset::train::{Job, Outcome, TrainConfig, train_all};
use rhoset::verify::subject::Subject;
use serde_json::json;

use crate::group_names::{GroupNames, directory, each_once};
use crate::measure::{or_dash, percent, r_squared, table};
use crate::network_input::{NetworkArguments, NetworkInput};
use crate::source::{self, Source};
use crate::terminal;
use crate::train::resolve;
use crate::verify::Explainer;

/// The groups of the paper, and ours.
const GROUPS: [&str; 8] = [
    "S5",
    "S4",
    "A5",
    "A5xC2",
    "S3wrC2",
    "GL(3,2)",
    "AGL(1,11)",
    "SmallGroup(96,227)",
];

/// What can be reproduced.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Experiment {
    /// Wu et al., Towards a unified and verified understanding of group-operation networks, ICLR 2025.
    Paper,
}

/// Run a paper's experiments again: train, explain, verify, measure, draw.
///
/// Writes results.parquet and results.csv (one row per network) and longer tables beside them, every figure as SVG and
/// PNG, report.html to look at, and study.json. Goes on where it was stopped; networks that are known already are not
/// measured again.
#[derive(clap::Args)]
pub(crate) struct ReproduceArguments {
    /// Which paper: paper is Wu et al. 2025.
    #[arg(value_enum)]
    experiment: Experiment,

    /// A group to train networks for; may be given several times; `all` is S5, S4, A5, A5xC2, S3wrC2, GL(3,2), AGL(1,11)
    /// and, where GAP is installed, SmallGroup(96,227). With --networks: take those of this group only. Default: S5, or all
    /// groups that the networks have.
    #[arg(long, value_name = "SPEC")]
    group: Vec<String>,

    /// How many networks to train for each group.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    seeds: u64,

    /// Train nothing: take these network files, directories of runs, or directories with either in them.
    #[arg(long, value_name = "FILE|DIR", num_args = 1.., conflicts_with_all = ["seeds", "config", "epochs"])]
    networks: Vec<PathBuf>,

    /// Settings of the training that differ from the paper's recipe: a TOML file, as for `rhoset train`.
    #[arg(long, value_name = "TOML_FILE")]
    config: Option<PathBuf>,

    /// Epochs of the training. Default: the recipe's 25 000.
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,

    /// The directory to write to.
    #[arg(short, long, value_name = "DIR", default_value = "study")]
    output: PathBuf,

    /// Print one JSON object, that of study.json, instead of tables.
    #[arg(long)]
    json: bool,
}

/// Whether Ctrl-C was pressed.
static STOP: AtomicBool = AtomicBool::new(false);

pub(crate) fn run(arguments: ReproduceArguments) -> anyhow::Result<ExitCode> {
    let Experiment::Paper = arguments.experiment;
    let groups = groups(&arguments.group)?;
    let is_new = !arguments.output.exists();
    check_writable(&arguments.output)?;
    let outcome = study(&arguments, groups);
    if outcome.is_err() && is_new {
        // Only where nothing is in it, not even runs that diverged.
        _ = std::fs::remove_dir(&arguments.output);
    }
    outcome
}

fn study(arguments: &ReproduceArguments, groups: Vec<(String, Group)>) -> anyhow::Result<ExitCode> {
    ctrlc::set_handler(|| {
        // The second time at once: every file is whole at any moment.
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("cannot listen for Ctrl-C")?;
    let mut study = Study::new(&arguments.output);
    let sources = match arguments.networks.is_empty() {
        true => study.train(arguments, groups)?,
        false => {
            study.only = groups.into_iter().map(|(_, group)| group).collect();
            let (sources, without) = source::gather(&arguments.networks);
            for (path, error) in without {
                study.problem(&ProgressBar::hidden(), path.display().to_string(), error);
            }
            sources
        }
    };
    if !STOP.load(Ordering::Relaxed) {
        study.examine(&sources);
    }
    if STOP.load(Ordering::Relaxed) {
        eprintln!("interrupted; the same command goes on from here");
        return Ok(ExitCode::from(130));
    }
    ensure!(
        !study.groups.is_empty(),
        "nothing to report: {}",
        match study.problems.len() {
            1.. => "no network could be read".to_owned(),
            0 if study.skipped > 0 => format!(
                "none of {} networks is of {}",
                study.skipped,
                arguments.group.join(" or ")
            ),
            0 => "no network was found".to_owned(),
        }
    );
    let written = study.write()?;
    match arguments.json {
        true => println!("{written}"),
        false => print!("{}", study.text()),
    }
    Ok(ExitCode::from(if study.problems.is_empty() { 0 } else { 2 }))
}

/// Refuses early what would be refused after hours of work.
fn check_writable(output: &Path) -> anyhow::Result<()> {
    ensure!(
        output.is_dir() || !output.exists(),
        "{}: is a file; a study needs a directory to write to, as in -o {}",
        output.display(),
        output.with_extension("study").display()
    );
    std::fs::create_dir_all(output).with_context(|| format!("{}: cannot be made", output.display()))?;
    let trial = output.join(format!(".rhoset-study-{}", std::process::id()));
    std::fs::write(&trial, b"").with_context(|| format!("{}: cannot be written to", output.display()))?;
    std::fs::remove_file(&trial).with_context(|| trial.display().to_string())
}

/// The groups asked for, each once, by spec; those of `all` that need GAP only where it is there.
fn groups(specs: &[String]) -> anyhow::Result<Vec<(String, Group)>> {
    let by_all = |spec: &String| specs.iter().any(|own| own == "all") && !specs.contains(spec);
    let named = specs.iter().flat_map(|spec| match spec.as_str() {
        "all" => GROUPS.map(str::to_owned).to_vec(),
        _ => vec![spec.clone()],
    });
    let mut groups = Vec::new();
    for text in each_once(&named.collect::<Vec<_>>()) {
        match spec::parse(text) {
            Ok(group) => groups.push((text.clone(), group)),
            Err(error) if text.starts_with("SmallGroup") && by_all(text) => {
                eprintln!("note: {text} is left out: {error}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(groups)
}

/// An input that is not in the study.
#[derive(serde::Serialize)]
struct Problem {
    input: String,
    error: String,
}

/// What is known so far.
struct Study {
    output: PathBuf,
    cache: Cache,
    explainer: Explainer,
    names: GroupNames,
    page: Page,
    /// The networks of each group, in the order of their first appearance; one of their groups, for the census.
    groups: Vec<(Group, Vec<Record>)>,
    problems: Vec<Problem>,
    /// The groups to take; all where there are none.
    only: Vec<Group>,
    /// How many networks were of other groups.
    skipped: usize,
}

impl Study {
    fn new(output: &Path) -> Self {
        Self {
            output: output.to_owned(),
            cache: Cache::new(output.join("networks")),
            explainer: Explainer::default(),
            names: GroupNames::default(),
            page: Page::new(),
            groups: Vec::new(),
            problems: Vec::new(),
            only: Vec::new(),
            skipped: 0,
        }
    }

    fn problem(&mut self, progress: &ProgressBar, input: String, error: String) {
        // Most errors name the file themselves.
        let error = error.strip_prefix(&format!("{input}: ")).unwrap_or(&error).to_owned();
        progress.suspend(|| eprintln!("error: {input}: {error}"));
        self.page.add_unread(input.clone(), error.clone());
        self.problems.push(Problem { input, error });
    }

    /// Trains the networks that are not trained yet; the answer is their runs.
    fn train(&mut self, arguments: &ReproduceArguments, groups: Vec<(String, Group)>) -> anyhow::Result<Vec<Source>> {
        let groups = match groups.is_empty() {
            true => vec![("S5".to_owned(), spec::parse("S5")?)],
            false => groups,
        };
        let mut layer = toml::Table::new();
        if let Some(path) = &arguments.config {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            layer = text.parse().with_context(|| path.display().to_string())?;
        }
        if let Some(epochs) = arguments.epochs {
            layer.insert("epochs".to_owned(), i64::try_from(epochs)?.into());
        }
        let mut jobs = Vec::new();
        for (spec, group) in &groups {
            let own = toml::Table::from_iter([("group".to_owned(), spec.as_str().into())]);
            let config = resolve(&[layer.clone(), own], arguments.config.as_deref())?;
            for seed in 0..arguments.seeds {
                jobs.push(Job {
                    config: TrainConfig { seed, ..config.clone() },
                    group: group.clone(),
                    directory: Some(self.run_directory(spec, seed)),
                    resume: true,
                });
            }
        }
        let total: u64 = jobs.iter().map(|job| job.config.epochs).sum();
        let progress = terminal::progress(usize::try_from(total)?, "epochs of training");
        let epochs = Mutex::new(vec![0; jobs.len()]);
        let summary = train_all(&jobs, rayon::current_num_threads(), &STOP, &|now| {
            let mut epochs = epochs.lock().expect("nobody panics while holding this");
            epochs[now.job] = now.epoch;
            progress.set_position(epochs.iter().sum());
        });
        progress.finish_and_clear();
        let mut sources = Vec::new();
        for (job, outcome) in jobs.iter().zip(summary.outcomes) {
            let Some(directory) = job.directory.clone() else {
                continue;
            };
            let name = format!("{} seed {}", job.config.group, job.config.seed);
            match outcome {
                Ok(Outcome::Finished { .. }) => sources.push(Source::Run(directory)),
                Ok(Outcome::Interrupted { .. }) => {}
                Ok(Outcome::Diverged { epoch, .. }) => {
                    let error = format!("the loss was not finite at epoch {epoch}; try a smaller learning_rate");
                    self.problem(&progress, name, error);
                }
                Err(error) => self.problem(&progress, name, error.to_string()),
            }
        }
        Ok(sources)
    }

    fn run_directory(&self, spec: &str, seed: u64) -> PathBuf {
        self.output
            .join("runs")
            .join(directory(spec))
            .join(format!("seed-{seed:03}"))
    }

    /// Explains, verifies and measures every network.
    fn examine(&mut self, sources: &[Source]) {
        let progress = terminal::progress(sources.len(), "explained, verified and measured");
        for (source, name) in sources.iter().zip(source::short_names(sources)) {
            if STOP.load(Ordering::Relaxed) {
                break;
            }
            if let Err(error) = self.add(&progress, source, &name) {
                self.problem(&progress, source.path().display().to_string(), format!("{error:#}"));
            }
            progress.inc(1);
        }
        progress.finish_and_clear();
    }

    /// Adds every network of a file or run.
    fn add(&mut self, progress: &ProgressBar, source: &Source, name: &str) -> anyhow::Result<()> {
        let (run, file) = source.open()?;
        let files = NetworkArguments {
            files: vec![file.context(source::UNFINISHED)?],
            group: None,
            table: None,
            activation: None,
        };
        for input in files.load()? {
            match input {
                Ok(input) => {
                    let name = match &run {
                        Some(_) => name.to_owned(),
                        None => input.name_under(name),
                    };
                    self.add_network(progress, &input, name, run.as_ref())?;
                }
                // The others of a file with many networks still count.
                Err(error) => self.problem(progress, source.path().display().to_string(), format!("{error:#}")),
            }
        }
        Ok(())
    }

    fn add_network(
        &mut self,
        progress: &ProgressBar,
        input: &NetworkInput,
        name: String,
        run: Option<&Run>,
    ) -> anyhow::Result<()> {
        let (group, cache) = (&self.names.named(input.group.clone()), &self.cache);
        let wanted = |only: &Group| only.order() == group.order() && isomorphism(only, group).is_some();
        if !self.only.is_empty() && !self.only.iter().any(wanted) {
            self.skipped += 1;
            return Ok(());
        }
        let irreps = self.explainer.irreps(group)?;
        let subject = Subject::new(&input.network, &input.folded, group);
        let (described, kept) = Described::new(&subject, || anyhow::Ok(irreps), Some(cache))?;
        let (studied, also_kept) = Studied::new(&subject, irreps, cache)?;
        let (training, runs_kept) = match run {
            Some(run) => {
                let (training, kept) = run.training(group, irreps, Some(cache), true);
                (Some(training), kept)
            }
            None => (None, Ok(())),
        };
        let learning = run
            .map(|run| CheckpointMeasures::along(run, group, irreps, cache))
            .transpose();
        let kept = kept.and(also_kept).and(runs_kept);
        let learning = kept
            .and(learning)
            .context("what was found cannot be kept")?
            .unwrap_or_default();
        let missing: Vec<String> = training.iter().flat_map(|training| training.missing.clone()).collect();
        let record = Record {
            network: name.clone(),
            order: group.order(),
            summary: described.summary.clone(),
            studied,
            training,
            learning,
        };
        let named = Named {
            name: name.clone(),
            group,
            repaired: input.repaired,
        };
        let measures = record.studied.measures.clone();
        self.page
            .add(named, described, Some(measures), record.training.as_ref());
        match self.groups.iter_mut().find(|(own, _)| own.name() == group.name()) {
            Some((_, records)) => records.push(record),
            None => self.groups.push((group.clone(), vec![record])),
        }
        for reason in missing {
            self.problem(progress, name.clone(), reason);
        }
        Ok(())
    }

    /// Writes tables, figures, page and study.json; the answer is the last.
    fn write(&self) -> anyhow::Result<serde_json::Value> {
        let put = |path: PathBuf, bytes: &[u8]| -> anyhow::Result<()> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            }
            Ok(write_whole(&path, bytes)?)
        };
        let mut censuses = Vec::new();
        for (group, records) in &self.groups {
            let irreps = Irreps::new(group, 0)?;
            let measures = records.iter().map(|record| &record.studied.measures);
            censuses.push((group.name(), Census::of(group, &irreps, measures)));
        }
        let groups: Vec<(&str, &[Record])> = (self.groups.iter())
            .map(|(group, records)| (group.name(), records.as_slice()))
            .collect();
        let mut table_names = Vec::new();
        for (name, table) in tables::all(&groups, &censuses) {
            put(self.output.join(format!("{name}.parquet")), &table.to_parquet()?)?;
            put(self.output.join(format!("{name}.csv")), table.to_csv().as_bytes())?;
            table_names.push(json!({ "name": name, "rows": table.rows() }));
        }
        let all: Vec<_> = (groups.iter().zip(&censuses))
            .flat_map(|((group, records), (_, census))| {
                let figures = figures::all(group, records, census).into_iter();
                figures.map(move |figure| (*group, figure))
            })
            .collect();
        let progress = terminal::progress(all.len(), "figures");
        let mut figure_names = Vec::new();
        for (group, figure) in all {
            let folder = Path::new("figures").join(directory(group));
            let [svg, png] = ["svg", "png"].map(|format| folder.join(format!("{}.{format}", figure.name)));
            put(self.output.join(&svg), to_svg(&figure)?.as_bytes())?;
            put(self.output.join(&png), &to_png(&figure)?)?;
            figure_names.push(json!({
                "group": group,
                "name": figure.name,
                "title": figure.title,
                "caption": figure.caption,
                "svg": svg,
                "png": png,
                "absent": figure.absent,
            }));
            progress.inc(1);
        }
        progress.finish_and_clear();
        put(self.output.join("report.html"), self.page.html().as_bytes())?;
        let summaries: Vec<_> = (self.groups.iter().zip(&censuses))
            .map(|((group, records), (_, census))| {
                let mut summary = serde_json::to_value(Summary::of(records)).expect("numbers");
                summary["group"] = group.name().into();
                summary["order"] = group.order().into();
                summary["census"] = serde_json::to_value(census).expect("names and numbers");
                summary
            })
            .collect();
        let study = json!({
            "schema": 1,
            "rhoset": env!("CARGO_PKG_VERSION"),
            "groups": summaries,
            "tables": table_names,
            "figures": figure_names,
            "page": "report.html",
            "problems": self.problems,
        });
        put(
            self.output.join("study.json"),
            serde_json::to_string_pretty(&study)?.as_bytes(),
        )?;
        Ok(study)
    }

    fn text(&self) -> String {
        let networks: usize = self.groups.iter().map(|(_, records)| records.len()).sum();
        let share = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), percent);
        let summaries: Vec<_> = (self.groups.iter())
            .map(|(group, records)| (group.name(), Summary::of(records)))
            .collect();
        let proofs = summaries.iter().map(|(group, own)| {
            vec![
                (*group).to_owned(),
                own.networks.to_string(),
                share(own.accuracy),
                own.perfect.to_string(),
                share(own.proved_95.get("rho-set").copied()),
                share(own.proved_95.get("explained").copied()),
                share(own.relative_flops.get("cascade").copied()),
            ]
        });
        let header = [
            "group",
            "networks",
            "accuracy",
            "perfect",
            "rho-set >= 95 %",
            "explained >= 95 %",
            "cascade flops",
        ];
        let proofs = table(&header, 1, proofs);
        let measures = summaries.iter().map(|(group, own)| {
            vec![
                (*group).to_owned(),
                or_dash(own.equivariance.random),
                or_dash(own.equivariance.original),
                or_dash(own.equivariance.idealised),
                r_squared(own.r_squared_left),
                own.fully_explained.networks.to_string(),
                r_squared(own.fully_explained.least_r_squared_left),
                r_squared(own.fully_explained.least_r_squared_right),
            ]
        });
        let header = [
            "group",
            "random",
            "original",
            "idealised",
            "R^2 left",
            "fully explained",
            "R^2 left >=",
            "R^2 right >=",
        ];
        let measures = table(&header, 1, measures);
        let plural = if networks == 1 { "" } else { "s" };
        let skipped = match self.skipped {
            0 => String::new(),
            count => format!(" ({count} of other groups left out)"),
        };
        format!(
            "Studied {networks} network{plural}{skipped}; tables, figures and report.html are in {}.\n\n{proofs}\n\nMedians over \
             networks; flops relative to brute force.\n\nBi-equivariance (mean spread of the correct logit along orbits) of \
             random, original and idealised networks; R^2 of\nthe left embeddings (median), and the least of the networks \
             that rho-sets explain fully ({} of the variance).\n{measures}\n",
            self.output.display(),
            percent(FULLY),
        )
    }
}

/// A group's networks in a few numbers.
#[derive(serde::Serialize)]
struct Summary {
    networks: usize,
    /// Networks that are right on all pairs.
    perfect: usize,
    /// Median accuracy.
    accuracy: Option<f64>,
    /// Share of the networks for which a verifier proves at least 95 %.
    proved_95: std::collections::BTreeMap<&'static str, f64>,
    /// Median flops relative to brute force.
    relative_flops: std::collections::BTreeMap<&'static str, f64>,
    /// Mean spread of the correct logit, left and right.
    equivariance: Equivariance,
    /// Median R^2 of the left embeddings.
    r_squared_left: Option<f64>,
    /// Networks whose idealised circuits have nearly all of the left functions' variance.
    fully_explained: FullyExplained,
}

/// The share of the left functions' variance from which on a network is explained fully by rho-sets.
const FULLY: f64 = 0.999;

#[derive(serde::Serialize)]
struct FullyExplained {
    networks: usize,
    /// The least R^2 of their left embeddings, and of their right ones.
    least_r_squared_left: Option<f64>,
    least_r_squared_right: Option<f64>,
}

#[derive(serde::Serialize)]
struct Equivariance {
    random: Option<f64>,
    original: Option<f64>,
    idealised: Option<f64>,
}

impl Summary {
    fn of(records: &[Record]) -> Self {
        let median = |values: &mut dyn Iterator<Item = f64>| {
            let mut values: Vec<f64> = values.collect();
            values.sort_by(f64::total_cmp);
            let last = values.len().checked_sub(1)?;
            Some((values[last / 2] + values[last.div_ceil(2)]) / 2.0)
        };
        let mean = |values: &mut dyn Iterator<Item = f64>| {
            let values: Vec<f64> = values.collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        let spread = |own: &rhoset::measure::BiEquivariance| (own.variation.left + own.variation.right) / 2.0;
        let measures = || records.iter().map(|record| &record.studied.measures);
        let fits = measures().filter_map(|own| own.fit);
        let fully: Vec<_> = fits.filter(|fit| fit.explained >= FULLY).collect();
        let mut proved_95 = std::collections::BTreeMap::new();
        let mut relative_flops = std::collections::BTreeMap::new();
        for verifier in VERIFIERS {
            let bounds: Vec<f64> = records.iter().filter_map(|record| record.bound(verifier)).collect();
            if bounds.is_empty() {
                continue;
            }
            let proved = bounds.iter().filter(|&&bound| bound >= 0.95).count();
            proved_95.insert(verifier, proved as f64 / records.len() as f64);
            let flops = median(&mut records.iter().filter_map(|record| record.relative_flops(verifier)));
            relative_flops.extend(flops.map(|flops| (verifier, flops)));
        }
        Self {
            networks: records.len(),
            perfect: measures().filter(|own| own.original.accuracy == 1.0).count(),
            accuracy: median(&mut measures().map(|own| own.original.accuracy)),
            proved_95,
            relative_flops,
            equivariance: Equivariance {
                random: mean(&mut records.iter().map(|record| spread(&record.studied.random))),
                original: mean(&mut measures().map(|own| spread(&own.equivariance))),
                idealised: mean(&mut measures().filter_map(|own| own.idealised_equivariance.as_ref().map(spread))),
            },
            r_squared_left: median(&mut measures().filter_map(|own| own.fit.map(|fit| fit.all.left))),
            fully_explained: FullyExplained {
                networks: fully.len(),
                least_r_squared_left: fully.iter().map(|fit| fit.all.left).reduce(f64::min),
                least_r_squared_right: fully.iter().map(|fit| fit.all.right).reduce(f64::min),
            },
        }
    }
}
