//! `rhoset verify` and `rhoset quickstart`: what they print, and answers to bad input.

use std::process::{Command as Process, Stdio};

use assert_cmd::Command;
use serde_json::Value;

const S5: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/s5.safetensors");
const GELU: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/data/networks/gelu.safetensors"
);
const S4: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/report/s4.safetensors");
const A5: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/report/a5.safetensors");
const TRUNCATED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/data/networks/hostile/truncated.pt"
);

fn rhoset(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rhoset").unwrap();
    command.args(arguments);
    command
}

fn stdout(arguments: &[&str]) -> String {
    let output = rhoset(arguments).assert().success().get_output().stdout.clone();
    String::from_utf8(output).unwrap()
}

fn rows(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn brute_force_of_a_sample_network_is_described() {
    let mut rows = rows(&stdout(&["verify", S5, "--verifiers", "brute", "--json"]));
    assert!(rows[0]["threads"].as_u64().unwrap() > 0);
    rows[0]["threads"] = 2.into();
    let brute = &mut rows[0]["verifiers"]["brute"];
    assert!(brute["seconds"].as_f64().unwrap() > 0.0);
    brute["seconds"] = 0.0.into();
    // PyTorch in float64 says 0.03065975 and 3.584367.
    assert!((brute["cross_entropy_bound"].as_f64().unwrap() - 0.030_659_75).abs() < 1e-7);
    assert!((brute["min_margin"].as_f64().unwrap() - 3.584_367).abs() < 1e-5);
    brute["cross_entropy_bound"] = 0.0306597.into();
    brute["min_margin"] = 3.584367.into();
    insta::assert_json_snapshot!(rows);
}

#[test]
fn no_verifier_claims_more_than_brute_force_counts() {
    let rows = rows(&stdout(&["verify", S5, S5, "--json"]));
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert!(row["explain_seconds"].as_f64().unwrap() > 0.0);
        let verifiers = row["verifiers"].as_object().unwrap();
        let names: Vec<_> = verifiers.keys().collect();
        assert_eq!(names, ["brute", "rho-set", "coset", "explained", "cascade"]);
        for (name, verifier) in verifiers {
            assert!(verifier["certified_pairs"].as_u64() <= Some(14400), "{name}");
            let loss = verifier["cross_entropy_bound"].as_f64();
            assert!(loss.is_none_or(|loss| loss >= 0.030_659), "{name}: {loss:?}");
            assert!(verifier["flops"].as_u64().unwrap() > 0, "{name}");
        }
        assert_eq!(verifiers["cascade"]["certified_pairs"], 14400);
    }
}

#[test]
fn the_answer_comes_first_and_then_a_row_for_each_verifier() {
    let text = stdout(&["verify", S5, "--verifiers", "coset,brute,brute"]);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "Proved 1 network: 1 at 100 % accuracy, the least at 100.00 %."
    );
    assert!(lines[1].contains("accuracy >="));
    assert!(lines[2].contains("brute") && lines[2].contains("14400/14400") && lines[2].contains("0.0307"));
    assert!(lines[3].contains("coset"));
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_bad_file_does_not_stop_the_others() {
    let assert = rhoset(&["verify", TRUNCATED, S5, "--verifiers", "brute", "--json"])
        .assert()
        .code(2);
    let output = assert.get_output();
    assert!(String::from_utf8_lossy(&output.stderr).contains("truncated.pt"));
    let rows = rows(&String::from_utf8_lossy(&output.stdout));
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["network"], "s5.safetensors");
}

