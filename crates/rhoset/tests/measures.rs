//! Measures of networks whose answers are known: circuits planted by hand, and networks of nothing but noise.

use ndarray::{Array1, Array2};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rhoset::explain::{self, IdealCircuit, Parts, RhoSetExplanation, idealise};
use rhoset::group::{Element, Group, Subgroup, spec};
use rhoset::irrep::{Irrep, Irreps};
use rhoset::measure::equivariance::BiEquivariance;
use rhoset::measure::variance_of_a::variance_of_a;
use rhoset::measure::{self, Census, Intervention, Measures, ablation, census, coset_concentration, idealised_fit};
use rhoset::network::evaluate::{Evaluation, logits};
use rhoset::network::{Activation, Embedding, Folded, Network};

/// S4's standard irrep on the four points of its tetrahedron: 16 neurons for the pairs (b, -b').
fn tetrahedron() -> (Group, Irreps, RhoSetExplanation, Network) {
    let group = spec::parse("S4").expect("a group");
    let irreps = Irreps::new(&group, 0).expect("irreps");
    let index = (irreps.real().iter())
        .position(|irrep| irrep.name() == "standard")
        .expect("the standard irrep");
    let irrep = &irreps.real()[index];
    let stabiliser = point_stabiliser(&group, irrep);
    let b = fixed(irrep, &stabiliser);
    let minus = |v: &[f64]| v.iter().map(|t| -t).collect::<Vec<f64>>();
    // A direction in no special position.
    let a = unit(vec![0.3, -0.7, 0.5]);
    let explanation = RhoSetExplanation {
        circuits: vec![IdealCircuit {
            irrep: index,
            a,
            c: minus(&b),
            b,
            constant: 0.0,
            coefficient: 3.0,
            left_stabiliser: stabiliser.elements().to_vec(),
            right_stabiliser: stabiliser.elements().to_vec(),
        }],
        ..RhoSetExplanation::default()
    };
    let (network, _) = idealise(&explanation, &group, &irreps).expect("a circuit").round();
    (group, irreps, explanation, network)
}

fn unit(v: Vec<f64>) -> Vec<f64> {
    let size = v.iter().map(|t| t * t).sum::<f64>().sqrt();
    v.into_iter().map(|t| t / size).collect()
}

/// A subgroup of index 4 that fixes a vector of the irrep.
fn point_stabiliser(group: &Group, irrep: &Irrep) -> Subgroup {
    let generated = group.elements().flat_map(|g| group.elements().map(move |h| (g, h)));
    let subgroups = generated.map(|(g, h)| Subgroup::generated(group, &[g, h]));
    subgroups
        .filter(|h| h.index() == 4)
        .find(|h| h.elements().iter().map(|&g| irrep.character(g)).sum::<f64>() > 0.5)
        .expect("S3 fixes a point")
}

fn fixed(irrep: &Irrep, subgroup: &Subgroup) -> Vec<f64> {
    let start = Array1::from(vec![0.9, 0.1, -0.2]);
    let mut sum = Array1::<f64>::zeros(irrep.dimension());
    for &h in subgroup.elements() {
        sum += &irrep.matrix(h).dot(&start);
    }
    unit(sum.to_vec())
}

fn measured(group: &Group, irreps: &Irreps, network: &Network) -> Measures {
    Measures::explained(network, &network.fold(), group, irreps, 0).expect("circuits of its own explanation")
}

fn random_network(group: &Group, neurons: usize, seed: u64) -> Network {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let n = group.order();
    let mut matrix = |rows, columns| Array2::from_shape_simple_fn((rows, columns), || rng.random_range(-1.0..1.0f32));
    Network {
        embedding: Embedding::Direct {
            left: matrix(n, neurons),
            right: matrix(n, neurons),
        },
        unembed: matrix(neurons, n),
        bias: None,
        activation: Activation::Relu,
    }
}

