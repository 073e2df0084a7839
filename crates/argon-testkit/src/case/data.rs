//! The data sets in `tests/cases/data`: one document a line, frozen once cases are recorded on them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use bson::raw::RawDocumentBuf;

use super::json;

/// All data sets, by name.
#[derive(Debug, Clone, Default)]
pub struct DataSets {
    sets: BTreeMap<String, DataSet>,
}

/// One data set.
#[derive(Debug, Clone, Default)]
pub struct DataSet {
    /// The documents, in the order of insertion.
    pub documents: Vec<RawDocumentBuf>,
    /// The file they come from, to tell given values from generated ones.
    pub text: String,
}

impl DataSets {
    /// Reads every `*.json` below `dir`.
    ///
    /// # Errors
    /// If a file cannot be read or a line is not a document.
    pub fn load(dir: &Path) -> Result<Self> {
        let mut sets = BTreeMap::new();
        for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let Some(name) = name.strip_suffix(".json") else {
                continue;
            };
            let text = fs::read_to_string(&path)?;
            let parse = |(index, line): (usize, &str)| {
                json::parse_document(line)
                    .with_context(|| format!("{}:{}", path.display(), index + 1))
            };
            let documents = text.lines().enumerate().map(parse).collect::<Result<_>>()?;
            sets.insert(name.to_owned(), DataSet { documents, text });
        }
        Ok(Self { sets })
    }

    /// Returns the data set `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn get(&self, name: &str) -> Result<&DataSet> {
        self.sets
            .get(name)
            .with_context(|| format!("no data set {name:?} in tests/cases/data"))
    }
}
