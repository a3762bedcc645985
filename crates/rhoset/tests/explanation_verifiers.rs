//! The verifiers from rho-sets and cosets claim no more than exact arithmetic finds, whatever the explanation says.

use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rhoset::explain::{self, CosetExplanation, IdealCircuit, IdealisedError, Member, RhoSetExplanation};
use rhoset::group::{Element, Group, Subgroup, spec};
use rhoset::irrep::Irreps;
use rhoset::network::{Activation, Folded};
use rhoset::verify::{coset, rho_set};

/// A network whose weights are integers times powers of two, so that i128 evaluates it without any rounding.
struct Exact {
    left: Array2<i64>,
    right: Array2<i64>,
    unembed: Array2<i64>,
    bias: Array1<i64>,
    /// Powers of two of inputs and unembedding.
    scales: (i32, i32),
}

impl Exact {
    fn folded(&self) -> Folded {
        let (input, output) = (2f64.powi(self.scales.0), 2f64.powi(self.scales.1));
        Folded {
            left: self.left.mapv(|t| t as f64 * input),
            right: self.right.mapv(|t| t as f64 * input),
            unembed: self.unembed.mapv(|t| t as f64 * output),
            bias: self.bias.mapv(|t| t as f64 * input * output),
            left_error: Array1::zeros(self.left.ncols()),
            right_error: Array1::zeros(self.left.ncols()),
            activation: Activation::Relu,
        }
    }

    /// The margin as a float64: exact, for integers this small.
    fn margin(&self, group: &Group, x: Element, y: Element) -> f64 {
        let logit = |z: usize| -> i128 {
            (0..self.left.ncols())
                .map(|i| {
                    let input = i128::from(self.left[[x.index(), i]]) + i128::from(self.right[[y.index(), i]]);
                    i128::from(self.unembed[[i, z]]) * input.max(0)
                })
                .sum::<i128>()
                + i128::from(self.bias[z])
        };
        let xy = group.mul(x, y).index();
        let rival = (0..group.order())
            .filter(|&z| z != xy)
            .map(logit)
            .max()
            .expect("at least two elements");
        (logit(xy) - rival) as f64 * 2f64.powi(self.scales.0 + self.scales.1)
    }

    fn margins(&self, group: &Group) -> Array2<f64> {
        let n = group.order();
        Array2::from_shape_fn((n, n), |(x, y)| {
            self.margin(group, Element(x as u16), Element(y as u16))
        })
    }
}

/// Rounds a network to integers of about 16 bits.
fn rounded(network: &Folded, scales: (i32, i32)) -> Exact {
    let round = |t: f64| (t * 65536.0).round() as i64;
    Exact {
        left: network.left.mapv(round),
        right: network.right.mapv(round),
        unembed: network.unembed.mapv(round),
        bias: network.bias.mapv(|t| (t * 65536.0 * 65536.0).round() as i64),
        scales,
    }
}