#[test]
fn a_planted_circuit_is_measured_as_what_it_is() {
    let (group, irreps, _, network) = tetrahedron();
    let measures = measured(&group, &irreps, &network);
    // Exactly bi-equivariant but for float32 weights.
    let equivariance = measures.equivariance;
    assert!(equivariance.variation.right < 1e-5, "{equivariance:?}");
    assert!(equivariance.variation.left < 1e-5 && equivariance.variation.two_sided < 1e-5);
    for share in [
        equivariance.right,
        equivariance.left,
        equivariance.two_sided,
        equivariance.sum,
    ] {
        assert!((share - 1.0).abs() < 1e-9, "{equivariance:?}");
    }
    assert!(measures.idealised_equivariance.expect("a circuit").variation.two_sided < 1e-10);
    // The explanation is the network.
    assert_eq!((measures.active_neurons, measures.circuit_neurons), (16, 16));
    let fit = measures.fit.expect("a relu network");
    for r_squared in [fit.all, fit.members.expect("members")] {
        let Parts { left, right, unembed } = r_squared;
        assert!(
            left > 1.0 - 1e-9 && right > 1.0 - 1e-9 && unembed > 1.0 - 1e-9,
            "{fit:?}"
        );
    }
    assert!((fit.explained - 1.0).abs() < 1e-12);
    assert_eq!(measures.original.accuracy, 1.0);
    let tensors = measures.tensors.expect("a relu network");
    for performance in [
        tensors.left,
        tensors.right,
        tensors.unembed,
        tensors.all,
        measures.idealised.expect("ideal"),
    ] {
        assert!(
            (performance.cross_entropy - measures.original.cross_entropy).abs() < 1e-5,
            "{tensors:?}"
        );
    }
    // One irrep, one circuit of S3 and S3, sharing one a.
    let learned: Vec<_> = measures.irreps.iter().filter(|irrep| irrep.neurons > 0).collect();
    assert_eq!(learned.len(), 1);
    assert_eq!((learned[0].irrep.as_str(), learned[0].neurons), ("standard", 16));
    assert!((learned[0].share.mean() - 1.0).abs() < 1e-6);
    assert!(learned[0].variance_of_a.expect("neurons") < 1e-6);
    // Without it nothing is known: every logit is 0.
    let losses = learned[0].losses.expect("neurons");
    assert!((losses.ablated.cross_entropy - 24f64.ln()).abs() < 1e-9 && losses.ablated.accuracy == 0.0);
    assert!((losses.restricted.cross_entropy - measures.original.cross_entropy).abs() < 1e-9);
    let [circuit] = measures.circuits.as_slice() else {
        panic!("one circuit: {:?}", measures.circuits)
    };
    assert_eq!(
        (circuit.left_stabiliser.as_str(), circuit.right_stabiliser.as_str()),
        ("S3", "S3")
    );
    assert_eq!((circuit.rho_sets, circuit.present, circuit.pairs), ((4, 4), 16, 16));
    assert!(
        measures
            .cosets
            .iter()
            .all(|share| share.left < 1e-9 && share.right < 1e-9)
    );
    assert!(measures.cosets.iter().all(|share| share.left_subgroup == "S3"));
}

