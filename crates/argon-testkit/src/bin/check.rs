//! Compares case files with a live server: `check <kind of deployment> [part of a path]`.

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use argon_testkit::case::{self, suite};
use argon_testkit::deployment::{self, Deployment};

fn main() -> Result<ExitCode> {
    let mut args = env::args().skip(1);
    let kind = deployment::find(&args.next().unwrap_or_default())
        .context("usage: check <kind of deployment> [part of a path]")?;
    let filter = args.next().unwrap_or_default();
    let root = case::root();
    let files = suite::find(&root, &filter)?;
    ensure!(!files.is_empty(), "no case file has {filter:?} in its path");
    let deployment = Deployment::start(kind)?;
    let report = suite::check(deployment.addr(), kind.subject, &root, &files)?;
    eprintln!("{report}");
    Ok(if report.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
