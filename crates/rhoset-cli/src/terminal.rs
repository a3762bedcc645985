//! How commands speak: progress, units, and an end with the pipe that they write to.

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

/// Lets a closed pipe (`rhoset verify ... | head -1`) end the process, as it ends other tools, instead of a panic.
pub(crate) fn end_with_a_closed_pipe() {
    // Sound: called before any thread is started, and the default action needs no handler.
    #[cfg(unix)]
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
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
