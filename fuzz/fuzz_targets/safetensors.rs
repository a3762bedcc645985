//! Any bytes as a network file; most inputs are forced to be safetensors by a header length that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rhoset::network::file;

fuzz_target!(|bytes: &[u8]| {
    let _ = file::load_bytes("fuzz", bytes);
    // The same bytes as header and data of a file whose lengths are right.
    let split = bytes.iter().rposition(|&byte| byte == b'}').map_or(0, |at| at + 1);
    let mut whole = (split as u64).to_le_bytes().to_vec();
    whole.extend_from_slice(bytes);
    let _ = file::load_bytes("fuzz", &whole);
});
