//! The paper's verifier from rho-sets (V_irrep): one margin for all inputs, minus what the network deviates.
//!
//! Let f^ be the idealised network of an explanation: `f^(z | x, y) = F(x^-1 z y^-1)` exactly, for a table F of n
//! numbers. With `err(x, y) >= f(z | x, y) - f^(z | x, y)` for every z != xy, the pair (x, y) is right if
//!
//! ```text
//! f(xy | x, y)  >  max over w != e of F(w)  +  err(x, y)
//! ```
//!
//! and err is bounded by Cauchy-Schwarz over the neurons, O(m) for each pair (`docs/soundness-explanations.md`).
//! Beside the paper's bound, neurons have weights in the norms, each circuit has a norm of its own, constants are split
//! off activations and logits, and neurons of one pair are merged. Wu et al. 2025, section 6.

use std::time::Instant;

use multiversion::multiversion;
use ndarray::{Array1, Array2, ArrayView1};
use rayon::prelude::*;

use super::{Verification, rounding};
use crate::explain::Explanation;
use crate::explain::idealised::{IdealisedError, RhoSetExplanation, Template};
use crate::group::{Element, Group};
use crate::irrep::Irreps;
use crate::network::{Activation, Folded};

/// Twice `gamma_k` of float64, so that the rounding of the bounds themselves is covered.
pub(super) fn gamma(terms: usize) -> f64 {
    2.0 * rounding::gamma(terms, rounding::UNIT)
}

/// Neurons that a circuit may have for each neuron of the network, before it costs more to use than to leave out.
const PAIRS_PER_NEURON: usize = 8;

/// How often [`search`] goes on in a direction that helps.
const STEPS: usize = 4;

/// Share of the neurons' summed reach that is given away for not having to look at the weakest of them: weight decay
/// leaves many neurons that do nothing.
const NEGLIGIBLE: f64 = 1e-5;

/// Doubles that one step of the inner loop takes: a cache line.
const LANES: usize = 8;

/// Proves what the explanation proves of the network. Sound whatever the explanation says.
///
/// # Errors
/// If the explanation cannot be about this network: wrong lengths, indices, irreps, sets that are no subgroups; or if
/// the activation is not relu.
pub fn verify(
    network: &Folded,
    group: &Group,
    irreps: &Irreps,
    explanation: &RhoSetExplanation,
) -> Result<Verification, IdealisedError> {
    let start = Instant::now();
    let checker = Checker::new(network, group, irreps, explanation)?;
    let margins = checker.margins(group);
    Ok(conclude(&margins, checker.order, start, checker.flops))
}

/// Lower bounds on the margins `f(xy | x, y) - max over z != xy of f(z | x, y)`: `[n, n]`, indexed by x and y.
///
/// # Errors
/// As [`verify`].
pub fn margins(
    network: &Folded,
    group: &Group,
    irreps: &Irreps,
    explanation: &RhoSetExplanation,
) -> Result<Array2<f64>, IdealisedError> {
    let checker = Checker::new(network, group, irreps, explanation)?;
    let margins = checker.margins(group);
    Ok(Array2::from_shape_vec((checker.order, checker.order), margins).expect("n x n margins"))
}

