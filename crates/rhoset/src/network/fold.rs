//! Folding: the layers before the activation as one, with bounds on what rounding did.

use super::real::Real;
use super::{Embedding, Folded, Network};
use crate::group::Element;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use multiversion::multiversion;
use ndarray::{Array1, Array2, ArrayView2, Axis, CowArray, Ix2};
use rayon::prelude::*;
use std::borrow::Cow;

impl Network {
    /// Brings the network to the form `bias + unembed' * act(left + right)`, with bounds on what rounding did.
    ///
    /// The products are float64 sums of d exact products of float32 numbers, so each entry is within
    /// `gamma_d * sum |terms|` of the real product (Higham 2002, section 3.1).
    pub fn fold(&self) -> Folded {
        self.fold_in::<f64>()
    }

    /// The same with products and sums in float32: half the time, and errors 2^29 times as large, still small beside what
    /// bounds on logits lose (`docs/soundness.md`, 2.2). What float32 might not hold is folded in float64.
    pub fn fold_single(&self) -> Folded {
        let folded = self.fold_in::<f32>();
        let errors = folded.left_error.iter().chain(&folded.right_error);
        if errors.sum::<f64>().is_finite() {
            folded
        } else {
            self.fold()
        }
    }

    /// What x and what y goes through before the activation.
    pub(crate) fn layers(&self) -> [Layers<'_>; 2] {
        let layers = |embed, linear| Layers { embed, linear };
        match &self.embedding {
            Embedding::TwoLinear {
                embed_left,
                embed_right,
                linear_left,
                linear_right,
            } => [
                layers(embed_left.view(), Some(linear_left.view())),
                layers(embed_right.view(), Some(linear_right.view())),
            ],
            Embedding::Concat {
                embed_left,
                embed_right,
                linear,
            } => {
                let (upper, lower) = linear.view().split_at(Axis(0), embed_left.ncols());
                [
                    layers(embed_left.view(), Some(upper)),
                    layers(embed_right.view(), Some(lower)),
                ]
            }
            Embedding::SharedLinear {
                embed_left,
                embed_right,
                linear,
            } => [
                layers(embed_left.view(), Some(linear.view())),
                layers(embed_right.view(), Some(linear.view())),
            ],
            Embedding::Direct { left, right } => [layers(left.view(), None), layers(right.view(), None)],
        }
    }

    fn fold_in<T: Float>(&self) -> Folded {
        let [left, right] = self.layers();
        let [(left, left_error), (right, right_error)] = match (left.linear, right.linear) {
            (Some(left_linear), Some(right_linear)) => {
                products::<T>((left.embed, left_linear), (right.embed, right_linear))
            }
            _ => [left, right].map(|side| (double(side.embed), Array1::zeros(side.embed.ncols()))),
        };
        Folded {
            left,
            right,
            unembed: double(self.unembed.view()),
            bias: self
                .bias
                .as_ref()
                .map_or_else(|| Array1::zeros(self.order()), |bias| bias.mapv(f64::from)),
            left_error,
            right_error,
            activation: self.activation,
        }
    }
}

/// What x (or y) goes through before the activation.
pub(crate) struct Layers<'a> {
    /// `[n, d]`.
    pub(crate) embed: ArrayView2<'a, f32>,
    /// `[d, m]`; none where the embedding is of the neurons themselves.
    pub(crate) linear: Option<ArrayView2<'a, f32>>,
}

impl Layers<'_> {
    /// `[m]`: the inputs of the neurons from one element, in float64; a row of what [`Network::fold`] computes.
    pub(crate) fn row(&self, element: Element) -> Vec<f64> {
        let embedded = self.embed.row(element.index());
        let Some(linear) = &self.linear else {
            return embedded.mapv(f64::from).to_vec();
        };
        let mut sums = vec![0.0; linear.ncols()];
        let (embedded, linear) = (embedded.as_standard_layout(), linear.as_standard_layout());
        add_products(
            &mut sums,
            embedded.as_slice().expect("standard layout"),
            linear.as_slice().expect("standard layout"),
        );
        sums
    }

    /// `[m]`: how far a row can be from the real products.
    pub(crate) fn errors(&self) -> Vec<f64> {
        match &self.linear {
            Some(linear) => {
                let (embed, linear) = (self.embed.as_standard_layout(), linear.as_standard_layout());
                errors::<f64>(
                    (embed.as_slice().expect("row by row"), embed.ncols()),
                    (linear.as_slice().expect("row by row"), linear.ncols()),
                )
            }
            None => vec![0.0; self.embed.ncols()],
        }
    }
}

/// What products are computed in.
trait Float: Real {
    /// The unit roundoff.
    const UNIT: f64;
    /// More than a product of float32 numbers, or a sum of such, loses where it is too small for this precision.
    const UNDERFLOW: f64;
    /// Sums of smaller terms stay in range, rounding included.
    const LARGEST: f64;