fn gaussian(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

fn random_subgroup(group: &Group, rng: &mut ChaCha8Rng) -> Subgroup {
    let mut element = || Element(rng.random_range(0..group.order()) as u16);
    let generators = [element(), element()];
    let count = rng.random_range(0..=2);
    Subgroup::generated(group, &generators[..count])
}

/// A circuit of random vectors; the verifier has to make sense of it.
fn random_circuit(group: &Group, irreps: &Irreps, rng: &mut ChaCha8Rng) -> IdealCircuit {
    let irrep = rng.random_range(1..irreps.real().len());
    let dimension = irreps.real()[irrep].dimension();
    let mut vector = || (0..dimension).map(|_| gaussian(rng)).collect::<Vec<f64>>();
    let (a, b, c) = (vector(), vector(), vector());
    IdealCircuit {
        irrep,
        a,
        b,
        c,
        constant: 0.3 * gaussian(rng),
        coefficient: gaussian(rng),
        left_stabiliser: random_subgroup(group, rng).elements().to_vec(),
        right_stabiliser: random_subgroup(group, rng).elements().to_vec(),
    }
}

/// A network near the idealised one of a random explanation, which is also returned, with lies of the given size in it.
fn random_case(group: &Group, irreps: &Irreps, rng: &mut ChaCha8Rng) -> (Exact, RhoSetExplanation) {
    let circuits: Vec<IdealCircuit> = (0..rng.random_range(1..=2))
        .map(|_| random_circuit(group, irreps, rng))
        .collect();
    let told = RhoSetExplanation {
        circuits,
        ..Default::default()
    };
    let mut network = explain::idealise(&told, group, irreps).expect("random circuits are circuits");
    let mut members = Vec::new();
    for (circuit, ideal) in told.circuits.iter().enumerate() {
        let template = ideal
            .tabulate(circuit, group, irreps)
            .expect("random circuits are circuits");
        for (left, right) in template.representatives() {
            members.push(Some(Member {
                circuit,
                left,
                right,
                scale: 1.0,
            }));
        }
    }
    let noise = [0.0, 1e-4, 1e-2, 0.3][rng.random_range(0..4)];
    let lies = [0.0, 0.05, 1.0][rng.random_range(0..3)];
    for (i, member) in members.iter_mut().enumerate() {
        let scale = 2f64.powi(rng.random_range(-2..=2));
        network
            .left
            .column_mut(i)
            .mapv_inplace(|t| t * scale + noise * gaussian(rng));
        network
            .right
            .column_mut(i)
            .mapv_inplace(|t| t * scale + noise * gaussian(rng));
        network
            .unembed
            .row_mut(i)
            .mapv_inplace(|t| t / scale + noise * gaussian(rng));
        if rng.random::<f64>() < lies {
            *member = match rng.random_range(0..3) {
                0 => None,
                _ => Some(Member {
                    circuit: rng.random_range(0..told.circuits.len()),
                    left: Element(rng.random_range(0..group.order()) as u16),
                    right: Element(rng.random_range(0..group.order()) as u16),
                    scale: 2.0 * rng.random::<f64>() + 1e-3,
                }),
            };
        } else if let Some(member) = member {
            member.scale = scale;
        }
    }
    network.bias.mapv_inplace(|_| noise * gaussian(rng));
    let neurons = members.len();
    let told = RhoSetExplanation {
        offsets: (0..neurons).map(|_| lies * gaussian(rng)).collect(),
        weights: (0..neurons).map(|_| (4.0 * lies * gaussian(rng)) as i16).collect(),
        members,
        ..told
    };
    let scales = [(-16, -16), (-16, -16), (40, 40), (-60, -60), (-60, 40)][rng.random_range(0..5)];
    (rounded(&network, scales), rescaled(told, scales))
}

/// The explanation in the units of a network whose inputs are multiplied by `2^(16 + scales.0)`.
fn rescaled(mut told: RhoSetExplanation, scales: (i32, i32)) -> RhoSetExplanation {
    let (input, output) = (2f64.powi(16 + scales.0), 2f64.powi(16 + scales.1));
    for circuit in &mut told.circuits {
        circuit.b.iter_mut().for_each(|t| *t *= input);
        circuit.c.iter_mut().for_each(|t| *t *= input);
        circuit.constant *= input;
        circuit.coefficient *= output / input / input;
    }
    told.offsets.iter_mut().for_each(|t| *t *= input);
    told
}

fn assert_below(bounds: &Array2<f64>, truth: &Array2<f64>) {
    for ((place, bound), truth) in bounds.indexed_iter().zip(truth) {
        // NaN claims nothing.
        assert!(
            bound.is_nan() || bound <= truth,
            "{place:?}: margin {truth} but {bound} claimed"
        );
    }
}

#[test]
fn rho_set_margins_are_below_the_exact_ones_on_random_networks() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (mut certified, mut right, mut networks) = (0, 0, 0);
    for spec in ["S3", "C5", "Q8", "D4", "C7", "A4", "C3"] {
        let group = spec::parse(spec).expect("a known spec");
        let irreps = Irreps::new(&group, 0).expect("irreps of a small group");
        for _ in 0..150 {
            let (exact, told) = random_case(&group, &irreps, &mut rng);
            let truth = exact.margins(&group);
            let bounds = rho_set::margins(&exact.folded(), &group, &irreps, &told).expect("a well-formed explanation");
            assert_below(&bounds, &truth);
            let told = rho_set::verify(&exact.folded(), &group, &irreps, &told).expect("a well-formed explanation");
            assert_eq!(told.certified_pairs, bounds.iter().filter(|&&m| m > 0.0).count());
            let loss_of = |m: f64| {
                if m < 0.0 {
                    m.exp().ln_1p() - m
                } else {
                    (-m).exp().ln_1p()
                }
            };
            let loss = truth.iter().map(|&m| loss_of(m)).sum::<f64>() / truth.len() as f64;
            // One rival alone costs this much: the bound, which allows for all of them, is above.
            assert!(
                told.cross_entropy_bound
                    .is_none_or(|bound| bound >= loss * (1.0 - 1e-12))
            );
            certified += told.certified_pairs;
            right += truth.iter().filter(|&&m| m > 0.0).count();
            networks += 1;
        }
    }
    // A bound that never claims anything would pass, too.
    assert!(
        networks > 1000 && certified > right / 20,
        "{certified} of {right} certified on {networks} networks"
    );
}

