//! The CPU engine against finite differences, and against itself on other numbers of threads.

use rhoset::group::{Group, spec};
use rhoset::network::{Activation, Architecture};
use rhoset::train::TrainConfig;
use rhoset::train::cpu::CpuEngine;
use rhoset::train::engine::{Engine, Workers};
use rhoset::train::weights::{Tensor, initialise};

fn configuration(architecture: Architecture, activation: Activation) -> TrainConfig {
    let mut settings: toml::Table = "group = 'S3'\nneurons = 7\ninitial_embedding = 'normal:1'\nepochs = 1"
        .parse()
        .unwrap();
    settings.insert("architecture".to_owned(), architecture.name().into());
    settings.insert("activation".to_owned(), activation.name().into());
    if architecture != Architecture::Direct {
        settings.insert("embedding_width".to_owned(), 5.into());
    }
    TrainConfig::resolve(&[settings]).unwrap()
}

#[test]
fn gradients_are_the_limits_of_differences_for_every_architecture_and_activation() {
    let group = spec::parse("S3").unwrap();
    let batch: Vec<u32> = (0..36).filter(|pair| pair % 3 != 1).collect();
    let architectures = [
        Architecture::TwoLinear,
        Architecture::Concat,
        Architecture::SharedLinear,
        Architecture::Direct,
    ];
    for architecture in architectures {
        for activation in Activation::ALL {
            let config = configuration(architecture, activation);
            let weights = initialise(&config, 6);
            let loss = |weights: &[Tensor<f64>]| {
                let mut engine = CpuEngine::<f64>::new(&config, &group, weights);
                engine.gradient(&batch, Workers::One).0
            };
            let mut engine = CpuEngine::<f64>::new(&config, &group, &weights);
            let gradient = engine.gradient(&batch, Workers::One).1.to_vec();
            for (i, tensor) in weights.iter().enumerate() {
                for j in 0..tensor.values.len() {
                    let moved = |by: f64| {
                        let mut weights = weights.clone();
                        weights[i].values[j] += by;
                        loss(&weights)
                    };
                    // Small enough that hardly any kink of relu or abs is crossed, large enough against rounding.
                    let h = 1e-6;
                    let difference = (moved(h) - moved(-h)) / (2.0 * h);
                    let found = gradient[i][j];
                    assert!(
                        (found - difference).abs() < 1e-7 * (1.0 + difference.abs()),
                        "{architecture:?} {activation:?} {}[{j}]: {found} but differences say {difference}",
                        tensor.name
                    );
                }
            }
        }
    }
}

fn after_steps(config: &TrainConfig, group: &Group, batch: &[u32], workers: Workers<'_>) -> Vec<Tensor<f64>> {
    let mut engine = CpuEngine::<f32>::new(config, group, &initialise(config, group.order()));
    for _ in 0..5 {
        engine.step(batch, 0.01, workers);
    }
    engine.state().weights
}

#[test]
fn weights_have_the_same_bits_on_any_number_of_threads() {
    let group = spec::parse("A5").unwrap();
    let config = TrainConfig::recipe("paper", "A5").unwrap();
    let batch: Vec<u32> = (0..3600).collect();
    let alone = after_steps(&config, &group, &batch, Workers::One);
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let together = after_steps(&config, &group, &batch, Workers::Pool(&pool));
        assert!(alone == together, "{threads} threads");
    }
}

#[test]
fn scores_agree_with_exact_evaluation_of_the_network() {
    let group = spec::parse("S4").unwrap();
    let config = TrainConfig::recipe("paper", "S4").unwrap();
    let mut engine = CpuEngine::<f32>::new(&config, &group, &initialise(&config, 24));
    let pairs: Vec<u32> = (0..576).collect();
    for _ in 0..100 {
        engine.step(&pairs, 0.01, Workers::One);
    }
    let score = engine.score(&pairs, Workers::One);
    let network = rhoset::train::weights::network(&engine.state().weights, config.activation);
    let exact = rhoset::network::evaluate::Evaluation::of(&network.fold(), &group);
    assert_eq!(score.correct, exact.correct);
    assert!(
        (score.loss - exact.cross_entropy).abs() < 1e-4 * exact.cross_entropy,
        "{score:?} {exact:?}"
    );
    assert!(
        (score.min_margin - exact.min_margin).abs() < 1e-3,
        "{score:?} {exact:?}"
    );
}

#[test]
fn a_weight_that_is_no_number_makes_the_loss_none() {
    let group = spec::parse("S3").unwrap();
    for architecture in [Architecture::TwoLinear, Architecture::Direct] {
        let config = configuration(architecture, Activation::Relu);
        for tensor in 0..initialise(&config, 6).len() {
            let mut weights = initialise(&config, 6);
            weights[tensor].values[0] = f64::NAN;
            let mut engine = CpuEngine::<f32>::new(&config, &group, &weights);
            let pairs: Vec<u32> = (0..36).collect();
            assert!(
                engine.score(&pairs, Workers::One).loss.is_nan(),
                "{}",
                weights[tensor].name
            );
            assert!(
                engine.step(&pairs, 0.1, Workers::One).is_nan(),
                "{}",
                weights[tensor].name
            );
        }
    }
}