#[test]
fn of_a_folder_all_networks_are_taken_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |arguments: &[&str], code: i32| {
        let output = rhoset(arguments)
            .current_dir(folder.path())
            .assert()
            .code(code)
            .get_output()
            .clone();
        [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap())
    };
    std::fs::create_dir_all(folder.path().join("all/deeper")).unwrap();
    for (from, to) in [
        (S4, "all/b.safetensors"),
        (A5, "all/deeper/b.safetensors"),
        (S5, "all/a.safetensors"),
    ] {
        std::fs::copy(from, folder.path().join(to)).unwrap();
    }
    std::fs::write(folder.path().join("all/notes.txt"), "no network").unwrap();
    in_folder(
        &[
            "train", "--group", "S3", "--epochs", "20", "--seeds", "0..2", "--out", "all/runs",
        ],
        0,
    );
    let unfinished = folder.path().join("all/runs/seed-001/network.safetensors");
    std::fs::remove_file(unfinished).unwrap();

    let [said, error] = in_folder(&["verify", "all", "--verifiers", "brute", "--json"], 2);
    let names: Vec<String> = (rows(&said).iter())
        .map(|row| row["network"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "a.safetensors",
            "all/b.safetensors",
            "deeper/b.safetensors",
            "runs/seed-000"
        ]
    );
    let unfinished = "error: all/runs/seed-001: the run is not finished; `rhoset train --resume` goes on with it\n";
    assert_eq!(error, unfinished);

    // Settings of something else make no run of a directory.
    std::fs::write(folder.path().join("all/deeper/config.toml"), "title = 'mine'").unwrap();
    in_folder(&["verify", "all/deeper", "--verifiers", "brute"], 0);
    // A run that cannot be read is named once, with one reason.
    std::fs::write(folder.path().join("all/runs/seed-001/config.toml"), "group = 3").unwrap();
    let [_, error] = in_folder(&["verify", "all/runs", "--verifiers", "brute"], 2);
    assert_eq!(error.matches("group").count(), 1, "{error}");
    let [_, error] = in_folder(
        &["verify", "all/a.safetensors", "--certificate", "all/a.safetensors"],
        2,
    );
    assert_eq!(
        error,
        "error: all/a.safetensors: is a file; certificates are written to a directory\n"
    );

    // Certificates have the names of files and runs.
    in_folder(
        &[
            "verify",
            "all/runs",
            "all/a.safetensors",
            "--verifiers",
            "brute",
            "--certificate",
            "proofs",
        ],
        2,
    );
    assert!(folder.path().join("proofs/seed-000.certificate.json").exists());
    assert!(folder.path().join("proofs/a.certificate.json").exists());

    std::fs::create_dir(folder.path().join("empty")).unwrap();
    for command in ["verify", "measure", "explain"] {
        let [said, error] = in_folder(&[command, "empty"], 2);
        assert_eq!(said, "", "{command}");
        let none = "error: empty: there is no network in this directory, and no run; networks are .safetensors, .pt and .pth \
                    files, runs are what `rhoset train --out` writes\n";
        assert_eq!(error, none, "{command}");
        let [said, error] = in_folder(&[command, "all/deeper"], 0);
        assert!(
            said.contains("b.safetensors") && error.is_empty(),
            "{command}: {said} {error}"
        );
    }
    let [said, _] = in_folder(&["convert", "all/deeper", "-o", "converted"], 0);
    assert!(said.contains("converted/b.safetensors"), "{said}");
}

#[test]
fn verifiers_that_need_relu_refuse_other_activations() {
    let assert = rhoset(&[
        "verify",
        GELU,
        "--group",
        "C4",
        "--verifiers",
        "brute,rho-set",
        "--json",
    ])
    .assert()
    .code(2);
    let output = assert.get_output();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("gelu.safetensors: rho-set: ") && error.contains("relu"),
        "{error}"
    );
    let rows = rows(&String::from_utf8_lossy(&output.stdout));
    assert!(rows[0]["verifiers"]["brute"].is_object());
    assert!(rows[0]["verifiers"]["rho-set"].is_null());
    // Unasked, they are left out.
    stdout(&["verify", GELU, "--group", "C4"]);
}

#[test]
fn an_unknown_verifier_is_refused_with_the_known_ones() {
    let assert = rhoset(&["verify", S5, "--verifiers", "brut"]).assert().code(2);
    let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(error.contains("brute, rho-set, coset, explained, cascade"), "{error}");
}

#[test]
fn a_group_of_another_order_is_refused() {
    let assert = rhoset(&["verify", S5, "--group", "S4"]).assert().code(2);
    let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(
        error.contains("s5.safetensors") && error.contains("120") && error.contains("24"),
        "{error}"
    );
}

