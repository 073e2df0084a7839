//! The text of a case file, as a value and back.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};

use super::json;

/// A parsed case file.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseFile {
    /// Path below the folder of the cases, with `/`, for messages and the database's name.
    pub name: String,
    /// What to load before the steps, in order.
    pub data: Vec<Load>,
    /// Whether a step sees what the steps before it wrote.
    pub sequence: bool,
    /// Why no other file may be played at the same time.
    pub alone: Option<String>,
    /// Why no `mongod` can answer this file; its expectations are then written by hand.
    pub by_hand: Option<String>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The header's lines as they were written.
    header: Vec<String>,
}

/// A data set and the collection it goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Name of the data set.
    pub data_set: String,
    /// Name of the collection.
    pub collection: String,
}

/// One step: commands and the answers to them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// What the step shows, in words.
    pub title: String,
    /// Line of the title, from 1.
    pub line: usize,
    /// Command documents, as text: placeholders are filled in when the step runs.
    pub commands: Vec<String>,
    /// Collections to show after the commands.
    pub contents: Vec<String>,
    /// Which paths of the answer to keep; empty keeps all.
    pub only: Vec<String>,
    /// Another database than the file's: a name, or a branch (`~name`) of the file's.
    pub db: Option<String>,
    /// Whether the order of the answer's documents is undefined.
    pub unordered: bool,
    /// Whether cursors are shown as they are rather than read to their end.
    pub raw: bool,
    /// Why Argon is known to answer differently: an ADR and a reason.
    pub differs: Option<String>,
    /// The lines below the rule; `None` if the step was never recorded.
    pub expected: Option<Vec<String>>,
    /// The lines above the rule as they were written.
    pub(super) input: Vec<String>,
}

/// Separates commands from answers.
const RULE: &str = "----";
const TITLE: &str = "== ";
/// Name of the collection that a data set goes to unless the header says otherwise.
const DEFAULT_COLLECTION: &str = "c";

impl CaseFile {
    /// Parses the text of a case file.
    ///
    /// # Errors
    /// If a line is not of the format; the error names the line.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let first = lines
            .iter()
            .position(|line| is_title(line))
            .unwrap_or(lines.len());
        let mut file = Self {
            name: name.to_owned(),
            data: Vec::new(),
            sequence: false,
            alone: None,
            by_hand: None,
            steps: Vec::new(),
            header: trimmed(&lines[..first]),
        };
        for (index, line) in lines[..first].iter().enumerate() {
            file.header_line(line)
                .with_context(|| format!("{name}:{}", index + 1))?;
        }
        let mut start = first;
        while start < lines.len() {
            let rest = &lines[start + 1..];
            let length = rest
                .iter()
                .position(|line| is_title(line))
                .unwrap_or(rest.len());
            let step = parse_step(&lines[start..=start + length], start + 1)
                .with_context(|| format!("{name}:{}: {}", start + 1, lines[start]))?;
            file.steps.push(step);
            start += length + 1;
        }
        ensure!(
            !file.steps.is_empty(),
            "{name}: a case file has at least one step"
        );
        for (index, step) in file.steps.iter().enumerate() {
            let twin = file.steps[..index]
                .iter()
                .find(|other| other.title == step.title);
            ensure!(
                twin.is_none(),
                "{name}:{}: a second step {:?}",
                step.line,
                step.title
            );
        }
        Ok(file)
    }

    /// Writes the file, saying that `source` gave the answers.
    #[must_use]
    pub fn to_text(&self, source: &str) -> String {
        let mut out = String::new();
        let mut header = self.header.clone();
        if self.by_hand.is_none() {
            let recorded = format!("recorded: {source}");
            match header.iter_mut().find(|line| line.starts_with("recorded:")) {
                Some(line) => *line = recorded,
                None => header.push(recorded),
            }
        }
        push_lines(&mut out, &header);
        for step in &self.steps {
            let _ = writeln!(out, "\n{TITLE}{}", step.title);
            push_lines(&mut out, &step.input);
            if let Some(expected) = &step.expected {
                let _ = writeln!(out, "{RULE}");
                push_lines(&mut out, expected);
            }
        }
        out
    }

    fn header_line(&mut self, line: &str) -> Result<()> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (key, value) = line
            .split_once(':')
            .context("a header line is `key: value`")?;
        let value = value.trim();
        match key {
            "data" => self.data = value.split_whitespace().map(parse_load).collect(),
            "recorded" => {}
            "sequence" => self.sequence = value.parse().context("true or false")?,
            "alone" => self.alone = Some(value.to_owned()),
            "by-hand" => self.by_hand = Some(value.to_owned()),
            _ => bail!("{key:?} is not one of data, recorded, sequence, alone, by-hand"),
        }
        Ok(())
    }
}

