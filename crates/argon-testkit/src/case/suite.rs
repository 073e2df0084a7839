//! Plays many case files: compares them with their recordings, or records them.

use std::fmt::{self, Write as _};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, ensure};

use super::data::DataSets;
use super::file::{CaseFile, Step};
use super::run::run;
use crate::client::Client;
use crate::mongod;

/// Connections that play files at the same time.
const JOBS: usize = 4;
/// Longest lists of lines that are compared line by line.
const DIFF_LINES_MAX: usize = 2_000;

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The real server: every recording must be what it says.
    Mongod,
    /// Argon: equal, except where a step says `differs`.
    Argon,
    /// A branch of the engine `prefix`: equal, because it is the real server that answers behind it.
    Prefix,
}

/// What came of playing files.
#[derive(Debug, Default)]
pub struct Report {
    /// Number of files.
    pub files: usize,
    /// Number of steps that were as expected.
    pub passed: usize,
    /// What was not: file, line, title and difference.
    pub failures: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "{failure}")?;
        }
        let failed = self.failures.len();
        write!(
            f,
            "{} steps passed, {failed} failed in {} files",
            self.passed, self.files
        )
    }
}

/// Reads the case files below `root` whose path contains `filter`, in order.
///
/// Paths start at `root`, with a `/`: the filter `/expr/` chooses a folder.
///
/// A file that cannot be parsed is a failure of its own; the others are still played.
///
/// # Errors
/// If the folder cannot be read.
pub fn find(root: &Path, filter: &str) -> Result<Vec<Result<CaseFile>>> {
    let mut names = Vec::new();
    collect(root, "", &mut names)?;
    names.retain(|name| format!("/{name}").contains(filter));
    names.sort();
    Ok(names.into_iter().map(|name| read(root, &name)).collect())
}

/// Steps that say nothing of a branch of the engine `prefix`: file, title (all of them if empty), and why.
const NOT_ON_PREFIX: &[(&str, &str, &str)] = &[
    ("branch/", "", "about branches in the log"),
    (
        "command/administration.case",
        "the profiler is off",
        "the profiler is the whole database's",
    ),
    (
        "command/collection_names.case",
        "renaming from and to such names",
        "names of the system are refused before mongod sees them",
    ),
    ("command/db_hash.case", "", "it is the whole database's"),
    (
        "command/diagnostic.case",
        "currentOp with a filter that nothing passes",
        "it tells of the upstream, too",
    ),
    (
        "command/drop_system.case",
        "",
        "collections of the system are the whole database's",
    ),
    (
        "command/explain.case",
        "a command that cannot be explained",
        "commands that name nothing are not known there",
    ),
    (
        "command/rebuild.case",
        "compact a system collection",
        "collections of the system are the whole database's",
    ),
    (
        "command/slow_log.case",
        "",
        "the profiler is the whole database's",
    ),
    (
        "stage/refused.case",
        "",
        "stages of servers among themselves are refused before mongod sees them",
    ),
];

fn is_about_prefix(file: &str, title: &str) -> bool {
    !NOT_ON_PREFIX
        .iter()
        .any(|(name, step, _)| file.starts_with(name) && (step.is_empty() || *step == title))
}

/// Plays `files` on the server at `addr` and compares the answers with the recordings.
///
/// # Errors
/// If the data sets cannot be read.
pub fn check(
    addr: SocketAddr,
    subject: Subject,
    root: &Path,
    files: &[Result<CaseFile>],
) -> Result<Report> {
    let data = DataSets::load(&root.join("data"))?;
    let results = in_parallel(files, |file| match file {
        Err(error) => (0, vec![format!("{error:#}")]),
        Ok(file) if subject != Subject::Argon && file.by_hand.is_some() => (0, Vec::new()),
        Ok(file) if subject == Subject::Prefix && !is_about_prefix(&file.name, "") => {
            (0, Vec::new())
        }
        Ok(file) => check_file(addr, subject, &data, file),
    });
    Ok(Report {
        files: files.len(),
        passed: results.iter().map(|(passed, _)| passed).sum(),
        failures: results
            .into_iter()
            .flat_map(|(_, failures)| failures)
            .collect(),
    })
}