#[test]
fn logits_that_are_a_character_are_similar_to_it_alone() {
    // chi(x^-1 z y^-1) = chi(x) chi(y) chi(z) on V4, made of one neuron with the square as activation.
    let group = spec::parse("V4").expect("a group");
    let irreps = Irreps::new(&group, 0).expect("irreps");
    let chi = |g: usize| irreps.real()[1].character(Element(g as u16)) as f32;
    let network = Network {
        embedding: Embedding::Direct {
            left: Array2::from_shape_fn((4, 1), |(x, _)| chi(x)),
            right: Array2::from_shape_fn((4, 1), |(y, _)| chi(y)),
        },
        // (chi(x) + chi(y))^2 = 2 + 2 chi(x) chi(y); the constant is the bias's.
        unembed: Array2::from_shape_fn((1, 4), |(_, z)| chi(z)),
        bias: Some(Array1::from_shape_fn(4, |z| -2.0 * chi(z))),
        activation: Activation::Square,
    };
    let measures = measured(&group, &irreps, &network);
    assert!(
        (measures.irreps[0].similarity - 1.0).abs() < 1e-6,
        "{:?}",
        measures.irreps
    );
    assert!(measures.irreps[1].similarity.abs() < 1e-6 && measures.irreps[2].similarity.abs() < 1e-6);
    // Idealised tensors are a matter of relu networks.
    assert!(measures.fit.is_none() && measures.tensors.is_none() && measures.idealised.is_none());
    let everything = measures.irreps[0].losses.expect("its neuron");
    assert!(everything.idealised.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    /// Averages over orbits, by the definition, against the tables.
    #[test]
    fn equivariant_shares_are_the_projections_onto_equivariant_functions(
        seed in 0_u64..1000,
        spec in prop::sample::select(vec!["C1", "C3", "S3", "Q8"]),
    ) {
        let group = spec::parse(spec).expect("a group");
        let n = group.order();
        let network = random_network(&group, 5, seed).fold();
        let mut f = ndarray::Array3::<f64>::zeros((n, n, n));
        for x in group.elements() {
            for y in group.elements() {
                let row = logits(&network, x, y);
                let mean = row.sum() / n as f64;
                f.slice_mut(ndarray::s![x.index(), y.index(), ..]).assign(&(row - mean));
            }
        }
        let size = |f: &ndarray::Array3<f64>| f.iter().map(|v| v * v).sum::<f64>();
        let averaged = |f: &ndarray::Array3<f64>, left: bool| {
            ndarray::Array3::from_shape_fn((n, n, n), |(x, y, z)| {
                let [x, y, z] = [x, y, z].map(|i| Element(i as u16));
                let terms = group.elements().map(|g| match left {
                    true => f[[group.mul(g, x).index(), y.index(), group.mul(g, z).index()]],
                    false => f[[x.index(), group.mul(y, g).index(), group.mul(z, g).index()]],
                });
                terms.sum::<f64>() / n as f64
            })
        };
        let (left, right) = (averaged(&f, true), averaged(&f, false));
        let both = averaged(&left, false);
        let sum = &left + &right - &both;
        let share = |part: &ndarray::Array3<f64>| if size(&f) > 0.0 { size(part) / size(&f) } else { 0.0 };
        let equivariance = BiEquivariance::of(&network, &group);
        for (measured, expected) in [
            (equivariance.left, share(&left)),
            (equivariance.right, share(&right)),
            (equivariance.two_sided, share(&both)),
            (equivariance.sum, share(&sum)),
        ] {
            prop_assert!((measured - expected).abs() < 1e-9, "{measured} {expected} of {equivariance:?}");
        }
    }

    /// Each block's losses against those of a network from which neurons were really taken.
    #[test]
    fn block_losses_are_those_of_networks_without_the_other_neurons(seed in 0_u64..1000) {
        let group = spec::parse("S3").expect("a group");
        let mut network = random_network(&group, 6, seed).fold();
        network.bias = Array1::from_shape_fn(6, |z| 0.1 * z as f64);
        let ideal = random_network(&group, 6, seed + 1).fold();
        let blocks = vec![vec![0, 2], vec![5], vec![]];
        let measured = ablation::blocks(&network, &group, &blocks, Some(&ideal), &group.elements().collect::<Vec<_>>());
        let at = |x| ablation::blocks(&network, &group, &blocks, Some(&ideal), &[x]);
        let apart: Vec<_> = group.elements().map(at).collect();
        for (b, all) in measured.iter().enumerate() {
            let mean = apart.iter().map(|at| at[b].ablated.cross_entropy).sum::<f64>() / 6.0;
            prop_assert!((mean - all.ablated.cross_entropy).abs() < 1e-12);
        }
        for (block, losses) in blocks.iter().zip(measured) {
            let with = |change: &dyn Fn(&mut Folded)| {
                let mut changed = network.clone();
                change(&mut changed);
                Evaluation::of(&changed, &group)
            };
            let ablated = with(&|changed| block.iter().for_each(|&i| changed.unembed.row_mut(i).fill(0.0)));
            let restricted = with(&|changed| {
                (0..6).filter(|i| !block.contains(i)).for_each(|i| changed.unembed.row_mut(i).fill(0.0));
            });
            let idealised = with(&|changed| {
                for &i in block {
                    changed.left.column_mut(i).assign(&ideal.left.column(i));
                    changed.right.column_mut(i).assign(&ideal.right.column(i));
                    changed.unembed.row_mut(i).assign(&ideal.unembed.row(i));
                }
            });
            for (measured, expected) in [
                (losses.ablated, ablated),
                (losses.restricted, restricted),
                (losses.idealised.expect("ideal given"), idealised),
            ] {
                prop_assert_eq!(measured.accuracy, expected.accuracy);
                prop_assert!((measured.cross_entropy - expected.cross_entropy).abs() < 1e-9);
            }
        }
    }
}

#[test]
fn blocks_are_measured_at_every_x_but_in_large_groups() {
    let spaced = |spec, blocks| ablation::spaced(&spec::parse(spec).expect("a group"), blocks);
    for (spec, order, blocks) in [("S5", 120, 2000), ("S4", 24, 0), ("C1", 1, 5), ("S6", 720, 10)] {
        assert_eq!(spaced(spec, blocks).len(), order, "{spec}");
    }
    let some = spaced("S6", 70);
    assert_eq!(some.len(), 110);
    assert!(some.is_sorted() && some.last().is_some_and(|x| x.index() > 700));
}

#[test]
fn a_random_network_is_far_from_equivariant() {
    let group = spec::parse("S4").expect("a group");
    let network = random_network(&group, 64, 3).fold();
    let equivariance = BiEquivariance::of(&network, &group);
    assert!(
        equivariance.variation.right > 1.0 && equivariance.variation.left > 1.0,
        "{equivariance:?}"
    );
    // n of n^3 dimensions are bi-equivariant.
    assert!(equivariance.two_sided < 0.05, "{equivariance:?}");
}

#[test]
fn a_one_sided_network_is_equivariant_on_its_side_only() {
    // Right-equivariant: neurons for every q and three of the four b.
    let (group, _, _, network) = tetrahedron();
    let Embedding::Direct { left, right } = &network.embedding else {
        panic!("idealised networks are direct")
    };
    let rows: Vec<usize> = (0..12).collect();
    let select = |m: &Array2<f32>| m.select(ndarray::Axis(1), &rows);
    let part = Network {
        embedding: Embedding::Direct {
            left: select(left),
            right: select(right),
        },
        unembed: network.unembed.select(ndarray::Axis(0), &rows),
        ..network.clone()
    };
    let equivariance = BiEquivariance::of(&part.fold(), &group);
    assert!(
        (equivariance.right - 1.0).abs() < 1e-9 && equivariance.variation.right < 1e-5,
        "{equivariance:?}"
    );
    assert!(
        equivariance.left < 0.99 && equivariance.variation.left > 1e-2,
        "{equivariance:?}"
    );
    assert!((equivariance.sum - 1.0).abs() < 1e-9);
}

#[test]
fn coset_concentration_is_the_variance_within_cosets() {
    let group = spec::parse("C6").expect("a group");
    let subgroup = Subgroup::generated(&group, &[Element(3)]);
    let cosets = subgroup.right_cosets(&group);
    // Cosets {0, 3}, {1, 4}, {2, 5}: means 1, 2, 3 and deviations 1 within.
    let f = Array1::from(vec![0.0, 1.0, 2.0, 2.0, 3.0, 4.0]);
    let within = coset_concentration::within(f.view(), &cosets);
    assert!((within - 1.0 / (1.0 + 2.0 / 3.0)).abs() < 1e-12, "{within}");
    assert_eq!(
        coset_concentration::within(Array1::from(vec![5.0; 6]).view(), &cosets),
        0.0
    );
}

#[test]
fn variance_of_a_is_half_where_half_the_neurons_have_an_orthogonal_a() {
    let group = spec::parse("S4").expect("a group");
    let irreps = Irreps::new(&group, 0).expect("irreps");
    let index = irreps
        .real()
        .iter()
        .position(|irrep| irrep.name() == "standard")
        .expect("standard");
    let irrep = &irreps.real()[index];
    // b' rho(x) a and a' rho(y) c for a = e0 in the even and e1 in the odd neurons.
    let function = |x: Element, i: usize, left: bool| {
        let matrix = irrep.matrix(x);
        if left { matrix[[2, i % 2]] } else { matrix[[i % 2, 2]] }
    };
    let of = |left| Array2::from_shape_fn((24, 8), |(x, i)| function(Element(x as u16), i, left));
    let network = Folded {
        left: of(true),
        right: of(false),
        unembed: Array2::ones((8, 24)),
        bias: Array1::zeros(24),
        left_error: Array1::zeros(8),
        right_error: Array1::zeros(8),
        activation: Activation::Relu,
    };
    let variance = |neurons: &[usize]| variance_of_a(&network, &irreps, index, neurons).expect("neurons");
    assert!((variance(&[0, 1, 2, 3, 4, 5, 6, 7]) - 0.5).abs() < 1e-9);
    assert!(variance(&[0, 2, 4, 6]) < 1e-9);
    assert!((variance(&[0, 2, 4, 1]) - 0.25).abs() < 1e-9);
    assert!(variance_of_a(&network, &irreps, index, &[]).is_none());
}

#[test]
fn neurons_of_complex_type_share_a_up_to_the_commutant() {
    // In C7 every turn of the plane commutes with the irrep: all phases are one a.
    let group = spec::parse("C7").expect("a group");
    let irreps = Irreps::new(&group, 0).expect("irreps");
    let wave = |x: usize, i: usize| (std::f64::consts::TAU * x as f64 / 7.0 + 0.7 * i as f64).cos();
    let functions = Array2::from_shape_fn((7, 5), |(x, i)| wave(x, i));
    let network = Folded {
        left: functions.clone(),
        right: functions,
        unembed: Array2::ones((5, 7)),
        bias: Array1::zeros(7),
        left_error: Array1::zeros(5),
        right_error: Array1::zeros(5),
        activation: Activation::Relu,
    };
    let index = (1..irreps.real().len())
        .max_by(|&p, &q| {
            let energy = |k: usize| {
                irreps
                    .project(k, network.left.view())
                    .iter()
                    .map(|v| v * v)
                    .sum::<f64>()
            };
            energy(p).total_cmp(&energy(q))
        })
        .expect("irreps");
    assert!(variance_of_a(&network, &irreps, index, &[0, 1, 2, 3, 4]).expect("neurons") < 1e-9);
}

#[test]
fn noise_on_a_planted_circuit_shows_in_its_fit() {
    let (group, irreps, _, network) = tetrahedron();
    let Embedding::Direct { left, right } = &network.embedding else {
        panic!("idealised networks are direct")
    };
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut noisy = |m: &Array2<f32>| {
        let scale = (m.iter().map(|w| w * w).sum::<f32>() / m.len() as f32).sqrt();
        m.mapv(|w| w + 0.1 * scale * 3f32.sqrt() * rng.random_range(-1.0..1.0f32))
    };
    let network = Network {
        embedding: Embedding::Direct {
            left: noisy(left),
            right: noisy(right),
        },
        ..network.clone()
    };
    let fit = measured(&group, &irreps, &network).fit.expect("relu").all;
    // Noise of a hundredth of the variance; a and b are themselves fitted to it.
    assert!(
        (0.98..0.995).contains(&fit.left) && (0.98..0.995).contains(&fit.right),
        "{fit:?}"
    );
    assert!(fit.unembed > 0.995, "{fit:?}");
}

#[test]
fn neurons_outside_all_circuits_count_as_unexplained() {
    let (group, irreps, explanation, network) = tetrahedron();
    let explanation = RhoSetExplanation {
        members: vec![None; 16],
        ..explanation
    };
    let folded = network.fold();
    let ideal = idealised_fit::in_place(&folded, &group, &irreps, &explanation).expect("a circuit");
    let fit = measure::IdealisedFit::of(&folded, &ideal);
    assert_eq!((fit.all.left, fit.all.right, fit.all.unembed), (0.0, 0.0, 0.0));
    assert_eq!((fit.members, fit.explained), (None, 0.0));
}

#[test]
fn interventions_do_what_their_names_say() {
    let group = spec::parse("S3").expect("a group");
    let network = random_network(&group, 7, 11);
    let Embedding::Direct { left, right } = &network.embedding else {
        panic!("random networks are direct")
    };
    let of = |left: Array2<f32>, right: Array2<f32>, activation| {
        let changed = Network {
            embedding: Embedding::Direct { left, right },
            activation,
            ..network.clone()
        };
        Evaluation::of(&changed.fold(), &group).cross_entropy
    };
    let relu = Activation::Relu;
    let expected = [
        (Intervention::SwapEmbeddings, of(right.clone(), left.clone(), relu)),
        (Intervention::FlipLeft, of(-left, right.clone(), relu)),
        (Intervention::FlipRight, of(left.clone(), -right, relu)),
        (Intervention::FlipBoth, of(-left, -right, relu)),
        (
            Intervention::AbsoluteValue,
            of(left.clone(), right.clone(), Activation::Abs),
        ),
        // Noise without deviation is a shift.
        (
            Intervention::Noise {
                mean: 0.5,
                deviation: 0.0,
            },
            of(left + 0.5, right.clone(), relu),
        ),
    ];
    for (intervention, expected) in expected {
        let measured = intervention.performance(&network, &group, 1).cross_entropy;
        assert!(
            (measured - expected).abs() < 1e-6,
            "{}: {measured}, not {expected}",
            intervention.name()
        );
    }
}

#[test]
fn swapping_embeddings_leaves_the_linear_maps_where_they_are() {
    let group = spec::parse("C2").expect("a group");
    let row = |values: [f32; 2]| Array2::from_shape_fn((2, 1), |(x, _)| values[x]);
    let network = Network {
        embedding: Embedding::TwoLinear {
            embed_left: row([1.0, -1.0]),
            embed_right: row([0.5, 2.0]),
            linear_left: Array2::from_elem((1, 1), 3.0),
            linear_right: Array2::from_elem((1, 1), -1.0),
        },
        unembed: Array2::from_shape_fn((1, 2), |(_, z)| z as f32),
        bias: None,
        activation: Activation::Relu,
    };
    let swapped = Network {
        embedding: Embedding::TwoLinear {
            embed_left: row([0.5, 2.0]),
            embed_right: row([1.0, -1.0]),
            linear_left: Array2::from_elem((1, 1), 3.0),
            linear_right: Array2::from_elem((1, 1), -1.0),
        },
        ..network.clone()
    };
    let expected = Evaluation::of(&swapped.fold(), &group).cross_entropy;
    let measured = Intervention::SwapEmbeddings
        .performance(&network, &group, 0)
        .cross_entropy;
    assert_eq!(measured, expected);
    // One norm for each matrix as stored, none for the bias.
    let norm = 2f64.sqrt() + 4.25f64.sqrt() + 3.0 + 1.0 + 1.0;
    assert!((measure::norm(&network) - norm).abs() < 1e-6);
}

#[test]
fn noise_has_the_mean_and_deviation_asked_for() {
    // One neuron with input 0 and linear activation: logit 1 is the noise, logit 0 is 0.
    let n = 64;
    let group = spec::parse("C64").expect("a group");
    let mut unembed = Array2::zeros((1, n));
    unembed[[0, 1]] = 1.0;
    let network = Network {
        embedding: Embedding::Direct {
            left: Array2::zeros((n, 1)),
            right: Array2::zeros((n, 1)),
        },
        unembed,
        bias: None,
        activation: Activation::Linear,
    };
    let noise = |mean, deviation| Intervention::Noise { mean, deviation }.performance(&network, &group, 9);
    // The loss is log(n - 1 + exp(t)) - t [xy = 1], nearly log(n - 1) + exp(t) / (n - 1) where t is small.
    let loss = noise(0.0, 1.0).cross_entropy;
    // E log(63 + exp(t)) for a standard normal t, by quadrature: 4.1683; the correct logit is t once in 64 times.
    assert!((loss - 4.1683).abs() < 0.003, "{loss}");
    let shifted = noise(-30.0, 1.0);
    assert!(
        (shifted.cross_entropy - (63f64.ln() + 30.0 / 64.0)).abs() < 0.02,
        "{shifted:?}"
    );
    assert_eq!(noise(0.0, 1.0), noise(0.0, 1.0));
}

#[test]
fn the_smallest_rho_sets_of_s4_and_s5_are_known() {
    let sizes = |spec: &str| {
        let group = spec::parse(spec).expect("a group");
        let irreps = Irreps::new(&group, 0).expect("irreps");
        let sizes = census::smallest_rho_sets(&group, &irreps).expect("few subgroups");
        let names = irreps.real().iter().map(|irrep| irrep.name().to_owned());
        names.zip(sizes).collect::<Vec<_>>()
    };
    let find = |sizes: &[(String, usize)], name: &str| {
        sizes
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, size)| *size)
            .expect("an irrep")
    };
    let s4 = sizes("S4");
    assert_eq!(find(&s4, "trivial"), 1);
    assert_eq!(find(&s4, "sign"), 2);
    // Points of the tetrahedron; the cube's axes with signs for the twist; the triangle for dimension 2.
    assert_eq!(
        (find(&s4, "standard"), find(&s4, "standard x sign"), find(&s4, "2")),
        (4, 6, 3)
    );
    let s5 = sizes("S5");
    assert_eq!(
        (find(&s5, "sign"), find(&s5, "standard"), find(&s5, "standard x sign")),
        (2, 5, 10)
    );
}