#[test]
fn coset_margins_are_below_the_exact_ones_on_random_networks() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    for spec in ["S3", "C6", "Q8", "D4", "A4", "C2"] {
        let group = spec::parse(spec).expect("a known spec");
        let irreps = Irreps::new(&group, 0).expect("irreps of a small group");
        for _ in 0..60 {
            let (exact, _) = random_case(&group, &irreps, &mut rng);
            let network = exact.folded();
            let told = CosetExplanation {
                neurons: (0..network.neurons())
                    .map(|_| {
                        let mut elements = || random_subgroup(&group, &mut rng).elements().to_vec();
                        let pair = (elements(), elements());
                        (pair.0.len() > 1).then_some(pair)
                    })
                    .collect(),
            };
            for told in [told, explain::explain(&network, &group, &irreps).coset_explanation()] {
                let bounds = coset::margins(&network, &group, &told).expect("a well-formed explanation");
                assert_below(&bounds, &exact.margins(&group));
            }
        }
    }
}

#[test]
fn cosets_prove_a_network_whose_classes_each_vote_for_the_right_coset() {
    // C6 by the remainder theorem: for H of order 2 and 3 and each pair of cosets (p, q) a neuron that fires on it and
    // votes for the coset pq.
    let group = spec::parse("C6").expect("a known spec");
    let mut columns = Vec::new();
    for order in [2, 3] {
        let h = group
            .elements()
            .map(|g| Subgroup::generated(&group, &[g]))
            .find(|h| h.order() == order);
        let h = h.expect("a cyclic group has one of each order");
        let cosets = h.left_cosets(&group);
        let indicator = |coset: usize| {
            group
                .elements()
                .map(|x| f64::from(u8::from(cosets.number(x) == coset)))
                .collect()
        };
        for &p in cosets.representatives() {
            for &q in cosets.representatives() {
                let left: Array1<f64> = indicator(cosets.number(p));
                let right: Array1<f64> = indicator(cosets.number(q));
                columns.push((left, right - 1.0, indicator(cosets.number(group.mul(p, q))), h.clone()));
            }
        }
    }
    let neurons = columns.len();
    let network = Folded {
        left: Array2::from_shape_fn((6, neurons), |(x, i)| columns[i].0[x]),
        right: Array2::from_shape_fn((6, neurons), |(x, i)| columns[i].1[x]),
        unembed: Array2::from_shape_fn((neurons, 6), |(i, z)| columns[i].2[z]),
        bias: Array1::zeros(6),
        left_error: Array1::zeros(neurons),
        right_error: Array1::zeros(neurons),
        activation: Activation::Relu,
    };
    let irreps = Irreps::new(&group, 0).expect("irreps of C6");
    let told = explain::explain(&network, &group, &irreps).coset_explanation();
    for (neuron, (.., h)) in told.neurons.iter().zip(&columns) {
        let elements = h.elements().to_vec();
        assert_eq!(neuron.as_ref(), Some(&(elements.clone(), elements)));
    }
    let proof = coset::verify(&network, &group, &told).expect("a well-formed explanation");
    assert_eq!((proof.certified_pairs, proof.pairs), (36, 36));
    let margins = coset::margins(&network, &group, &told).expect("a well-formed explanation");
    assert!(
        margins.iter().all(|&m| (m - 1.0).abs() < 1e-9),
        "the margin is 1 everywhere"
    );
}

