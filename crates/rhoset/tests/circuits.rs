//! Circuits: found where they were planted, and never believed beyond what they prove.

use ndarray::{Array1, Array2};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rhoset::explain::circuit::{CircuitOptions, Circuits, find_circuits};
use rhoset::group::{Group, Subgroup, spec};
use rhoset::network::{Activation, Embedding, Folded, Network, evaluate};
use rhoset::verify::cascade::orbit_margins;
use rhoset::verify::orbit::{OrbitTier, Scan};

const GROUPS: [&str; 6] = ["C1", "C2", "C5", "S3", "Q8", "A4"];

fn random_network(group: &Group, neurons: usize, seed: u64, scale: f32) -> Folded {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = group.order();
    let mut matrix =
        |rows, columns| Array2::from_shape_simple_fn((rows, columns), || scale * rng.random_range(-1.0..1.0f32));
    let (left, right, unembed) = (matrix(n, neurons), matrix(n, neurons), matrix(neurons, n));
    let bias = Some(Array1::from_shape_simple_fn(n, || {
        scale * rng.random_range(-0.1..0.1f32)
    }));
    Network {
        embedding: Embedding::Direct { left, right },
        unembed,
        bias,
        activation: Activation::Relu,
    }
    .fold()
}

/// A network made of one circuit over G/H with every pair present, and noise.
fn planted_network(group: &Group, stabiliser: &Subgroup, rows: usize, noise: f64, seed: u64) -> Folded {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let cosets = stabiliser.left_cosets(group);
    let (n, points) = (group.order(), cosets.count());
    let values: Vec<(f64, f64)> = (0..points)
        .map(|_| (rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)))
        .collect();
    let places: Vec<_> = cosets
        .representatives()
        .iter()
        .take(rows)
        .flat_map(|&p| cosets.representatives().iter().map(move |&q| (p, q)))
        .collect();
    let mut jitter = |v: f64| (v + noise * rng.random_range(-1.0..1.0)) as f32;
    let m = places.len();
    let (mut left, mut right, mut unembed) = (Array2::zeros((n, m)), Array2::zeros((n, m)), Array2::zeros((m, n)));
    for (i, &(p, q)) in places.iter().enumerate() {
        for x in group.elements() {
            let at_left = cosets.number(group.mul(group.inv(x), p));
            let at_right = cosets.number(group.mul(x, q));
            left[[x.index(), i]] = jitter(values[at_left].0);
            right[[x.index(), i]] = jitter(values[at_right].1);
            let hits = cosets.number(group.mul(x, q)) == cosets.number(p);
            unembed[[i, x.index()]] = jitter(if hits { 1.0 } else { 0.0 });
        }
    }
    Network {
        embedding: Embedding::Direct { left, right },
        unembed,
        bias: None,
        activation: Activation::Relu,
    }
    .fold()
}

