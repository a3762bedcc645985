//! How long it takes to find all irreps of a group.

use criterion::{Criterion, criterion_group, criterion_main};
use rhoset::{group::spec, irrep::Irreps};
use std::hint::black_box;

fn irreps(criterion: &mut Criterion) {
    let mut benchmark = criterion.benchmark_group("irreps");
    benchmark.sample_size(10);
    for name in ["S5", "GL(3,2)", "S6"] {
        let group = spec::parse(name).expect("a known group");
        benchmark.bench_function(name, |bencher| bencher.iter(|| Irreps::new(black_box(&group), 0)));
    }
    benchmark.finish();
}

criterion_group!(benches, irreps);
criterion_main!(benches);
