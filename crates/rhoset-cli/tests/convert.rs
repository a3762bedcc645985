//! `rhoset convert`, from the outside.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use ndarray::Array2;
use rhoset::group::{Element, Group, spec};
use rhoset::network::{Activation, Embedding, Network, file};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/data/networks")
        .join(name)
}

/// Runs `rhoset convert` in a folder.
fn convert(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("rhoset").unwrap();
    command
        .current_dir(folder)
        .arg("convert")
        .args(arguments)
        .output()
        .unwrap()
}

/// Standard output and error, with the folder of the test data out of the way.
fn text(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let text = format!("exit {}\n{out}{err}", output.status.code().unwrap());
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").replace(&data("").display().to_string(), "DATA/")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A network that multiplies by looking up: one neuron for each (a, b), active where x = a and y = b.
fn lookup(group: &Group, wrong: usize) -> Network {
    let order = group.order();
    let neurons = order * order;
    let is = |yes: bool| if yes { 0.5 } else { -0.5 };
    let left = Array2::from_shape_fn((order, neurons), |(x, i)| is(x == i / order));
    let right = Array2::from_shape_fn((order, neurons), |(y, i)| is(y == i % order));
    let mut unembed = Array2::zeros((neurons, order));
    for i in 0..neurons {
        let product = group
            .mul(Element((i / order) as u16), Element((i % order) as u16))
            .index();
        // Every seventh neuron, until there are enough of them, says something else.
        let said = if i % 7 == 3 && i / 7 < wrong {
            (product + 1) % order
        } else {
            product
        };
        unembed[[i, said]] = 1.0;
    }
    Network {
        embedding: Embedding::Direct { left, right },
        unembed,
        bias: None,
        activation: Activation::Relu,
    }
}

#[test]
fn group_of_a_file_without_one_is_inferred_and_travels_with_the_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let group = spec::parse("S4").unwrap();
    file::save(folder.path().join("in.safetensors"), &lookup(&group, 0), None).unwrap();
    let output = convert(folder.path(), &["in.safetensors", "-o", "out.safetensors"]);
    insta::assert_snapshot!(text(&output), @r"
    exit 0
    Converted 1 network.
     network         architecture  activation  group          neurons  accuracy  written to
     in.safetensors  direct        relu        S4 (inferred)  576      100.00 %  out.safetensors
    ");
    let [loaded] = file::load(folder.path().join("out.safetensors"))
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(loaded.group.unwrap(), group);
    assert_eq!(loaded.network, lookup(&group, 0));
}

#[test]
fn wrong_products_are_repaired_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let group = spec::parse("S4").unwrap();
    file::save(folder.path().join("in.safetensors"), &lookup(&group, 20), None).unwrap();
    let output = convert(folder.path(), &["in.safetensors", "-o", "out.safetensors", "--json"]);
    insta::assert_snapshot!(text(&output), @r#"
    exit 0
    {"network":"in.safetensors","out":"out.safetensors","architecture":"direct","activation":"relu","group":"S4","order":24,"neurons":576,"repaired":20,"accuracy":0.9652777777777778,"rounding":0.0}
    "#);
    let [loaded] = file::load(folder.path().join("out.safetensors"))
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(loaded.group.unwrap(), group);
}

#[test]
fn group_that_cannot_be_inferred_is_an_error_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let input = data("relu.safetensors");
    let output = convert(folder.path(), &[input.to_str().unwrap(), "-o", "out.safetensors"]);
    insta::assert_snapshot!(text(&output), @r"
    exit 2
    error: DATA/relu.safetensors: no group can be read off the network's largest logits: 1 of 16 are confirmed by the others, and after 3 rounds of voting the table is still no group (no identity: no element e has e * x = x = x * e for every x). If the network is trained, give its table with --table
    ");
    assert_eq!(names(folder.path()), Vec::<String>::new());
}

#[test]
fn instances_become_one_file_each() {
    let folder = tempfile::tempdir().unwrap();
    let input = data("wu-two-linear.pt");
    let output = convert(folder.path(), &[input.to_str().unwrap(), "-o", "out", "--group", "C4"]);
    insta::assert_snapshot!(text(&output), @r"
    exit 0
    Converted 2 networks.
     network              architecture  activation  group  neurons  accuracy  written to
     wu-two-linear.pt[0]  two-linear    relu        C4     5        31.25 %   out/wu-two-linear-0.safetensors
     wu-two-linear.pt[1]  two-linear    relu        C4     5        31.25 %   out/wu-two-linear-1.safetensors
    ");
    assert_eq!(
        names(&folder.path().join("out")),
        ["wu-two-linear-0.safetensors", "wu-two-linear-1.safetensors"]
    );
    let originals = file::load(&input).unwrap();
    for (index, original) in originals.iter().enumerate() {
        let path = folder.path().join(format!("out/wu-two-linear-{index}.safetensors"));
        let [converted] = file::load(path).unwrap().try_into().unwrap();
        assert_eq!(converted.network, original.network);
        assert_eq!(converted.group, Some(spec::parse("C4").unwrap()));
    }
}

#[test]
fn bad_files_among_good_ones_are_reported_and_the_good_ones_converted() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        data("hostile/reduce-system.pt"),
        data("chughtai.pt"),
        data("hostile/nan-weight.pt"),
        data("missing.pt"),
        data("checkpoint.pt"),
    ];
    let mut arguments: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
    arguments.extend(["-o", "out", "--group", "V4"]);
    let output = convert(folder.path(), &arguments);
    insta::assert_snapshot!(text(&output), @r"
    exit 2
    Converted 2 networks.
     network        architecture  activation  group  neurons  accuracy  written to
     chughtai.pt    concat        relu        V4     5        25.00 %   out/chughtai.safetensors
     checkpoint.pt  concat        relu        V4     5        25.00 %   out/checkpoint.safetensors
    error: DATA/hostile/reduce-system.pt: the pickle asks for posix.system, which no weight file needs; nothing was executed. Save the weights alone: torch.save(model.state_dict(), ...)
    error: DATA/hostile/nan-weight.pt: right[0, 2] is NaN; a network with such weights has no accuracy to prove
    error: DATA/missing.pt: No such file or directory (os error 2)
    ");
    assert_eq!(names(folder.path()), ["out"]);
    assert_eq!(
        names(&folder.path().join("out")),
        ["checkpoint.safetensors", "chughtai.safetensors"]
    );
}

#[test]
fn nothing_is_overwritten_without_force() {
    let folder = tempfile::tempdir().unwrap();
    let input = data("chughtai.pt");
    let input = input.to_str().unwrap();
    std::fs::write(folder.path().join("taken.safetensors"), "precious").unwrap();
    let arguments = [input, "-o", "taken.safetensors", "--group", "C4"];
    let output = convert(folder.path(), &arguments);
    insta::assert_snapshot!(text(&output), @r"
    exit 2
    error: taken.safetensors: exists; --force replaces it
    ");
    let taken = || std::fs::read(folder.path().join("taken.safetensors")).unwrap();
    assert_eq!(taken(), b"precious");
    let output = convert(folder.path(), &[&arguments[..], &["--force"]].concat());
    assert_eq!(output.status.code(), Some(0));
    assert_ne!(taken(), b"precious");
    // Not even with --force: several networks to one file.
    let output = convert(
        folder.path(),
        &[input, input, "-o", "several.safetensors", "--group", "C4", "--force"],
    );
    insta::assert_snapshot!(text(&output), @r"
    exit 2
    error: several.safetensors: is a file's name, but several networks, or those of a directory, are written to a directory
    ");
    // Nor the network itself.
    let output = convert(
        folder.path(),
        &["taken.safetensors", "-o", "taken.safetensors", "--force"],
    );
    insta::assert_snapshot!(text(&output), @r"
    exit 2
    error: taken.safetensors: is the network to be converted; write to another file
    ");
}

#[test]
fn two_networks_that_would_share_a_file_are_not_both_written() {
    let folder = tempfile::tempdir().unwrap();
    for side in ["a", "b"] {
        std::fs::create_dir(folder.path().join(side)).unwrap();
        std::fs::copy(data("chughtai.pt"), folder.path().join(side).join("network.pt")).unwrap();
    }
    let output = convert(
        folder.path(),
        &["a/network.pt", "b/network.pt", "-o", "out", "--group", "C4", "--force"],
    );
    insta::assert_snapshot!(text(&output), @r"
    exit 2
    Converted 1 network.
     network       architecture  activation  group  neurons  accuracy  written to
     a/network.pt  concat        relu        C4     5        25.00 %   out/network.safetensors
    error: b/network.pt: would be written to out/network.safetensors too, like an earlier network of that name; convert it by itself
    ");
}

#[test]
fn folded_network_says_that_it_was_rounded() {
    let folder = tempfile::tempdir().unwrap();
    let input = data("module-shared-linear.pt");
    let output = convert(
        folder.path(),
        &[
            input.to_str().unwrap(),
            "-o",
            "out.safetensors",
            "--group",
            "C4",
            "--to",
            "folded",
        ],
    );
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(warning.contains("folded weights were rounded to float32"), "{warning}");
    let [folded] = file::load(folder.path().join("out.safetensors"))
        .unwrap()
        .try_into()
        .unwrap();
    let [original] = file::load(&input).unwrap().try_into().unwrap();
    assert_eq!(folded.network, original.network.fold().round().0);
}

#[test]
fn float64_weights_are_rounded_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let input = data("chughtai-f64.pt");
    let output = convert(
        folder.path(),
        &[input.to_str().unwrap(), "-o", "o.safetensors", "--group", "C4"],
    );
    let warning = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        warning.contains("chughtai-f64.pt: float64 weights were rounded"),
        "{warning}"
    );
}

#[test]
fn table_gives_the_label_order_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, table: &str| std::fs::write(folder.path().join(name), table).unwrap();
    // C4 with its identity last.
    write("c4.csv", "1,2,3,0\n2,3,0,1\n3,0,1,2\n0,1,2,3\n");
    write("no-group.csv", "1,2,3,0\n2,3,0,1\n3,0,1,2\n0,1,2,2\n");
    write("c2.csv", "0,1\n1,0\n");
    let input = data("chughtai.pt");
    let run = |table: &str| {
        let arguments = [input.to_str().unwrap(), "-o", "out.safetensors", "--table", table];
        convert(folder.path(), &arguments)
    };
    assert_eq!(run("c4.csv").status.code(), Some(0));
    let [loaded] = file::load(folder.path().join("out.safetensors"))
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(loaded.group.unwrap().identity(), Element(3));
    insta::assert_snapshot!(text(&run("no-group.csv")), @r"
    exit 2
    error: no-group.csv: no identity: no element e has e * x = x = x * e for every x
    ");
    insta::assert_snapshot!(text(&run("c2.csv")), @r"
    exit 2
    error: DATA/chughtai.pt: the network has 4 logits, but C2 has order 2
    ");
    insta::assert_snapshot!(text(&run("missing.csv")), @r"
    exit 2
    error: missing.csv: No such file or directory (os error 2)
    ");
}

#[test]
fn bad_arguments_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let input = data("chughtai.pt");
    let input = input.to_str().unwrap();
    insta::assert_snapshot!(text(&convert(folder.path(), &[input, "-o", "o", "--group", "S55"])), @r"
    exit 2
    error: S55 has more than 10000 elements, the largest order supported
    ");
    insta::assert_snapshot!(text(&convert(folder.path(), &[input, "-o", "o", "--group", "S3"])), @r"
    exit 2
    error: DATA/chughtai.pt: the network has 4 logits, but S3 has order 6
    ");
    insta::assert_snapshot!(text(&convert(folder.path(), &[input, "-o", "no/such/o", "--group", "C4"])), @r"
    exit 2
    error: no/such/o: there is no folder no/such to write it to
    ");
    insta::assert_snapshot!(text(&convert(folder.path(), &[input, "-o", "o", "--activation", "swish"])), @r"
    exit 2
    error: invalid value 'swish' for '--activation <ACTIVATION>': known are relu, square, abs, gelu, linear

    For more information, try '--help'.
    ");
}

#[test]
fn help_lists_the_layouts() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&convert(folder.path(), &["--help"]));
    for layout in [
        "native",
        "folded",
        "Chughtai",
        "Wu",
        "nn.Module",
        "W_x, W_y",
        "lembed.weight",
    ] {
        assert!(help.contains(layout), "{help}");
    }
}
