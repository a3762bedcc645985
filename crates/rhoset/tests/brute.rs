//! Brute force against rational arithmetic.

mod support;

use num_traits::ToPrimitive;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use rhoset::group::{Element, Group, spec};
use rhoset::network::evaluate::{Evaluation, logits, margin};
use rhoset::network::{Activation, Embedding, Folded, Network};
use rhoset::verify::{brute, brute::Brute, loss};
use support::{RATIONAL, all_pairs, random_network, rational_decisions, rational_margins};

/// Enough networks to meet every branch hundreds of times.
fn networks() -> u64 {
    match std::env::var_os("RHOSET_LONG_TESTS") {
        Some(_) => 100_000,
        None => 1_500,
    }
}

/// In float64 or in float32, by turns.
fn folded(network: &Network, seed: u64) -> Folded {
    if seed.is_multiple_of(2) {
        network.fold()
    } else {
        network.fold_single()
    }
}

#[test]
fn brute_force_decides_every_pair_as_rational_arithmetic_does() {
    let right: usize = (0..networks())
        .into_par_iter()
        .map(|seed| {
            let (network, group) = random_network(&mut ChaCha8Rng::seed_from_u64(seed), &RATIONAL);
            let folded = folded(&network, seed);
            let expected = rational_decisions(&network, &group);
            let decided = Brute::new(&network, &folded, &group).decide(&all_pairs(&group));
            assert_eq!(decided, expected, "seed {seed}: {network:?}");
            let count = expected.iter().filter(|&&right| right).count();
            let verification = brute::verify(&network, &folded, &group);
            assert_eq!(verification.certified_pairs, count, "seed {seed}");
            count
        })
        .sum();
    assert!(right > 1000, "the networks are right somewhere, or nothing was tested");
}

/// Inputs whose terms cancel: what is left of them in float64 may be anything.
fn cancelling(group: &Group, random: &mut ChaCha8Rng) -> Network {
    use rand::RngExt;
    let (n, m) = (group.order(), 5);
    let huge = 2.0_f32.powi(random.random_range(10..70));
    let mut side = || {
        let value = random.random_range(0.5..1.0) * huge;
        let embed = ndarray::Array2::from_shape_fn((n, 3), |(_, k)| match k {
            1 => random.random_range(-1.0..1.0),
            _ => value,
        });
        let mut linear = ndarray::Array2::from_shape_fn((3, m), |_| random.random_range(-1.0..1.0));
        (0..m).for_each(|i| linear[[2, i]] = -linear[[0, i]]);
        (embed, linear)
    };
    let ((embed_left, linear_left), (embed_right, linear_right)) = (side(), side());
    Network {
        embedding: Embedding::TwoLinear {
            embed_left,
            embed_right,
            linear_left,
            linear_right,
        },
        unembed: ndarray::Array2::from_shape_fn((m, n), |_| random.random_range(-1.0..1.0)),
        bias: None,
        activation: [Activation::Relu, Activation::Abs, Activation::Square][random.random_range(0..3)],
    }
}

#[test]
fn inputs_that_cancel_are_decided_as_in_rational_arithmetic() {
    let group = spec::parse("S3").unwrap();
    let right: usize = (0..networks() / 10)
        .into_par_iter()
        .map(|seed| {
            let network = cancelling(&group, &mut ChaCha8Rng::seed_from_u64(seed));
            let folded = folded(&network, seed);
            let expected = rational_decisions(&network, &group);
            let decided = Brute::new(&network, &folded, &group).decide(&all_pairs(&group));
            assert_eq!(decided, expected, "seed {seed}: {network:?}");
            expected.iter().filter(|&&right| right).count()
        })
        .sum();
    assert!(right > 100, "the networks are right somewhere, or nothing was tested");
}

