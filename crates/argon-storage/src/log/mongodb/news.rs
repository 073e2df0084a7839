//! What other processes write, as MongoDB's change stream tells it: a hint that wakes caches up, never the truth.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bson::{RawDocument, rawdoc};
use tokio::time::sleep;

use super::upstream::Failure;
use super::{BRANCHES, PROJECTS, Shared, WAL_ENTRIES};
use crate::log::News;
use crate::{BranchId, Lsn};

/// The most news a receiver may lag behind.
pub(super) const NEWS_MAX: usize = 1024;

/// The pause before a stream that ended is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// The pause before more events are asked for: those that come meanwhile come together. A stream that is asked again after each record costs the
/// server, and this process, nearly as much as the records.
const GATHER: Duration = Duration::from_millis(10);

/// How long the server waits for events before it answers that there are none, in milliseconds.
const AWAIT_MS: i32 = 5_000;

/// Watches for as long as the store is open.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let Err(failure) = watch(&shared).await;
        tracing::debug!(?failure, "the change stream of the log has ended");
        shared.tell(News::Anything);
        sleep(PAUSE).await;
    }
}

/// Passes on what a change stream tells, until it ends. It is not resumed: who was not told looks for itself.
async fn watch(shared: &Shared) -> Result<Infallible, Failure> {
    // Removed records are no news. Of the rest, only what `read` needs travels.
    let wanted = rawdoc! {"$match": {"$or": [
        {"operationType": "insert", "ns.coll": WAL_ENTRIES},
        {"ns.coll": {"$in": [BRANCHES, PROJECTS]}},
    ]}};
    let needed = rawdoc! {"$project": {"ns.coll": 1, "fullDocument.branch_id": 1, "fullDocument.last_lsn": 1}};
    let open = rawdoc! {
        "aggregate": 1, "pipeline": [{"$changeStream": {}}, wanted, needed], "cursor": {},
    };
    let mut events = shared.upstream.batch(open).await?;
    // What happened before it was open is not told.
    shared.tell(News::Anything);
    loop {
        for news in events.documents.iter().filter_map(|event| read(event)) {
            shared.tell(news);
        }
        if events.cursor == 0 {
            return Err(Failure::NotSent("the server closed the cursor".into()));
        }
        if !events.documents.is_empty() {
            sleep(GATHER).await;
        }
        let more = rawdoc! {
            "getMore": events.cursor, "collection": "$cmd.aggregate", "maxTimeMS": AWAIT_MS,
        };
        events = shared.upstream.batch(more).await?;
    }
}

/// What an event tells; of one that cannot be read, that there is something.
fn read(event: &RawDocument) -> Option<News> {
    let collection = event.get_document("ns").ok()?.get_str("coll").ok()?;
    if collection != WAL_ENTRIES {
        return Some(News::Catalog);
    }
    let appended = || {
        let record = event.get_document("fullDocument").ok()?;
        let branch = record.get_binary("branch_id").ok()?.bytes.try_into().ok()?;
        let last = u64::try_from(record.get_i64("last_lsn").ok()?).ok()?;
        Some(News::Appended {
            branch: BranchId::from_bytes(branch),
            last: Lsn(last),
        })
    };
    Some(appended().unwrap_or(News::Anything))
}
