//! `rhoset train`: what it keeps, what it refuses, and that killing it loses nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

fn rhoset(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("rhoset"));
    command.arg("train").args(arguments);
    command
}

/// Settings of a run of about a second.
const SMALL: [&str; 12] = [
    "--group",
    "S3",
    "--neurons",
    "16",
    "--embedding-width",
    "8",
    "--train-fraction",
    "0.9",
    "--batch",
    "16",
    "--checkpoints",
    "every:200",
];

fn train(out: &Path, more: &[&str]) -> Command {
    let mut command = rhoset(&SMALL);
    command.arg("--out").arg(out).args(more);
    command
}

/// Every file below a folder, with its bytes.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            files.extend(
                contents(&entry.path())
                    .into_iter()
                    .map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)),
            );
        } else {
            files.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    files
}

fn names(files: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
    files.keys().map(String::as_str).collect()
}

#[test]
fn a_run_leaves_a_network_its_settings_measurements_and_checkpoints() {
    let folder = TempDir::new().unwrap();
    let output = train(folder.path(), &["--epochs", "400", "--seeds", "0..2", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(
        output.stderr.is_empty(),
        "silent where there is no terminal: {output:?}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let answer: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(answer["steps_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(answer["results"].as_array().unwrap().len(), 2);
    assert!(answer["results"][1]["train_loss"].as_f64().unwrap() < 0.5, "{answer}");
    let files = contents(&folder.path().join("seed-001"));
    assert_eq!(
        names(&files),
        [
            "checkpoints/epoch-00000200.safetensors",
            "checkpoints/epoch-00000400.safetensors",
            "checkpoints/latest.safetensors",
            "config.toml",
            "metrics.parquet",
            "network.safetensors",
        ]
    );
    assert!(files["metrics.parquet"].starts_with(b"PAR1"));
    let network = folder.path().join("seed-001/network.safetensors");
    let loaded = rhoset::network::file::load(network).unwrap().remove(0);
    assert_eq!(loaded.group.unwrap().order(), 6);
}

#[test]
fn results_do_not_depend_on_threads_or_company() {
    let folder = TempDir::new().unwrap();
    let (alone, together) = (folder.path().join("alone"), folder.path().join("together"));
    train(&alone, &["--epochs", "100", "--seeds", "1", "--threads", "1"])
        .assert()
        .success();
    train(&together, &["--epochs", "100", "--seeds", "0..3", "--threads", "2"])
        .assert()
        .success();
    assert!(contents(&alone.join("seed-001")) == contents(&together.join("seed-001")));
}

#[test]
fn killed_at_any_moment_a_run_resumes_to_the_same_bits() {
    let folder = TempDir::new().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let length = ["--epochs", "4000", "--seeds", "0..2"];
    let start = Instant::now();
    train(&whole, &length).assert().success();
    let whole_time = start.elapsed();
    let kills = if std::env::var_os("RHOSET_LONG_TESTS").is_some() {
        40
    } else {
        6
    };
    // Moments that no clock of the run is in step with.
    let mut moment = 0.123_456_789_f64;
    for _ in 0..kills {
        moment = (moment * 997.0).fract();
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("rhoset"));
        command
            .arg("train")
            .args(SMALL)
            .arg("--out")
            .arg(&killed)
            .args(length)
            .arg("--resume");
        let mut run = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(whole_time.as_secs_f64() * 0.6 * moment));
        run.kill().unwrap(); // SIGKILL on Unix
        run.wait().unwrap();
    }
    train(&killed, &length).arg("--resume").assert().success();
    let (whole, killed) = (contents(&whole), contents(&killed));
    assert_eq!(names(&whole), names(&killed));
    for (name, bytes) in &whole {
        assert!(bytes == &killed[name], "{name} differs");
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_and_exits_with_130() {
    let folder = TempDir::new().unwrap();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("rhoset"));
    command
        .arg("train")
        .args(SMALL)
        .args(["--epochs", "1000000000", "--out"]);
    let mut run = command
        .arg(folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let begun = folder.path().join("seed-000/config.toml");
    while !begun.exists() {
        assert!(run.try_wait().unwrap().is_none(), "it has not begun");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    let id = run.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert!(folder.path().join("seed-000/checkpoints/latest.safetensors").exists());
    assert!(folder.path().join("seed-000/metrics.parquet").exists());
}

/// The weights of a finished network and of its last checkpoint.
fn outcome(folder: &Path) -> [Vec<u8>; 2] {
    ["network.safetensors", "checkpoints/latest.safetensors"]
        .map(|name| std::fs::read(folder.join("seed-000").join(name)).unwrap())
}

#[cfg(unix)]
#[test]
fn interrupted_by_ctrl_c_a_run_resumes_to_the_same_bits() {
    let folder = TempDir::new().unwrap();
    let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
    let length = ["--epochs", "6000"];
    let start = Instant::now();
    train(&whole, &length).assert().success();
    let third = start.elapsed() / 3;
    let mut interrupted = 0;
    for _ in 0..3 {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("rhoset"));
        command
            .arg("train")
            .args(SMALL)
            .args(length)
            .arg("--resume")
            .arg("--out");
        let mut run = command
            .arg(&broken)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(third);
        std::process::Command::new("kill")
            .args(["-INT", &run.id().to_string()])
            .status()
            .unwrap();
        // Where it had not yet begun to listen, the signal itself ends it; where it was done, nothing does.
        interrupted += usize::from(run.wait().unwrap().code() == Some(130));
    }
    assert!(interrupted > 0, "some run was interrupted");
    train(&broken, &length).arg("--resume").assert().success();
    let (whole, broken) = (contents(&whole), contents(&broken));
    assert_eq!(names(&whole), names(&broken));
    for (name, bytes) in &whole {
        assert!(bytes == &broken[name], "{name} differs");
    }
}

#[test]
fn more_epochs_lengthen_a_run_to_the_bits_of_a_longer_one() {
    let folder = TempDir::new().unwrap();
    let (long, extended) = (folder.path().join("long"), folder.path().join("extended"));
    train(&long, &["--epochs", "300"]).assert().success();
    train(&extended, &["--epochs", "100"]).assert().success();
    // By the directory alone: the settings are those that it was started with.
    rhoset(&["--resume", "--epochs", "200", "--out"])
        .arg(&extended)
        .assert()
        .success();
    train(&extended, &["--epochs", "300", "--resume"]).assert().success();
    assert!(outcome(&long)[0] == outcome(&extended)[0]);
    let config = std::fs::read_to_string(extended.join("seed-000/config.toml")).unwrap();
    assert!(config.contains("epochs = 300"), "{config}");
    // Fewer are another run, and so is anything else.
    for (field, value) in [("epochs", "200"), ("learning-rate", "0.02")] {
        let output = rhoset(&["--resume", &format!("--{field}"), value, "--out"])
            .arg(&extended)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(&format!("{} was", field.replace('-', "_"))), "{error}");
    }
    assert!(outcome(&long)[0] == outcome(&extended)[0], "refusing changes nothing");
}

/// No file may grow beyond a few KiB: what a full disk does to a write, without filling one.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_what_was_saved_goes_on() {
    let folder = TempDir::new().unwrap();
    train(folder.path(), &["--epochs", "100"]).assert().success();
    let before = contents(folder.path());
    let full = std::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$0\" \"$@\""])
        .arg(assert_cmd::cargo::cargo_bin!("rhoset"))
        .arg("train")
        .args(SMALL)
        .args(["--epochs", "300", "--resume", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&full.stderr).into_owned();
    assert_eq!(full.status.code(), Some(2), "{full:?}");
    assert!(
        error.contains("checkpoints") && error.contains("--resume goes on") && !error.contains("panicked"),
        "{error}"
    );
    let after = contents(folder.path());
    assert_eq!(names(&before), names(&after), "nothing half written is left");
    for (name, bytes) in before.iter().filter(|(name, _)| !name.ends_with("config.toml")) {
        assert!(bytes == &after[name], "{name} is intact");
    }
    train(folder.path(), &["--epochs", "300", "--resume"])
        .assert()
        .success();
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_place_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    // Whom permissions do not stop, the kernel's own file system does.
    let root = std::fs::write(folder.path().join("probe"), "").is_ok();
    let place = if root { Path::new("/proc/runs") } else { folder.path() };
    let output = train(place, &["--epochs", "10"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains(place.to_str().unwrap()) && error.contains("seed-000"),
        "{error}"
    );
    assert!(!error.contains("panicked"), "{error}");
}

#[test]
fn resuming_with_other_settings_lists_the_differences() {
    let folder = TempDir::new().unwrap();
    train(folder.path(), &["--epochs", "10"]).assert().success();
    let again = train(folder.path(), &["--epochs", "10"]).output().unwrap();
    assert_eq!(again.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("holds a run already"),
        "{again:?}"
    );
    let other = train(
        folder.path(),
        &["--epochs", "10", "--resume", "--learning-rate", "0.5", "--warm-up", "3"],
    );
    let other = { other }.output().unwrap();
    assert_eq!(other.status.code(), Some(2));
    let message = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        message.contains("learning_rate was 0.01, now 0.5; warm_up was 0, now 3"),
        "{message}"
    );
    // By the directory alone: finished, so nothing is left to do.
    rhoset(&["--resume", "--out"]).arg(folder.path()).assert().success();
}

