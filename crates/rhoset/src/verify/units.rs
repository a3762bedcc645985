//! Sums of rows of 16-bit integers, and which of them reach a bound.
//!
//! Logits in units that fit 16 bits: a vector holds twice as many as in float32, and they add up without rounding.
//! AVX-512 and AVX2 have their own vectors, every other machine takes arrays.

use crate::group::Element;

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

/// What a number is the sum of: a row of each table, and a row of each kind of bounds.
pub(super) struct Sums<'a> {
    /// Rows of `width` vectors, and for every element where its row begins.
    pub(super) tables: &'a [(&'a [Wide], &'a [usize])],
    /// Bounds from above and from below, by elements where there is more than one row.
    pub(super) upper: &'a [Wide],
    pub(super) lower: &'a [Wide],
    pub(super) width: usize,
}

/// What is known of the places.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// How many have no other number that reaches the lower bound of the correct one.
    pub(super) right: usize,
    /// How many have another whose lower bound exceeds the upper bound of the correct one.
    pub(super) wrong: usize,
    /// The elements of the others.
    pub(super) rest: Vec<Element>,
}

impl Sums<'_> {
    /// Adds to `known` what is known of the elements, whose correct numbers are given, but for those whose `gaps` exceed
    /// the limit. No sum may be beyond 16 bits.
    pub(super) fn decide(&self, correct: &[Element], gaps: Option<(&[f64], f64)>, known: &mut Known) {
        #[cfg(target_arch = "x86_64")]
        {
            // Sound: the features were detected.
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
                return unsafe { self.decide_avx512(correct, gaps, known) };
            }
            if is_x86_feature_detected!("avx2") {
                return unsafe { self.decide_avx2(correct, gaps, known) };
            }
        }
        self.decide_any::<portable::Vector>(correct, gaps, known);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,popcnt")]
    fn decide_avx512(&self, correct: &[Element], gaps: Option<(&[f64], f64)>, known: &mut Known) {
        self.decide_any::<x86::Avx512>(correct, gaps, known);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,popcnt")]
    fn decide_avx2(&self, correct: &[Element], gaps: Option<(&[f64], f64)>, known: &mut Known) {
        self.decide_any::<x86::Avx2>(correct, gaps, known);
    }

    #[inline(always)]
    fn decide_any<V: Vector>(&self, correct: &[Element], gaps: Option<(&[f64], f64)>, known: &mut Known) {
        match self.tables.len() {
            1 => self.decide_with::<V, 1>(correct, gaps, known),
            2 => self.decide_with::<V, 2>(correct, gaps, known),
            3 => self.decide_with::<V, 3>(correct, gaps, known),
            4 => self.decide_with::<V, 4>(correct, gaps, known),
            5 => self.decide_with::<V, 5>(correct, gaps, known),
            6 => self.decide_with::<V, 6>(correct, gaps, known),
            7 => self.decide_with::<V, 7>(correct, gaps, known),
            8 => self.decide_with::<V, 8>(correct, gaps, known),
            9 => self.decide_with::<V, 9>(correct, gaps, known),
            10 => self.decide_with::<V, 10>(correct, gaps, known),
            11 => self.decide_with::<V, 11>(correct, gaps, known),
            12 => self.decide_with::<V, 12>(correct, gaps, known),
            _ => self.decide_with::<V, 0>(correct, gaps, known),
        }
    }

    /// With `TABLES` tables, or any number of them where it is 0.
    #[inline(always)]
    fn decide_with<V: Vector, const TABLES: usize>(
        &self,
        correct: &[Element],
        gaps: Option<(&[f64], f64)>,
        known: &mut Known,
    ) {
        let width = self.width;
        let own = if self.upper.len() > width { width } else { 0 };
        let mut all: Vec<&[Wide]> = Vec::with_capacity(self.tables.len());
        for (element, correct) in correct.iter().enumerate() {
            if gaps.is_some_and(|(of_element, limit)| of_element[element] > limit) {
                continue;
            }
            let correct = correct.index();
            let upper = &self.upper[element * own..][..width];
            let lower = &self.lower[element * own..][..width];
            let mut some: [&[Wide]; TABLES] = [&[]; TABLES];
            if TABLES == 0 {
                all.clear();
                all.extend(
                    self.tables
                        .iter()
                        .map(|(rows, starts)| &rows[starts[element]..][..width]),
                );
            } else {
                for (row, (rows, starts)) in some.iter_mut().zip(self.tables) {
                    *row = &rows[starts[element]..][..width];
                }
            }
            let rows = if TABLES == 0 { &all[..] } else { &some[..] };
            let mut sum = 0;
            for row in rows {
                sum += i32::from(row[correct / LANES].0[correct % LANES]);
            }
            let bound = |bounds: &[Wide]| (sum + i32::from(bounds[correct / LANES].0[correct % LANES])) as i16;
            // The correct one reaches its own lower bound, and not more than its upper bound.
            if reaching::<V>(rows, upper, bound(lower)) <= 1 {
                known.right += 1;
            } else if reaching::<V>(rows, lower, bound(upper).saturating_add(1)) > 0 {
                known.wrong += 1;
            } else {
                known.rest.push(Element(element as u16));
            }
        }
    }
}

