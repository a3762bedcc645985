//! `rhoset explain --save`, `rhoset verify --explanation`, `--certificate` and `--check`, and both checkers on what they write.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use rhoset::group::Group;
use rhoset::network::{Folded, Network, file};
use rhoset::verify::certificate::{Certificate, file_hash};
use rhoset::verify::{brute, loss};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};

const S5: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/s5.safetensors");
const S4: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/report/s4.safetensors");
const NETWORKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/networks");

fn rhoset(arguments: &[&str]) -> assert_cmd::assert::Assert {
    Command::cargo_bin("rhoset").unwrap().args(arguments).assert()
}

/// `rhoset-check`, as a library.
fn check(weights: &[u8], certificate: &[u8]) -> anyhow::Result<rhoset_check::Proof> {
    rhoset_check::check(weights, certificate, None, NonZeroUsize::MIN)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The weights and the certificate that `rhoset verify --certificate` writes for a network.
fn certify(network: &str, directory: &Path) -> (PathBuf, PathBuf) {
    rhoset(&[
        "verify",
        network,
        "--verifiers",
        "brute",
        "--certificate",
        text(directory),
    ])
    .success();
    let weights = directory.join(Path::new(network).file_name().unwrap());
    let certificate = weights.with_extension("certificate.json");
    (weights, certificate)
}

#[test]
fn a_saved_explanation_proves_as_much_as_the_one_that_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("explanation.json");
    rhoset(&["explain", S5, "--save", text(&saved)]).success();
    let row = |extra: &[&str]| {
        let arguments = [&["verify", S5, "--verifiers", "explained", "--json"], extra].concat();
        let output = rhoset(&arguments).success().get_output().stdout.clone();
        let row: Value = serde_json::from_slice(&output).unwrap();
        row["verifiers"]["explained"].clone()
    };
    let (found, read) = (row(&[]), row(&["--explanation", text(&saved)]));
    for figure in ["certified_pairs", "cross_entropy_bound", "tiers"] {
        assert_eq!(found[figure], read[figure], "{figure}");
    }
    // Without its circuits the same file proves less or takes dearer tiers, and stays sound.
    let mut edited: Value = serde_json::from_slice(&std::fs::read(&saved).unwrap()).unwrap();
    edited["circuits"] = json!([]);
    std::fs::write(&saved, edited.to_string()).unwrap();
    assert_eq!(row(&["--explanation", text(&saved)])["tiers"]["correct"], 0);
}

#[test]
fn wrong_explanations_are_refused_at_the_entry() {
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("explanation.json");
    rhoset(&["explain", S5, "--save", text(&saved)]).success();
    let original = std::fs::read(&saved).unwrap();
    let cases: [(&str, Value, &str); 14] = [
        (
            "/circuits/1/left/subgroup/0",
            json!(7),
            "circuits[1].left.subgroup: not a subgroup",
        ),
        (
            "/circuits/1/left/points/3",
            json!(120),
            "circuits[1].left.points[3]: 120 is not an element",
        ),
        (
            "/circuits/1/left/points/3",
            json!(0),
            "circuits[1].left.points[3]: the points are not the left cosets",
        ),
        (
            "/circuits/1/members/1/neuron",
            json!(128),
            "circuits[1].members[1].neuron: 128 is not one of 0..128",
        ),
        (
            "/circuits/1/members/1/right_point",
            json!(99),
            "circuits[1].members[1].right_point: 99 is not",
        ),
        (
            "/circuits/1/members/1/left_values",
            json!([1.0]),
            "circuits[1].members[1].left_values: has 1 entries",
        ),
        (
            "/circuits/1/members/1/left_values/2",
            json!(null),
            "circuits[1].members[1].left_values[2]: invalid type: null",
        ),
        (
            "/circuits/1/kernels/0/two_sided/1/1",
            json!(9.5),
            "circuits[1].kernels[0].two_sided[1][1]: is 9.5",
        ),
        (
            "/circuits/1/kernels/0/right_subspace",
            json!(9),
            "circuits[1].kernels[0].right_subspace: 9 is not",
        ),
        (
            "/circuits/1/left_subspaces/0/0/0",
            json!(5.0),
            "circuits[1].left_subspaces[0]: its columns are not orthonormal",
        ),
        ("/order", json!(119), "order: 119"),
        (
            "/format",
            json!("rhoset-certificate"),
            "format: is \"rhoset-certificate\"",
        ),
        ("/version", json!(2), "version: 2 is not known"),
        (
            "/circuits/1/kernels",
            json!("none"),
            "circuits[1].kernels: invalid type",
        ),
    ];
    let refused = |bytes: &[u8], message: &str| {
        std::fs::write(&saved, bytes).unwrap();
        let stderr = rhoset(&["verify", S5, "--explanation", text(&saved)])
            .code(2)
            .get_output()
            .stderr
            .clone();
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(stderr.contains(message), "{message} is not in {stderr}");
    };
    for (pointer, value, message) in cases {
        let mut edited: Value = serde_json::from_slice(&original).unwrap();
        *edited.pointer_mut(pointer).unwrap() = value;
        refused(edited.to_string().as_bytes(), message);
    }
    let mut idle: Value = serde_json::from_slice(&original).unwrap();
    idle["circuits"][1]["members"] = json!([]);
    refused(idle.to_string().as_bytes(), "circuits[1].members: there are none");
    // Refused before anything of that many rows and columns is made of it.
    let mut wide: Value = serde_json::from_slice(&original).unwrap();
    wide["circuits"][1]["left_subspaces"][0] = json!(vec![vec![0.0; 200_000]; 1]);
    refused(wide.to_string().as_bytes(), "left_subspaces[0]: has 200000 columns for");
    let mut twice: Value = serde_json::from_slice(&original).unwrap();
    twice["circuits"][1]["members"][1]["neuron"] = twice["circuits"][1]["members"][0]["neuron"].clone();
    refused(twice.to_string().as_bytes(), "is circuits[1].members[0] already");
    refused(&original[..original.len() / 2], "it is truncated");
    let number = String::from_utf8(original.clone())
        .unwrap()
        .replacen("\"left_values\":[", "\"left_values\":[NaN,", 1);
    refused(
        number.as_bytes(),
        "circuits[0].members[0].left_values[0]: expected value",
    );
}

