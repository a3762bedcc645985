//! The cascade: every pair (x, y) decided by the cheapest bound that suffices.

use super::Verification;
use super::brute::{self, Brute};
use super::logit::LogitBounds;
use super::loss::cross_entropy_of_margin;
use super::orbit::{Gaps, OrbitError, OrbitTier, Scan};
use super::partition::PartitionTier;
use super::rounding::OUTWARD;
use super::spectral::SpectralTier;
use crate::explain::circuit::Circuits;
use crate::explain::partition::{Choices, Input, Partitions};
use crate::group::{Element, Group};
use crate::irrep::Irreps;
use crate::network::{Activation, Folded, Network};
use ndarray::Array2;
use rayon::prelude::*;

/// Lower bounds on every margin from the orbit tier: the correct logit less what the tables allow the others.
///
/// # Errors
/// If the circuits speak of neurons or points that do not exist.
pub fn orbit_margins(folded: &Folded, group: &Group, circuits: &Circuits) -> Result<Array2<f64>, OrbitError> {
    let tier = OrbitTier::new(folded, group, circuits)?;
    Ok(margins(group, &tier, &tier.gaps(), &LogitBounds::new(folded)))
}

/// Correct logits less bounds on all others, for every pair; in parallel.
fn margins(group: &Group, tier: &OrbitTier, gaps: &Gaps, logits: &LogitBounds) -> Array2<f64> {
    let n = group.order();
    let Some(scan) = Scan::new(tier, gaps) else {
        return Array2::from_elem((n, n), f64::NEG_INFINITY);
    };
    let mut margins = scan.bounds();
    let all: Vec<Element> = group.elements().collect();
    margins
        .par_chunks_mut(n)
        .zip(&all)
        .with_min_len(8)
        .for_each_init(Vec::new, |correct, (row, &x)| {
            logits.correct(group, x, Input::Right, correct);
            row.iter_mut()
                .zip(&*correct)
                .for_each(|(margin, correct)| *margin = correct - *margin);
        });
    Array2::from_shape_vec((n, n), margins).expect("n^2 margins")
}

/// How many pairs each tier decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Tiers {
    /// What x and y have each by themselves: no logit evaluated, O(1) per pair.
    pub gaps: usize,
    /// The orbit tables at every z: no logit evaluated, O(n) additions per pair and point with members.
    pub tables: usize,
    /// The same with the correct logit evaluated: O(m) besides.
    pub correct: usize,
    /// Logits in a few irreps: O(mD + nD) per pair.
    pub spectral: usize,
    /// One input known by cells of partitions, right or wrong: a sum of a few rows of n logits per pair.
    pub partitions: usize,
    /// All logits exactly, right or wrong: O(mn) per pair.
    pub exact: usize,
    /// Decided by no tier.
    pub undecided: usize,
}

/// What the cascade proved.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The claim; `seconds` is left at zero.
    pub verification: Verification,
    /// Which tier decided how many pairs.
    pub tiers: Tiers,
}

/// What the cascade uses: what saves more than it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// One entry per circuit; all false: the orbit tier is left out.
    pub circuits: Vec<bool>,
    /// For the partition tier, where it is used.
    pub partitions: Option<Partitions>,
}

impl Plan {
    /// Tries partitions of both inputs, and all circuits, all but the dearest ones, and none, and takes what promises the
    /// least time.
    ///
    /// Part of the search for an explanation, not of the verification: the verifier uses any plan soundly.
    ///
    /// # Errors
    /// If the circuits speak of neurons or points that do not exist.
    pub fn new(folded: &Folded, group: &Group, circuits: &Circuits) -> Result<Self, OrbitError> {
        let n = folded.order();
        let exact = 2.0 * (n * folded.neurons()) as f64;
        let tail = Tail::new(folded, group);
        let dearness = (0..circuits.circuits.len()).map(|only| {
            let tier = OrbitTier::with(folded, group, circuits, |i| i == only)?;
            Ok(TABLE_COST * tier.flops as f64)
        });
        let dearness: Vec<f64> = dearness.collect::<Result<_, OrbitError>>()?;
        let mut best = vec![false; circuits.circuits.len()];
        let without = tail.cost(n * n);
        let mut least = without;
        // The dearest are left out one after the other.
        let mut limits = dearness.clone();
        limits.sort_by(|a, b| b.total_cmp(a));
        limits.dedup();
        for limit in limits.into_iter().skip_while(|&limit| limit > without).take(MOST_PLANS) {
            let chosen: Vec<bool> = dearness.iter().map(|&cost| cost <= limit).collect();
            let tables: f64 = chosen
                .iter()
                .zip(&dearness)
                .filter(|&(&chosen, _)| chosen)
                .map(|(_, cost)| cost)
                .sum();
            if tables >= least {
                continue;
            }
            let tier = OrbitTier::with(folded, group, circuits, |i| chosen[i])?;
            let left = n * n - tier.gaps().proved(group);
            let left = if left <= FEW {
                40.0 * (n * left) as f64
            } else {
                tail.cost(left).min(left as f64 * exact)
            };
            let cost = tables + TABLE_COST * tier.gap_flops() as f64 / 4.0 + left;
            if cost < least {
                (best, least) = (chosen, cost);
            }
        }
        Ok(Self {
            circuits: best,
            partitions: tail.partitions,
        })
    }
}