/// The explanation that proves most, among those that one reading of the network allows. A search: none of its time is
/// the verification's.
///
/// Circuits with few pairs present cost more than they explain, so it tries leaving them out, then each circuit by
/// itself, then making each circuit weaker or stronger.
///
/// # Errors
/// As [`verify`].
pub fn search(
    network: &Folded,
    group: &Group,
    irreps: &Irreps,
    explanation: &Explanation,
) -> Result<RhoSetExplanation, IdealisedError> {
    let score = |candidate: &RhoSetExplanation| -> Result<(usize, f64), IdealisedError> {
        let margins = margins(network, group, irreps, candidate)?;
        let certified = margins.iter().filter(|&&m| m > 0.0).count();
        let sum: f64 = margins.iter().sum();
        Ok((certified, if sum.is_nan() { f64::NEG_INFINITY } else { sum }))
    };
    let propose = |least| explanation.rho_set_explanation(network, group, irreps, least);
    let mut best = propose(0.0);
    let mut best_score = score(&best)?;
    let mut improve = |best: &mut RhoSetExplanation, candidate: RhoSetExplanation| -> Result<bool, IdealisedError> {
        let scored = score(&candidate)?;
        let better = scored > best_score;
        if better {
            (*best, best_score) = (candidate, scored);
        }
        Ok(better)
    };
    for least in [0.5, 0.9] {
        improve(&mut best, propose(least))?;
    }
    for circuit in (0..best.circuits.len()).rev() {
        let without = best.without(circuit, network, group, irreps);
        improve(&mut best, without)?;
    }
    for circuit in 0..best.circuits.len() {
        for step in [0.9, 1.1, 0.97, 1.03] {
            for _ in 0..STEPS {
                let mut scaled = best.clone();
                scaled.circuits[circuit].coefficient *= step;
                if !improve(&mut best, scaled)? {
                    break;
                }
            }
        }
    }
    Ok(best)
}

/// The neurons of one circuit, or those of none: a range of columns, padded to whole lanes, and what bounds their error.
struct Block {
    columns: std::ops::Range<usize>,
    /// `max_z |u_z|` over the block's neurons, in the weighted norm.
    unembed_norm: f64,
    /// Norm of the rounding errors of the block's differences.
    rounding: f64,
}

/// Everything that does not depend on the pair (x, y). Columns are neurons, sorted into blocks and weighted.
struct Checker {
    order: usize,
    width: usize,
    blocks: Vec<Block>,
    /// `[n, width]` each: q l, q r and their idealisations q s phi(g^-1 x), q s psi(y k).
    left: Vec<f64>,
    right: Vec<f64>,
    ideal_left: Vec<f64>,
    ideal_right: Vec<f64>,
    /// `[width]`: q mu.
    offset: Vec<f64>,
    /// `[n, width]`, by z: (u - mean over z) / q.
    unembed: Vec<f64>,
    bias: Vec<f64>,
    /// For each z: what the other logits may reach, apart from the blocks' differences: the largest over z' != z.
    others: Vec<f64>,
    /// Bound on the rounding error of everything above and of the correct logit.
    slack: f64,
    flops: f64,
}

impl Checker {
    fn new(
        network: &Folded,
        group: &Group,
        irreps: &Irreps,
        explanation: &RhoSetExplanation,
    ) -> Result<Self, IdealisedError> {
        check(network, group, explanation)?;
        let (order, neurons) = (network.order(), network.neurons());
        let limit = PAIRS_PER_NEURON * neurons.max(LANES);
        // Circuits that are too large are left out, and their neurons with them: weaker, not wrong.
        let mut templates: Vec<Option<Template>> = Vec::new();
        for (index, circuit) in explanation.circuits.iter().enumerate() {
            let template = circuit.tabulate(index, group, irreps)?;
            templates.push(Some(template).filter(|t| t.pairs() <= limit));
        }
        let (negligible, reach) = negligible(network);
        let mut blocks_of: Vec<Vec<usize>> = vec![Vec::new(); templates.len() + 1];
        for (neuron, member) in explanation.members.iter().enumerate() {
            if negligible[neuron] {
                continue;
            }
            let circuit = member.map(|m| m.circuit).filter(|&c| templates[c].is_some());
            blocks_of[circuit.unwrap_or(templates.len())].push(neuron);
        }
        let width = blocks_of.iter().map(|b| b.len().next_multiple_of(LANES)).sum();
        let mut checker = Self {
            order,
            width,
            blocks: Vec::new(),
            left: vec![0.0; order * width],
            right: vec![0.0; order * width],
            ideal_left: vec![0.0; order * width],
            ideal_right: vec![0.0; order * width],
            offset: vec![0.0; width],
            unembed: vec![0.0; order * width],
            bias: network.bias.to_vec(),
            others: Vec::new(),
            // Negligible neurons may lower the correct logit and raise another, each by their reach.
            slack: 2.0 * reach,
            flops: 4.0 * (order * neurons) as f64,
        };
        // What every logit gets from constants and from the deviation of unembeddings: M(z) of the theorem.
        let mut common = Array1::from(checker.bias.clone());
        let mut magnitude = checker.bias.iter().fold(0.0_f64, |m, t| m.max(t.abs()));
        let mut ideal = vec![0.0; order];
        let mut start = 0;
        for (index, members) in blocks_of.iter().enumerate() {
            let template = templates.get(index).and_then(Option::as_ref);
            let columns = start..start + members.len().next_multiple_of(LANES);
            start = columns.end;
            checker.fill(network, group, explanation, members, columns.start, template);
            checker.bound_block(
                network,
                explanation,
                members,
                columns.clone(),
                &mut common,
                &mut magnitude,
            );
            if let Some(template) = template {
                let factors: Vec<(usize, f64)> = members
                    .iter()
                    .map(|&i| {
                        let member = explanation.members[i].expect("members of a circuit are in it");
                        (
                            template.pair(member.left, member.right),
                            member.scale * weight(explanation, i),
                        )
                    })
                    .collect();
                checker.bound_circuit(
                    group,
                    template,
                    &factors,
                    columns.start,
                    &mut common,
                    &mut ideal,
                    &mut magnitude,
                );
            }
        }
        checker.conclude(group, &common, &ideal, magnitude);
        Ok(checker)
    }

