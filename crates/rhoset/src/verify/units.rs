//! Sums of rows of 16-bit integers, and which of them reach a bound.
//!
//! Logits in units that fit 16 bits: a vector holds twice as many as in float32, and they add up without rounding.
//! AVX-512 and AVX2 have their own vectors, every other machine takes arrays.

use super::vectors::Vectors;
use crate::group::Element;
use multiversion::multiversion;

/// Numbers of a vector.
pub(super) const LANES: usize = 32;

/// 32 numbers; a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Wide(pub(super) [i16; LANES]);

impl Wide {
    pub(super) const ZERO: Self = Self([0; LANES]);
    /// Below every bound.
    pub(super) const LEAST: Self = Self([i16::MIN; LANES]);
}

/// For every element, where its row of each table begins.
pub(super) struct Starts {
    tables: usize,
    /// `[n, tables]`, in bytes: an addition looks up one of them.
    starts: Vec<u32>,
    largest: usize,
}

impl Starts {
    /// `starts[table][element]` is counted in vectors.
    pub(super) fn new(starts: &[Vec<usize>], elements: usize) -> Self {
        let of_element = |element: usize| starts.iter().map(move |starts| starts[element]);
        let largest = (0..elements).flat_map(of_element).max().unwrap_or(0);
        let in_bytes = |start: usize| u32::try_from(start * size_of::<Wide>()).expect("fewer than 2^32 bytes");
        Self {
            tables: starts.len(),
            starts: (0..elements).flat_map(of_element).map(in_bytes).collect(),
            largest,
        }
    }

    fn of(&self, element: usize) -> &[u32] {
        &self.starts[element * self.tables..][..self.tables]
    }
}

/// What numbers are sums of: `width` vectors of `rows` from where the element's row of each table begins.
pub(super) struct Tables<'a> {
    pub(super) rows: &'a [Wide],
    pub(super) starts: &'a Starts,
    pub(super) width: usize,
}

/// Bounds to add to the sums: `width` vectors for each element, `stride` vectors apart (0: the same for all).
#[derive(Clone, Copy)]
pub(super) struct Bounds<'a> {
    pub(super) rows: &'a [Wide],
    pub(super) stride: usize,
}

impl Bounds<'_> {
    fn at(&self, element: usize, column: usize) -> i32 {
        i32::from(self.rows[element * self.stride + column / LANES].0[column % LANES])
    }
}

/// What a sum with its bound must reach to count.
#[derive(Clone, Copy)]
pub(super) enum Least<'a> {
    /// This much, by element.
    Given(&'a [i16]),
    /// As much as the sum at this column with another bound.
    Of(&'a [Element], Bounds<'a>),
    /// One more than that.
    Above(&'a [Element], Bounds<'a>),
}

impl Least<'_> {
    /// The least that counts for an element with these sums.
    #[inline(always)]
    fn at<V: Vector>(self, element: usize, bounds: Bounds, sums: &[V]) -> i16 {
        let (columns, other, above) = match self {
            Self::Given(least) => return least[element],
            Self::Of(columns, other) => (columns, other, 0),
            Self::Above(columns, other) => (columns, other, 1),
        };
        let column = columns[element].index();
        let mut sum = Wide::ZERO;
        sums[column / LANES].store(&mut sum);
        let sum = i32::from(sum.0[column % LANES]);
        let least = sum - bounds.at(element, column) + other.at(element, column) + above;
        // Not above the largest number: that plus one counts nothing.
        least.min(i32::from(i16::MAX)) as i16
    }
}

