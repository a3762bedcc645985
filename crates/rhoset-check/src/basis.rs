//! What a basis of functions on the group proves: `docs/soundness.md`, Theorem 7. Nothing need hold of the basis.
//!
//! With `u_i = v_i + du_i` for any `v_i` and `iota_i = act_i - p_i - q_i` for any p and q, every logit is
//! `c(z) + sum_i v_i(z) act_i + A(x, z) + B(y, z) + sum_i du_i(z) iota_i`, where A = sum_i du_i p_i and B = sum_i du_i q_i, and
//! the last sum is at most `|s du(z)| |iota / s|`. Here v_i is what the basis keeps of u_i: `F F' u_i`, or whatever is near it.

use std::iter::zip;

use crate::ball::{Ball, Matrix, matrix, means, norm, product, transposed};
use crate::evaluation::Layer;
use crate::network::Network;

/// Upper bounds on logits.
pub(crate) struct Basis {
    kept: Layer,
    /// `[n, m]`, both: p and q.
    of_left: Matrix<f64>,
    of_right: Matrix<f64>,
    /// `[m]`: 1 / s.
    inverse_scale: Vec<Ball>,
    /// `[n, n]`: A at (x, z), with the bias, and B at (y, z).
    of_x: Matrix<Ball>,
    of_y: Matrix<Ball>,
    /// `[n]`: at least |s du(z)|.
    left_over: Vec<f64>,
}

impl Basis {
    pub(crate) fn new(network: &Network, functions: &Matrix<f64>) -> Self {
        let (n, m) = (network.bias.len(), network.unembed.len());
        let near = product(&product(&network.unembed, functions), &transposed(functions));
        let kept = matrix(m, n, |i, z| near[i][z].value);
        let left_out = matrix(m, n, |i, z| Ball::from(network.unembed[i][z]) - kept[i][z]);
        // p: means over y; q: means over x less the mean; s: the root of the mean square of iota. Any numbers would do.
        let (mut of_left, mut of_right, mut scales) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..m {
            let hidden = matrix(n, n, |x, y| {
                network.activation.of(network.left[x][i] + network.right[y][i])
            });
            let [p, q] = means(&hidden);
            let iota = matrix(n, n, |x, y| hidden[x][y] - p[x] - q[y]);
            let root = |rows: &Matrix<Ball>| norm(rows.concat()) / n as f64;
            let scale = root(&iota).max(1e-6 * root(&hidden));
            scales.push(if scale.is_normal() { scale } else { 1.0 });
            of_left.push(p);
            of_right.push(q);
        }
        let (of_left, of_right) = (transposed(&of_left), transposed(&of_right));
        let of_x = product(&of_left, &left_out);
        let scaled = matrix(n, m, |z, i| left_out[i][z] * scales[i]);
        Self {
            kept: Layer::new(kept),
            of_x: matrix(n, n, |x, z| of_x[x][z] + network.bias[z]),
            of_y: product(&of_right, &left_out),
            left_over: scaled.into_iter().map(norm).collect(),
            inverse_scale: scales.iter().map(|scale| Ball::rounded(1.0 / scale, 0.0)).collect(),
            of_left,
            of_right,
        }
    }

    /// At least every `f(z | x, y)` but the correct one.
    pub(crate) fn bound(&self, (x, y): (usize, usize), correct: usize, hidden: &[Ball]) -> f64 {
        let means = zip(&self.of_left[x], &self.of_right[y]);
        let iotas = zip(hidden, means).map(|(&act, (&p, &q))| act - p - q);
        let scaled = zip(iotas, &self.inverse_scale).map(|(iota, &inverse)| iota * inverse);
        let spread = Ball::from(norm(scaled));
        let rest = |z: usize| self.of_x[x][z] + self.of_y[y][z] + spread * self.left_over[z];
        let rest: Vec<f64> = (0..self.left_over.len()).map(|z| rest(z).upper()).collect();
        self.kept.logits(&rest, hidden, correct).rival().upper()
    }
}