#[test]
fn a_logit_beats_another_as_in_rational_arithmetic() {
    (0..networks() / 5).into_par_iter().for_each(|seed| {
        let (network, group) = random_network(&mut ChaCha8Rng::seed_from_u64(1 << 32 | seed), &RATIONAL);
        let folded = folded(&network, seed);
        let brute = Brute::new(&network, &folded, &group);
        let n = group.order();
        let logits = support::rational_logits(&network);
        for (pair, (x, y)) in all_pairs(&group).into_iter().enumerate() {
            for (z, rival) in all_pairs(&group) {
                let beats = logits[pair * n + z.index()] > logits[pair * n + rival.index()];
                assert_eq!(brute.beats(x, y, z, rival), beats, "seed {seed}: {x} {y} {z} {rival}");
            }
        }
    });
}

#[test]
fn margin_and_loss_bounds_hold() {
    (0..networks() / 5).into_par_iter().for_each(|seed| {
        let (network, group) = random_network(&mut ChaCha8Rng::seed_from_u64(2 << 32 | seed), &RATIONAL);
        let folded = network.fold();
        let bounds = loss::evaluate(&folded, &group);
        let margins: Vec<f64> = rational_margins(&network, &group)
            .into_iter()
            .map(|margin| margin.map_or(f64::INFINITY, |margin| margin.to_f64().expect("in range")))
            .collect();
        let least = margins.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(
            bounds.min_margin <= least,
            "seed {seed}: {} > {least}",
            bounds.min_margin
        );
        let exact = Evaluation::of(&folded, &group).cross_entropy;
        let bound = bounds.cross_entropy_bound;
        assert!(bound >= exact, "seed {seed}: {bound} < {exact}");
        // What float64 logits may be off by, loosely.
        let largest = |values: &ndarray::Array2<f64>| values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        let input = largest(&folded.left) + largest(&folded.right);
        let terms = folded.neurons() as f64 * largest(&folded.unembed) * input.max(input * input);
        let bias = folded.bias.iter().fold(0.0_f64, |most, bias| most.max(bias.abs()));
        let rounding = 1e-12 * (1.0 + terms + bias + exact);
        let by_margins: f64 = margins
            .iter()
            .map(|&margin| loss::cross_entropy_of_margin(margin, group.order()))
            .sum();
        let bound = by_margins / margins.len() as f64;
        assert!(bound >= exact - rounding, "seed {seed}: {bound} < {exact}");
    });
}

#[test]
fn the_loss_of_a_network_of_huge_scale_is_bounded_from_its_margins() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../rhoset-cli/data/s5.safetensors");
    let loaded = rhoset::network::file::load(path).unwrap().remove(0);
    let group = loaded.group.unwrap();
    let bound = |scale: f32| {
        let mut network = loaded.network.clone();
        network.unembed *= scale;
        network.bias.iter_mut().for_each(|bias| *bias *= scale);
        let folded = network.fold();
        let truth = Evaluation::of(&folded, &group).cross_entropy;
        (loss::evaluate(&folded, &group).cross_entropy_bound, truth)
    };
    let (ordinary, truth) = bound(1.0);
    assert!(
        ordinary >= truth && ordinary < truth * (1.0 + 1e-6),
        "{ordinary} {truth}"
    );
    // Every pair is right by a wide margin: the rounding of logits near 1e21 is no excuse.
    let (huge, _) = bound(1e20);
    assert!((0.0..1e-300).contains(&huge), "{huge}");
    // Inverted: wrong by a wide margin, and the bound says how wide.
    let (wrong, truth) = bound(-1e20);
    assert!(wrong >= truth && wrong < truth * (1.0 + 1e-6), "{wrong} {truth}");
}

