//! Sends what waits, and finds out what became of it.
//!
//! ```text
//!   take portions ─► positions known? ─► parts ─► one ordered insert ─► acknowledged: tickets complete
//!                                                  ▲        │
//!                                                  │        ├ 11000, or nobody knows: read the positions back
//!                                                  └────────┘   ours: acknowledged · another's: refused · nothing: send again
//! ```
//!
//! Sending again is safe because an attempt that arrives late can only do what was asked for: insert these bytes under
//! this key, or fail. It cannot leave a hole either, because of a branch nothing is sent before all that precedes it is
//! durable, and within a batch the insert is ordered.

use std::sync::Arc;
use std::time::Instant;

use bson::{RawArrayBuf, RawDocument, RawDocumentBuf, rawdoc};
use futures::future::join_all;

use super::keys::{part_place, part_prefix, parts_filter};
use super::lanes::Portion;
use super::upstream::{
    Attempts, DUPLICATE_KEY, Failure, Made, durable, write_concern_failure, write_error,
};
use super::{Shared, WAL_ENTRIES, WAL_PARTS};
use crate::raw::{Writer, tag};
use crate::record::Encoded;
use crate::{BranchId, Error, Lsn, Result};

/// Sends batches until nothing waits.
pub(super) async fn run(shared: Arc<Shared>) {
    while let Some(batch) = shared.lanes.take() {
        shared.send(batch).await;
    }
}

/// What reading its positions back says of a portion.
enum Resolved {
    /// The first so many are stored; nothing is at the next position.
    Stored(usize),
    /// The first so many are stored; the next position is another's, or the branch is gone.
    Lost(usize, Error),
}

