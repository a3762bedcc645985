//! Studies: tables and figures say of many networks what was measured of each. Figures are tested as data.

use ndarray::Array2;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rhoset::explain::{IdealCircuit, RhoSetExplanation, idealise};
use rhoset::group::{Group, Subgroup, spec};
use rhoset::irrep::Irreps;
use rhoset::measure::{Census, Intervention};
use rhoset::network::{Activation, Embedding, Network};
use rhoset::report::figure::{Figure, Mark, Scale};
use rhoset::report::page::describe;
use rhoset::report::page::run::{CheckpointRow, Curve, Training};
use rhoset::report::plot::{to_png, to_svg};
use rhoset::report::study::{CheckpointMeasures, Record, Studied, figures, tables};
use rhoset::report::table::Column;
use rhoset::verify::subject::Subject;

fn s4() -> (Group, Irreps) {
    let group = spec::parse("S4").expect("a group");
    let irreps = Irreps::new(&group, 0).expect("irreps");
    (group, irreps)
}

/// Full circuits of the standard irrep on four points, and of the sign.
fn planted(group: &Group, irreps: &Irreps) -> Network {
    let circuit = |name: &str, order: usize, coefficient: f64| {
        let index = irreps
            .real()
            .iter()
            .position(|irrep| irrep.name() == name)
            .expect("an irrep");
        let irrep = &irreps.real()[index];
        let pairs = group.elements().flat_map(|g| group.elements().map(move |h| (g, h)));
        let stabiliser = pairs
            .map(|(g, h)| Subgroup::generated(group, &[g, h]))
            .filter(|h| h.order() == order)
            .find(|h| h.elements().iter().map(|&g| irrep.character(g)).sum::<f64>() > 0.5)
            .expect("a subgroup that fixes a vector");
        let mut b = vec![0.0; irrep.dimension()];
        let start: Vec<f64> = [0.9, 0.1, -0.2][..irrep.dimension()].to_vec();
        for &h in stabiliser.elements() {
            let moved = irrep.matrix(h).dot(&ndarray::ArrayView1::from(&start));
            b.iter_mut()
                .zip(&moved)
                .for_each(|(sum, v)| *sum += v / stabiliser.order() as f64);
        }
        IdealCircuit {
            irrep: index,
            a: [0.3, -0.7, 0.5][..irrep.dimension()].to_vec(),
            c: b.iter().map(|v| -v).collect(),
            b,
            constant: 0.0,
            coefficient,
            left_stabiliser: stabiliser.elements().to_vec(),
            right_stabiliser: stabiliser.elements().to_vec(),
        }
    };
    let explanation = RhoSetExplanation {
        circuits: vec![circuit("standard", 6, 20.0), circuit("sign", 12, 20.0)],
        ..RhoSetExplanation::default()
    };
    idealise(&explanation, group, irreps).expect("circuits").round().0
}

fn random(group: &Group, seed: u64, activation: Activation) -> Network {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = group.order();
    let mut matrix = |rows, columns| Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-1.0..1.0f32));
    Network {
        embedding: Embedding::Direct {
            left: matrix(n, 12),
            right: matrix(n, 12),
        },
        unembed: matrix(12, n),
        bias: None,
        activation,
    }
}

fn record(name: &str, network: &Network, group: &Group, irreps: &Irreps) -> Record {
    let folded = network.fold();
    let (summary, _) = describe(&Subject::new(network, &folded, group), irreps);
    Record {
        network: name.to_owned(),
        order: group.order(),
        summary,
        studied: Studied::measure(&Subject::new(network, &folded, group), irreps).expect("measures"),
        training: None,
        learning: Vec::new(),
    }
}

fn records() -> (Group, Irreps, Vec<Record>) {
    let (group, irreps) = s4();
    let records = vec![
        record("planted", &planted(&group, &irreps), &group, &irreps),
        record("random", &random(&group, 1, Activation::Relu), &group, &irreps),
        record("square", &random(&group, 2, Activation::Square), &group, &irreps),
    ];
    (group, irreps, records)
}

