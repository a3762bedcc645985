//! PyTorch's `.pt` files: the zip archives of today and the bare pickles of `torch.save` before 1.6.
//!
//! Both hold one pickle that describes tensors as views of numbered storages. A zip has each storage as an uncompressed
//! entry `data/KEY`; the legacy format has them one after another behind five pickles (magic number, protocol version,
//! byte order, the object, the storages' keys), each with its number of elements before it.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, SeekFrom};
use std::ops::Range;

use safetensors::Dtype;

use super::pickle::{Id, Node, Pickle};
use super::tensor::{StoredTensor, StoredTensors, contiguous_strides};
use super::{FileProblem, Source};

/// The largest pickle that is read, in bytes: those of state dicts take a few hundred bytes a tensor.
const LARGEST_PICKLE: u64 = 1 << 20;

/// `0x1950a86a20f9469cfc6c`, little end first: what the first pickle of a legacy file holds.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The first bytes of a legacy file: protocol 2, then a long integer.
pub(super) const LEGACY_START: &[u8] = &[0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46];

/// Keys under which training scripts keep the state dict of the model in a checkpoint.
const CHECKPOINT_KEYS: [&str; 5] = ["state_dict", "model_state_dict", "model_state", "model", "params"];

/// Lists the tensors of a zip archive.
pub(super) fn read_zip(source: &mut dyn Source) -> Result<StoredTensors, FileProblem> {
    let zip_problem = |problem: zip::result::ZipError| FileProblem::Zip(problem.to_string());
    let mut archive = zip::ZipArchive::new(BufReader::new(&mut *source)).map_err(zip_problem)?;
    let mut entries = BTreeMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(zip_problem)?;
        let name = entry.name().map_err(zip_problem)?.into_owned();
        let stored = entry.compression() == zip::CompressionMethod::Stored && !entry.encrypted();
        let start = entry.data_start().unwrap_or(0);
        let end = start.saturating_add(entry.compressed_size());
        entries.insert(name, (start..end, stored));
    }
    let is_folder = |root: &&str| root.is_empty() || root.ends_with('/');
    let root = entries
        .keys()
        .find_map(|name| name.strip_suffix("data.pkl").filter(is_folder))
        .ok_or(FileProblem::NoPickle)?
        .to_owned();
    let length = source.length()?;
    let bytes_of = |name: &str| -> Result<Range<u64>, FileProblem> {
        let (range, stored) = entries.get(name).ok_or_else(|| FileProblem::MissingStorage {
            storage: name.to_owned(),
        })?;
        if !stored {
            return Err(FileProblem::Compressed { entry: name.to_owned() });
        }
        if range.end > length {
            return Err(FileProblem::Truncated {
                expected: range.end,
                found: length,
            });
        }
        Ok(range.clone())
    };
    let (pickle, _) = Pickle::read(&read_range(source, bytes_of(&format!("{root}data.pkl"))?)?)?;
    let big_endian = match bytes_of(&format!("{root}byteorder")) {
        Ok(range) => read_range(source, range)? == b"big",
        Err(_) => false,
    };
    tensors(&pickle, big_endian, |key, _| bytes_of(&format!("{root}data/{key}")))
}

