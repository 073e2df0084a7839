//! Tailable cursors: the documents of a capped collection as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use argon_mql::filter::Filter;
use argon_mql::stage::{Context, Source};
use argon_mql::{Error, ErrorCode, Result};
use bytes::Bytes;
use parking_lot::Mutex;

use super::find::{Find, finish};
use crate::state::{Collection, RecordId};

/// Documents looked at between two looks at the command's interruption.
const TURN: u32 = 256;

/// The place of a tailable cursor: where it stands, and in which state of its collection.
#[derive(Clone)]
pub struct Tail {
    view: Arc<Mutex<Arc<Collection>>>,
    /// The last record looked at; 0 before the first.
    position: Arc<AtomicU64>,
}

impl Tail {
    /// Goes on in a newer state, in which `collection` has the name that the cursor was opened on.
    ///
    /// # Errors
    /// [`ErrorCode::QueryPlanKilled`] if it is another collection or none, [`ErrorCode::CappedPositionLost`] if what the
    /// cursor saw last is gone: documents may have come and gone unseen.
    pub fn advance(&self, collection: Option<&Arc<Collection>>) -> Result<()> {
        let mut view = self.view.lock();
        let uuid = view.options.uuid();
        let Some(now) = collection.filter(|now| now.options.uuid() == uuid) else {
            let uuid = bson::Uuid::from_bytes(uuid);
            return Err(Error::new(
                ErrorCode::QueryPlanKilled,
                format!("collection dropped. UUID {uuid}"),
            ));
        };
        let position = self.position.load(Ordering::Relaxed);
        if position > 0 && now.document(RecordId(position)).is_none() {
            return Err(Error::new(
                ErrorCode::CappedPositionLost,
                format!(
                    "Executor error during getMore :: caused by :: CollectionScan died due to failure to restore tailable \
                     cursor position. Last seen record id: RecordId({position})"
                ),
            ));
        }
        *view = Arc::clone(now);
        Ok(())
    }
}

/// Opens a tailable query. Unlike other sources its may have more after an end, once the tail has been advanced.
pub fn tail(collection: &Arc<Collection>, query: &Find) -> (Box<dyn Source>, Tail) {
    let tail = Tail {
        view: Arc::new(Mutex::new(Arc::clone(collection))),
        position: Arc::default(),
    };
    let filter = query.filter.clone().unwrap_or_else(Filter::all);
    let needs = query.needs();
    let matching = needs.matched.then(|| filter.clone());
    let source = Tailing {
        tail: tail.clone(),
        filter,
        record_id: needs.record_id,
    };
    (finish(Box::new(source), query, None, matching), tail)
}

struct Tailing {
    tail: Tail,
    filter: Filter,
    record_id: bool,
}

impl Source for Tailing {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        let collection = Arc::clone(&self.tail.view.lock());
        let position = self.tail.position.load(Ordering::Relaxed);
        let after = (position > 0).then_some(RecordId(position));
        let mut turns = 0;
        for (record, document) in collection.after(after) {
            turns += 1;
            if turns % TURN == 0 {
                (cx.env.check_interrupt)()?;
            }
            self.tail.position.store(record.0, Ordering::Relaxed);
            if self.filter.matches(document, cx.env)? {
                return Ok(Some(if self.record_id {
                    super::find::with_record_id(document, record)
                } else {
                    document.clone()
                }));
            }
        }
        Ok(None)
    }
}
