//! The page of `rhoset report` in a real browser.
//!
//! `RHOSET_SCREENSHOTS=DIR cargo test --release -p rhoset-cli --test report_page` also writes pictures of what it sees.
#![cfg(unix)]

mod browser;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Instant;

use assert_cmd::Command;
use browser::Browser;
use serde_json::{Value, json};

const S5: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/s5.safetensors");
const S4: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/report/s4.safetensors");
const A5: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/report/a5.safetensors");
const GELU: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../tests/data/networks/gelu.safetensors"
);

fn rhoset(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("rhoset").unwrap();
    command.current_dir(folder).env("XDG_CACHE_HOME", folder);
    command
}

/// A page about networks over S5, S4 and A5, two runs over S4, one that learned nothing, and an
/// input that is no network.
struct Fixture {
    folder: tempfile::TempDir,
}

impl Fixture {
    fn page(&self) -> PathBuf {
        self.folder.path().join("report.html")
    }
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let train = [
        "train", "--group", "S4", "--seeds", "0..2", "--epochs", "1500", "--out", "runs",
    ];
    rhoset(folder.path()).args(train).assert().success();
    let untrained = ["train", "--group", "C6", "--epochs", "1", "--out", "untrained"];
    rhoset(folder.path()).args(untrained).assert().success();
    // An input with a long name that is no network.
    let long = format!("a-very-long-name-without-any-space-{}.pt", "x".repeat(60));
    std::fs::write(folder.path().join(&long), "no network").unwrap();
    let report = ["report", S5, S4, A5, "runs", "untrained", &long, "-o", "report.html"];
    rhoset(folder.path()).args(report).assert().code(2);
    Fixture { folder }
});

/// The cells of a column of the overview, from top to bottom.
fn column(browser: &mut Browser, index: usize) -> Vec<String> {
    let cells =
        format!("[...document.querySelectorAll('tbody tr.open')].map((row) => row.children[{index}].textContent)");
    serde_json::from_value(browser.evaluate(&cells)).unwrap()
}

fn open_network(browser: &mut Browser, name: &str) {
    let link =
        format!("[...document.querySelectorAll('td.name a')].find((link) => link.textContent === {name:?}).click()");
    browser.evaluate(&link);
    browser.wait(&format!("document.querySelector('h1')?.textContent === {name:?}"));
    browser.settle();
}

