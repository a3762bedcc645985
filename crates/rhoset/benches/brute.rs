//! Brute force on networks of random weights: its time does not depend on what they have learned.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rhoset::group::{Element, Group, spec};
use rhoset::network::{Activation, Embedding, Network};
use rhoset::verify::brute::{self, Brute};

fn network(group: &Group, neurons: usize) -> Network {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let n = group.order();
    let mut tensor = |rows, columns| Array2::from_shape_simple_fn((rows, columns), || random.random_range(-1.0..1.0));
    Network {
        embedding: Embedding::Direct {
            left: tensor(n, neurons),
            right: tensor(n, neurons),
        },
        unembed: tensor(neurons, n),
        bias: None,
        activation: Activation::Relu,
    }
}

fn all_inputs(criterion: &mut Criterion) {
    let mut benches = criterion.benchmark_group("brute");
    for (spec, samples) in [("A5", 50), ("S5", 50), ("GL(3,2)", 20), ("S6", 10)] {
        let group = spec::parse(spec).expect("a group");
        let network = network(&group, 128);
        let folded = network.fold();
        let n = group.order() as u64;
        benches.sample_size(samples).throughput(Throughput::Elements(n * n));
        benches.bench_function(BenchmarkId::from_parameter(spec), |bencher| {
            bencher.iter(|| brute::verify(&network, &folded, &group));
        });
    }
}

fn lists_of_pairs(criterion: &mut Criterion) {
    let mut benches = criterion.benchmark_group("decide");
    let group = spec::parse("S5").expect("a group");
    let network = network(&group, 128);
    let folded = network.fold();
    let brute = Brute::new(&network, &folded, &group);
    for length in [10, 100, 1000] {
        let pairs: Vec<_> = (0..length).map(|i| (Element(i % 120), Element(i * 7 % 120))).collect();
        benches.throughput(Throughput::Elements(u64::from(length)));
        benches.bench_function(BenchmarkId::from_parameter(length), |bencher| {
            bencher.iter(|| brute.decide(&pairs));
        });
    }
    benches.finish();
    criterion.bench_function("prepare S5", |bencher| {
        bencher.iter(|| Brute::new(&network, &folded, &group));
    });
}

criterion_group!(benches, all_inputs, lists_of_pairs);
criterion_main!(benches);
