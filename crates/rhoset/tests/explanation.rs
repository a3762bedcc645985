//! Explanations recover circuits that were planted, of all three types of irreps.

use ndarray::{Array1, Array2};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rhoset::explain::idealised::{self, Agreement};
use rhoset::explain::{self, Explanation};
use rhoset::group::{Element, Group, Subgroup, spec};
use rhoset::irrep::{FrobeniusSchur, Irrep, Irreps};
use rhoset::network::{Activation, Embedding, Folded, Network, evaluate};

fn gaussian(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

fn unit(v: Array1<f64>) -> Array1<f64> {
    let size = v.dot(&v).sqrt();
    v / size
}

/// What `subgroup` fixes of a random vector.
fn fixed_vector(irrep: &Irrep, subgroup: &Subgroup, rng: &mut ChaCha8Rng) -> Array1<f64> {
    let random = Array1::from_shape_fn(irrep.dimension(), |_| gaussian(rng));
    let mut sum = Array1::zeros(irrep.dimension());
    for &h in subgroup.elements() {
        sum += &irrep.matrix(h).dot(&random);
    }
    unit(sum)
}

/// A network with a neuron for every pair (b, -b') of the orbit of a vector that `stabiliser` fixes, at random scales,
/// with relative noise on every weight.
struct Planted {
    group: Group,
    irreps: Irreps,
    irrep: usize,
    network: Folded,
    vectors: Vec<Array1<f64>>,
}

fn plant(spec: &str, choose: impl Fn(&Irrep) -> bool, stabiliser: usize, noise: f64) -> Planted {
    let group = spec::parse(spec).expect("a known spec");
    let irreps = Irreps::new(&group, 1).expect("irreps of a small group");
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    // An irrep and a subgroup of the order asked for that fixes something in it.
    let subgroups: Vec<Subgroup> = subgroups(&group)
        .into_iter()
        .filter(|h| h.order() == stabiliser)
        .collect();
    let fixes = |h: &Subgroup, irrep: &Irrep| h.elements().iter().map(|&g| irrep.character(g)).sum::<f64>() > 0.5;
    let (index, subgroup) = (irreps.real().iter().enumerate())
        .filter(|(_, irrep)| choose(irrep))
        .find_map(|(index, irrep)| Some((index, subgroups.iter().find(|h| fixes(h, irrep))?)))
        .expect("such an irrep and stabiliser");
    let irrep = &irreps.real()[index];
    let t = fixed_vector(irrep, subgroup, &mut rng);
    let a = unit(Array1::from_shape_fn(irrep.dimension(), |_| gaussian(&mut rng)));
    let orbit: Vec<Array1<f64>> = subgroup
        .left_cosets(&group)
        .representatives()
        .iter()
        .map(|&g| irrep.matrix(g).dot(&t))
        .collect();
    let mut pairs: Vec<(usize, usize)> = (0..orbit.len())
        .flat_map(|b| (0..orbit.len()).map(move |c| (b, c)))
        .collect();
    for i in (1..pairs.len()).rev() {
        pairs.swap(i, rng.random_range(0..=i));
    }
    let (order, neurons) = (group.order(), pairs.len());
    let (mut left, mut right) = (Array2::zeros((order, neurons)), Array2::zeros((order, neurons)));
    let mut unembed = Array2::zeros((neurons, order));
    for (i, &(b, c)) in pairs.iter().enumerate() {
        let scale = 0.5 + rng.random::<f64>();
        let c = -&orbit[c];
        for x in group.elements() {
            let matrix = irrep.matrix(x);
            let mut with_noise = |value: f64, size: f64| (value * size + noise * size * gaussian(&mut rng)) as f32;
            left[[x.index(), i]] = with_noise(orbit[b].dot(&matrix.dot(&a)), scale);
            right[[x.index(), i]] = with_noise(a.dot(&matrix.dot(&c)), scale);
            unembed[[i, x.index()]] = with_noise(orbit[b].dot(&matrix.dot(&c)), 3.0 / scale);
        }
    }
    let network = Network {
        embedding: Embedding::Direct { left, right },
        unembed,
        bias: None,
        activation: Activation::Relu,
    }
    .fold();
    Planted {
        irrep: index,
        group,
        irreps,
        network,
        vectors: orbit,
    }
}

/// Subgroups that two elements generate.
fn subgroups(group: &Group) -> Vec<Subgroup> {
    let mut found = vec![Subgroup::trivial(group)];
    for g in group.elements() {
        for h in group.elements() {
            let subgroup = Subgroup::generated(group, &[g, h]);
            if !found.contains(&subgroup) {
                found.push(subgroup);
            }
        }
    }
    found
}

fn explained(planted: &Planted) -> Explanation {
    explain::explain(&planted.network, &planted.group, &planted.irreps)
}

/// One family, one rho-set of the right size, one full circuit with even weights.
fn assert_recovered(planted: &Planted) {
    let explanation = explained(planted);
    assert_eq!(explanation.families.len(), 1, "all neurons share one a");
    assert_eq!(explanation.families[0].irrep, planted.irrep);
    assert!(
        explanation.families[0].variance < 0.02,
        "variance of a: {}",
        explanation.families[0].variance
    );
    assert_eq!(explanation.rho_sets.len(), 1, "{:?}", explanation.rho_sets);
    let set = &explanation.rho_sets[0];
    assert_eq!(set.size(), planted.vectors.len());
    assert!(set.cosine > 0.98, "vectors lie on the orbit: {}", set.cosine);
    let antipodal = planted
        .vectors
        .iter()
        .any(|v| (v + &planted.vectors[0]).iter().all(|t| t.abs() < 1e-9));
    assert_eq!(set.antipodal, antipodal);
    assert_eq!(explanation.circuits.len(), 1);
    let circuit = &explanation.circuits[0];
    assert!(circuit.is_full(), "{} of {} pairs", circuit.present, circuit.pairs);
    assert!(circuit.positive);
    assert!(circuit.spread < 0.05, "spread {}", circuit.spread);
    // Neurons of different pairs are told apart: as many places as neurons.
    let left = set.stabiliser.left_cosets(&planted.group);
    let places: std::collections::BTreeSet<(usize, usize)> = (explanation.neurons.iter())
        .map(|neuron| neuron.place.expect("every neuron has a place"))
        .map(|place| (left.number(place.left.element), left.number(place.right.element)))
        .collect();
    assert_eq!(places.len(), planted.network.neurons());
    for neuron in &explanation.neurons {
        assert!(neuron.share.mean() > 0.9 && neuron.rank_one.as_ref().is_some_and(|d| d.fit.mean() > 0.9));
        assert_eq!(neuron.left_cosets.subgroup.order() % set.stabiliser.order(), 0);
    }
    let told = explanation.rho_set_explanation(&planted.network, &planted.group, &planted.irreps, 0.0);
    let agreement = Agreement::of(&planted.network, &planted.group, &planted.irreps, &told).expect("a sound circuit");
    assert!(agreement.r_squared.is_some_and(|r| r > 0.9), "{agreement:?}");
}

fn of_dimension(dimension: usize, kind: FrobeniusSchur) -> impl Fn(&Irrep) -> bool {
    move |irrep| irrep.dimension() == dimension && irrep.kind() == kind
}

#[test]
fn the_five_point_rho_set_of_s5_is_recovered() {
    assert_recovered(&plant("S5", of_dimension(4, FrobeniusSchur::Real), 24, 0.03));
}

#[test]
fn the_six_point_rho_set_of_s5_is_recovered() {
    assert_recovered(&plant("S5", of_dimension(5, FrobeniusSchur::Real), 20, 0.03));
}

#[test]
fn rho_sets_of_s4_are_recovered() {
    assert_recovered(&plant("S4", of_dimension(3, FrobeniusSchur::Real), 6, 0.03));
    assert_recovered(&plant("S4", of_dimension(3, FrobeniusSchur::Real), 4, 0.03));
    assert_recovered(&plant("S4", of_dimension(2, FrobeniusSchur::Real), 8, 0.03));
}

#[test]
fn the_icosahedron_and_the_dodecahedron_of_a5_are_recovered() {
    assert_recovered(&plant("A5", of_dimension(3, FrobeniusSchur::Real), 5, 0.02));
    assert_recovered(&plant("A5", of_dimension(3, FrobeniusSchur::Real), 3, 0.02));
}

#[test]
fn the_pentagon_of_d5_is_recovered() {
    assert_recovered(&plant("D5", of_dimension(2, FrobeniusSchur::Real), 2, 0.02));
}

#[test]
fn complex_irreps_are_recovered() {
    assert_recovered(&plant("C7", of_dimension(2, FrobeniusSchur::Complex), 1, 0.02));
    assert_recovered(&plant("C7:C3", of_dimension(6, FrobeniusSchur::Complex), 3, 0.02));
}

#[test]
fn quaternionic_irreps_are_recovered() {
    assert_recovered(&plant("Q8", of_dimension(4, FrobeniusSchur::Quaternionic), 1, 0.02));
    assert_recovered(&plant(
        "SL(2,3)",
        of_dimension(4, FrobeniusSchur::Quaternionic),
        1,
        0.02,
    ));
}

#[test]
fn coset_concentration_finds_the_stabiliser_of_an_indicator() {
    let group = spec::parse("S4").expect("a known spec");
    let h = subgroups(&group).into_iter().find(|h| h.order() == 6).expect("S3");
    let cosets = h.right_cosets(&group);
    let f = Array1::from_shape_fn(24, |x| cosets.number(Element(x as u16)) as f64 + 0.01 * (x % 3) as f64);
    let found = explain::coset::right_cosets(&group, f.view());
    assert_eq!(found.subgroup, h);
    assert!(found.share > 0.99 && found.share < 1.0);
    // A function on left cosets of a subgroup that is not normal is not constant on its right cosets.
    assert_ne!(explain::coset::left_cosets(&group, f.view()).subgroup, h);
}

#[test]
fn random_functions_have_no_rho_sets() {
    let group = spec::parse("S4").expect("a known spec");
    let irreps = Irreps::new(&group, 0).expect("irreps of a small group");
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut random = |rows, columns| Array2::from_shape_fn((rows, columns), |_| gaussian(&mut rng) as f32);
    let network = Network {
        embedding: Embedding::Direct {
            left: random(24, 32),
            right: random(24, 32),
        },
        unembed: random(32, 24),
        bias: None,
        activation: Activation::Relu,
    }
    .fold();
    let explanation = explain::explain(&network, &group, &irreps);
    assert!(explanation.circuits.iter().all(|circuit| !circuit.is_full()));
    let told = explanation.rho_set_explanation(&network, &group, &irreps, 0.0);
    let agreement = Agreement::of(&network, &group, &irreps, &told).expect("sound circuits");
    assert!(agreement.r_squared.is_some_and(|r| r < 0.3), "{agreement:?}");
}

#[test]
fn dead_and_constant_neurons_are_dormant_or_unexplained_not_fatal() {
    let planted = plant("S4", of_dimension(3, FrobeniusSchur::Real), 6, 0.0);
    let mut network = planted.network.clone();
    network.left.column_mut(0).fill(-100.0);
    network.unembed.row_mut(1).fill(0.0);
    network.left.column_mut(2).fill(1.0);
    network.right.column_mut(2).fill(1.0);
    let explanation = explain::explain(&network, &planted.group, &planted.irreps);
    assert!(explanation.neurons[0].is_dormant() && explanation.neurons[1].is_dormant());
    assert!(explanation.neurons[2].circuit.is_none());
    assert_eq!(
        explanation.circuits.iter().map(|c| c.neurons.len()).sum::<usize>(),
        network.neurons() - 3
    );
}

#[test]
fn idealised_networks_are_bi_equivariant_and_equal_their_table() {
    for (spec, dimension, kind, stabiliser) in [
        ("S4", 3, FrobeniusSchur::Real, 6),
        ("C7", 2, FrobeniusSchur::Complex, 1),
        ("Q8", 4, FrobeniusSchur::Quaternionic, 1),
    ] {
        let planted = plant(spec, of_dimension(dimension, kind), stabiliser, 0.05);
        let (group, irreps) = (&planted.group, &planted.irreps);
        let told = explained(&planted).rho_set_explanation(&planted.network, group, irreps, 0.0);
        let ideal = idealised::idealise(&told, group, irreps).expect("a sound circuit");
        let table = idealised::table(&told, group, irreps).expect("a sound circuit");
        let size = table.iter().fold(0.0_f64, |m, t| m.max(t.abs()));
        assert!(size > 1.0, "the idealised network is not zero");
        for x in group.elements() {
            for y in group.elements() {
                let logits = evaluate::logits(&ideal, x, y);
                for z in group.elements() {
                    let w = group.mul(group.mul(group.inv(x), z), group.inv(y));
                    assert!((logits[z.index()] - table[w.index()]).abs() < 1e-12 * size);
                }
            }
        }
    }
}
