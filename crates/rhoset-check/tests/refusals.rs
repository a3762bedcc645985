//! A certificate of a small S4 network: what it proves here, and how every untruth in it is refused.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use rhoset_check::Proof;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const WEIGHTS: &[u8] = include_bytes!("data/s4.safetensors");
const CERTIFICATE: &[u8] = include_bytes!("data/s4.certificate.json");

/// Why a certificate is refused: `entry: why`.
#[derive(Debug)]
struct Refusal {
    entry: String,
    why: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}: {}", self.entry, self.why)
    }
}

fn check_with(weights: &[u8], certificate: &[u8], table: Option<&[u64]>) -> Result<Proof, Refusal> {
    let result = rhoset_check::check(weights, certificate, table, NonZeroUsize::new(2).unwrap());
    result.map_err(|error| {
        let text = format!("{error:#}");
        let (entry, why) = text.split_once(": ").expect("the entry comes first");
        let (entry, why) = (entry.into(), why.into());
        Refusal { entry, why }
    })
}

fn check(weights: &[u8], certificate: &[u8]) -> Result<Proof, Refusal> {
    check_with(weights, certificate, None)
}

fn certificate() -> Value {
    serde_json::from_slice(CERTIFICATE).unwrap()
}

fn hash(bytes: &[u8]) -> Value {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    hex.into()
}

fn numbers(proof: Proof) -> HashMap<String, f64> {
    let numbers = proof.proved.into_iter();
    numbers
        .map(|(name, value)| (name, value.as_f64().unwrap_or(f64::NAN)))
        .collect()
}

/// What is proved of an edited certificate.
fn proved(edit: impl FnOnce(&mut Value)) -> HashMap<String, f64> {
    let mut certificate = certificate();
    edit(&mut certificate);
    let proof = check(WEIGHTS, certificate.to_string().as_bytes()).unwrap();
    numbers(proof)
}

/// The entry at which an edited certificate is refused.
fn refused_at(edit: impl FnOnce(&mut Value)) -> String {
    let mut certificate = certificate();
    edit(&mut certificate);
    check(WEIGHTS, certificate.to_string().as_bytes()).unwrap_err().entry
}

fn claim_nothing(certificate: &mut Value) {
    for (name, claim) in certificate["claims"].as_object_mut().unwrap() {
        if name != "pairs" {
            *claim = Value::Null;
        }
    }
}

/// Gives the certificate another table, with its hash.
fn set_table(certificate: &mut Value, table: Vec<Vec<u16>>) {
    let bytes: Vec<u8> = table.iter().flatten().flat_map(|z| z.to_le_bytes()).collect();
    certificate["group"]["sha256"] = hash(&bytes);
    certificate["group"]["table"] = json!(table);
}

fn table(certificate: &Value) -> Vec<Vec<u16>> {
    serde_json::from_value(certificate["group"]["table"].clone()).unwrap()
}

#[test]
fn the_certificate_is_proved_exactly_this_far() {
    let found = proved(|_| {});
    // Brute force in rational arithmetic knows of 575 right pairs.
    let counts = ["pairs", "certified_pairs", "explained_pairs", "circuit_pairs"].map(|name| found[name]);
    assert_eq!(counts, [576.0, 575.0, 575.0, CIRCUIT_PAIRS]);
    assert!((found["cross_entropy_bound"] - 0.028_763_554_819).abs() < 1e-9);
    assert_eq!((found["gap_pairs"], found["float32_pairs"]), (0.0, 575.0));
    let explained = found["explained_cross_entropy_bound"];
    assert!((EXPLAINED_LOSS - explained).abs() < 1e-6, "{explained}");
}

const CIRCUIT_PAIRS: f64 = 261.0;
const EXPLAINED_LOSS: f64 = 0.182_488_242;

