//! Settings, splits and initial weights.

use rhoset::train::Split;
use rhoset::train::config::{Cadence, ConfigError, RECIPES, TrainConfig};
use rhoset::train::weights::initialise;

fn settings(text: &str) -> toml::Table {
    text.parse().unwrap()
}

#[test]
fn recipes_are_what_they_were() {
    for (name, _) in RECIPES {
        let config = TrainConfig::recipe(name, "S5").unwrap();
        insta::assert_snapshot!(name, toml::to_string(&config).unwrap());
    }
}

#[test]
fn every_recipe_survives_being_saved_and_read() {
    for (name, _) in RECIPES {
        let config = TrainConfig::recipe(name, "S5").unwrap();
        assert_eq!(TrainConfig::resolve(&[config.to_table()]).unwrap(), config);
    }
}

#[test]
fn later_settings_win_and_recipes_give_way() {
    let config = TrainConfig::resolve(&[
        settings("group = 'S5'\nlearning_rate = 0.1\noptimiser = 'sgd'"),
        settings("learning_rate = 1\narchitecture = 'direct'\nbatch = 64"),
    ])
    .unwrap();
    assert_eq!(config.learning_rate, 1.0);
    assert_eq!((config.beta1, config.momentum), (None, Some(0.0)));
    assert_eq!((config.embedding_width, config.initial_linear), (None, None));
    assert_eq!(config.replacement, Some(false));
}

#[test]
fn bad_settings_name_the_field_and_what_is_allowed() {
    let bad = [
        ("", "group"),
        ("group = 'S5'\nrecipe = 'nobody'", "paper, chughtai, stander, morwani"),
        (
            "group = 'S5'\noptimiser = 'lion'",
            "optimiser: unknown variant `lion`, expected one of `adam`, `adamw`, `sgd`",
        ),
        ("group = 'S5'\nneuron = 5", "neuron: unknown field"),
        ("group = 'S5'\nneurons = 0", "neurons is 0; allowed is 1 to 65536"),
        ("group = 'S5'\nneurons = -1", "neurons: invalid value"),
        ("group = 'S5'\nembedding_width = 0", "embedding_width is 0"),
        ("group = 'S5'\nbatch = 0", "batch: 0 is no batch; allowed are \"full\""),
        (
            "group = 'S5'\nmetrics = 'often'",
            "metrics: \"often\" is no cadence; allowed are log:K",
        ),
        (
            "group = 'S5'\ninitial_linear = 'cauchy:1'",
            "initial_linear: \"cauchy:1\" is no distribution",
        ),
        (
            "group = 'S5'\nmomentum = 0.9",
            "momentum has no meaning with optimiser = \"adam\"",
        ),
        (
            "group = 'S5'\noptimiser = 'sgd'\nbeta1 = 0.9",
            "beta1 has no meaning with optimiser = \"sgd\"",
        ),
        (
            "group = 'S5'\narchitecture = 'direct'\nembedding_width = 8",
            "embedding_width has no meaning",
        ),
        (
            "group = 'S5'\nreplacement = true",
            "replacement has no meaning with batch = \"full\"",
        ),
        ("group = 'S5'\nlearning_rate = nan", "learning_rate is NaN"),
        ("group = 'S5'\ntrain_fraction = 0", "train_fraction is 0"),
        ("group = 'S5'\ntrain_fraction = 1.5", "train_fraction is 1.5"),
        ("group = 'S5'\nepochs = 0", "epochs is 0"),
    ];
    for (text, message) in bad {
        let error = TrainConfig::resolve(&[settings(text)]).unwrap_err().to_string();
        assert!(error.contains(message), "{text:?} gives {error:?}");
    }
}

#[test]
fn a_fraction_that_leaves_no_pair_is_refused() {
    let error = Split::random(6, 0.02, 0).unwrap_err();
    assert!(matches!(error, ConfigError::NoTrainingPair { pairs: 36, .. }));
}

#[test]
fn a_split_is_a_partition_of_the_asked_size() {
    let split = Split::random(24, 0.6, 7).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (345, 231));
    let mut all = [split.train.clone(), split.test.clone()].concat();
    all.sort_unstable();
    assert_eq!(all, (0..576).collect::<Vec<u32>>());
    assert_eq!(split, Split::random(24, 0.6, 7).unwrap());
    assert_ne!(split, Split::random(24, 0.6, 8).unwrap());
}

#[test]
fn every_pair_is_equally_likely_to_be_trained_on() {
    let (order, seeds) = (10, 4000);
    let mut counts = vec![0_u32; order * order];
    let mut together = 0_u32;
    for seed in 0..seeds {
        let split = Split::random(order, 0.4, seed).unwrap();
        split.train.iter().for_each(|&pair| counts[pair as usize] += 1);
        together += u32::from(split.train.binary_search(&3).is_ok() && split.train.binary_search(&77).is_ok());
    }
    // 40 of 100 pairs each time, without replacement: variance 0.24, and covariance so that the sum is fixed.
    let expected = 0.4 * seeds as f64;
    let variance = 0.24 * seeds as f64;
    let chi_squared: f64 = counts
        .iter()
        .map(|&count| (f64::from(count) - expected).powi(2) / variance)
        .sum();
    // About 100 degrees of freedom: mean 100, standard deviation 14; five of these either side.
    assert!((30.0..170.0).contains(&chi_squared), "{chi_squared}");
    let expected = 40.0 * 39.0 / (100.0 * 99.0) * seeds as f64;
    assert!(
        (f64::from(together) - expected).abs() < 5.0 * expected.sqrt(),
        "{together} {expected}"
    );
}

#[test]
fn initial_weights_have_the_recipes_moments() {
    let config = TrainConfig::recipe("paper", "S5").unwrap();
    for tensor in initialise(&config, 120) {
        let (m2, largest) = tensor.values.iter().fold((0.0, 0.0_f64), |(m2, largest), value| {
            (
                m2 + value * value / tensor.values.len() as f64,
                largest.max(value.abs()),
            )
        });
        let (deviation, bound) = match tensor.name {
            "embed_left" | "embed_right" => (1.0, 6.0),
            "linear_left" | "linear_right" => (1.0 / 768_f64.sqrt(), 1.0 / 256_f64.sqrt()),
            "unembed" => (1.0 / 384_f64.sqrt(), 1.0 / 128_f64.sqrt()),
            _ => (0.0, 0.0),
        };
        assert!(
            (m2.sqrt() - deviation).abs() <= 0.02 * deviation,
            "{}: {}",
            tensor.name,
            m2.sqrt()
        );
        assert!(largest <= bound, "{}: {largest}", tensor.name);
    }
}

#[test]
fn cadences_choose_the_epochs_they_say() {
    let chosen = |cadence: &str| -> Vec<u64> {
        let cadence: Cadence = cadence.parse().unwrap();
        (0..=1000).filter(|&epoch| cadence.contains(epoch)).collect()
    };
    assert_eq!(chosen("every:300"), [0, 300, 600, 900]);
    assert_eq!(chosen("none"), [0_u64; 0]);
    assert_eq!(chosen("log:1"), [1, 10, 100, 1000]);
    assert_eq!(chosen("log:2"), [1, 3, 10, 31, 100, 316, 1000]);
}
