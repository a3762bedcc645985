//! Complex irreps inside real ones.
//!
//! A real irrep of complex or quaternionic type commutes with some J, `J^2 = -1`; the eigenspace of J at i is a complex
//! irrep of half the dimension. J is the skew part of a random matrix averaged over the group, scaled.

use super::{ComplexIrrep, FrobeniusSchur, Irrep};
use crate::group::Group;
use ndarray::{Array1, Array2, Array3, Axis};
use num_complex::Complex64;
use rand::{RngExt, SeedableRng};

/// The complex irreps of all real ones: one each of real and quaternionic type, two conjugates of complex type.
pub(super) fn split_all(group: &Group, real: &[Irrep], seed: u64) -> Vec<ComplexIrrep> {
    let mut complex = Vec::new();
    for (index, irrep) in real.iter().enumerate() {
        let (name, kind) = (irrep.name().to_owned(), irrep.kind());
        if kind == FrobeniusSchur::Real {
            let matrices = irrep.matrices.mapv(|v| Complex64::new(v, 0.0));
            complex.push(ComplexIrrep {
                name,
                kind,
                real: index,
                matrices,
            });
            continue;
        }
        let matrices = eigenspace_representation(group, irrep, seed);
        let conjugate = matrices.mapv(|v| v.conj());
        complex.push(ComplexIrrep {
            name: name.clone(),
            kind,
            real: index,
            matrices,
        });
        if kind == FrobeniusSchur::Complex {
            complex.push(ComplexIrrep {
                name: format!("{name}*"),
                kind,
                real: index,
                matrices: conjugate,
            });
        }
    }
    complex
}

/// The irrep on the eigenspace of J at i.
fn eigenspace_representation(group: &Group, irrep: &Irrep, seed: u64) -> Array3<Complex64> {
    let d = irrep.dimension();
    let structure = complex_structure(group, irrep, seed);
    // (1 - iJ) / 2 projects onto the eigenspace; Gram and Schmidt pick a basis from its columns.
    let mut basis: Vec<Array1<Complex64>> = Vec::with_capacity(d / 2);
    for column in 0..d {
        let mut v = Array1::from_shape_fn(d, |i| {
            Complex64::new(f64::from(u8::from(i == column)) / 2.0, -structure[[i, column]] / 2.0)
        });
        for _ in 0..2 {
            for b in &basis {
                let inner: Complex64 = b.iter().zip(&v).map(|(b, v)| b.conj() * v).sum();
                v.scaled_add(-inner, b);
            }
        }
        let norm = v.iter().map(|v| v.norm_sqr()).sum::<f64>().sqrt();
        if norm > 1e-3 && basis.len() < d / 2 {
            basis.push(v / Complex64::new(norm, 0.0));
        }
    }
    let columns: Vec<_> = basis.iter().map(|b| b.view()).collect();
    let basis = ndarray::stack(Axis(1), &columns).expect("columns of one length");
    let adjoint: Array2<Complex64> = basis.t().mapv(|v| v.conj());
    let mut matrices = Array3::zeros((group.order(), d / 2, d / 2));
    for g in group.elements() {
        let complex = irrep.matrix(g).mapv(|v| Complex64::new(v, 0.0));
        matrices
            .index_axis_mut(Axis(0), g.index())
            .assign(&adjoint.dot(&complex).dot(&basis));
    }
    matrices
}

/// An orthogonal skew matrix that commutes with the irrep.
fn complex_structure(group: &Group, irrep: &Irrep, seed: u64) -> Array2<f64> {
    let d = irrep.dimension();
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed ^ 0x4a);
    loop {
        let random = Array2::from_shape_simple_fn((d, d), || rng.random_range(-1.0..1.0));
        let mut average = Array2::<f64>::zeros((d, d));
        for g in group.elements() {
            let matrix = irrep.matrix(g);
            average += &matrix.dot(&random).dot(&matrix.t());
        }
        let skew = &average - &average.t();
        // The skew part of the commutant is R J, or the span of I, J, K: its square is a negative number.
        let scale = (skew.iter().map(|v| v * v).sum::<f64>() / d as f64).sqrt();
        if scale > 1e-3 * group.order() as f64 / d as f64 {
            return skew / scale;
        }
    }
}
