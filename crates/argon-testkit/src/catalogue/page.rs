//! Writes `docs/operators.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;

use super::usage::Usage;
use super::{KINDS, Kind, NOT_FOUND, Row, is_not_found, names};
use crate::case::{self, suite};

/// Where the page is, from the root of the workspace.
pub const PATH: &str = "docs/operators.md";

/// What a row says of a name that MongoDB has, and Argon neither has nor refuses.
pub const MISSING: &str = "**missing**";

/// Writes the page from the tables, the case files and the recorded names.
///
/// # Errors
/// If a case file cannot be read.
pub fn write() -> Result<String> {
    let files: Vec<_> = suite::find(&case::root(), "")?
        .into_iter()
        .collect::<Result<_>>()?;
    let usage = Usage::of(&files)?;
    let mut out = String::from(
        "# Operators, stages, commands\n\n\
         <!-- Written by `just operators` from the tables in the source and the cases in tests/cases. Do not edit. -->\n\n\
         What MongoDB 6.0.5 has by name, and what Argon answers. The names were asked of a real mongod; those that begin\n\
         with `_` are its own, between its servers, and left out. *Equal* means that Argon answers all recorded steps\n\
         that use the name (the last column) as mongod 6.0.5 did, but for the [recorded differences](#recorded-differences)\n\
         at the end. Numbers from 20 on are rounded down. *Refused* means that Argon knows the name and answers with that error.\n\
         `docs/compatibility.md` says in words what is different and why.\n",
    );
    for row in KINDS {
        match row.kind {
            Kind::Command => commands(&mut out, row, &usage),
            Kind::Parameter => parameters(&mut out, row, &usage),
            _ => table(&mut out, row, &usage),
        }
    }
    differences(&mut out, &usage);
    Ok(out)
}

/// Names that are rows of the page: what `mongod` has and what Argon has.
fn all_names(row: &Row) -> BTreeSet<String> {
    let mongod = names::recorded(row.kind).map(str::to_owned);
    let argon = (row.entries)()
        .into_iter()
        .map(|entry| entry.name.to_owned());
    mongod
        .chain(argon)
        .filter(|name| !name.trim_start_matches('$').starts_with('_'))
        .collect()
}

fn table(out: &mut String, row: &Row, usage: &Usage) {
    let _ = writeln!(
        out,
        "\n## {}\n\n| name | Argon | steps |\n|---|---|---|",
        row.title
    );
    for name in all_names(row) {
        let answer = answer(row, &name, usage);
        let _ = writeln!(
            out,
            "| `{name}` | {answer} | {} |",
            rounded(steps(usage, row.kind, &name))
        );
    }
}

/// What Argon makes of `name`.
fn answer(row: &Row, name: &str, usage: &Usage) -> String {
    let known = names::recorded(row.kind).any(|known| known == name);
    let entry = (row.entries)().into_iter().find(|entry| entry.name == name);
    match entry {
        None => MISSING.to_owned(),
        Some(entry) => match entry.refused {
            Some(code) => format!("refused: {} {}", code.number(), code.name()),
            None if known && steps(usage, row.kind, name) == 0 => "not recorded".to_owned(),
            None if known => "equal".to_owned(),
            None => "Argon's own".to_owned(),
        },
    }
}

fn steps(usage: &Usage, kind: Kind, name: &str) -> usize {
    usage
        .steps
        .get(&(kind, name.to_owned()))
        .copied()
        .unwrap_or(0)
}

/// `count`, from 20 on with one digit that counts: a page with the exact number would change with each case.
fn rounded(count: usize) -> String {
    if count < 20 {
        return count.to_string();
    }
    let unit = 10_usize.pow(count.ilog10());
    format!("{}+", count / unit * unit)
}

fn commands(out: &mut String, row: &Row, usage: &Usage) {
    let _ = writeln!(
        out,
        "\n## {}\n\n| name | Argon | steps | |\n|---|---|---|---|",
        row.title
    );
    let commands: Vec<_> = argon_server::catalogue::commands().collect();
    let aliases: BTreeSet<&str> = commands
        .iter()
        .flat_map(|command| command.aliases.iter().copied())
        .collect();
    for name in all_names(row) {
        if aliases.contains(name.as_str()) || is_not_found(&name) {
            continue;
        }
        let command = commands.iter().find(|command| command.entry.name == name);
        let answer = answer(row, &name, usage);
        let help = command.map_or("", |command| command.help);
        let count: usize = command
            .iter()
            .flat_map(|command| command.aliases.iter().copied())
            .chain([name.as_str()])
            .map(|name| steps(usage, row.kind, name))
            .sum();
        let help = help.replace('|', "\\|");
        let _ = writeln!(out, "| `{name}` | {answer} | {} | {help} |", rounded(count));
    }
    let _ = writeln!(
        out,
        "\nNot found (59 `CommandNotFound`), as on a mongos or because they are for other servers only:\n"
    );
    for (reason, patterns) in NOT_FOUND {
        let names: Vec<String> = patterns.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(out, "- {reason}: {}", names.join(", "));
    }
}

fn parameters(out: &mut String, row: &Row, usage: &Usage) {
    let argon: BTreeSet<&str> = (row.entries)().iter().map(|entry| entry.name).collect();
    let others = names::recorded(row.kind)
        .filter(|name| !argon.contains(name))
        .count();
    let _ = writeln!(
        out,
        "\n## {}\n\nThe other {others} of a mongod are answered as parameters that do not exist.\n\n\
         | name | steps |\n|---|---|",
        row.title
    );
    for name in argon {
        let _ = writeln!(
            out,
            "| `{name}` | {} |",
            rounded(steps(usage, row.kind, name))
        );
    }
}

fn differences(out: &mut String, usage: &Usage) {
    let _ = writeln!(
        out,
        "\n## Recorded differences\n\nSteps whose answer is mongod's, and known to be different from Argon's.\n\n\
         | cases | steps | why |\n|---|---|---|"
    );
    for ((file, reason), count) in &usage.differs {
        let (adr, why) = reason.split_once(' ').unwrap_or(("", reason));
        let _ = writeln!(
            out,
            "| `{file}` | {count} | {why} ([{adr}](adr/{adr}.md)) |"
        );
    }
}
