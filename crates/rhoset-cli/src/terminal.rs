//! What commands say to a terminal: progress, units, and output that a closed pipe ends quietly.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar on stderr over `length` things, silent where stderr is no terminal or there is only one thing.
pub(crate) fn progress(length: usize, things: &'static str) -> ProgressBar {
    if length < 2 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {eta} left").expect("a valid template");
    let bar = ProgressBar::new(length as u64).with_style(style).with_message(things);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Prints to stdout; where nobody reads it any more, ends the process quietly as other tools do.
pub(crate) fn print(text: fmt::Arguments) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_fmt(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result,
    }
}

/// A time with three digits and its unit: `3.45 ms`.
pub(crate) fn seconds(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 1.0 => (s, "s"),
        s if s >= 1e-3 => (s * 1e3, "ms"),
        s => (s * 1e6, "us"),
    };
    match value {
        v if v >= 100.0 => format!("{v:.0} {unit}"),
        v if v >= 10.0 => format!("{v:.1} {unit}"),
        v => format!("{v:.2} {unit}"),
    }
}
