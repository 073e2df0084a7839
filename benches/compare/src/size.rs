//! Branches: how long one takes to make, and what ten of them cost on disk and in memory.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use bson::rawdoc;

use crate::measure::median;
use crate::servers::{Layout, Pair, Side};
use crate::workload;

/// Branches made per measurement.
const BRANCHES: usize = 101;

/// Measures at 0, a tenth of `documents` and `documents` documents; a Markdown table.
pub(crate) fn branches(documents: usize) -> Result<String> {
    let mut table = String::from(
        "| documents | a branch, median ms | first query on it, ms | the same on main, ms |\n|---:|---:|---:|---:|\n",
    );
    let mut size = String::new();
    for count in [0, documents / 10, documents] {
        let pair = Pair::start(Layout::Beside)?;
        eprintln!("branches at {count} documents");
        workload::load(&pair.argon, count)?;
        let (create, query, main) = create(&pair.argon, count)?;
        writeln!(table, "| {count} | {create:.3} | {query:.3} | {main:.3} |")?;
        if count == documents / 10 {
            size = sizes(&pair, count)?;
        }
    }
    Ok(format!("{table}\n{size}"))
}

/// Median milliseconds to make a branch, for its first query, and for the same query on main.
fn create(side: &Side, documents: usize) -> Result<(f64, f64, f64)> {
    let mut client = side.connect()?;
    if documents == 0 {
        client.run_ok(side.database, &rawdoc! { "createProject": 1 })?;
    }
    let (mut create, mut query, mut main) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..BRANCHES {
        let name = format!("b{n}");
        let start = Instant::now();
        client.run_ok(side.database, &rawdoc! { "createBranch": name.as_str() })?;
        create.push(start.elapsed().as_secs_f64() * 1000.0);
        let find = rawdoc! { "find": "c", "filter": { "_id": i32::try_from(documents / 2)? } };
        let start = Instant::now();
        client.run_ok(&format!("{}~{name}", side.database), &find)?;
        query.push(start.elapsed().as_secs_f64() * 1000.0);
        let start = Instant::now();
        client.run_ok(side.database, &find)?;
        main.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok((median(create), median(query), median(main)))
}

/// What ten branches, each changing one percent, cost beside one copy; and what ten copies cost mongod.
#[expect(clippy::cast_precision_loss, reason = "sizes in MiB")]
fn sizes(pair: &Pair, documents: usize) -> Result<String> {
    workload::load(&pair.mongod, documents)?;
    pair.mongod
        .connect()?
        .run_ok("admin", &rawdoc! { "fsync": 1 })?;
    let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
    let mut rows = String::from("| what | disk, MiB | memory, MiB |\n|---|---:|---:|\n");
    let mut row = |what: &str, side: &Side| -> Result<(u64, u64)> {
        let (disk, memory) = (disk(&side.data_dir)?, memory(side.pid)?);
        writeln!(rows, "| {what} | {:.1} | {:.1} |", mib(disk), mib(memory))?;
        Ok((disk, memory))
    };
    row("mongod, one copy", &pair.mongod)?;
    let one = row("argon, one copy", &pair.argon)?;
    let mut client = pair.argon.connect()?;
    for n in 0..10 {
        let database = format!("{}~b{n}", pair.argon.database);
        let update = rawdoc! { "q": { "_id": { "$gte": i32::try_from(n * documents / 100)?, "$lt": i32::try_from((n + 1) * documents / 100)? } }, "u": { "$inc": { "visits": 1 } }, "multi": true };
        client.run_ok(&database, &rawdoc! { "update": "c", "updates": [update] })?;
    }
    let ten = row(
        "argon, ten branches of it, each with 1 % changed",
        &pair.argon,
    )?;
    let documents_bytes = documents as u64 * workload::document(documents).as_bytes().len() as u64;
    writeln!(
        rows,
        "\nTen branches cost {:.1} % of ten copies on disk and {:.1} % in memory; one copy takes {:.2} times its documents' \
         bytes in memory.",
        100.0 * ten.0 as f64 / (10.0 * one.0 as f64),
        100.0 * ten.1 as f64 / (10.0 * one.1 as f64),
        one.1 as f64 / documents_bytes as f64
    )?;
    Ok(rows)
}

/// Bytes that files below `dir` take on disk.
fn disk(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            disk(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(bytes)
}

/// Resident bytes of a process.
fn memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("no VmRSS")?;
    let kib: u64 = line
        .split_whitespace()
        .nth(1)
        .context("no number")?
        .parse()?;
    Ok(kib * 1024)
}
