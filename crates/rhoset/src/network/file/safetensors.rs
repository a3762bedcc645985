//! safetensors: the native format, and everybody's.

use std::collections::HashMap;
use std::io::SeekFrom;

use safetensors::tensor::Metadata;

use super::tensor::{StoredTensor, StoredTensors, contiguous_strides};
use super::{FileProblem, Source};

/// The largest header that is read, in bytes: a network's takes about one kilobyte.
const LARGEST_HEADER: u64 = 1 << 20;

/// Lists the tensors of a safetensors file, and its metadata.
pub(super) fn read(source: &mut dyn Source) -> Result<(StoredTensors, HashMap<String, String>), FileProblem> {
    let length = source.length()?;
    let mut start = [0; 8];
    source.seek(SeekFrom::Start(0))?;
    source.read_exact(&mut start)?;
    let header_length = u64::from_le_bytes(start);
    let data = header_length.checked_add(8).filter(|&data| data <= length);
    let data = data.ok_or_else(|| FileProblem::Truncated {
        expected: header_length.saturating_add(8),
        found: length,
    })?;
    if header_length > LARGEST_HEADER {
        return Err(FileProblem::LargeDescription {
            bytes: header_length,
            largest: LARGEST_HEADER,
        });
    }
    let mut header = vec![0; header_length as usize];
    source.read_exact(&mut header)?;
    // Checks shapes against offsets, and that tensors follow one another without gap or overlap.
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|problem| FileProblem::Safetensors(problem.to_string()))?;
    if data.checked_add(header.data_len() as u64) != Some(length) {
        return Err(FileProblem::Truncated {
            expected: data.saturating_add(header.data_len() as u64),
            found: length,
        });
    }
    let mut tensors = StoredTensors::new();
    for (name, info) in header.tensors() {
        if info.dtype.bitsize() % 8 != 0 {
            return Err(FileProblem::NotWeights {
                tensor: name,
                dtype: info.dtype.to_string(),
            });
        }
        let (start, end) = (data + info.data_offsets.0 as u64, data + info.data_offsets.1 as u64);
        let tensor = StoredTensor::new(
            name.clone(),
            info.dtype,
            info.shape.clone(),
            contiguous_strides(&info.shape),
            0,
            start..end,
            false,
        )?;
        tensors.insert(name, tensor);
    }
    let metadata = header.metadata().clone().unwrap_or_default();
    Ok((tensors, metadata))
}