/// What is left to evaluate, and what it costs in flops of a matrix product that take the same time.
struct Tail {
    partitions: Option<Partitions>,
    /// Of the tables, of one pair, and of one that the partitions leave.
    tables: f64,
    pair: f64,
}

impl Tail {
    fn new(folded: &Folded, group: &Group) -> Self {
        let (n, m) = (folded.order(), folded.neurons());
        let exact = 2.0 * (m * n) as f64;
        let mut best = Self {
            partitions: None,
            tables: 0.0,
            pair: exact,
        };
        if !matches!(folded.activation, Activation::Relu | Activation::Abs) {
            return best;
        }
        for inner in [Input::Left, Input::Right] {
            let choices = Choices::new(folded, group, inner);
            let mut tried: Vec<Partitions> = Vec::new();
            for (share, pointwise) in SHARES.into_iter().flat_map(|share| [(share, false), (share, true)]) {
                let partitions = choices.partitions(share * choices.most(), pointwise);
                if tried.contains(&partitions) {
                    continue;
                }
                tried.push(partitions.clone());
                let Some(tier) = PartitionTier::new(folded, group, &partitions) else {
                    continue;
                };
                let (tables, pair) = tier.cost();
                if tables + pair * (n * n) as f64 >= best.cost(n * n) {
                    continue;
                }
                let left = tier.sample(SAMPLE);
                let tail = Self {
                    partitions: Some(partitions),
                    // The first pair that is evaluated exactly takes as long as many: the weights are rounded and packed.
                    tables: tables + if left > 0.0 { 1e3 * (m * n) as f64 } else { 0.0 },
                    pair: pair + left * exact,
                };
                if tail.cost(n * n) < best.cost(n * n) {
                    best = tail;
                }
            }
        }
        best
    }

    fn cost(&self, pairs: usize) -> f64 {
        if pairs == 0 {
            0.0
        } else {
            self.tables + pairs as f64 * self.pair
        }
    }
}

/// What n cells are worth of a logit, in shares of the most that a neuron can change one by.
const SHARES: [f64; 12] = [2.0, 1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015, 0.008, 0.004, 0.002, 0.001];

/// How many outer elements show what partitions leave open.
const SAMPLE: usize = 32;

/// How many sets of circuits are tried.
const MOST_PLANS: usize = 6;

/// What a flop of a circuit's tables costs, in flops of a matrix product that take the same time.
const TABLE_COST: f64 = 20.0;

/// So few pairs are looked at one by one: the tables of other tiers would cost more.
const FEW: usize = 64;

/// Proves the exact accuracy: orbit tier, partition tier, then every logit of what they leave.
///
/// # Errors
/// If the circuits speak of neurons or points that do not exist.
///
/// # Panics
/// If `folded` is not the network's own or `group` has another order.
pub fn cascade(
    network: &Network,
    folded: &Folded,
    group: &Group,
    circuits: &Circuits,
    plan: &Plan,
) -> Result<Outcome, OrbitError> {
    let n = folded.order();
    let mut tiers = Tiers::default();
    let (mut right, mut flops) = (0, 0);
    let mut gaps = None;
    if folded.activation == Activation::Relu && plan.circuits.contains(&true) {
        let chosen = |i: usize| plan.circuits.get(i).copied().unwrap_or(false);
        let tier = OrbitTier::with(folded, group, circuits, chosen)?;
        let own = tier.gaps();
        flops += tier.flops + tier.gap_flops();
        tiers.gaps = own.proved(group);
        let mut proved = tiers.gaps;
        if n * n - proved <= FEW {
            let left = own.left(group);
            flops += left.len() as u64 * (tier.gap_flops() / n as u64 + 6 * n as u64);
            let rest: Vec<_> = left.into_iter().filter(|&(x, y)| !proves(tier.margin(x, y))).collect();
            tiers.tables = n * n - proved - rest.len();
            proved += tiers.tables;
            return Ok(finish((network, folded, group), rest, proved, flops, tiers));
        }
        right = proved;
        gaps = Some(own);
    }
    // Laying out the tables costs about as much as evaluating a tenth of the pairs.
    let worth = n * n - right > n * n / 16;
    let partitions = plan.partitions.as_ref().filter(|_| worth);
    let tier = partitions.and_then(|partitions| PartitionTier::new(folded, group, partitions));
    let rest = match (tier, &gaps) {
        (Some(tier), gaps) => {
            let decided = tier.decide(gaps.as_ref());
            tiers.partitions = decided.right + decided.wrong;
            right += decided.right;
            flops += decided.flops;
            decided.rest
        }
        (None, Some(gaps)) => gaps.left(group),
        (None, None) => {
            tiers.exact = n * n;
            return Ok(Outcome {
                verification: brute::verify(network, folded, group),
                tiers,
            });
        }
    };
    Ok(finish((network, folded, group), rest, right, flops, tiers))
}