#[test]
fn a_census_counts_networks_circuits_and_stabilisers() {
    let (group, irreps, _, network) = tetrahedron();
    let planted = measured(&group, &irreps, &network);
    let random = measured(&group, &irreps, &random_network(&group, 16, 2));
    let networks = [planted.clone(), planted, random];
    let census = Census::of(&group, &irreps, networks.iter());
    assert_eq!((census.networks, census.rows.len()), (3, 4));
    let standard = census
        .rows
        .iter()
        .find(|row| row.irrep == "standard")
        .expect("standard");
    assert!(standard.with_full_circuit >= 2 && standard.smallest_rho_set == Some(4));
    let most = &standard.stabilisers[0];
    assert_eq!(
        (most.left.as_str(), most.right.as_str(), most.rho_sets),
        ("S3", "S3", (4, 4))
    );
    assert!(most.circuits >= 2 && most.full >= 2);
    assert!(
        Census::of(&group, &irreps, std::iter::empty())
            .rows
            .iter()
            .all(|row| row.share == 0.0)
    );
}

#[test]
fn a_network_that_learned_nothing_is_measured_too() {
    let group = spec::parse("S3").expect("a group");
    let irreps = Irreps::new(&group, 0).expect("irreps");
    let zero = Network {
        embedding: Embedding::Direct {
            left: Array2::zeros((6, 3)),
            right: Array2::zeros((6, 3)),
        },
        unembed: Array2::zeros((3, 6)),
        bias: None,
        activation: Activation::Relu,
    };
    let measures = measured(&group, &irreps, &zero);
    assert_eq!((measures.original.accuracy, measures.active_neurons), (0.0, 0));
    assert!(measures.idealised.is_none() && measures.circuits.is_empty());
    // Numbers only: infinities and NaN would not survive JSON.
    let text = serde_json::to_string(&measures).expect("JSON");
    assert!(!text.contains("null,\"variation\""));
    let back: Measures = serde_json::from_str(&text).expect("what was written");
    assert_eq!(serde_json::to_string(&back).expect("JSON"), text);
    let trivial = spec::parse("C1").expect("a group");
    let network = random_network(&trivial, 2, 0);
    let measures = measured(&trivial, &Irreps::new(&trivial, 0).expect("irreps"), &network);
    assert!(measures.min_margin.is_none() && measures.original.accuracy == 1.0);
}

