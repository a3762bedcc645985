//! The networks of a command line, each with its group: what every command about networks starts from.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use rayon::prelude::*;
use rhoset::group::name::identify;
use rhoset::group::spec::{self, Spec};
use rhoset::group::{Element, Group};
use rhoset::network::file::{self, LoadedNetwork};
use rhoset::network::infer::InferredGroup;
use rhoset::network::{Activation, Folded, Network, evaluate, infer};

use crate::source::{self, Source};

/// Which networks, and which group they are of.
#[derive(Clone, clap::Args)]
pub(crate) struct NetworkArguments {
    /// Network files: safetensors, or PyTorch state dicts (`rhoset convert --help` lists the layouts). Of a directory, all
    /// networks in it, by name, and those of finished runs (`rhoset train --out`).
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) files: Vec<PathBuf>,

    /// Group of the networks: a spec such as S5 or C11:C5 (labels in the spec's order), or `infer` to recover group and
    /// labels from the networks' largest logits. Default: the group that each file carries, else `infer`.
    #[arg(long, value_name = "infer|SPEC")]
    pub(crate) group: Option<String>,

    /// Multiplication table of the group in the networks' label order: csv, npy, or safetensors with a tensor `table`.
    #[arg(long, value_name = "TABLE_FILE", conflicts_with = "group")]
    pub(crate) table: Option<PathBuf>,

    /// Activation of the networks. Default: what each file says, else relu (PyTorch files do not say).
    #[arg(long, value_name = "ACTIVATION", value_parser = activation)]
    pub(crate) activation: Option<Activation>,
}

fn activation(name: &str) -> Result<Activation, String> {
    let known = Activation::ALL.map(Activation::name).join(", ");
    Activation::named(name).ok_or_else(|| format!("known are {known}"))
}

/// A network with its group, ready for work.
pub(crate) struct NetworkInput {
    /// The file, as given.
    pub(crate) path: PathBuf,
    /// The end of the file's path that no other network has, or of the run's: its name, with an index where it holds many
    /// networks: `runs.pt[3]`.
    pub(crate) name: String,
    /// The weights as stored.
    pub(crate) network: Network,
    /// The same, folded.
    pub(crate) folded: Folded,
    /// The group, in the network's label order.
    pub(crate) group: Group,
    /// Where the group was inferred: on how many pairs (x, y) the network is wrong.
    pub(crate) repaired: Option<usize>,
    /// The largest relative change by which float64 weights were rounded to float32; 0 where none were.
    pub(crate) rounding: f64,
}

impl NetworkInput {
    /// Its name where its file is called `name`: the same with the index in a file of many networks.
    pub(crate) fn name_under(&self, name: &str) -> String {
        let file = self.path.file_name().map(|name| name.to_string_lossy().into_owned());
        let index = self.name.strip_prefix(&file.unwrap_or_default()).unwrap_or_default();
        format!("{name}{index}")
    }

    /// Says on stderr what a user would want to know before reading on.
    fn warn(&self) {
        if self.rounding > 0.0 {
            eprintln!(
                "warning: {}: float64 weights were rounded to float32 (relative change up to {:.1e}); what is said below \
                 is said of the rounded network",
                self.name, self.rounding
            );
        }
        if let Some(inferred) = self.labels_unlike() {
            eprintln!(
                "warning: {}: the network gets hardly any product of {} right, but with its labels in another order it \
                 multiplies in {} on {:.2} % of the pairs; `--group infer` takes it so",
                self.name,
                self.group.name(),
                inferred.group.name(),
                100.0 * (1.0 - inferred.repaired as f64 / (self.group.order() * self.group.order()) as f64)
            );
        }
    }

