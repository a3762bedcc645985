//! `rhoset group`: golden output, and answers to bad input.

use assert_cmd::Command;

fn rhoset(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("rhoset").unwrap();
    command.arg("group").args(arguments);
    command
}

fn stdout(arguments: &[&str]) -> String {
    let output = rhoset(arguments).assert().success().get_output().stdout.clone();
    String::from_utf8(output).unwrap()
}

fn json(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&stdout(&[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn s5_is_described() {
    insta::assert_snapshot!(stdout(&["S5"]));
}

#[test]
fn a_semidirect_product_is_described() {
    insta::assert_snapshot!(stdout(&["C11:C5"]));
}

#[test]
fn the_trivial_group_is_described() {
    insta::assert_snapshot!(stdout(&["C1"]));
}

#[test]
fn permutations_are_recognised() {
    let text = stdout(&["perm:(1,2,3)(4,5);(1,2)"]);
    assert!(
        text.starts_with("perm:(1,2,3)(4,5);(1,2) = D6: order 12, 6 conjugacy classes, 16 subgroups in 10 classes\n")
    );
}

#[test]
fn json_holds_orders_classes_and_subgroups() {
    let object = json(&["S6"]);
    assert_eq!(object["order"], 720);
    assert_eq!(
        (&object["subgroups"]["total"], &object["subgroups"]["classes"]),
        (&1455.into(), &56.into())
    );
    let classes = object["conjugacy_classes"].as_array().unwrap();
    assert_eq!(
        classes.iter().map(|class| class["size"].as_u64().unwrap()).sum::<u64>(),
        720
    );
    assert_eq!(object["subgroups"]["list"].as_array().unwrap().len(), 56);
}

#[test]
fn subgroups_of_large_groups_are_left_out_and_said_to_be() {
    assert!(json(&["S4xC31"])["subgroups"].is_null());
    assert!(stdout(&["S4xC31"]).contains("Subgroups: not searched for, since the order is above 720"));
    assert_eq!(json(&["S4xC31", "--subgroups"])["subgroups"]["total"], 60);
    assert_eq!(json(&["C2^9"])["subgroups"]["total"], 8_283_458);
}

#[test]
fn bad_specs_exit_with_2_and_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.csv");
    std::fs::write(&path, "0,1\n1,1\n").unwrap();
    let table = format!("table:{}", path.display());
    for (spec, expected) in [
        ("Z12", "error: unknown group \"Z12\" in \"Z12\"; did you mean C12?\n"),
        (
            "S99",
            "error: S99 has more than 10000 elements, the largest order supported\n",
        ),
        (
            "((((",
            "error: cannot read the group \"((((\": expected a group such as S5, C2^4 or AGL(1,11) at character 5\n",
        ),
        (
            "GL(3,6)",
            "error: there is no group GL(3,6): there is no field with 6 elements, only with a prime power\n",
        ),
        (
            "perm:(1,2)(2,3)",
            "error: generator 1 of the permutation group: point 2 occurs twice in one permutation; its cycles must be disjoint\n",
        ),
    ] {
        rhoset(&[spec]).assert().code(2).stdout("").stderr(expected);
    }
    let assert = rhoset(&[&table]).assert().code(2).stdout("");
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(
        stderr.ends_with("half.csv: no cancellation: 0 and 1 give the same product 1 with 1 on the left\n"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1);
}
