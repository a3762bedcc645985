//! The cascade against exact integer arithmetic: random, planted, corrupted and hostile explanations, ties, huge scales.
//!
//! 20 000 cases by default; a million with `RHOSET_LONG_TESTS=1`.

use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use rhoset::explain::circuit::{CircuitOptions, Circuits, find_circuits};
use rhoset::explain::partition::{Choices, Input, Partitions};
use rhoset::group::{Element, Group, Subgroup, spec};
use rhoset::irrep::Irreps;
use rhoset::network::{Activation, Embedding, Folded, Network};
use rhoset::verify::brute::Brute;
use rhoset::verify::cascade::{self, Plan};
use rhoset::verify::orbit::OrbitTier;
use rhoset::verify::partition::PartitionTier;
use std::collections::HashMap;

/// A network whose weights are integers times powers of two: `left` and `right` those of each neuron, `unembed` its
/// inverse, so that the powers cancel in every logit.
struct Case {
    left: Array2<i64>,
    right: Array2<i64>,
    unembed: Array2<i64>,
    bias: Array1<i64>,
    exponents: Vec<i32>,
    /// What all logits are multiplied by.
    scale: i32,
}

impl Case {
    fn random(group: &Group, random: &mut ChaCha8Rng) -> Self {
        let (n, m) = (group.order(), random.random_range(1..=6));
        // Few values make ties, many make none.
        let range = [1, 3, 1 << 10, 1 << 20][random.random_range(0..4)];
        let mut tensor =
            |rows, columns| Array2::from_shape_simple_fn((rows, columns), || random.random_range(-range..=range));
        let (left, right, unembed) = (tensor(n, m), tensor(n, m), tensor(m, n));
        let bias = tensor(1, n).row(0).to_owned();
        Self::scaled(left, right, unembed, bias, random)
    }

    /// One circuit over G/H, with every pair of points or the first rows of them, and noise.
    fn planted(group: &Group, random: &mut ChaCha8Rng) -> Self {
        let n = group.order();
        let generator = Element(random.random_range(0..n as u16));
        let cosets = Subgroup::generated(group, &[generator]).left_cosets(group);
        let points: Vec<Element> = cosets.representatives().to_vec();
        let noise: i64 = [0, 0, 1, 40, 1000][random.random_range(0..5)];
        let value: Vec<(i64, i64)> = points
            .iter()
            .map(|_| (random.random_range(-500..=500), random.random_range(-500..=500)))
            .collect();
        let hits = random.random_range(100..=1000);
        let rows = random.random_range(1..=points.len());
        let pairs: Vec<(Element, Element)> = points
            .iter()
            .take(rows)
            .flat_map(|&p| points.iter().map(move |&q| (p, q)))
            .collect();
        let m = pairs.len();
        let mut noisy = |value: i64| value + random.random_range(-noise..=noise);
        let (mut left, mut right, mut unembed) = (Array2::zeros((n, m)), Array2::zeros((n, m)), Array2::zeros((m, n)));
        for (i, &(p, q)) in pairs.iter().enumerate() {
            for x in group.elements() {
                left[[x.index(), i]] = noisy(value[cosets.number(group.mul(group.inv(x), p))].0);
                right[[x.index(), i]] = noisy(value[cosets.number(group.mul(x, q))].1);
                let same = cosets.number(group.mul(x, q)) == cosets.number(p);
                unembed[[i, x.index()]] = noisy(if same { hits } else { 0 });
            }
        }
        Self::scaled(left, right, unembed, Array1::zeros(n), random)
    }

    fn scaled(
        left: Array2<i64>,
        right: Array2<i64>,
        unembed: Array2<i64>,
        bias: Array1<i64>,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let m = unembed.nrows();
        let spread = [0, 0, 8, 30][random.random_range(0..4)];
        Self {
            exponents: (0..m).map(|_| random.random_range(-spread..=spread)).collect(),
            scale: [0, 0, -40, 40][random.random_range(0..4)],
            left,
            right,
            unembed,
            bias,
        }
    }

