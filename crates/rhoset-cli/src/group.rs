//! `rhoset group SPEC`: what there is to know about a group.

use std::cell::RefCell;
use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use num_complex::Complex64;
use rhoset::group::character::{Character, characters};
use rhoset::group::lattice::{SubgroupClass, abelian_subgroup_count, subgroup_classes};
use rhoset::group::name::{SubgroupNames, identify};
use rhoset::group::{ConjugacyClasses, Group, Subgroup, gap, spec};
use rhoset::irrep::Irreps;
use serde_json::json;

/// Classes, character table, irreps and subgroups of a group.
#[derive(clap::Args)]
pub(crate) struct GroupArguments {
    /// The group: S5, D30 (order 60), A5xC2, C11:C5, GL(3,2), perm:(1,2,3);(1,2), table:FILE ...
    spec: String,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// List the subgroups of a group of order above 720 too; this can take long.
    #[arg(long)]
    subgroups: bool,
    /// Ask GAP for its name of the group's structure (needs `gap` on the PATH).
    #[arg(long)]
    gap: bool,
}

/// Up to this order the subgroups are listed without being asked for.
const LARGEST_LISTED: usize = 720;
/// More subgroups than this are not searched for, in time and memory.
const MOST_SUBGROUPS: usize = 2_000_000;
/// More irreps than this are not computed.
const MOST_CHARACTERS: usize = 1_000;
/// With more irreps than this their matrices take longer than the rest together.
const MOST_NAMED: usize = 128;
/// A character table of more columns does not fit a terminal.
const MOST_COLUMNS: usize = 24;
/// More classes of subgroups than this are not printed.
const MOST_PRINTED: usize = 200;

pub(crate) fn run(arguments: GroupArguments) -> anyhow::Result<ExitCode> {
    let group = spec::parse(&arguments.spec)?;
    let gap_name = if arguments.gap {
        Some(gap::structure_description(&group)?)
    } else {
        None
    };
    let classes = group.conjugacy_classes();
    let report = Report {
        name: identify(&group),
        irreps: find_irreps(&group, &classes)?,
        names: RefCell::default(),
        classes,
        subgroups: Subgroups::find(&group, arguments.subgroups),
        gap_name,
        group,
    };
    if arguments.json {
        println!("{}", report.json());
    } else {
        print!("{}", report.text());
    }
    Ok(ExitCode::SUCCESS)
}

/// Everything that is printed.
struct Report {
    group: Group,
    name: String,
    gap_name: Option<String>,
    classes: ConjugacyClasses,
    subgroups: Subgroups,
    /// None where there are too many.
    irreps: Option<Vec<NamedCharacter>>,
    /// Names of subgroups met so far: kernels repeat, and naming a large one takes time.
    names: RefCell<SubgroupNames>,
}

/// The exact character of an irrep, under the name that explanations use.
struct NamedCharacter {
    name: String,
    character: Character,
}

/// The characters in the order of the irreps. Matrices, which give the names, are only made for groups of order up to
/// [`LARGEST_LISTED`] with at most [`MOST_NAMED`] irreps; beyond that the irreps are numbered.
fn find_irreps(group: &Group, classes: &ConjugacyClasses) -> anyhow::Result<Option<Vec<NamedCharacter>>> {
    if classes.count() > MOST_CHARACTERS {
        return Ok(None);
    }
    let mut characters = characters(group, classes);
    if group.order() > LARGEST_LISTED || classes.count() > MOST_NAMED {
        let named = characters.into_iter().enumerate();
        return Ok(Some(
            named
                .map(|(i, character)| NamedCharacter {
                    name: format!("X{}", i + 1),
                    character,
                })
                .collect(),
        ));
    }
    let irreps = Irreps::new(group, 0)?;
    let mut named = Vec::with_capacity(characters.len());
    for irrep in irreps.complex() {
        let values: Vec<Complex64> = classes
            .iter()
            .map(|class| irrep.character(class.representative()))
            .collect();
        let agrees = |character: &Character| {
            (values.iter().enumerate()).all(|(class, value)| (character.value(class) - value).norm() < 1e-6)
        };
        let Some(i) = characters.iter().position(agrees) else {
            anyhow::bail!(
                "the irrep {} of {} has no irreducible character: please report this",
                irrep.name(),
                group.name()
            );
        };
        named.push(NamedCharacter {
            name: irrep.name().into(),
            character: characters.swap_remove(i),
        });
    }
    Ok(Some(named))
}

/// The subgroups, as far as they were looked for.
enum Subgroups {
    /// All of them.
    Listed(Vec<SubgroupClass>),
    /// Only their number is known: the group is abelian and has very many.
    Counted(u128),
    /// The group is large and nobody asked.
    Skipped,
    /// There are too many.
    TooMany,
}