#[test]
fn the_overview_groups_sorts_and_filters() {
    let Some(mut browser) = Browser::start() else { return };
    browser.resize(1280, 900, false);
    browser.open(&FIXTURE.page());
    let groups = "[...document.querySelectorAll('th.group')].map((head) => head.firstChild.textContent.trim())";
    assert_eq!(browser.evaluate(groups), json!(["S5", "S4", "A5", "C6"]));
    assert_eq!(
        browser.evaluate("document.querySelector('h1').textContent"),
        "6 networks over 4 groups"
    );

    // Accuracy, the best first, then the worst, by click and by key; within each group.
    let accuracies = |browser: &mut Browser| -> Vec<f64> {
        let number = |text: &String| text.trim_end_matches("\u{a0}%").parse().unwrap();
        column(browser, 2).iter().map(number).collect()
    };
    browser.click("th:nth-child(3) button");
    assert_eq!(
        browser.evaluate("document.querySelector('th:nth-child(3)').ariaSort"),
        "descending"
    );
    let falling = accuracies(&mut browser);
    assert!(falling[1] >= falling[2] && falling[2] >= falling[3], "{falling:?}");
    browser.press("Enter");
    assert_eq!(
        browser.evaluate("document.querySelector('th:nth-child(3)').ariaSort"),
        "ascending"
    );
    let rising = accuracies(&mut browser);
    assert_eq!(rising[1..4], [falling[3], falling[2], falling[1]]);

    browser.click("input[type=search]");
    browser.write("s4 runs");
    assert_eq!(column(&mut browser, 0).len(), 2);
    assert_eq!(
        browser.evaluate("document.querySelector('[role=status]').textContent"),
        "2 of 6 networks"
    );
    browser.write(" nowhere");
    assert_eq!(column(&mut browser, 0).len(), 0);
    let empty = "[...document.querySelectorAll('.note')].some((note) => !note.hidden && note.textContent === 'No network matches.')";
    assert_eq!(browser.evaluate(empty), true);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_network_opens_and_its_tetrahedron_turns() {
    let Some(mut browser) = Browser::start() else { return };
    browser.resize(1280, 900, false);
    browser.open(&FIXTURE.page());
    open_network(&mut browser, "s4.safetensors");

    // The standard irrep of S4 has dimension 3: four vectors, each two of them nearest, four faces.
    let count = |browser: &mut Browser, what: &str| {
        browser.evaluate(&format!("document.querySelectorAll('.solid .{what}').length"))
    };
    assert_eq!(count(&mut browser, "vertex"), 4);
    assert_eq!(count(&mut browser, "edge"), 6);
    assert_eq!(count(&mut browser, "face"), 4);
    assert!(count(&mut browser, "b").as_u64() > Some(16) && count(&mut browser, "c").as_u64() > Some(16));

    let places = "[...document.querySelectorAll('.solid .vertex')].map((v) => [v.querySelector('title').textContent, \
                  v.getAttribute('cx'), v.getAttribute('cy')]).sort()";
    let before = browser.evaluate(places);
    browser.drag(".solid", (80.0, 30.0));
    let dragged = browser.evaluate(places);
    assert_ne!(before, dragged, "dragging turns it");
    browser.evaluate("document.querySelector('.solid').focus()");
    browser.press("ArrowLeft");
    let stepped = browser.evaluate(places);
    assert_ne!(dragged, stepped, "arrow keys turn it");
    browser.press("Home");
    assert_eq!(browser.evaluate(places), before, "Home turns it back");

    // Pairs, by key: the caption names the vectors and the neurons, and the picture marks them.
    browser.evaluate("document.querySelector('canvas.matrix').focus()");
    browser.press("ArrowDown");
    browser.press("ArrowRight");
    let caption = browser
        .evaluate("document.querySelector('canvas.matrix').closest('figure').querySelector('figcaption').textContent");
    assert!(
        caption.as_str().unwrap().starts_with("b = B3[2], c = B3[2]: "),
        "{caption}"
    );
    assert_eq!(count(&mut browser, "vertex.left.right"), 1);

    // Every section has something in it, and one network's data was parsed, not all.
    let headings = "[...document.querySelectorAll('section h2')].map((head) => head.textContent)";
    let sections = json!([
        "How it multiplies",
        "What is proved",
        "Inputs",
        "Neurons",
        "Measures",
        "Training"
    ]);
    assert_eq!(browser.evaluate(headings), sections);
    let bars = browser.evaluate("document.querySelectorAll('figure svg rect').length");
    assert!(bars.as_u64() > Some(20), "{bars}");
    let painted = "[...document.querySelectorAll('canvas')].every((canvas) => canvas.getContext('2d').getImageData(0, 0, \
                   canvas.width, canvas.height).data.some((value) => value > 0))";
    assert_eq!(browser.evaluate(painted), true);
    browser.evaluate("history.back()");
    browser.wait("document.querySelector('h1').textContent === '6 networks over 4 groups'");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn the_icosahedron_of_a5_has_thirty_edges_and_twenty_faces() {
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&FIXTURE.page());
    open_network(&mut browser, "a5.safetensors");
    let shapes: Value = browser.evaluate(
        "[...document.querySelectorAll('.families button')].map((button) => { button.click(); \
         const solid = document.querySelector('.solid'); \
         return ['vertex', 'edge', 'face'].map((what) => solid.querySelectorAll('.' + what).length).join(); })",
    );
    let shapes = shapes.as_array().unwrap();
    assert!(shapes.contains(&json!("12,30,20")), "{shapes:?}");
    assert!(shapes.contains(&json!("20,30,0")), "the dodecahedron too: {shapes:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_run_has_curves_and_checkpoints_and_an_untrained_network_says_what_is_missing() {
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&FIXTURE.page());
    open_network(&mut browser, "runs/seed-000");
    let figures = "[...document.querySelectorAll('section:last-of-type .columns figure')].map((figure) => \
                   [figure.querySelector('h3').textContent, figure.querySelectorAll('polyline').length])";
    let expected = json!([
        ["Loss", 2],
        ["Accuracy", 2],
        ["Smallest margin", 1],
        ["Norms of weights", 6],
        ["Learning of circuits", 2],
        ["Neurons in circuits", 1]
    ]);
    assert_eq!(browser.evaluate(figures), expected);

    // The numbers of an axis are all powers of ten, or none of them is.
    let axes = "[...document.querySelectorAll('svg')].flatMap((picture) => ['end', 'middle'].map((side) =>
        [...picture.querySelectorAll(`text[text-anchor=${side}]`)].map((text) => text.textContent)
            .filter((text) => /^[-0-9.×⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+$/.test(text))))";
    let axes: Vec<Vec<String>> = serde_json::from_value(browser.evaluate(axes)).unwrap();
    let raised = |text: &&String| text.contains(|c| "⁰¹²³⁴⁵⁶⁷⁸⁹".contains(c));
    let powers: Vec<_> = axes
        .iter()
        .filter(|axis| axis.iter().any(|text| raised(&text)))
        .collect();
    assert!(!powers.is_empty(), "losses span many powers of ten: {axes:?}");
    for axis in powers {
        let other = |text: &&String| !raised(text) && !["0", "1", "10"].contains(&text.as_str());
        assert_eq!(axis.iter().find(other), None, "{axis:?}");
    }

    browser.evaluate("location.hash = ''");
    browser.wait("document.querySelector('td.name') !== null");
    open_network(&mut browser, "untrained/seed-000");
    let lead = browser.evaluate("document.querySelector('.lead').textContent");
    assert!(
        lead.as_str().unwrap().starts_with("Did not learn to multiply in C6"),
        "{lead}"
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('section').length"), 6);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn circuits_form_along_the_checkpoints_of_a_run_by_key() {
    let Some(mut browser) = Browser::start() else { return };
    browser.resize(1280, 900, false);
    browser.open(&FIXTURE.page());
    open_network(&mut browser, "runs/seed-000");
    let text = |browser: &mut Browser, what: &str| -> String {
        let value = browser.evaluate(&format!("document.querySelector({what:?}).textContent"));
        value.as_str().unwrap().to_owned()
    };
    let cells = "document.querySelectorAll('.forming polygon').length";
    let slider = "input[type=range][aria-label=Checkpoint]";
    assert_eq!(text(&mut browser, ".turn output"), "epoch 1,500");
    let formed = browser.evaluate(cells).as_u64().unwrap();
    assert!(formed > 0, "the finished network has circuits");
    let marked = "document.querySelector('.now').getAttribute('x1')";
    let end = browser.evaluate(marked);

    browser.evaluate(&format!("document.querySelector('{slider}').focus()"));
    browser.press("Home");
    let first = text(&mut browser, ".turn output");
    assert_eq!(first, "epoch 1");
    assert!(
        browser.evaluate(cells).as_u64().unwrap() < formed,
        "fewer pairs at first"
    );
    assert_ne!(browser.evaluate(marked), end, "the curves mark the epoch");
    let spoken = browser.evaluate(&format!("document.querySelector('{slider}').ariaValueText ?? document.querySelector('{slider}').getAttribute('aria-valuetext')"));
    assert_eq!(spoken, first.as_str());
    browser.press("ArrowRight");
    assert_ne!(text(&mut browser, ".turn output"), first);
    browser.press("End");
    assert_eq!(browser.evaluate(cells), formed);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn every_view_fits_every_screen_in_both_themes() {
    let Some(mut browser) = Browser::start() else { return };
    let networks = browser_networks(&mut browser);
    for (width, height, device) in [(1280, 900, "laptop"), (390, 844, "phone")] {
        browser.resize(width, height, device == "phone");
        for theme in ["light", "dark"] {
            browser.prefer(theme);
            browser.open(&FIXTURE.page());
            assert_eq!(browser.evaluate("document.documentElement.dataset.theme"), theme);
            for network in std::iter::once(String::new()).chain((0..networks).map(|i| format!("network={i}"))) {
                browser.evaluate(&format!("location.hash = '{network}'"));
                browser.settle();
                let name = if network.is_empty() { "overview" } else { &network };
                browser.screenshot(&format!("{}-{device}-{theme}", name.replace('=', "-")), true);
                let wide = browser.evaluate("document.documentElement.scrollWidth");
                assert!(
                    wide.as_u64() <= Some(width.into()),
                    "{name} is {wide} wide on a {device}"
                );
                // Nothing of these tables is out of sight, and nothing lies on the slider.
                let hidden = "[...document.querySelectorAll('.overview, .proofs')].map((table) => table.parentElement)
                    .filter((box) => box.scrollWidth > box.clientWidth).length";
                assert_eq!(browser.evaluate(hidden), 0, "{name} on a {device}");
                let touching = "[...document.querySelectorAll('.turn')].flatMap((row) => [...row.querySelectorAll('input, output, button')]
                    .map((part) => part.getBoundingClientRect())).filter((p, i, all) => all.slice(i + 1).some((q) => p.left < q.right && q.left < p.right &&
                    p.top < q.bottom && q.top < p.bottom)).length";
                assert_eq!(browser.evaluate(touching), 0, "{name} on a {device}");
            }
        }
    }
    // The button wins over the system, and back.
    browser.click("#theme");
    assert_eq!(browser.evaluate("document.documentElement.dataset.theme"), "light");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

fn browser_networks(browser: &mut Browser) -> u64 {
    browser.open(&FIXTURE.page());
    browser
        .evaluate("JSON.parse(document.getElementById('overview').textContent).networks.length")
        .as_u64()
        .unwrap()
}

#[test]
fn what_can_be_reached_by_pointer_can_be_reached_by_key_and_has_a_name() {
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&FIXTURE.page());
    for hash in ["", "network=1"] {
        browser.evaluate(&format!("location.hash = '{hash}'"));
        browser.settle();
        let tree = browser.call("Accessibility.getFullAXTree", json!({}));
        let nameless: Vec<&Value> = (tree["nodes"].as_array().unwrap().iter())
            .filter(|node| {
                let role = node["role"]["value"].as_str().unwrap_or_default();
                let shown = node["ignored"] != true;
                let speaks = [
                    "button",
                    "link",
                    "image",
                    "img",
                    "combobox",
                    "searchbox",
                    "slider",
                    "region",
                ]
                .contains(&role);
                shown && speaks && node["name"]["value"].as_str().is_none_or(str::is_empty)
            })
            .collect();
        assert!(nameless.is_empty(), "{nameless:#?}");
    }
    // Tab goes through the page without a trap, and always somewhere that shows it.
    browser.evaluate("document.body.focus()");
    let mut seen = std::collections::HashSet::new();
    for _ in 0..25 {
        browser.press("Tab");
        let focus = browser.evaluate(
            "(() => { const e = document.activeElement; window.marks ??= new Map(); if (!marks.has(e)) marks.set(e, marks.size); \
             return marks.get(e) + ' ' + e.tagName; })()",
        );
        seen.insert(focus.to_string());
    }
    assert!(seen.len() > 12, "{seen:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn hostile_names_stay_text() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let hostile = [
        "<img src=x onerror=hacked()>.safetensors",
        "<!--<script>.safetensors",
        "\"'><svg onload=hacked()>.safetensors",
        "line\u{2028}break\\u003c.safetensors",
    ];
    for name in hostile {
        std::fs::copy(S4, folder.path().join(name)).unwrap();
    }
    // A run's name holds a slash.
    let run = folder.path().join("<script>document.title='hacked'<").join("script>");
    let train = ["train", "--group", "C3", "--epochs", "1", "--out"];
    rhoset(folder.path()).args(train).arg("run").assert().success();
    std::fs::create_dir(run.parent().unwrap()).unwrap();
    std::fs::rename(folder.path().join("run/seed-000"), &run).unwrap();
    let report = ["report", ".", "-o", "report.html"];
    rhoset(folder.path()).args(report).assert().success();
    browser.open(&folder.path().join("report.html"));
    let mut names = column(&mut browser, 0);
    names.sort();
    let mut expected: Vec<String> = hostile.map(str::to_owned).to_vec();
    expected.push("<script>document.title='hacked'</script>".to_owned());
    expected.sort();
    assert_eq!(names, expected);
    assert_eq!(
        browser.evaluate("document.querySelectorAll('main img, main svg[onload]').length"),
        0
    );
    for i in 0..expected.len() {
        browser.evaluate(&format!("location.hash = 'network={i}'"));
        browser.wait(&format!(
            "document.querySelector('h1')?.textContent === JSON.parse(document.getElementById('overview').textContent).networks[{i}].name"
        ));
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_hundred_networks_over_s5_make_a_page_that_is_ready_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..100 {
        std::fs::copy(S5, folder.path().join(format!("s5-{i:03}.safetensors"))).unwrap();
    }
    let start = Instant::now();
    rhoset(folder.path())
        .args(["report", ".", "-o", "report.html"])
        .assert()
        .success();
    let seconds = start.elapsed().as_secs_f64();
    let page = folder.path().join("report.html");
    let bytes = std::fs::metadata(&page).unwrap().len();
    assert!(seconds < 30.0, "built in {seconds} s");
    assert!(bytes < 25 << 20, "weighs {bytes} bytes");
    let Some(mut browser) = Browser::start() else { return };
    let ready = browser.open(&page);
    assert!(ready < 3.0, "ready after {ready} s");
    assert_eq!(column(&mut browser, 0).len(), 100);
    eprintln!("100 networks: built in {seconds:.2} s, {bytes} bytes, ready after {ready:.2} s");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_network_that_is_not_relu_says_which_figures_it_has_no_data_for() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let report = ["report", GELU, "--group", "C4", "-o", "report.html"];
    rhoset(folder.path()).args(report).assert().success();
    browser.open(&folder.path().join("report.html"));
    let notes = "[...document.querySelectorAll('.note')].filter((note) => !note.hidden).map((note) => note.textContent).join(' ')";
    browser.evaluate("location.hash = 'network=0'");
    browser.wait("document.querySelectorAll('section').length === 6");
    let proved =
        browser.evaluate("[...document.querySelectorAll('td .key')].map((key) => key.nextSibling.textContent)");
    assert_eq!(
        proved,
        json!(["brute", "explained", "cascade"]),
        "as `rhoset verify` does"
    );
    let notes = browser.evaluate(notes);
    for said in ["no idealised network", "read from a file"] {
        assert!(notes.as_str().unwrap().contains(said), "{said}: {notes}");
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// `RHOSET_PAGE=report.html RHOSET_SCREENSHOTS=DIR RHOSET_VIEWS=,network=3 cargo test --release -p rhoset-cli --test
/// report_page -- --ignored`: pictures of any page, as in `docs/report.md`.
#[test]
#[ignore = "writes pictures of the page that RHOSET_PAGE names"]
fn pictures_of_a_page() {
    let Some(mut browser) = Browser::start() else { return };
    let page = PathBuf::from(std::env::var_os("RHOSET_PAGE").expect("RHOSET_PAGE names a page"));
    let views = std::env::var("RHOSET_VIEWS").unwrap_or_default();
    for (width, height, device) in [(1280, 800, "laptop"), (390, 844, "phone")] {
        browser.resize(width, height, device == "phone");
        for theme in ["light", "dark"] {
            browser.prefer(theme);
            let seconds = browser.open(&page.canonicalize().unwrap());
            eprintln!("{device}, {theme}: ready after {seconds:.2} s");
            for view in views.split(',') {
                browser.evaluate(&format!("location.hash = '{view}'"));
                browser.settle();
                let name = if view.is_empty() {
                    "overview".to_owned()
                } else {
                    view.replace('=', "-")
                };
                browser.screenshot(&format!("{name}-{device}-{theme}"), true);
                browser.screenshot(&format!("{name}-{device}-{theme}-top"), false);
            }
        }
    }
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
