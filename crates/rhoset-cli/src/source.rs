//! What commands are given: network files and runs, found in directories, with names to tell them apart.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rhoset::report::page::run::{Run, RunFileError};

/// A network, or how one came to be.
pub(crate) enum Source {
    File(PathBuf),
    Run(PathBuf),
}

impl Source {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Run(path) => path,
        }
    }

    /// The run, of those; and the file of the network, which a run has when it is finished.
    pub(crate) fn open(&self) -> Result<(Option<Run>, Option<PathBuf>), RunFileError> {
        match self {
            Self::File(path) => Ok((None, Some(path.clone()))),
            Self::Run(directory) => {
                let run = Run::open(directory)?;
                let network = run.network();
                Ok((Some(run), network))
            }
        }
    }
}

/// What is said of a run without a network.
pub(crate) const UNFINISHED: &str = "the run is not finished; `rhoset train --resume` goes on with it";

/// Directories in directories, beyond which none are looked into.
const DEEPEST: usize = 8;

/// The runs and network files of paths, in their order; for each path that has none, what is wrong with it.
pub(crate) fn gather(paths: &[PathBuf]) -> (Vec<Source>, Vec<(PathBuf, String)>) {
    let (mut sources, mut without) = (Vec::new(), Vec::new());
    for path in paths {
        let before = sources.len();
        if !path.is_dir() {
            sources.push(Source::File(path.clone()));
        } else if let Err(error) = search(path, 0, &mut sources) {
            sources.truncate(before);
            without.push((path.clone(), error.to_string()));
        } else if sources.len() == before {
            let error = "there is no network in this directory, and no run; networks are .safetensors, .pt and .pth files, \
                         runs are what `rhoset train --out` writes";
            without.push((path.clone(), error.to_owned()));
        }
    }
    (sources, without)
}

/// The runs and network files of a directory, by name.
fn search(directory: &Path, depth: usize, sources: &mut Vec<Source>) -> std::io::Result<()> {
    if Run::is_at(directory) {
        sources.push(Source::Run(directory.to_owned()));
        return Ok(());
    }
    let mut entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let path = entry.path();
        // Of the entry itself: a link to a directory could lead back here.
        if entry.file_type()?.is_dir() {
            if depth < DEEPEST {
                search(&path, depth + 1, sources)?;
            }
            continue;
        }
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let networks = ["safetensors", "pt", "pth"];
        if extension.is_some_and(|extension| networks.iter().any(|network| extension == *network)) {
            sources.push(Source::File(path));
        }
    }
    Ok(())
}

/// For each source the end of its path that no other path has: of files the name at least, of runs the last two parts,
/// since all have a `seed-000`.
pub(crate) fn short_names(sources: &[Source]) -> Vec<String> {
    let parts: Vec<Vec<String>> = (sources.iter())
        .map(|source| {
            let parts = source.path().iter().filter(|part| *part != "/" && *part != ".");
            parts.map(|part| part.to_string_lossy().into_owned()).collect()
        })
        .collect();
    let least = |source: &Source| match source {
        Source::File(_) => 1,
        Source::Run(_) => 2,
    };
    let mut lengths: Vec<usize> = sources
        .iter()
        .zip(&parts)
        .map(|(own, parts)| least(own).min(parts.len()))
        .collect();
    loop {
        let names: Vec<String> = (parts.iter().zip(&lengths))
            .map(|(parts, length)| parts[parts.len() - length..].join("/"))
            .collect();
        let mut paths = HashMap::<&str, HashSet<&[String]>>::new();
        for (name, parts) in names.iter().zip(&parts) {
            paths.entry(name).or_default().insert(parts);
        }
        let mut grown = false;
        for (i, name) in names.iter().enumerate() {
            if paths[name.as_str()].len() > 1 && lengths[i] < parts[i].len() {
                lengths[i] += 1;
                grown = true;
            }
        }
        if !grown {
            let named = names.into_iter().zip(sources);
            return named
                .map(|(name, source)| match name.is_empty() {
                    true => source.path().display().to_string(),
                    false => name,
                })
                .collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_tell_sources_apart() {
        let sources = [
            Source::File("/data/one/s5.safetensors".into()),
            Source::File("/data/one/s4.safetensors".into()),
            Source::File("./s4.safetensors".into()),
            Source::Run("/long/way/runs/S5/seed-000".into()),
            Source::Run("other/S5/seed-000".into()),
            Source::Run("runs/seed-001".into()),
            Source::Run(".".into()),
        ];
        let expected = [
            "s5.safetensors",
            "one/s4.safetensors",
            "s4.safetensors",
            "runs/S5/seed-000",
            "other/S5/seed-000",
            "runs/seed-001",
            ".",
        ];
        assert_eq!(short_names(&sources), expected);
        // The same one twice has the same name twice.
        let twice = [Source::File("a/b.pt".into()), Source::File("a/b.pt".into())];
        assert_eq!(short_names(&twice), ["b.pt"; 2]);
    }
}