fn all(group: &Group, irreps: &Irreps, records: &[Record]) -> Vec<Figure> {
    let census = Census::of(group, irreps, records.iter().map(|record| &record.studied.measures));
    figures::all(group.name(), records, &census)
}

fn find<'a>(figures: &'a [Figure], name: &str) -> &'a Figure {
    figures.iter().find(|figure| figure.name == name).expect("a figure")
}

/// The values of a column of a figure with named columns.
fn column(figure: &Figure, name: &str) -> Vec<f64> {
    let Scale::Categories(names) = &figure.x.scale else {
        panic!("{} has no columns", figure.name)
    };
    let at = names.iter().position(|own| own == name).expect("a column") as f64;
    let points = figure.series.iter().flat_map(|series| &series.points);
    points.filter(|(x, _)| *x == at).map(|(_, y)| *y).collect()
}

#[test]
fn figures_show_what_was_measured_and_proved() {
    let (group, irreps, records) = records();
    let figures = all(&group, &irreps, &records);
    let names: std::collections::BTreeSet<_> = figures.iter().map(|figure| &figure.name).collect();
    assert_eq!(names.len(), figures.len(), "every figure has a file of its own");
    assert!(
        figures
            .iter()
            .all(|figure| !figure.caption.is_empty() && figure.title.contains("S4, 3 networks"))
    );

    // Every verifier's marks are at what it proved; the square network has those that need no rho-sets.
    let bound = find(&figures, "accuracy-bound");
    for series in &bound.series {
        let expected: Vec<(f64, f64)> = (records.iter())
            .filter_map(|record| {
                let row = record
                    .summary
                    .verifiers
                    .iter()
                    .find(|row| row.verifier == series.name)?;
                Some((row.seconds, 100.0 * row.certified_pairs as f64 / 576.0))
            })
            .collect();
        assert_eq!(series.points.len(), expected.len(), "{}", series.name);
        for (drawn, expected) in series.points.iter().zip(expected) {
            assert!(
                drawn.0 == expected.0 && (drawn.1 - expected.1).abs() < 1e-9,
                "{}",
                series.name
            );
        }
    }
    assert_eq!(bound.series[0].points.len(), 3);
    for series in &bound.series {
        let relu_only = ["rho-set", "coset"].contains(&series.name.as_str());
        assert_eq!(series.points.len(), if relu_only { 2 } else { 3 }, "{}", series.name);
    }
    assert_eq!(
        bound.series[0].points[0].1, 100.0,
        "the planted network is right on all pairs"
    );

    let equivariance = find(&figures, "equivariance");
    let original = column(equivariance, "original");
    assert!(original[0] < 1e-5 && original[1] > 0.1, "{original:?}");
    assert!(column(equivariance, "random").iter().all(|&spread| spread > 1.0));
    assert!(column(equivariance, "idealised").iter().all(|&spread| spread < 1e-5));
    let shares = find(&figures, "equivariance-shares");
    assert!((column(shares, "both")[0] - 100.0).abs() < 1e-6);

    // Networks of other activations have no idealised tensors.
    let fit = find(&figures, "r-squared");
    assert_eq!(column(fit, "left").len(), 2);
    assert!(column(fit, "left")[0] < 1e-9 && column(fit, "left, in circuits")[0] < 1e-9);
    assert_eq!(column(find(&figures, "loss-by-tensor"), "original").len(), 3);
    let irrep = find(&figures, "loss-by-irrep");
    let losses = |name: &str| column(irrep, name)[0];
    assert!(losses("standard: without") > losses("standard: alone") && losses("standard: alone") > losses("original"));

    let interventions = find(&figures, "interventions");
    for intervention in Intervention::ALL {
        assert_eq!(column(interventions, &intervention.name()).len(), 3);
    }

    // Tiers are stacked to 100 % for every relu network.
    let tiers = find(&figures, "tiers");
    assert!(
        tiers
            .series
            .iter()
            .all(|series| series.mark == Mark::Bars && series.points.len() == 3)
    );
    for network in 0..3 {
        let total: f64 = tiers.series.iter().map(|series| series.points[network].1).sum();
        assert!((total - 100.0).abs() < 1e-9, "network {network}: {total}");
    }

    let census = find(&figures, "census");
    let standard = census
        .series
        .iter()
        .find(|series| series.name.starts_with("standard ("))
        .expect("standard");
    assert_eq!(standard.points[0].0, 4.0);
    assert!(standard.points[0].1 >= 100.0 / 3.0);

    for figure in &figures {
        let svg = to_svg(figure).expect("an SVG");
        assert!(svg.contains("<svg") && !svg.contains("NaN"), "{}", figure.name);
        assert!(to_png(figure).is_ok(), "{}", figure.name);
    }
}