    fn of_singles(values: &[f32]) -> Cow<'_, [Self]>;
    fn into_doubles(values: Vec<Self>) -> Vec<f64>;
}

impl Float for f32 {
    const UNIT: f64 = f32::EPSILON as f64 / 2.0;
    const UNDERFLOW: f64 = f32::MIN_POSITIVE as f64;
    const LARGEST: f64 = f32::MAX as f64 / 4.0;

    fn of_singles(values: &[f32]) -> Cow<'_, [f32]> {
        values.into()
    }
    fn into_doubles(values: Vec<f32>) -> Vec<f64> {
        to_double(&values)
    }
}

impl Float for f64 {
    const UNIT: f64 = f64::EPSILON / 2.0;
    const UNDERFLOW: f64 = 0.0;
    const LARGEST: f64 = f64::MAX;

    fn of_singles(values: &[f32]) -> Cow<'_, [f64]> {
        to_double(values).into()
    }
    fn into_doubles(values: Vec<f64>) -> Vec<f64> {
        values
    }
}

/// Both sides' `embed * linear` in float64, and for each column a bound on its distance from the real product; in parallel
/// where they are large.
fn products<T: Float>(
    left: (ArrayView2<f32>, ArrayView2<f32>),
    right: (ArrayView2<f32>, ArrayView2<f32>),
) -> [(Array2<f64>, Array1<f64>); 2] {
    let sides = [&left, &right].map(|(embed, linear)| (embed.as_standard_layout(), linear.as_standard_layout()));
    let multiplications: usize = sides.iter().map(|(embed, linear)| embed.nrows() * linear.len()).sum();
    let [left, right] = if multiplications < PARALLEL {
        sides.each_ref().map(|side| {
            let mut product = Product::<T>::new(side);
            product.multiply();
            product
        })
    } else {
        let (mut left, mut right) = rayon::join(|| Product::<T>::new(&sides[0]), || Product::<T>::new(&sides[1]));
        // Blocks of both sides: a thread that is late leaves more of them to the other.
        left.blocks()
            .chain(right.blocks())
            .for_each(|(product, embed, linear)| multiply(product, embed, linear));
        [left, right]
    };
    [left, right].map(|side| {
        let shape = (side.rows, side.error.len());
        let product = Array2::from_shape_vec(shape, T::into_doubles(side.product)).expect("as many numbers");
        (product, side.error.into())
    })
}

/// Multiplications from which on a second thread pays: waking one takes about as long as fewer.
const PARALLEL: usize = 1 << 22;

/// `embed * linear`, to be multiplied out; all row by row.
struct Product<'a, T: Float> {
    embed: Cow<'a, [T]>,
    linear: Cow<'a, [T]>,
    rows: usize,
    product: Vec<T>,
    /// A number per column.
    error: Vec<f64>,
}

/// Rows of a product that are computed together.
const ROWS: usize = 60;

impl<'a, T: Float> Product<'a, T> {
    fn new((embed, linear): &'a (CowArray<f32, Ix2>, CowArray<f32, Ix2>)) -> Self {
        let ((n, terms), m) = (embed.dim(), linear.ncols());
        let [embed, linear] = [embed, linear].map(|matrix| matrix.as_slice().expect("row by row"));
        Self {
            error: errors::<T>((embed, terms), (linear, m)),
            rows: n,
            product: vec![T::ZERO; n * m],
            embed: T::of_singles(embed),
            linear: T::of_singles(linear),
        }
    }

    fn multiply(&mut self) {
        let (m, terms) = (self.error.len(), self.embed.len() / self.rows.max(1));
        let product = MatMut::from_row_major_slice_mut(&mut self.product, self.rows, m);
        let embed = MatRef::from_row_major_slice(&self.embed, self.rows, terms);
        multiply(product, embed, MatRef::from_row_major_slice(&self.linear, terms, m));
    }

    /// Some rows of the product and of the embedding each, and all of `linear`.
    fn blocks(&mut self) -> impl ParallelIterator<Item = (MatMut<'_, T>, MatRef<'_, T>, MatRef<'_, T>)> {
        let m = self.error.len();
        let terms = self.linear.len() / m.max(1);
        let linear = MatRef::from_row_major_slice(&self.linear, terms, m);
        self.product
            .par_chunks_mut((ROWS * m).max(1))
            .zip(self.embed.par_chunks((ROWS * terms).max(1)))
            .map(move |(product, embed)| {
                let rows = product.len() / m;
                let product = MatMut::from_row_major_slice_mut(product, rows, m);
                (product, MatRef::from_row_major_slice(embed, rows, terms), linear)
            })
    }
}

