//! Products of matrices in fixed point: rows of 16-bit integers times weights of 16 bits, summed exactly in 32 bits and
//! rounded once, to 16.
//!
//! As in [`super::kernel`] a tile of rows and columns stays in registers while the loop runs over the neurons, two at a time.
//! AVX-512 (with VNNI or without) and AVX2 have their own vectors, every other machine takes arrays.

use super::lanes;
use super::rounding::OUTWARD;
use super::units::{LANES, Wide};
use super::vectors::Vectors;
use multiversion::multiversion;
use std::ops::Range;

/// No activation is larger in magnitude.
pub(super) const LARGEST_ACTIVATION: i16 = 4002;

/// An input of magnitude `most` is this many steps at most.
const STEPS: f64 = 4000.0;

/// Vectors of results of a panel.
pub(super) const PANEL: usize = 2;

/// Rows of activations are padded to so many numbers.
pub(super) const PADDING: usize = LANES;

/// What one step of an input of at most this magnitude stands for.
pub(super) fn step(most: f64) -> f64 {
    (most / STEPS).max(f64::MIN_POSITIVE)
}

/// Added to a number below 2^51 in magnitude this leaves its nearest integer in the low bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;

/// The nearest integer to a number that fits 16 bits.
#[inline(always)]
fn nearest(number: f64) -> i16 {
    (number + MAGIC).to_bits() as i16
}

/// An input in steps, of which there are `per` in one; off by at most half a step (times [`OUTWARD`]) where it is no larger
/// than it may be.
#[inline(always)]
pub(super) fn in_steps(input: f64, per: f64) -> i16 {
    nearest(input * per)
}

/// The same for a row of inputs, with steps of its own each.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2"))]
pub(super) fn row_in_steps(row: &mut [i16], inputs: &[f64], per: &[f64]) {
    for ((number, &input), &per) in row.iter_mut().zip(inputs).zip(per) {
        *number = in_steps(input, per);
    }
}

/// A row of weights times a factor.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2"))]
fn scaled(row: &mut [Wide], weights: &[f64], factor: f64) {
    for (wide, weights) in row.iter_mut().zip(weights.chunks(LANES)) {
        for (number, &weight) in wide.0.iter_mut().zip(weights) {
            *number = nearest(weight * factor);
        }
    }
}

/// Which column a pair belongs to: two vectors of sums are narrowed by fours of each in turn.
const fn column(line: usize, lane: usize) -> usize {
    lane / 4 * 8 + line * 4 + lane % 4
}

/// Two vectors of weights as two of pairs.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+avx512bw", "x86_64+avx2"))]
fn interleave(packed: &mut [Wide], first: &Wide, second: &Wide) {
    for (line, packed) in packed.iter_mut().enumerate() {
        for lane in 0..LANES / 2 {
            packed.0[2 * lane] = first.0[column(line, lane)];
            packed.0[2 * lane + 1] = second.0[column(line, lane)];
        }
    }
}

/// Weights `[neurons, n]` in fixed point.
pub(super) struct Fixed {
    vectors: Vectors,
    /// Pairs of neurons.
    pairs: usize,
    /// Vectors of results in a row.
    width: usize,
    /// Panel by panel of [`PANEL`] vectors of results, pair by pair: twice as many vectors of weights, of which every two
    /// numbers belong to one result.
    weights: Vec<Wide>,
    shift: u32,
    /// What rounding can change a result by.
    error: f64,
}