#[test]
fn a_figure_without_data_says_so() {
    let (group, irreps, records) = records();
    let square = &records[2..];
    let figures = all(&group, &irreps, square);
    for name in ["margin-error", "r-squared", "cost-explained"] {
        let absent = find(&figures, name).absent.as_deref();
        assert!(
            absent.is_some_and(|reason| reason.contains("relu")),
            "{name}: {absent:?}"
        );
    }
    for name in ["learning", "learning-loss", "learning-measures"] {
        let absent = find(&figures, name).absent.as_deref();
        assert!(
            absent.is_some_and(|reason| reason.contains("checkpoints")),
            "{name}: {absent:?}"
        );
    }
    // None at all.
    let figures = all(&group, &irreps, &[]);
    assert!(
        figures
            .iter()
            .all(|figure| figure.absent.as_deref() == Some("there are no networks of S4") || figure.absent.is_some())
    );
    assert!(
        figures
            .iter()
            .all(|figure| to_svg(figure).expect("an SVG").contains("No data: "))
    );
}

#[test]
fn checkpoints_become_curves_over_epochs() {
    let (group, irreps, mut records) = records();
    let checkpoint = |epoch: u64, correct: usize, explained: usize| CheckpointRow {
        epoch,
        correct,
        pairs: 576,
        cross_entropy: Some(1.0),
        explained: Some(explained),
        circuits: 1,
        full_circuits: 0,
        in_circuits: 6,
        formations: Vec::new(),
    };
    let training = |last: usize| Training {
        epochs: vec![0, 5, 10],
        curves: vec![
            Curve {
                name: "train_loss".into(),
                values: vec![Some(3.0), Some(2.0), Some(0.5)],
            },
            Curve {
                name: "test_loss".into(),
                values: vec![Some(4.0), None, Some(1.0)],
            },
        ],
        checkpoints: vec![checkpoint(0, 0, 0), checkpoint(7, 288, 144), checkpoint(10, last, 288)],
        ..Training::default()
    };
    records[0].training = Some(training(576));
    records[1].training = Some(training(288));
    let measured =
        |epoch: u64, network: &Network| CheckpointMeasures::of(epoch, network, &group, &irreps).expect("measures");
    records[0].learning = vec![measured(10, &planted(&group, &irreps))];
    records[1].learning = vec![measured(7, &random(&group, 1, Activation::Relu))];
    let figures = all(&group, &irreps, &records);
    let series = |figure: &str, name: &str| {
        let figure = find(&figures, figure);
        figure
            .series
            .iter()
            .find(|series| series.name == name)
            .expect("a series")
            .points
            .clone()
    };
    // Means over the two runs; epoch 0 stands at a half.
    assert_eq!(series("learning", "accuracy"), [(0.5, 0.0), (7.0, 50.0), (10.0, 75.0)]);
    assert_eq!(
        series("learning", "proved by explanation"),
        [(0.5, 0.0), (7.0, 25.0), (10.0, 50.0)]
    );
    // What was measured last before a checkpoint; where that is no number there is no point.
    assert_eq!(series("learning-loss", "train"), [(0.5, 3.0), (7.0, 2.0), (10.0, 0.5)]);
    assert_eq!(series("learning-loss", "test"), [(0.5, 4.0), (10.0, 1.0)]);
    let equivariant = series("learning-measures", "bi-equivariant");
    assert_eq!(equivariant.len(), 2);
    assert!(equivariant[0].0 == 7.0 && equivariant[0].1 < 20.0, "{equivariant:?}");
    assert!(
        equivariant[1].0 == 10.0 && (equivariant[1].1 - 100.0).abs() < 1e-6,
        "{equivariant:?}"
    );
    assert!(series("learning-measures", "R² of left")[1].1 > 99.999);
    let learning = tables::learning(&[("S4", &records)]);
    let fits = learning.numbers("r_squared.left").expect("a column");
    assert!(
        fits[..2] == [None, None] && fits[2].is_some_and(|fit| fit > 0.999_99),
        "{fits:?}"
    );
    assert_eq!(learning.rows(), 6);
    assert_eq!(
        learning.numbers("explained_bound").expect("a column")[..3],
        [Some(0.0), Some(0.25), Some(0.5)]
    );
    assert_eq!(
        learning.numbers("test_loss").expect("a column")[..3],
        [Some(4.0), None, Some(1.0)]
    );
}

