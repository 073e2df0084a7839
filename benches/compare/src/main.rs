//! Argon and mongod side by side, in one run, on one machine, with one client: the numbers of `docs/performance.md`.
//!
//! Each measurement alternates between the two servers in rounds, so that what else the machine does falls on both, and
//! takes the median round of each. Replies are checked. The client is the test kit's: one blocking socket, no driver.

mod measure;
mod servers;
mod size;
mod workload;

use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use measure::{Plan, Table};
use servers::{Pair, Side};

/// Compares Argon with mongod and prints a table of ratios.
#[derive(Parser)]
struct Arguments {
    /// Documents of the collection that reads and updates run on.
    #[arg(long, default_value_t = 100_000)]
    documents: usize,
    /// Measures branches at this many documents too.
    #[arg(long, default_value_t = 1_000_000)]
    branch_documents: usize,
    /// Rounds per measurement and server; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds per round.
    #[arg(long, default_value_t = 1_000)]
    round_ms: u64,
    /// Only measurements whose name contains this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Counts operations per second of the server's processor time, not of the clock: what is left to compare on a
    /// machine that is busy with other things. Waiting for the disk costs nothing then.
    #[arg(long)]
    cpu: bool,
    /// Leaves out the measurements of size and of branches.
    #[arg(long)]
    no_branches: bool,
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let pair = Pair::start()?;
    eprintln!(
        "loading {} documents into both servers",
        arguments.documents
    );
    for side in [&pair.mongod, &pair.argon] {
        workload::load(side, "bench", arguments.documents)?;
        workload::index(side, "bench")?;
    }
    let mut table = Table::default();
    for workload in workload::ALL {
        if !workload.name.contains(&arguments.filter) {
            continue;
        }
        eprintln!("{}", workload.name);
        let plan = Plan {
            documents: arguments.documents,
            rounds: arguments.rounds,
            round: Duration::from_millis(arguments.round_ms),
            cpu: arguments.cpu,
        };
        let (mongod, argon) = measure::alternate(&pair, workload, &plan)?;
        table.row(workload.name, workload.unit, mongod, argon, workload.target);
    }
    println!("{table}");
    drop(pair);
    if !arguments.no_branches {
        println!("{}", size::branches(arguments.branch_documents)?);
    }
    Ok(())
}

/// The two servers' names, in the order of the table's columns.
const NAMES: [&str; 2] = [Side::MONGOD, Side::ARGON];