#[test]
fn claims_one_pair_too_high_are_refused() {
    let counts = [
        "certified_pairs",
        "explained_pairs",
        "circuit_pairs",
        "gap_pairs",
        "float32_pairs",
        "pairs",
    ];
    for claim in counts {
        let more = |c: &mut Value| c["claims"][claim] = (c["claims"][claim].as_u64().unwrap() + 1).into();
        assert_eq!(refused_at(more), format!("claims.{claim}"));
    }
    let less = |c: &mut Value| c["claims"]["cross_entropy_bound"] = 0.028_763.into();
    assert_eq!(refused_at(less), "claims.cross_entropy_bound");
    let less = |c: &mut Value| c["claims"]["explained_cross_entropy_bound"] = (EXPLAINED_LOSS - 1e-6).into();
    assert_eq!(refused_at(less), "claims.explained_cross_entropy_bound");
    assert_eq!(refused_at(|c| c["claims"]["all_pairs"] = 1.into()), "claims.all_pairs");
    assert_eq!(refused_at(|c| c["claims"] = json!({})), "claims.pairs");
}

#[test]
fn other_weights_are_refused() {
    let mut weights = WEIGHTS.to_vec();
    *weights.last_mut().unwrap() ^= 1;
    assert_eq!(check(&weights, CERTIFICATE).unwrap_err().entry, "weights.sha256");
}

/// The certificate of other weights, claiming nothing.
fn of_weights(weights: &[u8]) -> Value {
    let mut certificate = certificate();
    claim_nothing(&mut certificate);
    certificate["weights"]["sha256"] = hash(weights);
    certificate
}

#[test]
fn numbers_of_another_type_are_refused() {
    let at = WEIGHTS.windows(5).position(|bytes| bytes == b"\"F32\"").unwrap();
    let mut weights = WEIGHTS.to_vec();
    weights[at + 1] = b'I';
    let refusal = check(&weights, of_weights(&weights).to_string().as_bytes()).unwrap_err();
    assert!(refusal.why.contains("not F32"), "{refusal}");
}

#[test]
fn a_tie_is_wrong_and_the_smallest_lead_is_right() {
    // In float32 the smaller leads may be lost.
    let cases = [
        ([0.0_f32, 0.0], 0.0, 0.0),
        ([1e-45, 0.0], 2.0, 0.0),
        ([1e-7, 0.0], 2.0, 0.0),
        // The bound is 2 (gamma_2 + gamma_4) = 7.2e-7: of the input, and of the sum.
        ([3e-7, 0.0], 2.0, 0.0),
        ([6e-7, 0.0], 2.0, 0.0),
        ([8e-7, 0.0], 2.0, 2.0),
        ([1e-5, 0.0], 2.0, 2.0),
    ];
    for (bias, right, in_float32) in cases {
        // Every logit is 1 of the neuron and the bias.
        let proved = of_two_elements("relu", &[0.5, 0.5], &[0.5, 0.5], &[1.0, 1.0], &bias);
        assert_eq!(proved["certified_pairs"], right, "{bias:?}");
        assert_eq!(proved["float32_pairs"], in_float32, "{bias:?}");
    }
}

#[test]
fn a_neuron_that_ties_with_a_bias_is_wrong_with_every_activation() {
    for activation in ["relu", "abs", "linear", "square"] {
        let proved = of_two_elements(activation, &[0.5, 0.5], &[0.5, 0.5], &[1.0, 0.0], &[0.0, 1.0]);
        assert_eq!(proved["certified_pairs"], 0.0, "{activation}");
    }
}

/// What is proved of a network over the group of order 2.
fn of_two_elements(
    activation: &str,
    left: &[f32],
    right: &[f32],
    unembed: &[f32],
    bias: &[f32],
) -> HashMap<String, f64> {
    let m = left.len() / 2;
    let tensors = [
        ("left", vec![2, m], left),
        ("right", vec![2, m], right),
        ("unembed", vec![m, 2], unembed),
        ("bias", vec![2], bias),
    ];
    numbers(of_tensors(activation, &tensors).unwrap())
}

