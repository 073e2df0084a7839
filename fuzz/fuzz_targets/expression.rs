//! An expression out of any document. `just fuzz expression`

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/argon-mql/tests/fuzz_targets/expression.rs"]
mod target;

fuzz_target!(|bytes: &[u8]| {
    target::run(bytes);
});
