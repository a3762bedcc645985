//! The `rhoset` command: one module per subcommand, each with its arguments and a `run`.
//!
//! Exit codes: 0 all is well, 2 bad input or usage (also when one file of many was bad), 1 anything else,
//! 130 interrupted.

mod convert;
mod explain;
mod group;
mod group_names;
mod measure;
mod network_input;
mod quickstart;
mod report;
mod reproduce;
mod source;
mod terminal;
mod train;
mod verify;

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;

use anyhow::Context;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

/// Verifiers take a fraction of a millisecond: the system's allocator spends as long on giving memory back and asking for
/// it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Reverse-engineer networks that multiply in finite groups, and prove their accuracy.
#[derive(Parser)]
#[command(name = "rhoset", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Threads to use. Default: all.
    #[arg(long, global = true, value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Say on stderr what is being done; twice: in detail.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

#[derive(Subcommand)]
enum Command {
    Completions(Completions),
    Convert(convert::ConvertArguments),
    Explain(explain::ExplainArguments),
    Group(group::GroupArguments),
    Measure(measure::MeasureArguments),
    Quickstart(quickstart::QuickstartArguments),
    Report(report::ReportArguments),
    Reproduce(reproduce::ReproduceArguments),
    Train(Box<train::TrainArguments>),
    Verify(verify::VerifyArguments),
}

/// Print completions for a shell: `rhoset completions bash > /etc/bash_completion.d/rhoset`.
#[derive(clap::Args)]
struct Completions {
    /// The shell.
    shell: clap_complete::Shell,
}

fn main() -> std::process::ExitCode {
    terminal::end_with_a_closed_pipe();
    run(Arguments::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        std::process::ExitCode::from(2)
    })
}

fn run(arguments: Arguments) -> anyhow::Result<std::process::ExitCode> {
    log(arguments.verbose);
    if let Some(threads) = arguments.threads {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.get())
            .build_global()
            .with_context(|| format!("--threads {threads}"))?;
    }
    match arguments.command {
        Command::Completions(Completions { shell }) => {
            clap_complete::generate(shell, &mut Arguments::command(), "rhoset", &mut io::stdout());
            Ok(std::process::ExitCode::SUCCESS)
        }
        Command::Convert(arguments) => convert::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Group(arguments) => group::run(arguments),
        Command::Measure(arguments) => measure::run(arguments),
        Command::Quickstart(arguments) => quickstart::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Reproduce(arguments) => reproduce::run(arguments),
        Command::Train(arguments) => train::run(*arguments),
        Command::Verify(arguments) => verify::run(arguments),
    }
}

/// Sends what rhoset says of its work to stderr, in colour where that is a terminal and `NO_COLOR` is not set.
fn log(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !no_colour)
        .with_target(false)
        .without_time()
        .init();
}
