//! Plays one case file against one server.

use anyhow::{Context, Result, ensure};
use bson::raw::{RawBsonRef, RawDocument, RawDocumentBuf};
use bson::{RawBson, rawdoc};

use super::answer::{CURSOR_PLACEHOLDER, DB_PLACEHOLDER, NO_DOCUMENTS, Normalizer, Reading};
use super::data::DataSets;
use super::file::{CaseFile, Step};
use super::json;
use super::suite::Subject;
use crate::client::{Client, is_ok};
use crate::deployment;

/// MongoDB manual, "Naming Restrictions": a database name has at most 63 bytes.
const DB_NAME_BYTES_MAX: usize = 63;
/// Room for a branch's name after the file's database name.
const BRANCH_BYTES_MAX: usize = 24;
/// Documents of one file's answers, lest a runaway cursor fill the memory.
const DOCUMENTS_MAX: usize = 100_000;

/// Commands after which a step need not load its data again.
const READS: &[&str] = &[
    "aggregate",
    "buildInfo",
    "collStats",
    "count",
    "dbStats",
    "distinct",
    "explain",
    "find",
    "getMore",
    "hello",
    "killCursors",
    "listCollections",
    "listDatabases",
    "listIndexes",
    "ping",
];

/// Plays `file` and returns the lines of each step's answer.
///
/// For [`Subject::Prefix`] the file's database is a branch of that engine, made for it.
///
/// # Errors
/// If the connection breaks, or the data cannot be loaded.
pub fn run(
    client: &mut Client,
    data: &DataSets,
    file: &CaseFile,
    subject: Subject,
) -> Result<Vec<Vec<String>>> {
    let db = deployment::database(client, subject, &database_name(&file.name))?;
    let mut given = file.to_text("");
    for load in &file.data {
        given.push_str(&data.get(&load.data_set)?.text);
    }
    let normalizer = Normalizer::new(&given, &db);
    let mut player = Player {
        client,
        normalizer,
        db,
        cursor: 0,
        documents: 0,
    };
    let mut answers = Vec::new();
    let mut fresh = false;
    for step in &file.steps {
        if !fresh && (answers.is_empty() || !file.sequence) {
            player.load(data, file).context("loading the data")?;
        }
        let (answer, wrote) = player
            .step(step)
            .with_context(|| format!("{}:{}: {}", file.name, step.line, step.title))?;
        fresh = !wrote;
        answers.push(answer);
    }
    player
        .client
        .run_ok(&player.db, &rawdoc! {"dropDatabase": 1})?;
    Ok(answers)
}

struct Player<'a> {
    client: &'a mut Client,
    normalizer: Normalizer,
    db: String,
    /// The last cursor that a step left open.
    cursor: i64,
    documents: usize,
}

