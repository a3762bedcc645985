//! Any bytes as a legacy PyTorch file, and as the object in one: a pickle that is data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rhoset::network::file;

/// Magic number, protocol version 1001 and an empty description of the system, each a pickle.
const START: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";

fuzz_target!(|bytes: &[u8]| {
    let _ = file::load_bytes("fuzz", &[START, bytes].concat());
});
