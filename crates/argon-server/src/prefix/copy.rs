//! Copying a branch's collections, on the upstream itself: documents never come here.
//!
//! On a replica set every collection is read at one cluster time, so the copy is what the branch was at that instant.
//! Where that cannot be (a standalone server; a capped collection; a copy that takes longer than the server keeps old
//! versions; a collection changed in its options meanwhile) a collection is read as it is, while it may be written to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argon_mql::ErrorCode;
use argon_prefix::Names;
use argon_prefix::copy::{self as plan, Item};
use argon_upstream::Upstream;
use bson::{RawDocument, RawDocumentBuf, Timestamp, rawdoc};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::composed::drop_collection;
use super::job::{Document, Progress};
use super::{documents, run};
use crate::error::{Error, Result};

/// Collections that are copied at the same time.
const AT_A_TIME: usize = 4;

/// How often a collection is begun anew before the copy fails.
const ATTEMPTS: usize = 4;

/// How often the progress of a collection is asked for.
const LOOK: Duration = Duration::from_millis(500);

/// MongoDB's codes for a point in time that cannot be read (any more).
///
/// Source: what mongod 6.0.5 answers to `readConcern: {level: "snapshot"}`.
const NO_SNAPSHOT: &[i32] = &[72, 123, 239, 246];

/// What was copied.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Copied {
    pub(crate) collections: u64,
    pub(crate) documents: u64,
    /// Whether all collections were read at one point in time.
    pub(crate) at_one_time: bool,
}

/// The cluster time of now, at which everything can be read; `None` where the upstream has none.
pub(super) async fn now(upstream: &Upstream) -> Result<Option<Timestamp>> {
    if !upstream.is_replicated() {
        return Ok(None);
    }
    let reply = run(upstream, "admin", rawdoc! { "ping": 1 }).await?;
    Ok(reply.get_timestamp("operationTime").ok())
}

/// Copies `items` of the upstream database of `names`; `document` is told of each when it is there whole.
pub(super) async fn copy(
    upstream: &Arc<Upstream>,
    names: &Arc<Names>,
    items: Vec<Item>,
    at: Option<Timestamp>,
    progress: &Arc<Progress>,
    document: &Document<'_>,
) -> Result<Copied> {
    let mut total = 0;
    for item in items.iter().filter(|item| !item.is_view) {
        total += count(upstream, names.upstream(), &item.from).await?;
    }
    progress.documents_total.fetch_add(total, Ordering::Relaxed);
    let turns = Arc::new(Semaphore::new(AT_A_TIME));
    let mut copying = JoinSet::new();
    for item in items {
        let (upstream, names) = (Arc::clone(upstream), Arc::clone(names));
        let (progress, turns) = (Arc::clone(progress), Arc::clone(&turns));
        copying.spawn(async move {
            let _turn = turns.acquire().await;
            let copied = copy_one(&upstream, names.upstream(), &item, at, &progress).await;
            copied.map(|copied| (item.name, copied))
        });
    }
    let mut copied = Copied {
        at_one_time: at.is_some(),
        ..Copied::default()
    };
    // Leaving early drops the set, which ends the others on the upstream, too.
    while let Some(ended) = copying.join_next().await {
        let (name, one) = ended.map_err(|error| Error::bad_value(error.to_string()))??;
        copied.collections += one.collections;
        copied.documents += one.documents;
        copied.at_one_time &= one.at_one_time;
        document.add_done(&name).await?;
    }
    Ok(copied)
}