#[test]
fn a_certificate_is_accepted_by_both_programs_and_one_pair_more_by_neither() {
    let directory = tempfile::tempdir().unwrap();
    let (weights, path) = certify(S5, directory.path());
    rhoset(&["verify", text(&weights), "--check", text(&path)]).success();
    let (bytes, json) = (std::fs::read(&weights).unwrap(), std::fs::read(&path).unwrap());
    let proof = check(&bytes, &json).unwrap();
    for name in [
        "certified_pairs",
        "explained_pairs",
        "circuit_pairs",
        "gap_pairs",
        "float32_pairs",
    ] {
        assert_eq!(proof.claimed[name], 14400, "{name}");
    }
    let mut certificate: Value = serde_json::from_slice(&json).unwrap();
    for (pointer, value, entry) in [
        ("/claims/certified_pairs", json!(14401), "claims.certified_pairs"),
        ("/claims/gap_pairs", json!(14401), "claims.gap_pairs"),
        ("/claims/float32_pairs", json!(14401), "claims.float32_pairs"),
        ("/claims/cross_entropy_bound", json!(0.03), "claims.cross_entropy_bound"),
        (
            "/claims/explained_cross_entropy_bound",
            json!(0.2),
            "claims.explained_cross_entropy_bound",
        ),
        ("/weights/sha256", json!("0"), "weights.sha256"),
        ("/group/sha256", json!("0"), "group.sha256"),
        ("/group/table/0/0", json!(1), "group.table"),
        ("/version", json!(9), "version"),
        (
            "/explanation/circuits/0/kernels/0/two_sided/0/0",
            json!(0.5),
            "explanation.circuits[0].kernels[0].two_sided",
        ),
    ] {
        let before = std::mem::replace(certificate.pointer_mut(pointer).unwrap(), value);
        let edited = certificate.to_string();
        let refusal = check(&bytes, edited.as_bytes()).unwrap_err().to_string();
        assert!(refusal.contains(entry), "{entry}: {refusal}");
        std::fs::write(&path, edited).unwrap();
        let refused = rhoset(&["verify", text(&weights), "--check", text(&path)]).code(2);
        let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
        assert!(stderr.contains(entry), "{entry}: {stderr}");
        *certificate.pointer_mut(pointer).unwrap() = before;
    }
    std::fs::write(&path, &json[..json.len() / 3]).unwrap();
    rhoset(&["verify", text(&weights), "--check", text(&path)]).code(2);
    assert!(check(&bytes, &json[..json.len() / 3]).is_err());
    std::fs::write(&path, &json).unwrap();
    rhoset(&["verify", S4, "--check", text(&path)]).code(2);
}

