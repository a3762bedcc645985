//! Any text as a group spec: read or refused, and what is read is written back the same.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use rhoset::group::Spec;

fuzz_target!(|text: &str| -> Corpus {
    // Files and GAP are outside; what is inside may be at most a few hundred elements, to keep the pace.
    let lower = text.to_ascii_lowercase();
    if lower.contains("table") || lower.contains("small") {
        return Corpus::Reject;
    }
    let Ok(spec) = text.parse::<Spec>() else {
        return Corpus::Keep;
    };
    let again: Spec = spec.to_string().parse().expect("a spec that was written can be read");
    assert_eq!(again, spec);
    Corpus::Keep
});
