//! The page: everything found and proved of some networks, in one HTML file that needs nothing else.
//!
//! [`Page::html`] puts data, style and script into one text. The data is JSON in `script` elements that are not run: one
//! for the overview, one per network, parsed when it is opened (`docs/report.md` is its schema). Whatever comes from
//! files, names above all, reaches the page as JSON text whose `<` are escaped, and the screen as text nodes; a content
//! security policy lets only the page's own script run and allows no request at all.

pub mod cache;
pub mod formation;
pub mod heat;
pub mod histogram;
pub mod network;
pub mod projection;
pub mod run;
pub mod structure;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

pub use cache::Cache;
pub use network::{Described, Details, Summary, describe, measured};
pub use run::Training;

use crate::group::Group;
use crate::irrep::Irreps;
use crate::measure::{Census, Measures};
use heat::base64;

/// A page about some networks.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The groups, each in one label order.
    groups: Vec<Group>,
    networks: Vec<Entry>,
    unread: Vec<Unread>,
    /// One for each group, where it was taken.
    censuses: Vec<Option<Census>>,
}

#[derive(Clone, Debug)]
struct Entry {
    row: Row,
    details: Box<RawValue>,
    measures: Option<Measures>,
    training: Option<String>,
}

/// A row of the overview.
#[derive(Clone, Debug, Serialize)]
struct Row {
    name: String,
    /// Index into the page's groups.
    group: usize,
    /// How many network labels disagree with the group's table, where the group was inferred.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<usize>,
    /// Whether there are training curves.
    run: bool,
    #[serde(flatten)]
    summary: Summary,
}

/// An input that is not in the report.
#[derive(Clone, Debug, Serialize)]
struct Unread {
    name: String,
    reason: String,
}

#[derive(Serialize)]
struct GroupData<'a> {
    name: &'a str,
    order: usize,
    elements: Vec<String>,
    /// Inverses by index, which turn images into those of the inverse.
    inverses: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    census: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct Overview<'a> {
    schema: u32,
    version: &'static str,
    groups: Vec<GroupData<'a>>,
    networks: Vec<&'a Row>,
    unread: &'a [Unread],
}

/// Version of the embedded data's schema, `docs/report.md`.
pub const SCHEMA: u32 = 1;

const TEMPLATE: &str = include_str!("../assets/page.html");
const STYLE: &str = include_str!("../assets/page.css");
/// One script, in the order in which it is read.
const SCRIPTS: [&str; 8] = [
    include_str!("../assets/elements.js"),
    include_str!("../assets/charts.js"),
    include_str!("../assets/circuits.js"),
    include_str!("../assets/neurons.js"),
    include_str!("../assets/measures.js"),
    include_str!("../assets/training.js"),
    include_str!("../assets/network.js"),
    include_str!("../assets/overview.js"),
];

/// What is to be shown of a network, beside [`Described`].
#[derive(Clone, Debug)]
pub struct Named<'a> {
    /// Its name, as a user knows it.
    pub name: String,
    /// Its group, in the network's label order.
    pub group: &'a Group,
    /// Where the group was inferred: on how many pairs the network disagrees with it.
    pub repaired: Option<usize>,
}

impl Page {
    /// A page about nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a network, its measures, and the training that made it.
    pub fn add(
        &mut self,
        named: Named<'_>,
        described: Described,
        measures: Option<Measures>,
        training: Option<&Training>,
    ) {
        let known = self.groups.iter().position(|group| group == named.group);
        let group = known.unwrap_or_else(|| {
            self.groups.push(named.group.clone());
            self.groups.len() - 1
        });
        self.networks.push(Entry {
            row: Row {
                name: named.name,
                group,
                repaired: named.repaired,
                run: training.is_some(),
                summary: described.summary,
            },
            details: described.details,
            measures,
            training: training.map(|training| serde_json::to_string(training).expect("names and numbers")),
        });
    }

    /// Says of an input why it is not in the report.
    pub fn add_unread(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        let (name, reason) = (name.into(), reason.into());
        // Errors name their file, and so does the page.
        let reason = match reason.strip_prefix(&format!("{name}: ")) {
            Some(rest) => rest.to_owned(),
            None => reason,
        };
        self.unread.push(Unread { name, reason });
    }

