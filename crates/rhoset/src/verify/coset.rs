//! The paper's verifier from cosets (V_coset): neurons replaced by their averages over cosets.
//!
//! Neuron i is idealised by its average `l^` over the right cosets `H x`, `r^` over the left cosets `y K` and `u^` over
//! the double cosets `H z K` of subgroups H and K. Neurons with the same H and K form a class, whose part of any logit
//! depends on the cosets alone: its largest is a table over pairs of cosets, and so is the gap between the double coset
//! with the largest and the next. A wrong answer z != xy lies in another double coset than xy for some classes, s(xy) of
//! them at least; each of those loses its gap where xy is in its best double coset. Hence for every z != xy
//!
//! ```text
//! f(z | x, y)  <=  max bias + sum over classes of largest - (the s(xy) smallest gaps) + err(x, y)
//! ```
//!
//! with err as in [`super::rho_set`]. Where classes do not each favour xy, as on S5, this proves nothing, and the figure
//! says so (Stander et al. 2024; Wu et al. 2025, section 6). Soundness: `docs/soundness-explanations.md`.

use std::collections::BTreeMap;
use std::time::Instant;

use ndarray::{Array1, Array2};
use rayon::prelude::*;

use super::Verification;
use super::rho_set::{check_network, conclude, gamma, larger, relu};
use crate::explain::idealised::{CosetExplanation, IdealisedError, averaged};
use crate::group::{Element, Group, Subgroup};
use crate::network::Folded;

/// Proves what the cosets prove of the network. Sound whatever the explanation says.
///
/// # Errors
/// If the explanation cannot be about this network, a set is no subgroup, or the activation is not relu.
pub fn verify(network: &Folded, group: &Group, explanation: &CosetExplanation) -> Result<Verification, IdealisedError> {
    let start = Instant::now();
    let checker = Checker::new(network, group, explanation)?;
    let margins = checker.margins(group);
    Ok(conclude(&margins, group.order(), start, checker.flops))
}

/// Lower bounds on the margins `f(xy | x, y) - max over z != xy of f(z | x, y)`: `[n, n]`, indexed by x and y.
///
/// # Errors
/// As [`verify`].
pub fn margins(network: &Folded, group: &Group, explanation: &CosetExplanation) -> Result<Array2<f64>, IdealisedError> {
    let margins = Checker::new(network, group, explanation)?.margins(group);
    Ok(Array2::from_shape_vec((group.order(), group.order()), margins).expect("n x n margins"))
}

/// Neurons with the same H and K; those without any form a class that is idealised as zero.
struct Class {
    neurons: Vec<usize>,
    /// Number of the right coset `H x`, of the left coset `y K`.
    left: Vec<usize>,
    right: Vec<usize>,
    right_count: usize,
    /// Number of the double coset `H z K`.
    double: Vec<usize>,
    /// By pair of cosets.
    best: Vec<Best>,
    /// `max_z |u_z|` and `max_z |u_z - u^_z|` over the class, with their rounding.
    unembed_norm: f64,
    deviation_norm: f64,
    rounding: f64,
}

/// What a class can add to a logit, for one pair of cosets.
#[derive(Clone, Copy)]
struct Best {
    /// The most, with its rounding, and the double coset that has it.
    largest: f64,
    double: usize,
    /// How much less any other double coset has.
    gap: f64,
}

struct Checker<'a> {
    network: &'a Folded,
    /// `[n, m]` each.
    ideal_left: Array2<f64>,
    ideal_right: Array2<f64>,
    classes: Vec<Class>,
    /// For each element, the least number of classes that have another element in another double coset.
    separating: Vec<usize>,
    /// Bound on the rounding error of the correct logit.
    slack: f64,
    largest_bias: f64,
    flops: f64,
}

