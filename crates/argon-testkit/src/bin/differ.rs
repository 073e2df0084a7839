//! Compares a deployment with a real `mongod` on random commands:
//! `differ [--subject KIND] [--seed N] [--cases N] [--area NAME] [--out FOLDER]`.
//!
//! Without arguments it plays the fixed set that CI runs, on Argon. `--cases` counts for each area.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use argon_testkit::deployment::{self, Deployment};
use argon_testkit::differ::{self, Plan};
use argon_testkit::mongod::{Mongod, Options};

/// The seed of the fixed set.
const SEED: u64 = 1;

fn main() -> Result<ExitCode> {
    let mut plan = Plan {
        seed: SEED,
        cases: None,
        area: None,
        out: env::current_dir()?.join("target/differ"),
    };
    let mut kind = deployment::find("argon")?;
    let mut args = env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args
            .next()
            .with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--subject" => kind = deployment::find(&value)?,
            "--seed" => plan.seed = value.parse().context("--seed is a number")?,
            "--cases" => plan.cases = Some(value.parse().context("--cases is a number")?),
            "--area" => plan.area = Some(value),
            "--out" => plan.out = value.into(),
            _ => bail!(
                "usage: differ [--subject KIND] [--seed N] [--cases N] [--area NAME] [--out FOLDER]"
            ),
        }
    }
    let mongod = Mongod::start(Options {
        replica_set: false,
        volatile: true,
    })?;
    let deployment = Deployment::start(kind)?;
    let outcome = differ::run(mongod.addr(), deployment.addr(), kind.subject, &plan)?;
    eprintln!("seed {} on {}\n{outcome}", plan.seed, kind.name);
    Ok(if outcome.differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
