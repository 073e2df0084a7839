//! `argon import` of a database, beside what a mongod takes for inserting the same documents.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use argon_testkit::server;

use crate::measure::{Table, median};
use crate::servers::{Layout, Pair, Side};
use crate::workload;

/// The ratio to reach.
const TARGET: f64 = 0.7;

/// Documents a second of both, the indexes included, in the median of so many `rounds`.
///
/// mongod gets its documents, made beforehand, in batches of 1,000 on one connection; the import reads them from that mongod,
/// so the two servers share the machine, and compares what it wrote with what it read.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(crate) fn compare(documents: usize, rounds: usize) -> Result<Table> {
    let pair = Pair::start(Layout::Beside)?;
    workload::load(&pair.mongod, documents)?;
    workload::index(&pair.mongod, pair.mongod.database)?;
    let (mut inserted, mut imported) = (Vec::new(), Vec::new());
    for round in 0..rounds.max(1) {
        eprintln!("import, round {round}");
        let made = (0..documents).map(workload::document).collect::<Vec<_>>();
        let database = format!("inserted{round}");
        let start = Instant::now();
        workload::insert_all(&pair.mongod, &database, &made)?;
        workload::index(&pair.mongod, &database)?;
        inserted.push(documents as f64 / start.elapsed().as_secs_f64());
        drop(made);

        let start = Instant::now();
        import(&pair, &format!("imported{round}"))?;
        imported.push(documents as f64 / start.elapsed().as_secs_f64());
    }
    let mut table = Table::default();
    let name = format!("import of {documents} documents");
    table.row(
        &name,
        "documents/s",
        median(inserted),
        median(imported),
        TARGET,
    );
    Ok(table)
}

fn import(pair: &Pair, project: &str) -> Result<()> {
    let uri = |side: &Side| format!("mongodb://{}/", side.addr);
    let output = Command::new(server::binary()?)
        .args(["import", "--uri", &uri(&pair.mongod)])
        .args(["--database", pair.mongod.database])
        .args(["--to", &uri(&pair.argon), "--project", project])
        .stdin(Stdio::null())
        .output()
        .context("starting argon import")?;
    ensure!(
        output.status.success(),
        "the import failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