    /// Takes the census of every group with two measured networks or more. Groups whose `irreps` fail have none.
    ///
    /// Groups of one name are counted together, in the place of the first: they are meant to be isomorphic, and the names
    /// of irreps do not depend on the order of the labels.
    pub fn take_census<E>(&mut self, irreps: impl Fn(&Group) -> Result<Irreps, E>) {
        let first = |name: &str| self.groups.iter().position(|group| group.name() == name);
        self.censuses = (self.groups.iter().enumerate())
            .map(|(index, group)| {
                if first(group.name()) != Some(index) {
                    return None;
                }
                let of_name = |entry: &&Entry| self.groups[entry.row.group].name() == group.name();
                let of_group = self.networks.iter().filter(of_name);
                let measured = of_group.filter_map(|entry| entry.measures.as_ref());
                if measured.clone().count() < 2 {
                    return None;
                }
                let irreps = irreps(group).ok()?;
                Some(Census::of(group, &irreps, measured))
            })
            .collect();
    }

    /// The number of networks.
    pub fn len(&self) -> usize {
        self.networks.len()
    }

    /// Whether there is no network.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// The whole file.
    pub fn html(&self) -> String {
        let overview = Overview {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            groups: (self.groups.iter().enumerate())
                .map(|(index, group)| group_data(group, self.censuses.get(index).and_then(Option::as_ref)))
                .collect(),
            networks: self.networks.iter().map(|entry| &entry.row).collect(),
            unread: &self.unread,
        };
        let overview = serde_json::to_string(&overview).expect("names and numbers");
        let script = format!("\"use strict\";\n(() => {{\n{}}})();\n", SCRIPTS.concat());
        // The browser runs the script with this hash and no other.
        let policy = base64(&Sha256::digest(script.as_bytes()));
        let mut data = element("overview", &overview);
        for (index, entry) in self.networks.iter().enumerate() {
            data += &element(&format!("network-{index}"), entry.details.get());
            if let Some(measures) = &entry.measures {
                let mut measures = shortened(measures);
                // One row per neuron, which the structure's own table of cosets sums up.
                measures.as_object_mut().map(|fields| fields.remove("cosets"));
                data += &element(&format!("measures-{index}"), &measures.to_string());
            }
            if let Some(training) = &entry.training {
                data += &element(&format!("training-{index}"), training);
            }
        }
        // The template's own text has each mark once; data goes in last, so that marks in it mean nothing.
        let (head, rest) = split(TEMPLATE, "/*STYLE*/");
        let (middle, rest) = split(rest, "<!--DATA-->");
        let (before, tail) = split(rest, "/*SCRIPT*/");
        let head = head.replace("SCRIPT-HASH", &policy);
        [head.as_str(), STYLE, middle, &data, before, &script, tail].concat()
    }
}

fn split<'a>(text: &'a str, mark: &str) -> (&'a str, &'a str) {
    text.split_once(mark).expect("the template has every mark")
}

/// A script element that holds JSON. Escaping every `<` leaves nothing that could end it or open a comment in it.
fn element(id: &str, json: &str) -> String {
    let json = json.replace('<', "\\u003c");
    format!("<script type=\"application/json\" id=\"{id}\">{json}</script>\n")
}

fn group_data<'a>(group: &'a Group, census: Option<&Census>) -> GroupData<'a> {
    GroupData {
        name: group.name(),
        order: group.order(),
        elements: group.elements().map(|x| group.element_name(x)).collect(),
        inverses: group.elements().map(|x| group.inv(x).index()).collect(),
        census: census.map(shortened),
    }
}

/// As JSON, all numbers with fractions to six significant digits: two more than are shown, so that rounding down stays
/// rounding down.
fn shortened(data: &impl Serialize) -> serde_json::Value {
    fn shorten(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Number(number) if number.is_f64() => {
                *value = number
                    .as_f64()
                    .and_then(|number| format!("{number:.5e}").parse::<f64>().ok())
                    .into();
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(shorten),
            serde_json::Value::Object(fields) => fields.values_mut().for_each(shorten),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(data).expect("names and numbers");
    shorten(&mut value);
    value
}

/// A number to four significant digits: what a page can show.
fn short(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(short(1.234_567), 1.235);
        assert_eq!(short(-0.000_123_456), -0.000_123_5);
        assert_eq!(short(0.0), 0.0);
        assert!(short(f64::INFINITY).is_infinite() && short(f64::NAN).is_nan());
    }

    #[test]
    fn the_template_has_every_mark_once() {
        for mark in ["/*STYLE*/", "<!--DATA-->", "/*SCRIPT*/", "SCRIPT-HASH"] {
            assert_eq!(TEMPLATE.matches(mark).count(), 1, "{mark}");
        }
    }

    #[test]
    fn no_asset_asks_for_anything_from_outside() {
        for asset in SCRIPTS.iter().chain([&TEMPLATE, &STYLE]) {
            for word in [
                "http:",
                "https:",
                "url(",
                "@import",
                "fetch(",
                "XMLHttpRequest",
                "import(",
            ] {
                let without_names = asset.replace("http://www.w3.org/2000/svg", "");
                assert!(!without_names.contains(word), "{word}");
            }
        }
    }
}
