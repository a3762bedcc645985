//! `rhoset group SPEC`: what there is to know about a group.

use std::process::ExitCode;

use comfy_table::{Table, presets};
use rhoset::group::lattice::{SubgroupClass, abelian_subgroup_count, subgroup_classes};
use rhoset::group::{ConjugacyClasses, Group, Subgroup, gap, name, spec};
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
/// More classes of subgroups than this are not printed.
const MOST_PRINTED: usize = 200;

pub(crate) fn run(arguments: GroupArguments) -> anyhow::Result<ExitCode> {
    let group = spec::parse(&arguments.spec)?;
    let gap_name = if arguments.gap {
        Some(gap::structure_description(&group)?)
    } else {
        None
    };
    let report = Report {
        name: name::identify(&group),
        classes: group.conjugacy_classes(),
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
                json!({ "total": count.to_string().parse::<u64>().ok(), "classes": count.to_string().parse::<u64>().ok(), "list": null })
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
            "subgroups": subgroups,
        })
    }

    fn subgroup_json(&self, class: &SubgroupClass) -> serde_json::Value {
        let subgroup = &class.representative;
        let generators = subgroup
            .generators(&self.group)
            .into_iter()
            .map(|x| self.group.element_name(x));
        json!({
            "name": name::describe(&self.group, subgroup),
            "order": subgroup.order(),
            "length": class.length,
            "normal": class.is_normal(),
            "generators": generators.collect::<Vec<_>>(),
        })
    }

    fn brief(&self, subgroup: &Subgroup) -> serde_json::Value {
        json!({ "name": name::describe(&self.group, subgroup), "order": subgroup.order() })
    }

    fn text(&self) -> String {
        let _ = Table::new().load_preset(presets::NOTHING);
        format!("{}: order {}\n", self.group.name(), self.group.order())
    }
}