    fn network(&self) -> Network {
        let power = |value: i64, exponent: i32| (value as f64 * 2f64.powi(exponent)) as f32;
        let inputs = |matrix: &Array2<i64>| {
            Array2::from_shape_fn(matrix.dim(), |(x, i)| power(matrix[[x, i]], self.exponents[i]))
        };
        Network {
            embedding: Embedding::Direct {
                left: inputs(&self.left),
                right: inputs(&self.right),
            },
            unembed: Array2::from_shape_fn(self.unembed.dim(), |(i, z)| {
                power(self.unembed[[i, z]], self.scale - self.exponents[i])
            }),
            bias: Some(self.bias.mapv(|value| power(value, self.scale))),
            activation: Activation::Relu,
        }
    }

    /// `[n, n]`: whether each pair is right, in integers; a tie is wrong.
    fn truth(&self, group: &Group) -> Array2<bool> {
        let n = group.order();
        Array2::from_shape_fn((n, n), |(x, y)| {
            let hidden: Vec<i64> = (0..self.unembed.nrows())
                .map(|i| (self.left[[x, i]] + self.right[[y, i]]).max(0))
                .collect();
            let logit = |z: usize| -> i128 {
                let products = hidden
                    .iter()
                    .enumerate()
                    .map(|(i, &h)| i128::from(h) * i128::from(self.unembed[[i, z]]));
                products.sum::<i128>() + i128::from(self.bias[z])
            };
            let correct = group.mul(Element(x as u16), Element(y as u16)).index();
            let lead = logit(correct);
            (0..n).all(|z| z == correct || logit(z) < lead)
        })
    }
}

/// Makes an explanation wrong in one of the ways that a file can.
fn corrupt(circuits: &mut Circuits, random: &mut ChaCha8Rng) {
    let by: f64 = [1e-3, 0.5, -3.0, 1e3, 1e30][random.random_range(0..5)];
    let kind = random.random_range(0..10);
    for circuit in &mut circuits.circuits {
        match kind {
            0 => circuit
                .members
                .iter_mut()
                .for_each(|member| member.left_values[0] += by),
            1 => circuit
                .members
                .iter_mut()
                .for_each(|member| member.right_values[0] *= by),
            2 => circuit.members.iter_mut().for_each(|member| member.right_point = 0),
            3 => circuit.kernels.iter_mut().for_each(|kernel| kernel.two_sided[0] += by),
            4 => circuit.left_subspaces.iter_mut().for_each(|basis| basis[[0, 0]] += by),
            5 => circuit.right_subspaces.iter_mut().for_each(|basis| *basis *= 1.0 + by),
            6 => circuit.kernels.iter_mut().for_each(|kernel| kernel.coordinates *= by),
            7 => circuit.kernels.clear(),
            8 => circuit.kernels.iter_mut().for_each(|kernel| {
                // The greatest lie: every margin enormous.
                kernel.two_sided.iter_mut().for_each(|value| *value *= -by);
                kernel.right.iter_mut().for_each(|table| *table += by);
            }),
            _ => circuit
                .members
                .iter_mut()
                .for_each(|member| member.left_values.iter_mut().for_each(|value| *value = -*value)),
        }
    }
}

/// Partitions of the neurons as they are found, or as nobody would choose them.
fn partitions(folded: &Folded, group: &Group, random: &mut ChaCha8Rng) -> Partitions {
    let inner = [Input::Left, Input::Right][random.random_range(0..2)];
    let choices = Choices::new(folded, group, inner);
    let worth = choices.most() * [10.0, 1.0, 0.1, 0.0][random.random_range(0..4)];
    let mut partitions = choices.partitions(worth, random.random_bool(0.5));
    if random.random_bool(0.3) {
        for part in &mut partitions.parts {
            let cell = |_| random.random_range(0..group.order()) as u16;
            part.cells = part.cells.iter().map(cell).collect();
        }
        let neurons = random.random_range(0..2);
        partitions
            .parts
            .iter_mut()
            .for_each(|part| part.neurons.truncate(part.neurons.len().max(2) - neurons));
    }
    partitions
}

/// The same group with its elements in the opposite order: the identity comes last, as it may in foreign networks.
fn relabelled(group: &Group) -> Group {
    let last = group.order() as u16 - 1;
    let table: Vec<u16> = group.table().iter().rev().map(|product| last - product.0).collect();
    Group::from_table(group.name(), group.order(), &table).expect("a group all the same")
}

/// A margin that is not a number proves nothing.
fn proves(margin: f64) -> bool {
    margin > 0.0
}

