//! `rhoset quickstart`: the whole story, from training a network to a proof of its accuracy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Context;
use rhoset::group::spec;
use rhoset::network::file;
use rhoset::train::{Job, Outcome, Progress, TrainConfig, train_all};
use rhoset::verify::Verifier;

use crate::explain::Explained;
use crate::network_input::NetworkArguments;
use crate::terminal;
use crate::verify::{self, Explainer};

/// The whole story: train a network on S5, find which group it multiplies in and how, and prove how well.
#[derive(clap::Args)]
pub(crate) struct QuickstartArguments {
    /// Directory for the network and what was found of it.
    #[arg(long, value_name = "DIR", default_value = "rhoset-quickstart")]
    out: PathBuf,
    /// Take a network that is built into the command instead of training one.
    #[arg(long)]
    fast: bool,
    /// Which network is trained: the seed of its weights and of the pairs that it sees.
    #[arg(long, default_value_t = 0, conflicts_with = "fast")]
    seed: u32,
}

/// Epochs to train for: all networks that were looked at answered every pair by epoch 1000.
const EPOCHS: u64 = 5000;

/// A relu network of 128 neurons, trained with the recipe of Wu et al. 2025 on 40 % of the products in S5, and folded.
const NETWORK: &[u8] = include_bytes!("../data/s5.safetensors");

pub(crate) fn run(arguments: QuickstartArguments) -> anyhow::Result<ExitCode> {
    let out = arguments.out;
    fs::create_dir_all(&out).with_context(|| format!("{}: cannot make this directory", out.display()))?;
    let network = out.join("network.safetensors");
    if arguments.fast {
        write(&network, NETWORK)?;
    } else {
        println!("0. A network learns\n");
        train(&network, arguments.seed)?;
    }

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

/// Trains a network on S5 with the paper's recipe.
fn train(path: &Path, seed: u32) -> anyhow::Result<()> {
    let config = TrainConfig {
        seed: seed.into(),
        epochs: EPOCHS,
        ..TrainConfig::recipe("paper", "S5")?
    };
    let group = spec::parse(&config.group)?;
    let bar = terminal::progress(EPOCHS as usize, "epochs");
    let start = Instant::now();
    let job = Job {
        config,
        group: group.clone(),
        directory: None,
        resume: false,
    };
    let report = |progress: Progress<'_>| bar.set_position(progress.epoch);
    let threads = rayon::current_num_threads();
    let mut summary = train_all(&[job], threads, &AtomicBool::new(false), &report);
    bar.finish_and_clear();
    let Outcome::Finished { network, history } = summary.outcomes.remove(0)? else {
        anyhow::bail!("training with seed {seed} diverged; another --seed may not");
    };
    println!(
        "It saw 40 % of the products in S5 for {EPOCHS} epochs ({}, {:.0} a second) and answers {:.2} % of all inputs;\n\
         its loss on what it saw is {:.4}, on what it did not {:.4}.\n",
        terminal::seconds(start.elapsed().as_secs_f64()),
        summary.steps_per_second,
        100.0 * history.last("accuracy").unwrap_or(f64::NAN),
        history.last("train_loss").unwrap_or(f64::NAN),
        history.last("test_loss").unwrap_or(f64::NAN)
    );
    Ok(file::save(path, &network, Some(&group))?)
}

fn write(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    fs::write(path, contents).with_context(|| format!("{}: cannot write", path.display()))
}