impl Fixed {
    /// The weights of neurons whose activations are counted in these steps. Results are in units, of which `scale` make one.
    ///
    /// The magnitudes of a result's terms must add up to less than 2^15 units.
    pub(super) fn new<'w>(n: usize, steps: &[f64], weights: impl Fn(usize) -> &'w [f64], scale: f64) -> Self {
        let pairs = steps.len().div_ceil(2);
        let width = n.div_ceil(LANES);
        // What one step of an activation stands for in units.
        let factors: Vec<f64> = steps.iter().map(|step| step * scale).collect();
        let peaks = factors
            .iter()
            .enumerate()
            .map(|(i, factor)| lanes::largest(weights(i)) * factor);
        let (most, all) = peaks.fold((0.0_f64, 0.0), |(most, all), peak| (most.max(peak), all + peak));
        let largest = f64::from(LARGEST_ACTIVATION);
        // Sound: weights fit 16 bits and sums of products 32, rounding and the half that is added included.
        let room = (32_766.0 / most).min(2e9 / (largest * all)).log2().floor();
        let shift = room.clamp(1.0, 24.0) as u32;
        let power = f64::from(1 << shift);
        let mut packed = vec![Wide::ZERO; pairs * 2 * width];
        let mut both = [vec![Wide::ZERO; width], vec![Wide::ZERO; width]];
        for pair in 0..pairs {
            for (half, row) in both.iter_mut().enumerate() {
                match factors.get(2 * pair + half) {
                    Some(factor) => scaled(row, weights(2 * pair + half), factor * power),
                    None => row.fill(Wide::ZERO),
                }
            }
            for (at, (first, second)) in both[0].iter().zip(&both[1]).enumerate() {
                let panel = at / PANEL * PANEL;
                let lines = 2 * PANEL.min(width - panel);
                let start = 2 * panel * pairs + pair * lines + 2 * (at - panel);
                interleave(&mut packed[start..start + 2], first, second);
            }
        }
        Self {
            vectors: Vectors::detect(),
            pairs,
            width,
            weights: packed,
            shift,
            // Sound: half a unit for the result, and for every weight half of what it is counted in.
            error: (0.5 + 0.5 * largest * steps.len() as f64 / power) * OUTWARD,
        }
    }

    /// The same with the magnitudes of the weights.
    pub(super) fn magnitudes(&self) -> Self {
        Self {
            weights: self.weights.iter().map(|wide| Wide(wide.0.map(i16::abs))).collect(),
            ..*self
        }
    }

    /// In units, how far a result can be from the real product of the activations as they are rounded.
    pub(super) fn error(&self) -> f64 {
        self.error
    }

    /// Row after row of `activations`, each padded to whole vectors of [`PADDING`], times the weights: the results in
    /// these columns, counted in vectors, of which the first begins a panel. Rows of results may be longer than that.
    pub(super) fn multiply(&self, activations: &[i16], columns: Range<usize>, results: &mut [Wide]) {
        match self.vectors {
            // Sound: the features were detected.
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512Vnni => unsafe { self.multiply_vnni(activations, columns, results) },
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 => unsafe { self.multiply_avx512(activations, columns, results) },
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => unsafe { self.multiply_avx2(activations, columns, results) },
            Vectors::Portable => self.multiply_with::<portable::Vector, 2, 2>(activations, columns, results),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn multiply_vnni(&self, activations: &[i16], columns: Range<usize>, results: &mut [Wide]) {
        // 6 rows by 4 vectors: 24 accumulators, 4 vectors of weights and a broadcast fit 32 registers.
        self.multiply_with::<x86::Avx512<true>, 6, 4>(activations, columns, results);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn multiply_avx512(&self, activations: &[i16], columns: Range<usize>, results: &mut [Wide]) {
        self.multiply_with::<x86::Avx512<false>, 6, 4>(activations, columns, results);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn multiply_avx2(&self, activations: &[i16], columns: Range<usize>, results: &mut [Wide]) {
        // Two registers to a vector: 2 rows by 2 vectors are 8 accumulators, 4 registers of weights and a broadcast.
        self.multiply_with::<x86::Avx2, 2, 2>(activations, columns, results);
    }

    #[inline(always)]
    fn multiply_with<V: Vector, const ROWS: usize, const LINES: usize>(
        &self,
        activations: &[i16],
        columns: Range<usize>,
        results: &mut [Wide],
    ) {
        let stride = (2 * self.pairs).next_multiple_of(PADDING);
        let rows = activations.len() / stride;
        let wide = results.len() / rows.max(1);
        assert!(columns.start.is_multiple_of(PANEL) && columns.end <= self.width && columns.len() <= wide);
        for start in columns.clone().step_by(PANEL) {
            let lines = 2 * PANEL.min(self.width - start);
            let panel = &self.weights[2 * start * self.pairs..][..lines * self.pairs];
            // The last panel may be cut short.
            let wanted = lines.min(2 * (columns.end - start));
            for line in (0..wanted).step_by(LINES) {
                let tile = Tile {
                    activations,
                    stride,
                    panel,
                    lines,
                    line,
                    shift: self.shift,
                    wide,
                    column: start - columns.start + line / 2,
                };
                if line + LINES <= wanted {
                    tile.multiply_all::<V, ROWS, LINES>(rows, results);
                } else {
                    tile.multiply_all::<V, ROWS, 2>(rows, results);
                }
            }
        }
    }
}

/// Some columns of all rows.
struct Tile<'a> {
    activations: &'a [i16],
    stride: usize,
    /// A panel has so many vectors of weights for a pair, and this is the first that counts here.
    panel: &'a [Wide],
    lines: usize,
    line: usize,
    shift: u32,
    /// Vectors in a row of results, and which is the first here.
    wide: usize,
    column: usize,
}

impl Tile<'_> {
    #[inline(always)]
    fn multiply_all<V: Vector, const ROWS: usize, const LINES: usize>(&self, rows: usize, results: &mut [Wide]) {
        let mut row = 0;
        while row + ROWS <= rows {
            self.multiply::<V, ROWS, LINES>(row, results);
            row += ROWS;
        }
        while row + 2 <= rows {
            self.multiply::<V, 2, LINES>(row, results);
            row += 2;
        }
        if row < rows {
            self.multiply::<V, 1, LINES>(row, results);
        }
    }

    #[inline(always)]
    fn multiply<V: Vector, const ROWS: usize, const LINES: usize>(&self, row: usize, results: &mut [Wide]) {
        let activations = &self.activations[row * self.stride..][..ROWS * self.stride];
        let results = &mut results[row * self.wide + self.column..];
        let pairs = self.panel.len() / self.lines;
        assert!(2 * pairs <= self.stride && self.line + LINES <= self.lines);
        assert!(results.len() >= (ROWS - 1) * self.wide + LINES / 2);
        // Half of what is shifted out: results are rounded to the nearest.
        let half = 1 << (self.shift - 1);
        // Sound: the assertions above keep every pointer inside its slice.
        unsafe {
            let mut sums: [[V; LINES]; ROWS] = [[V::splat(half); LINES]; ROWS];
            let mut weights = self.panel.as_ptr().add(self.line);
            for pair in 0..pairs {
                let weight: [V; LINES] = std::array::from_fn(|line| V::load(weights.add(line)));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let at = row * self.stride + 2 * pair;
                    let (first, second) = (activations.get_unchecked(at), activations.get_unchecked(at + 1));
                    let both = V::splat(both(*first, *second));
                    for (sum, &weight) in sums.iter_mut().zip(&weight) {
                        *sum = sum.add_products(both, weight);
                    }
                }
                weights = weights.wrapping_add(self.lines);
            }
            for (row, sums) in sums.iter().enumerate() {
                for (at, sums) in sums.as_chunks::<2>().0.iter().enumerate() {
                    let to = results.as_mut_ptr().add(row * self.wide + at);
                    V::store(sums, self.shift, to);
                }
            }
        }
    }
}