fn parse_load(word: &str) -> Load {
    let (collection, data_set) = word.split_once('=').unwrap_or((DEFAULT_COLLECTION, word));
    Load {
        data_set: data_set.to_owned(),
        collection: collection.to_owned(),
    }
}

fn parse_step(lines: &[&str], line: usize) -> Result<Step> {
    let rule = lines.iter().position(|line| *line == RULE);
    let input = trimmed(&lines[1..rule.unwrap_or(lines.len())]);
    let mut step = Step {
        title: lines[0][TITLE.len()..].trim().to_owned(),
        line,
        expected: rule.map(|rule| trimmed(&lines[rule + 1..])),
        ..Step::default()
    };
    let text = input.join("\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = if rest.starts_with('{') {
            let (_, length) = json::parse_prefix(rest)?;
            step.commands.push(rest[..length].to_owned());
            length
        } else {
            let end = rest.find('\n').unwrap_or(rest.len());
            directive(&mut step, &rest[..end])?;
            end
        };
        let Some(next) = rest[end..].strip_prefix('\n') else {
            ensure!(
                rest[end..].is_empty(),
                "{:?} follows a document",
                &rest[end..]
            );
            break;
        };
        rest = next;
    }
    ensure!(!step.commands.is_empty(), "a step has at least one command");
    step.input = input;
    Ok(step)
}

fn directive(step: &mut Step, line: &str) -> Result<()> {
    if line.is_empty() || line.starts_with('#') {
        return Ok(());
    }
    let (key, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.trim();
    let flag = matches!(key, "raw" | "unordered");
    ensure!(
        flag == value.is_empty(),
        "{key}: a value is missing or too many"
    );
    match key {
        "contents" => step.contents.push(value.to_owned()),
        "db" => step.db = Some(value.to_owned()),
        "differs" => step.differs = Some(value.to_owned()),
        "only" => step
            .only
            .extend(value.split(',').map(|path| path.trim().to_owned())),
        "raw" => step.raw = true,
        "unordered" => step.unordered = true,
        _ => bail!("{key:?} is not one of contents, db, differs, only, raw, unordered"),
    }
    Ok(())
}

fn is_title(line: &str) -> bool {
    line.starts_with(TITLE)
}

/// Copies `lines` without the empty ones at both ends.
fn trimmed(lines: &[&str]) -> Vec<String> {
    let start = lines
        .iter()
        .position(|line| !line.is_empty())
        .unwrap_or(lines.len());
    let end = lines
        .iter()
        .rposition(|line| !line.is_empty())
        .map_or(start, |last| last + 1);
    lines[start..end]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

fn push_lines(out: &mut String, lines: &[String]) {
    for line in lines {
        out.push_str(line);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# Source: MongoDB manual, "$inc".
data: scalars other=orders
recorded: mongod 6.0.5

== adds
# why
{"update": "c",
  "updates": []}
{"find": "c"}
contents: c
unordered
only: a.b, c
differs: ADR reason
----
{"n": 1}
--
error: 2 BadValue
# message: no

== is not recorded yet
{"ping": 1}
"#;

    #[test]
    fn parses() {
        let file = CaseFile::parse("a/b.case", TEXT).unwrap();
        assert_eq!(
            file.data[0],
            Load {
                data_set: "scalars".into(),
                collection: "c".into()
            }
        );
        assert_eq!(
            file.data[1],
            Load {
                data_set: "orders".into(),
                collection: "other".into()
            }
        );
        let step = &file.steps[0];
        assert_eq!(step.commands[0], "{\"update\": \"c\",\n  \"updates\": []}");
        assert_eq!(step.commands[1], r#"{"find": "c"}"#);
        assert_eq!((step.line, step.unordered, step.raw), (5, true, false));
        assert_eq!(step.only, ["a.b", "c"]);
        assert_eq!(step.differs.as_deref(), Some("ADR reason"));
        assert_eq!(step.expected.as_ref().unwrap().len(), 4);
        assert_eq!(file.steps[1].expected, None);
    }

    #[test]
    fn writes_what_it_read() {
        let file = CaseFile::parse("a/b.case", TEXT).unwrap();
        assert_eq!(file.to_text("mongod 6.0.5"), TEXT);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for text in [
            "colour: red\n== a\n{}",
            "== a\nblue\n{}",
            "== a\n{} {}",
            "== a\n",
            "== a\n{}\n== a\n{}",
            "",
        ] {
            assert!(CaseFile::parse("x", text).is_err(), "{text:?}");
        }
    }
}
