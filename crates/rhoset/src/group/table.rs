//! Multiplication tables in files: CSV, NumPy's npy, safetensors.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Group, GroupError};

/// Everything that can be wrong with a file that should hold a multiplication table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The file cannot be read.
    #[error("{path}: {reason}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file is longer than the longest table.
    #[error(
        "{path}: {bytes} bytes are too many for a table of at most {} elements",
        Group::LARGEST
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// The name ends in nothing known.
    #[error("{path}: a table's name ends in .csv, .npy or .safetensors")]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The file does not follow its format.
    #[error("{path}: {what}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// The table is no group's.
    #[error("{path}: {reason}")]
    NotGroup {
        /// The file.
        path: PathBuf,
        /// Which axiom fails and where.
        reason: GroupError,
    },
}

/// Reads the group whose table is in a file: entry (x, y) is the number of x * y, counted from 0.
///
/// CSV: one row a line, separated by commas, semicolons or blanks. npy: a two-dimensional array of integers. safetensors:
/// the tensor `table`, or the only two-dimensional one of integers.
///
/// # Errors
/// [`TableError`] naming the file and what is wrong with it.
pub fn read(path: &Path) -> Result<Group, TableError> {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let decode: fn(&[u8]) -> Rows = match extension.as_deref() {
        Some("csv") => csv,
        Some("npy") => npy,
        Some("safetensors") => safetensors,
        _ => return Err(TableError::UnknownFormat { path: path.into() }),
    };
    let io = |reason| TableError::Io {
        path: path.into(),
        reason,
    };
    let file = std::fs::File::open(path).map_err(io)?;
    // Eight bytes an entry in the binary formats, fewer in text.
    let longest = (Group::LARGEST * Group::LARGEST * 8 + (1 << 20)) as u64;
    let metadata = file.metadata().map_err(io)?;
    if metadata.is_dir() {
        return Err(io(std::io::ErrorKind::IsADirectory.into()));
    }
    if metadata.len() > longest {
        return Err(TableError::TooLong {
            path: path.into(),
            bytes: metadata.len(),
        });
    }
    let mut bytes = Vec::new();
    // Devices and pipes have no length: take no more than the longest table from them.
    file.take(longest).read_to_end(&mut bytes).map_err(io)?;
    let (order, entries) = decode(&bytes).map_err(|what| TableError::Malformed {
        path: path.into(),
        what,
    })?;
    let not_group = |reason| TableError::NotGroup {
        path: path.into(),
        reason,
    };
    super::generate::too_large(order).map_err(not_group)?;
    if order > 0 && entries.len() != order * order {
        return Err(not_group(GroupError::NotSquare {
            order,
            entries: entries.len(),
        }));
    }
    // Checked here, since the table below takes 16 bits an entry.
    if let Some(i) = entries.iter().position(|&entry| entry >= order as u64) {
        let product = usize::try_from(entries[i]).unwrap_or(usize::MAX);
        return Err(not_group(GroupError::OutOfRange {
            x: i / order,
            y: i % order,
            product,
            order,
        }));
    }
    let entries: Vec<u16> = entries.into_iter().map(|entry| entry as u16).collect();
    let name = path
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    Group::from_table(name, order, &entries).map_err(not_group)
}

/// Number of rows and all entries.
type Rows = Result<(usize, Vec<u64>), String>;

fn csv(bytes: &[u8]) -> Rows {
    let text = std::str::from_utf8(bytes).map_err(|_| "not a text file".to_string())?;
    let mut entries = Vec::new();
    let mut columns = None;
    let mut order = 0;
    for (number, line) in text.lines().enumerate() {
        let before = entries.len();
        for entry in line
            .split([',', ';', ' ', '\t'])
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let shown: String = entry.chars().take(20).collect();
            entries.push(
                entry
                    .parse()
                    .map_err(|_| format!("line {}: {shown:?} is not an element's number", number + 1))?,
            );
        }
        let found = entries.len() - before;
        if found == 0 {
            continue;
        }
        order += 1;
        if *columns.get_or_insert(found) != found {
            return Err(format!(
                "line {}: {found} entries, but {} in the lines above",
                number + 1,
                columns.unwrap_or(0)
            ));
        }
    }
    if order == 0 {
        return Err("there is no table in this file".into());
    }
    Ok((order, entries))
}