/// A pair of numbers of 16 bits as one of 32, the first in the lower half.
#[inline(always)]
fn both(first: i16, second: i16) -> i32 {
    i32::from(first as u16) | i32::from(second) << 16
}

/// 16 numbers of 32 bits, or 16 pairs of 16 bits; its machine must have been detected before any is made.
trait Vector: Copy {
    unsafe fn load(from: *const Wide) -> Self;
    unsafe fn splat(value: i32) -> Self;
    /// `self + a * b + a' * b'` for the pairs (a, a') and (b, b').
    fn add_products(self, a: Self, b: Self) -> Self;
    /// Two vectors of sums, shifted to the right: 32 numbers that fit 16 bits, four of the first, four of the second, and
    /// so on, as processors pack them.
    unsafe fn store(sums: &[Self; 2], shift: u32, to: *mut Wide);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Vector, Wide};
    use std::arch::x86_64::*;

    /// With dot products, or with products of pairs and a sum.
    #[derive(Clone, Copy)]
    pub(super) struct Avx512<const VNNI: bool>(__m512i);

    impl<const VNNI: bool> Vector for Avx512<VNNI> {
        #[inline(always)]
        unsafe fn load(from: *const Wide) -> Self {
            unsafe { Self(_mm512_load_si512(from.cast())) }
        }
        #[inline(always)]
        unsafe fn splat(value: i32) -> Self {
            unsafe { Self(_mm512_set1_epi32(value)) }
        }
        #[inline(always)]
        fn add_products(self, a: Self, b: Self) -> Self {
            unsafe {
                if VNNI {
                    Self(_mm512_dpwssd_epi32(self.0, a.0, b.0))
                } else {
                    Self(_mm512_add_epi32(self.0, _mm512_madd_epi16(a.0, b.0)))
                }
            }
        }
        #[inline(always)]
        unsafe fn store(sums: &[Self; 2], shift: u32, to: *mut Wide) {
            unsafe {
                let shift = _mm_cvtsi32_si128(shift as i32);
                let [low, high] = [sums[0].0, sums[1].0].map(|sum| _mm512_sra_epi32(sum, shift));
                _mm512_store_si512(to.cast(), _mm512_packs_epi32(low, high));
            }
        }
    }

    #[derive(Clone, Copy)]
    pub(super) struct Avx2(__m256i, __m256i);

    impl Vector for Avx2 {
        #[inline(always)]
        unsafe fn load(from: *const Wide) -> Self {
            let from: *const __m256i = from.cast();
            unsafe { Self(_mm256_load_si256(from), _mm256_load_si256(from.add(1))) }
        }
        #[inline(always)]
        unsafe fn splat(value: i32) -> Self {
            unsafe { Self(_mm256_set1_epi32(value), _mm256_set1_epi32(value)) }
        }
        #[inline(always)]
        fn add_products(self, a: Self, b: Self) -> Self {
            unsafe {
                Self(
                    _mm256_add_epi32(self.0, _mm256_madd_epi16(a.0, b.0)),
                    _mm256_add_epi32(self.1, _mm256_madd_epi16(a.1, b.1)),
                )
            }
        }
        #[inline(always)]
        unsafe fn store(sums: &[Self; 2], shift: u32, to: *mut Wide) {
            unsafe {
                let shift = _mm_cvtsi32_si128(shift as i32);
                let to: *mut __m256i = to.cast();
                for (at, (low, high)) in [(sums[0].0, sums[1].0), (sums[0].1, sums[1].1)].into_iter().enumerate() {
                    let (low, high) = (_mm256_sra_epi32(low, shift), _mm256_sra_epi32(high, shift));
                    _mm256_store_si256(to.add(at), _mm256_packs_epi32(low, high));
                }
            }
        }
    }
}