/// The same network with a layer on each side, so that there is something to fold.
fn with_layers(network: Network) -> Network {
    let Embedding::Direct { left, right } = network.embedding else {
        panic!("cases have no layers");
    };
    let m = left.ncols();
    Network {
        embedding: Embedding::TwoLinear {
            embed_left: left,
            embed_right: right,
            linear_left: Array2::eye(m),
            linear_right: Array2::eye(m),
        },
        ..network
    }
}

/// Moves the folded functions as far as the errors that they then own up to: every tier has to allow for all of it.
fn fold_badly(folded: &mut Folded, random: &mut ChaCha8Rng) {
    let share = [1e-7, 1e-3, 0.1][random.random_range(0..3)];
    for (functions, errors) in [
        (&mut folded.left, &mut folded.left_error),
        (&mut folded.right, &mut folded.right_error),
    ] {
        for (mut function, error) in functions.columns_mut().into_iter().zip(errors) {
            let most = function.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            let off = share * most;
            function.mapv_inplace(|value| value + off * [-1.0, 0.0, 1.0][random.random_range(0..3)]);
            // The sum is rounded.
            *error += off + 1e-15 * most;
        }
    }
}

fn check(case: u64, groups: &[(Group, Irreps)]) -> (usize, usize) {
    let mut random = ChaCha8Rng::seed_from_u64(case);
    let (group, irreps) = &groups[random.random_range(0..groups.len())];
    let n = group.order();
    let network = match random.random_bool(0.5) {
        true => Case::planted(group, &mut random),
        false => Case::random(group, &mut random),
    };
    let truth = network.truth(group);
    let right = truth.iter().filter(|&&right| right).count();
    let mut network = network.network();
    if random.random_bool(0.3) {
        network = with_layers(network);
    }
    let mut folded = network.fold_single();
    if random.random_bool(0.3) {
        fold_badly(&mut folded, &mut random);
    }
    let tolerance = [0.02, 0.3, 0.9][random.random_range(0..3)];
    let options = CircuitOptions {
        tolerance,
        ..CircuitOptions::default()
    };
    let mut circuits = find_circuits(&folded, group, options).expect("a relu network over this group");
    if random.random_bool(0.4) {
        corrupt(&mut circuits, &mut random);
    }
    // All circuits, whatever they cost: the cheapest plan would be brute force in so small a group.
    let plan = Plan {
        circuits: vec![true; circuits.circuits.len()],
        partitions: (case.is_multiple_of(2)).then(|| partitions(&folded, group, &mut random)),
    };
    // A corruption may overflow: refused, which claims nothing.
    let Ok(outcome) = cascade::cascade(&network, &folded, group, &circuits, &plan) else {
        return (0, right);
    };
    assert_eq!(
        outcome.verification.certified_pairs, right,
        "case {case}: the cascade is exact"
    );
    let partitions = partitions(&folded, group, &mut random);
    if let Some(tier) = PartitionTier::new(&folded, group, &partitions) {
        let decided = tier.decide(None);
        let of_rest = decided
            .rest
            .iter()
            .filter(|(x, y)| truth[[x.index(), y.index()]])
            .count();
        assert_eq!(
            (
                decided.right + of_rest,
                decided.right + decided.wrong + decided.rest.len()
            ),
            (right, n * n),
            "case {case}: what the partitions decide is so"
        );
    }
    let tier = OrbitTier::new(&folded, group, &circuits).expect("accepted above");
    let gaps = tier.gaps();
    let rows = cascade::orbit_margins(&folded, group, &circuits).expect("accepted above");
    for ((x, y), &right) in truth.indexed_iter() {
        let (a, b) = (Element(x as u16), Element(y as u16));
        assert!(
            right || !proves(gaps.margin(a, b)),
            "case {case}: ({x}, {y}) is wrong, proved by x and y alone"
        );
        assert!(
            right || !proves(rows[[x, y]]),
            "case {case}: ({x}, {y}) is wrong, proved with the correct logit evaluated"
        );
    }
    let explained = cascade::explained(&folded, group, &circuits, irreps).expect("accepted above");
    assert!(
        explained.verification.certified_pairs <= right,
        "case {case}: {n}, more explained than right"
    );
    (explained.verification.certified_pairs, right)
}

