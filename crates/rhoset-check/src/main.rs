//! Checks a certificate against the weights that it speaks of; shares no code with the rest of rhoset.

fn main() -> std::process::ExitCode {
    eprintln!("rhoset-check: no certificate format exists yet");
    std::process::ExitCode::from(2)
}
