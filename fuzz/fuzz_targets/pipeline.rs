//! A pipeline out of any document. `just fuzz pipeline`

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/argon-mql/tests/fuzz_targets/pipeline.rs"]
mod target;

fuzz_target!(|bytes: &[u8]| {
    target::run(bytes);
});
