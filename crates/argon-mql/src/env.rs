//! What an evaluation needs from outside: time, variables, randomness, and a way to be stopped.

use std::cell::Cell;

use crate::error::Result;
use crate::value::Value;

/// The surroundings of one command's evaluation; created once per command and shared by all its parts.
pub struct Env<'a> {
    /// `$$NOW`: milliseconds since the epoch, fixed for the whole command.
    pub now_ms: i64,
    /// `$$CLUSTER_TIME`: BSON timestamp as (seconds << 32 | increment).
    pub cluster_time: u64,
    /// The command's `let`, by name without `$$`.
    pub variables: Vec<(String, Value)>,
    /// State of the generator behind `$rand` and `$sample`; seeded by the caller.
    pub seed: Cell<u64>,
    /// Answers an error once the command must stop (`maxTimeMS`, `killOp`, shutdown). Called every few hundred
    /// documents and inside loops whose length the client chooses.
    pub check_interrupt: &'a dyn Fn() -> Result<()>,
}

impl Env<'_> {
    /// Surroundings with a fixed time and seed, no variables and no interruption: for tests and constant folding.
    pub fn fixed() -> Env<'static> {
        Env {
            now_ms: 0,
            cluster_time: 0,
            variables: Vec::new(),
            seed: Cell::new(1),
            check_interrupt: &|| Ok(()),
        }
    }

    /// The next pseudo-random 64 bits (SplitMix64: small, seedable, and good enough for sampling).
    pub fn next_random(&self) -> u64 {
        let state = self.seed.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.seed.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