/// A network that a good explanation proves right, with that explanation.
fn proved() -> (Group, Irreps, Folded, RhoSetExplanation) {
    let group = spec::parse("S3").expect("a known spec");
    let irreps = Irreps::new(&group, 0).expect("irreps of a small group");
    let irrep = irreps
        .real()
        .iter()
        .position(|irrep| irrep.dimension() == 2)
        .expect("S3 has one");
    let involution = group
        .elements()
        .find(|&g| g != group.identity() && group.mul(g, g) == group.identity())
        .expect("S3 has involutions");
    let stabiliser = Subgroup::generated(&group, &[involution]);
    // What the involution fixes: a column of 1 + rho(g).
    let matrix = irreps.real()[irrep].matrix(involution);
    let mut b = vec![1.0 + matrix[[0, 0]], matrix[[1, 0]]];
    if b.iter().all(|t| t.abs() < 1e-3) {
        b = vec![matrix[[0, 1]], 1.0 + matrix[[1, 1]]];
    }
    let size = b.iter().map(|t| t * t).sum::<f64>().sqrt();
    b.iter_mut().for_each(|t| *t /= size);
    let circuit = IdealCircuit {
        irrep,
        a: vec![0.6, 0.8],
        c: b.iter().map(|t| -t).collect(),
        b,
        constant: 0.0,
        coefficient: 8.0,
        left_stabiliser: stabiliser.elements().to_vec(),
        right_stabiliser: stabiliser.elements().to_vec(),
    };
    // The sign tells even from odd.
    let sign = irreps
        .real()
        .iter()
        .enumerate()
        .skip(1)
        .find(|(_, irrep)| irrep.dimension() == 1)
        .expect("the sign")
        .0;
    let even: Vec<Element> = group
        .elements()
        .filter(|&g| irreps.real()[sign].character(g) > 0.0)
        .collect();
    let sign = IdealCircuit {
        irrep: sign,
        a: vec![1.0],
        b: vec![1.0],
        c: vec![-1.0],
        constant: 0.0,
        coefficient: 8.0,
        left_stabiliser: even.clone(),
        right_stabiliser: even,
    };
    let mut told = RhoSetExplanation {
        circuits: vec![circuit, sign],
        ..Default::default()
    };
    let network = explain::idealise(&told, &group, &irreps).expect("a circuit");
    for (circuit, ideal) in told.circuits.iter().enumerate() {
        for (left, right) in ideal
            .tabulate(circuit, &group, &irreps)
            .expect("a circuit")
            .representatives()
        {
            told.members.push(Some(Member {
                circuit,
                left,
                right,
                scale: 1.0,
            }));
        }
    }
    told.offsets = vec![0.0; told.members.len()];
    told.weights = vec![0; told.members.len()];
    (group, irreps, network, told)
}

#[test]
fn a_perfect_explanation_proves_every_pair() {
    let (group, irreps, network, told) = proved();
    let proof = rho_set::verify(&network, &group, &irreps, &told).expect("a well-formed explanation");
    assert_eq!((proof.certified_pairs, proof.pairs), (36, 36));
    assert!(proof.accuracy_bound == 1.0 && proof.flops > 0);
}

