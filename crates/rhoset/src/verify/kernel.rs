//! The inner loop of evaluation: a block of hidden rows times the unembedding, in float32, in registers.
//!
//! Rows are input pairs, columns are logits. A tile of `ROWS` rows and four vectors of columns stays in registers while
//! the loop runs over the neurons; the unembedding is packed so that the loop reads it in order. AVX-512 and AVX2 have
//! their own vectors, every other machine takes arrays that compilers vectorise as they can.

use super::vectors::Vectors;
use crate::network::Activation;

/// The columns of a panel: as many as a tile has.
const PANEL: usize = 64;

/// How many rows [`Kernel::margins`] takes at once: with 128 neurons, 12 KiB of hidden activations.
pub(super) const BLOCK: usize = 24;

/// 16 logits, or one neuron's weights to them; a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

impl Line {
    const ZERO: Self = Self([0.0; 16]);
}

/// An input pair.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    /// `[m]`: the inputs of the hidden activations, to be added up.
    pub(super) left: &'a [f32],
    pub(super) right: &'a [f32],
    /// The correct column.
    pub(super) correct: usize,
}

/// The unembedding and bias, packed.
pub(super) struct Kernel {
    vectors: Vectors,
    neurons: usize,
    /// The number of columns, padded to whole vectors of 16.
    padded: usize,
    /// Panel by panel of at most four vectors, neuron by neuron.
    unembed: Vec<Line>,
    /// The bias, -infinity in the padding.
    bias: Vec<Line>,
}

/// The memory of one thread.
pub(super) struct Scratch {
    /// `[rows, neurons]`.
    hidden: Vec<f32>,
    /// `[rows, padded]`.
    logits: Vec<Line>,
}

impl Kernel {
    /// Packs `unembed` (`[m, n]`, row by row) and `bias` (`[n]`).
    pub(super) fn new(unembed: &[f32], bias: &[f32]) -> Self {
        let order = bias.len();
        let neurons = unembed.len() / order;
        let padded = order.next_multiple_of(16);
        let line = |row: &[f32], start: usize, padding: f32| {
            let mut line = Line([padding; 16]);
            let end = order.min(start + 16);
            line.0[..end - start].copy_from_slice(&row[start..end]);
            line
        };
        let mut packed = Vec::with_capacity(neurons * padded / 16);
        for panel in (0..padded).step_by(PANEL) {
            for row in unembed.chunks_exact(order) {
                let end = padded.min(panel + PANEL);
                packed.extend((panel..end).step_by(16).map(|start| line(row, start, 0.0)));
            }
        }
        Self {
            vectors: Vectors::detect(),
            neurons,
            padded,
            unembed: packed,
            bias: (0..padded)
                .step_by(16)
                .map(|start| line(bias, start, f32::NEG_INFINITY))
                .collect(),
        }
    }

    pub(super) fn scratch(&self) -> Scratch {
        Scratch {
            hidden: vec![0.0; BLOCK * self.neurons],
            logits: vec![Line::ZERO; BLOCK * self.padded / 16],
        }
    }