    /// Writes the columns of one block.
    fn fill(
        &mut self,
        network: &Folded,
        group: &Group,
        explanation: &RhoSetExplanation,
        members: &[usize],
        first: usize,
        template: Option<&Template>,
    ) {
        for (column, &i) in (first..).zip(members) {
            let q = weight(explanation, i);
            self.offset[column] = q * explanation.offsets[i];
            // The same for all z, so it moves no margin; any number would do.
            let mean = network.unembed.row(i).sum() / self.order as f64;
            let place = template.zip(explanation.members[i]);
            let inverse = place.map(|(_, member)| group.inv(member.left));
            for x in group.elements() {
                let at = x.index() * self.width + column;
                self.left[at] = q * network.left[[x.index(), i]];
                self.right[at] = q * network.right[[x.index(), i]];
                self.unembed[at] = (network.unembed[[i, x.index()]] - mean) / q;
                if let (Some((template, member)), Some(inverse)) = (place, inverse) {
                    let scale = q * member.scale;
                    self.ideal_left[at] = scale * template.left[group.mul(inverse, x).index()];
                    self.ideal_right[at] = scale * template.right[group.mul(x, member.right).index()];
                }
            }
        }
        self.flops += 5.0 * (self.order * members.len()) as f64;
    }

    /// Norms and rounding of a block, and what its offsets add to the logits.
    fn bound_block(
        &mut self,
        network: &Folded,
        explanation: &RhoSetExplanation,
        members: &[usize],
        columns: std::ops::Range<usize>,
        common: &mut Array1<f64>,
        magnitude: &mut f64,
    ) {
        let largest = |values: &[f64], column: usize| {
            (0..self.order).fold(0.0_f64, |m, x| m.max(values[x * self.width + column].abs()))
        };
        let mut rounding = 0.0;
        let mut slack = 0.0;
        for (column, &i) in columns.clone().zip(members) {
            let folding = weight(explanation, i) * (network.left_error[i] + network.right_error[i]);
            let real = largest(&self.left, column) + largest(&self.right, column);
            let ideal = largest(&self.ideal_left, column) + largest(&self.ideal_right, column);
            let unembed = largest(&self.unembed, column);
            let offset = self.offset[column].abs();
            // Each difference: two sums, two rounded products, two subtractions.
            rounding += (folding + gamma(8) * (real + ideal + offset)).powi(2);
            // The correct logit: a sum of m products of the activation, itself off by the folding.
            slack += unembed * (folding + gamma(self.width + 8) * (real + folding));
            *magnitude += unembed * offset;
        }
        let mut unembed_norm = 0.0_f64;
        for z in 0..self.order {
            let row = &self.unembed[z * self.width..][columns.clone()];
            common[z] += row
                .iter()
                .zip(&self.offset[columns.clone()])
                .map(|(u, mu)| u * mu)
                .sum::<f64>();
            unembed_norm = larger(unembed_norm, row.iter().map(|u| u * u).sum());
        }
        self.slack += slack;
        self.blocks.push(Block {
            unembed_norm: unembed_norm.sqrt() * (1.0 + gamma(self.width + 8)) + f64::MIN_POSITIVE,
            rounding: rounding.sqrt() * (1.0 + gamma(self.width + 8)) + 1e-150,
            columns,
        });
        self.flops += 4.0 * (self.order * members.len()) as f64;
    }

