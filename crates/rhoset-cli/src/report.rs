//! `rhoset report RUN|NETWORK...`: one page about many networks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use rhoset::group::spec;
use rhoset::irrep::Irreps;
use rhoset::report::page::run::Run;
use rhoset::report::page::{Cache, Described, Named, Page, measured};
use rhoset::train::checkpoint::write_whole;
use rhoset::verify::subject::Subject;
use serde_json::json;

use crate::group_names::GroupNames;
use crate::network_input::{NetworkArguments, NetworkInput};
use crate::source::{self, Source};
use crate::terminal;
use crate::verify::Explainer;

/// Make one self-contained HTML page about networks and runs.
///
/// The page works offline in any browser: an overview, and for each network its circuits to turn and look at, its neurons
/// by coset, what each verifier proves, margins and errors, and for runs (rhoset train --out), finished or not, the training
/// curves and checkpoints.
#[derive(clap::Args)]
pub(crate) struct ReportArguments {
    #[command(flatten)]
    networks: NetworkArguments,

    /// The page to write.
    #[arg(short, long, value_name = "HTML_FILE", default_value = "report.html")]
    output: PathBuf,

    /// Directory in which explanations and proofs are kept, so that the next report is quick. Default: rhoset/report in
    /// the user's cache directory.
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,

    /// Neither use nor keep explanations and proofs.
    #[arg(long)]
    no_cache: bool,

    /// Leave out the measures, interventions and the census, which take longer than explanations and proofs.
    #[arg(long)]
    no_measures: bool,

    /// Leave out the checkpoints of runs, which are explained one by one.
    #[arg(long)]
    no_checkpoints: bool,

    /// Print one JSON object about the page.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: ReportArguments) -> anyhow::Result<ExitCode> {
    check_writable(&arguments.output)?;
    let (sources, without) = source::gather(&arguments.networks.files);
    let cache = match (&arguments.cache, arguments.no_cache) {
        (_, true) => None,
        (Some(folder), _) => Some(Cache::new(folder)),
        (None, _) => cache_folder().map(Cache::new),
    };
    let mut making = Making {
        arguments: &arguments,
        cache,
        explainer: Explainer::default(),
        page: Page::new(),
        names: GroupNames::default(),
        groups: BTreeMap::new(),
        unread: Vec::new(),
        warned: false,
    };
    for (path, error) in without {
        making.unread(&path, &format!("{}: {error}", path.display()));
    }
    let progress = terminal::progress(sources.len(), "networks");
    for (source, name) in sources.iter().zip(source::short_names(&sources)) {
        if let Err(error) = making.add(source, &name) {
            progress.suspend(|| making.unread(source.path(), &format!("{error:#}")));
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    ensure!(
        !making.page.is_empty(),
        "{}: not written, since no network could be read",
        arguments.output.display()
    );
    making.page.take_census(|group| Irreps::new(group, 0));
    let html = making.page.html();
    write_whole(&arguments.output, html.as_bytes()).context("the page could not be written")?;
    making.say(html.len())?;
    Ok(ExitCode::from(if making.unread.is_empty() { 0 } else { 2 }))
}

/// A page in the making.
struct Making<'a> {
    arguments: &'a ReportArguments,
    cache: Option<Cache>,
    explainer: Explainer,
    page: Page,
    names: GroupNames,
    /// Networks by group.
    groups: BTreeMap<String, usize>,
    unread: Vec<String>,
    /// Whether it was said that nothing can be kept.
    warned: bool,
}

impl Making<'_> {
    /// Says of an input what is wrong with it, here and on the page.
    fn unread(&mut self, path: &Path, error: &str) {
        eprintln!("error: {error}");
        self.page.add_unread(path.display().to_string(), error);
        self.unread.push(path.display().to_string());
    }