    /// The correct logit and its largest rival for each row.
    ///
    /// At most [`BLOCK`] rows, as many `margins`; `margins[i] = (correct, largest rival)`.
    pub(super) fn margins<'a>(
        &self,
        activation: Activation,
        rows: impl Iterator<Item = Row<'a>> + Clone,
        scratch: &mut Scratch,
        margins: &mut [(f32, f32)],
    ) {
        match self.vectors {
            // Sound: the features were detected.
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 | Vectors::Avx512Vnni => unsafe { self.margins_avx512(activation, rows, scratch, margins) },
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => unsafe { self.margins_avx2(activation, rows, scratch, margins) },
            Vectors::Portable => self.margins_with::<portable::Vector, 2, 2>(activation, rows, scratch, margins),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,fma")]
    fn margins_avx512<'a>(
        &self,
        activation: Activation,
        rows: impl Iterator<Item = Row<'a>> + Clone,
        scratch: &mut Scratch,
        margins: &mut [(f32, f32)],
    ) {
        // 6 rows by 4 vectors of 16: 24 accumulators, 4 vectors of weights and a broadcast fit 32 registers.
        self.margins_with::<x86::Avx512, 6, 4>(activation, rows, scratch, margins);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    fn margins_avx2<'a>(
        &self,
        activation: Activation,
        rows: impl Iterator<Item = Row<'a>> + Clone,
        scratch: &mut Scratch,
        margins: &mut [(f32, f32)],
    ) {
        // 6 rows by 2 vectors of 8: 12 accumulators, 2 vectors of weights and a broadcast fit 16 registers.
        self.margins_with::<x86::Avx2, 6, 2>(activation, rows, scratch, margins);
    }

    #[inline(always)]
    fn margins_with<'a, V: Vector, const ROWS: usize, const WIDE: usize>(
        &self,
        activation: Activation,
        rows: impl Iterator<Item = Row<'a>> + Clone,
        scratch: &mut Scratch,
        margins: &mut [(f32, f32)],
    ) {
        let count = margins.len();
        for (hidden, row) in scratch.hidden.chunks_exact_mut(self.neurons).zip(rows.clone()) {
            activate(activation, hidden, row.left, row.right);
        }
        self.multiply::<V, ROWS, WIDE>(scratch, count);
        let lines = self.padded / 16;
        for ((logits, row), margin) in scratch.logits.chunks_exact_mut(lines).zip(rows).zip(margins) {
            let logit = &mut logits[row.correct / 16].0[row.correct % 16];
            let correct = std::mem::replace(logit, f32::NEG_INFINITY);
            *margin = (correct, largest::<V>(logits));
        }
    }

    /// `logits = bias + hidden * unembed` for the first `count` rows of the scratch.
    #[inline(always)]
    fn multiply<V: Vector, const ROWS: usize, const WIDE: usize>(&self, scratch: &mut Scratch, count: usize) {
        for start in (0..self.padded).step_by(PANEL) {
            let width = PANEL.min(self.padded - start);
            let panel = &self.unembed[start / 16 * self.neurons..][..width / 16 * self.neurons];
            let mut row = 0;
            while row + ROWS <= count {
                self.tiles::<V, ROWS, WIDE>(scratch, panel, start, width, row);
                row += ROWS;
            }
            while row + 2 <= count {
                self.tiles::<V, 2, WIDE>(scratch, panel, start, width, row);
                row += 2;
            }
            if row < count {
                self.tiles::<V, 1, WIDE>(scratch, panel, start, width, row);
            }
        }
    }

    /// The logits of `ROWS` rows from `row` and all columns of the panel.
    #[inline(always)]
    fn tiles<V: Vector, const ROWS: usize, const WIDE: usize>(
        &self,
        scratch: &mut Scratch,
        panel: &[Line],
        start: usize,
        width: usize,
        row: usize,
    ) {
        let mut column = 0;
        while column + WIDE * V::LANES <= width {
            self.tile::<V, ROWS, WIDE>(scratch, panel, start, width, row, column);
            column += WIDE * V::LANES;
        }
        while column + 2 * V::LANES <= width {
            self.tile::<V, ROWS, 2>(scratch, panel, start, width, row, column);
            column += 2 * V::LANES;
        }
        if column < width {
            self.tile::<V, ROWS, 1>(scratch, panel, start, width, row, column);
        }
    }

    /// The logits of `ROWS` rows from `row` and `WIDE` vectors of columns from `column` of the panel.
    #[inline(always)]
    fn tile<V: Vector, const ROWS: usize, const WIDE: usize>(
        &self,
        scratch: &mut Scratch,
        panel: &[Line],
        start: usize,
        width: usize,
        row: usize,
        column: usize,
    ) {
        let (neurons, padded) = (self.neurons, self.padded);
        let hidden = &scratch.hidden[row * neurons..][..ROWS * neurons];
        assert!(column + WIDE * V::LANES <= width && panel.len() * 16 == width * neurons);
        assert!(start + width <= padded && self.bias.len() * 16 == padded);
        let logits = &mut scratch.logits[row * padded / 16..][..ROWS * padded / 16];
        // Sound: the assertions above and the slices' lengths keep every pointer inside its slice.
        unsafe {
            let bias = self.bias.as_ptr().cast::<f32>().add(start + column);
            let mut sums: [[V; WIDE]; ROWS] =
                std::array::from_fn(|_| std::array::from_fn(|wide| V::load(bias.add(wide * V::LANES))));
            let mut weights = panel.as_ptr().cast::<f32>().add(column);
            for neuron in 0..neurons {
                let weight: [V; WIDE] = std::array::from_fn(|wide| V::load(weights.add(wide * V::LANES)));
                for (row, sums) in sums.iter_mut().enumerate() {
                    let activation = V::splat(*hidden.as_ptr().add(row * neurons + neuron));
                    for (sum, &weight) in sums.iter_mut().zip(&weight) {
                        *sum = sum.add_product(activation, weight);
                    }
                }
                weights = weights.wrapping_add(width);
            }
            let logits = logits.as_mut_ptr().cast::<f32>().add(start + column);
            for (row, sums) in sums.iter().enumerate() {
                for (wide, sum) in sums.iter().enumerate() {
                    sum.store(logits.add(row * padded + wide * V::LANES));
                }
            }
        }
    }
}

