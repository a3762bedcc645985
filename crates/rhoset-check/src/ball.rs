//! Arithmetic that keeps account of its own rounding: a [`Ball`] holds the real number that it stands for.
//!
//! IEEE 754 rounds every sum, product and quotient of float64 numbers to within 2^-53 of itself, relatively, and what
//! underflows to within 2^-1075. Nothing else about rounding is used.

use std::iter::zip;
use std::ops::{Add, Mul, Sub};

/// The unit roundoff of float64, 2^-53.
pub(crate) const UNIT: f64 = f64::EPSILON / 2.0;

/// The real numbers within `error` of `value`; all of them where one of the two is not finite.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ball {
    pub(crate) value: f64,
    pub(crate) error: f64,
}

impl Ball {
    pub(crate) fn new(value: f64, error: f64) -> Self {
        Self { value, error }
    }

    /// What was rounded to `value`, of operands that moved it by at most `error`.
    pub(crate) fn rounded(value: f64, error: f64) -> Self {
        // At most ten roundings went into the error, each of which may have taken 2^-53 of it, or 2^-1075.
        let error = (error + UNIT * value.abs()) * (1.0 + 32.0 * UNIT);
        Self::new(value, error + f64::MIN_POSITIVE)
    }

    /// At least every number in the ball; infinite where nothing is known.
    pub(crate) fn upper(self) -> f64 {
        largest([(self.value + self.error).next_up()])
    }

    /// At most every number in the ball.
    pub(crate) fn lower(self) -> f64 {
        -Self::new(-self.value, self.error).upper()
    }

    /// At least the magnitude of every number in the ball.
    pub(crate) fn magnitude(self) -> f64 {
        Self::new(self.value.abs(), self.error).upper()
    }

    /// Of the larger of the number and 0, which moves no two numbers further apart.
    pub(crate) fn relu(self) -> Self {
        // Where the value is not a number, neither is the error.
        Self::new(self.value.max(0.0), self.error)
    }
}

impl From<f64> for Ball {
    fn from(value: f64) -> Self {
        Self::new(value, 0.0)
    }
}

impl<T: Into<Self>> Add<T> for Ball {
    type Output = Self;
    fn add(self, other: T) -> Self {
        let other = other.into();
        Self::rounded(self.value + other.value, self.error + other.error)
    }
}

impl<T: Into<Self>> Sub<T> for Ball {
    type Output = Self;
    fn sub(self, other: T) -> Self {
        let other = other.into();
        Self::rounded(self.value - other.value, self.error + other.error)
    }
}

impl<T: Into<Self>> Mul<T> for Ball {
    type Output = Self;
    fn mul(self, other: T) -> Self {
        let other = other.into();
        let error = self.value.abs() * other.error + self.error * (other.value.abs() + other.error);
        Self::rounded(self.value * other.value, error)
    }
}

/// A matrix by rows.
pub(crate) type Matrix<T> = Vec<Vec<T>>;

pub(crate) fn matrix<T>(rows: usize, columns: usize, entry: impl Fn(usize, usize) -> T) -> Matrix<T> {
    let row = |i| (0..columns).map(|j| entry(i, j)).collect();
    (0..rows).map(row).collect()
}

/// The number of columns.
pub(crate) fn width<T>(rows: &Matrix<T>) -> usize {
    rows.first().map_or(0, Vec::len)
}

pub(crate) fn transposed<T: Copy>(rows: &Matrix<T>) -> Matrix<T> {
    matrix(width(rows), rows.len(), |i, j| rows[j][i])
}

pub(crate) fn product<A, B>(left: &Matrix<A>, right: &Matrix<B>) -> Matrix<Ball>
where
    A: Copy + Into<Ball>,
    B: Copy + Into<Ball>,
{
    let mut sums = matrix(left.len(), width(right), |_, _| Ball::default());
    for (sums, left) in zip(&mut sums, left) {
        zip(left, right).for_each(|(&factor, terms)| add_multiple(sums, factor.into(), terms));
    }
    sums
}

/// Adds `factor` times every term.
pub(crate) fn add_multiple<T: Copy + Into<Ball>>(sums: &mut [Ball], factor: Ball, terms: &[T]) {
    zip(sums, terms).for_each(|(sum, &term)| *sum = *sum + factor * term);
}

/// The mean of every row; and of every column, less the mean of all. Rounding does not matter where these are used.
pub(crate) fn means(rows: &Matrix<Ball>) -> [Vec<f64>; 2] {
    let mean = |row: &Vec<Ball>| row.iter().map(|ball| ball.value).sum::<f64>() / row.len() as f64;
    let of_rows: Vec<f64> = rows.iter().map(mean).collect();
    let all = of_rows.iter().sum::<f64>() / rows.len() as f64;
    let of_columns = transposed(rows).iter().map(|column| mean(column) - all).collect();
    [of_rows, of_columns]
}

/// At least the root of the sum of the squares.
pub(crate) fn norm<T: Into<Ball>>(entries: impl IntoIterator<Item = T>) -> f64 {
    let squares = entries.into_iter().map(T::into).map(|entry: Ball| entry * entry);
    squares.fold(Ball::default(), Add::add).upper().sqrt().next_up()
}

/// The largest of these numbers; infinite where one is not a number.
pub(crate) fn largest(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let larger = |most: f64, v: f64| if v.is_nan() { f64::INFINITY } else { most.max(v) };
    numbers.into_iter().fold(f64::NEG_INFINITY, larger)
}

/// What a sum of so many products, in any order, can be off, relative to the sum of their magnitudes (Higham 2002,
/// section 3.1), with unit roundoff `unit`.
pub(crate) fn gamma(terms: usize, unit: f64) -> f64 {
    let ku = terms as f64 * unit;
    // k u / (1 - k u), rounded up; beyond a half nothing is known.
    let gamma = ku / (1.0 - ku) * (1.0 + 4.0 * UNIT);
    if ku < 0.5 { gamma } else { f64::INFINITY }
}

#[cfg(test)]
mod tests;
