//! Branches of both engines in one deployment: one that copies, one that points into the log.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context, Result};
use bson::{RawBsonRef, rawdoc};

use crate::measure::median;
use crate::servers::{COPY, Layout, Pair, Side};
use crate::workload;

/// Branches that take up space, each of which changes one document in a hundred.
const BRANCHES: usize = 10;
/// Branches of the log made for the median time.
const POINTERS: usize = 101;

/// Times and sizes at so many documents; two Markdown tables.
pub(crate) fn compare(documents: usize) -> Result<String> {
    let pair = Pair::start(Layout::LogInside)?;
    eprintln!("loading {documents} documents into a database and into a project");
    workload::load(&pair.mongod, documents)?;
    workload::index(&pair.mongod, pair.mongod.database)?;
    workload::load(&pair.argon, documents)?;
    workload::index(&pair.argon, pair.argon.database)?;
    let empty = (
        stored(&pair.mongod, "argon")?,
        stored(&pair.mongod, pair.mongod.database)?,
    );

    let wal = pair.argon.database;
    let mut client = pair.argon.connect()?;
    let mut pointers = Vec::new();
    for n in 0..POINTERS {
        let start = Instant::now();
        client.run_ok(wal, &rawdoc! { "createBranch": format!("b{n}") })?;
        pointers.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    for n in 0..BRANCHES {
        change(&pair, &format!("{wal}~b{n}"), n, documents)?;
    }
    let mut copies = Vec::new();
    for n in 0..BRANCHES {
        eprintln!("copy {n}");
        let name = format!("{COPY}{n}");
        let start = Instant::now();
        pair.copy(&name)?;
        copies.push(start.elapsed().as_secs_f64() * 1000.0);
        change(
            &pair,
            &format!("{}~{name}", pair.mongod.database),
            n,
            documents,
        )?;
    }
    let full = (
        stored(&pair.mongod, "argon")?,
        stored(&pair.mongod, pair.mongod.database)?,
    );

    let (pointer, copy) = (median(pointers), median(copies));
    let mut text = String::from(
        "| documents | prefix branch, median ms | branch of the log, median ms | ratio |\n|---:|---:|---:|---:|\n",
    );
    writeln!(
        text,
        "| {documents} | {copy:.0} | {pointer:.3} | **{:.0}** |\n",
        copy / pointer
    )?;
    text += "| in MongoDB, MiB | prefix | log |\n|---|---:|---:|\n";
    writeln!(text, "| before | {:.1} | {:.1} |", empty.1, empty.0)?;
    writeln!(
        text,
        "| {BRANCHES} branches, each with 1 % changed, more | {:.1} | {:.1} |",
        full.1 - empty.1,
        full.0 - empty.0
    )?;
    Ok(text)
}

/// Changes another hundredth of the documents on each branch `n`.
fn change(pair: &Pair, database: &str, n: usize, documents: usize) -> Result<()> {
    let bound = |n: usize| i32::try_from(n * documents / 100);
    let update = rawdoc! {
        "q": { "_id": { "$gte": bound(n)?, "$lt": bound(n + 1)? } }, "u": { "$inc": { "visits": 1 } }, "multi": true,
    };
    let mut client = pair.argon.connect()?;
    client.run_ok(database, &rawdoc! { "update": "c", "updates": [update] })?;
    Ok(())
}

/// MiB that a database takes on disk with its indexes. Journal and oplog, which are of fixed size, are not counted.
fn stored(mongod: &Side, database: &str) -> Result<f64> {
    let mut client = mongod.connect()?;
    // Files grow with checkpoints.
    client.run_ok("admin", &rawdoc! { "fsync": 1 })?;
    let stats = client.run_ok(database, &rawdoc! { "dbStats": 1, "scale": 1024 })?;
    let kib = match stats.get("totalSize")?.context("no totalSize")? {
        RawBsonRef::Double(kib) => kib,
        other => f64::from(other.as_i32().context("a size that is no number")?),
    };
    Ok(kib / 1024.0)
}