impl Shared {
    async fn send(self: &Arc<Self>, batch: Vec<Portion>) {
        let oldest = batch.iter().flat_map(|portion| &portion.records);
        let oldest = oldest.map(|pending| pending.submitted).min();
        let deadline = oldest.unwrap_or_else(Instant::now) + self.upstream.patience;
        let mut attempts = Attempts::until(deadline);

        let mut batch = self.check_positions(batch).await;
        batch = self.store_parts(batch).await;
        while !batch.is_empty() {
            let failure = match self.upstream.run(insert(&batch)).await {
                Ok(reply) => match self.digest(&mut batch, &reply) {
                    Ok(()) => continue,
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            match &failure {
                Failure::Refused { code, .. } if *code == DUPLICATE_KEY => {}
                Failure::Refused { .. } => {
                    for portion in batch.drain(..) {
                        let made = made(&portion);
                        self.refuse(portion, failure.clone().into_error(made));
                    }
                    return;
                }
                Failure::Unknown(_) => batch.iter_mut().for_each(|portion| portion.perhaps = true),
                Failure::NotSent(_) => {}
            }
            if attempts.is_over() {
                for portion in batch.drain(..) {
                    let made = made(&portion);
                    let reason = reason(&failure);
                    self.refuse(portion, Failure::Unknown(reason).into_error(made));
                }
                return;
            }
            match failure {
                // The first that is left met it; the others have met nothing.
                Failure::Refused { .. } => {
                    let others = batch.split_off(1);
                    batch = self.resolve(batch).await;
                    let is_open = !batch.is_empty();
                    batch.extend(others);
                    if is_open {
                        attempts.pause().await;
                    }
                }
                Failure::Unknown(_) => {
                    attempts.pause().await;
                    batch = self.resolve(batch).await;
                }
                Failure::NotSent(_) => attempts.pause().await,
            }
        }
    }

    /// Takes in what an insert answered: what is acknowledged leaves the batch.
    ///
    /// # Errors
    /// Why the rest is not.
    fn digest(
        self: &Arc<Self>,
        batch: &mut Vec<Portion>,
        reply: &RawDocument,
    ) -> Result<(), Failure> {
        if let Some(failure) = write_concern_failure(reply) {
            return Err(failure);
        }
        let error = write_error(reply);
        // The insert is ordered: what precedes the error is stored.
        let mut stored = error.as_ref().map_or(usize::MAX, |(index, _)| *index);
        while stored > 0 && !batch.is_empty() {
            let count = batch[0].records.len().min(stored);
            stored -= count;
            let portion = &mut batch[0];
            if self.acknowledge(portion, count) {
                let portion = batch.remove(0);
                self.finish(&portion);
            }
        }
        match error {
            None => Ok(()),
            Some((_, failure)) => {
                // Only the first that is left met it; to find the others' outcome, they are sent again.
                if let Failure::Refused { code, .. } = &failure
                    && *code != DUPLICATE_KEY
                    && !batch.is_empty()
                {
                    let portion = batch.remove(0);
                    let made = made(&portion);
                    self.refuse(portion, failure.into_error(made));
                    return Ok(());
                }
                Err(failure)
            }
        }
    }

    /// Completes the first `count` tickets of a portion; true if none is left.
    fn acknowledge(self: &Arc<Self>, portion: &mut Portion, count: usize) -> bool {
        let mut last = None;
        let count = count.min(portion.records.len());
        let done: Vec<_> = portion.records.drain(..count).collect();
        let mut bytes = 0;
        for pending in &done {
            last = Some((pending.record.first, pending.record.last));
            bytes += pending.record.len();
        }
        if let Some((first, last)) = last {
            self.lanes.learn(portion.branch, first, last);
            portion.bytes_done += bytes;
        }
        for pending in done {
            pending.complete(Ok(()));
        }
        portion.records.is_empty()
    }

    fn finish(self: &Arc<Self>, portion: &Portion) {
        if self.lanes.stored(portion.branch, portion.bytes_done) {
            self.start_sender();
        }
    }

    /// Refuses what is left of a portion, and all that waits behind it.
    fn refuse(self: &Arc<Self>, portion: Portion, error: Error) {
        let left: usize = portion.records.iter().map(|p| p.record.len()).sum();
        let branch = portion.branch;
        let gone = matches!(error, Error::BranchGone { .. });
        // Before anyone is told, so that what is decided on top of it meets a closed lane.
        let behind = self.lanes.refused(branch, left + portion.bytes_done, gone);
        let head = self.lanes.durable(branch).map_or(Lsn::ZERO, |end| end.last);
        // What was sent together shares the outcome; what was not sent was not stored.
        let sent_with_it = |record: &Encoded| match &error {
            Error::Taken { .. } => gap(record, head),
            other => other.clone(),
        };
        let behind_it = |record: &Encoded| match &error {
            Error::Unknown { reason } => Error::Unavailable {
                reason: reason.clone(),
            },
            Error::BranchGone { .. } | Error::Unavailable { .. } => error.clone(),
            _ => gap(record, head),
        };
        self.discard_parts(branch, &portion, &error);
        for (index, pending) in portion.records.into_iter().enumerate() {
            let error = match index {
                0 => error.clone(),
                _ => sent_with_it(&pending.record),
            };
            pending.complete(Err(error));
        }
        for pending in behind {
            let error = behind_it(&pending.record);
            pending.complete(Err(error));
        }
    }

    /// Compares where portions begin with where their logs end, unless that is known.
    async fn check_positions(self: &Arc<Self>, batch: Vec<Portion>) -> Vec<Portion> {
        let checks = batch.iter().map(async |portion| {
            let first = portion
                .records
                .front()
                .map(|pending| pending.record.first)?;
            if !portion.unchecked {
                return None;
            }
            let branch = portion.branch;
            match self.head(branch).await {
                Ok(head) if first == head.next() => None,
                Ok(head) if first > head => Some(Error::Gap {
                    branch,
                    first,
                    head,
                }),
                Ok(head) => Some(Error::Taken {
                    branch,
                    first,
                    head,
                }),
                Err(error) => Some(error),
            }
        });
        let errors = join_all(checks).await;
        self.keep(batch, errors)
    }

    /// Refuses the portions that have an error; the others go on.
    fn keep(self: &Arc<Self>, batch: Vec<Portion>, errors: Vec<Option<Error>>) -> Vec<Portion> {
        let mut kept = Vec::with_capacity(batch.len());
        for (portion, error) in batch.into_iter().zip(errors) {
            match error {
                None => kept.push(portion),
                Some(error) => self.refuse(portion, error),
            }
        }
        kept
    }

    /// Stores the parts of records that have some: before the records, which make them count.
    async fn store_parts(self: &Arc<Self>, batch: Vec<Portion>) -> Vec<Portion> {
        let mut errors = Vec::with_capacity(batch.len());
        for portion in &batch {
            let mut error = None;
            for pending in &portion.records {
                if error.is_none() && !pending.record.parts.is_empty() {
                    error = self.store_parts_of(&pending.record).await.err();
                }
            }
            errors.push(error.map(|error| match error {
                // Parts alone change nothing.
                Error::Unknown { reason } => Error::Unavailable { reason },
                error => error,
            }));
        }
        self.keep(batch, errors)
    }

    async fn store_parts_of(&self, record: &Encoded) -> Result<()> {
        let prefix = prefix(record);
        let branch = super::keys::uuid(record.branch.as_bytes());
        for (index, part) in (0u32..).zip(&record.parts) {
            let id = part_place(&prefix, index);
            let part = RawDocumentBuf::from_bytes(part.to_vec())
                .map_err(|error| Error::invalid(format!("a part is no document: {error}")))?;
            // Storing the same part once more changes nothing, so an attempt nobody knows of can be made again.
            let update = rawdoc! {
                "q": {"_id": id.clone(), "branch_id": branch.clone()},
                "u": {"_id": id, "branch_id": branch.clone(), "part": part},
                "upsert": true,
            };
            let mut updates = RawArrayBuf::new();
            updates.push(update);
            let command =
                rawdoc! {"update": WAL_PARTS, "updates": updates, "writeConcern": durable()};
            let reply = self.upstream.persist(command).await?;
            if let Some((_, failure)) = write_error(&reply) {
                return Err(failure.into_error(Made::No));
            }
        }
        Ok(())
    }

    /// Removes the parts of records that were refused for good, in the background; `keeper` finds what this misses.
    fn discard_parts(self: &Arc<Self>, branch: BranchId, portion: &Portion, error: &Error) {
        if matches!(error, Error::Unknown { .. }) {
            return;
        }
        for pending in &portion.records {
            if pending.record.parts.is_empty() {
                continue;
            }
            let mut deletes = RawArrayBuf::new();
            let filter = parts_filter(branch, &prefix(&pending.record));
            deletes.push(rawdoc! {"q": filter, "limit": 0});
            let command = rawdoc! {"delete": WAL_PARTS, "deletes": deletes};
            let shared = Arc::clone(self);
            self.runtime.spawn(async move {
                // What it does not remove is removed later.
                let _ = shared.upstream.run(command).await;
            });
        }
    }

    /// Reads the positions of a batch back. What is acknowledged or refused by that leaves it.
    async fn resolve(self: &Arc<Self>, batch: Vec<Portion>) -> Vec<Portion> {
        let resolved = join_all(batch.iter().map(|portion| self.read_back(portion))).await;
        let mut left = Vec::with_capacity(batch.len());
        for (mut portion, resolved) in batch.into_iter().zip(resolved) {
            match resolved {
                // Nothing new is known.
                Err(_) => left.push(portion),
                Ok(Resolved::Stored(count)) => {
                    if self.acknowledge(&mut portion, count) {
                        self.finish(&portion);
                    } else {
                        left.push(portion);
                    }
                }
                Ok(Resolved::Lost(count, error)) => {
                    self.acknowledge(&mut portion, count);
                    self.refuse(portion, error);
                }
            }
        }
        left
    }

    async fn read_back(&self, portion: &Portion) -> Result<Resolved, Failure> {
        let branch = portion.branch;
        let (Some(front), Some(back)) = (portion.records.front(), portion.records.back()) else {
            return Ok(Resolved::Stored(0));
        };
        let (from, to) = (front.record.first, back.record.last);
        let found = match self.outlines(branch, from, to).await? {
            Ok(found) => found,
            Err(error) => return Ok(Resolved::Lost(0, error)),
        };
        let mut stored = 0;
        for (pending, outline) in portion.records.iter().zip(&found) {
            let ours = pending.record.first == outline.first
                && pending.record.identity == outline.identity;
            if !ours {
                break;
            }
            stored += 1;
        }
        let (Some(next), Some(other)) = (portion.records.get(stored), found.get(stored)) else {
            return Ok(Resolved::Stored(stored));
        };
        if other.is_seal {
            return Ok(Resolved::Lost(stored, Error::BranchGone { branch }));
        }
        // The end of another's record: where the branch goes on.
        self.lanes.learn(branch, other.first, other.last);
        Ok(Resolved::Lost(
            stored,
            Error::Taken {
                branch,
                first: next.record.first,
                head: other.last,
            },
        ))
    }
}

fn made(portion: &Portion) -> Made {
    if portion.perhaps {
        Made::Perhaps
    } else {
        Made::No
    }
}

fn reason(failure: &Failure) -> String {
    match failure {
        Failure::NotSent(reason) | Failure::Unknown(reason) => reason.clone(),
        Failure::Refused { message, .. } => message.clone(),
    }
}

fn gap(record: &Encoded, head: Lsn) -> Error {
    Error::Gap {
        branch: record.branch,
        first: record.first,
        head,
    }
}

fn prefix(record: &Encoded) -> Vec<u8> {
    let identity = record.identity;
    part_prefix(
        record.branch,
        record.first,
        identity.writer,
        identity.cluster_time,
    )
}

/// The command that inserts a batch. Written as bytes: the records are documents already.
fn insert(batch: &[Portion]) -> RawDocumentBuf {
    let records = || batch.iter().flat_map(|portion| &portion.records);
    let bytes: usize = records().map(|pending| pending.record.main.len() + 8).sum();
    let mut writer = Writer::with_capacity(bytes + 256);
    let command = writer.begin();
    writer.string("insert", WAL_ENTRIES);
    writer.name(tag::ARRAY, "documents");
    let documents = writer.begin();
    for (index, pending) in records().enumerate() {
        writer.index(tag::DOCUMENT, index);
        writer.raw(&pending.record.main);
    }
    writer.end(documents);
    writer.boolean("ordered", true);
    writer.document("writeConcern", durable().as_bytes());
    writer.end(command);
    RawDocumentBuf::from_bytes(writer.into_bytes()).expect("the writer frames documents")
}
