//! The Fourier transform on a group, and the subspaces of matrix coefficients.

use super::{Irrep, Irreps};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use num_complex::Complex64;

impl Irrep {
    /// `[n, D * D]`: every matrix coefficient as a function on the group.
    pub fn coefficients(&self) -> ArrayView2<'_, f64> {
        let (n, d) = (self.matrices.len_of(Axis(0)), self.dimension());
        self.matrices
            .view()
            .into_shape_with_order((n, d * d))
            .expect("standard layout")
    }

    /// What `<f^, rho(g)>` is multiplied with to give f's part in this irrep: `D / (e n)`, e the commutant's dimension.
    pub fn plancherel(&self) -> f64 {
        let n = self.matrices.len_of(Axis(0));
        self.dimension() as f64 / (self.kind.commutant_dimension() * n) as f64
    }
}

impl Irreps {
    /// The Fourier transform `f^(rho) = sum over g of f(g) rho(g)`: one `[D, D]` matrix per real irrep.
    ///
    /// # Panics
    /// If `f` does not have one entry per element.
    pub fn fourier(&self, f: ArrayView1<f64>) -> Vec<Array2<f64>> {
        self.real
            .iter()
            .map(|irrep| {
                let d = irrep.dimension();
                irrep
                    .coefficients()
                    .t()
                    .dot(&f)
                    .into_shape_with_order((d, d))
                    .expect("D * D entries")
            })
            .collect()
    }

    /// The function with the given transform: `f(g) = sum over rho of D / (e n) <f^(rho), rho(g)>`.
    ///
    /// # Panics
    /// If `transform` is not one `[D, D]` matrix per real irrep.
    pub fn inverse_fourier(&self, transform: &[Array2<f64>]) -> Array1<f64> {
        assert_eq!(transform.len(), self.real.len(), "one matrix per real irrep");
        let mut f = Array1::zeros(self.order);
        for (irrep, matrix) in self.real.iter().zip(transform) {
            let flat = matrix
                .as_standard_layout()
                .into_owned()
                .into_shape_with_order(irrep.dimension().pow(2));
            f.scaled_add(
                irrep.plancherel(),
                &irrep.coefficients().dot(&flat.expect("D * D entries")),
            );
        }
        f
    }

    /// The Fourier transform of a complex function: one `[d, d]` matrix per complex irrep.
    ///
    /// # Panics
    /// If `f` does not have one entry per element.
    pub fn complex_fourier(&self, f: ArrayView1<Complex64>) -> Vec<Array2<Complex64>> {
        assert_eq!(f.len(), self.order, "one entry per element");
        self.complex
            .iter()
            .map(|irrep| {
                let mut sum = Array2::zeros((irrep.degree(), irrep.degree()));
                f.iter()
                    .zip(irrep.matrices.outer_iter())
                    .for_each(|(&value, matrix)| sum.scaled_add(value, &matrix));
                sum
            })
            .collect()
    }

    /// The function with the given complex transform: `f(g) = 1/n sum over rho of d tr(f^(rho) rho(g)*)`.
    ///
    /// # Panics
    /// If `transform` is not one `[d, d]` matrix per complex irrep.
    pub fn inverse_complex_fourier(&self, transform: &[Array2<Complex64>]) -> Array1<Complex64> {
        assert_eq!(transform.len(), self.complex.len(), "one matrix per complex irrep");
        let mut f = Array1::zeros(self.order);
        for (irrep, matrix) in self.complex.iter().zip(transform) {
            let factor = irrep.degree() as f64 / self.order as f64;
            for (value, rho) in f.iter_mut().zip(irrep.matrices.outer_iter()) {
                let trace: Complex64 = matrix.iter().zip(&rho).map(|(a, b)| a * b.conj()).sum();
                *value += trace * factor;
            }
        }
        f
    }

    /// `[n, m]`: the part of m functions (columns) in the matrix coefficients of one real irrep.
    ///
    /// # Panics
    /// If there is no such irrep, or `functions` does not have one row per element.
    pub fn project(&self, irrep: usize, functions: ArrayView2<f64>) -> Array2<f64> {
        let irrep = &self.real[irrep];
        let coefficients = irrep.coefficients();
        coefficients.dot(&coefficients.t().dot(&functions)) * irrep.plancherel()
    }

    /// `[irreps, m]`: the squared norm of each of m functions (columns) in each real irrep; columns add up to the squared
    /// norms of the functions (Parseval).
    ///
    /// # Panics
    /// If `functions` does not have one row per element.
    pub fn energies(&self, functions: ArrayView2<f64>) -> Array2<f64> {
        let mut energies = Array2::zeros((self.real.len(), functions.ncols()));
        for (irrep, mut row) in self.real.iter().zip(energies.rows_mut()) {
            let transform = irrep.coefficients().t().dot(&functions);
            for (energy, column) in row.iter_mut().zip(transform.columns()) {
                *energy = column.iter().map(|v| v * v).sum::<f64>() * irrep.plancherel();
            }
        }
        energies
    }
}
