//! Any bytes as a document. `just fuzz document`

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/argon-mql/tests/fuzz_targets/document.rs"]
mod target;

fuzz_target!(|bytes: &[u8]| {
    target::run(bytes);
});
