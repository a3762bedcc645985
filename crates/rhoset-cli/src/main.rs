//! The `rhoset` command: one module per subcommand, each with its arguments and a `run`.
//!
//! Exit codes: 0 all is well, 2 bad input or usage (also when one file of many was bad), 1 anything else,
//! 130 interrupted.

mod convert;
mod explain;
mod group;
mod network_input;
mod terminal;
mod verify;

use clap::{Parser, Subcommand};

/// Reverse-engineer networks that multiply in finite groups, and prove their accuracy.
#[derive(Parser)]
#[command(name = "rhoset", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::ConvertArguments),
    Explain(explain::ExplainArguments),
    Group(group::GroupArguments),
    Verify(verify::VerifyArguments),
}

fn main() -> std::process::ExitCode {
    let result = match Arguments::parse().command {
        Command::Convert(arguments) => convert::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Group(arguments) => group::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::from(2)
        }
    }
}
