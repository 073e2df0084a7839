//! Rounds, medians, and the table.

use std::fmt;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::servers::{Pair, Side};
use crate::workload::Workload;

/// How a workload is measured.
pub(crate) struct Plan {
    /// Documents of the collection.
    pub(crate) documents: usize,
    /// Rounds that count, after one that does not.
    pub(crate) rounds: usize,
    pub(crate) round: Duration,
    /// Whether the server's processor time is counted, not the clock's.
    pub(crate) cpu: bool,
}

/// Runs `workload` on so many `connections` to both servers in turns; what each does per second in its median round.
pub(crate) fn alternate(
    pair: &Pair,
    workload: &Workload,
    connections: usize,
    plan: &Plan,
) -> Result<(f64, f64)> {
    let mut mongod = Vec::new();
    let mut argon = Vec::new();
    for at in 0..=plan.rounds {
        let one = |side: &Side| run_round(side, workload, connections, plan, at);
        let (m, a) = (one(&pair.mongod)?, one(&pair.argon)?);
        // The first round warms caches up and is not counted.
        if at > 0 {
            mongod.push(m);
            argon.push(a);
        }
    }
    Ok((median(mongod), median(argon)))
}

/// One round on one server: operations per second over all its connections.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of operations are far below 2^52"
)]
fn run_round(
    side: &Side,
    workload: &Workload,
    connections: usize,
    plan: &Plan,
    at: usize,
) -> Result<f64> {
    let busy = processor_time(side.pid)?;
    let counts: Vec<Result<(u64, Duration)>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|connection| {
                scope.spawn(move || {
                    let mut client = side.connect()?;
                    let mut step = (workload.prepare)(side, plan.documents, connection, at);
                    let start = Instant::now();
                    let mut count = 0;
                    while start.elapsed() < plan.round {
                        count += step(&mut client)
                            .with_context(|| format!("{} on {}", workload.name, side.name))?;
                    }
                    Ok((count, start.elapsed()))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| anyhow::bail!("a client panicked"))
            })
            .collect()
    });
    let busy = processor_time(side.pid)?.saturating_sub(busy);
    let (mut rate, mut total) = (0.0, 0);
    for count in counts {
        let (count, elapsed) = count?;
        rate += count as f64 / elapsed.as_secs_f64();
        total += count;
    }
    Ok(if plan.cpu {
        total as f64 / busy.as_secs_f64()
    } else {
        rate
    })
}

/// What a process has used of the processors so far.
fn processor_time(pid: u32) -> Result<Duration> {
    /// Source: Linux manual, "proc_pid_stat": `utime` and `stime` are in clock ticks, of which Linux shows 100 a second.
    const TICK_MS: u64 = 10;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field, a name, is in parentheses and may hold anything.
    let fields = stat.rsplit_once(')').context("no name")?.1;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse().unwrap_or(0u64))
        .sum();
    Ok(Duration::from_millis(ticks * TICK_MS))
}

/// The middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Measured rows, printed as a Markdown table.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<String>,
}

impl Table {
    pub(crate) fn row(&mut self, name: &str, unit: &str, mongod: f64, argon: f64, target: f64) {
        let ratio = argon / mongod;
        self.rows.push(format!(
            "| {name} | {} | {} | {unit} | **{ratio:.2}** | {target} |",
            thousands(mongod),
            thousands(argon)
        ));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [mongod, argon] = crate::NAMES;
        writeln!(f, "| what | {mongod} | {argon} | unit | ratio | target |")?;
        writeln!(f, "|---|---:|---:|---|---:|---:|")?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        Ok(())
    }
}

/// A number as people read it: three digits that count.
fn thousands(number: f64) -> String {
    match number {
        n if n >= 10_000.0 => format!("{:.1}k", n / 1000.0),
        n if n >= 100.0 => format!("{n:.0}"),
        n => format!("{n:.2}"),
    }
}