/// For each column of `embed * linear` (`[_, terms]` and `[terms, m]`) a bound on its distance from the real product,
/// whatever the order of its sums.
fn errors<T: Float>((embed, terms): (&[f32], usize), (linear, m): (&[f32], usize)) -> Vec<f64> {
    // gamma_k = k u / (1 - k u); the factor 2 covers the rounding of the bound itself.
    let gamma = 2.0 * terms as f64 * T::UNIT / (1.0 - terms as f64 * T::UNIT);
    // The magnitudes of the terms add up to at most the product of the norms (Cauchy and Schwarz).
    let squares = embed.chunks_exact(terms.max(1)).map(sum_of_squares);
    let longest = squares.fold(0.0, f64::max).sqrt();
    let mut squares = vec![0.0; m];
    linear
        .chunks_exact(m.max(1))
        .for_each(|row| add_squares(&mut squares, row));
    let error = |square: f64| {
        let magnitude = longest * square.sqrt();
        if magnitude >= T::LARGEST || terms as f64 * T::UNIT > 0.1 {
            return f64::INFINITY;
        }
        // Not a number where the magnitude is none.
        gamma * magnitude + terms as f64 * T::UNDERFLOW
    };
    squares.into_iter().map(error).collect()
}

fn multiply<T: Real>(product: MatMut<'_, T>, embed: MatRef<'_, T>, linear: MatRef<'_, T>) {
    matmul(product, Accum::Replace, embed, linear, T::ONE, Par::Seq);
}

/// The matrix in float64, row by row.
fn double(matrix: ArrayView2<f32>) -> Array2<f64> {
    let rows = matrix.as_standard_layout();
    let values = to_double(rows.as_slice().expect("standard layout"));
    Array2::from_shape_vec(rows.dim(), values).expect("as many values")
}

/// In vectors: the fastest proofs take a tenth of their time to fold a network that needs no folding.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
fn to_double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Adds the scaled rows, in float64, where products of float32 numbers are exact.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq+fma", "x86_64+avx2+fma"))]
fn add_products(sums: &mut [f64], scales: &[f32], rows: &[f32]) {
    let m = sums.len();
    // A block of the sums stays in registers while the rows go by.
    let (blocks, rest) = sums.as_chunks_mut::<32>();
    let done = 32 * blocks.len();
    for (number, block) in blocks.iter_mut().enumerate() {
        let mut total = *block;
        for (&scale, row) in scales.iter().zip(rows.chunks_exact(m)) {
            let (scale, row) = (f64::from(scale), &row[32 * number..32 * (number + 1)]);
            for k in 0..32 {
                total[k] += scale * f64::from(row[k]);
            }
        }
        *block = total;
    }
    for (&scale, row) in scales.iter().zip(rows.chunks_exact(m.max(1))) {
        for (sum, &value) in rest.iter_mut().zip(&row[done..]) {
            *sum += f64::from(scale) * f64::from(value);
        }
    }
}

/// In float64, where squares of float32 numbers are exact.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
fn sum_of_squares(values: &[f32]) -> f64 {
    let mut lanes = [0.0; 16];
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for (lane, &value) in lanes.iter_mut().zip(block) {
            *lane += f64::from(value) * f64::from(value);
        }
    }
    rest.iter()
        .map(|&value| f64::from(value) * f64::from(value))
        .chain(lanes)
        .sum()
}