impl Subgroups {
    fn find(group: &Group, asked: bool) -> Self {
        if let Some(count) = abelian_subgroup_count(group)
            && count > MOST_PRINTED as u128
        {
            return Self::Counted(count);
        }
        if group.order() > LARGEST_LISTED && !asked {
            return Self::Skipped;
        }
        subgroup_classes(group, MOST_SUBGROUPS).map_or(Self::TooMany, Self::Listed)
    }
}

impl Report {
    fn describe(&self, subgroup: &Subgroup) -> String {
        if subgroup.order() == self.group.order() {
            return self.name.clone();
        }
        self.names.borrow_mut().of(&self.group, subgroup)
    }

    fn json(&self) -> serde_json::Value {
        let group = &self.group;
        let names = self.classes.names();
        let classes = (self.classes.iter().zip(&names)).map(|(class, name)| {
            json!({
                "name": name,
                "size": class.size(),
                "element_order": class.element_order,
                "representative": group.element_name(class.representative()),
            })
        });
        let subgroups = match &self.subgroups {
            Subgroups::Listed(classes) => {
                let list = (classes.len() <= MOST_PRINTED).then(|| {
                    classes
                        .iter()
                        .map(|class| self.subgroup_json(class))
                        .collect::<Vec<_>>()
                });
                json!({
                    "total": classes.iter().map(|class| class.length).sum::<usize>(),
                    "classes": classes.len(),
                    "list": list,
                })
            }
            Subgroups::Counted(count) => {
                let count = u64::try_from(*count).ok();
                json!({ "total": count, "classes": count, "list": null })
            }
            Subgroups::Skipped | Subgroups::TooMany => serde_json::Value::Null,
        };
        json!({
            "spec": group.name(),
            "name": self.name,
            "gap_name": self.gap_name,
            "order": group.order(),
            "exponent": group.exponent(),
            "abelian": group.is_abelian(),
            "soluble": group.is_soluble(),
            "centre": self.brief(&group.centre()),
            "commutator_subgroup": self.brief(&group.commutator_subgroup(&Subgroup::whole(group))),
            "conjugacy_classes": classes.collect::<Vec<_>>(),
            "irreps": self.irreps.as_ref().map(|all| all.iter().map(|c| self.irrep_json(c)).collect::<Vec<_>>()),
            "subgroups": subgroups,
        })
    }

    fn irrep_json(&self, NamedCharacter { name, character }: &NamedCharacter) -> serde_json::Value {
        let values = (0..self.classes.count())
            .map(|class| character.value(class))
            .map(|value| [value.re, value.im]);
        json!({
            "name": name,
            "degree": character.degree(),
            "frobenius_schur": character.frobenius_schur(),
            "kernel": self.brief(&character.kernel(&self.group, &self.classes)),
            "character": values.collect::<Vec<_>>(),
        })
    }

    fn subgroup_json(&self, class: &SubgroupClass) -> serde_json::Value {
        let subgroup = &class.representative;
        let generators = subgroup
            .generators(&self.group)
            .into_iter()
            .map(|x| self.group.element_name(x));
        json!({
            "name": self.describe(subgroup),
            "order": subgroup.order(),
            "length": class.length,
            "normal": class.is_normal(),
            "generators": generators.collect::<Vec<_>>(),
        })
    }

    fn brief(&self, subgroup: &Subgroup) -> serde_json::Value {
        json!({ "name": self.describe(subgroup), "order": subgroup.order() })
    }

    fn text(&self) -> String {
        let mut text = self.summary();
        text += &section("Conjugacy classes", &self.class_table(), self.classes.count());
        match &self.irreps {
            Some(irreps) => text += &self.irreps_text(irreps),
            None => text += &format!("\nIrreps: more than {MOST_CHARACTERS}, too many to find.\n"),
        }
        text += &match &self.subgroups {
            Subgroups::Listed(classes) => section(
                "Subgroups up to conjugacy",
                &self.subgroup_table(classes),
                classes.len(),
            ),
            Subgroups::Counted(_) => "\nSubgroups: all normal, counted by a formula and not listed.\n".into(),
            Subgroups::Skipped => format!(
                "\nSubgroups: not searched for, since the order is above {LARGEST_LISTED}; --subgroups searches.\n"
            ),
            Subgroups::TooMany => format!("\nSubgroups: more than {MOST_SUBGROUPS}, too many to find.\n"),
        };
        text
    }