async fn copy_one(
    upstream: &Upstream,
    database: &str,
    item: &Item,
    at: Option<Timestamp>,
    progress: &Progress,
) -> Result<Copied> {
    let mut at = at.filter(|_| !item.is_capped);
    let mut last = None;
    for _ in 0..ATTEMPTS {
        // What an earlier attempt left, here or before a crash.
        drop_collection(upstream, database, &item.to).await?;
        let create = RawDocumentBuf::from_bytes(item.create.to_vec())
            .map_err(|_| Error::bad_value("a collection's options cannot be read"))?;
        run(upstream, database, create).await?;
        if item.is_view {
            return Ok(Copied {
                collections: 1,
                documents: 0,
                at_one_time: true,
            });
        }
        match fill(upstream, database, item, at, progress).await {
            Ok(documents) => {
                return Ok(Copied {
                    collections: 1,
                    documents,
                    at_one_time: at.is_some(),
                });
            }
            Err(error) if at.is_some() && NO_SNAPSHOT.contains(&error.code.number()) => {
                tracing::debug!(collection = item.from, error = error.message, "no snapshot");
                at = None;
                last = Some(error);
            }
            // Without a snapshot a document may be met twice, or a value that was unique may have moved.
            Err(error) if at.is_none() && error.code == ErrorCode::DuplicateKey => {
                last = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    let why = last.map(|error| error.message).unwrap_or_default();
    Err(Error::new(
        ErrorCode::OperationFailed,
        format!("'{}' could not be copied: {why}", item.name),
    ))
}

/// Copies documents, checks that all are there, then builds the indexes: that is faster than to keep them up, and lets
/// no document expire before it was counted.
async fn fill(
    upstream: &Upstream,
    database: &str,
    item: &Item,
    at: Option<Timestamp>,
    progress: &Progress,
) -> Result<u64> {
    let before = count(upstream, database, &item.from).await?;
    let counted = Counted {
        progress,
        seen: AtomicU64::new(0),
    };
    let merge = run(upstream, database, plan::documents(item, at));
    tokio::pin!(merge);
    loop {
        tokio::select! {
            merged = &mut merge => {
                merged?;
                break;
            }
            () = tokio::time::sleep(LOOK) => {
                counted.set(count(upstream, database, &item.to).await?);
            }
        }
    }
    let found = count_all(upstream, database, &item.to, None).await?;
    counted.set(found);
    let expected = match at {
        Some(_) => Some(count_all(upstream, database, &item.from, at).await?),
        // Without a snapshot only an original that stood still can be compared.
        None => {
            let after = count(upstream, database, &item.from).await?;
            (before == after && !item.is_capped).then_some(after)
        }
    };
    if expected.is_some_and(|expected| expected != found) {
        return Err(Error::new(
            ErrorCode::OperationFailed,
            format!(
                "'{}' has {} documents, its copy {found}",
                item.name,
                expected.unwrap_or_default()
            ),
        ));
    }
    let list = rawdoc! { "listIndexes": item.from.as_str() };
    let specifications = documents(upstream, database, list).await?;
    if let Some(create) = plan::indexes(item, specifications.iter().map(|spec| &**spec)) {
        run(upstream, database, create).await?;
    }
    counted.keep();
    Ok(found)
}

/// What one collection adds to the progress; taken back if it has to be begun anew.
struct Counted<'p> {
    progress: &'p Progress,
    seen: AtomicU64,
}

impl Counted<'_> {
    fn set(&self, count: u64) {
        let before = self.seen.swap(count, Ordering::Relaxed);
        let all = &self.progress.documents;
        all.fetch_add(count.saturating_sub(before), Ordering::Relaxed);
        all.fetch_sub(before.saturating_sub(count), Ordering::Relaxed);
    }

    fn keep(&self) {
        self.seen.store(0, Ordering::Relaxed);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let seen = self.seen.load(Ordering::Relaxed);
        self.progress.documents.fetch_sub(seen, Ordering::Relaxed);
    }
}

/// The number of documents that the server keeps with the collection: at once, but after a crash not exactly.
async fn count(upstream: &Upstream, database: &str, collection: &str) -> Result<u64> {
    let reply = run(upstream, database, rawdoc! { "count": collection }).await?;
    Ok(whole(&reply, "n"))
}

/// The number of documents, counted one by one.
async fn count_all(
    upstream: &Upstream,
    database: &str,
    collection: &str,
    at: Option<Timestamp>,
) -> Result<u64> {
    let mut command = rawdoc! {
        "aggregate": collection,
        "pipeline": [{ "$count": "n" }],
        "cursor": {},
    };
    if let Some(at) = at {
        command.append(
            bson::cstr!("readConcern"),
            rawdoc! { "level": "snapshot", "atClusterTime": at },
        );
    }
    let counted = documents(upstream, database, command).await?;
    let first = counted
        .first()
        .and_then(|first| RawDocument::from_bytes(first).ok());
    Ok(first.map_or(0, |first| whole(first, "n")))
}

fn whole(doc: &RawDocument, field: &str) -> u64 {
    let value = doc.get(field).ok().flatten();
    let number = value.and_then(|value| {
        let double = value.as_f64().map(|number| {
            #[expect(clippy::cast_possible_truncation, reason = "counts are far below 2^53")]
            let whole = number as i64;
            whole
        });
        value
            .as_i64()
            .or_else(|| value.as_i32().map(i64::from))
            .or(double)
    });
    number
        .and_then(|number| u64::try_from(number).ok())
        .unwrap_or(0)
}
