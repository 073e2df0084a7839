//! Argon and mongod side by side, in one run, on one machine, with one client: the numbers of `docs/performance.md`.
//!
//! Each measurement alternates between the two servers in rounds, so that what else the machine does falls on both, and
//! takes the median round of each. Replies are checked. The client is the test kit's: one blocking socket, no driver.

mod copies;
mod import;
mod measure;
mod servers;
mod size;
mod workload;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use measure::{Plan, Table};
use servers::{Layout, Pair, Side};
use workload::Workload;

/// Compares Argon with mongod and prints a table of ratios.
#[derive(Parser)]
struct Arguments {
    /// Only these parts.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "beside,large,branches"
    )]
    parts: Vec<Part>,
    /// Documents of the collection that reads and updates run on, and that is imported.
    #[arg(long, default_value_t = 100_000)]
    documents: usize,
    /// Documents of the collections that branches are made of.
    #[arg(long, default_value_t = 1_000_000)]
    branch_documents: usize,
    /// Documents for the part `large`, which 0 leaves out, and for `copies`.
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
    /// Only measurements on so many connections.
    #[arg(long, value_delimiter = ',')]
    connections: Vec<usize>,
    /// Counts operations per second of the server's processor time, not of the clock: what is left to compare on a
    /// machine that is busy with other things. Waiting for the disk costs nothing then.
    #[arg(long)]
    cpu: bool,
}

/// What can be measured by itself.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Both servers side by side.
    Beside,
    /// What takes in a whole collection, or much of it, on a large one.
    Large,
    /// Argon in front of mongod, with its log in it.
    LogInside,
    /// Argon in front of mongod, passing a database through.
    PassThrough,
    /// Argon in front of mongod, with a branch of the prefix engine.
    Prefix,
    /// Importing a database, beside inserting its documents.
    Import,
    /// Branches of both engines: how long one takes to make, and what ten of them cost.
    Copies,
    /// Branches in a log of Argon's own.
    Branches,
}

#[expect(
    clippy::print_stdout,
    reason = "the tables are what this program is for"
)]
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let documents = arguments.documents;
    let large = arguments.large_documents;
    for part in &arguments.parts {
        let any = |_: &Workload| true;
        let table = match part {
            Part::Beside => compare(&arguments, Layout::Beside, documents, any)?.to_string(),
            Part::LogInside => compare(&arguments, Layout::LogInside, documents, any)?.to_string(),
            Part::PassThrough => {
                compare(&arguments, Layout::PassThrough, documents, any)?.to_string()
            }
            Part::Prefix => compare(&arguments, Layout::Prefix, documents, any)?.to_string(),
            Part::Import => import::compare(documents, arguments.rounds)?.to_string(),
            Part::Branches => size::branches(arguments.branch_documents)?,
            Part::Copies => copies::compare(if large == 0 { documents } else { large })?,
            Part::Large if large == 0 => continue,
            Part::Large => {
                let table = compare(&arguments, Layout::Beside, large, |one| one.large)?;
                format!("{large} documents:\n\n{table}")
            }
        };
        println!("{table}");
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
    eprintln!("loading {documents} documents");
    workload::load(&pair.mongod, documents)?;
    workload::index(&pair.mongod, pair.mongod.database)?;
    match layout {
        Layout::Beside | Layout::LogInside => {
            workload::load(&pair.argon, documents)?;
            workload::index(&pair.argon, pair.argon.database)?;
        }
        // It is there already.
        Layout::PassThrough => {}
        Layout::Prefix => pair.copy(servers::COPY)?,
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
        for &connections in workload.connections(layout) {
            if !arguments.connections.is_empty() && !arguments.connections.contains(&connections) {
                continue;
            }
            let label = layout.label(workload.name, connections);
            eprintln!("{label}");
            let (mongod, argon) = measure::alternate(&pair, workload, connections, &plan)?;
            let target = workload.target_in(layout);
            table.row(&label, workload.unit, mongod, argon, target);
        }
    }
    Ok(table)
}

/// The two servers' names, in the order of the table's columns.
const NAMES: [&str; 2] = [Side::MONGOD, Side::ARGON];
