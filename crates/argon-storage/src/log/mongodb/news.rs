//! What other processes write, as MongoDB's change stream tells it: a hint that wakes caches up, never the truth.

use std::sync::Arc;
use std::time::Duration;

use bson::{RawDocument, RawDocumentBuf, doc};
use futures::StreamExt;
use mongodb::change_stream::ChangeStream;
use tokio::time::sleep;

use super::{BRANCHES, PROJECTS, Shared, WAL_ENTRIES};
use crate::log::News;
use crate::{BranchId, Lsn};

/// The most news a receiver may lag behind.
pub(super) const NEWS_MAX: usize = 1024;

/// The pause before a stream that ended is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches for as long as the store is open.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        match open(&shared).await {
            Ok(mut stream) => {
                // What happened before it was open is not told.
                shared.tell(News::Anything);
                while let Some(event) = stream.next().await {
                    match event {
                        Ok(event) => {
                            if let Some(news) = read(&event) {
                                shared.tell(news);
                            }
                        }
                        Err(error) => {
                            tracing::debug!(%error, "the change stream of the log has ended");
                            break;
                        }
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "cannot watch the log"),
        }
        shared.tell(News::Anything);
        sleep(PAUSE).await;
    }
}

async fn open(shared: &Shared) -> mongodb::error::Result<ChangeStream<RawDocumentBuf>> {
    // Removed records are no news. Of the rest, only what `read` needs travels.
    let pipeline = [
        doc! {"$match": {"$or": [
            {"operationType": "insert", "ns.coll": WAL_ENTRIES},
            {"ns.coll": {"$in": [BRANCHES, PROJECTS]}},
        ]}},
        doc! {"$project": {"ns.coll": 1, "fullDocument.branch_id": 1, "fullDocument.last_lsn": 1}},
    ];
    let stream = shared.upstream.database.watch().pipeline(pipeline).await?;
    Ok(stream.with_type())
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