#[test]
fn the_margin_is_lowered_by_what_folding_may_have_rounded() {
    let (group, irreps, mut network, told) = proved();
    let exact = rho_set::margins(&network, &group, &irreps, &told).expect("a well-formed explanation");
    network.left_error.fill(0.25);
    let lowered = rho_set::margins(&network, &group, &irreps, &told).expect("a well-formed explanation");
    // Move every left weight as far as it may have been rounded, against the truth and for it.
    for step in [-0.25, 0.25] {
        let moved = Folded {
            left: &network.left + step,
            left_error: Array1::zeros(network.neurons()),
            ..network.clone()
        };
        let truth = rhoset::network::evaluate::Evaluation::of(&moved, &group);
        let least = lowered.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(least <= truth.min_margin + 1e-9);
    }
    assert!(lowered.iter().zip(&exact).all(|(lowered, exact)| lowered < exact));
}

#[test]
fn hostile_explanations_are_refused_or_prove_nothing_false() {
    let (group, irreps, network, told) = proved();
    let check = |told: &RhoSetExplanation| rho_set::verify(&network, &group, &irreps, told);
    let spoil = |change: &dyn Fn(&mut RhoSetExplanation)| {
        let mut spoiled = told.clone();
        change(&mut spoiled);
        spoiled
    };
    // Refused.
    type Case = (RhoSetExplanation, fn(&IdealisedError) -> bool);
    let refused: Vec<Case> = vec![
        (spoil(&|t| t.circuits[0].irrep = 99), |e| {
            matches!(e, IdealisedError::NoSuchIrrep { .. })
        }),
        (spoil(&|t| t.circuits[0].a.push(0.0)), |e| {
            matches!(e, IdealisedError::WrongDimension { .. })
        }),
        (spoil(&|t| t.circuits[0].b[0] = f64::NAN), |e| {
            matches!(e, IdealisedError::NotFinite { .. })
        }),
        (spoil(&|t| t.circuits[0].coefficient = f64::INFINITY), |e| {
            matches!(e, IdealisedError::NotFinite { .. })
        }),
        (spoil(&|t| t.circuits[0].b = vec![1e300; 2]), |e| {
            // Its products with c overflow only where they are large.
            matches!(e, IdealisedError::NotFinite { .. })
        }),
        (
            spoil(&|t| t.circuits[0].left_stabiliser = vec![Element(1), Element(2)]),
            |e| matches!(e, IdealisedError::Stabiliser { side: "left", .. }),
        ),
        (spoil(&|t| t.circuits[0].right_stabiliser = vec![Element(77)]), |e| {
            matches!(e, IdealisedError::Stabiliser { side: "right", .. })
        }),
        (spoil(&|t| t.circuits[0].right_stabiliser.clear()), |e| {
            matches!(e, IdealisedError::Stabiliser { .. })
        }),
        (spoil(&|t| _ = t.members.pop()), |e| {
            matches!(e, IdealisedError::WrongNeurons { .. })
        }),
        (spoil(&|t| t.offsets.clear()), |e| {
            matches!(e, IdealisedError::WrongNeurons { .. })
        }),
        (spoil(&|t| t.members[0].as_mut().expect("a member").circuit = 9), |e| {
            matches!(e, IdealisedError::WrongMember { neuron: 0, .. })
        }),
        (
            spoil(&|t| t.members[0].as_mut().expect("a member").left = Element(6)),
            |e| matches!(e, IdealisedError::WrongMember { .. }),
        ),
        (spoil(&|t| t.members[0].as_mut().expect("a member").scale = -1.0), |e| {
            matches!(e, IdealisedError::WrongMember { .. })
        }),
        (
            spoil(&|t| t.members[0].as_mut().expect("a member").scale = f64::NAN),
            |e| matches!(e, IdealisedError::WrongMember { .. }),
        ),
    ];
    for (index, (spoiled, expected)) in refused.into_iter().enumerate() {
        match check(&spoiled) {
            // Whether 1e300 overflows depends on signs; proving nothing is as good.
            Ok(proof) => assert!(index == 4 && proof.certified_pairs == 0, "case {index}: {proof:?}"),
            Err(error) => assert!(expected(&error), "case {index}: {error}"),
        }
    }
    // Accepted, and worth nothing.
    for spoiled in [
        spoil(&|t| t.offsets[0] = f64::NAN),
        spoil(&|t| t.offsets[0] = f64::INFINITY),
        spoil(&|t| t.circuits[0].coefficient = 1e300),
        spoil(&|t| t.members[0].as_mut().expect("a member").scale = f64::MAX),
        spoil(&|t| t.members.fill(None)),
    ] {
        let proof = check(&spoiled).expect("well-formed");
        assert_eq!(proof.certified_pairs, 0);
    }
    // Accepted, and true all the same: here the truth is that all is right.
    for spoiled in [
        spoil(&|t| t.weights.fill(i16::MAX)),
        spoil(&|t| t.circuits[0].a.reverse()),
        spoil(&|t| t.members.reverse()),
    ] {
        let proof = check(&spoiled).expect("well-formed");
        assert!(proof.certified_pairs <= 36);
    }
    // A network that is wrong everywhere, with a perfect explanation of one that is right.
    let wrong = Folded {
        unembed: -&network.unembed,
        ..network.clone()
    };
    let proof = rho_set::verify(&wrong, &group, &irreps, &told).expect("well-formed");
    assert_eq!(proof.certified_pairs, 0);
    // The coset verifier refuses what are no subgroups.
    let cosets = CosetExplanation {
        neurons: vec![Some((vec![Element(1), Element(2)], vec![group.identity()])); network.neurons()],
    };
    assert!(matches!(
        coset::verify(&network, &group, &cosets),
        Err(IdealisedError::Cosets { neuron: 0, .. })
    ));
}