#[test]
fn what_is_right_in_any_float32_order_is_right_in_these() {
    let proved: usize = (0..networks() / 5)
        .into_par_iter()
        .map(|seed| {
            let (network, group) = random_network(&mut ChaCha8Rng::seed_from_u64(3 << 32 | seed), &Activation::ALL);
            let bounds = loss::evaluate(&network.fold(), &group);
            for reversed in [false, true] {
                let right = right_in_float32(&network, &group, reversed);
                assert!(
                    bounds.float32_pairs <= right,
                    "seed {seed}: {} > {right}",
                    bounds.float32_pairs
                );
            }
            bounds.float32_pairs
        })
        .sum();
    assert!(proved > 100, "some pairs are right in float32");
}

#[test]
fn nothing_is_right_in_float32_where_cancelling_products_overflow() {
    let group = spec::parse("C2").expect("a group");
    // The signs of x and y come through the last coordinate; the first two add 4 size - 4 size = 0.
    let network = |size: f32| Network {
        embedding: Embedding::TwoLinear {
            embed_left: ndarray::arr2(&[[size, -size, 1e36], [size, -size, -1e36]]),
            embed_right: ndarray::arr2(&[[0.0, 0.0, 1e36], [0.0, 0.0, -1e36]]),
            linear_left: ndarray::arr2(&[[4.0, 4.0], [4.0, 4.0], [1.0, -1.0]]),
            linear_right: ndarray::arr2(&[[4.0, 4.0], [4.0, 4.0], [1.0, -1.0]]),
        },
        unembed: ndarray::arr2(&[[1.0, -1.0], [1.0, -1.0]]),
        bias: Some(ndarray::arr1(&[-1e36, 0.0])),
        activation: Activation::Relu,
    };
    let small = network(1e36);
    assert_eq!(loss::evaluate(&small.fold(), &group).float32_pairs, 4);
    assert_eq!(right_in_float32(&small, &group, false), 4);
    // 4 * 3e38 is infinite in float32, and infinity less infinity no number; real arithmetic has all pairs right.
    let large = network(3e38);
    assert_eq!(brute::verify(&large, &large.fold(), &group).certified_pairs, 4);
    assert!(right_in_float32(&large, &group, false) < 4);
    assert_eq!(loss::evaluate(&large.fold(), &group).float32_pairs, 0);
}

/// The number of pairs right in float32, the way a framework computes: sums from the first or from the last neuron.
fn right_in_float32(network: &Network, group: &Group, reversed: bool) -> usize {
    let dot = |a: &[f32], b: &[f32], start: f32| {
        let mut terms: Vec<f32> = a.iter().zip(b).map(|(a, b)| a * b).collect();
        if reversed {
            terms.reverse();
        }
        terms.into_iter().fold(start, |sum, term| sum + term)
    };
    let input = |embed: ndarray::ArrayView1<f32>, linear: ndarray::ArrayView2<f32>| -> Vec<f32> {
        let columns = linear.columns().into_iter();
        columns
            .map(|column| dot(&embed.to_vec(), &column.to_vec(), 0.0))
            .collect()
    };
    let (left, right): (Vec<Vec<f32>>, Vec<Vec<f32>>) = group
        .elements()
        .map(|element| {
            let row = element.index();
            match &network.embedding {
                Embedding::Direct { left, right } => (left.row(row).to_vec(), right.row(row).to_vec()),
                Embedding::TwoLinear {
                    embed_left,
                    embed_right,
                    linear_left,
                    linear_right,
                } => (
                    input(embed_left.row(row), linear_left.view()),
                    input(embed_right.row(row), linear_right.view()),
                ),
                Embedding::SharedLinear {
                    embed_left,
                    embed_right,
                    linear,
                } => (
                    input(embed_left.row(row), linear.view()),
                    input(embed_right.row(row), linear.view()),
                ),
                Embedding::Concat {
                    embed_left,
                    embed_right,
                    linear,
                } => {
                    let (upper, lower) = linear.view().split_at(ndarray::Axis(0), embed_left.ncols());
                    (input(embed_left.row(row), upper), input(embed_right.row(row), lower))
                }
            }
        })
        .unzip();
    all_pairs(group)
        .into_iter()
        .filter(|&(x, y)| {
            let hidden: Vec<f32> = left[x.index()]
                .iter()
                .zip(&right[y.index()])
                .map(|(left, right)| network.activation.apply(f64::from(left + right)) as f32)
                .collect();
            let logits: Vec<f32> = (0..group.order())
                .map(|z| {
                    let bias = network.bias.as_ref().map_or(0.0, |bias| bias[z]);
                    dot(&hidden, &network.unembed.column(z).to_vec(), bias)
                })
                .collect();
            let z = group.mul(x, y).index();
            (0..logits.len()).all(|rival| rival == z || logits[z] > logits[rival])
        })
        .count()
}