impl<'a> Checker<'a> {
    fn new(network: &'a Folded, group: &Group, explanation: &CosetExplanation) -> Result<Self, IdealisedError> {
        check_network(network, group)?;
        let (order, neurons) = (network.order(), network.neurons());
        if explanation.neurons.len() != neurons {
            let described = explanation.neurons.len();
            return Err(IdealisedError::WrongNeurons { described, neurons });
        }
        let mut by_subgroups: BTreeMap<Option<(Subgroup, Subgroup)>, Vec<usize>> = BTreeMap::new();
        for (neuron, subgroups) in explanation.neurons.iter().enumerate() {
            let subgroup = |elements: &[Element], side| {
                Subgroup::new(group, elements.iter().copied()).map_err(|source| IdealisedError::Cosets {
                    neuron,
                    side,
                    source,
                })
            };
            let key = match subgroups {
                Some((left, right)) => Some((subgroup(left, "left")?, subgroup(right, "right")?)),
                None => None,
            };
            // A table over too many cosets costs more than it saves: its neurons are left unexplained.
            let key = key.filter(|(h, k)| h.index() * k.index() * h.index().min(k.index()) <= order * order);
            by_subgroups.entry(key).or_default().push(neuron);
        }
        let mut checker = Self {
            network,
            ideal_left: Array2::zeros((order, neurons)),
            ideal_right: Array2::zeros((order, neurons)),
            classes: Vec::new(),
            separating: Vec::new(),
            slack: 0.0,
            largest_bias: network.bias.iter().copied().fold(f64::NEG_INFINITY, larger),
            flops: 0.0,
        };
        for (subgroups, neurons) in by_subgroups {
            let class = match subgroups {
                Some((h, k)) => checker.averaged_class(group, &h, &k, neurons),
                None => checker.zero_class(neurons),
            };
            checker.classes.push(class);
        }
        checker.slack *= gamma(neurons + 16);
        checker.slack += (0..neurons)
            .map(|i| largest(network.unembed.row(i).iter()) * (network.left_error[i] + network.right_error[i]))
            .sum::<f64>();
        checker.separating = separating(&checker.classes, order);
        checker.flops += (10 * order * order * neurons + order * order * checker.classes.len()) as f64;
        Ok(checker)
    }

    /// Averages the neurons of a class over their cosets, and tabulates what they add to the logits.
    fn averaged_class(&mut self, group: &Group, h: &Subgroup, k: &Subgroup, neurons: Vec<usize>) -> Class {
        let order = group.order();
        let (left, right, double) = (h.right_cosets(group), k.left_cosets(group), h.double_cosets(group, k));
        let mut ideal_unembed = Array2::zeros((neurons.len(), order));
        for (row, &i) in neurons.iter().enumerate() {
            let average = |f: Array1<f64>, cosets| averaged(&f, cosets);
            self.ideal_left
                .column_mut(i)
                .assign(&average(self.network.left.column(i).to_owned(), &left));
            self.ideal_right
                .column_mut(i)
                .assign(&average(self.network.right.column(i).to_owned(), &right));
            ideal_unembed
                .row_mut(row)
                .assign(&average(self.network.unembed.row(i).to_owned(), &double));
        }
        let many = gamma(neurons.len() + 16);
        let mut table = Vec::with_capacity(left.count() * right.count());
        for x in left.representatives() {
            for y in right.representatives() {
                let mut best = Best {
                    largest: f64::NEG_INFINITY,
                    double: 0,
                    gap: 0.0,
                };
                let mut second = f64::NEG_INFINITY;
                for (number, z) in double.representatives().iter().enumerate() {
                    let (mut sum, mut size) = (0.0, 0.0);
                    for (row, &i) in neurons.iter().enumerate() {
                        let input = self.ideal_left[[x.index(), i]] + self.ideal_right[[y.index(), i]];
                        let term = ideal_unembed[[row, z.index()]] * relu(input);
                        sum += term;
                        size += term.abs();
                    }
                    let most = sum + many * size;
                    if most.is_nan() || most > best.largest {
                        second = best.largest;
                        (best.largest, best.double) = (larger(best.largest, most), number);
                    } else {
                        second = larger(second, most);
                    }
                }
                // With a single double coset no answer can be told from another.
                best.gap = if double.count() > 1 { best.largest - second } else { 0.0 };
                table.push(best);
            }
        }
        self.flops += (4 * table.len() * double.count() * neurons.len() + 9 * order * neurons.len()) as f64;
        Class {
            left: group.elements().map(|x| left.number(x)).collect(),
            right: group.elements().map(|y| right.number(y)).collect(),
            right_count: right.count(),
            double: group.elements().map(|z| double.number(z)).collect(),
            best: table,
            ..self.bounded_class(neurons, Some(&ideal_unembed))
        }
    }

    /// Neurons that are idealised as zero.
    fn zero_class(&mut self, neurons: Vec<usize>) -> Class {
        let order = self.network.order();
        Class {
            left: vec![0; order],
            right: vec![0; order],
            right_count: 1,
            double: vec![0; order],
            best: vec![Best {
                largest: 0.0,
                double: 0,
                gap: 0.0,
            }],
            ..self.bounded_class(neurons, None)
        }
    }

