//! Tests of the whole: the binary from outside, and the source tree itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod layering;
mod licenses;
mod metadata;
mod tidy;