    /// The group that the network multiplies in with its labels in another order, where hardly any product is right among
    /// those of a few x. A network that never learned gets as few right, but no order of labels helps it.
    fn labels_unlike(&self) -> Option<InferredGroup> {
        if self.repaired.is_some() || self.group.order() < 8 {
            return None;
        }
        let order = self.group.order();
        let sample: Vec<Element> = self.group.elements().step_by(order.div_ceil(4)).collect();
        let right = sample.iter().map(|&x| {
            let logits = evaluate::logits_of_row(&self.folded, x);
            let rows = logits.rows().into_iter().zip(self.group.row(x));
            rows.filter(|(row, product)| evaluate::margin(row.view(), **product) > 0.0)
                .count()
        });
        // Chance alone makes one in n right.
        match right.sum::<usize>() < 3 * sample.len() {
            true => infer::infer_group(&self.folded).ok(),
            false => None,
        }
    }
}

impl NetworkArguments {
    /// The same settings for other files.
    pub(crate) fn with_files(&self, files: Vec<PathBuf>) -> Self {
        Self { files, ..self.clone() }
    }

    /// Every network of every file and directory in the order given, files read in parallel; an error in the place of each
    /// file or network that is bad, and after them one for each directory without networks.
    ///
    /// # Errors
    /// Where the group asked for is bad, so that no network could be read.
    pub(crate) fn load(&self) -> anyhow::Result<Vec<anyhow::Result<NetworkInput>>> {
        let group = self.given_group()?;
        let (sources, without) = source::gather(&self.files);
        let names = source::short_names(&sources);
        let load = |(source, name): (&Source, &String)| self.load_source(source, name, group.as_ref());
        let networks: Vec<Vec<_>> = sources.par_iter().zip(&names).map(load).collect();
        let mut networks: Vec<_> = networks.into_iter().flatten().collect();
        for network in networks.iter().flatten() {
            network.warn();
        }
        networks.extend(
            without
                .into_iter()
                .map(|(path, error)| Err(anyhow!("{}: {error}", path.display()))),
        );
        Ok(networks)
    }

    /// The networks of a file or run that is called `name`.
    fn load_source(&self, source: &Source, name: &str, group: Option<&Group>) -> Vec<anyhow::Result<NetworkInput>> {
        let path = match source.open() {
            Ok((_, Some(path))) => path,
            Ok((_, None)) => return vec![Err(anyhow!("{}: {}", source.path().display(), source::UNFINISHED))],
            Err(error) => return vec![Err(error.into())],
        };
        let mut networks = self.load_file(&path, group);
        for network in networks.iter_mut().flatten() {
            network.name = network.name_under(name);
        }
        networks
    }

    /// The group of `--group SPEC` or `--table`; none where each file's own is meant, or `infer`.
    fn given_group(&self) -> anyhow::Result<Option<Group>> {
        match (&self.group, &self.table) {
            (_, Some(path)) => {
                let group = Spec::Table(path.clone()).build()?;
                let name = identify(&group);
                Ok(Some(group.with_name(name)))
            }
            (Some(spec), None) if spec != "infer" => Ok(Some(spec::parse(spec)?)),
            _ => Ok(None),
        }
    }

    fn load_file(&self, path: &Path, group: Option<&Group>) -> Vec<anyhow::Result<NetworkInput>> {
        match file::load(path) {
            Ok(networks) => networks
                .into_iter()
                .map(|network| self.resolve(path, network, group))
                .collect(),
            Err(error) => vec![Err(error.into())],
        }
    }

    fn resolve(&self, path: &Path, loaded: LoadedNetwork, given: Option<&Group>) -> anyhow::Result<NetworkInput> {
        let LoadedNetwork {
            name,
            mut network,
            group: own,
            rounding,
        } = loaded;
        if let Some(activation) = self.activation {
            network.activation = activation;
        }
        let folded = network.fold();
        let own = own.filter(|_| self.group.is_none());
        let (group, repaired) = match given.cloned().or(own) {
            Some(group) => (group, None),
            None => {
                let inferred =
                    infer::infer_group(&folded).with_context(|| path.with_file_name(&name).display().to_string())?;
                (inferred.group, Some(inferred.repaired))
            }
        };
        ensure!(
            group.order() == network.order(),
            "{}: the network has {} logits, but {} has order {}",
            path.with_file_name(&name).display(),
            network.order(),
            group.name(),
            group.order()
        );
        Ok(NetworkInput {
            path: path.to_owned(),
            name,
            network,
            folded,
            group,
            repaired,
            rounding,
        })
    }
}