#[test]
fn certificates_of_versions_past_and_future_are_refused_by_both_programs() {
    let directory = tempfile::tempdir().unwrap();
    let (weights, path) = certify(S4, directory.path());
    let mut certificate: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for version in [0, 1, 3, 4_000_000_000_u32] {
        certificate["version"] = json!(version);
        // A later version may well have other entries.
        certificate["proof"] = json!({});
        std::fs::write(&path, certificate.to_string()).unwrap();
        let refused = rhoset(&["verify", text(&weights), "--check", text(&path)]).code(2);
        let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
        assert!(
            stderr.contains(&format!("version: {version} is not known, only 2")),
            "{stderr}"
        );
        let refusal = check(&std::fs::read(&weights).unwrap(), &std::fs::read(&path).unwrap()).unwrap_err();
        assert_eq!(refusal.to_string(), format!("version: {version} is not known, only 2"));
    }
}

#[test]
fn a_certificate_about_another_group_than_the_weights_say_is_refused_by_both_programs() {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "verify",
        S4,
        "--group",
        "A4xC2",
        "--verifiers",
        "brute",
        "--certificate",
    ];
    rhoset(&[arguments.as_slice(), &[text(directory.path())]].concat()).success();
    let (weights, path) = (
        directory.path().join("s4.safetensors"),
        directory.path().join("s4.certificate.json"),
    );
    // The written weights say A4xC2; the original ones say S4.
    rhoset(&["verify", text(&weights), "--check", text(&path)]).success();
    let (original, mut certificate): (_, Value) = (
        std::fs::read(S4).unwrap(),
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
    );
    certificate["weights"]["sha256"] = file_hash(&original).into();
    let refusal = check(&original, certificate.to_string().as_bytes()).unwrap_err();
    assert!(
        refusal
            .to_string()
            .starts_with("group.table: the certificate is about another group"),
        "{refusal}"
    );
    std::fs::write(&path, certificate.to_string()).unwrap();
    let refused = rhoset(&["verify", S4, "--group", "A4xC2", "--check", text(&path)]).code(2);
    let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("group.table"), "{stderr}");
    // A file that stays as it is cannot have such a certificate beside it.
    std::fs::write(&weights, &original).unwrap();
    let arguments = [
        "verify",
        text(&weights),
        "--group",
        "A4xC2",
        "--verifiers",
        "brute",
        "--certificate",
    ];
    let refused = rhoset(&[arguments.as_slice(), &[text(directory.path())]].concat()).code(2);
    let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("carries another group than A4xC2"), "{stderr}");
}

