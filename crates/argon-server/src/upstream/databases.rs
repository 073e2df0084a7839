//! Which databases the deployment has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argon_upstream::{Result, Upstream};
use bson::{RawDocumentBuf, rawdoc};
use parking_lot::RwLock;

/// How long a database that was there is believed to be still there. One that was not there is looked for each time, so
/// this only bounds how long a database that somebody else dropped is still passed through.
const FRESH: Duration = Duration::from_secs(10);

/// Most names remembered; past that all are forgotten, which costs a lookup each.
const NAMES_MAX: usize = 10_000;

/// The databases seen so far.
pub(super) struct Databases {
    upstream: Arc<Upstream>,
    seen: RwLock<HashMap<String, Instant>>,
}

impl Databases {
    pub(super) fn new(upstream: Arc<Upstream>) -> Databases {
        Databases {
            upstream,
            seen: RwLock::default(),
        }
    }

    /// Whether there is a database called `name`.
    pub(super) async fn exists(&self, name: &str) -> Result<bool> {
        let seen = self.seen.read().get(name).copied();
        if seen.is_some_and(|seen| seen.elapsed() < FRESH) {
            return Ok(true);
        }
        let command = rawdoc! {"listDatabases": 1, "nameOnly": true, "filter": {"name": name}};
        let found = match self.upstream.command("admin", command).await {
            Ok(reply) => {
                let databases = reply.get_array("databases");
                databases.is_ok_and(|databases| databases.into_iter().next().is_some())
            }
            // It was there: whoever needs it hears what is wrong from the command itself.
            Err(_) if seen.is_some() => true,
            Err(error) => return Err(error),
        };
        let mut names = self.seen.write();
        if found {
            if names.len() >= NAMES_MAX {
                names.clear();
            }
            names.insert(name.to_owned(), Instant::now());
        } else {
            names.remove(name);
        }
        Ok(found)
    }

    /// The deployment's own description of each of its databases.
    pub(super) async fn list(&self, name_only: bool) -> Result<Vec<RawDocumentBuf>> {
        let command = rawdoc! {"listDatabases": 1, "nameOnly": name_only};
        let reply = self.upstream.command("admin", command).await?;
        let databases = reply.get_array("databases").ok();
        let documents = databases.into_iter().flatten().flatten();
        let documents =
            documents.filter_map(|database| database.as_document().map(ToOwned::to_owned));
        Ok(documents.collect())
    }

    /// The database called `name` was dropped.
    pub(super) fn forget(&self, name: &str) {
        self.seen.write().remove(name);
    }
}
