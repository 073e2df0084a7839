//! Compares Argon with a real `mongod` on random commands:
//! `differ [--seed N] [--cases N] [--area NAME] [--out FOLDER]`.
//!
//! Without arguments it plays the fixed set that CI runs. `--cases` counts for each area.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use argon_testkit::differ::{self, Plan};
use argon_testkit::mongod::{Mongod, Options};
use argon_testkit::server;
use tempfile::TempDir;

/// The seed of the fixed set.
const SEED: u64 = 1;

fn main() -> Result<ExitCode> {
    let mut plan = Plan {
        seed: SEED,
        cases: None,
        area: None,
        out: env::current_dir()?.join("target/differ"),
    };
    let mut args = env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args
            .next()
            .with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--seed" => plan.seed = value.parse().context("--seed is a number")?,
            "--cases" => plan.cases = Some(value.parse().context("--cases is a number")?),
            "--area" => plan.area = Some(value),
            "--out" => plan.out = value.into(),
            _ => bail!("usage: differ [--seed N] [--cases N] [--area NAME] [--out FOLDER]"),
        }
    }
    let mongod = Mongod::start(Options {
        replica_set: false,
        volatile: true,
    })?;
    let data = volatile_folder()?;
    let argon =
        server::Argon::start_with(&server::binary()?, Some(&data.path().join("data")), &[])?;
    let outcome = differ::run(mongod.addr(), argon.addr(), &plan)?;
    eprintln!("seed {}\n{outcome}", plan.seed);
    Ok(if outcome.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A folder in memory where the system has one: nothing here has to last.
fn volatile_folder() -> Result<TempDir> {
    let memory = std::path::Path::new("/dev/shm");
    Ok(if memory.is_dir() {
        TempDir::with_prefix_in("argon-differ-", memory)?
    } else {
        TempDir::with_prefix("argon-differ-")?
    })
}
