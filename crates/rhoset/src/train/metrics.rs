//! What is measured while training, and its Parquet file.
//!
//! One row per measured epoch: `epoch` (INT64), `train_loss`, `test_loss` (nats), `accuracy` (over all n^2 pairs),
//! `train_accuracy`, `test_accuracy`, `min_margin` (over all pairs) and `norm.TENSOR`, the Euclidean norm of each weight
//! tensor (all DOUBLE). With no pair to test on, test figures are NaN.

use std::sync::Arc;

use parquet::basic::{Repetition, Type as PhysicalType};
use parquet::data_type::{DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::engine::Score;
use super::weights::Tensor;

/// The columns that every run has, before the norms of its weight tensors.
pub const COLUMNS: [&str; 6] = [
    "train_loss",
    "test_loss",
    "accuracy",
    "train_accuracy",
    "test_accuracy",
    "min_margin",
];

/// What was measured after an epoch.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// The number of epochs made.
    pub epoch: u64,
    /// On the pairs trained on.
    pub train: Score,
    /// On all others.
    pub test: Score,
    /// The Euclidean norm of each weight tensor.
    pub norms: Vec<f64>,
}

impl Measurement {
    /// Correct pairs over all n^2 pairs.
    pub fn accuracy(&self) -> f64 {
        (self.train.correct + self.test.correct) as f64 / (self.train.pairs + self.test.pairs) as f64
    }

    /// The smallest margin over all pairs.
    pub fn min_margin(&self) -> f64 {
        self.train.min_margin.min(self.test.min_margin)
    }

    /// The row without its epoch: [`COLUMNS`], then the norms.
    pub fn row(&self) -> Vec<f64> {
        let share = |score: &Score| score.correct as f64 / score.pairs as f64;
        let mut row = vec![
            self.train.loss,
            self.test.loss,
            self.accuracy(),
            share(&self.train),
            share(&self.test),
            self.min_margin(),
        ];
        row.extend(&self.norms);
        row
    }
}

/// The Euclidean norm of each tensor.
pub fn norms(weights: &[Tensor<f64>]) -> Vec<f64> {
    let norm = |tensor: &Tensor<f64>| tensor.values.iter().map(|value| value * value).sum::<f64>().sqrt();
    weights.iter().map(norm).collect()
}

/// All measurements of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The names of the norms' columns.
    pub tensors: Vec<String>,
    /// The epochs, increasing.
    pub epochs: Vec<u64>,
    /// One row per epoch: [`COLUMNS`], then the norms.
    pub rows: Vec<Vec<f64>>,
}

impl History {
    /// The value of a column at the last measured epoch.
    pub fn last(&self, column: &str) -> Option<f64> {
        let index = COLUMNS.iter().position(|name| *name == column)?;
        Some(self.rows.last()?[index])
    }

    /// Adds a row, unless its epoch has one.
    pub fn push(&mut self, measurement: &Measurement) {
        if self.epochs.last() != Some(&measurement.epoch) {
            self.epochs.push(measurement.epoch);
            self.rows.push(measurement.row());
        }
    }

    /// The Parquet file; the same bytes for the same measurements.
    ///
    /// # Errors
    /// None that has been seen: the file is written to memory.
    pub fn to_parquet(&self) -> Result<Vec<u8>, ParquetError> {
        let column = |name: &str, physical| -> Result<Arc<Type>, ParquetError> {
            let column = Type::primitive_type_builder(name, physical).with_repetition(Repetition::REQUIRED);
            Ok(Arc::new(column.build()?))
        };
        let names: Vec<String> = COLUMNS
            .iter()
            .map(|name| (*name).to_owned())
            .chain(self.tensors.iter().map(|tensor| format!("norm.{tensor}")))
            .collect();
        let mut fields = vec![column("epoch", PhysicalType::INT64)?];
        for name in &names {
            fields.push(column(name, PhysicalType::DOUBLE)?);
        }
        let schema = Arc::new(Type::group_type_builder("metrics").with_fields(fields).build()?);
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(WriterProperties::builder().build()))?;
        let mut group = writer.next_row_group()?;
        let mut index = 0;
        while let Some(mut column) = group.next_column()? {
            if index == 0 {
                let epochs: Vec<i64> = self.epochs.iter().map(|&epoch| epoch as i64).collect();
                column.typed::<Int64Type>().write_batch(&epochs, None, None)?;
            } else {
                let values: Vec<f64> = self.rows.iter().map(|row| row[index - 1]).collect();
                column.typed::<DoubleType>().write_batch(&values, None, None)?;
            }
            column.close()?;
            index += 1;
        }
        group.close()?;
        writer.close()?;
        Ok(bytes)
    }
}