#[test]
fn no_claim_exceeds_what_integers_count() {
    let groups: Vec<(Group, Irreps)> = ["C1", "C2", "C3", "C4", "V4", "C5", "S3", "Q8", "D4"]
        .into_iter()
        .map(|spec| {
            let group = relabelled(&spec::parse(spec).expect("a group"));
            let irreps = Irreps::new(&group, 0).expect("irreps");
            (group, irreps)
        })
        .collect();
    let cases = if std::env::var_os("RHOSET_LONG_TESTS").is_some() {
        1_000_000
    } else {
        20_000
    };
    let (explained, right) = (0..cases)
        .into_par_iter()
        .map(|case| check(case, &groups))
        .reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    println!("{cases} cases: {explained} pairs explained of {right} that are right");
    // Claims that are never made would be sound as well.
    assert!(2 * explained > right, "{explained} of {right}");
}

/// A network of waves over a cyclic group: right nearly everywhere, and by a little in places.
fn waves(n: usize, neurons: usize, activation: Activation, random: &mut ChaCha8Rng) -> Folded {
    let mut wave = |frequency: usize| {
        let (phase, height) = (random.random_range(0.0..6.3), random.random_range(0.8..1.2));
        let angle = move |x: usize| (frequency * x % n) as f64 / n as f64 * std::f64::consts::TAU;
        move |x: usize| height * (angle(x) + phase).cos()
    };
    let (mut left, mut right) = (Array2::zeros((n, neurons)), Array2::zeros((n, neurons)));
    for i in 0..neurons {
        let frequency = [1, 5, 13, 31][i % 4];
        let (l, r) = (wave(frequency), wave(frequency));
        (0..n).for_each(|x| (left[[x, i]], right[[x, i]]) = (l(x), r(x)));
    }
    // What each neuron is when the answer is z, on average.
    let unembed = Array2::from_shape_fn((neurons, n), |(i, z)| {
        let act = |x: usize| activation.apply(left[[x, i]] + right[[(z + n - x) % n, i]]);
        (0..n).map(act).sum::<f64>() / n as f64
    });
    let mean = unembed.mean_axis(ndarray::Axis(1)).expect("elements");
    Folded {
        unembed: unembed - mean.insert_axis(ndarray::Axis(1)),
        left,
        right,
        bias: Array1::zeros(n),
        left_error: Array1::zeros(neurons),
        right_error: Array1::zeros(neurons),
        activation,
    }
}

#[test]
fn rows_formed_panel_by_panel_prove_what_rows_formed_whole_prove() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut right, mut rest) = (0, 0);
    for (n, activation) in [
        (65, Activation::Relu),
        (128, Activation::Relu),
        (149, Activation::Relu),
        (97, Activation::Abs),
    ] {
        let group = spec::parse(&format!("C{n}")).expect("a group");
        let (network, _) = waves(n, 40, activation, &mut random).round();
        let folded = network.fold();
        let pairs: Vec<_> = group
            .elements()
            .flat_map(|x| group.elements().map(move |y| (x, y)))
            .collect();
        let truth = Brute::new(&network, &folded, &group).decide(&pairs);
        let truth: HashMap<_, _> = pairs.into_iter().zip(truth).collect();
        for (inner, pointwise) in [(Input::Left, true), (Input::Right, false)] {
            let choices = Choices::new(&folded, &group, inner);
            for worth in [1.0, 0.01, 1e-6] {
                let whole = choices.partitions(worth * choices.most(), pointwise);
                for panel in [n, 64, 1] {
                    let partitions = Partitions { panel, ..whole.clone() };
                    let decided = PartitionTier::new(&folded, &group, &partitions)
                        .expect("within range")
                        .decide(None);
                    let of_rest = decided.rest.iter().filter(|pair| truth[pair]).count();
                    let all = truth.values().filter(|&&right| right).count();
                    assert_eq!(decided.right + of_rest, all, "C{n} {inner:?} {worth} {panel}");
                    assert_eq!(decided.right + decided.wrong + decided.rest.len(), n * n);
                    (right, rest) = (right + decided.right, rest + decided.rest.len());
                }
            }
        }
    }
    assert!(right > 50_000 && rest > 0, "{right} proved right, {rest} left");
}