/// `hidden = act(left + right)`.
#[inline(always)]
fn activate(activation: Activation, hidden: &mut [f32], left: &[f32], right: &[f32]) {
    let inputs = hidden.iter_mut().zip(left.iter().zip(right));
    match activation {
        Activation::Relu => inputs.for_each(|(hidden, (left, right))| {
            let t = left + right;
            *hidden = if t > 0.0 { t } else { 0.0 };
        }),
        Activation::Square => inputs.for_each(|(hidden, (left, right))| {
            let t = left + right;
            *hidden = t * t;
        }),
        Activation::Abs => inputs.for_each(|(hidden, (left, right))| *hidden = (left + right).abs()),
        Activation::Linear => inputs.for_each(|(hidden, (left, right))| *hidden = left + right),
        Activation::Gelu => inputs.for_each(|(hidden, (left, right))| {
            *hidden = activation.apply(f64::from(left + right)) as f32;
        }),
    }
}

#[inline(always)]
fn largest<V: Vector>(row: &[Line]) -> f32 {
    let (start, length) = (row.as_ptr().cast::<f32>(), row.len() * 16);
    // Sound: a row is whole lines, and lines are whole vectors.
    let mut largest = unsafe { V::load(start) };
    for offset in (V::LANES..length).step_by(V::LANES) {
        largest = largest.max(unsafe { V::load(start.add(offset)) });
    }
    let mut lanes = Line([f32::NEG_INFINITY; 16]);
    unsafe { largest.store(lanes.0.as_mut_ptr()) };
    // Halving: a chain of sixteen comparisons would take longer than the rest.
    let mut width = 8;
    while width > 0 {
        for k in 0..width {
            let other = lanes.0[k + width];
            lanes.0[k] = if other > lanes.0[k] { other } else { lanes.0[k] };
        }
        width /= 2;
    }
    lanes.0[0]
}

/// A vector of float32 numbers; its machine must have been detected before any is made.
trait Vector: Copy {
    /// How many; a divisor of 16.
    const LANES: usize;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn splat(value: f32) -> Self;
    /// `self + a * b`, rounded once or twice.
    fn add_product(self, a: Self, b: Self) -> Self;
    fn max(self, other: Self) -> Self;
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub(super) struct Avx512(__m512);