impl Player<'_> {
    fn load(&mut self, data: &DataSets, file: &CaseFile) -> Result<()> {
        self.client.run_ok(&self.db, &rawdoc! {"dropDatabase": 1})?;
        for load in &file.data {
            let documents = &data.get(&load.data_set)?.documents;
            let collection = load.collection.as_str();
            let command = if documents.is_empty() {
                rawdoc! {"create": collection}
            } else {
                let documents = documents
                    .iter()
                    .map(|document| RawBson::Document(document.clone()));
                let documents: bson::raw::RawArrayBuf = documents.collect();
                rawdoc! {"insert": collection, "documents": documents}
            };
            self.client.run_ok(&self.db, &command)?;
        }
        Ok(())
    }

    /// Plays a step and tells whether it may have changed anything.
    fn step(&mut self, step: &Step) -> Result<(Vec<String>, bool)> {
        let db = match &step.db {
            None => self.db.clone(),
            Some(name) if name.starts_with('~') => format!("{}{name}", self.db),
            Some(name) => name.clone(),
        };
        let mut lines = Vec::new();
        let mut wrote = false;
        for (index, text) in step.commands.iter().enumerate() {
            if index > 0 {
                lines.push("--".to_owned());
            }
            let (command, own_db) = take_db(&self.fill_in(text)?)?;
            wrote |= !is_read(&command);
            let first = lines.len();
            self.command(own_db.as_ref().unwrap_or(&db), &command, step, &mut lines)?;
            self.hide_cursor(&mut lines[first..]);
        }
        for collection in &step.contents {
            lines.push(format!("contents {collection}:"));
            // Natural order, whatever indexes the step has created.
            let find = rawdoc! {"find": collection.as_str(), "hint": {"$natural": 1}};
            let plain = Step::default();
            self.command(&db, &find, &plain, &mut lines)?;
        }
        Ok((lines, wrote))
    }

    fn fill_in(&self, text: &str) -> Result<RawDocumentBuf> {
        let cursor = format!(r#"{{"$numberLong": "{}"}}"#, self.cursor);
        let text = text.replace(&format!("\"{CURSOR_PLACEHOLDER}\""), &cursor);
        json::parse_document(&text.replace(DB_PLACEHOLDER, &self.db))
    }

    fn command(
        &mut self,
        db: &str,
        command: &RawDocument,
        step: &Step,
        lines: &mut Vec<String>,
    ) -> Result<()> {
        let reading = Reading {
            explain: is_explain(command),
            only: &step.only,
        };
        let reply = self.client.run_command(db, command)?;
        let cursor = match reply.get("cursor")? {
            Some(RawBsonRef::Document(cursor)) if is_ok(&reply) => cursor,
            _ => {
                lines.extend(self.normalizer.reply(&reply, reading)?);
                return Ok(());
            }
        };
        if step.raw {
            let id = cursor.get_i64("id")?;
            if id != 0 {
                self.cursor = id;
            }
            lines.extend(self.normalizer.reply(&reply, reading)?);
            return Ok(());
        }
        let first = lines.len();
        self.drain(db, command, &reply, reading, lines)?;
        if lines.len() == first {
            lines.push(NO_DOCUMENTS.to_owned());
        }
        if step.unordered {
            lines[first..].sort();
        }
        Ok(())
    }

    /// Replaces the id of the cursor left open, which is another in each run.
    fn hide_cursor(&self, lines: &mut [String]) {
        if self.cursor != 0 {
            let id = self.cursor.to_string();
            let value = format!(r#"{{"$numberLong": "{id}"}}"#);
            for line in lines {
                *line = line
                    .replace(&value, &format!("\"{CURSOR_PLACEHOLDER}\""))
                    .replace(&id, CURSOR_PLACEHOLDER);
            }
        }
    }

    /// Reads a cursor to its end.
    fn drain(
        &mut self,
        db: &str,
        command: &RawDocument,
        reply: &RawDocument,
        reading: Reading<'_>,
        lines: &mut Vec<String>,
    ) -> Result<()> {
        let mut reply = reply.to_owned();
        loop {
            if !is_ok(&reply) {
                lines.extend(self.normalizer.reply(&reply, reading)?);
                return Ok(());
            }
            let cursor = reply.get_document("cursor")?;
            let batch = cursor
                .get_array("firstBatch")
                .or_else(|_| cursor.get_array("nextBatch"))?;
            for document in batch {
                let document = document?.as_document().context("a batch holds documents")?;
                lines.push(self.normalizer.document(document, reading)?);
                self.documents += 1;
                ensure!(
                    self.documents <= DOCUMENTS_MAX,
                    "more than {DOCUMENTS_MAX} documents"
                );
            }
            let id = cursor.get_i64("id")?;
            if id == 0 {
                return Ok(());
            }
            let namespace = cursor.get_str("ns")?;
            let (_, collection) = namespace.split_once('.').context("a namespace has a dot")?;
            let mut more = rawdoc! {"getMore": id, "collection": collection};
            for element in command {
                let (key, value) = element?;
                if matches!(key.as_str(), "lsid" | "txnNumber" | "autocommit") {
                    more.append(key, value);
                }
            }
            reply = self.client.run_command(db, &more)?;
        }
    }
}

/// Takes `$db` out of a command that names its database itself.
fn take_db(command: &RawDocument) -> Result<(RawDocumentBuf, Option<String>)> {
    let mut rest = RawDocumentBuf::new();
    let mut db = None;
    for element in command {
        match element? {
            (key, RawBsonRef::String(name)) if key.as_str() == "$db" => db = Some(name.to_owned()),
            (key, value) => rest.append(key, value),
        }
    }
    Ok((rest, db))
}

fn is_read(command: &RawDocument) -> bool {
    let Some(Ok((name, _))) = command.iter().next() else {
        return false;
    };
    let text = json::render_document(command);
    let in_transaction = text.contains("\"txnNumber\"");
    let writes = text.contains("\"$out\"") || text.contains("\"$merge\"") || in_transaction;
    READS.contains(&name.as_str()) && !writes
}

fn is_explain(command: &RawDocument) -> bool {
    let first = command.iter().next();
    matches!(first, Some(Ok((name, _))) if name.as_str() == "explain")
        || matches!(command.get("explain"), Ok(Some(RawBsonRef::Boolean(true))))
}

/// Makes a database name of a file's name: `filter/gte.case` gets `case_filter_gte`.
///
/// Each file has its own, so that files can run side by side on one server.
fn database_name(file: &str) -> String {
    let stem = file.strip_suffix(".case").unwrap_or(file);
    let word = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    let name: String = "case_".chars().chain(stem.chars().map(word)).collect();
    let max = DB_NAME_BYTES_MAX - BRANCH_BYTES_MAX;
    if name.len() <= max {
        return name;
    }
    // FNV-1a keeps two long names apart that differ only in what is cut off.
    let hash = stem.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{}_{hash:08x}", &name[..max - 9])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn database_names_are_short_and_apart() {
        assert_eq!(database_name("filter/gte.case"), "case_filter_gte");
        let long = "expr/arithmetic/a-very-long-name-that-goes-on-and-on";
        let names = [
            database_name(&format!("{long}1.case")),
            database_name(&format!("{long}2.case")),
        ];
        assert_ne!(names[0], names[1]);
        assert!(
            names
                .iter()
                .all(|name| name.len() == DB_NAME_BYTES_MAX - BRANCH_BYTES_MAX)
        );
    }

    #[test]
    fn what_writes_is_no_read() {
        assert!(is_read(&rawdoc! {"find": "c"}));
        assert!(is_read(
            &rawdoc! {"aggregate": "c", "pipeline": [{"$match": {}}]}
        ));
        assert!(!is_read(
            &rawdoc! {"aggregate": "c", "pipeline": [{"$out": "d"}]}
        ));
        assert!(!is_read(&rawdoc! {"insert": "c"}));
    }

    #[test]
    fn reads_are_sorted() {
        assert!(READS.is_sorted());
    }
}