#[test]
fn other_activations_are_certified_by_evaluation_where_integers_can() {
    for name in ["square", "abs", "linear", "relu"] {
        let directory = tempfile::tempdir().unwrap();
        let network = format!("{NETWORKS}/{name}.safetensors");
        let out = text(directory.path());
        let group = ["--group", "C4", "--verifiers", "brute", "--certificate", out];
        rhoset(&[&["verify", &network], group.as_slice()].concat()).success();
        let weights = directory.path().join(format!("{name}.safetensors"));
        let certificate = std::fs::read(weights.with_extension("certificate.json")).unwrap();
        let proof = check(&std::fs::read(&weights).unwrap(), &certificate).unwrap();
        // Both programs decide every pair exactly.
        assert_eq!(
            proof.proved["certified_pairs"], proof.claimed["certified_pairs"],
            "{name}"
        );
    }
    let directory = tempfile::tempdir().unwrap();
    let network = format!("{NETWORKS}/gelu.safetensors");
    let out = text(directory.path());
    let refused = rhoset(&[
        "verify",
        &network,
        "--group",
        "C4",
        "--verifiers",
        "brute",
        "--certificate",
        out,
    ])
    .code(2);
    let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(
        stderr.contains("activation gelu: its logits are irrational"),
        "{stderr}"
    );
    // Nothing is left that looks like half a certificate.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// The S4 network with its tensors changed: name, type, shape and bytes of each.
fn rewritten(path: &Path, change: impl Fn(&str, Dtype, Vec<u8>) -> Option<(Dtype, Vec<u8>)>) {
    let bytes = std::fs::read(S4).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let tensors: Vec<_> = file.iter().collect();
    let changed: Vec<_> = tensors
        .iter()
        .filter_map(|(name, view)| {
            let (dtype, data) = change(name, view.dtype(), view.data().to_vec())?;
            Some((*name, dtype, view.shape().to_vec(), data))
        })
        .collect();
    let views = changed
        .iter()
        .map(|(name, dtype, shape, data)| (*name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    std::fs::write(path, safetensors::serialize(views, header.metadata().clone()).unwrap()).unwrap();
}

#[test]
fn weights_that_only_name_their_group_are_checked_against_a_table_that_is_given() {
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("named.safetensors");
    rewritten(&own, |name, dtype, data| (name != "table").then_some((dtype, data)));
    let (weights, path) = certify(text(&own), directory.path());
    let (bytes, json) = (std::fs::read(&weights).unwrap(), std::fs::read(&path).unwrap());
    rhoset(&["verify", text(&weights), "--check", text(&path)]).success();
    // The file beside the certificate is the user's own: it names S4, and which table that is the certificate alone says.
    let group = check(&bytes, &json).unwrap().group;
    assert!(
        group.starts_with("S4 (table from the certificate alone: SHA-256 "),
        "{group}"
    );
    let certificate: Value = serde_json::from_slice(&json).unwrap();
    let rows: Vec<Vec<u64>> = serde_json::from_value(certificate["group"]["table"].clone()).unwrap();
    let with = |table: &[u64]| rhoset_check::check(&bytes, &json, Some(table), NonZeroUsize::MIN);
    let group = with(&rows.concat()).unwrap().group;
    assert!(group == "S4 (table from --table)", "{group}");
    let transposed: Vec<u64> = (0..24 * 24).map(|at| rows[at % 24][at / 24]).collect();
    let refusal = with(&transposed).unwrap_err().to_string();
    assert_eq!(
        refusal,
        "group.table: the certificate is about another group than that of --table"
    );
    // `rhoset` builds the group of that name, and refuses a certificate of another table.
    let arguments = [
        "verify",
        S4,
        "--group",
        "A4xC2",
        "--verifiers",
        "brute",
        "--certificate",
    ];
    let other = tempfile::tempdir().unwrap();
    rhoset(&[arguments.as_slice(), &[text(other.path())]].concat()).success();
    let mut certificate: Value =
        serde_json::from_slice(&std::fs::read(other.path().join("s4.certificate.json")).unwrap()).unwrap();
    certificate["weights"]["sha256"] = file_hash(&bytes).into();
    std::fs::write(&path, certificate.to_string()).unwrap();
    let refused = rhoset(&["verify", text(&weights), "--check", text(&path)]).code(2);
    let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(
        stderr.contains("group.table: is not the table of the network's group S4"),
        "{stderr}"
    );
}

#[test]
fn no_certificate_is_written_beside_weights_that_no_checker_reads() {
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("double.safetensors");
    rewritten(&own, |_, dtype, data| match dtype {
        Dtype::F32 => {
            let numbers = data.as_chunks::<4>().0.iter();
            let doubled = numbers.flat_map(|&bytes| f64::from(f32::from_le_bytes(bytes)).to_le_bytes());
            Some((Dtype::F64, doubled.collect()))
        }
        other => Some((other, data)),
    });
    let arguments = ["verify", text(&own), "--verifiers", "brute", "--certificate"];
    let refused = rhoset(&[arguments.as_slice(), &[text(directory.path())]].concat()).code(2);
    let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(
        stderr.contains("of type F64") && stderr.contains("write it to another folder"),
        "{stderr}"
    );
    assert!(!own.with_extension("certificate.json").exists());
    // Elsewhere the weights are written as they should be.
    let elsewhere = directory.path().join("elsewhere");
    let (weights, path) = certify(text(&own), &elsewhere);
    check(&std::fs::read(&weights).unwrap(), &std::fs::read(&path).unwrap()).unwrap();
}

#[test]
fn the_activation_of_a_certificate_is_that_of_the_weights_file() {
    let directory = tempfile::tempdir().unwrap();
    let (weights, path) = certify(S4, directory.path());
    let with = |extra: &[&str]| rhoset(&[&["verify", text(&weights), "--activation", "abs"], extra].concat());
    // The file says relu, and so is it checked whatever the command line says.
    with(&["--check", text(&path)]).success();
    let refused = with(&["--verifiers", "brute", "--certificate", text(directory.path())]).code(2);
    let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("says that its activation is relu"), "{stderr}");
}

#[test]
fn an_explanation_for_a_folder_that_is_not_there_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nowhere").join("explanation.json");
    let refused = rhoset(&["explain", S4, "--save", text(&path)]).code(2);
    let stderr = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    let message = format!(
        "{}: there is no directory {}",
        path.display(),
        path.parent().unwrap().display()
    );
    assert!(stderr.contains(&message) && !stderr.contains(".part"), "{stderr}");
}

/// What is true of a network, to hold accepted claims against.
struct Truth {
    bytes: Vec<u8>,
    network: Network,
    folded: Folded,
    group: Group,
    right: usize,
    loss: f64,
}

impl Truth {
    fn of(weights: &Path) -> Self {
        let loaded = file::load(weights).unwrap().remove(0);
        let (network, group) = (loaded.network, loaded.group.unwrap());
        let folded = network.fold();
        let right = brute::verify(&network, &folded, &group).certified_pairs;
        let loss = loss::evaluate(&folded, &group).cross_entropy_bound;
        let bytes = std::fs::read(weights).unwrap();
        Self {
            bytes,
            network,
            folded,
            group,
            right,
            loss,
        }
    }

    /// Both programs refuse, or what they accept is true.
    fn hold(&self, json: &[u8]) -> [bool; 2] {
        let by_checker = check(&self.bytes, json).ok().map(|proof| proof.claimed);
        if let Some(claimed) = &by_checker {
            for (name, claim) in claimed.iter().filter(|(_, claim)| !claim.is_null()) {
                let claim = claim.as_f64().unwrap();
                let holds = match name.as_str() {
                    "pairs" => claim == self.group.order().pow(2) as f64,
                    name if name.ends_with("_bound") => claim > self.loss - 1e-9,
                    _ => claim <= self.right as f64,
                };
                assert!(holds, "{claimed:?}");
            }
        }
        let certificate = Certificate::parse(json);
        let check = |c: &Certificate| c.check(&file_hash(&self.bytes), &self.network, &self.folded, &self.group);
        let accepted = certificate.as_ref().is_ok_and(|c| check(c).is_ok());
        if accepted {
            let claims = &certificate.unwrap().claims;
            let counts = [
                claims.certified_pairs,
                claims.explained_pairs,
                claims.circuit_pairs,
                claims.gap_pairs,
            ];
            assert!(counts.iter().all(|&count| count <= self.right), "{claims:?}");
            assert!(claims.float32_pairs <= self.right, "{claims:?}");
            let bounds = [claims.cross_entropy_bound, claims.explained_cross_entropy_bound];
            assert!(
                bounds.iter().flatten().all(|&bound| bound > self.loss - 1e-9),
                "{claims:?}"
            );
        }
        [by_checker.is_some(), accepted]
    }
}

/// A small generator of its own, so that a failure can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound.max(1)
    }
}