fn assert_sound(folded: &Folded, group: &Group, circuits: &Circuits) {
    let margins = orbit_margins(folded, group, circuits).expect("indices are in range");
    let tier = OrbitTier::new(folded, group, circuits).expect("indices are in range");
    let gaps = tier.gaps();
    let bounds = Scan::new(&tier, &gaps).map(|scan| scan.bounds());
    for x in group.elements() {
        let logits = evaluate::logits_of_row(folded, x);
        for y in group.elements() {
            let correct = group.mul(x, y);
            let logit = logits[[y.index(), correct.index()]];
            let truth = evaluate::margin(logits.row(y.index()), correct);
            let tolerance = 1e-9 * (1.0 + truth.abs() + logit.abs());
            for (claimed, what) in [
                (margins[[x.index(), y.index()]], "with the correct logit evaluated"),
                (gaps.margin(x, y), "by x and y alone"),
                (tier.margin(x, y), "by the tables"),
            ] {
                assert!(
                    claimed.is_nan() || claimed <= truth + tolerance,
                    "margin at ({x}, {y}) is {truth}, claimed {claimed} {what}"
                );
            }
            let Some(bounds) = &bounds else { continue };
            let wrong = group
                .elements()
                .filter(|&z| z != correct)
                .map(|z| logits[[y.index(), z.index()]]);
            let most = wrong.fold(f64::NEG_INFINITY, f64::max);
            let bound = bounds[x.index() * group.order() + y.index()];
            assert!(
                bound >= most - tolerance,
                "a wrong logit at ({x}, {y}) is {most}, bounded by {bound}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn orbit_bounds_hold_on_random_networks(
        which in 0..GROUPS.len(), neurons in 1..12_usize, seed: u64, tolerance in 0.0..0.9_f64, exponent in -20..20_i32,
    ) {
        let group = spec::parse(GROUPS[which]).unwrap();
        let folded = random_network(&group, neurons, seed, 2.0_f32.powi(exponent));
        // A generous tolerance finds circuits that are not there: wrong explanations.
        let options = CircuitOptions { tolerance, ..CircuitOptions::default() };
        assert_sound(&folded, &group, &find_circuits(&folded, &group, options).unwrap());
    }

    #[test]
    fn orbit_bounds_hold_on_planted_circuits_with_corrupted_explanations(
        seed: u64, rows in 1..4_usize, noise in 0.0..0.3_f64, corruption in 0..8_usize, by in -3.0..3.0_f64,
    ) {
        let group = spec::parse("S3").unwrap();
        let stabiliser = Subgroup::generated(&group, &[group.elements().find(|&g| g != group.identity() && group.mul(g, g) == group.identity()).unwrap()]);
        let folded = planted_network(&group, &stabiliser, rows, noise, seed);
        let mut circuits = find_circuits(&folded, &group, CircuitOptions { tolerance: 0.5, ..CircuitOptions::default() }).unwrap();
        for circuit in &mut circuits.circuits {
            match corruption {
                0 => circuit.members.iter_mut().for_each(|member| member.left_values[0] += by),
                1 => circuit.members.iter_mut().for_each(|member| member.right_point = 0),
                2 => circuit.kernels.iter_mut().for_each(|kernel| kernel.two_sided[0] += by),
                3 => circuit.left_subspaces.iter_mut().for_each(|basis| basis[[0, 0]] += by),
                4 => circuit.kernels.iter_mut().for_each(|kernel| kernel.coordinates *= by),
                5 => circuit.kernels.iter_mut().for_each(|kernel| kernel.two_sided[0] = 1e300 * by),
                6 => circuit.members.iter_mut().for_each(|member| member.left_values[0] = 1e200),
                _ => circuit.kernels.truncate(1),
            }
        }
        assert_sound(&folded, &group, &circuits);
    }
}

#[test]
fn a_planted_circuit_is_found_and_proves_every_pair() {
    let group = spec::parse("S4").unwrap();
    let mut involutions = group
        .elements()
        .filter(|&g| group.mul(g, g) == group.identity() && g != group.identity());
    let transposition = involutions.find(|&g| Subgroup::generated(&group, &[g]).centralizer(&group).order() == 4);
    let three = group
        .elements()
        .find(|&g| Subgroup::generated(&group, &[transposition.unwrap(), g]).order() == 6);
    let stabiliser = Subgroup::generated(&group, &[transposition.unwrap(), three.unwrap()]);
    let folded = planted_network(&group, &stabiliser, 4, 0.01, 7);
    let circuits = find_circuits(&folded, &group, CircuitOptions::default()).unwrap();
    assert_eq!(circuits.circuits.len(), 1);
    let circuit = &circuits.circuits[0];
    assert_eq!(
        (circuit.left.len(), circuit.right.len(), circuit.pairs_present()),
        (4, 4, 16)
    );
}

#[test]
fn a_neuron_named_twice_is_refused() {
    let group = spec::parse("S3").unwrap();
    let folded = random_network(&group, 4, 1, 1.0);
    let mut circuits = find_circuits(
        &folded,
        &group,
        CircuitOptions {
            tolerance: 0.9,
            ..Default::default()
        },
    )
    .unwrap();
    let circuit = circuits
        .circuits
        .first_mut()
        .expect("a generous tolerance finds something");
    let again = circuit.members[0].clone();
    circuit.members.push(again);
    assert!(OrbitTier::new(&folded, &group, &circuits).is_err());
}

#[test]
fn an_explanation_that_is_not_finite_is_refused() {
    let group = spec::parse("S3").unwrap();
    let folded = random_network(&group, 4, 1, 1.0);
    let options = CircuitOptions {
        tolerance: 0.9,
        ..Default::default()
    };
    for wrong in [f64::NAN, f64::INFINITY] {
        let mut circuits = find_circuits(&folded, &group, options).unwrap();
        circuits.circuits[0].members[0].left_values[0] = wrong;
        assert!(OrbitTier::new(&folded, &group, &circuits).is_err());
        let mut circuits = find_circuits(&folded, &group, options).unwrap();
        circuits.circuits[0].kernels[0].two_sided[0] = wrong;
        assert!(OrbitTier::new(&folded, &group, &circuits).is_err());
    }
}

#[test]
fn logits_beyond_float32_certify_nothing_wrong() {
    let group = spec::parse("S3").unwrap();
    for seed in 0..50 {
        for scale in [1e20, 1e30, 3e38] {
            let mut folded = random_network(&group, 4, seed, 1.0);
            folded.left.mapv_inplace(|v| v * scale * 10.0);
            folded.right.mapv_inplace(|v| v * scale * 10.0);
            let circuits = find_circuits(&folded, &group, CircuitOptions::default()).unwrap();
            assert_sound(&folded, &group, &circuits);
        }
    }
}