#[test]
fn networks_of_another_kind_are_refused() {
    let (group, irreps, network, told) = proved();
    let square = Folded {
        activation: Activation::Square,
        ..network.clone()
    };
    let refused = rho_set::verify(&square, &group, &irreps, &told);
    assert!(matches!(refused, Err(IdealisedError::WrongNetwork(_))));
    let c5 = spec::parse("C5").expect("a known spec");
    assert!(matches!(
        coset::verify(&network, &c5, &CosetExplanation::default()),
        Err(IdealisedError::WrongNetwork(_))
    ));
}

#[test]
fn ties_are_not_certified() {
    let group = spec::parse("C2").expect("a known spec");
    let irreps = Irreps::new(&group, 0).expect("irreps of C2");
    let network = Folded {
        left: Array2::ones((2, 1)),
        right: Array2::ones((2, 1)),
        unembed: Array2::ones((1, 2)),
        bias: Array1::zeros(2),
        left_error: Array1::zeros(1),
        right_error: Array1::zeros(1),
        activation: Activation::Relu,
    };
    let explanation = explain::explain(&network, &group, &irreps);
    let told = rho_set::search(&network, &group, &irreps, &explanation).expect("a well-formed explanation");
    assert_eq!(
        rho_set::verify(&network, &group, &irreps, &told)
            .expect("well-formed")
            .certified_pairs,
        0
    );
    let cosets = explanation.coset_explanation();
    assert_eq!(
        coset::verify(&network, &group, &cosets)
            .expect("well-formed")
            .certified_pairs,
        0
    );
}

#[test]
fn the_trivial_group_has_nothing_to_get_wrong() {
    let group = Group::from_table("1", 1, &[0]).expect("the trivial group");
    let irreps = Irreps::new(&group, 0).expect("one irrep");
    let network = Folded {
        left: Array2::ones((1, 2)),
        right: Array2::ones((1, 2)),
        unembed: Array2::ones((2, 1)),
        bias: Array1::zeros(1),
        left_error: Array1::zeros(2),
        right_error: Array1::zeros(2),
        activation: Activation::Relu,
    };
    let explanation = explain::explain(&network, &group, &irreps);
    let told = rho_set::search(&network, &group, &irreps, &explanation).expect("a well-formed explanation");
    assert_eq!(
        rho_set::verify(&network, &group, &irreps, &told)
            .expect("well-formed")
            .certified_pairs,
        1
    );
}