#[test]
fn tables_hold_every_network_and_what_was_measured_of_it() {
    let (group, irreps, records) = records();
    let census = Census::of(&group, &irreps, records.iter().map(|record| &record.studied.measures));
    let all = tables::all(&[("S4", &records)], &[("S4", census)]);
    let table = |name: &str| &all.iter().find(|(own, _)| *own == name).expect("a table").1;
    let results = table("results");
    assert_eq!(results.rows(), 3);
    assert_eq!(
        results.columns()[0].1,
        Column::Text(["planted", "random", "square"].map(|n| Some(n.to_owned())).into())
    );
    let measures = &records[0].studied.measures;
    for (name, expected) in [
        ("accuracy", Some(1.0)),
        ("cross_entropy", Some(measures.original.cross_entropy)),
        ("equivariance.share_two_sided", Some(measures.equivariance.two_sided)),
        ("r_squared.left", measures.fit.map(|fit| fit.all.left)),
        ("brute.accuracy_bound", Some(1.0)),
        ("ideal_margin", records[0].studied.margin_error.map(|own| own.margin)),
    ] {
        assert_eq!(results.numbers(name).expect("a column")[0], expected, "{name}");
    }
    // What does not apply is missing.
    assert_eq!(results.numbers("r_squared.left").expect("a column")[2], None);
    assert_eq!(results.numbers("rho-set.accuracy_bound").expect("a column")[2], None);
    assert_eq!(table("irreps").rows(), 3 * 4);
    assert_eq!(table("interventions").rows(), 3 * Intervention::ALL.len());
    let circuits: usize = records
        .iter()
        .map(|record| record.studied.measures.circuits.len())
        .sum();
    assert_eq!(table("circuits").rows(), circuits);
    assert_eq!(table("learning").rows(), 0);
    assert!(table("census").rows() >= 4);
    for (name, table) in &all {
        assert_eq!(table.to_csv().lines().count(), table.rows() + 1, "{name}");
        assert!(table.to_parquet().expect("a file").starts_with(b"PAR1"), "{name}");
    }
    // The idealised margin and errors are those of the exactly planted network: nothing but rounding.
    let margin = records[0].studied.margin_error.expect("a relu network");
    assert!(
        margin.largest < 0.05 * margin.margin && margin.mean <= margin.largest,
        "{margin:?}"
    );
}

#[test]
fn studies_are_kept_and_read_back() {
    let (group, irreps) = s4();
    let folder = tempfile::tempdir().expect("a directory");
    let cache = rhoset::report::page::Cache::new(folder.path());
    let network = planted(&group, &irreps);
    let folded = network.fold();
    let (first, kept) = Studied::new(&Subject::new(&network, &folded, &group), &irreps, &cache).expect("measures");
    kept.expect("room");
    let files = || std::fs::read_dir(folder.path()).expect("a directory").count();
    assert_eq!(files(), 1);
    let (second, _) = Studied::new(&Subject::new(&network, &folded, &group), &irreps, &cache).expect("measures");
    let text = |studied: &Studied| serde_json::to_string(studied).expect("JSON");
    assert_eq!(text(&first), text(&second));
    // Other weights are another network.
    let other = random(&group, 3, Activation::Relu);
    let _ = Studied::new(&Subject::new(&other, &other.fold(), &group), &irreps, &cache).expect("measures");
    assert_eq!(files(), 2);
}
