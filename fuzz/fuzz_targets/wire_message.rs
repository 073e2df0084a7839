//! Any bytes into the wire codec. `just fuzz wire_message`

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/argon-wire/tests/it/invariants.rs"]
mod invariants;

fuzz_target!(|bytes: &[u8]| {
    invariants::check(bytes);
});
