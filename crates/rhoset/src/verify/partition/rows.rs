//! Rows of logits by cell, and the tables that they are looked up in.

use super::counted::Counted;
use crate::explain::partition::Partitions;
use crate::network::Activation;
use crate::verify::fixed::Fixed;
use crate::verify::units::Starts;
use multiversion::multiversion;

/// The neurons with one partition.
pub(super) struct PartRows {
    pub(super) weights: Fixed,
    pub(super) neurons: usize,
    pub(super) cells: usize,
    /// A row of activations, padded.
    pub(super) stride: usize,
    /// `[n, stride]`: the functions of the outer input, and `[cells, stride]`: what the inner input adds on a cell; in steps.
    pub(super) outer: Vec<i16>,
    pub(super) values: Vec<i16>,
}

/// Parts that are looked up together: a row of logits for every combination of their cells that occurs.
pub(super) struct Table {
    pub(super) parts: Vec<usize>,
    /// `[rows, parts]`; nothing for a single part, whose rows need no adding up.
    pub(super) cells: Vec<u16>,
    pub(super) rows: usize,
}

impl PartRows {
    pub(super) fn new(counted: Counted, weights: Fixed) -> Self {
        Self {
            weights,
            neurons: counted.part.neurons.len(),
            cells: counted.values.len() / counted.stride,
            stride: counted.stride,
            outer: counted.outer,
            values: counted.values,
        }
    }
}

/// The tables, and where the rows of every inner element begin, each `panel` vectors long: those of the parts one part after
/// the other, then those of tables of several parts.
pub(super) fn tables(partitions: &Partitions, panel: usize, n: usize) -> (Vec<Table>, Starts) {
    let mut ends = 0;
    let mut first = |rows: usize| {
        ends += rows * panel;
        ends - rows * panel
    };
    let of_parts: Vec<usize> = partitions.parts.iter().map(|part| first(count(&part.cells))).collect();
    let (mut tables, mut starts) = (Vec::new(), Vec::new());
    for parts in &partitions.tables {
        let (table, row) = Table::new(partitions, parts);
        let start = match parts[..] {
            [part] => of_parts[part],
            _ => first(table.rows),
        };
        starts.push(row.into_iter().map(|row| start + row * panel).collect());
        tables.push(table);
    }
    (tables, Starts::new(&starts, n))
}

impl Table {
    /// The table, and the row of every element.
    fn new(partitions: &Partitions, parts: &[usize]) -> (Self, Vec<usize>) {
        let cells_of = |part: usize| &partitions.parts[part].cells;
        // Combinations of cells are numbered part after part.
        let mut row: Vec<usize> = cells_of(parts[0]).iter().map(|&cell| usize::from(cell)).collect();
        let mut rows = count(cells_of(parts[0]));
        let mut cells: Vec<u16> = (0..rows).map(|cell| cell as u16).collect();
        for (place, &part) in parts.iter().enumerate().skip(1) {
            let wide = count(cells_of(part));
            let mut known = vec![usize::MAX; wide * rows];
            let mut combined: Vec<u16> = Vec::new();
            rows = 0;
            for (number, &cell) in row.iter_mut().zip(cells_of(part)) {
                let known = &mut known[*number * wide + usize::from(cell)];
                if *known == usize::MAX {
                    *known = rows;
                    rows += 1;
                    combined.extend_from_slice(&cells[*number * place..(*number + 1) * place]);
                    combined.push(cell);
                }
                *number = *known;
            }
            cells = combined;
        }
        if parts.len() == 1 {
            cells.clear();
        }
        let parts = parts.to_vec();
        (Self { parts, cells, rows }, row)
    }
}

/// How many cells there are, the empty ones below the last included.
pub(super) fn count(cells: &[u16]) -> usize {
    cells.iter().max().map_or(0, |&most| usize::from(most) + 1)
}

/// Row after row the activation of the inputs and the values added up.
#[multiversion(targets("x86_64+avx512f+avx512bw", "x86_64+avx2"))]
pub(super) fn activate(activation: Activation, activations: &mut [i16], inputs: &[i16], values: &[i16]) {
    let rows = activations
        .chunks_exact_mut(inputs.len())
        .zip(values.chunks_exact(inputs.len()));
    for (row, values) in rows {
        let (row, values) = (row.as_chunks_mut::<32>().0, values.as_chunks::<32>().0);
        for ((row, values), inputs) in row.iter_mut().zip(values).zip(inputs.as_chunks::<32>().0) {
            for k in 0..32 {
                let input = inputs[k].wrapping_add(values[k]);
                row[k] = match activation {
                    Activation::Abs => input.wrapping_abs(),
                    _ => input.max(0),
                };
            }
        }
    }
}