/// Evaluates all logits of what the tiers leave.
fn finish(
    (network, folded, group): (&Network, &Folded, &Group),
    rest: Vec<(Element, Element)>,
    mut right: usize,
    mut flops: u64,
    mut tiers: Tiers,
) -> Outcome {
    let (n, m) = (folded.order(), folded.neurons());
    tiers.exact = rest.len();
    if !rest.is_empty() {
        let decided = Brute::new(network, folded, group).decide(&rest);
        right += decided.into_iter().filter(|&is_right| is_right).count();
        flops += (2 * m * n * rest.len()) as u64;
    }
    Outcome {
        verification: Verification::new(n * n, right, flops),
        tiers,
    }
}

/// Proves what the explanation alone proves: orbit tier, then its tables at every z, then logits in a few irreps. No
/// logit but the correct one is evaluated exactly. Bounds the loss as well.
///
/// # Errors
/// If the circuits speak of neurons or points that do not exist.
pub fn explained(folded: &Folded, group: &Group, circuits: &Circuits, irreps: &Irreps) -> Result<Outcome, OrbitError> {
    explained_by(folded, group, circuits, |k| {
        let &energy = SPECTRAL_ENERGIES.get(k)?;
        Some(SpectralTier::new(folded, group, irreps, energy))
    })
}

/// The same with the spectral tiers that `spectral` makes, the k-th for what those before leave, until it makes none.
///
/// # Errors
/// As [`explained`].
pub fn explained_by<'a>(
    folded: &'a Folded,
    group: &Group,
    circuits: &Circuits,
    mut spectral: impl FnMut(usize) -> Option<SpectralTier<'a>>,
) -> Result<Outcome, OrbitError> {
    let n = folded.order();
    let mut tiers = Tiers::default();
    let (mut bounds, mut flops);
    if folded.activation == Activation::Relu {
        let tier = OrbitTier::new(folded, group, circuits)?;
        let logits = LogitBounds::new(folded);
        let gaps = tier.gaps();
        bounds = margins(group, &tier, &gaps, &logits);
        flops = tier.flops + tier.gap_flops() + (4 * (folded.neurons() + n) * n * n) as u64;
        tiers.correct = bounds.iter().filter(|&&margin| proves(margin)).count();
    } else {
        bounds = Array2::from_elem((n, n), f64::NEG_INFINITY);
        flops = 0;
    }
    for k in 0.. {
        let undecided = pairs_where(&bounds, |margin| !proves(margin));
        if undecided.is_empty() {
            break;
        }
        let Some(tier) = spectral(k) else { break };
        let found: Vec<Vec<f64>> = undecided
            .chunk_by(|a, b| a.0 == b.0)
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|row| {
                let ys: Vec<Element> = row.iter().map(|&(_, y)| y).collect();
                tier.margins(group, row[0].0, &ys)
            })
            .collect();
        for (&(x, y), margin) in undecided.iter().zip(found.into_iter().flatten()) {
            let bound = &mut bounds[[x.index(), y.index()]];
            *bound = if *bound >= margin { *bound } else { margin };
            tiers.spectral += usize::from(proves(*bound));
        }
        flops += tier.table_flops() + undecided.len() as u64 * tier.pair_flops();
    }
    tiers.undecided = bounds.iter().filter(|&&margin| !proves(margin)).count();
    let mut verification = Verification::new(n * n, n * n - tiers.undecided, flops);
    let loss: f64 = bounds.iter().map(|&margin| cross_entropy_of_margin(margin, n)).sum();
    verification.cross_entropy_bound = Some(loss / (n * n) as f64 * OUTWARD).filter(|bound| bound.is_finite());
    Ok(Outcome { verification, tiers })
}

/// Whether a lower bound on a margin proves the pair right; one that is not a number proves nothing.
fn proves(margin: f64) -> bool {
    margin > 0.0
}

/// Shares of the scaled unembedding that the irreps of the spectral tier carry: more for what fewer leave undecided.
pub(crate) const SPECTRAL_ENERGIES: [f64; 2] = [0.995, 0.9999];

fn pairs_where(margins: &Array2<f64>, predicate: impl Fn(f64) -> bool) -> Vec<(Element, Element)> {
    margins
        .indexed_iter()
        .filter(|&(_, &margin)| predicate(margin))
        .map(|((x, y), _)| (Element(x as u16), Element(y as u16)))
        .collect()
}
