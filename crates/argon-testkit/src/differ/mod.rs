//! The differential tester: random commands on a real `mongod` and on Argon, which must agree.
//!
//! A *round* loads documents and asks many things about them; what each round does follows from
//! the seed, the area's name and the round's number alone. Each answer is compared with types and
//! field order, errors by code and name. The first difference of a round is cut down to the
//! documents, operands and fields it takes, and written as a case file for the recorder.
//!
//! - `random` chooses; a file for each kind of thing makes extended JSON (`document`, `filter`, `stage`, …);
//!   `rounds` puts them together, and [`area`] has the table.
//! - `play` asks both servers and compares; `shrink` cuts down.

mod area;
mod bulk;
mod collation;
mod collection;
mod document;
mod elements;
mod expression;
mod filter;
mod gather;
mod join;
mod pattern;
mod play;
mod projection;
mod random;
mod rounds;
mod shrink;
mod stage;
mod time;
mod update;
mod wide;
mod window;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};
use bson::raw::RawDocumentBuf;

use area::{AREAS, Area};
use play::{Ask, Difference, Pair};

use crate::case::json;
use crate::case::suite::Subject;

/// Connections to each server that play rounds at the same time.
const JOBS: usize = 4;

/// Areas that have not been compared on a branch of the engine `prefix` yet, where they are played by name only.
const ONLY_ARGON: &[&str] = &[
    "arrayFilters",
    "bulk",
    "capped",
    "collections",
    "convert",
    "date",
    "hint",
    "indexWrites",
    "join",
    "regex",
    "types",
    "validator",
    "view",
    "window",
];

/// What to play.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where all choices come from.
    pub seed: u64,
    /// How many cases of each area; `None` plays the fixed set.
    pub cases: Option<usize>,
    /// The only area to play; `None` plays all.
    pub area: Option<String>,
    /// The folder that case files of differences go to.
    pub out: PathBuf,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Cases played and rounds that differ, by area.
    pub areas: BTreeMap<&'static str, (usize, usize)>,
    /// What differs, cut down, with the path of its case file.
    pub differences: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(f, "{difference}")?;
        }
        for (area, (cases, differ)) in &self.areas {
            writeln!(f, "{area}: {cases} cases, {differ} rounds differ")?;
        }
        for area in AREAS.iter().filter(|area| area.cases == 0) {
            writeln!(f, "{}: not in the fixed set: {}", area.name, area.open)?;
        }
        let cases: usize = self.areas.values().map(|(cases, _)| cases).sum();
        write!(
            f,
            "{cases} cases played, {} differences",
            self.differences.len()
        )
    }
}

/// Plays `plan` on the servers at `mongod` and `argon`, of which `subject` says what it is.
///
/// # Errors
/// If there is no such area, or a server goes away.
pub fn run(
    mongod: SocketAddr,
    argon: SocketAddr,
    subject: Subject,
    plan: &Plan,
) -> Result<Outcome> {
    let areas: Vec<&Area> = AREAS
        .iter()
        .filter(|area| match &plan.area {
            Some(name) => area.name == name,
            None => {
                let elsewhere = subject == Subject::Prefix && ONLY_ARGON.contains(&area.name);
                area.cases > 0 && !elsewhere
            }
        })
        .collect();
    ensure!(
        !areas.is_empty(),
        "no area {:?}; there are {}",
        plan.area,
        names()
    );
    let mut rounds = Vec::new();
    for area in areas {
        let (wanted, mut have, mut index) = (plan.cases.unwrap_or(area.cases), 0, 0);
        while have < wanted {
            have += area.round(plan.seed, index).cases;
            rounds.push((area, index));
            index += 1;
        }
    }
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new(Outcome::default());
    thread::scope(|scope| {
        let workers: Vec<_> = (0..JOBS)
            .map(|worker| {
                let (next, outcome, rounds) = (&next, &outcome, &rounds);
                scope.spawn(move || -> Result<()> {
                    let mut pair = Pair::connect(mongod, argon, subject, worker)?;
                    while let Some((area, index)) = rounds.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let (cases, difference) = round(&mut pair, area, *index, plan)
                            .with_context(|| format!("{} {} {index}", area.name, plan.seed))?;
                        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
                        let count = outcome.areas.entry(area.name).or_default();
                        count.0 += cases;
                        count.1 += usize::from(difference.is_some());
                        outcome.differences.extend(difference);
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker panicked"))?
        })
    })?;
    let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.differences.sort();
    Ok(outcome)
}

fn names() -> String {
    let names: Vec<&str> = AREAS.iter().map(|area| area.name).collect();
    names.join(", ")
}

/// Plays a round and tells what differs, cut down and written to a file.
fn round(pair: &mut Pair, area: &Area, index: u64, plan: &Plan) -> Result<(usize, Option<String>)> {
    let script = area.round(plan.seed, index);
    let asks = Ask::all(&script)?;
    let Some(first) = pair.play(&asks)? else {
        return Ok((script.cases, None));
    };
    let (asks, difference) = shrink::shrink(pair, &asks, first)?;
    let name = format!("{}-{}-{index}", area.name, plan.seed);
    let path = plan.out.join(format!("{name}.case"));
    write_case(&path, &name, &asks)?;
    Ok((
        script.cases,
        Some(describe(&name, &path, &asks, &difference)?),
    ))
}

/// Writes `asks` as a case that the recorder can complete.
fn write_case(path: &Path, name: &str, asks: &[Ask]) -> Result<()> {
    let mut text =
        format!("# Found by the differential tester: {name}.\ndata: empty\n\n== {name}\n");
    for ask in asks {
        let _ = writeln!(text, "{}", render(ask)?);
    }
    if asks.iter().any(|ask| ask.unordered) {
        text.push_str("unordered\n");
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn describe(name: &str, path: &Path, asks: &[Ask], difference: &Difference) -> Result<String> {
    let mut text = format!("{name}: {}\n", path.display());
    for ask in asks {
        let _ = writeln!(text, "    {}", render(ask)?);
    }
    let only = |these: &[String], those: &[String], sign, text: &mut String| {
        for line in these.iter().filter(|line| !those.contains(line)) {
            let _ = writeln!(text, "    {sign} {line}");
        }
    };
    text.push_str("    - mongod   + argon\n");
    only(&difference.mongod, &difference.argon, '-', &mut text);
    only(&difference.argon, &difference.mongod, '+', &mut text);
    Ok(text)
}

fn render(ask: &Ask) -> Result<String> {
    Ok(json::render_document(&RawDocumentBuf::try_from(
        &ask.command,
    )?))
}