/// Lists the tensors of a legacy file.
pub(super) fn read_legacy(source: &mut dyn Source) -> Result<StoredTensors, FileProblem> {
    let length = source.length()?;
    let start = read_range(source, 0..length.min(LARGEST_PICKLE))?;
    let mut at = 0;
    let mut next = || -> Result<Pickle, FileProblem> {
        let (pickle, length) = Pickle::read(&start[at..])?;
        at += length;
        Ok(pickle)
    };
    let magic = next()?;
    if *magic.node(magic.root()) != Node::Wide(LEGACY_MAGIC.to_vec()) {
        return Err(FileProblem::UnknownFormat);
    }
    let version = next()?;
    if *version.node(version.root()) != Node::Integer(1001) {
        return Err(FileProblem::Malformed("the protocol version is not 1001".into()));
    }
    let system = next()?;
    let little = system
        .get(system.root(), "little_endian")
        .map(|id| system.node(id).clone());
    let big_endian = little == Some(Node::Bool(false));
    let object = next()?;
    let keys = next()?;
    let Node::List(order) = keys.node(keys.root()) else {
        return Err(FileProblem::Malformed("the list of storages is missing".into()));
    };

    // The width of each storage is only said where a tensor refers to it.
    let mut widths = HashMap::new();
    tensors(&object, big_endian, |key, dtype| {
        widths.insert(key.to_owned(), dtype.bitsize() as u64 / 8);
        Ok(0..u64::MAX)
    })?;
    let mut storages: HashMap<&str, Range<u64>> = HashMap::new();
    let mut position = at as u64;
    for &key in order {
        let key = keys
            .text(key)
            .ok_or_else(|| FileProblem::Malformed("a storage's key is not text".into()))?;
        let width = widths.get(key).ok_or_else(|| FileProblem::MissingStorage {
            storage: format!("{key} (it is stored, but no tensor of a known kind uses it)"),
        })?;
        let count: [u8; 8] = read_range(source, position..position.saturating_add(8))?
            .try_into()
            .expect("eight bytes asked for");
        let count = if big_endian {
            u64::from_be_bytes(count)
        } else {
            u64::from_le_bytes(count)
        };
        let end = count
            .checked_mul(*width)
            .and_then(|bytes| bytes.checked_add(position + 8));
        let end = end.filter(|&end| end <= length).ok_or(FileProblem::Truncated {
            expected: end.unwrap_or(u64::MAX),
            found: length,
        })?;
        storages.insert(key, position + 8..end);
        position = end;
    }
    tensors(&object, big_endian, |key, _| {
        let range = storages.get(key).cloned();
        range.ok_or_else(|| FileProblem::MissingStorage {
            storage: key.to_owned(),
        })
    })
}

/// Reads a few bytes that are known to be few.
fn read_range(source: &mut dyn Source, range: Range<u64>) -> Result<Vec<u8>, FileProblem> {
    let length = range.end - range.start;
    if length > LARGEST_PICKLE {
        return Err(FileProblem::LargeDescription {
            bytes: length,
            largest: LARGEST_PICKLE,
        });
    }
    let mut bytes = vec![0; length as usize];
    source.seek(SeekFrom::Start(range.start))?;
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The tensors of a state dict, or of the one state dict inside a checkpoint.
///
/// `storage` finds the bytes of a storage by its key and element type.
fn tensors(
    pickle: &Pickle,
    big_endian: bool,
    mut storage: impl FnMut(&str, Dtype) -> Result<Range<u64>, FileProblem>,
) -> Result<StoredTensors, FileProblem> {
    let root = pickle.root();
    let is_state_dict = |&id: &Id| {
        let entries = pickle.dict(id).unwrap_or_default();
        entries.iter().any(|&(_, value)| view(pickle, value).is_some())
    };
    let nested = || {
        let known = CHECKPOINT_KEYS.iter().filter_map(|key| pickle.get(root, key));
        let any = pickle.dict(root).unwrap_or_default().iter().map(|&(_, value)| value);
        known.chain(any).find(is_state_dict)
    };
    let dict = Some(root).filter(is_state_dict).or_else(nested).unwrap_or(root);
    let mut tensors = StoredTensors::new();
    for &(key, value) in pickle.dict(dict).ok_or(FileProblem::NoStateDict)? {
        let (Some(name), Some(view)) = (pickle.text(key), view(pickle, value)) else {
            continue; // epochs, seeds, metrics: not weights
        };
        let tensor = view.locate(pickle, name, big_endian, &mut storage)?;
        tensors.insert(name.to_owned(), tensor);
    }
    Ok(tensors)
}

/// The arguments `(storage, offset, size, stride, ...)` of a call that rebuilds a tensor.
struct View<'a>(&'a [Id]);

