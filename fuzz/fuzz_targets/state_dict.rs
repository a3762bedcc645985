//! Any bytes as a zip archive of torch.save.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rhoset::network::file;

fuzz_target!(|bytes: &[u8]| {
    let _ = file::load_bytes("fuzz", &[b"PK\x03\x04", bytes].concat());
});