/// Plays `files` on the `mongod` at `addr` and writes its answers into them.
///
/// Returns how many files changed. Files whose answers are unchanged keep their text.
///
/// # Errors
/// If a file does not parse or cannot be played; the others are still recorded.
pub fn record(addr: SocketAddr, root: &Path, files: &[Result<CaseFile>]) -> Result<usize> {
    let data = DataSets::load(&root.join("data"))?;
    let results = in_parallel(files, |file| match file {
        Err(error) => Err(format!("{error:#}")),
        Ok(file) if file.by_hand.is_some() => Ok(false),
        Ok(file) => record_file(addr, root, &data, file).map_err(|error| format!("{error:#}")),
    });
    let errors: Vec<&str> = results
        .iter()
        .filter_map(|result| result.as_ref().err().map(String::as_str))
        .collect();
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(results
        .into_iter()
        .flatten()
        .filter(|changed| *changed)
        .count())
}

/// Plays `files` over several connections, then those that have to be alone, and returns the results in the files' order.
fn in_parallel<T: Send>(
    files: &[Result<CaseFile>],
    play: impl Fn(&Result<CaseFile>) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..JOBS.min(files.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(file) = files.get(index) else { break };
                    if is_alone(file) {
                        continue;
                    }
                    let result = play(file);
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (index, file) in files.iter().enumerate() {
        if is_alone(file) {
            results.push((index, play(file)));
        }
    }
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

fn is_alone(file: &Result<CaseFile>) -> bool {
    file.as_ref().is_ok_and(|file| file.alone.is_some())
}

fn check_file(
    addr: SocketAddr,
    subject: Subject,
    data: &DataSets,
    file: &CaseFile,
) -> (usize, Vec<String>) {
    // A connection for each file: one that the server closed does not fail the next file.
    let answers =
        match Client::connect(addr).and_then(|mut client| run(&mut client, data, file, subject)) {
            Ok(answers) => answers,
            Err(error) => return (0, vec![format!("{}: {error:#}", file.name)]),
        };
    let failures: Vec<String> = file
        .steps
        .iter()
        .zip(&answers)
        .filter(|(step, _)| subject != Subject::Prefix || is_about_prefix(&file.name, &step.title))
        .filter_map(|(step, answer)| {
            let why = judge(subject, step, answer)?;
            Some(format!(
                "{}:{}: {}\n{why}",
                file.name, step.line, step.title
            ))
        })
        .collect();
    (file.steps.len() - failures.len(), failures)
}

/// Returns what is wrong with `answer`, if anything is.
fn judge(subject: Subject, step: &Step, answer: &[String]) -> Option<String> {
    let Some(expected) = &step.expected else {
        return Some("    not recorded yet: just record <file>".to_owned());
    };
    let difference = difference(expected, answer);
    match (&step.differs, subject) {
        (Some(reason), Subject::Argon) if difference.is_none() => Some(format!(
            "    the answers agree, so remove `differs: {reason}`"
        )),
        (Some(_), Subject::Argon) => None,
        _ => difference,
    }
}

fn record_file(addr: SocketAddr, root: &Path, data: &DataSets, file: &CaseFile) -> Result<bool> {
    let mut client = Client::connect(addr)?;
    let answers =
        run(&mut client, data, file, Subject::Mongod).with_context(|| file.name.clone())?;
    let mut recorded = file.clone();
    for (step, answer) in recorded.steps.iter_mut().zip(answers) {
        let same = step
            .expected
            .as_ref()
            .is_some_and(|old| difference(old, &answer).is_none());
        if !same {
            step.expected = Some(answer);
        }
    }
    let path = root.join(&file.name);
    let text = recorded.to_text(&format!("mongod {}", mongod::VERSION));
    let changed = fs::read_to_string(&path)? != text;
    if changed {
        fs::write(&path, text)?;
    }
    Ok(changed)
}

fn collect(root: &Path, folder: &str, names: &mut Vec<String>) -> Result<()> {
    let path = root.join(folder);
    for entry in fs::read_dir(&path).with_context(|| path.display().to_string())? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .ok()
            .context("a file name is UTF-8")?;
        let name = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        if entry.file_type()?.is_dir() {
            collect(root, &name, names)?;
        } else if name.ends_with(".case") {
            names.push(name);
        }
    }
    Ok(())
}

fn read(root: &Path, name: &str) -> Result<CaseFile> {
    let text = fs::read_to_string(root.join(name)).with_context(|| name.to_owned())?;
    CaseFile::parse(name, &text)
}

/// Shows how two answers differ, comments aside; `None` if they do not.
fn difference(expected: &[String], actual: &[String]) -> Option<String> {
    let lines = |lines: &'_ [String]| -> Vec<String> {
        lines
            .iter()
            .filter(|line| !line.starts_with('#'))
            .cloned()
            .collect()
    };
    let (left, right) = (lines(expected), lines(actual));
    if left == right {
        return None;
    }
    let mut out = String::from("    - mongod   + this server\n");
    for (sign, line) in diff(&left, &right) {
        let _ = writeln!(out, "    {sign} {line}");
    }
    // The message says most about an unexpected error.
    for line in actual.iter().filter(|line| line.starts_with("# message")) {
        let _ = writeln!(out, "    + {line}");
    }
    Some(out)
}

