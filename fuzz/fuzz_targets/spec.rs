//! Any text as a group spec: read or refused, and what is read is written back the same.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use rhoset::group::Spec;

fuzz_target!(|text: &str| -> Corpus {
    // Files and GAP are outside.
    let lower = text.to_ascii_lowercase();
    if lower.contains("table") || lower.contains("small") {
        return Corpus::Reject;
    }
    let Ok(spec) = text.parse::<Spec>() else {
        return Corpus::Keep;
    };
    let again: Spec = spec.to_string().parse().expect("a spec that was written can be read");
    // As text: a permutation remembers points that it fixes, which its cycles do not show.
    assert_eq!(again.to_string(), spec.to_string());
    Corpus::Keep
});