    /// Adds a circuit to the idealised table F, and its deviating unembeddings to what every logit gets.
    #[allow(clippy::too_many_arguments)]
    fn bound_circuit(
        &mut self,
        group: &Group,
        template: &Template,
        factors: &[(usize, f64)],
        first: usize,
        common: &mut Array1<f64>,
        ideal: &mut [f64],
        magnitude: &mut f64,
    ) {
        let (order, pairs) = (self.order, template.pairs());
        let many = gamma(pairs + factors.len() + 16);
        // By equivariance the activations at every (x, y) are those at (e, e), in another order.
        let activations: Vec<f64> = template
            .representatives()
            .map(|(g, k)| (template.left[group.inv(g).index()] + template.right[k.index()]).max(0.0))
            .collect();
        let mean = activations.iter().sum::<f64>() / pairs as f64;
        let deviation = activations.iter().map(|t| (t - mean) * (t - mean)).sum::<f64>().sqrt();
        let largest = |f: &Array1<f64>| f.iter().fold(0.0_f64, |m, t| m.max(t.abs()));
        let reach = largest(&template.left) + largest(&template.right);
        let deviation = deviation * (1.0 + many) + gamma(4) * reach * (pairs as f64).sqrt() + 1e-150;
        let gamma_largest = largest(&template.unembed);

        // E_p(z) = sum of the pair's members' s u - gamma_p(z), and F.
        let mut deviating = vec![0.0; pairs * order];
        let mut sizes = vec![gamma_largest; pairs];
        for (pair, (g, k)) in template.representatives().enumerate() {
            let row = &mut deviating[pair * order..][..order];
            let inverse = group.inv(g);
            for (z, (entry, total)) in group.elements().zip(row.iter_mut().zip(ideal.iter_mut())) {
                let unembed = template.unembed[group.mul(group.mul(inverse, z), k).index()];
                *entry = -unembed;
                *total += unembed * activations[pair];
            }
            *magnitude += gamma_largest * activations[pair];
        }
        for (column, &(pair, factor)) in (first..).zip(factors) {
            let mut size = 0.0_f64;
            for (z, entry) in deviating[pair * order..][..order].iter_mut().enumerate() {
                let term = factor * self.unembed[z * self.width + column];
                *entry += term;
                size = size.max(term.abs());
            }
            sizes[pair] += size;
        }
        let rounding = many * sizes.iter().map(|s| s * s).sum::<f64>().sqrt();
        for (z, total) in common.iter_mut().enumerate() {
            let (mut sum, mut squares) = (0.0, 0.0);
            for pair in 0..pairs {
                let entry = deviating[pair * order + z];
                sum += entry;
                squares += entry * entry;
            }
            *total += mean * sum + (squares.sqrt() * (1.0 + many) + rounding) * deviation * (1.0 + many);
        }
        let size = sizes.iter().sum::<f64>();
        *magnitude += mean.abs() * size + size * deviation;
        self.slack += mean.abs() * many * size;
        self.flops += (order * (7 * pairs + 2 * factors.len())) as f64;
    }

    /// Puts the tables together: what the logits other than z can reach.
    fn conclude(&mut self, group: &Group, common: &Array1<f64>, ideal: &[f64], magnitude: f64) {
        let terms = self.width + 16 + self.blocks.len() + ideal.len();
        // `magnitude` bounds the sum of the absolute terms of any entry of the tables.
        self.slack += gamma(terms + PAIRS_PER_NEURON * self.width.max(LANES) * self.blocks.len()) * 2.0 * magnitude;
        let identity = group.identity().index();
        let ideal = ideal.iter().enumerate().filter(|(w, _)| *w != identity);
        let ideal = ideal.map(|(_, &value)| value).fold(f64::NEG_INFINITY, larger);
        let (mut first, mut second, mut best) = (f64::NEG_INFINITY, f64::NEG_INFINITY, usize::MAX);
        for (z, &value) in common.iter().enumerate() {
            if best == usize::MAX || larger(first, value).is_nan() || value > first {
                (second, first, best) = (first, larger(first, value), z);
            } else {
                second = larger(second, value);
            }
        }
        self.others = (0..self.order)
            .map(|z| ideal + if z == best { second } else { first })
            .collect();
        self.flops += 10.0 * (self.order * self.order * self.width) as f64;
    }

