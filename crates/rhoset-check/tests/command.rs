//! The program `rhoset-check`: what it prints, and its exit codes.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

fn run(arguments: &[&str]) -> Output {
    let program = Command::new(env!("CARGO_BIN_EXE_rhoset-check"))
        .args(arguments)
        .output();
    program.unwrap()
}

fn code(arguments: &[&str]) -> Option<i32> {
    run(arguments).status.code()
}

/// A folder with the certificate twice, once with a claim that is too high.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &str, to: &str| std::fs::copy(Path::new(DATA).join(from), folder.path().join(to)).unwrap();
    copy("s4.safetensors", "good.safetensors");
    copy("s4.certificate.json", "good.certificate.json");
    copy("s4.safetensors", "bad.safetensors");
    let certificate = std::fs::read_to_string(Path::new(DATA).join("s4.certificate.json")).unwrap();
    let bad = certificate.replacen("\"certified_pairs\":575", "\"certified_pairs\":576", 1);
    assert_ne!(bad, certificate);
    std::fs::write(folder.path().join("bad.certificate.json"), bad).unwrap();
    folder
}

#[test]
fn exit_codes_tell_proved_refused_and_unreadable_apart() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (weights, good, bad) = (
        at("good.safetensors"),
        at("good.certificate.json"),
        at("bad.certificate.json"),
    );
    assert_eq!(code(&[&weights, &good]), Some(0));
    assert_eq!(code(&["--threads", "3", &weights, &good]), Some(0));
    assert_eq!(code(&[&weights, &bad]), Some(1));
    assert_eq!(code(&[folder.path().to_str().unwrap()]), Some(1));
    assert_eq!(code(&[&weights, &at("none.json")]), Some(2));
    for wrong in [
        vec![],
        vec!["a", "b", "c"],
        vec!["--quiet"],
        vec!["--threads", "0", &weights, &good],
        vec!["/nowhere"],
    ] {
        assert_eq!(code(&wrong), Some(2), "{wrong:?}");
    }
    std::fs::remove_file(at("bad.safetensors")).unwrap();
    assert_eq!(code(&[folder.path().to_str().unwrap()]), Some(2));
}

#[test]
fn a_folder_is_answered_certificate_by_certificate() {
    let folder = folder();
    let output = run(&[folder.path().to_str().unwrap()]);
    let (stdout, stderr) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(stdout.ends_with("Proved 1 of 2 certificates.\n"), "{stdout}");
    assert!(
        stdout.contains("is right on at least 575 of 576 pairs (99.82 %) over S4"),
        "{stdout}"
    );
    assert!(
        stderr.contains("bad.certificate.json: claims.certified_pairs: 576; only 575 is proved"),
        "{stderr}"
    );
}

#[test]
fn json_says_what_is_claimed_and_proved_or_what_is_refused() {
    let folder = folder();
    let output = run(&["--json", folder.path().to_str().unwrap()]);
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    let [bad, good] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(bad["refused"], "claims.certified_pairs: 576; only 575 is proved");
    assert!(bad["proved"].is_null() && good["refused"].is_null());
    let proof = &good["proved"];
    assert!(proof["group"].as_str().unwrap().eq("S4 (table from the weights)"));
    assert_eq!(
        (
            &proof["claimed"]["certified_pairs"],
            &proof["proved"]["certified_pairs"]
        ),
        (&575.into(), &575.into())
    );
    assert!(good["seconds"].as_f64().unwrap() > 0.0);
}

#[test]
fn help_names_every_option() {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    for option in ["--json", "--table", "--threads", "--version", "Exit codes"] {
        assert!(help.contains(option), "{option}");
    }
    assert_eq!(code(&["--version"]), Some(0));
}

#[test]
fn a_table_that_is_given_is_compared_with_the_certificate() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let certificate: Value = std::fs::read_to_string(at("good.certificate.json"))
        .unwrap()
        .parse()
        .unwrap();
    let rows: Vec<Vec<u64>> = serde_json::from_value(certificate["group"]["table"].clone()).unwrap();
    let csv = |rows: &[Vec<u64>]| {
        let line = |row: &Vec<u64>| row.iter().map(u64::to_string).collect::<Vec<_>>().join(",") + "\n";
        rows.iter().map(line).collect::<String>()
    };
    let run_with = |table: &str| {
        std::fs::write(at("table.csv"), table).unwrap();
        let output = run(&[
            "--table",
            &at("table.csv"),
            &at("good.safetensors"),
            &at("good.certificate.json"),
        ]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run_with(&csv(&rows)).0, Some(0));
    let (code, stderr) = run_with(&csv(&rows[1..]));
    assert!(
        code == Some(1) && stderr.contains("another group than that of --table"),
        "{stderr}"
    );
    let (code, stderr) = run_with("0,1\n1,x\n");
    assert!(code == Some(2) && stderr.contains("\"x\""), "{stderr}");
}