/// Changes one entry somewhere in the tree.
fn edit(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let at = random.below(fields.len());
            let key = fields.keys().nth(at).unwrap().clone();
            match random.below(30) {
                0 => drop(fields.remove(&key)),
                1 => drop(fields.insert("surprise".into(), json!(1))),
                _ => edit(&mut fields[&key], random),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = random.below(items.len());
            match random.below(30) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                2 => items.swap(0, at),
                _ => edit(&mut items[at], random),
            }
        }
        Value::Number(number) => {
            let old = number.as_f64().unwrap();
            *value = match random.below(9) {
                0 => json!(old + 1.0),
                1 => json!(old as i64 + 1),
                2 => json!(-old),
                3 => json!(0),
                4 => json!(old * 1e300),
                5 => json!(old * 1e-300),
                6 => json!(old * (1.0 + 1e-9)),
                7 => json!(old as i64 - 1),
                _ => json!(random.below(1000)),
            };
        }
        other => *other = [json!(null), json!(true), json!("text"), json!([]), json!({})][random.below(5)].clone(),
    }
}

#[test]
fn corrupted_certificates_are_refused_or_still_true() {
    let long = std::env::var_os("RHOSET_LONG_TESTS").is_some();
    let directory = tempfile::tempdir().unwrap();
    let (weights, path) = certify(S4, directory.path());
    let truth = Truth::of(&weights);
    let json = std::fs::read(&path).unwrap();
    assert_eq!(truth.hold(&json), [true, true], "the certificate itself");
    let whole: Value = serde_json::from_slice(&json).unwrap();
    let mut accepted = [0; 2];
    let cases = if long { 10_000 } else { 300 };
    for seed in 0..cases {
        let mut random = Random(seed);
        let corrupted = if seed % 2 == 0 {
            let mut bytes = json.clone();
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
            bytes
        } else {
            let mut tree = whole.clone();
            edit(&mut tree, &mut random);
            tree.to_string().into_bytes()
        };
        let both = truth.hold(&corrupted);
        (0..2).for_each(|i| accepted[i] += usize::from(both[i]));
    }
    println!(
        "{cases} corruptions: {} accepted by rhoset-check, {} by rhoset, all true",
        accepted[0], accepted[1]
    );
    assert!(accepted[0] < cases as usize / 2);
}
