//! What the circuits prove: `docs/soundness.md`, Theorems 3 to 5.
//!
//! Every logit is `T(x^-1 z y^-1) + T_R(x, z y^-1) + T_L(x^-1 z, y) + A(x, z) + B(y, z) + constant(z)`. The tables are the
//! sums that the theorems name, computed as they are written there; all that they miss is in the constant's error.

use std::iter::zip;

use anyhow::Result;

use crate::ball::{Ball, Matrix, add_multiple, largest, matrix, means, norm, product, transposed};
use crate::certificate::{Certificate, Circuit, Kernel};
use crate::group::Group;
use crate::network::Network;

/// Everything that is known of every logit.
pub(crate) struct Tables<'a> {
    group: &'a Group<'a>,
    /// T and T_R at (x, z y^-1); T_L at (y, x^-1 z).
    right: Matrix<Ball>,
    left: Matrix<Ball>,
    /// A with the constant at (x, z); B at (y, z).
    of_x: Matrix<Ball>,
    of_y: Matrix<Ball>,
}

impl<'a> Tables<'a> {
    /// Of the circuits that the plan uses; every circuit is checked.
    pub(crate) fn new(network: &Network, group: &'a Group, certificate: &Certificate) -> Result<Self> {
        let (m, zeros) = (
            network.unembed.len(),
            matrix(group.order, group.order, |_, _| Ball::default()),
        );
        let mut tables = Self {
            group,
            right: zeros.clone(),
            left: zeros.clone(),
            of_x: zeros.clone(),
            of_y: zeros,
        };
        let mut constant: Vec<Ball> = network.bias.iter().map(|&bias| bias.into()).collect();
        let (mut named, mut explained) = (vec![false; m], vec![false; m]);
        for (c, circuit) in certificate.explanation.circuits.iter().enumerate() {
            let actions = circuit.check(group, &mut named, &format!("explanation.circuits[{c}]"))?;
            if certificate.plan.circuits[c] {
                tables.add(network, circuit, &actions, &mut constant);
                circuit
                    .members
                    .iter()
                    .for_each(|member| explained[member.neuron] = true);
            }
        }
        for i in (0..m).filter(|&i| !explained[i]) {
            // Theorem 3: its activation lies in an interval.
            let most = |rows: &Matrix<Ball>| largest(rows.iter().map(|row| row[i].upper()));
            let least = |rows: &Matrix<Ball>| -largest(rows.iter().map(|row| -row[i].lower()));
            let most = (most(&network.left) + most(&network.right)).next_up().max(0.0);
            let least = (least(&network.left) + least(&network.right)).next_down().max(0.0);
            let middle = least / 2.0 + most / 2.0;
            let half = (most - middle).max(middle - least).next_up();
            add_multiple(&mut constant, Ball::new(middle, half), &network.unembed[i]);
        }
        for row in &mut tables.of_x {
            add_multiple(row, Ball::from(1.0), &constant);
        }
        Ok(tables)
    }

    /// At least every `f(z | x, y)` but the correct one; infinite where nothing is known.
    pub(crate) fn bound(&self, (x, y): (usize, usize), correct: usize) -> f64 {
        let (x_inverse, y_inverse) = (self.group.inverse[x], self.group.inverse[y]);
        let bound = |z: usize| {
            let (forth, back) = (self.group.mul(z, y_inverse), self.group.mul(x_inverse, z));
            (self.right[x][forth] + self.left[y][back] + self.of_x[x][z] + self.of_y[y][z]).upper()
        };
        largest((0..self.group.order).filter(|&z| z != correct).map(bound))
    }

    /// "A pair from x and y alone": the margin at (x, y) is at least `gaps[0][x] + gaps[1][y]`.
    pub(crate) fn gaps(&self) -> [Vec<f64>; 2] {
        [(&self.right, &self.of_x), (&self.left, &self.of_y)].map(|(one_sided, separable)| {
            // z is wrong where z y^-1 is not x, and where x^-1 z is not y.
            let gap = |x: usize| {
                let wrong = one_sided[x].iter().enumerate().filter(|&(w, _)| w != x);
                let lead = one_sided[x][x].lower() - largest(wrong.map(|(_, value)| value.upper()));
                let least = -largest(separable[x].iter().map(|value| -value.lower()));
                let range = largest(separable[x].iter().map(|value| value.upper())) - least;
                (lead.next_down() - range.next_up()).next_down()
            };
            (0..self.group.order).map(gap).collect()
        })
    }