    /// The norms of a class.
    fn bounded_class(&mut self, neurons: Vec<usize>, ideal_unembed: Option<&Array2<f64>>) -> Class {
        let (network, many) = (self.network, gamma(neurons.len() + 16));
        let (mut unembed_norm, mut deviation_norm) = (0.0, 0.0);
        for z in 0..network.order() {
            let (mut size, mut deviation) = (0.0, 0.0);
            for (row, &i) in neurons.iter().enumerate() {
                let u = network.unembed[[i, z]];
                let difference = u - ideal_unembed.map_or(0.0, |ideal| ideal[[row, z]]);
                size += u * u;
                deviation += difference * difference;
            }
            unembed_norm = larger(unembed_norm, size);
            deviation_norm = larger(deviation_norm, deviation);
        }
        let mut rounding = 0.0;
        for &i in &neurons {
            let real = largest(network.left.column(i).iter()) + largest(network.right.column(i).iter());
            let ideal = largest(self.ideal_left.column(i).iter()) + largest(self.ideal_right.column(i).iter());
            let folding = network.left_error[i] + network.right_error[i];
            rounding += (folding + gamma(8) * (real + ideal)).powi(2);
            self.slack += largest(network.unembed.row(i).iter()) * (real + folding);
        }
        self.flops += 5.0 * (network.order() * neurons.len()) as f64;
        Class {
            neurons,
            left: Vec::new(),
            right: Vec::new(),
            right_count: 0,
            double: Vec::new(),
            best: Vec::new(),
            unembed_norm: unembed_norm.sqrt() * (1.0 + many) + f64::MIN_POSITIVE,
            deviation_norm: deviation_norm.sqrt() * (1.0 + many) + f64::MIN_POSITIVE,
            rounding: rounding.sqrt() * (1.0 + many) + 1e-150,
        }
    }

    /// The margin bounds of all pairs, row by row.
    fn margins(&self, group: &Group) -> Vec<f64> {
        let order = group.order();
        let mut margins = vec![f64::INFINITY; order * order];
        if order == 1 {
            return margins;
        }
        let network = self.network;
        let standard = |values: &Array2<f64>| values.as_standard_layout().into_owned();
        let (left, right) = (standard(&network.left), standard(&network.right));
        let unembed = network.unembed.t().as_standard_layout().into_owned();
        margins.par_chunks_mut(order).enumerate().for_each(|(x, margins)| {
            let (l, il) = (left.row(x), self.ideal_left.row(x));
            let mut gaps = Vec::with_capacity(self.classes.len());
            for (y, (margin, xy)) in margins.iter_mut().zip(group.row(Element(x as u16))).enumerate() {
                let (r, ir, u) = (right.row(y), self.ideal_right.row(y), unembed.row(xy.index()));
                let (mut logit, mut others) = (network.bias[xy.index()], self.largest_bias);
                let mut size = logit.abs() + others.abs();
                gaps.clear();
                for class in &self.classes {
                    let (mut squares, mut ideal_squares) = (0.0, 0.0);
                    for &i in &class.neurons {
                        let (activation, ideal) = (relu(l[i] + r[i]), relu(il[i] + ir[i]));
                        let difference = activation - ideal;
                        squares += difference * difference;
                        ideal_squares += ideal * ideal;
                        logit += u[i] * activation;
                    }
                    let best = class.best[class.left[x] * class.right_count + class.right[y]];
                    gaps.push(if best.double == class.double[xy.index()] {
                        best.gap
                    } else {
                        0.0
                    });
                    let stretch = 1.0 + gamma(class.neurons.len() + 16);
                    let error = class.unembed_norm * (squares.sqrt() * stretch + class.rounding)
                        + class.deviation_norm * (ideal_squares.sqrt() * stretch + class.rounding);
                    others += best.largest + error;
                    size += best.largest.abs() + best.gap.abs() + error;
                }
                gaps.sort_by(f64::total_cmp);
                others -= gaps[..self.separating[xy.index()]].iter().sum::<f64>();
                let slack = self.slack + gamma(4 * self.classes.len() + 16) * (size + logit.abs());
                *margin = logit - others - slack;
            }
        });
        margins
    }
}

/// For each w the least number, over z != w, of classes that have z and w in different double cosets.
fn separating(classes: &[Class], order: usize) -> Vec<usize> {
    (0..order)
        .into_par_iter()
        .map(|w| {
            let differ = |z: usize| {
                classes
                    .iter()
                    .filter(|class| class.double[z] != class.double[w])
                    .count()
            };
            (0..order).filter(|&z| z != w).map(differ).min().unwrap_or(0)
        })
        .collect()
}

/// The largest absolute value; NaN if any is.
fn largest<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    values.fold(0.0, |m, t| larger(m, t.abs()))
}