fn view(pickle: &Pickle, mut value: Id) -> Option<View<'_>> {
    // Parameters wrap tensors: (tensor, requires_grad, ...). Bounded, since nodes may refer to themselves.
    for _ in 0..4 {
        let Node::Call { function, arguments } = pickle.node(value) else {
            return None;
        };
        let arguments = pickle.tuple(*arguments)?;
        match pickle.global(*function)? {
            "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor" => return Some(View(arguments)),
            "torch._utils._rebuild_parameter"
            | "torch._utils._rebuild_parameter_with_state"
            | "torch.nn.parameter.Parameter" => value = *arguments.first()?,
            // (function, type, arguments, state)
            "torch._tensor._rebuild_from_type_v2" => {
                let inner = pickle.global(*arguments.first()?)?;
                let rebuilds = inner.starts_with("torch._utils._rebuild_tensor");
                return rebuilds.then_some(View(pickle.tuple(*arguments.get(2)?)?));
            }
            _ => return None,
        }
    }
    None
}

impl View<'_> {
    fn locate(
        &self,
        pickle: &Pickle,
        name: &str,
        big_endian: bool,
        storage: &mut impl FnMut(&str, Dtype) -> Result<Range<u64>, FileProblem>,
    ) -> Result<StoredTensor, FileProblem> {
        let malformed = || FileProblem::Malformed(format!("the description of {name} makes no sense"));
        let sizes =
            |id: Id| -> Option<Vec<usize>> { pickle.tuple(id)?.iter().map(|&size| pickle.size(size)).collect() };
        let [stored, offset, shape, strides, ..] = *self.0 else {
            return Err(malformed());
        };
        // ("storage", type, key, device, elements, view)
        let (class, key, part) = match pickle.node(stored) {
            Node::Persistent(id) => match *pickle.tuple(*id).unwrap_or_default() {
                [_, class, key, _, _] => (class, key, None),
                [_, class, key, _, _, part] => (class, key, Some(part)),
                _ => return Err(malformed()),
            },
            _ => return Err(malformed()),
        };
        if part.and_then(|part| pickle.tuple(part)).is_some() {
            return Err(FileProblem::Malformed(format!(
                "{name} is a view of a view, as PyTorch before 0.4 wrote them; load it in PyTorch and save it again"
            )));
        }
        let class = pickle.global(class).ok_or_else(malformed)?;
        let dtype = storage_dtype(class).ok_or_else(|| FileProblem::NotWeights {
            tensor: name.to_owned(),
            dtype: class.to_owned(),
        })?;
        let offset = pickle.size(offset).ok_or_else(malformed)?;
        let shape = sizes(shape).ok_or_else(malformed)?;
        let strides = sizes(strides).ok_or_else(malformed)?;
        if strides.len() != shape.len() {
            return Err(malformed());
        }
        // PyTorch gives axes of size 1 any stride.
        let strides = contiguous_strides(&shape)
            .into_iter()
            .zip(strides.iter().zip(&shape))
            .map(|(plain, (&stride, &size))| if size == 1 { plain } else { stride })
            .collect();
        let storage = storage(pickle.text(key).ok_or_else(malformed)?, dtype)?;
        StoredTensor::new(name.to_owned(), dtype, shape, strides, offset, storage, big_endian)
    }
}

/// The element type of a storage class such as `torch.FloatStorage`.
fn storage_dtype(class: &str) -> Option<Dtype> {
    let class = class.rsplit('.').next()?;
    Some(match class.strip_suffix("Storage")? {
        "Float" => Dtype::F32,
        "Double" => Dtype::F64,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::BF16,
        "Byte" => Dtype::U8,
        "Char" => Dtype::I8,
        "Short" => Dtype::I16,
        "Int" => Dtype::I32,
        "Long" => Dtype::I64,
        "Bool" => Dtype::BOOL,
        _ => return None,
    })
}