    /// The margin bounds of all pairs, row by row.
    fn margins(&self, group: &Group) -> Vec<f64> {
        let order = self.order;
        let mut margins = vec![f64::INFINITY; order * order];
        if order == 1 {
            return margins;
        }
        margins.par_chunks_mut(order).enumerate().for_each(|(x, margins)| {
            let row = Row {
                left: &self.left[x * self.width..][..self.width],
                ideal_left: &self.ideal_left[x * self.width..][..self.width],
                products: group.row(Element(x as u16)),
            };
            row_margins(self, &row, margins);
        });
        margins
    }
}

/// What margin bounds prove of accuracy and cross-entropy, by `-log p <= log(1 + (n - 1) exp(-margin))`.
pub(super) fn conclude(margins: &[f64], order: usize, start: Instant, flops: f64) -> Verification {
    let certified_pairs = margins.iter().filter(|&&margin| margin > 0.0).count();
    let seconds = start.elapsed().as_secs_f64();
    let rivals = (order as f64 - 1.0).ln();
    let loss = |margin: f64| {
        let exponent = rivals - margin;
        if exponent > 0.0 {
            exponent + (-exponent).exp().ln_1p()
        } else {
            exponent.exp().ln_1p()
        }
    };
    let cross_entropy = margins.iter().map(|&margin| loss(margin)).sum::<f64>() / margins.len() as f64;
    // Roundings of n^2 terms, none negative, and of the functions, whose exponents are below 750 where they matter.
    let cross_entropy = cross_entropy * (1.0 + gamma(margins.len() + 4096)) + f64::MIN_POSITIVE;
    Verification {
        pairs: margins.len(),
        certified_pairs,
        accuracy_bound: certified_pairs as f64 / margins.len() as f64,
        cross_entropy_bound: Some(cross_entropy).filter(|bound| bound.is_finite()),
        seconds,
        flops: flops as u64,
    }
}

/// What the inner loop needs of one x.
struct Row<'a> {
    left: &'a [f64],
    ideal_left: &'a [f64],
    products: &'a [Element],
}

/// Margin bounds for one x and all y: the O(m n^2) part. Per neuron two sums, two relus, a difference and its square,
/// and a term of the correct logit, on whole cache lines.
#[multiversion(targets(
    "x86_64+avx+avx2+fma+avx512f+avx512dq+avx512vl+avx512bw",
    "x86_64+avx+avx2+fma",
    "aarch64+neon"
))]
fn row_margins(checker: &Checker, row: &Row, margins: &mut [f64]) {
    let width = checker.width;
    let stretch = 1.0 + gamma(width + 16);
    for (y, (margin, xy)) in margins.iter_mut().zip(row.products).enumerate() {
        let right = &checker.right[y * width..][..width];
        let ideal_right = &checker.ideal_right[y * width..][..width];
        let unembed = &checker.unembed[xy.index() * width..][..width];
        let mut logits = [0.0; LANES];
        let mut error = 0.0;
        for block in &checker.blocks {
            let mut squares = [0.0; LANES];
            let mut at = block.columns.start;
            while at < block.columns.end {
                let lane = |values: &[f64]| -> [f64; LANES] {
                    values[at..at + LANES].try_into().expect("blocks are whole lanes")
                };
                let (l, r, u) = (lane(row.left), lane(right), lane(unembed));
                let (il, ir, mu) = (lane(row.ideal_left), lane(ideal_right), lane(&checker.offset));
                for j in 0..LANES {
                    let activation = relu(l[j] + r[j]);
                    let difference = activation - relu(il[j] + ir[j]) - mu[j];
                    squares[j] += difference * difference;
                    logits[j] += u[j] * activation;
                }
                at += LANES;
            }
            let norm = squares.iter().sum::<f64>().sqrt();
            error += block.unembed_norm * (norm * stretch + block.rounding);
        }
        let logit = logits.iter().sum::<f64>() + checker.bias[xy.index()];
        let others = checker.others[xy.index()];
        // The last few roundings, relative to what they round.
        let slack = checker.slack + gamma(16 + checker.blocks.len()) * (logit.abs() + others.abs() + error);
        *margin = logit - others - error - slack;
    }
}

