//! `rhoset measure` and `rhoset reproduce`: what they print and write, and answers to bad input.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

const S5: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/s5.safetensors");
const S4: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/report/s4.safetensors");
const TRUNCATED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/data/networks/hostile/truncated.pt"
);

fn rhoset(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rhoset").unwrap();
    command.current_dir(folder).args(arguments);
    command
}

/// What a command prints that succeeds.
fn stdout(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    rhoset(folder, arguments).assert().success().get_output().stdout.clone()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Header and rows of a table without quotes.
fn csv(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let fields = |line: &str| line.split(',').map(str::to_owned).collect();
    text.lines().map(fields).collect()
}

#[test]
fn a_sample_network_is_measured() {
    let folder = folder();
    let output = stdout(folder.path(), &["measure", S5]);
    insta::assert_snapshot!(text(&output));
}

#[test]
fn measures_are_one_json_object_a_network() {
    let folder = folder();
    let run = rhoset(folder.path(), &["measure", S5, TRUNCATED, S4, "--json"])
        .assert()
        .code(2);
    let lines: Vec<Value> = text(&run.get_output().stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(text(&run.get_output().stderr).contains("truncated.pt"));
    assert_eq!(lines.len(), 2);
    let s5 = &lines[0]["measures"];
    assert_eq!((&lines[0]["group"], &lines[0]["order"]), (&"S5".into(), &120.into()));
    assert!((s5["original"]["cross_entropy"].as_f64().unwrap() - 0.030_659_75).abs() < 1e-6);
    let spread = s5["equivariance"]["variation"]["right"].as_f64().unwrap();
    assert!((0.01..0.06).contains(&spread), "{spread}");
    assert!(s5["idealised_equivariance"]["variation"]["two_sided"].as_f64().unwrap() < 1e-5);
    assert!(s5["fit"]["all"]["left"].as_f64().unwrap() > 0.999);
    assert_eq!(s5["interventions"].as_array().unwrap().len(), 9);
    // Other activations have no idealised tensors, and say so by null.
    let gelu = ["measure", S4, "--activation", "gelu", "--json"];
    let output = stdout(folder.path(), &gelu);
    let gelu: Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(gelu["measures"]["fit"], Value::Null);
    assert!(lines[1]["measures"]["fit"].is_object());
}

#[test]
fn a_study_of_given_networks_writes_tables_figures_and_page_and_goes_on_where_it_was() {
    let folder = folder();
    let study = folder.path().join("study");
    let arguments = ["reproduce", "paper", "--networks", S5, S4, "-o", "study"];
    let first = stdout(folder.path(), &arguments);
    let printed = text(&first);
    assert!(
        printed.starts_with("Studied 2 networks; tables, figures and report.html are in study.\n"),
        "{printed}"
    );

    // Groups are apart, in the order given.
    let about = json_file(&study.join("study.json"));
    let groups: Vec<_> = about["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["group"].clone())
        .collect();
    assert_eq!(groups, ["S5", "S4"]);
    assert_eq!(about["problems"], Value::Array(vec![]));
    let s5 = &about["groups"][0];
    assert_eq!((&s5["networks"], &s5["perfect"]), (&1.into(), &1.into()));
    assert!(s5["equivariance"]["random"].as_f64().unwrap() > 5.0);
    assert!(s5["equivariance"]["original"].as_f64().unwrap() < 0.06);
    assert!(s5["r_squared_left"].as_f64().unwrap() > 0.999);
    let fully = &s5["fully_explained"];
    assert_eq!(fully["networks"], 1);
    assert_eq!(fully["least_r_squared_left"], s5["r_squared_left"]);
    for said in ["fully explained", "R^2 left >=", "random", "idealised"] {
        assert!(printed.contains(said), "{said}: {printed}");
    }

    // Every figure of every group is there in both formats, with a reason where it has no data.
    for figure in about["figures"].as_array().unwrap() {
        let file = |format: &str| std::fs::read(study.join(figure[format].as_str().unwrap())).unwrap();
        assert!(file("svg").starts_with(b"<svg") && file("png").starts_with(b"\x89PNG"));
        let absent = figure["absent"].as_str();
        let said = text(&file("svg")).contains("No data: ");
        assert_eq!(absent.is_some(), said, "{figure}");
    }
    let names = |group: &str| {
        let figures = about["figures"].as_array().unwrap().iter();
        figures.filter(|figure| figure["group"] == group).count()
    };
    assert_eq!((names("S5"), names("S4")), (19, 19));

    for table in about["tables"].as_array().unwrap() {
        let name = table["name"].as_str().unwrap();
        let lines = std::fs::read_to_string(study.join(format!("{name}.csv"))).unwrap();
        assert_eq!(
            lines.lines().count(),
            table["rows"].as_u64().unwrap() as usize + 1,
            "{name}"
        );
        assert!(
            std::fs::read(study.join(format!("{name}.parquet")))
                .unwrap()
                .starts_with(b"PAR1")
        );
    }
    let results = csv(&study.join("results.csv"));
    insta::assert_snapshot!(results[0].join("\n"));
    let column = |name: &str| {
        let at = results[0].iter().position(|own| own == name).unwrap();
        results[1..].iter().map(move |row| row[at].clone()).collect::<Vec<_>>()
    };
    assert_eq!(column("group"), ["S5", "S4"]);
    assert_eq!(column("brute.certified_pairs")[0], "14400");
    assert_eq!(column("cascade.certified_pairs")[0], "14400");
    assert!(
        std::fs::read_to_string(study.join("report.html"))
            .unwrap()
            .contains("s5.safetensors")
    );

    // Again: the same, out of what was kept.
    let before = std::fs::read(study.join("results.parquet")).unwrap();
    let second = stdout(folder.path(), &arguments);
    assert_eq!(text(&second), printed);
    assert_eq!(std::fs::read(study.join("results.parquet")).unwrap(), before);
}

#[test]
fn a_study_trains_what_is_not_trained_yet() {
    let folder = folder();
    let reproduce = |seeds: &str| {
        let arguments = [
            "reproduce",
            "paper",
            "--group",
            "C5",
            "--group",
            "S3",
            // Given twice, a group is trained once.
            "--group",
            "C5",
            "--seeds",
            seeds,
            "--epochs",
            "60",
            "-o",
            "out",
            "--json",
        ];
        let output = stdout(folder.path(), &arguments);
        serde_json::from_slice::<Value>(&output).unwrap()
    };
    let about = reproduce("1");
    assert_eq!(about["groups"][0]["networks"], 1);
    let kept = folder.path().join("out/runs/C5/seed-000/network.safetensors");
    let bytes = std::fs::read(&kept).unwrap();
    let about = reproduce("2");
    assert_eq!(about["groups"].as_array().unwrap().len(), 2);
    assert_eq!(about["groups"][1]["networks"], 2);
    assert_eq!(std::fs::read(&kept).unwrap(), bytes);
    // Along the checkpoints, and the figure is drawn.
    let learning = csv(&folder.path().join("out/learning.csv"));
    assert!(learning.len() > 2 * 2 * 3, "{learning:?}");
    assert_eq!(learning[0][..3], ["network", "group", "epoch"]);
    let share = learning[0]
        .iter()
        .position(|name| name == "equivariance.share_two_sided")
        .unwrap();
    assert!(
        learning[1..]
            .iter()
            .all(|row| (0.0..=1.0 + 1e-9).contains(&row[share].parse::<f64>().unwrap()))
    );
    let figures = about["figures"].as_array().unwrap();
    assert!(
        figures
            .iter()
            .filter(|figure| figure["name"] == "learning")
            .all(|figure| figure["absent"] == Value::Null)
    );
    // Networks keep their names under the study.
    assert!(csv(&folder.path().join("out/results.csv"))[1][0].starts_with("C5"));
    // Other settings are another study; more epochs would be the same, gone on with.
    let other = [
        "reproduce",
        "paper",
        "--group",
        "C5",
        "--seeds",
        "1",
        "--epochs",
        "50",
        "-o",
        "out",
    ];
    let error = text(&rhoset(folder.path(), &other).assert().code(2).get_output().stderr);
    assert!(
        error.contains("was started with other settings") && error.contains("epochs"),
        "{error}"
    );
}

#[test]
fn networks_of_other_groups_are_left_out_where_a_group_is_asked_for() {
    let folder = folder();
    let arguments = ["reproduce", "paper", "--group", "S4", "--networks", S5, S4, "-o", "out"];
    let printed = text(&rhoset(folder.path(), &arguments).assert().success().get_output().stdout);
    assert!(
        printed.starts_with("Studied 1 network (1 of other groups left out);"),
        "{printed}"
    );
}

#[test]
fn networks_of_isomorphic_groups_are_one_group_whatever_their_files_call_it() {
    let folder = folder();
    // The first network with its labels turned around: another table, of the same group without a name.
    let renamed = with_turned_labels(S4);
    std::fs::write(folder.path().join("turned.safetensors"), renamed).unwrap();
    let arguments = [
        "reproduce",
        "paper",
        "--networks",
        S4,
        "turned.safetensors",
        "-o",
        "out",
        "--json",
    ];
    let output = stdout(folder.path(), &arguments);
    let about: Value = serde_json::from_slice(&output).unwrap();
    let groups = about["groups"].as_array().unwrap();
    assert_eq!(
        (groups.len(), &groups[0]["group"], &groups[0]["networks"]),
        (1, &"S4".into(), &2.into())
    );
    // What does not depend on the order of the labels is the same of both.
    let results = csv(&folder.path().join("out/results.csv"));
    for column in ["accuracy", "circuits", "full_circuits", "cascade.certified_pairs"] {
        let at = results[0].iter().position(|own| own == column).unwrap();
        assert_eq!(results[1][at], results[2][at], "{column}");
    }
    let mut report = rhoset(folder.path(), &["report", S4, "turned.safetensors", "--no-cache"]);
    let said = text(&report.assert().success().get_output().stdout);
    assert!(said.contains("2 networks (2 over S4)"), "{said}");
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    let (_, overview) = page.split_once("id=\"overview\">").unwrap();
    let overview: Value = serde_json::from_str(overview.split_once("</script>").unwrap().0).unwrap();
    let groups = overview["groups"].as_array().unwrap();
    assert_eq!((&groups[0]["name"], &groups[1]["name"]), (&"S4".into(), &"S4".into()));
    assert_eq!(groups[0]["census"]["networks"], 2, "one census of both");
    assert!(groups[1].get("census").is_none());
}

/// A folded network's file with every element x called n - 1 - x, and no good name for its group.
fn with_turned_labels(path: &str) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Map<String, Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut data = bytes[8 + length..].to_vec();
    header["__metadata__"]["group"] = "of our own".into();
    for (name, tensor) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let span = |k: usize| tensor["data_offsets"][k].as_u64().unwrap() as usize;
        let shape: Vec<usize> = tensor["shape"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap() as usize)
            .collect();
        let own = &mut data[span(0)..span(1)];
        let size = own.len() / shape.iter().product::<usize>();
        let old: Vec<&[u8]> = own.chunks(size).collect();
        let (rows, columns) = (shape[0], shape.get(1).copied().unwrap_or(1));
        // Rows of left and right, columns of the unembedding, both of the table; a bias has rows alone.
        let turned = |k: usize| match (name.as_str(), k / columns, k % columns) {
            ("unembed", row, column) => row * columns + (columns - 1 - column),
            ("table", row, column) => (rows - 1 - row) * columns + (columns - 1 - column),
            (_, row, column) => (rows - 1 - row) * columns + column,
        };
        let mut new: Vec<u8> = (0..old.len()).flat_map(|k| old[turned(k)].to_vec()).collect();
        if name == "table" {
            // Entries are labels too, little-endian integers below 256.
            new.chunks_mut(size)
                .for_each(|entry| entry[0] = (rows - 1) as u8 - entry[0]);
        }
        own.copy_from_slice(&new);
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

#[test]
fn a_network_that_never_learned_is_not_suspected_of_other_labels() {
    let folder = folder();
    let train = ["train", "--group", "S4", "--epochs", "1", "--out", "untrained"];
    rhoset(folder.path(), &train).assert().success();
    let network = "untrained/seed-000/network.safetensors";
    let measure = |arguments: &[&str]| {
        let all: Vec<&str> = ["measure"].iter().chain(arguments).copied().collect();
        text(&rhoset(folder.path(), &all).assert().success().get_output().stderr)
    };
    assert_eq!(measure(&[network]), "");
    // One whose labels are in another order is.
    std::fs::write(folder.path().join("turned.safetensors"), with_turned_labels(S4)).unwrap();
    assert_eq!(measure(&["turned.safetensors"]), "");
    let said = measure(&["turned.safetensors", "--group", "S4"]);
    assert!(
        said.contains("labels in another order") && said.contains("--group infer"),
        "{said}"
    );
}

#[test]
fn bad_input_is_one_clear_error_each() {
    let folder = folder();
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = |arguments: &[&str]| {
        let all: Vec<&str> = ["reproduce", "paper"].iter().chain(arguments).copied().collect();
        text(&rhoset(folder.path(), &all).assert().code(2).get_output().stderr)
    };
    assert!(error(&["--networks", "empty"]).contains("empty: there is no network in this directory"));
    assert!(error(&["--networks", "missing.pt"]).contains("missing.pt"));
    assert!(error(&["--networks", S5, "-o", "file"]).contains("file: is a file; a study needs a directory"));
    assert!(error(&["--group", "Q99"]).contains("there is no group Q99"));
    assert!(error(&["--group", "S3", "--networks", S5]).contains("none of 1 networks is of S3"));
    assert!(error(&["--seeds", "0"]).contains("--seeds"));
    assert!(error(&["--group", "S3", "--config", "missing.toml"]).contains("missing.toml"));
    let truncated = error(&["--networks", TRUNCATED]);
    assert_eq!(truncated.matches("truncated.pt").count(), 1, "{truncated}");
    assert!(truncated.contains("nothing to report"), "{truncated}");
    assert!(
        !folder.path().join("study").exists(),
        "no directory is left where nothing is in it"
    );
    // The good ones of a mixture are studied all the same.
    assert!(error(&["--networks", TRUNCATED, S4, "empty", "-o", "mixed"]).contains("truncated"));
    let about = json_file(&folder.path().join("mixed/study.json"));
    assert_eq!(about["groups"][0]["networks"], 1);
    assert_eq!(about["problems"].as_array().unwrap().len(), 2);
}
