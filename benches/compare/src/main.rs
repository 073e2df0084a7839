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
use servers::{Layout, Pair, Side};
use workload::Workload;

/// Compares Argon with mongod and prints a table of ratios.
#[derive(Parser)]
struct Arguments {
    /// Documents of the collection that reads and updates run on.
    #[arg(long, default_value_t = 100_000)]
    documents: usize,
    /// Measures branches at this many documents too.
    #[arg(long, default_value_t = 1_000_000)]
    branch_documents: usize,
    /// Measures what takes in a whole collection, or much of it, at this many documents too; 0 leaves that out.
    #[arg(long, default_value_t = 0)]
    large_documents: usize,
    /// Rounds per measurement and server; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Milliseconds per round.
    #[arg(long, default_value_t = 1_000)]
    round_ms: u64,
    /// Only measurements whose name contains this.
    #[arg(long, default_value = "")]
    filter: String,
    /// Measures Argon in front of mongod too: with its log in it, and passing through.
    #[arg(long)]
    upstream: bool,
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
    let documents = arguments.documents;
    println!(
        "{}",
        compare(&arguments, Layout::Beside, documents, |_| true)?
    );
    if arguments.large_documents > 0 {
        let documents = arguments.large_documents;
        let table = compare(&arguments, Layout::Beside, documents, |one| one.large)?;
        println!("{} documents:\n\n{table}", arguments.large_documents);
    }
    if arguments.upstream {
        for layout in [Layout::LogInside, Layout::PassThrough] {
            let table = compare(&arguments, layout, documents, |one| one.upstream)?;
            println!("{table}");
        }
    }
    if !arguments.no_branches {
        println!("{}", size::branches(arguments.branch_documents)?);
    }
    Ok(())
}

/// Runs the workloads that are `wanted` on two fresh servers with a collection of so many documents.
fn compare(
    arguments: &Arguments,
    layout: Layout,
    documents: usize,
    wanted: impl Fn(&Workload) -> bool,
) -> Result<Table> {
    let pair = Pair::start(layout)?;
    eprintln!("loading {documents} documents into both servers");
    workload::load(&pair.mongod, documents)?;
    workload::index(&pair.mongod)?;
    // What is passed through is there already.
    if layout != Layout::PassThrough {
        workload::load(&pair.argon, documents)?;
        workload::index(&pair.argon)?;
    }
    let plan = Plan {
        documents,
        rounds: arguments.rounds,
        round: Duration::from_millis(arguments.round_ms),
        cpu: arguments.cpu,
    };
    let mut table = Table::default();
    for workload in workload::ALL {
        if !workload.name.contains(&arguments.filter) || !wanted(workload) {
            continue;
        }
        eprintln!("{}", workload.name);
        let (mongod, argon) = measure::alternate(&pair, workload, &plan)?;
        let target = workload.target_in(layout);
        table.row(
            &layout.label(workload.name),
            workload.unit,
            mongod,
            argon,
            target,
        );
    }
    Ok(table)
}

/// The two servers' names, in the order of the table's columns.
const NAMES: [&str; 2] = [Side::MONGOD, Side::ARGON];