impl Tables<'_> {
    /// The sum for an element at one column, with its bound there.
    #[cfg(test)]
    pub(super) fn sum(&self, bounds: Bounds, element: usize, column: usize) -> i32 {
        let starts = &self.starts.starts[element * self.starts.tables..][..self.starts.tables];
        let at =
            |&start: &u32| i32::from(self.rows[start as usize / size_of::<Wide>() + column / LANES].0[column % LANES]);
        starts.iter().map(at).sum::<i32>() + bounds.at(element, column)
    }

    /// Adds to `counts` how many sums with their bounds reach the element's least, for the elements that count at most one
    /// so far. No sum may be beyond 16 bits.
    pub(super) fn count(&self, bounds: Bounds, least: Least, counts: &mut [u32]) {
        self.count_in(Vectors::detect(), bounds, least, counts);
    }

    fn count_in(&self, vectors: Vectors, bounds: Bounds, least: Least, counts: &mut [u32]) {
        match vectors {
            // Sound: the features were detected.
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 | Vectors::Avx512Vnni => unsafe { self.count_avx512(bounds, least, counts) },
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => unsafe { self.count_avx2(bounds, least, counts) },
            Vectors::Portable => self.count_any::<portable::Vector>(bounds, least, counts),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,popcnt")]
    fn count_avx512(&self, bounds: Bounds, least: Least, counts: &mut [u32]) {
        self.count_any::<x86::Avx512>(bounds, least, counts);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    fn count_avx2(&self, bounds: Bounds, least: Least, counts: &mut [u32]) {
        self.count_any::<x86::Avx2>(bounds, least, counts);
    }

    #[inline(always)]
    fn count_any<V: Vector>(&self, bounds: Bounds, least: Least, counts: &mut [u32]) {
        let tables = self.starts.tables;
        assert!(counts.len() * tables <= self.starts.starts.len());
        assert!(tables == 0 || self.starts.largest + self.width <= self.rows.len());
        match self.width {
            1 => self.count_few::<V, 1>(bounds, least, counts),
            2 => self.count_few::<V, 2>(bounds, least, counts),
            3 => self.count_few::<V, 3>(bounds, least, counts),
            4 => self.count_few::<V, 4>(bounds, least, counts),
            5 => self.count_few::<V, 5>(bounds, least, counts),
            6 => self.count_few::<V, 6>(bounds, least, counts),
            _ => self.count_many::<V>(bounds, least, counts),
        }
    }

    /// Sums of `WIDTH` vectors stay in registers.
    #[inline(always)]
    fn count_few<V: Vector, const WIDTH: usize>(&self, bounds: Bounds, least: Least, counts: &mut [u32]) {
        for (element, count) in counts.iter_mut().enumerate() {
            if *count > 1 {
                continue;
            }
            let bound = &bounds.rows[element * bounds.stride..][..WIDTH];
            let sums: [V; WIDTH] = self.add(self.starts.of(element), bound, 0);
            let least = V::splat(least.at(element, bounds, &sums));
            *count += sums.iter().map(|sum| sum.count_from(least)).sum::<u32>();
        }
    }

    #[inline(always)]
    fn count_many<V: Vector>(&self, bounds: Bounds, least: Least, counts: &mut [u32]) {
        let mut sums = vec![V::splat(0); self.width];
        for (element, count) in counts.iter_mut().enumerate() {
            if *count > 1 {
                continue;
            }
            let bound = &bounds.rows[element * bounds.stride..][..self.width];
            let starts = self.starts.of(element);
            let mut block = 0;
            while block + 4 <= self.width {
                sums[block..block + 4].copy_from_slice(&self.add::<V, 4>(starts, bound, block));
                block += 4;
            }
            while block < self.width {
                [sums[block]] = self.add(starts, bound, block);
                block += 1;
            }
            let least = V::splat(least.at(element, bounds, &sums));
            *count += sums.iter().map(|sum| sum.count_from(least)).sum::<u32>();
        }
    }

    /// `BLOCKS` vectors of the sums of the rows that begin there.
    #[inline(always)]
    fn add<V: Vector, const BLOCKS: usize>(&self, starts: &[u32], bound: &[Wide], block: usize) -> [V; BLOCKS] {
        // What is beyond the numbers is the least there, and nothing is added to it.
        let mut sum: [V; BLOCKS] = std::array::from_fn(|at| V::load(&bound[block + at]));
        let rows = self.rows.as_ptr().wrapping_add(block);
        for &start in starts {
            let row = rows.wrapping_byte_add(start as usize);
            for (at, sum) in sum.iter_mut().enumerate() {
                // Sound: every start is at least `width` before the rows' end.
                *sum = sum.plus(V::load(unsafe { &*row.wrapping_add(at) }));
            }
        }
        sum
    }
}

/// Row after row the sum of one row of every part, each of `width` vectors: those that `cells` numbers. No sum may be beyond
/// 16 bits.
pub(super) fn add_up(target: &mut [Wide], width: usize, parts: &[&[Wide]], cells: &[u16]) {
    add_up_in(Vectors::detect(), target, width, parts, cells);
}

fn add_up_in(vectors: Vectors, target: &mut [Wide], width: usize, parts: &[&[Wide]], cells: &[u16]) {
    match vectors {
        // Sound: the features were detected.
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx512 | Vectors::Avx512Vnni => unsafe { add_up_avx512(target, width, parts, cells) },
        #[cfg(target_arch = "x86_64")]
        Vectors::Avx2 => unsafe { add_up_avx2(target, width, parts, cells) },
        Vectors::Portable => add_up_any::<portable::Vector>(target, width, parts, cells),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_up_avx512(target: &mut [Wide], width: usize, parts: &[&[Wide]], cells: &[u16]) {
    add_up_any::<x86::Avx512>(target, width, parts, cells);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_up_avx2(target: &mut [Wide], width: usize, parts: &[&[Wide]], cells: &[u16]) {
    add_up_any::<x86::Avx2>(target, width, parts, cells);
}

#[inline(always)]
fn add_up_any<V: Vector>(target: &mut [Wide], width: usize, parts: &[&[Wide]], cells: &[u16]) {
    match parts.len() {
        2 => add_up_with::<V, 2>(target, width, parts, cells),
        3 => add_up_with::<V, 3>(target, width, parts, cells),
        4 => add_up_with::<V, 4>(target, width, parts, cells),
        _ => add_up_with::<V, 0>(target, width, parts, cells),
    }
}

/// With `PARTS` parts, or any number of them where it is 0.
#[inline(always)]
fn add_up_with<V: Vector, const PARTS: usize>(target: &mut [Wide], width: usize, parts: &[&[Wide]], cells: &[u16]) {
    let mut all: Vec<&[Wide]> = Vec::with_capacity(parts.len());
    for (target, cells) in target.chunks_exact_mut(width).zip(cells.chunks_exact(parts.len())) {
        let rows = parts
            .iter()
            .zip(cells)
            .map(|(part, &cell)| &part[width * usize::from(cell)..][..width]);
        let mut some: [&[Wide]; PARTS] = [&[]; PARTS];
        if PARTS == 0 {
            all.clear();
            all.extend(rows);
        } else {
            some.iter_mut().zip(rows).for_each(|(some, row)| *some = row);
        }
        let rows = if PARTS == 0 { &all[..] } else { &some[..] };
        for (block, target) in target.iter_mut().enumerate() {
            let mut sum = V::splat(0);
            for row in rows {
                sum = sum.plus(V::load(&row[block]));
            }
            sum.store(target);
        }
    }
}

/// From `middle` and `half`, what is `middle + half + upper` and `middle - half + lower`; in their places.
#[multiversion(targets("x86_64+avx512f+avx512bw", "x86_64+avx2"))]
pub(super) fn widen(middle: &mut [Wide], half: &mut [Wide], upper: &[Wide], lower: &[Wide]) {
    for ((middle, half), (upper, lower)) in middle.iter_mut().zip(half).zip(upper.iter().zip(lower)) {
        for k in 0..LANES {
            let (above, below) = (middle.0[k] + half.0[k], middle.0[k] - half.0[k]);
            (middle.0[k], half.0[k]) = (above.saturating_add(upper.0[k]), below.saturating_add(lower.0[k]));
        }
    }
}

/// 32 numbers; its machine must have been detected before any is made.
trait Vector: Copy {
    fn load(from: &Wide) -> Self;
    fn splat(number: i16) -> Self;
    fn store(self, to: &mut Wide);
    /// Wraps: no whole sum leaves 16 bits, so it does not matter what becomes of one on its way.
    fn plus(self, other: Self) -> Self;
    /// How many are at least those of `least`.
    fn count_from(self, least: Self) -> u32;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Vector, Wide};
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub(super) struct Avx512(__m512i);

    impl Vector for Avx512 {
        #[inline(always)]
        fn load(from: &Wide) -> Self {
            // Sound: 64 aligned bytes.
            unsafe { Self(_mm512_load_si512(std::ptr::from_ref(from).cast())) }
        }
        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            unsafe { Self(_mm512_add_epi16(self.0, other.0)) }
        }
        #[inline(always)]
        fn splat(number: i16) -> Self {
            unsafe { Self(_mm512_set1_epi16(number)) }
        }
        #[inline(always)]
        fn store(self, to: &mut Wide) {
            // Sound: 64 aligned bytes.
            unsafe { _mm512_store_si512(std::ptr::from_mut(to).cast(), self.0) }
        }
        #[inline(always)]
        fn count_from(self, least: Self) -> u32 {
            unsafe { _mm512_cmpge_epi16_mask(self.0, least.0).count_ones() }
        }
    }

    #[derive(Clone, Copy)]
    pub(super) struct Avx2(__m256i, __m256i);

    impl Vector for Avx2 {
        #[inline(always)]
        fn load(from: &Wide) -> Self {
            let from: *const __m256i = std::ptr::from_ref(from).cast();
            // Sound: 64 aligned bytes.
            unsafe { Self(_mm256_load_si256(from), _mm256_load_si256(from.add(1))) }
        }
        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            unsafe { Self(_mm256_add_epi16(self.0, other.0), _mm256_add_epi16(self.1, other.1)) }
        }
        #[inline(always)]
        fn splat(number: i16) -> Self {
            unsafe { Self(_mm256_set1_epi16(number), _mm256_set1_epi16(number)) }
        }
        #[inline(always)]
        fn store(self, to: &mut Wide) {
            let to: *mut __m256i = std::ptr::from_mut(to).cast();
            // Sound: 64 aligned bytes.
            unsafe {
                _mm256_store_si256(to, self.0);
                _mm256_store_si256(to.add(1), self.1);
            }
        }
        #[inline(always)]
        fn count_from(self, least: Self) -> u32 {
            // Two bits for each number below.
            let below =
                |numbers, least| unsafe { _mm256_movemask_epi8(_mm256_cmpgt_epi16(least, numbers)).count_ones() };
            (64 - below(self.0, least.0) - below(self.1, least.1)) / 2
        }
    }
}

mod portable {
    use super::{LANES, Wide};

    #[derive(Clone, Copy)]
    pub(super) struct Vector([i16; LANES]);

    impl super::Vector for Vector {
        #[inline(always)]
        fn load(from: &Wide) -> Self {
            Self(from.0)
        }
        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            Self(std::array::from_fn(|k| self.0[k].saturating_add(other.0[k])))
        }
        #[inline(always)]
        fn splat(number: i16) -> Self {
            Self([number; LANES])
        }
        #[inline(always)]
        fn store(self, to: &mut Wide) {
            to.0 = self.0;
        }
        #[inline(always)]
        fn count_from(self, least: Self) -> u32 {
            self.0
                .iter()
                .zip(least.0)
                .map(|(&number, least)| u32::from(number >= least))
                .sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_vector_counts_as_whole_numbers_do() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut some = [false; 3];
        for tables in 1..15 {
            for (width, elements) in (1..=9).zip([5, 40, 70, 9, 4, 11, 2, 10, 1]) {
                let own = width % 2 == 1;
                let mut rows = |count: usize, spread: u64| -> Vec<Wide> {
                    let row = |_| Wide(std::array::from_fn(|_| random(2 * spread) as i16 - spread as i16));
                    (0..count * width).map(row).collect()
                };
                let tables: Vec<Vec<Wide>> = (0..tables).map(|_| rows(4, 300)).collect();
                let bounds = rows(if own { elements } else { 1 }, 50);
                let numbers: Vec<u32> = (0..elements).map(|_| random(4) as u32).collect();
                let starts: Vec<Vec<usize>> = (0..tables.len())
                    .map(|table| {
                        numbers
                            .iter()
                            .map(|&number| (4 * table + number as usize) * width)
                            .collect()
                    })
                    .collect();
                let starts = Starts::new(&starts, elements);
                let rows = tables.concat();
                let sums = Tables {
                    rows: &rows,
                    starts: &starts,
                    width,
                };
                let bounds = Bounds {
                    rows: &bounds,
                    stride: if own { width } else { 0 },
                };
                let lower: Vec<Wide> = bounds.rows.iter().map(|wide| Wide(wide.0.map(|v| v - 30))).collect();
                let lower = Bounds { rows: &lower, ..bounds };
                let given: Vec<i16> = (0..elements).map(|_| random(3000) as i16).collect();
                let correct: Vec<Element> = (0..elements)
                    .map(|_| Element(random((width * LANES) as u64) as u16))
                    .collect();
                for least in [
                    Least::Given(&given),
                    Least::Of(&correct, lower),
                    Least::Above(&correct, lower),
                ] {
                    let before: Vec<u32> = (0..elements).map(|_| random(3) as u32).collect();
                    let expected: Vec<u32> = (0..elements)
                        .map(|element| {
                            let number = |rows: &[Wide], row: usize, z: usize| {
                                i64::from(rows[row * width + z / LANES].0[z % LANES])
                            };
                            let sum = |z: usize| {
                                let row = numbers[element] as usize;
                                let sum = tables.iter().map(|rows| number(rows, row, z)).sum::<i64>();
                                sum + number(bounds.rows, if own { element } else { 0 }, z)
                            };
                            let least = match least {
                                Least::Given(least) => i64::from(least[element]),
                                Least::Of(correct, _) => sum(correct[element].index()) - 30,
                                Least::Above(correct, _) => sum(correct[element].index()) - 29,
                            };
                            let reached = (0..width * LANES).filter(|&z| sum(z) >= least);
                            let reached = reached.count() as u32;
                            some[reached.min(2) as usize] = true;
                            before[element] + if before[element] > 1 { 0 } else { reached }
                        })
                        .collect();
                    for vectors in Vectors::all() {
                        let mut counts = before.clone();
                        sums.count_in(vectors, bounds, least, &mut counts);
                        assert_eq!(counts, expected, "{vectors:?}");
                    }
                }
            }
        }
        assert_eq!(some, [true; 3], "every case occurs");
    }

    #[test]
    fn rows_add_up_in_every_kind_of_vector() {
        let part = |seed: i16| -> Vec<Wide> {
            (0..6)
                .map(|row| Wide(std::array::from_fn(|k| seed * row + k as i16)))
                .collect()
        };
        let parts = [part(1), part(10), part(100)];
        let parts: Vec<&[Wide]> = parts.iter().map(|part| &part[..]).collect();
        for vectors in Vectors::all() {
            let mut target = vec![Wide::LEAST; 4];
            add_up_in(vectors, &mut target, 2, &parts, &[0, 1, 2, 2, 0, 1]);
            for (at, rows) in [[0, 2, 4], [1, 3, 5], [4, 0, 2], [5, 1, 3]].into_iter().enumerate() {
                for k in 0..LANES {
                    let sum: i16 = rows.iter().zip(&parts).map(|(&row, part)| part[row].0[k]).sum();
                    assert_eq!(target[at].0[k], sum, "{vectors:?}");
                }
            }
        }
    }
}