    /// The answer in two lines.
    fn summary(&self) -> String {
        let group = &self.group;
        let also = if self.name == group.name() || self.name.contains(' ') {
            String::new()
        } else {
            format!(" = {}", self.name)
        };
        let gap_name = self
            .gap_name
            .as_ref()
            .map_or_else(String::new, |name| format!(" ({name} in GAP)"));
        let subgroups = match &self.subgroups {
            Subgroups::Listed(classes) => {
                let total = classes.iter().map(|class| class.length).sum::<usize>();
                format!(", {} in {}", count(total, "subgroup"), count(classes.len(), "class"))
            }
            Subgroups::Counted(total) => format!(", {total} subgroups"),
            Subgroups::Skipped | Subgroups::TooMany => String::new(),
        };
        let classes = count(self.classes.count(), "conjugacy class");
        let kind = match (group.is_abelian(), group.is_soluble()) {
            (true, _) => "abelian",
            (false, true) => "soluble",
            (false, false) => "insoluble",
        };
        let derived = group.commutator_subgroup(&Subgroup::whole(group));
        format!(
            "{}{also}{gap_name}: order {}, {classes}{subgroups}\n{kind}, exponent {}, centre {}, commutator subgroup {}\n",
            group.name(),
            group.order(),
            group.exponent(),
            self.describe(&group.centre()),
            self.describe(&derived),
        )
    }

    fn class_table(&self) -> Table {
        let mut table = columns(&["class", "size", "element order", "representative"]);
        for (class, name) in self.classes.iter().zip(self.classes.names()).take(MOST_PRINTED) {
            let representative = self.group.element_name(class.representative());
            table.add_row([
                name,
                class.size().to_string(),
                class.element_order.to_string(),
                representative,
            ]);
        }
        right(table, &[1, 2])
    }

    /// The complex irreps, then their characters where the table fits a terminal.
    fn irreps_text(&self, characters: &[NamedCharacter]) -> String {
        let mut irreps = columns(&["irrep", "degree", "type", "kernel"]);
        for NamedCharacter { name, character } in characters.iter().take(MOST_PRINTED) {
            let kind = match character.frobenius_schur() {
                1 => "real",
                0 => "complex",
                _ => "quaternionic",
            };
            let kernel = self.describe(&character.kernel(&self.group, &self.classes));
            irreps.add_row([name.clone(), character.degree().to_string(), kind.into(), kernel]);
        }
        let irreps = section("Complex irreps", &right(irreps, &[1]), characters.len());
        if characters.len() > MOST_COLUMNS {
            return format!("{irreps}\nCharacter table: too wide to print, see --json.\n");
        }
        let names = self.classes.names();
        let mut table = columns(&[&[""], &names.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
        for NamedCharacter { name, character } in characters {
            let values = (0..characters.len()).map(|class| number(character.value(class)));
            table.add_row([name.clone()].into_iter().chain(values));
        }
        irreps
            + &section(
                "Character table",
                &right(table, &(1..=characters.len()).collect::<Vec<_>>()),
                0,
            )
    }

    fn subgroup_table(&self, classes: &[SubgroupClass]) -> Table {
        let mut table = columns(&["subgroup", "order", "conjugates", "generators"]);
        for class in classes.iter().take(MOST_PRINTED) {
            let subgroup = &class.representative;
            let conjugates = if class.is_normal() {
                "normal".into()
            } else {
                class.length.to_string()
            };
            let generators: Vec<String> = subgroup
                .generators(&self.group)
                .into_iter()
                .map(|x| self.group.element_name(x))
                .collect();
            let name = self.describe(subgroup);
            table.add_row([name, subgroup.order().to_string(), conjugates, generators.join("; ")]);
        }
        right(table, &[1, 2])
    }
}

fn columns(names: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(names);
    table
}

fn right(mut table: Table, columns: &[usize]) -> Table {
    for &column in columns {
        table
            .column_mut(column)
            .expect("the column is there")
            .set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A table under its title, and how much of it is left out.
fn section(title: &str, table: &Table, rows: usize) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_string()).collect();
    let rest = match rows.saturating_sub(MOST_PRINTED) {
        0 => String::new(),
        rest => format!(" and {rest} more\n"),
    };
    format!("\n{title}\n{}\n{rest}", lines.join("\n"))
}

/// `1 class`, `2 classes`.
fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ if noun.ends_with('s') => format!("{number} {noun}es"),
        _ => format!("{number} {noun}s"),
    }
}

/// An integer as such, other values to three decimals: `-1`, `1.618`, `i`, `-0.500+0.866i`.
fn number(value: Complex64) -> String {
    let part = |x: f64| {
        if x.fract() == 0.0 {
            format!("{x:.0}")
        } else {
            format!("{x:.3}")
        }
    };
    let imaginary = match value.im {
        1.0 => "i".into(),
        -1.0 => "-i".into(),
        im => format!("{}i", part(im)),
    };
    match (value.re, value.im) {
        (re, 0.0) => part(re),
        (0.0, _) => imaginary,
        (re, im) => format!("{}{}{imaginary}", part(re), if im > 0.0 { "+" } else { "" }),
    }
}
