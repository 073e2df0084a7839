//! The codec against what MongoDB does, against every shape of message, and against noise.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

mod bombs;
mod invariants;
mod mongod;
mod mutations;
mod properties;