mod portable {
    use super::{Wide, both};

    #[derive(Clone, Copy)]
    pub(super) struct Vector([i32; 16]);

    /// The first and the second of a pair.
    fn parted(pair: i32) -> [i32; 2] {
        [i32::from(pair as i16), pair >> 16]
    }

    impl super::Vector for Vector {
        #[inline(always)]
        unsafe fn load(from: *const Wide) -> Self {
            let numbers = unsafe { (*from).0 };
            let pair = |lane: usize| both(numbers[2 * lane], numbers[2 * lane + 1]);
            Self(std::array::from_fn(pair))
        }
        #[inline(always)]
        unsafe fn splat(value: i32) -> Self {
            Self([value; 16])
        }
        #[inline(always)]
        fn add_products(self, a: Self, b: Self) -> Self {
            Self(std::array::from_fn(|lane| {
                let ([a, c], [b, d]) = (parted(a.0[lane]), parted(b.0[lane]));
                self.0[lane] + a * b + c * d
            }))
        }
        #[inline(always)]
        unsafe fn store(sums: &[Self; 2], shift: u32, to: *mut Wide) {
            let sums: [[i32; 16]; 2] = sums.map(|sum| sum.0);
            let number = |at: usize| (sums[at / 4 % 2][at / 8 * 4 + at % 4] >> shift) as i16;
            unsafe { (*to).0 = std::array::from_fn(number) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn every_kind_of_vector_multiplies_as_real_numbers_do() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        for (n, neurons) in [
            (1, 1_usize),
            (5, 2),
            (31, 3),
            (32, 1),
            (33, 40),
            (64, 7),
            (65, 8),
            (97, 31),
            (168, 33),
            (200, 5),
        ] {
            let most: Vec<f64> = (0..neurons)
                .map(|_| 10.0_f64.powf(random.random_range(-3.0..3.0)))
                .collect();
            let steps: Vec<f64> = most.iter().map(|&most| step(most)).collect();
            // Sums of up to 30 000 units, over several magnitudes of weights.
            let weights: Vec<Vec<f64>> = most
                .iter()
                .map(|most| (0..n).map(|_| random.random_range(-1.0..1.0) / most).collect())
                .collect();
            let scale = 30_000.0 / neurons as f64;
            let mut fixed = Fixed::new(n, &steps, |i| &weights[i], scale);
            let stride = (2 * neurons.div_ceil(2)).next_multiple_of(PADDING);
            for rows in 1..14 {
                let mut activations = vec![0; rows * stride];
                for row in activations.chunks_exact_mut(stride) {
                    let largest = LARGEST_ACTIVATION - 2;
                    row[..neurons].fill_with(|| random.random_range(-largest..=largest));
                }
                let width = n.div_ceil(LANES);
                for vectors in Vectors::all() {
                    fixed.vectors = vectors;
                    for start in (0..width).step_by(PANEL) {
                        for end in start + 1..=width {
                            let wide = end - start;
                            let mut results = vec![Wide([77; LANES]); rows * wide];
                            fixed.multiply(&activations, start..end, &mut results);
                            for (row, results) in results.chunks_exact(wide).enumerate() {
                                for z in start * LANES..n.min(end * LANES) {
                                    let term = |i: usize| {
                                        f64::from(activations[row * stride + i]) * steps[i] * weights[i][z] * scale
                                    };
                                    let expected: f64 = (0..neurons).map(term).sum();
                                    let found = results[z / LANES - start].0[z % LANES];
                                    assert!(
                                        (f64::from(found) - expected).abs() <= fixed.error() + 1e-6,
                                        "{vectors:?} n {n} neurons {neurons} rows {rows}: {found} is not {expected}"
                                    );
                                }
                            }
                        }
                    }
                }
            }
            assert!(fixed.error() < 40.0, "{}", fixed.error());
        }
    }

    #[test]
    fn inputs_in_steps_are_off_by_half_a_step() {
        for most in [1e-300, 3e-40, 0.7, 1e30] {
            let step = step(most);
            for share in [-1.0, -0.3333, 0.0, 0.00012, 0.5, 1.0] {
                let input = share * most;
                let steps = in_steps(input, 1.0 / step);
                assert!(steps.abs() <= 4000);
                assert!((input - f64::from(steps) * step).abs() <= 0.5 * step * OUTWARD);
            }
        }
    }
}
