//! Case files: commands, and what a real `mongod` answered to them.
//!
//! `docs/testing.md` shows the format to people who write cases. In short: a file has a header
//! (`data:` names the documents it starts from), then steps. A step is a title, one or more command
//! documents, a rule, and the recorded answer, which the recorder alone writes.
//!
//! - [`file`](mod@file) parses and writes the text; [`json`] is its spelling of BSON.
//! - [`data`] holds the frozen data sets.
//! - [`answer`] turns a reply into the lines that are compared, without what differs by run.
//! - [`run`] plays a file against a server; [`suite`] plays many, records and reports.

pub mod answer;
pub mod data;
pub mod file;
pub mod json;
pub mod run;
pub mod suite;

use std::path::PathBuf;

/// Returns the folder of the case files.
#[must_use]
pub fn root() -> PathBuf {
    crate::workspace_root().join("tests/cases")
}
