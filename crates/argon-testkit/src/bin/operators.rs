//! Writes `docs/operators.md`: `operators`. With `operators names` a real `mongod` is asked for the names it knows first.

use std::env;
use std::fs;

use anyhow::{Result, bail};
use argon_testkit::catalogue::{names, page};
use argon_testkit::workspace_root;

fn main() -> Result<()> {
    match env::args().nth(1).as_deref() {
        None => fs::write(workspace_root().join(page::PATH), page::write()?)?,
        Some("names") => fs::write(workspace_root().join(names::PATH), names::ask()?)?,
        Some(_) => bail!("usage: operators [names]"),
    }
    Ok(())
}
