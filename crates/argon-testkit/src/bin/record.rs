//! Records case files from a real `mongod`: `record [part of a path]`.

use std::env;

use anyhow::{Result, ensure};
use argon_testkit::case::{self, suite};
use argon_testkit::mongod::{Mongod, Options};

fn main() -> Result<()> {
    let filter = env::args().nth(1).unwrap_or_default();
    let root = case::root();
    let files = suite::find(&root, &filter)?;
    ensure!(!files.is_empty(), "no case file has {filter:?} in its path");
    let mongod = Mongod::start(Options {
        replica_set: true,
        volatile: true,
    })?;
    let changed = suite::record(mongod.addr(), &root, &files)?;
    eprintln!("{} files recorded, {changed} changed", files.len());
    Ok(())
}