#[test]
fn a_diverging_seed_stops_alone_and_says_when() {
    let folder = TempDir::new().unwrap();
    let more = [
        "--epochs",
        "50",
        "--optimiser",
        "sgd",
        "--learning-rate",
        "1e30",
        "--json",
    ];
    let output = train(folder.path(), &more).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["results"][0]["status"], "diverged", "{answer}");
    assert!(answer["results"][0]["epoch"].as_u64().unwrap() < 50);
    assert!(!folder.path().join("seed-000/network.safetensors").exists());
}

#[test]
fn bad_input_is_answered_with_one_line() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "optimiser = ").unwrap();
    let cases: [(&[&str], &str); 8] = [
        (&[], "--out"),
        (&["--out", "x"], "group: no group is given"),
        (
            &["--out", "x", "--group", "S5", "--recipe", "mine"],
            "unknown recipe \"mine\"; the recipes are paper,",
        ),
        (
            &["--out", "x", "--group", "S5", "--optimiser", "lion"],
            "optimiser: unknown variant `lion`",
        ),
        (
            &["--out", "x", "--group", "S5", "--neurons", "0"],
            "neurons is 0; allowed is 1 to 65536",
        ),
        (&["--out", "x", "--group", "S5", "--seeds", "3..3"], "holds no seeds"),
        (&["--out", "x", "--group", "Sch5"], "Sch5"),
        (&["--out", "x", "--config", file.to_str().unwrap()], "file"),
    ];
    for (arguments, message) in cases {
        let output = rhoset(arguments).current_dir(folder.path()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(
            error.contains(message) && !error.contains("panicked"),
            "{arguments:?}: {error}"
        );
        assert!(!folder.path().join("x").exists(), "{arguments:?} leaves nothing behind");
    }
}

#[test]
fn a_setting_is_refused_with_the_file_that_it_stands_in() {
    let folder = TempDir::new().unwrap();
    let answer = |settings: &str, more: &[&str]| {
        std::fs::write(folder.path().join("mine.toml"), settings).unwrap();
        let arguments = [&["--out", "x", "--config", "mine.toml"], more].concat();
        let output = rhoset(&arguments).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let error = answer("epochs = -1", &["--group", "S3"]);
    assert!(error.contains("mine.toml: epochs: invalid value"), "{error}");
    let error = answer("grup = \"S3\"", &[]);
    assert!(error.contains("mine.toml: grup: unknown field"), "{error}");
    let error = answer("epochs = 10", &["--group", "S3", "--neurons", "0"]);
    assert!(
        error.contains("neurons is 0") && !error.contains("mine.toml"),
        "{error}"
    );
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = train(&file, &["--epochs", "10"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("seed-000"),
        "{output:?}"
    );
}
