//! Networks whose numbers lie at the ends of float32: products of weights below its range, unembeddings near its top.

use ndarray::{Array1, Array2};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rhoset::explain::circuit::{CircuitOptions, find_circuits};
use rhoset::explain::partition::{Choices, Input};
use rhoset::group::spec;
use rhoset::network::{Activation, Embedding, Network, evaluate};
use rhoset::verify::brute::Brute;
use rhoset::verify::logit::LogitBounds;
use rhoset::verify::orbit::OrbitTier;
use rhoset::verify::partition::PartitionTier;

/// Left and right inputs about `2^inputs`, unembeddings about `2^unembed`, each neuron twice, once with the other sign.
fn network(n: usize, seed: u64, inputs: i32, unembed: i32, activation: Activation) -> Network {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |rows, columns, exponent: i32| {
        Array2::from_shape_simple_fn((rows, columns), || {
            rng.random_range(-1.0..1.0f32) * 2.0_f32.powi(exponent)
        })
    };
    let half = inputs / 2;
    let twice = |linear: Array2<f32>| {
        Array2::from_shape_fn((2, 8), |(k, i)| linear[[k, i % 4]] * if i < 4 { 1.0 } else { -0.5 })
    };
    let (embed_left, embed_right) = (draw(n, 2, half), draw(n, 2, half));
    let linear = (draw(2, 4, inputs - half), draw(2, 4, inputs - half));
    Network {
        embedding: Embedding::TwoLinear {
            embed_left,
            embed_right,
            linear_left: twice(linear.0),
            linear_right: twice(linear.1),
        },
        unembed: draw(8, n, unembed),
        bias: Some(Array1::zeros(n)),
        activation,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn no_pair_is_decided_wrongly_however_small_or_large_the_numbers_are(
        which in 0..3_usize, seed: u64, inputs in -160..120_i32, unembed in -140..127_i32, abs: bool,
        single: bool,
    ) {
        let group = spec::parse(["C3", "S3", "Q8"][which]).unwrap();
        let activation = if abs { Activation::Abs } else { Activation::Relu };
        let network = network(group.order(), seed, inputs, unembed, activation);
        let precise = network.fold();
        let folded = if single { network.fold_single() } else { precise.clone() };
        let pairs: Vec<_> = group.elements().flat_map(|x| group.elements().map(move |y| (x, y))).collect();
        let truth = Brute::new(&network, &precise, &group).decide(&pairs);
        prop_assert_eq!(&truth, &Brute::new(&network, &folded, &group).decide(&pairs));
        for (inner, pointwise) in [(Input::Left, false), (Input::Right, true)] {
            let choices = Choices::new(&folded, &group, inner);
            let partitions = choices.partitions(choices.most(), pointwise);
            if let Some(tier) = PartitionTier::new(&folded, &group, &partitions) {
                let decided = tier.decide(None);
                let right = |rest: bool| {
                    let pairs = pairs.iter().zip(&truth);
                    pairs.filter(|(pair, truth)| **truth && decided.rest.contains(pair) == rest).count()
                };
                prop_assert_eq!(decided.right, right(false));
                prop_assert_eq!(decided.right + decided.wrong + decided.rest.len(), pairs.len());
            }
        }
        if !abs {
            let options = CircuitOptions { tolerance: 0.5, ..CircuitOptions::default() };
            let circuits = find_circuits(&folded, &group, options).unwrap();
            if let Ok(tier) = OrbitTier::new(&folded, &group, &circuits) {
                let left = tier.gaps().left(&group);
                for (pair, truth) in pairs.iter().zip(&truth) {
                    prop_assert!(*truth || left.contains(pair), "{pair:?} is wrong, proved by x and y alone");
                }
            }
        }
        if !abs {
            let bounds = LogitBounds::new(&folded);
            let all: Vec<_> = group.elements().collect();
            let mut correct = Vec::new();
            for x in group.elements() {
                bounds.correct(&group, x, Input::Right, &mut correct);
                let logits = evaluate::logits_of_row(&precise, x);
                for (&y, &bound) in all.iter().zip(&correct) {
                    let z = group.mul(x, y);
                    let truth = logits[[y.index(), z.index()]];
                    let tolerance = 1e-12 * truth.abs() + 1e-300;
                    prop_assert!(bound <= truth + tolerance, "({x}, {y}): {truth}, claimed at least {bound}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_number_leaves_the_partition_tier_out() {
    let group = spec::parse("S3").unwrap();
    let good = network(6, 1, 0, 0, Activation::Relu).fold();
    let partitions = Choices::new(&good, &group, Input::Right).partitions(0.0, true);
    assert!(PartitionTier::new(&good, &group, &partitions).is_some());
    for bad in [f64::NAN, f64::INFINITY, 1e300] {
        for place in 0..4 {
            let mut folded = good.clone();
            match place {
                0 => folded.left[[2, 3]] = bad,
                1 => folded.right[[2, 3]] = bad,
                2 => folded.unembed[[3, 2]] = bad,
                _ => folded.bias[2] = bad,
            }
            for pointwise in [false, true] {
                let partitions = rhoset::explain::partition::Partitions {
                    pointwise,
                    ..partitions.clone()
                };
                assert!(
                    PartitionTier::new(&folded, &group, &partitions).is_none(),
                    "{bad} at {place}"
                );
            }
        }
    }
}
