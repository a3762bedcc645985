//! What was found of a network, kept from one report to the next.
//!
//! One JSON file per network, named after the SHA-256 of all that goes into it: weights, activation, table, and the
//! program itself. A file that is damaged, or of something else, is as good as none.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ndarray::Array2;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::SCHEMA;
use crate::group::Group;
use crate::network::Network;
use crate::train::checkpoint::{CheckpointError, write_whole};

/// A folder of kept results.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// The name of a network's file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

#[derive(Serialize, Deserialize)]
struct File {
    /// The file's own name: files that were renamed are of something else.
    key: String,
    /// SHA-256 of `kept` as it is written.
    sha256: String,
    kept: Box<RawValue>,
}

/// Which program found a result: its version, and size and time of its file. What another build proved is not taken for
/// what this one proves.
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let file = std::env::current_exe().and_then(|path| path.metadata());
    let built = file.and_then(|file| Ok((file.len(), file.modified()?)));
    format!("{} {built:?}", env!("CARGO_PKG_VERSION"))
});

impl Key {
    /// Hashes all that the results depend on; `kind` says what sort of results.
    pub fn new(kind: &str, network: &Network, group: &Group) -> Self {
        let mut hash = Sha256::new();
        hash.update(format!("rhoset {} {SCHEMA} {kind}\n", *BUILD));
        hash.update(network.activation.name());
        hash.update(network.architecture().name());
        let mut matrix = |matrix: &Array2<f32>| {
            hash.update(format!("{:?}", matrix.dim()));
            matrix.iter().for_each(|weight| hash.update(weight.to_le_bytes()));
        };
        for (_, tensor) in network.embedding.tensors() {
            matrix(tensor);
        }
        matrix(&network.unembed);
        hash.update([u8::from(network.bias.is_some())]);
        network
            .bias
            .iter()
            .flatten()
            .for_each(|weight| hash.update(weight.to_le_bytes()));
        hash.update(group.name());
        group.table().iter().for_each(|z| hash.update(z.0.to_le_bytes()));
        Self(hexadecimal(&hash.finalize()))
    }
}

impl Cache {
    /// A cache in a folder, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(format!("{}.json", key.0))
    }

    /// What was kept, if it is there and whole.
    pub fn read<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let text = std::fs::read_to_string(self.path(key)).ok()?;
        let file: File = serde_json::from_str(&text).ok()?;
        let sound = file.key == key.0 && file.sha256 == digest(file.kept.get());
        sound.then(|| serde_json::from_str(file.kept.get()))?.ok()
    }

    /// Keeps something.
    ///
    /// # Errors
    /// Where the folder cannot be made or written to.
    pub fn write<T: Serialize>(&self, key: &Key, kept: &T) -> Result<(), CacheError> {
        let kept = serde_json::value::to_raw_value(kept)?;
        let file = File {
            key: key.0.clone(),
            sha256: digest(kept.get()),
            kept,
        };
        std::fs::create_dir_all(&self.folder).map_err(|reason| CacheError::Folder {
            folder: self.folder.clone(),
            reason,
        })?;
        write_whole(&self.path(key), &serde_json::to_vec(&file)?)?;
        Ok(())
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Why a result could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The folder cannot be made.
    #[error("{}: {reason}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] CheckpointError),
    /// It cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

fn digest(kept: &str) -> String {
    hexadecimal(&Sha256::digest(kept.as_bytes()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
