//! Tests of the whole: the binary from outside, and the source tree itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases;
mod command_line;
mod crash;
mod disk_full;
mod handshake;
mod import;
mod layering;
mod licenses;
mod malformed;
mod metadata;
mod operators;
mod prefix;
mod proxies;
mod startup;
mod steps;
mod tidy;
mod upstream;
