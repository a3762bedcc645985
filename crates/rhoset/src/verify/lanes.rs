//! Loops over rows of numbers, written so that they become vector instructions.

use multiversion::multiversion;

/// `sum[i] += scale * row[i]`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+fma", "x86_64+avx2+fma"))]
pub(super) fn add_scaled(sum: &mut [f64], scale: f64, row: &[f64]) {
    for (sum, &value) in sum.iter_mut().zip(row) {
        *sum += scale * value;
    }
}

/// `sum[i] += scales[k] * rows[starts[k] + i]` for every k.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+fma", "x86_64+avx2+fma"))]
pub(super) fn add_products(sum: &mut [f64], scales: &[f64], rows: &[f64], starts: &[usize]) {
    // A block of the sum stays in registers while the rows go by.
    let (blocks, rest) = sum.as_chunks_mut::<32>();
    let done = 32 * blocks.len();
    for (number, block) in blocks.iter_mut().enumerate() {
        let mut total = *block;
        for (&scale, &start) in scales.iter().zip(starts) {
            let row = &rows[start + 32 * number..start + 32 * (number + 1)];
            for k in 0..32 {
                total[k] += scale * row[k];
            }
        }
        *block = total;
    }
    let (blocks, rest) = rest.as_chunks_mut::<8>();
    for (number, block) in blocks.iter_mut().enumerate() {
        let mut total = *block;
        for (&scale, &start) in scales.iter().zip(starts) {
            let row = &rows[start + done + 8 * number..start + done + 8 * (number + 1)];
            for k in 0..8 {
                total[k] += scale * row[k];
            }
        }
        *block = total;
    }
    let done = done + 8 * blocks.len();
    for (i, sum) in rest.iter_mut().enumerate() {
        for (&scale, &start) in scales.iter().zip(starts) {
            *sum += scale * rows[start + done + i];
        }
    }
}

/// The sum of the values.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; 16];
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane += value;
        }
    }
    rest.iter().chain(&lanes).sum()
}

/// `sum over i of a[i] * b[i]`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+fma", "x86_64+avx2+fma"))]
pub(super) fn inner_product(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for k in 0..16 {
            lanes[k] += a[k] * b[k];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    rest + lanes.iter().sum::<f64>()
}

/// `sum[i] += scale * |row[i]|`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+fma", "x86_64+avx2+fma"))]
pub(super) fn add_scaled_magnitudes(sum: &mut [f64], scale: f64, row: &[f64]) {
    for (sum, &value) in sum.iter_mut().zip(row) {
        *sum += scale * value.abs();
    }
}

/// `sum[i] += row[i] * row[i]`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+fma", "x86_64+avx2+fma"))]
pub(super) fn add_squares(sum: &mut [f64], row: &[f64]) {
    for (sum, &value) in sum.iter_mut().zip(row) {
        *sum += value * value;
    }
}

/// The sum of rows of `pooled`, `[_, n]`: those numbered `at`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+fma", "x86_64+avx2+fma"))]
pub(super) fn add_rows(sum: &mut [f64], pooled: &[f64], at: &[usize]) {
    let n = sum.len();
    let row = |number: usize| &pooled[number * n..(number + 1) * n];
    // Four at a time: the sum is read and written once for four rows.
    let (fours, rest) = at.as_chunks::<4>();
    for &[a, b, c, d] in fours {
        let (a, b, c, d) = (row(a), row(b), row(c), row(d));
        for i in 0..n {
            sum[i] += (a[i] + b[i]) + (c[i] + d[i]);
        }
    }
    for &a in rest {
        for (sum, &value) in sum.iter_mut().zip(row(a)) {
            *sum += value;
        }
    }
}

/// The largest magnitude; not a number where one of the values is not.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn largest(values: &[f64]) -> f64 {
    // Magnitudes are ordered as their bits are, and integers are compared faster.
    let bits = values
        .iter()
        .fold(0, |most, value| u64::max(most, value.abs().to_bits()));
    f64::from_bits(bits)
}