fn npy(bytes: &[u8]) -> Rows {
    let truncated = || "truncated: the npy header promises more".to_string();
    let rest = bytes
        .strip_prefix(b"\x93NUMPY")
        .ok_or("not an npy file: it does not start with \\x93NUMPY")?;
    let (header_length, start) = match rest.first().ok_or_else(truncated)? {
        1 => {
            let length = rest.get(2..4).ok_or_else(truncated)?;
            (u16::from_le_bytes(length.try_into().expect("two bytes")) as usize, 4)
        }
        2 | 3 => {
            let length = rest.get(2..6).ok_or_else(truncated)?;
            (u32::from_le_bytes(length.try_into().expect("four bytes")) as usize, 6)
        }
        version => return Err(format!("npy version {version} is not known")),
    };
    let end = header_length.checked_add(start).ok_or_else(truncated)?;
    let header = rest.get(start..end).ok_or_else(truncated)?;
    let header = std::str::from_utf8(header).map_err(|_| "the npy header is no text".to_string())?;
    let field = |key: &str| -> Result<&str, String> {
        let at = header
            .find(&format!("'{key}'"))
            .ok_or_else(|| format!("the npy header has no {key:?}"))?;
        let value = header[at..]
            .split_once(':')
            .ok_or_else(|| format!("the npy header has no value for {key:?}"))?
            .1;
        Ok(value.trim_start())
    };
    if field("fortran_order")?.starts_with("True") {
        return Err("the array is stored by columns (fortran_order); save it with numpy.ascontiguousarray".into());
    }
    let kind = field("descr")?.trim_start_matches('\'');
    let kind = kind.split('\'').next().unwrap_or("");
    let (width, signed, big) = match kind.as_bytes() {
        [
            order @ (b'<' | b'>' | b'|' | b'='),
            sign @ (b'i' | b'u'),
            width @ (b'1' | b'2' | b'4' | b'8'),
        ] => ((width - b'0') as usize, *sign == b'i', *order == b'>'),
        _ => return Err(format!("the array has type {kind:?}; a table has integers")),
    };
    let shape = field("shape")?.trim_start_matches('(').split(')').next().unwrap_or("");
    let shape: Vec<usize> = (shape.split(',').map(str::trim).filter(|n| !n.is_empty()))
        .map(|n| n.parse().map_err(|_| format!("the npy shape ({shape}) cannot be read")))
        .collect::<Result<_, _>>()?;
    integers(&shape, &rest[end..], width, signed, big)
}

fn safetensors(bytes: &[u8]) -> Rows {
    use safetensors::{Dtype, SafeTensors};
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| format!("not a safetensors file: {error}"))?;
    let integer = |dtype: Dtype| match dtype {
        Dtype::U8 => Some((1, false)),
        Dtype::I8 => Some((1, true)),
        Dtype::U16 => Some((2, false)),
        Dtype::I16 => Some((2, true)),
        Dtype::U32 => Some((4, false)),
        Dtype::I32 => Some((4, true)),
        Dtype::U64 => Some((8, false)),
        Dtype::I64 => Some((8, true)),
        _ => None,
    };
    let tables: Vec<(&str, _)> = (tensors.iter())
        .filter(|(_, tensor)| tensor.shape().len() == 2 && integer(tensor.dtype()).is_some())
        .collect();
    let table = match tables.iter().find(|(name, _)| *name == "table") {
        Some((_, tensor)) => tensor,
        None if tables.len() == 1 => &tables[0].1,
        None => {
            let mut names: Vec<&str> = tensors.iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            return Err(format!(
                "no tensor `table` of integers with two dimensions; found {names:?}"
            ));
        }
    };
    let (width, signed) = integer(table.dtype()).expect("filtered above");
    integers(table.shape(), table.data(), width, signed, false)
}

/// Reads a two-dimensional array of integers.
fn integers(shape: &[usize], data: &[u8], width: usize, signed: bool, big: bool) -> Rows {
    let &[rows, columns] = shape else {
        return Err(format!("the array has shape {shape:?}; a table has two dimensions"));
    };
    let count = rows
        .checked_mul(columns)
        .filter(|count| count.checked_mul(width) == Some(data.len()));
    if count.is_none() {
        return Err(format!(
            "shape {shape:?} of {width}-byte integers, but {} bytes of data",
            data.len()
        ));
    }
    let mut entries = Vec::with_capacity(data.len() / width);
    for (i, chunk) in data.chunks_exact(width).enumerate() {
        let mut word = [0u8; 8];
        for (j, &byte) in chunk.iter().enumerate() {
            word[if big { width - 1 - j } else { j }] = byte;
        }
        let value = u64::from_le_bytes(word);
        if signed && value >> (8 * width - 1) & 1 == 1 {
            return Err(format!("entry ({}, {}) is negative", i / columns, i % columns));
        }
        entries.push(value);
    }
    Ok((rows, entries))
}