#[test]
fn threads_change_times_and_no_bound() {
    let certified = |threads| {
        let rows = rows(&stdout(&[
            "verify",
            S5,
            "--verifiers",
            "brute",
            "--json",
            "--threads",
            threads,
        ]));
        let brute = rows[0]["verifiers"]["brute"].clone();
        (brute["certified_pairs"].clone(), brute["float32_pairs"].clone())
    };
    assert_eq!(certified("1"), certified("3"));
    rhoset(&["verify", S5, "--threads", "0"]).assert().code(2);
}

#[test]
fn several_at_a_time_they_come_in_the_order_of_the_files() {
    let assert = rhoset(&["verify", S5, TRUNCATED, A5, S4, S4])
        .args(["--verifiers", "brute", "--json", "--jobs", "3", "--threads", "6"])
        .assert()
        .code(2);
    let output = assert.get_output();
    let rows = rows(std::str::from_utf8(&output.stdout).unwrap());
    let names: Vec<_> = rows.iter().map(|row| row["network"].as_str().unwrap()).collect();
    let expected = ["s5", "a5", "s4", "s4"].map(|name| format!("{name}.safetensors"));
    assert_eq!(names, expected);
    assert!(rows.iter().all(|row| row["threads"] == 2), "6 threads for 3 at a time");
    assert!(String::from_utf8_lossy(&output.stderr).contains("truncated.pt"));
    assert_eq!(rows[0]["verifiers"]["brute"]["certified_pairs"], 14400);
    rhoset(&["verify", S5, "--jobs", "0"]).assert().code(2);
}

#[test]
fn verbose_says_on_stderr_what_is_done() {
    let assert = rhoset(&["-v", "verify", S5, "--verifiers", "brute"])
        .env("NO_COLOR", "1")
        .assert()
        .success();
    let log = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(log.contains("brute certifies 14400 of 14400 pairs"), "{log}");
    assert!(!log.contains('\u{1b}'), "no escape sequences: {log}");
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = stdout(&["completions", shell]);
        assert!(script.contains("quickstart") && script.contains("verifiers"), "{shell}");
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_the_command_without_a_panic() {
    use std::os::unix::process::ExitStatusExt;
    let mut child = Process::new(assert_cmd::cargo::cargo_bin("rhoset"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(
        output.status.success() || output.status.signal() == Some(13),
        "{}",
        output.status
    );
}

#[test]
fn quickstart_tells_the_whole_story() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("story");
    let text = stdout(&["quickstart", "--fast", "--out", out.to_str().unwrap()]);
    for part in [
        "1. Which group is it?",
        "the group is S5, of order 120",
        "2. How does it multiply?",
        "3. How well, provably?",
        "14400/14400",
        "cascade",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert_eq!(
        std::fs::read(out.join("network.safetensors")).unwrap(),
        std::fs::read(S5).unwrap()
    );
    for artefact in ["explanation.json", "verification.json"] {
        let contents = std::fs::read_to_string(out.join(artefact)).unwrap();
        assert!(
            serde_json::from_str::<Value>(&contents).unwrap().is_object(),
            "{artefact}"
        );
    }
    // A second time over the first.
    stdout(&["quickstart", "--fast", "--out", out.to_str().unwrap()]);
}

#[test]
fn quickstart_trains_a_network_that_is_proved_right_everywhere() {
    if std::env::var_os("RHOSET_LONG_TESTS").is_none() {
        eprintln!("skipped: trains for half a minute; set RHOSET_LONG_TESTS=1");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let text = stdout(&["quickstart", "--out", directory.path().to_str().unwrap()]);
    for part in ["answers 100.00 % of all inputs", "the group is S5", "14400/14400"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn quickstart_refuses_a_file_for_its_directory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let assert = rhoset(&["quickstart", "--out", file.path().to_str().unwrap()])
        .assert()
        .code(2);
    let error = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(error.contains(file.path().to_str().unwrap()), "{error}");
}