/// How many of the values exceed the limit.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn count_above(values: &[f64], limit: f64) -> usize {
    values.iter().map(|&value| usize::from(value > limit)).sum()
}

/// The largest of the values.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn maximum(values: &[f64]) -> f64 {
    let mut lanes = [f64::NEG_INFINITY; 16];
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    rest.iter()
        .chain(&lanes)
        .fold(f64::NEG_INFINITY, |most, &v| if v > most { v } else { most })
}

/// Numbers of a block of [`range_of_rows`].
pub(super) const RANGE: usize = 64;

/// The largest of `sum + upper` and the least of `sum + lower`, where `sum` adds up the rows of `pooled` numbered `at`; rows
/// of whole blocks.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn range_of_rows(pooled: &[f32], at: &[usize], upper: &[f32], lower: &[f32]) -> (f32, f32) {
    let stride = upper.len();
    let (mut most, mut least) = ([f32::NEG_INFINITY; 16], [f32::INFINITY; 16]);
    let bounds = upper.as_chunks::<RANGE>().0.iter().zip(lower.as_chunks::<RANGE>().0);
    for (block, (upper, lower)) in bounds.enumerate() {
        let mut sum = [0.0; RANGE];
        for &row in at {
            let row = &pooled[row * stride + block * RANGE..][..RANGE];
            for k in 0..RANGE {
                sum[k] += row[k];
            }
        }
        for part in 0..RANGE / 16 {
            for k in 0..16 {
                let at = 16 * part + k;
                let (high, low) = (sum[at] + upper[at], sum[at] + lower[at]);
                most[k] = if high > most[k] { high } else { most[k] };
                least[k] = if low < least[k] { low } else { least[k] };
            }
        }
    }
    // Halving: a chain of comparisons would take longer than the sums.
    let mut width = 8;
    while width > 0 {
        for k in 0..width {
            most[k] = if most[k + width] > most[k] {
                most[k + width]
            } else {
                most[k]
            };
            least[k] = if least[k + width] < least[k] {
                least[k + width]
            } else {
                least[k]
            };
        }
        width /= 2;
    }
    (most[0], least[0])
}

/// `values[z] = table[index[z]]`.
pub(super) fn look_up(values: &mut [f64], table: &[f64], index: &[u16]) {
    for (value, &at) in values.iter_mut().zip(index) {
        *value = table[usize::from(at)];
    }
}

/// `sum[z] += table[index[z]]`.
pub(super) fn add_looked_up(sum: &mut [f64], table: &[f64], index: &[u16]) {
    for (sum, &at) in sum.iter_mut().zip(index) {
        *sum += table[usize::from(at)];
    }
}

/// Widens the ranges `[least[i], most[i]]` to hold `row[i]`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn widen(least: &mut [f64], most: &mut [f64], row: &[f64]) {
    for ((&value, least), most) in row.iter().zip(least).zip(most) {
        *least = if value < *least { value } else { *least };
        *most = if value > *most { value } else { *most };
    }
}

/// `most[i] = max(most[i], |row[i]|)`.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn raise_magnitudes(most: &mut [f64], row: &[f64]) {
    for (most, &value) in most.iter_mut().zip(row) {
        let value = value.abs();
        *most = if value > *most { value } else { *most };
    }
}

/// Rounds to float32.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
pub(super) fn to_single(target: &mut [f32], values: &[f64]) {
    for (target, &value) in target.iter_mut().zip(values) {
        *target = value as f32;
    }
}

/// `target[j, i] = values[i, j]` in float32, where `values` has `columns` columns.
pub(super) fn transpose_to_single(target: &mut [f32], values: &[f64], columns: usize) {
    const BLOCK: usize = 16;
    let rows = values.len().checked_div(columns).unwrap_or(0);
    for start in (0..rows).step_by(BLOCK) {
        let end = rows.min(start + BLOCK);
        for (j, target) in target.chunks_exact_mut(rows).enumerate() {
            for (i, target) in (start..end).zip(&mut target[start..end]) {
                *target = values[i * columns + j] as f32;
            }
        }
    }
}
