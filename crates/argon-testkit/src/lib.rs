//! What Argon's tests and benchmarks share: case files, the recorder, launchers and a raw client.
//!
//! A *case* is a MongoDB command document with the answer a real `mongod` gave to it. [`case`]
//! reads and writes case files, runs them against any server that speaks the wire protocol and
//! compares. [`mongod`] (or a [`replica_set`] of them) and [`server`] start the two servers, a
//! [`network`] between them and their clients fails on demand, a [`deployment`] is what cases are played on, [`client`] talks to either without
//! retries or other manners of a driver, so that a test sees exactly what was on the wire.
//!
//! This crate is a development dependency only; nothing of it is in the product.

pub mod case;
pub mod catalogue;
pub mod client;
pub mod deployment;
pub mod differ;
pub mod mongod;
pub mod network;
mod process;
pub mod replica_set;
pub mod server;

use std::path::PathBuf;

/// Returns the root folder of the workspace this crate was compiled in.
#[must_use]
pub fn workspace_root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