/// The same of any tensors.
fn of_tensors(activation: &str, tensors: &[(&str, Vec<usize>, &[f32])]) -> Result<Proof, Refusal> {
    let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
    let tensors: Vec<_> = tensors
        .iter()
        .map(|(name, shape, values)| (*name, shape.clone(), bytes(values)))
        .collect();
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (*name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    let m = tensors
        .iter()
        .find(|(name, ..)| *name == "unembed")
        .map_or(1, |(_, shape, _)| shape[0]);
    let metadata = HashMap::from([("activation".to_owned(), activation.to_owned())]);
    let weights = safetensors::serialize(views, Some(metadata)).unwrap();
    let mut certificate = of_weights(&weights);
    set_table(&mut certificate, vec![vec![0, 1], vec![1, 0]]);
    certificate["claims"]["pairs"] = 4.into();
    let explanation = &mut certificate["explanation"];
    (explanation["order"], explanation["neurons"]) = (2.into(), m.into());
    explanation["circuits"] = json!([]);
    certificate["plan"] = json!({ "circuits": [], "basis": null });
    check(&weights, certificate.to_string().as_bytes())
}

/// f(0) is 1 + 1000 2^-54 by a thousand neurons, none of which float64 adds to 1; f(1) is 1 + 2^-45 at (0, 0), and 1 elsewhere.
#[test]
fn what_many_roundings_lose_is_in_the_bound() {
    let (mut left, mut right, mut unembed) = ([vec![], vec![]], [vec![], vec![]], vec![]);
    for i in 0..1001 {
        // The last neuron is active at (0, 0) alone.
        let others = if i < 1000 { 0.5 } else { -10.0 };
        for side in [&mut left, &mut right] {
            side[0].push(0.5);
            side[1].push(others);
        }
        let weights = if i < 1000 {
            [2f32.powi(-54), 0.0]
        } else {
            [0.0, 2f32.powi(-45)]
        };
        unembed.extend(weights);
    }
    let (left, right) = (left.concat(), right.concat());
    let proved = of_two_elements("relu", &left, &right, &unembed, &[1.0, 1.0]);
    assert_eq!(proved["certified_pairs"], 2.0);
}

#[test]
fn where_float32_may_overflow_nothing_is_claimed_of_it() {
    for (weight, in_float32) in [(8e37, 2.0), (9e37, 0.0)] {
        let proved = of_two_elements("relu", &[0.5, 0.5], &[0.5, 0.5], &[weight, 0.0], &[0.0, 0.0]);
        assert_eq!((proved["certified_pairs"], proved["float32_pairs"]), (2.0, in_float32));
    }
    // The sum of the squares is small, each of them is not.
    let proved = of_two_elements("square", &[1e19, 1e19], &[1e19, 1e19], &[1e-30, 0.0], &[0.0, 0.0]);
    assert_eq!((proved["certified_pairs"], proved["float32_pairs"]), (2.0, 0.0));
}

/// Layers in every layout, folded by hand for the first: l = [3, 5] and r = [-2, 1], so that the pairs have inputs 1, 4, 3, 6.
#[test]
fn layers_are_read_in_every_layout_and_what_fits_none_is_refused() {
    let embed: &[f32] = &[1.0, 1.0, 1.0, 2.0];
    let (of_left, of_right): (&[f32], &[f32]) = (&[1.0, 2.0], &[-5.0, 3.0]);
    let stacked: &[f32] = &[1.0, 2.0, -5.0, 3.0];
    // The first logit leads where the input is above 4.5.
    let rest = [
        ("unembed", vec![1, 2], &[1.0, 0.0][..]),
        ("bias", vec![2], &[0.0, 4.5][..]),
    ];
    let proved =
        |tensors: &[(&'static str, Vec<usize>, &'static [f32])]| of_tensors("relu", &[tensors, &rest].concat());
    let matrix = |name, rows, values| (name, vec![rows, 1], values);
    let direct = [matrix("left", 2, &[3.0, 5.0][..]), matrix("right", 2, &[-2.0, 1.0][..])];
    let embeds = [("embed_left", vec![2, 2], embed), ("embed_right", vec![2, 2], embed)];
    let count = |proof: Result<Proof, Refusal>| numbers(proof.unwrap())["certified_pairs"];
    assert_eq!(count(proved(&direct)), 3.0);
    let with = |more: &[(&'static str, Vec<usize>, &'static [f32])]| proved(&[&embeds, more].concat());
    let two = [matrix("linear_left", 2, of_left), matrix("linear_right", 2, of_right)];
    assert_eq!(count(with(&two)), 3.0);
    assert_eq!(count(with(&[matrix("linear", 4, stacked)])), 3.0);
    // Shared: l = r = [3, 5], inputs 6, 8, 8, 10, of which the first logit always leads.
    assert_eq!(count(with(&[matrix("linear", 2, of_left)])), 2.0);
    let refused = [
        proved(&[direct.as_slice(), &two].concat()),
        proved(&[direct.as_slice(), &embeds].concat()),
        proved(&direct[..1]),
        proved(&embeds),
        // Shapes that would fit: directly stored and a layer as well, and embeddings without a layer.
        proved(
            &[
                direct.as_slice(),
                &[matrix("linear_left", 1, &[1.0]), matrix("linear_right", 1, &[1.0])],
            ]
            .concat(),
        ),
        proved(&[
            matrix("embed_left", 2, &[3.0, 5.0]),
            matrix("embed_right", 2, &[-2.0, 1.0]),
        ]),
        with(&two[..1]),
        with(&[two.as_slice(), &[matrix("linear", 2, of_left)]].concat()),
        with(&[matrix("linear", 3, &[1.0, 2.0, 3.0])]),
        with(&[matrix("linear_left", 1, &[1.0]), matrix("linear_right", 1, &[1.0])]),
        proved(&[("left", vec![1, 2, 1], &[3.0, 5.0]), direct[1].clone()]),
    ];
    for (i, result) in refused.into_iter().enumerate() {
        let refusal = result.unwrap_err();
        assert!(refusal.entry.starts_with("weights"), "{i}: {refusal}");
    }
}

/// The first logit leads by a_x + b_y, of which float64 keeps nothing beside 1: three of the four pairs are right.
#[test]
fn leads_that_float64_loses_are_decided_in_integers() {
    let tiny = 2f32.powi(-100);
    let (a, b) = ([0.0, 4.0 * tiny], [2.0 * tiny, -3.0 * tiny]);
    for activation in ["relu", "abs", "linear", "square"] {
        // Neurons 1 + b_y and 1 - a_x, one for each logit.
        let (left, right) = ([1.0, 0.0, 1.0, -a[1]], [b[0], 1.0, b[1], 1.0]);
        let proved = of_two_elements(activation, &left, &right, &[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0]);
        assert_eq!(proved["certified_pairs"], 3.0, "{activation}");
        // Neurons 1 + b_y and a_x, and a bias instead of the other 1.
        let (left, right) = ([1.0, 0.0, 1.0, a[1]], [b[0], 0.0, b[1], 0.0]);
        if activation != "square" {
            let proved = of_two_elements(activation, &left, &right, &[1.0, 0.0, 0.0, -1.0], &[0.0, 1.0]);
            assert_eq!(proved["certified_pairs"], 3.0, "{activation} with a bias");
        }
    }
}

/// The same weights in a file that does not say which group they are of.
fn without_table() -> Vec<u8> {
    let file = SafeTensors::deserialize(WEIGHTS).unwrap();
    safetensors::serialize(file.iter().filter(|&(name, _)| name != "table"), None).unwrap()
}

#[test]
fn another_group_is_refused() {
    let hash_only = |c: &mut Value| c["group"]["sha256"] = hash(b"another table");
    assert_eq!(refused_at(hash_only), "group.sha256");
    // A table that is given is compared as well.
    let own: Vec<u64> = table(&certificate()).concat().into_iter().map(u64::from).collect();
    assert!(check_with(WEIGHTS, CERTIFICATE, Some(&own)).is_ok());
    let mut other = own.clone();
    other.swap(3, 4);
    for wrong in [other.as_slice(), &own[1..]] {
        let refusal = check_with(WEIGHTS, CERTIFICATE, Some(wrong)).unwrap_err();
        assert_eq!(refusal.entry, "group.table", "{refusal}");
    }
    // The same group with two labels exchanged: a group, but not the one that the network multiplies in.
    let relabelled = |c: &mut Value| {
        let swap = |z: usize| if z == 3 || z == 4 { 7 - z } else { z };
        let old = table(c);
        let new = (0..24).map(|x| {
            (0..24)
                .map(|y| swap(usize::from(old[swap(x)][swap(y)])) as u16)
                .collect()
        });
        set_table(c, new.collect());
    };
    assert_eq!(refused_at(relabelled), "group.table");
    // Weights that carry no table do not say so, but what is claimed is not true of that group.
    let weights = without_table();
    let mut certificate = of_weights(&weights);
    certificate["claims"] = self::certificate()["claims"].clone();
    assert!(check(&weights, certificate.to_string().as_bytes()).is_ok());
    let mut smaller = certificate.clone();
    set_table(&mut smaller, vec![vec![0, 1], vec![1, 0]]);
    let refusal = check(&weights, smaller.to_string().as_bytes()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "group.table: 2 elements; the network has 24 logits"
    );
    relabelled(&mut certificate);
    let refused = check(&weights, certificate.to_string().as_bytes()).unwrap_err().entry;
    assert!(
        refused.starts_with("explanation") || refused.starts_with("claims"),
        "{refused}"
    );
}

#[test]
fn a_table_that_is_no_group_is_refused() {
    // A Latin square with identity 0 that is not associative: (1 1) 2 = 2 and 1 (1 2) = 4.
    let rows = [
        [0, 1, 2, 3, 4],
        [1, 0, 3, 4, 2],
        [2, 4, 0, 1, 3],
        [3, 2, 4, 0, 1],
        [4, 3, 1, 2, 0],
    ];
    let loop_of_five = |c: &mut Value| set_table(c, rows.iter().map(|row| row.to_vec()).collect());
    let mut certificate = certificate();
    loop_of_five(&mut certificate);
    let refusal = check(WEIGHTS, certificate.to_string().as_bytes()).unwrap_err();
    assert!(
        refusal.to_string().starts_with("group.table: not associative"),
        "{refusal}"
    );
    let repeated = |c: &mut Value| {
        let mut table = table(c);
        table[5][6] = table[5][7];
        set_table(c, table);
    };
    let mut certificate = self::certificate();
    repeated(&mut certificate);
    let refusal = check(WEIGHTS, certificate.to_string().as_bytes()).unwrap_err();
    assert!(refusal.entry.starts_with("group.table"), "{refusal}");
    let beyond = |c: &mut Value| {
        let mut table = table(c);
        table[5][6] = 24;
        set_table(c, table);
    };
    assert_eq!(refused_at(beyond), "group.table[5]");
    for longer in [false, true] {
        let ragged = |c: &mut Value| {
            let mut table = table(c);
            if longer {
                table[7].push(0)
            } else {
                _ = table[7].pop()
            }
            set_table(c, table);
        };
        assert_eq!(refused_at(ragged), "group.table[7]");
    }
    // Maximum and 0 for numbers 0 and 1: associative, with identity 0, and 1 has no inverse.
    assert_eq!(
        refused_at(|c| set_table(c, vec![vec![0, 1], vec![1, 1]])),
        "group.table[1]"
    );
    // The left or the right factor as the product: associative, with an identity on one side alone.
    for one_sided in [vec![vec![0, 0], vec![1, 1]], vec![vec![0, 1], vec![0, 1]]] {
        let mut certificate = self::certificate();
        set_table(&mut certificate, one_sided);
        let refusal = check(WEIGHTS, certificate.to_string().as_bytes()).unwrap_err();
        assert_eq!(refusal.to_string(), "group.table: no identity");
    }
    let smaller = |c: &mut Value| {
        set_table(c, vec![vec![0, 1], vec![1, 0]]);
    };
    assert_eq!(refused_at(smaller), "group.table");
}

#[test]
fn entries_of_the_explanation_are_refused_by_name() {
    let cases = [
        (
            "/explanation/circuits/2/left/subgroup/0",
            "explanation.circuits[2].left.subgroup",
            json!(99),
        ),
        (
            "/explanation/circuits/2/left/subgroup",
            "explanation.circuits[2].left.subgroup",
            json!([0, 1, 2, 3, 4]),
        ),
        (
            "/explanation/circuits/1/right/points/1",
            "explanation.circuits[1].right.points[1]",
            json!(0),
        ),
        (
            "/explanation/circuits/1/right/points/2",
            "explanation.circuits[1].right.points[2]",
            json!(24),
        ),
        (
            "/explanation/circuits/0/members/1/left_point",
            "explanation.circuits[0].members[1].left_point",
            json!(77),
        ),
        (
            "/explanation/circuits/0/members/1/left_values",
            "explanation.circuits[0].members[1].left_values",
            json!([1.0]),
        ),
        (
            "/explanation/circuits/1/kernels/0/two_sided/0/0",
            "explanation.circuits[1].kernels[0].two_sided",
            json!(0.125),
        ),
        (
            "/explanation/circuits/1/kernels/0/left_subspace",
            "explanation.circuits[1].kernels[0].left_subspace",
            json!(5),
        ),
        (
            "/explanation/circuits/1/kernels/0/right_subspace",
            "explanation.circuits[1].kernels[0].right_subspace",
            json!(5),
        ),
        (
            "/explanation/circuits/1/kernels/0/two_sided",
            "explanation.circuits[1].kernels[0].two_sided",
            json!([[1.0]]),
        ),
        (
            "/explanation/circuits/1/kernels/0/right",
            "explanation.circuits[1].kernels[0].right",
            json!([[1.0]]),
        ),
        (
            "/explanation/circuits/1/kernels/0/left",
            "explanation.circuits[1].kernels[0].left",
            json!([[1.0]]),
        ),
        (
            "/explanation/circuits/0/members/1/right_point",
            "explanation.circuits[0].members[1].right_point",
            json!(77),
        ),
        (
            "/explanation/circuits/0/members/1/right_values",
            "explanation.circuits[0].members[1].right_values",
            json!([1.0]),
        ),
        (
            "/explanation/circuits/2/left/subgroup",
            "explanation.circuits[2].left.subgroup[1]",
            json!([0, 0]),
        ),
        (
            "/explanation/circuits/1/left_subspaces/0",
            "explanation.circuits[1].left_subspaces[0]",
            json!([[], [], [], []]),
        ),
        (
            "/explanation/circuits/1/kernels/0/coordinates/0",
            "explanation.circuits[1].kernels[0].coordinates",
            json!([1.0]),
        ),
        (
            "/explanation/circuits/0/members/1/left_values",
            "explanation.circuits[0].members[1].left_values",
            json!([1.0, null]),
        ),
        ("/explanation/order", "explanation.order", json!(25)),
        ("/explanation/neurons", "explanation.neurons", json!(127)),
        ("/explanation/format", "explanation.format", json!("rhoset-certificate")),
        ("/plan/circuits", "plan.circuits", json!([true])),
        ("/plan/basis", "plan.basis", json!([[1.0]])),
    ];
    for (pointer, entry, value) in cases {
        let refused = refused_at(|c| *c.pointer_mut(pointer).unwrap() = value);
        assert!(refused.starts_with(entry), "{pointer}: {refused}");
    }
}

/// Orthonormal functions are no more than there are points; refused before anything of columns x columns is made.
#[test]
fn a_basis_of_more_functions_than_points_is_refused_at_once() {
    let wide =
        |c: &mut Value| c["explanation"]["circuits"][1]["left_subspaces"][0] = json!(vec![vec![0.0; 100_000]; 4]);
    assert_eq!(refused_at(wide), "explanation.circuits[1].left_subspaces[0]");
}

#[test]
fn a_circuit_that_costs_more_than_the_network_is_refused_at_once() {
    let huge = |c: &mut Value| {
        for side in ["left", "right"] {
            c["explanation"]["circuits"][1][side]["points"] = json!(vec![0; 400]);
        }
    };
    assert_eq!(refused_at(huge), "explanation.circuits[1]");
}

/// The weights with one of the tensors changed, or one more.
fn with_tensor(name: &str, values: &[f32]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let file = SafeTensors::deserialize(WEIGHTS).unwrap();
    let view = TensorView::new(Dtype::F32, vec![values.len()], &bytes).unwrap();
    let others = file.iter().filter(|&(other, _)| other != name);
    safetensors::serialize(others.chain([(name, view)]), None).unwrap()
}

#[test]
fn weights_that_are_no_network_are_refused() {
    let mut bias = [0.5; 24];
    bias[7] = f32::NAN;
    let cases = [
        (with_tensor("bias", &bias), "entry 7 is not finite"),
        (with_tensor("bias", &bias[..6]), "shapes do not fit"),
        (with_tensor("surprise", &bias[..6]), "that no architecture has"),
        (WEIGHTS[..WEIGHTS.len() - 1].to_vec(), "weights: "),
        (Vec::new(), "weights: "),
    ];
    for (weights, message) in cases {
        let refusal = check(&weights, of_weights(&weights).to_string().as_bytes()).unwrap_err();
        assert!(refusal.to_string().contains(message), "{message}: {refusal}");
    }
}

#[test]
fn circuits_of_other_activations_and_activations_without_integers_are_refused() {
    for (activation, message) in [
        ("\"abs\" ", "explanation.circuits: "),
        ("\"gelu\"", "weights: activation: "),
    ] {
        let at = WEIGHTS.windows(6).position(|bytes| bytes == b"\"relu\"").unwrap();
        let mut weights = WEIGHTS.to_vec();
        weights[at..at + 6].copy_from_slice(activation.as_bytes());
        let refusal = check(&weights, of_weights(&weights).to_string().as_bytes()).unwrap_err();
        assert!(refusal.to_string().starts_with(message), "{message}: {refusal}");
    }
}

#[test]
fn a_neuron_that_is_explained_twice_is_refused() {
    let twice = |c: &mut Value| {
        let first = c["explanation"]["circuits"][0]["members"][0]["neuron"].clone();
        c["explanation"]["circuits"][1]["members"][0]["neuron"] = first;
    };
    assert_eq!(refused_at(twice), "explanation.circuits[1].members[0].neuron");
    let none = |c: &mut Value| c["explanation"]["circuits"][1]["members"][0]["neuron"] = 128.into();
    assert_eq!(refused_at(none), "explanation.circuits[1].members[0].neuron");
}

#[test]
fn files_that_are_truncated_or_of_another_version_are_refused() {
    for length in [0, 1, 100, CERTIFICATE.len() / 2, CERTIFICATE.len() - 3] {
        assert_eq!(
            check(WEIGHTS, &CERTIFICATE[..length]).unwrap_err().entry,
            "certificate",
            "{length}"
        );
    }
    let more = [CERTIFICATE, b"{}"].concat();
    assert_eq!(check(WEIGHTS, &more).unwrap_err().entry, "certificate");
    for version in [0, 1, 3, 99] {
        assert_eq!(refused_at(|c| c["version"] = version.into()), "version");
    }
    // Whatever else a later version has, it is its version that is at fault.
    let later = |c: &mut Value| (c["version"], c["proof"]) = (3.into(), json!({}));
    assert_eq!(refused_at(later), "version");
    assert_eq!(refused_at(|c| c["format"] = "another".into()), "format");
    assert_eq!(
        refused_at(|c| c["explanation"]["version"] = 2.into()),
        "explanation.version"
    );
    assert_eq!(refused_at(|c| c["surprise"] = 2.into()), "surprise");
}

#[test]
fn what_x_and_y_have_by_themselves_proves_this_far() {
    let weights = include_bytes!("data/s3.safetensors");
    let mut certificate: Value = serde_json::from_slice(include_bytes!("data/s3.certificate.json")).unwrap();
    let proof = check(weights, certificate.to_string().as_bytes()).unwrap();
    assert_eq!(proof.proved["gap_pairs"], 28, "{proof:?}");
    certificate["claims"]["gap_pairs"] = 29.into();
    let refusal = check(weights, certificate.to_string().as_bytes()).unwrap_err();
    assert_eq!(refusal.to_string(), "claims.gap_pairs: 29; only 28 is proved");
}

/// A basis so large that what it keeps of the weights is no number any more, for some of the logits alone.
#[test]
fn a_basis_that_overflows_proves_nothing() {
    let found = proved(|c| {
        claim_nothing(c);
        let mut basis = vec![vec![0.0]; 24];
        (basis[3][0], basis[7][0]) = (1e200, -1e200);
        c["plan"]["basis"] = json!(basis);
    });
    assert_eq!(found["explained_pairs"], found["circuit_pairs"]);
}

/// Explanations that are wrong in what no check can see: the bounds must notice.
#[test]
fn wrong_numbers_weaken_the_bounds() {
    // Members at the wrong point: their templates are far from the neurons (Theorem 3).
    let moved = proved(|c| {
        claim_nothing(c);
        for member in c["explanation"]["circuits"][1]["members"].as_array_mut().unwrap() {
            member["left_point"] = ((member["left_point"].as_u64().unwrap() + 1) % 4).into();
        }
    });
    assert_eq!(moved["circuit_pairs"], 0.0);
    // A two-sided part ten times too large: the residual is as much too large (Theorem 5).
    let scaled = proved(|c| {
        claim_nothing(c);
        let rows = c["explanation"]["circuits"][1]["kernels"][0]["two_sided"]
            .as_array_mut()
            .unwrap();
        for value in rows.iter_mut().flat_map(|row| row.as_array_mut().unwrap()) {
            *value = (10.0 * value.as_f64().unwrap()).into();
        }
    });
    assert_eq!(scaled["circuit_pairs"], 0.0);
    // A kernel that misses the activations: what it misses is bounded entry by entry (Theorem 4).
    let missed = proved(|c| {
        claim_nothing(c);
        let rows = c["explanation"]["circuits"][1]["kernels"][0]["coordinates"]
            .as_array_mut()
            .unwrap();
        rows.iter_mut()
            .flat_map(|row| row.as_array_mut().unwrap())
            .for_each(|value| *value = 0.0.into());
    });
    assert_eq!(missed["circuit_pairs"], 0.0);
    // A basis that the group moves: only the weaker bound is left (Theorem 5).
    let turned = proved(|c| {
        claim_nothing(c);
        let basis = c["explanation"]["circuits"][1]["left_subspaces"][0]
            .as_array_mut()
            .unwrap();
        basis.iter_mut().for_each(|row| row[0] = 0.0.into());
    });
    assert!(turned["circuit_pairs"] < CIRCUIT_PAIRS, "{turned:?}");
    // Circuits that the plan leaves out: their neurons are constants up to half their range.
    let unused = proved(|c| {
        claim_nothing(c);
        c["plan"]["circuits"] = json!([true, false, true]);
    });
    assert_eq!(unused["circuit_pairs"], 0.0);
    // Functions on the group that carry nothing: all is left over (Theorem 7).
    let blind = proved(|c| {
        claim_nothing(c);
        c["plan"]["basis"] = json!(vec![vec![0.0]; 24]);
    });
    assert_eq!(blind["explained_pairs"], blind["circuit_pairs"]);
    assert_eq!(blind["certified_pairs"], 575.0);
}
