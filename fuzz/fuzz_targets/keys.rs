//! An index, a sort order and a collation out of any document. `just fuzz keys`

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/argon-mql/tests/fuzz_targets/keys.rs"]
mod target;

fuzz_target!(|bytes: &[u8]| {
    target::run(bytes);
});
