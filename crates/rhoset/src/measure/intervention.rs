//! Causal interventions: what becomes of accuracy and loss when a part of the network is exchanged, flipped or disturbed.
//!
//! Those of Stander et al. 2024, as Wu et al. 2025 run them again, with the point that their outcome does not tell coset
//! circuits from others: cyclic groups of prime order have no cosets to speak of and show the same pattern.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Performance;
use super::ablation::Sums;
use crate::group::Group;
use crate::network::evaluate::Evaluation;
use crate::network::{Activation, Embedding, Folded, Network};

/// A change to a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intervention {
    /// The left and right embedding matrices change places; the linear maps after them stay. In the `direct`
    /// architecture, which has none, left and right functions change places (which an abelian group does not notice).
    SwapEmbeddings,
    /// The left embedding changes its sign.
    FlipLeft,
    /// The right embedding changes its sign.
    FlipRight,
    /// Both embeddings change their signs.
    FlipBoth,
    /// `|t|` in the place of the activation.
    AbsoluteValue,
    /// Independent normal noise is added to the input of every neuron at every (x, y).
    Noise {
        /// Its mean.
        mean: f64,
        /// Its standard deviation.
        deviation: f64,
    },
}

impl Intervention {
    /// The paper's list, in its order.
    pub const ALL: [Self; 9] = [
        Self::SwapEmbeddings,
        Self::FlipLeft,
        Self::FlipRight,
        Self::FlipBoth,
        Self::AbsoluteValue,
        Self::Noise {
            mean: 0.0,
            deviation: 0.1,
        },
        Self::Noise {
            mean: 0.0,
            deviation: 1.0,
        },
        Self::Noise {
            mean: 1.0,
            deviation: 1.0,
        },
        Self::Noise {
            mean: -1.0,
            deviation: 1.0,
        },
    ];

    /// What it is called in tables.
    pub fn name(self) -> String {
        match self {
            Self::SwapEmbeddings => "swap embeddings".into(),
            Self::FlipLeft => "flip left".into(),
            Self::FlipRight => "flip right".into(),
            Self::FlipBoth => "flip both".into(),
            Self::AbsoluteValue => "absolute value".into(),
            Self::Noise { mean, deviation } => format!("noise N({mean}, {deviation})"),
        }
    }

    /// Accuracy and loss of the changed network. Noise is drawn from `seed`, the same on any number of threads.
    ///
    /// # Panics
    /// If the network's order is not the group's.
    pub fn performance(self, network: &Network, group: &Group, seed: u64) -> Performance {
        self.of_folded(network, &network.fold(), group, seed)
    }

    fn of_folded(self, network: &Network, folded: &Folded, group: &Group, seed: u64) -> Performance {
        let evaluate = |changed: Folded| Evaluation::of(&changed, group).into();
        let mut changed = folded.clone();
        match self {
            Self::SwapEmbeddings => evaluate(swapped(network).fold()),
            Self::FlipLeft => {
                changed.left *= -1.0;
                evaluate(changed)
            }
            Self::FlipRight => {
                changed.right *= -1.0;
                evaluate(changed)
            }
            Self::FlipBoth => {
                changed.left *= -1.0;
                changed.right *= -1.0;
                evaluate(changed)
            }
            Self::AbsoluteValue => {
                changed.activation = Activation::Abs;
                evaluate(changed)
            }
            Self::Noise { mean, deviation } => noisy(folded, group, &[(mean, deviation)], seed)[0],
        }
    }
}

/// The network with its embedding matrices exchanged.
fn swapped(network: &Network) -> Network {
    let mut network = network.clone();
    match &mut network.embedding {
        Embedding::TwoLinear {
            embed_left,
            embed_right,
            ..
        }
        | Embedding::Concat {
            embed_left,
            embed_right,
            ..
        }
        | Embedding::SharedLinear {
            embed_left,
            embed_right,
            ..
        } => std::mem::swap(embed_left, embed_right),
        Embedding::Direct { left, right } => std::mem::swap(left, right),
    }
    network
}

/// Noise of each mean and standard deviation on every input of every neuron, one generator for each x: the same normal
/// numbers for all, moved and scaled.
fn noisy(network: &Folded, group: &Group, noises: &[(f64, f64)], seed: u64) -> Vec<Performance> {
    let sums: Vec<Vec<Sums>> = group
        .elements()
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|x| {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            random.set_stream(u64::from(x.0) + 1);
            let inputs: Array2<f64> = &network.right + &network.left.row(x.index());
            let (mut spare, mut next) = (None, || {
                // Box and Muller 1958: two uniform numbers make two normal ones.
                let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
                let (sin, cos) = (std::f64::consts::TAU * random.random::<f64>()).sin_cos();
                (radius * cos, radius * sin)
            });
            let normal = inputs.map(|_| {
                spare.take().unwrap_or_else(|| {
                    let (first, second) = next();
                    spare = Some(second);
                    first
                })
            });
            let disturbed = |&(mean, deviation): &(f64, f64)| {
                let mut hidden = inputs.clone();
                hidden.zip_mut_with(&normal, |t, normal| {
                    *t = network.activation.apply(*t + mean + deviation * normal);
                });
                let logits = hidden.dot(&network.unembed) + &network.bias;
                Sums::of(logits.view(), group.row(x))
            };
            noises.iter().map(disturbed).collect()
        })
        .collect();
    let total = |k: usize| sums.iter().fold(Sums::default(), |total, own| total.and(own[k]));
    (0..noises.len())
        .map(|k| total(k).performance(group.order().pow(2)))
        .collect()
}

/// An intervention and its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervened {
    /// What was done.
    pub intervention: Intervention,
    /// What the network does then.
    pub performance: Performance,
}

/// Every intervention of [`Intervention::ALL`].
///
/// # Panics
/// If the network's order is not the group's.
pub fn all(network: &Network, group: &Group, seed: u64) -> Vec<Intervened> {
    let folded = network.fold();
    let noise = |intervention| match intervention {
        Intervention::Noise { mean, deviation } => Some((mean, deviation)),
        _ => None,
    };
    let noises: Vec<(f64, f64)> = Intervention::ALL.into_iter().filter_map(noise).collect();
    let mut noisy = noisy(&folded, group, &noises, seed).into_iter();
    (Intervention::ALL.into_iter())
        .map(|intervention| Intervened {
            intervention,
            performance: match noise(intervention) {
                Some(_) => noisy.next().expect("one for each noise"),
                None => intervention.of_folded(network, &folded, group, seed),
            },
        })
        .collect()
}
