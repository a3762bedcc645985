//! `rhoset quickstart`: the whole story on a network built into the command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use rhoset::verify::Verifier;

use crate::explain::Explained;
use crate::network_input::NetworkArguments;
use crate::terminal;
use crate::verify::{self, Explainer};

/// The whole story on a built-in network: which group it multiplies in, how, and a proof of how well.
#[derive(clap::Args)]
pub(crate) struct QuickstartArguments {
    /// Directory for the network and what was found of it.
    #[arg(long, value_name = "DIR", default_value = "rhoset-quickstart")]
    out: PathBuf,
}

/// A relu network of 128 neurons, trained with the recipe of Wu et al. 2025 on 40 % of the products in S5, and folded.
const NETWORK: &[u8] = include_bytes!("../data/s5.safetensors");

pub(crate) fn run(arguments: QuickstartArguments) -> anyhow::Result<ExitCode> {
    let out = arguments.out;
    fs::create_dir_all(&out).with_context(|| format!("{}: cannot make this directory", out.display()))?;
    let network = out.join("network.safetensors");
    write(&network, NETWORK)?;

    let start = Instant::now();
    let networks = NetworkArguments {
        files: vec![network.clone()],
        // The file carries its group; to look away from it is the point.
        group: Some("infer".to_owned()),
        table: None,
        activation: None,
    };
    let input = networks.load()?.remove(0)?;
    let (group, repaired) = (&input.group, input.repaired.unwrap_or(0));
    let pairs = group.order() * group.order();
    println!("1. Which group is it?\n");
    println!(
        "The largest logits of {} on {pairs} inputs are a multiplication table ({} repaired): the group is {}, of order {}.",
        network.display(),
        match repaired {
            0 => "no entry had to be".to_owned(),
            count => format!("{count} entries were"),
        },
        group.name(),
        group.order()
    );
    println!("Read off in {}.\n", terminal::seconds(start.elapsed().as_secs_f64()));

    println!("2. How does it multiply?\n");
    let mut explainer = Explainer::default();
    let (verified, errors) = verify::verify(&input, &Verifier::ALL, &mut explainer);
    if let Some(error) = errors.into_iter().next() {
        return Err(error);
    }
    let start = Instant::now();
    let irreps = explainer.irreps(&input.group.clone())?;
    let explained = Explained::new(input, irreps, start)?;
    println!("{}", explained.text(irreps, false));
    write(
        &out.join("explanation.json"),
        explained.json(irreps).to_string().as_bytes(),
    )?;

    println!("3. How well, provably?\n");
    print!("{}", verify::table(std::slice::from_ref(&verified)));
    write(
        &out.join("verification.json"),
        serde_json::to_string(&verified)?.as_bytes(),
    )?;
    println!(
        "\nWritten to {}: network.safetensors, explanation.json, verification.json.\n\
         Next: `rhoset verify FILE...` and `rhoset explain FILE...` do the same to your networks.",
        out.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    fs::write(path, contents).with_context(|| format!("{}: cannot write", path.display()))
}
