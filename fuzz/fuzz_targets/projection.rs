//! A projection out of any document. `just fuzz projection`

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/argon-mql/tests/fuzz_targets/projection.rs"]
mod target;

fuzz_target!(|bytes: &[u8]| {
    target::run(bytes);
});