#[test]
fn the_paper_s_pattern_of_equivariance_holds_on_sample_networks() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/networks/paper-recipe");
    let Ok(networks) = rhoset::network::file::load(folder.join("s5-001.safetensors")) else {
        eprintln!("skipped: no sample networks beside the checkout");
        return;
    };
    let [loaded] = networks.as_slice() else {
        panic!("one network")
    };
    let group = loaded.group.clone().expect("the file has its table");
    let irreps = Irreps::new(&group, 0).expect("irreps");
    let folded = loaded.network.fold();
    let explanation = explain::explain(&folded, &group, &irreps);
    let measures = Measures::of(&loaded.network, &folded, &group, &irreps, &explanation, 0).expect("measures");
    let variation = measures.equivariance.variation;
    assert!(
        (0.01..0.06).contains(&variation.right) && (0.01..0.06).contains(&variation.left),
        "{variation:?}"
    );
    let ideal = measures.idealised_equivariance.expect("circuits").variation;
    assert!(
        ideal.right < 1e-5 && ideal.left < 1e-5 && ideal.two_sided < 1e-5,
        "{ideal:?}"
    );
    let fit = measures.fit.expect("relu");
    assert!(fit.all.left > 0.999 && fit.all.right > 0.999, "{fit:?}");
}