#[test]
fn gelu_is_decided_where_float64_can() {
    (0..networks() / 5).into_par_iter().for_each(|seed| {
        let (network, group) = random_network(&mut ChaCha8Rng::seed_from_u64(4 << 32 | seed), &[Activation::Gelu]);
        let folded = network.fold();
        let decided = Brute::new(&network, &folded, &group).decide(&all_pairs(&group));
        for ((x, y), right) in all_pairs(&group).into_iter().zip(decided) {
            let margin = margin(logits(&folded, x, y).view(), group.mul(x, y));
            // What cancels counts in full, within the folded products too: their errors are a few 1e-16 of it.
            let folding = (&folded.left_error + &folded.right_error) * 1e15;
            let input =
                folded.left.row(x.index()).mapv(f64::abs) + folded.right.row(y.index()).mapv(f64::abs) + folding;
            let magnitude = folded.bias.mapv(f64::abs) + input.dot(&folded.unembed.mapv(f64::abs));
            let magnitude = magnitude.iter().copied().fold(0.0, f64::max);
            assert!(
                margin >= -1e-13 * magnitude || !right,
                "seed {seed}: {x} {y} certified at {margin}"
            );
            assert!(
                margin <= 1e-11 * magnitude || right,
                "seed {seed}: {x} {y} missed at {margin}"
            );
        }
    });
}

#[test]
fn lists_of_pairs_are_decided_in_their_order() {
    let group = spec::parse("S4").expect("a group");
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let network = planted(&group, &mut random);
    let folded = network.fold();
    let brute = Brute::new(&network, &folded, &group);
    let all = all_pairs(&group);
    let decided = brute.decide(&all);
    assert_eq!(decided, rational_decisions(&network, &group));
    assert!(decided.contains(&true) && decided.contains(&false));
    let backwards: Vec<(Element, Element)> = all.iter().rev().copied().collect();
    let mut expected = decided.clone();
    expected.reverse();
    assert_eq!(brute.decide(&backwards), expected);
    for length in [0, 1, 5, 23, 24, 25, 241] {
        assert_eq!(brute.decide(&all[..length]), decided[..length]);
    }
}

/// Lookup by one neuron per pair of elements, noisy enough to be wrong here and there.
fn planted(group: &Group, random: &mut ChaCha8Rng) -> Network {
    use rand::RngExt;
    let n = group.order();
    let m = n * n;
    let mut noise = |value: f32, size: f32| value + random.random_range(-size..size);
    let left = ndarray::Array2::from_shape_fn((n, m), |(x, i)| noise(if i / n == x { 1.0 } else { 0.0 }, 0.2));
    let right = ndarray::Array2::from_shape_fn((n, m), |(y, i)| noise(if i % n == y { 0.0 } else { -1.0 }, 0.2));
    let unembed = ndarray::Array2::from_shape_fn((m, n), |(i, z)| {
        let product = group.mul(Element((i / n) as u16), Element((i % n) as u16));
        noise(if product.index() == z { 1.0 } else { 0.0 }, 0.3)
    });
    Network {
        embedding: Embedding::Direct { left, right },
        unembed,
        bias: None,
        activation: Activation::Relu,
    }
}