/// The lines that only one side has, by their longest common subsequence.
fn diff<'a>(left: &'a [String], right: &'a [String]) -> Vec<(char, &'a str)> {
    let (rows, columns) = (left.len(), right.len());
    let whole = |sign, lines: &'a [String]| lines.iter().map(move |line| (sign, line.as_str()));
    if rows > DIFF_LINES_MAX || columns > DIFF_LINES_MAX {
        return whole('-', left).chain(whole('+', right)).collect();
    }
    let mut common = vec![vec![0_usize; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row][column] = if left[row] == right[column] {
                common[row + 1][column + 1] + 1
            } else {
                common[row + 1][column].max(common[row][column + 1])
            };
        }
    }
    let (mut row, mut column, mut out) = (0, 0, Vec::new());
    while row < rows && column < columns {
        if left[row] == right[column] {
            (row, column) = (row + 1, column + 1);
        } else if common[row + 1][column] >= common[row][column + 1] {
            out.push(('-', left[row].as_str()));
            row += 1;
        } else {
            out.push(('+', right[column].as_str()));
            column += 1;
        }
    }
    out.extend(whole('-', &left[row..]));
    out.extend(whole('+', &right[column..]));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn comments_do_not_count() {
        assert_eq!(difference(&lines("a #x b"), &lines("a b #y")), None);
        assert!(difference(&lines("a"), &lines("b")).is_some());
    }

    #[test]
    fn only_what_differs_is_shown() {
        let (left, right) = (lines("a b c d"), lines("a c x d"));
        assert_eq!(diff(&left, &right), [('-', "b"), ('+', "x")]);
    }

    #[test]
    fn a_known_difference_must_differ() {
        let step = |differs: Option<&str>| Step {
            differs: differs.map(str::to_owned),
            expected: Some(lines("a")),
            ..Step::default()
        };
        let (plain, known) = (step(None), step(Some("ADR why")));
        assert!(judge(Subject::Argon, &plain, &lines("a")).is_none());
        assert!(judge(Subject::Argon, &plain, &lines("b")).is_some());
        assert!(judge(Subject::Argon, &known, &lines("a")).is_some());
        assert!(judge(Subject::Argon, &known, &lines("b")).is_none());
        assert!(judge(Subject::Mongod, &known, &lines("b")).is_some());
    }
}