    impl Vector for Avx512 {
        const LANES: usize = 16;
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm512_loadu_ps(from)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { Self(_mm512_set1_ps(value)) }
        }
        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm512_fmadd_ps(a.0, b.0, self.0)) }
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            unsafe { Self(_mm512_max_ps(self.0, other.0)) }
        }
    }

    #[derive(Clone, Copy)]
    pub(super) struct Avx2(__m256);

    impl Vector for Avx2 {
        const LANES: usize = 8;
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm256_loadu_ps(from)) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            unsafe { Self(_mm256_set1_ps(value)) }
        }
        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(a.0, b.0, self.0)) }
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            unsafe { Self(_mm256_max_ps(self.0, other.0)) }
        }
    }
}

mod portable {
    #[derive(Clone, Copy)]
    pub(super) struct Vector([f32; 4]);

    impl super::Vector for Vector {
        const LANES: usize = 4;
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
        }
        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Self([value; 4])
        }
        #[inline(always)]
        fn add_product(self, a: Self, b: Self) -> Self {
            Self(std::array::from_fn(|lane| self.0[lane] + a.0[lane] * b.0[lane]))
        }
        #[inline(always)]
        fn max(self, other: Self) -> Self {
            Self(std::array::from_fn(|lane| {
                if self.0[lane] > other.0[lane] {
                    self.0[lane]
                } else {
                    other.0[lane]
                }
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn margins_agree_with_plain_float64_sums_on_every_kind_of_vector() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(0);
        for (order, neurons) in [
            (1, 1),
            (2, 3),
            (15, 4),
            (16, 5),
            (17, 1),
            (63, 7),
            (64, 2),
            (65, 8),
            (120, 16),
            (130, 3),
        ] {
            let mut draw =
                |length: usize| -> Vec<f32> { (0..length).map(|_| random.random_range(-1.0..1.0)).collect() };
            let (left, right) = (draw(order * neurons), draw(order * neurons));
            let (unembed, bias) = (draw(neurons * order), draw(order));
            for vectors in Vectors::all() {
                let mut kernel = Kernel::new(&unembed, &bias);
                kernel.vectors = vectors;
                let mut scratch = kernel.scratch();
                for activation in Activation::ALL {
                    // Fewer and fewer rows, so that old rows lie about in the scratch memory.
                    for count in (1..=BLOCK.min(order)).rev() {
                        let rows = (0..count).map(|row| {
                            let part = row * neurons..(row + 1) * neurons;
                            Row {
                                left: &left[part.clone()],
                                right: &right[part],
                                correct: (row * 5) % order,
                            }
                        });
                        let mut margins = vec![(0.0, 0.0); count];
                        kernel.margins(activation, rows.clone(), &mut scratch, &mut margins);
                        for (
                            Row {
                                left, right, correct, ..
                            },
                            (logit, rival),
                        ) in rows.zip(margins)
                        {
                            let logits: Vec<f64> = (0..order)
                                .map(|z| {
                                    let hidden =
                                        left.iter().zip(right).map(|(l, r)| activation.apply(f64::from(l + r)));
                                    let terms = hidden.enumerate().map(|(i, h)| h * f64::from(unembed[i * order + z]));
                                    f64::from(bias[z]) + terms.sum::<f64>()
                                })
                                .collect();
                            let expected = (0..order)
                                .filter(|&z| z != correct)
                                .fold(f64::NEG_INFINITY, |largest, z| largest.max(logits[z]));
                            assert!(
                                (f64::from(logit) - logits[correct]).abs() < 1e-4,
                                "{vectors:?} {order} {neurons}"
                            );
                            assert!(
                                order == 1 && rival == f32::NEG_INFINITY || (f64::from(rival) - expected).abs() < 1e-4,
                                "{vectors:?} {order} {neurons} {count}: {rival} is not {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}