/// How many sums of the rows and bounds are at least `least`.
#[inline(always)]
fn reaching<V: Vector>(rows: &[&[Wide]], bounds: &[Wide], least: i16) -> u32 {
    let mut count = 0;
    for (block, bounds) in bounds.iter().enumerate() {
        // What is beyond the numbers is the least there, and nothing is added to it.
        let mut sum = V::load(bounds);
        for row in rows {
            sum = sum.plus(V::load(&row[block]));
        }
        count += sum.count_from(least);
    }
    count
}

/// 32 numbers; its machine must have been detected before any is made.
trait Vector: Copy {
    fn load(from: &Wide) -> Self;
    /// Sums beyond 16 bits become the nearest number.
    fn plus(self, other: Self) -> Self;
    /// How many are at least `least`.
    fn count_from(self, least: i16) -> u32;
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
            unsafe { Self(_mm512_adds_epi16(self.0, other.0)) }
        }
        #[inline(always)]
        fn count_from(self, least: i16) -> u32 {
            unsafe { _mm512_cmpge_epi16_mask(self.0, _mm512_set1_epi16(least)).count_ones() }
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
            unsafe { Self(_mm256_adds_epi16(self.0, other.0), _mm256_adds_epi16(self.1, other.1)) }
        }
        #[inline(always)]
        fn count_from(self, least: i16) -> u32 {
            // Two bits for each number below.
            let below = |numbers: __m256i| unsafe {
                let below = _mm256_cmpgt_epi16(_mm256_set1_epi16(least), numbers);
                _mm256_movemask_epi8(below).count_ones()
            };
            (64 - below(self.0) - below(self.1)) / 2
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
        fn count_from(self, least: i16) -> u32 {
            self.0.iter().map(|&number| u32::from(number >= least)).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same in 64-bit integers.
    fn add_expected(sums: &Sums, element: usize, correct: usize, known: &mut Known) {
        let own = if sums.upper.len() > sums.width { sums.width } else { 0 };
        let number = |rows: &[Wide], start: usize, z: usize| i64::from(rows[start + z / LANES].0[z % LANES]);
        let sum = |z: usize| {
            sums.tables
                .iter()
                .map(|(rows, starts)| number(rows, starts[element], z))
                .sum::<i64>()
        };
        let upper = |z: usize| sum(z) + number(sums.upper, element * own, z);
        let lower = |z: usize| sum(z) + number(sums.lower, element * own, z);
        let others = || (0..sums.width * LANES).filter(|&z| z != correct);
        if others().all(|z| upper(z) < lower(correct)) {
            known.right += 1;
        } else if others().any(|z| lower(z) > upper(correct)) {
            known.wrong += 1;
        } else {
            known.rest.push(Element(element as u16));
        }
    }

    #[test]
    fn every_kind_of_vector_decides_as_whole_numbers_do() {
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut some = [false; 3];
        for tables in 1..15 {
            for (width, elements, own) in [(1, 5, true), (2, 40, false), (3, 70, true)] {
                let mut rows = |count: usize, spread: u64| -> Vec<Wide> {
                    let row = |_| Wide(std::array::from_fn(|_| random(2 * spread) as i16 - spread as i16));
                    (0..count * width).map(row).collect()
                };
                let tables: Vec<Vec<Wide>> = (0..tables).map(|_| rows(4, 300)).collect();
                let upper = rows(if own { elements } else { 1 }, 50);
                let lower: Vec<Wide> = upper.iter().map(|wide| Wide(wide.0.map(|v| v - 30))).collect();
                let starts: Vec<usize> = (0..elements).map(|_| random(4) as usize * width).collect();
                let tables: Vec<(&[Wide], &[usize])> = tables.iter().map(|rows| (&rows[..], &starts[..])).collect();
                let sums = Sums {
                    tables: &tables,
                    upper: &upper,
                    lower: &lower,
                    width,
                };
                let correct: Vec<Element> = (0..elements)
                    .map(|_| Element(random((width * LANES) as u64) as u16))
                    .collect();
                let gaps: Vec<f64> = (0..elements).map(|_| random(4) as f64).collect();
                let gaps = Some((&gaps[..], 2.0));
                let mut right = Known::default();
                for (element, correct) in correct.iter().enumerate() {
                    if gaps.is_none_or(|(gaps, limit)| gaps[element] <= limit) {
                        add_expected(&sums, element, correct.index(), &mut right);
                    }
                }
                let known = |decide: &dyn Fn(&mut Known)| {
                    let mut known = Known::default();
                    decide(&mut known);
                    known
                };
                assert_eq!(known(&|known| sums.decide(&correct, gaps, known)), right);
                assert_eq!(
                    known(&|known| sums.decide_any::<portable::Vector>(&correct, gaps, known)),
                    right
                );
                #[cfg(target_arch = "x86_64")]
                if is_x86_feature_detected!("avx2") {
                    // Sound: the feature was detected.
                    assert_eq!(
                        known(&|known| unsafe { sums.decide_avx2(&correct, gaps, known) }),
                        right
                    );
                }
                some[0] |= right.right > 0;
                some[1] |= right.wrong > 0;
                some[2] |= !right.rest.is_empty();
            }
        }
        assert_eq!(some, [true; 3], "every case occurs");
    }
}
