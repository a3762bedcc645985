//! `rhoset convert`: any network file to the native safetensors format.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use rhoset::network::evaluate::Evaluation;
use rhoset::network::file;

use crate::network_input::{NetworkArguments, NetworkInput};

/// Rewrite network files in the native safetensors format, with the group inside.
#[derive(clap::Args)]
#[command(after_help = file::LAYOUTS)]
pub(crate) struct ConvertArguments {
    #[command(flatten)]
    networks: NetworkArguments,

    /// File to write for a single network file; otherwise a directory, which receives one file per network.
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,

    /// What to write: the weights as they are, or `folded` to left, right and unembed (rounded to float32).
    #[arg(long, value_enum, default_value_t = Target::Safetensors)]
    to: Target,

    /// Replace files that exist.
    #[arg(long)]
    force: bool,

    /// Print one JSON object per network instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Target {
    Safetensors,
    Folded,
}

pub(crate) fn run(arguments: ConvertArguments) -> anyhow::Result<ExitCode> {
    let networks = arguments.networks.load()?;
    let from_directory = arguments.networks.files.iter().any(|path| path.is_dir());
    let to_directory = networks.len() > 1 || from_directory || arguments.out.is_dir();
    let out = &arguments.out;
    let is_file = || out.exists() || out.extension().is_some_and(|extension| extension == "safetensors");
    ensure!(
        !to_directory || out.is_dir() || !is_file(),
        "{}: is a file's name, but several networks, or those of a directory, are written to a directory",
        out.display()
    );
    let mut failed = 0;
    let mut written = HashSet::new();
    let mut rows = Vec::new();
    for network in networks {
        match network.and_then(|network| arguments.convert(network, to_directory, &mut written)) {
            Ok(row) => rows.push(row),
            Err(error) => {
                eprintln!("error: {error:#}");
                failed += 1;
            }
        }
    }
    if arguments.json {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    } else if !rows.is_empty() {
        print_table(&rows);
    }
    Ok(ExitCode::from(if failed > 0 { 2 } else { 0 }))
}

/// What became of one network.
#[derive(serde::Serialize)]
struct Converted {
    network: String,
    out: PathBuf,
    architecture: &'static str,
    activation: &'static str,
    group: String,
    order: usize,
    neurons: usize,
    /// The pairs (x, y) whose largest logit is not x y, where the group was inferred from the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<usize>,
    /// Float64 accuracy on all pairs.
    accuracy: f64,
    /// The largest relative change of a weight by rounding to float32.
    rounding: f64,
}

impl ConvertArguments {
    fn convert(
        &self,
        input: NetworkInput,
        to_directory: bool,
        written: &mut HashSet<PathBuf>,
    ) -> anyhow::Result<Converted> {
        let (network, rounding) = match self.to {
            Target::Safetensors => (input.network, input.rounding),
            Target::Folded => {
                let (network, change) = input.folded.round();
                (network, input.rounding.max(change))
            }
        };
        let out = if to_directory {
            std::fs::create_dir_all(&self.out).with_context(|| self.out.display().to_string())?;
            self.out.join(file_name(&input.name))
        } else {
            self.out.clone()
        };
        ensure!(
            written.insert(out.clone()),
            "{}: would be written to {} too, like an earlier network of that name; convert it by itself",
            input.path.display(),
            out.display()
        );
        if out.exists() {
            ensure!(!out.is_dir(), "{}: is a directory", out.display());
            ensure!(
                !same_file(&out, &input.path),
                "{}: is the network to be converted; write to another file",
                out.display()
            );
            if !self.force {
                bail!("{}: exists; --force replaces it", out.display());
            }
        }
        file::save(&out, &network, Some(&input.group))?;
        if rounding > input.rounding {
            eprintln!(
                "warning: {}: folded weights were rounded to float32 (relative change up to {rounding:.1e}): this is \
                 another network, and bounds proved of it are not bounds of the one it was folded from",
                input.name
            );
        }
        Ok(Converted {
            network: input.name,
            out,
            architecture: network.architecture().name(),
            activation: network.activation.name(),
            group: input.group.name().to_owned(),
            order: network.order(),
            neurons: network.neurons(),
            repaired: input.repaired,
            accuracy: Evaluation::of(&network.fold(), &input.group).accuracy,
            rounding,
        })
    }
}

/// `runs.pt[3]` becomes `runs-3.safetensors`.
pub(crate) fn file_name(network: &str) -> String {
    let (file, index) = match network.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
        Some((file, index)) => (file, format!("-{index}")),
        None => (network, String::new()),
    };
    let stem = Path::new(file).file_stem().unwrap_or(file.as_ref()).to_string_lossy();
    format!("{stem}{index}.safetensors")
}

pub(crate) fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn print_table(rows: &[Converted]) {
    let plural = if rows.len() == 1 { "" } else { "s" };
    println!("Converted {} network{plural}.", rows.len());
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_header([
        "network",
        "architecture",
        "activation",
        "group",
        "neurons",
        "accuracy",
        "written to",
    ]);
    for row in rows {
        let group = match row.repaired {
            Some(_) => format!("{} (inferred)", row.group),
            None => row.group.clone(),
        };
        table.add_row([
            row.network.clone(),
            row.architecture.to_owned(),
            row.activation.to_owned(),
            group,
            row.neurons.to_string(),
            format!("{:.2} %", 100.0 * row.accuracy),
            row.out.display().to_string(),
        ]);
    }
    println!("{table}");
}
