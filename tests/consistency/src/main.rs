//! Breaks a deployment of several servers at random and proves from its clients' histories that nothing was lost, doubled
//! or stale.
//!
//! ```text
//! clients ──▶ three servers ──▶ links that can be cut ──▶ a replica set of three
//!    │            ▲ killed, paused, restarted                ▲ stepped down, killed, paused
//!    └─▶ histories ──▶ check, with what is there in the end
//! ```
//!
//! `argon-consistency --seed 7 --seconds 600` repeats the choices of a run; what the machine does with them differs.

mod action;
mod aftermath;
mod check;
mod client;
mod cluster;
mod faults;
mod history;
mod session;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Parser;

use client::{DATABASES, Worker};
use cluster::{Cluster, Mode};
use faults::log;
use history::{Clock, Event, Outcome};
use session::Directory;

#[derive(Debug, Parser)]
#[command(about = "Proves that servers which are killed, paused and cut off lose nothing")]
struct Args {
    /// What decides the clients' choices and what goes wrong [default: a new one]
    #[arg(long)]
    seed: Option<u64>,
    /// For how long things go wrong
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// How many clients there are
    #[arg(long, default_value_t = 16)]
    clients: usize,
    /// The longest that one thing is wrong, in seconds
    #[arg(long, default_value_t = 5)]
    fault_seconds: u64,
    /// What is under test
    #[arg(long, value_enum, default_value_t = Mode::Strong)]
    mode: Mode,
    /// How many servers there are over the replica set
    #[arg(long, default_value_t = 3)]
    servers: usize,
    /// Where the histories go if something is wrong
    #[arg(long, default_value = "target/consistency.jsonl")]
    out: PathBuf,
}

/// How much of what is wrong is shown; the rest is in the histories.
const SHOWN_MAX: usize = 20;

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(rand::random);
    log(format_args!("seed {seed}"));
    let directory = Directory::default();
    let cluster = Cluster::start(args.mode, args.servers, directory.clone())?;
    aftermath::prepare(&cluster)?;

    let clock = Clock::start();
    let end = Instant::now() + Duration::from_secs(args.seconds);
    let stop = &AtomicBool::new(false);
    let (events, faults) = thread::scope(|scope| {
        let workers: Vec<_> = (0..args.clients)
            .map(|id| {
                let worker = Worker::new(id, seed, args.mode, directory.clone(), clock);
                scope.spawn(move || worker.run(stop))
            })
            .collect();
        let longest = Duration::from_secs(args.fault_seconds);
        let faults = faults::run(&cluster, seed, clock, end, longest);
        stop.store(true, Ordering::Relaxed);
        let mut events = Vec::new();
        for worker in workers {
            events.extend(worker.join().map_err(|_| anyhow!("a client panicked"))?);
        }
        anyhow::Ok((events, faults?))
    })?;

    let mut wrong = Vec::new();
    let mut client = aftermath::connect(&cluster, 0)?;
    for database in DATABASES {
        let contents = aftermath::contents(&mut client, database)?;
        let events: Vec<&Event> = events
            .iter()
            .filter(|event| event.database == database)
            .collect();
        wrong.extend(
            check::check(args.mode, &events, &contents)
                .into_iter()
                .map(|what| format!("{database}: {what}")),
        );
    }
    drop(client);
    let same = aftermath::compare_servers(&cluster);
    wrong.extend(same.err().map(|error| format!("{error:#}")));
    match aftermath::check_store(&cluster) {
        Ok(what) => log(format_args!("{what}")),
        Err(error) => wrong.push(format!("the store: {error:#}")),
    }
    summary(&events, faults);
    if wrong.is_empty() {
        log(format_args!("all is well"));
        return Ok(ExitCode::SUCCESS);
    }
    keep(&events, &args.out)?;
    for what in wrong.iter().take(SHOWN_MAX) {
        log(format_args!("WRONG: {what}"));
    }
    log(format_args!(
        "{} things are wrong; --mode {:?} --seed {seed} repeats the run, and its histories are in {}",
        wrong.len(),
        args.mode,
        args.out.display()
    ));
    Ok(ExitCode::FAILURE)
}

fn summary(events: &[Event], faults: usize) {
    let count = |is: fn(&Outcome) -> bool| events.iter().filter(|event| is(&event.outcome)).count();
    log(format_args!(
        "{faults} faults; {} actions: {} answered, {} refused, {} unknown",
        events.len(),
        count(|outcome| matches!(
            outcome,
            Outcome::Done | Outcome::Number(_) | Outcome::List(_) | Outcome::Lists(_)
        )),
        count(|outcome| matches!(outcome, Outcome::Refused(_))),
        count(|outcome| matches!(outcome, Outcome::Unknown(_))),
    ));
}

/// Writes the histories, an event a line.
fn keep(events: &[Event], path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut events: Vec<&Event> = events.iter().collect();
    events.sort_unstable_by_key(|event| event.start);
    let lines: Vec<String> = events
        .iter()
        .map(serde_json::to_string)
        .collect::<Result<_, _>>()?;
    std::fs::write(path, lines.join("\n") + "\n").with_context(|| path.display().to_string())
}