    /// Adds all networks of a file or run, as far as they can be read.
    fn add(&mut self, source: &Source, name: &str) -> anyhow::Result<()> {
        let (run, file) = source.open()?;
        let Some(file) = file else {
            let run = run.expect("files are there");
            let group = spec::parse(&run.config.group)?;
            let (epoch, network) = run.latest(group.order())?;
            let input = NetworkInput {
                path: source.path().to_owned(),
                name: format!("{name} (unfinished, epoch {epoch})"),
                folded: network.fold(),
                network,
                group,
                repaired: None,
                rounding: 0.0,
            };
            return self.add_network(&input, input.name.clone(), Some(&run));
        };
        let mut first_error = None;
        for input in self.arguments.networks.with_files(vec![file]).load()? {
            match input {
                Ok(input) => {
                    let name = match &run {
                        Some(_) => name.to_owned(),
                        None => input.name_under(name),
                    };
                    self.add_network(&input, name, run.as_ref())?;
                }
                // The others of a file with many networks still count.
                Err(error) => _ = first_error.get_or_insert(error),
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    fn add_network(&mut self, input: &NetworkInput, name: String, run: Option<&Run>) -> anyhow::Result<()> {
        let (group, cache) = (&self.names.named(input.group.clone()), self.cache.as_ref());
        let explainer = &mut self.explainer;
        let subject = Subject::new(&input.network, &input.folded, group);
        let (described, mut kept) = Described::new(&subject, || explainer.irreps(group), cache)?;
        let measures = match self.arguments.no_measures {
            true => None,
            false => {
                let (measures, also_kept) = measured(&subject, || explainer.irreps(group), cache)?;
                kept = kept.and(also_kept);
                measures
            }
        };
        let training = match run {
            Some(run) => {
                let irreps = self.explainer.irreps(group)?;
                let (training, also_kept) = run.training(group, irreps, cache, !self.arguments.no_checkpoints);
                kept = kept.and(also_kept);
                Some(training)
            }
            None => None,
        };
        if let (Err(error), false) = (kept, self.warned) {
            self.warned = true;
            eprintln!("warning: explanations are not kept for the next report: {error}");
        }
        *self.groups.entry(group.name().to_owned()).or_default() += 1;
        let named = Named {
            name,
            group,
            repaired: input.repaired,
        };
        self.page.add(named, described, measures, training.as_ref());
        Ok(())
    }

    fn say(&self, bytes: usize) -> anyhow::Result<()> {
        let output = &self.arguments.output;
        if self.arguments.json {
            let about = json!({
                "output": output,
                "bytes": bytes,
                "networks": self.page.len(),
                "groups": self.groups,
                "unread": self.unread,
            });
            println!("{}", serde_json::to_string(&about)?);
            return Ok(());
        }
        let groups: Vec<String> = (self.groups.iter())
            .map(|(group, count)| format!("{count} over {group}"))
            .collect();
        let plural = if self.page.len() == 1 { "" } else { "s" };
        println!(
            "Wrote {}: {} network{plural} ({}), {:.1} MiB; open it in a browser.",
            output.display(),
            self.page.len(),
            groups.join(", "),
            bytes as f64 / f64::from(1 << 20)
        );
        Ok(())
    }
}

/// Refuses early what would be refused after minutes of work.
fn check_writable(output: &Path) -> anyhow::Result<()> {
    ensure!(
        !output.is_dir(),
        "{}: is a directory; give the page a file name, as in -o {}",
        output.display(),
        output.join("report.html").display()
    );
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    ensure!(
        folder.is_dir(),
        "{}: there is no directory {} to write it to",
        output.display(),
        folder.display()
    );
    let trial = folder.join(format!(".rhoset-report-{}", std::process::id()));
    std::fs::write(&trial, b"").with_context(|| format!("{}: cannot be written", output.display()))?;
    std::fs::remove_file(&trial).with_context(|| trial.display().to_string())
}

/// Where programs keep what they can make again: `$XDG_CACHE_HOME`, or the platform's own place.
fn cache_folder() -> Option<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = || variable(if cfg!(windows) { "LOCALAPPDATA" } else { "HOME" });
    let caches = match std::env::consts::OS {
        "windows" => home()?,
        "macos" => home()?.join("Library/Caches"),
        _ => variable("XDG_CACHE_HOME").or_else(|| Some(home()?.join(".cache")))?,
    };
    Some(caches.join("rhoset").join("report"))
}
