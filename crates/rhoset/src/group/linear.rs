//! Groups of matrices over finite fields.

use super::field::Field;
use super::{Group, GroupError};

/// Which determinants are allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Determinant {
    /// Any but zero.
    Unit,
    /// One.
    One,
}

/// An n x n matrix by rows.
type Matrix = Box<[u16]>;

/// `GL`, `SL`, or these by their scalar matrices: the identity first, then sorted by entries. A projective element is
/// the smallest of its matrices.
pub(crate) fn matrices(
    name: String,
    n: usize,
    field: &Field,
    determinant: Determinant,
    projective: bool,
) -> Result<Group, GroupError> {
    let q = field.size();
    let scalars: Vec<u16> = (1..q as u16)
        .filter(|&s| determinant == Determinant::Unit || (0..n).fold(1, |power, _| field.mul(power, s)) == 1)
        .collect();
    let smallest = |matrix: Matrix| -> Matrix {
        if !projective {
            return matrix;
        }
        let multiples = scalars
            .iter()
            .map(|&s| matrix.iter().map(|&entry| field.mul(s, entry)).collect());
        multiples.min().expect("1 is a scalar")
    };
    let mut values: Vec<Matrix> = invertible(n, field);
    values.retain(|matrix| {
        (determinant == Determinant::Unit || self::determinant(matrix, n, field) == 1)
            && (!projective || smallest(matrix.clone()) == *matrix)
    });
    let identity = smallest((0..n * n).map(|i| u16::from(i / n == i % n)).collect());
    let at = values
        .iter()
        .position(|m| *m == identity)
        .expect("the identity is invertible");
    values[..=at].rotate_right(1);
    let group = Group::from_values(name, &values, |a, b| smallest(product(a, b, n, field)))?;
    Ok(group.with_element_names(values.iter().map(|m| brackets(m, n)).collect()))
}

/// `AGL(n, q)`: the maps v -> Av + t, as (n + 1) x (n + 1) matrices with last row 0 ... 0 1.
pub(crate) fn affine(name: String, n: usize, field: &Field) -> Result<Group, GroupError> {
    let q = field.size();
    let mut values: Vec<Matrix> = Vec::new();
    let mut linear = invertible(n, field);
    let identity: Matrix = (0..n * n).map(|i| u16::from(i / n == i % n)).collect();
    let at = linear
        .iter()
        .position(|m| *m == identity)
        .expect("the identity is invertible");
    linear[..=at].rotate_right(1);
    for matrix in &linear {
        for translation in 0..q.pow(n as u32) {
            let entry = |i: usize| match (i / (n + 1), i % (n + 1)) {
                (row, column) if row < n && column < n => matrix[row * n + column],
                (row, _) if row < n => (translation / q.pow((n - 1 - row) as u32) % q) as u16,
                (_, column) => u16::from(column == n),
            };
            values.push((0..(n + 1) * (n + 1)).map(entry).collect());
        }
    }
    let group = Group::from_values(name, &values, |a, b| product(a, b, n + 1, field))?;
    let element_name = |m: &Matrix| {
        let (linear, translation): (Vec<u16>, Vec<u16>) = if n == 1 {
            (vec![m[0]], vec![m[1]])
        } else {
            (
                (0..n * n).map(|i| m[i / n * (n + 1) + i % n]).collect(),
                (0..n).map(|row| m[row * (n + 1) + n]).collect(),
            )
        };
        match n {
            1 => format!("{} x + {}", linear[0], translation[0]),
            _ => format!("{} v + {:?}", brackets(&linear, n), translation),
        }
    };
    Ok(group.with_element_names(values.iter().map(element_name).collect()))
}

/// All invertible matrices, sorted: row by row, each row outside the span of those above.
fn invertible(n: usize, field: &Field) -> Vec<Matrix> {
    let q = field.size();
    let vector = |x: usize| -> Vec<u16> { (0..n).map(|i| (x / q.pow((n - 1 - i) as u32) % q) as u16).collect() };
    let number = |v: &[u16]| v.iter().fold(0, |x, &c| x * q + c as usize);
    // Each partial matrix with the set of vectors that its rows span.
    let mut partial: Vec<(Vec<u16>, Vec<usize>)> = vec![(Vec::new(), vec![0])];
    for row_number in 0..n {
        partial = (partial.iter())
            .flat_map(|(rows, span)| {
                let mut spanned = vec![false; q.pow(n as u32)];
                span.iter().for_each(|&v| spanned[v] = true);
                (0..spanned.len()).filter(move |&v| !spanned[v]).map(move |v| {
                    let row = vector(v);
                    // Nothing is asked of the span of all rows, and it is large.
                    let scalars = if row_number + 1 < n { 0..q as u16 } else { 0..0 };
                    let larger = scalars.flat_map(|c| {
                        let row = &row;
                        span.iter().map(move |&w| {
                            let w = vector(w);
                            let sum: Vec<u16> = (row.iter().zip(&w))
                                .map(|(&r, &w)| field.add(field.mul(c, r), w))
                                .collect();
                            number(&sum)
                        })
                    });
                    ([rows.as_slice(), &row].concat(), larger.collect())
                })
            })
            .collect();
    }
    partial.into_iter().map(|(rows, _)| rows.into_boxed_slice()).collect()
}

fn product(a: &[u16], b: &[u16], n: usize, field: &Field) -> Matrix {
    let entry = |i: usize| {
        let (row, column) = (i / n, i % n);
        (0..n).fold(0, |sum, k| field.add(sum, field.mul(a[row * n + k], b[k * n + column])))
    };
    (0..n * n).map(entry).collect()
}

/// By expansion along the first row: the matrices here are at most 4 x 4.
fn determinant(matrix: &[u16], n: usize, field: &Field) -> u16 {
    if n == 0 {
        return 1;
    }
    let negative = |a: u16| {
        (0..field.size() as u16)
            .find(|&b| field.add(a, b) == 0)
            .expect("fields have negatives")
    };
    (0..n).fold(0, |sum, column| {
        let minor: Vec<u16> = (n..n * n).filter(|i| i % n != column).map(|i| matrix[i]).collect();
        let term = field.mul(matrix[column], determinant(&minor, n - 1, field));
        field.add(sum, if column % 2 == 0 { term } else { negative(term) })
    })
}

/// `[1 0; 0 1]`.
fn brackets(matrix: &[u16], n: usize) -> String {
    let rows: Vec<String> = (matrix.chunks(n))
        .map(|row| row.iter().map(u16::to_string).collect::<Vec<_>>().join(" "))
        .collect();
    format!("[{}]", rows.join("; "))
}
