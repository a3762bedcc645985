//! Any bytes as a certificate of a small network: refused, or true, by both programs.
#![no_main]

use std::num::NonZeroUsize;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rhoset::group::Group;
use rhoset::network::{Folded, Network, file};
use rhoset::verify::certificate::{Certificate, file_hash};
use rhoset::verify::{brute, loss};

const WEIGHTS: &[u8] = include_bytes!("../../crates/rhoset-check/tests/data/s3-wrong.safetensors");

/// The network, and what is true of it.
struct Truth {
    network: Network,
    folded: Folded,
    group: Group,
    right: usize,
    loss: f64,
}

fuzz_target!(|bytes: &[u8]| {
    static TRUTH: OnceLock<Truth> = OnceLock::new();
    let truth = TRUTH.get_or_init(|| {
        let loaded = file::load_bytes("s3.safetensors", WEIGHTS).expect("a network").remove(0);
        let (network, group) = (loaded.network, loaded.group.expect("its group"));
        let folded = network.fold();
        let right = brute::verify(&network, &folded, &group).certified_pairs;
        let loss = loss::evaluate(&folded, &group).cross_entropy_bound;
        Truth { network, folded, group, right, loss }
    });
    let count = |claimed: usize| assert!(claimed <= truth.right, "{claimed}");
    let bound = |claimed: Option<f64>| assert!(claimed.is_none_or(|claimed| claimed > truth.loss - 1e-9), "{claimed:?}");
    if let Ok(proof) = rhoset_check::check(WEIGHTS, bytes, None, NonZeroUsize::MIN) {
        for (name, claimed) in &proof.claimed {
            match (name.as_str(), claimed.as_f64()) {
                (_, None) => assert!(claimed.is_null()),
                ("pairs", Some(pairs)) => assert_eq!(pairs, 36.0),
                (name, loss) if name.ends_with("_bound") => bound(loss),
                (_, Some(pairs)) => count(pairs.ceil() as usize),
            }
        }
    }
    if let Ok(certificate) = Certificate::parse(bytes)
        && certificate.check(&file_hash(WEIGHTS), &truth.network, &truth.folded, &truth.group).is_ok()
    {
        let claims = certificate.claims;
        [claims.certified_pairs, claims.explained_pairs, claims.circuit_pairs, claims.gap_pairs, claims.float32_pairs].map(count);
        [claims.cross_entropy_bound, claims.explained_cross_entropy_bound].map(bound);
    }
});