/// Adds the squares of a row.
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512dq", "x86_64+avx2"))]
fn add_squares(sums: &mut [f64], row: &[f32]) {
    for (sum, &value) in sums.iter_mut().zip(row) {
        *sum += f64::from(value) * f64::from(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Activation;
    use num_rational::BigRational;
    use proptest::prelude::*;

    fn exact(value: f64) -> BigRational {
        BigRational::from_float(value).expect("finite")
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        /// Cancellation included: huge terms of both signs, and small ones between them.
        #[test]
        fn fold_error_bounds_the_distance_from_the_exact_product(
            d in 1_usize..40,
            weights in prop::collection::vec(
                prop_oneof![
                    2 => -4.0_f32..4.0,
                    1 => (-4.0_f32..4.0, -60_i32..60).prop_map(|(weight, exponent)| weight * 2.0_f32.powi(exponent)),
                    1 => prop::sample::select(vec![0.0, 1.0, -1.0, 1e20, -1e20, f32::MAX, f32::MIN_POSITIVE, 1e-45]),
                ],
                5 * 40,
            ),
        ) {
            let embed = Array2::from_shape_fn((3, d), |(x, k)| weights[x * 40 + k]);
            let linear = Array2::from_shape_fn((d, 2), |(k, i)| weights[(3 + i) * 40 + k]);
            let side = || (embed.view(), linear.view());
            let layers = Layers { embed: embed.view(), linear: Some(linear.view()) };
            let rows = Array2::from_shape_fn((3, 2), |(x, i)| layers.row(Element(x as u16))[i]);
            let sides = products::<f64>(side(), side()).into_iter().chain(products::<f32>(side(), side()));
            let sides = sides.chain([(rows, layers.errors().into())]);
            for (folded, error) in sides {
                for x in 0..3 {
                    for i in 0..2 {
                        // Not known in float32, beyond its range.
                        if error[i] == f64::INFINITY {
                            continue;
                        }
                        let terms = (0..d).map(|k| exact(embed[[x, k]].into()) * exact(linear[[k, i]].into()));
                        let difference = exact(folded[[x, i]]) - terms.sum::<BigRational>();
                        let distance = difference.clone().max(-difference);
                        prop_assert!(distance <= exact(error[i]), "{distance} exceeds {}", error[i]);
                    }
                }
            }
        }
    }

    #[test]
    fn folding_a_direct_network_changes_nothing() {
        let matrix =
            |rows, columns, seed: f32| Array2::from_shape_fn((rows, columns), |(i, j)| seed / (i + 3 * j + 1) as f32);
        let network = Network {
            embedding: Embedding::Direct {
                left: matrix(3, 4, 1.3),
                right: matrix(3, 4, -0.7),
            },
            unembed: matrix(4, 3, 2.9),
            bias: Some(Array1::from_elem(3, 0.1)),
            activation: Activation::Gelu,
        };
        let folded = network.fold();
        assert!(
            folded
                .left_error
                .iter()
                .chain(&folded.right_error)
                .all(|&error| error == 0.0)
        );
        assert_eq!(folded.round(), (network, 0.0));
    }

    #[test]
    fn rows_of_every_embedding_are_those_of_the_folded_matrices() {
        // The second is large enough for two threads, and its last block of rows is not full.
        for (n, d, m) in [(3, 5, 40), (150, 150, 130)] {
            rows_are_those_of_the_folded_matrices(n, d, m);
        }
    }

    fn rows_are_those_of_the_folded_matrices(n: usize, d: usize, m: usize) {
        let matrix = |rows, columns, seed: f32| {
            Array2::from_shape_fn((rows, columns), |(i, j)| seed / (1 + 7 * i + 3 * j) as f32 - 0.2)
        };
        let embeddings = [
            Embedding::TwoLinear {
                embed_left: matrix(n, d, 1.3),
                embed_right: matrix(n, d, -0.7),
                linear_left: matrix(d, m, 0.9),
                linear_right: matrix(d, m, 2.1),
            },
            Embedding::Concat {
                embed_left: matrix(n, d, 1.3),
                embed_right: matrix(n, d + 1, -0.7),
                linear: matrix(2 * d + 1, m, 0.9),
            },
            Embedding::SharedLinear {
                embed_left: matrix(n, d, 1.3),
                embed_right: matrix(n, d, -0.7),
                linear: matrix(d, m, 0.9),
            },
            Embedding::Direct {
                left: matrix(n, m, 1.3),
                right: matrix(n, m, -0.7),
            },
        ];
        for embedding in embeddings {
            let network = Network {
                embedding,
                unembed: matrix(m, n, 2.9),
                bias: None,
                activation: Activation::Relu,
            };
            for folded in [network.fold(), network.fold_single()] {
                let matrices = [(&folded.left, &folded.left_error), (&folded.right, &folded.right_error)];
                for (layers, (matrix, folded_error)) in network.layers().iter().zip(matrices) {
                    let error = layers.errors();
                    for (x, folded) in matrix.rows().into_iter().enumerate() {
                        for (i, of_row) in layers.row(Element(x as u16)).into_iter().enumerate() {
                            let allowed = error[i] + folded_error[i];
                            assert!((of_row - folded[i]).abs() <= allowed, "{of_row} is not {}", folded[i]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_float32_may_not_hold_is_folded_in_float64() {
        let network = |scale: f32| Network {
            embedding: Embedding::SharedLinear {
                embed_left: Array2::from_elem((2, 3), scale),
                embed_right: Array2::from_elem((2, 3), -1.5),
                linear: Array2::from_elem((3, 4), 1.25),
            },
            unembed: Array2::ones((4, 2)),
            bias: None,
            activation: Activation::Relu,
        };
        let single = network(0.1).fold_single();
        assert_ne!(single.left_error, network(0.1).fold().left_error);
        assert!(single.left_error.iter().all(|&error| (1e-8..1e-5).contains(&error)));
        let huge = network(1e38).fold_single();
        assert_eq!(huge.left_error, network(1e38).fold().left_error);
        assert_eq!(huge.left, network(1e38).fold().left);
    }
}
