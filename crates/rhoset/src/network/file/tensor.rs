//! A tensor in a file: where it lies, and how to read it.
//!
//! Every format is brought to this form before a single weight is read, so that all declared sizes are checked against
//! the file once, here, and memory is only ever allocated for bytes that are there.

use std::io::SeekFrom;
use std::ops::Range;

use ndarray::{ArrayD, Dimension, IxDyn};
use safetensors::Dtype;

use super::{FileProblem, Source};

/// The tensors of a file by name.
pub(super) type StoredTensors = std::collections::BTreeMap<String, StoredTensor>;

/// A tensor in a file, not yet read.
#[derive(Clone, Debug)]
pub(super) struct StoredTensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    /// In elements; slowest first, as `shape`.
    strides: Vec<usize>,
    big_endian: bool,
    /// The bytes of the file from the first element read to the last.
    bytes: Range<u64>,
}

/// The stride of every axis of an array whose elements lie one after another, last axis fastest.
pub(super) fn contiguous_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

impl StoredTensor {
    /// Checks that every element lies inside `storage`, the bytes of the file that belong to it.
    ///
    /// `offset` is the index of the first element; `strides` are in elements.
    pub(super) fn new(
        name: String,
        dtype: Dtype,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: Range<u64>,
        big_endian: bool,
    ) -> Result<Self, FileProblem> {
        let available = storage.end.saturating_sub(storage.start);
        let outside = || FileProblem::OutsideStorage {
            tensor: name.clone(),
            shape: shape.clone(),
            available,
        };
        if shape.len() != strides.len() {
            return Err(FileProblem::Malformed(format!(
                "{name} has {} axes and {} strides",
                shape.len(),
                strides.len()
            )));
        }
        let width = dtype.bitsize() as u64 / 8;
        let elements = shape
            .iter()
            .try_fold(1_usize, |product, &size| product.checked_mul(size))
            .ok_or_else(outside)?;
        let mut last: usize = offset;
        for (&size, &stride) in shape.iter().zip(&strides) {
            let reach = size.saturating_sub(1).checked_mul(stride);
            last = reach.and_then(|reach| last.checked_add(reach)).ok_or_else(outside)?;
        }
        let byte = |element: usize| (element as u64).checked_mul(width)?.checked_add(storage.start);
        let bytes = if elements == 0 {
            storage.start..storage.start
        } else {
            let start = byte(offset).ok_or_else(outside)?;
            let end = byte(last).and_then(|end| end.checked_add(width)).ok_or_else(outside)?;
            if end > storage.end {
                return Err(outside());
            }
            start..end
        };
        // An expanded view (stride 0) could declare any number of elements out of one.
        if elements as u64 > (bytes.end - bytes.start) / width.max(1) {
            return Err(FileProblem::Expanded {
                tensor: name,
                shape,
                stored: (bytes.end - bytes.start) / width.max(1),
            });
        }
        Ok(Self {
            name,
            dtype,
            shape,
            strides,
            big_endian,
            bytes,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(super) fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Reads the bytes of all elements and picks them in the order of the shape, last axis fastest.
    fn read<const N: usize, T>(
        &self,
        source: &mut dyn Source,
        decode: impl Fn([u8; N]) -> T,
    ) -> Result<ArrayD<T>, FileProblem> {
        let mut bytes = vec![0; (self.bytes.end - self.bytes.start) as usize];
        source.seek(SeekFrom::Start(self.bytes.start))?;
        source.read_exact(&mut bytes)?;
        let (chunks, _) = bytes.as_chunks_mut::<N>();
        if self.big_endian {
            chunks.iter_mut().for_each(|chunk| chunk.reverse());
        }
        let mut elements = Vec::with_capacity(self.elements());
        if self.strides == contiguous_strides(&self.shape) {
            elements.extend(chunks.iter().map(|&chunk| decode(chunk)));
        } else {
            for index in ndarray::indices(IxDyn(&self.shape)) {
                let at = index.slice().iter().zip(&self.strides).map(|(i, stride)| i * stride);
                elements.push(decode(chunks[at.sum::<usize>()]));
            }
        }
        Ok(ArrayD::from_shape_vec(IxDyn(&self.shape), elements).expect("one element per index"))
    }

    /// The index of the element that comes at a place in the order of the shape.
    fn index(&self, place: usize) -> Vec<usize> {
        let strides = contiguous_strides(&self.shape);
        let axes = strides.iter().zip(&self.shape);
        axes.map(|(stride, size)| place / stride % size).collect()
    }

    /// Reads weights as float32, checking that all are finite; float64 is rounded to the nearest.
    ///
    /// Also returns the largest relative change that rounding made (0 where there was nothing to round).
    pub(super) fn weights(&self, source: &mut dyn Source) -> Result<(ArrayD<f32>, f64), FileProblem> {
        let mut rounding = 0.0_f64;
        let weights = match self.dtype {
            Dtype::F32 => self.read(source, f32::from_le_bytes)?,
            Dtype::F16 => self.read(source, |bytes| half::f16::from_le_bytes(bytes).to_f32())?,
            Dtype::BF16 => self.read(source, |bytes| half::bf16::from_le_bytes(bytes).to_f32())?,
            Dtype::F64 => {
                let exact = self.read(source, f64::from_le_bytes)?;
                exact.mapv(|weight| {
                    let rounded = weight as f32;
                    if weight.is_finite() && rounded.is_finite() && f64::from(rounded) != weight {
                        rounding = rounding.max((f64::from(rounded) - weight).abs() / weight.abs());
                    }
                    rounded
                })
            }
            dtype => {
                return Err(FileProblem::NotWeights {
                    tensor: self.name.clone(),
                    dtype: dtype.to_string(),
                });
            }
        };
        if let Some(at) = weights.iter().position(|weight| !weight.is_finite()) {
            return Err(FileProblem::NotFinite {
                tensor: self.name.clone(),
                index: self.index(at),
                value: weights.as_slice().expect("in the order of the shape")[at],
            });
        }
        Ok((weights, rounding))
    }

    /// Reads integers of any width, for a multiplication table.
    pub(super) fn integers(&self, source: &mut dyn Source) -> Result<ArrayD<i64>, FileProblem> {
        Ok(match self.dtype {
            Dtype::U8 => self.read(source, |bytes| u8::from_le_bytes(bytes).into())?,
            Dtype::U16 => self.read(source, |bytes| u16::from_le_bytes(bytes).into())?,
            Dtype::I16 => self.read(source, |bytes| i16::from_le_bytes(bytes).into())?,
            Dtype::U32 => self.read(source, |bytes| u32::from_le_bytes(bytes).into())?,
            Dtype::I32 => self.read(source, |bytes| i32::from_le_bytes(bytes).into())?,
            Dtype::I64 => self.read(source, i64::from_le_bytes)?,
            dtype => {
                return Err(FileProblem::Malformed(format!(
                    "{} holds {dtype}; a multiplication table is of integers, such as U16",
                    self.name
                )));
            }
        })
    }
}