/// Neurons that even together can hardly move a logit, and how much they can: `max |u - mean u| * max activation`
/// bounds what one adds to any logit, apart from a constant common to all logits.
fn negligible(network: &Folded) -> (Vec<bool>, f64) {
    let largest = |f: ArrayView1<f64>| f.iter().copied().fold(f64::NEG_INFINITY, larger);
    let reach: Vec<f64> = (0..network.neurons())
        .map(|i| {
            let unembed = network.unembed.row(i);
            let mean = unembed.sum() / unembed.len() as f64;
            let votes = unembed.iter().fold(0.0, |m, u| larger(m, (u - mean).abs()));
            let (left, right) = (largest(network.left.column(i)), largest(network.right.column(i)));
            let folding = network.left_error[i] + network.right_error[i];
            let rounding = gamma(8) * (left.abs() + right.abs() + folding);
            votes * (relu(left + right + folding) + rounding) * (1.0 + gamma(8))
        })
        .collect();
    let budget = NEGLIGIBLE * reach.iter().sum::<f64>();
    let mut order: Vec<usize> = (0..reach.len()).collect();
    order.sort_by(|&i, &j| reach[i].total_cmp(&reach[j]));
    let (mut negligible, mut total) = (vec![false; reach.len()], 0.0);
    for i in order {
        // Never for NaN.
        if total + reach[i] <= budget {
            negligible[i] = true;
            total += reach[i];
        }
    }
    (negligible, total * (1.0 + gamma(reach.len() + 8)))
}

/// `max(t, 0)`, but NaN for NaN, so that what is no number proves nothing.
#[inline(always)]
pub(super) fn relu(t: f64) -> f64 {
    if t < 0.0 { 0.0 } else { t }
}

/// The larger number; NaN if either is.
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The neuron's factor in the norms: a power of two, so that scaling by it is exact.
fn weight(explanation: &RhoSetExplanation, neuron: usize) -> f64 {
    f64::from(explanation.weights[neuron].clamp(-60, 60)).exp2()
}

/// That the explanation is about this network at all.
fn check(network: &Folded, group: &Group, explanation: &RhoSetExplanation) -> Result<(), IdealisedError> {
    check_network(network, group)?;
    let neurons = network.neurons();
    for described in [
        explanation.members.len(),
        explanation.offsets.len(),
        explanation.weights.len(),
    ] {
        if described != neurons {
            return Err(IdealisedError::WrongNeurons { described, neurons });
        }
    }
    let order = group.order();
    for (neuron, member) in explanation.members.iter().enumerate() {
        if let Some(member) = *member {
            let inside = member.circuit < explanation.circuits.len()
                && member.left.index() < order
                && member.right.index() < order;
            if !(inside && member.scale > 0.0 && member.scale.is_finite()) {
                return Err(IdealisedError::WrongMember { neuron, member });
            }
        }
    }
    Ok(())
}

/// That the network is over this group and its activation is relu.
pub(super) fn check_network(network: &Folded, group: &Group) -> Result<(), IdealisedError> {
    if network.activation != Activation::Relu {
        return Err(IdealisedError::WrongNetwork(format!(
            "the verifiers from rho-sets and cosets are about relu networks, this one has activation {:?}",
            network.activation
        )));
    }
    if network.order() != group.order() {
        return Err(IdealisedError::WrongNetwork(format!(
            "the network has {} elements, the group {}",
            network.order(),
            group.order()
        )));
    }
    Ok(())
}