    /// Adds a circuit; x moves its points p and q to `left[x][p]` and `right[x][q]`.
    fn add(&mut self, network: &Network, circuit: &Circuit, [left, right]: &[Matrix<usize>; 2], constant: &mut [Ball]) {
        let (n, a, b) = (self.group.order, left[0].len(), right[0].len());
        // Where x^-1 moves p, by x.
        let back = matrix(n, a, |x, p| left[self.group.inverse[x]][p]);
        // B_P and B_Q, and kappa = B_P X B_Q', a function on pairs of points.
        let bases = |kernel: &Kernel| {
            let (l, r) = (kernel.left_subspace, kernel.right_subspace);
            (&circuit.left_subspaces[l], &circuit.right_subspaces[r])
        };
        let in_full = |kernel: &Kernel| {
            let (of_left, of_right) = bases(kernel);
            product(&product(of_left, &kernel.coordinates), &transposed(of_right))
        };
        let kernels: Vec<Matrix<Ball>> = circuit.kernels.iter().map(in_full).collect();
        // c_ik, by kernel.
        let mut coefficients = vec![Vec::new(); kernels.len()];
        for member in &circuit.members {
            let (i, p, q) = (member.neuron, member.left_point, member.right_point);
            let (phi, psi, unembed) = (&member.left_values, &member.right_values, &network.unembed[i]);
            // Theorem 3: how far the neuron is from its template.
            let of_left = largest((0..n).map(|x| (network.left[x][i] - phi[back[x][p]]).magnitude()));
            let of_right = largest((0..n).map(|y| (network.right[y][i] - psi[right[y][q]]).magnitude()));
            // Theorem 4: what depends on one of the points alone, the coefficients of the kernels, and what is left.
            let template = matrix(a, b, |p, q| (Ball::from(phi[p]) + psi[q]).relu());
            let [row, column] = means(&template);
            let mut core = matrix(a, b, |p, q| template[p][q] - row[p] - column[q]);
            for (kernel, coefficients) in zip(&kernels, &mut coefficients) {
                let entries = zip(core.concat(), kernel.concat());
                let coefficient: f64 = entries.map(|(core, kernel)| core.value * kernel.value).sum();
                core = matrix(a, b, |p, q| core[p][q] - kernel[p][q] * coefficient);
                coefficients.push(coefficient);
            }
            let missed = largest(core.concat().into_iter().map(Ball::magnitude));
            let off = (Ball::from(of_left) + of_right + missed).upper();
            add_multiple(constant, Ball::new(0.0, off), unembed);
            for x in 0..n {
                add_multiple(&mut self.of_x[x], row[back[x][p]].into(), unembed);
                add_multiple(&mut self.of_y[x], column[right[x][q]].into(), unembed);
            }
        }
        for (k, kernel) in circuit.kernels.iter().enumerate() {
            // What is two-sided is one-sided: alpha goes with beta.
            let entry = |table: &Option<Matrix<f64>>, p: usize, q: usize| {
                table.as_ref().map_or(Ball::default(), |rows| rows[p][q].into())
            };
            let beta = matrix(a, b, |p, q| entry(&kernel.right, p, q) + kernel.two_sided[p][q]);
            let gamma = matrix(a, b, |p, q| entry(&kernel.left, p, q));
            // Theorem 5: at least |sum of R_pq kappa(x^-1 p, y q)| for every x and y is the smaller of two bounds.
            let (of_left, of_right) = bases(kernel);
            let ([o_p, d_p], [o_q, d_q]) = (defects(of_left, left), defects(of_right, right));
            let applies = largest([o_p, d_p, o_q, d_q]) <= 0.25;
            let (size_of_x, size_of_kappa) = (norm(kernel.coordinates.concat()), norm(kernels[k].concat()));
            let inside = (Ball::from(1.0) + o_p) * (Ball::from(1.0) + o_q) * size_of_x;
            let beyond = (Ball::from(d_p) + d_q) * 2.0 * size_of_x;
            let dual = transposed(of_left);
            for z in 0..n {
                // R_pq(z): what W_pq(z) has besides its equivariant parts.
                let (back, forth) = (&back[z], &right[z]);
                let mut residual = matrix(a, b, |p, q| Ball::default() - beta[p][forth[q]] - gamma[back[p]][q]);
                for (member, &coefficient) in zip(&circuit.members, &coefficients[k]) {
                    let entry = &mut residual[member.left_point][member.right_point];
                    *entry = *entry + Ball::from(network.unembed[member.neuron][z]) * coefficient;
                }
                let projected = product(&product(&dual, &residual), of_right);
                let (all, kept) = (Ball::from(norm(residual.concat())), norm(projected.concat()));
                let bounds = [all * size_of_kappa, inside * kept + all * beyond].map(Ball::upper);
                let left_over = if applies { bounds[0].min(bounds[1]) } else { bounds[0] };
                constant[z] = constant[z] + Ball::new(0.0, left_over);
            }
            add_one_sided(&mut self.right, &beta, &transposed(&kernels[k]), [&back, right]);
            add_one_sided(&mut self.left, &transposed(&gamma), &kernels[k], [right, &back]);
        }
    }
}

/// Adds `sum over p, q of table(p, w q) kappa(x^-1 p, q)` at (x, w), where `dual` is the transpose of kappa: T_R, or T_L
/// with the sides exchanged.
fn add_one_sided(sums: &mut Matrix<Ball>, table: &Matrix<Ball>, dual: &Matrix<Ball>, moves: [&Matrix<usize>; 2]) {
    let [back, forth] = moves;
    let (a, b) = (table.len(), dual.len());
    for w in 0..sums.len() {
        // By p and where x^-1 moves it.
        let pooled = product(&matrix(a, b, |p, q| table[p][forth[w][q]]), dual);
        for (x, row) in sums.iter_mut().enumerate() {
            row[w] = (0..a).fold(row[w], |sum, p| sum + pooled[p][back[x][p]]);
        }
    }
}

/// o and d of Theorem 5: how far a basis is from orthonormal, and its span from being moved into itself.
fn defects(basis: &Matrix<f64>, action: &Matrix<usize>) -> [f64; 2] {
    let dual = transposed(basis);
    let difference = |a: Matrix<Ball>, b: Matrix<f64>| norm(zip(a.concat(), b.concat()).map(|(a, b)| a - b));
    let identity = matrix(dual.len(), dual.len(), |i, j| f64::from(i == j));
    let of_element = |moved: &Vec<usize>| {
        // (1 - B B') P_g B, for the inverse of every element.
        let moved: Matrix<f64> = moved.iter().map(|&p| basis[p].clone()).collect();
        difference(product(basis, &product(&dual, &moved)), moved)
    };
    let invariant = largest(action.iter().map(of_element));
    [difference(product(&dual, basis), identity), invariant]
}
