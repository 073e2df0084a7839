//! The log as it stands in the deployment: where it ends, what it holds.

use bson::{RawDocument, RawDocumentBuf, rawdoc};
use bytes::Bytes;

use super::keys::{part_prefix, parts_filter, record_id, records_filter, uuid};
use super::lanes::End;
use super::upstream::{
    Attempts, Deployment, Failure, Find, HeadLevel, Level, Made, Upstream, durable,
};
use super::{BRANCHES, SETTINGS, Shared, WAL_ENTRIES, WAL_PARTS};
use crate::log::Reading;
use crate::record::{Identity, Stored, record_place};
use crate::{BranchId, Error, Lsn, Operation, Record, Result};

/// The most documents asked for at a time. MongoDB ends a reply at 16 MiB anyway.
const DOCUMENTS_MAX: i64 = 100_000;

/// A stored record is hardly ever smaller, in bytes: how many documents are worth asking for.
const RECORD_BYTES: usize = 256;

/// What can be told of a record without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    pub(super) identity: Identity,
    pub(super) is_seal: bool,
}

impl Outline {
    fn of(branch: BranchId, document: &RawDocument) -> Result<Self> {
        let read = || {
            let int64 = |name| document.get_i64(name).ok();
            let first = u64::try_from(int64("lsn")?).ok()?;
            let last = u64::try_from(int64("last_lsn")?).ok()?;
            let time = document.get_timestamp("cluster_time").ok()?;
            let writer = document.get_binary("writer").ok()?;
            Some(Outline {
                first: Lsn(first),
                last: Lsn(last),
                identity: Identity {
                    writer: crate::WriterId::from_bytes(writer.bytes.try_into().ok()?),
                    cluster_time: crate::ClusterTime::new(time.time, time.increment),
                    checksum: document.get_i32("checksum").ok()?,
                },
                is_seal: document.get_str("operation").ok()? == Operation::Seal.name(),
            })
        };
        read().ok_or_else(|| Error::Corrupt {
            branch,
            lsn: Lsn(document
                .get_i64("lsn")
                .ok()
                .and_then(|lsn| u64::try_from(lsn).ok())
                .unwrap_or_default()),
            reason: "a field is missing".into(),
        })
    }

    fn projection() -> RawDocumentBuf {
        rawdoc! {
            "lsn": 1, "last_lsn": 1, "writer": 1, "cluster_time": 1, "operation": 1, "checksum": 1,
        }
    }
}

/// A query for the records of `branch` that begin from `from` to `to`.
fn records(branch: BranchId, from: Lsn, to: Lsn) -> Find {
    Find::new(WAL_ENTRIES, records_filter(branch, from, to))
}

impl Shared {
    /// The end of the branch's log: everything acknowledged is before it, and everything before it is durable.
    pub(super) async fn head(&self, branch: BranchId) -> Result<Lsn> {
        let mut attempts = Attempts::new(self.upstream.patience);
        loop {
            match self.head_once(branch).await {
                Ok(head) => return head,
                Err(failure) => attempts.again(failure, Made::No).await?,
            }
        }
    }

    async fn head_once(&self, branch: BranchId) -> Result<Result<Lsn>, Failure> {
        let known = self.lanes.durable(branch);
        let level = match (self.upstream.head_level, known) {
            (HeadLevel::Linearizable, _) => Level::Linearizable,
            // A router does not know which shard to ask for bounds of an index.
            (HeadLevel::Primary, Some(end)) if self.upstream.deployment != Deployment::Sharded => {
                if self.is_end(branch, end).await? {
                    return Ok(Ok(end.last));
                }
                // There is more; or less, which the answer to this tells too.
                match self.upstream.deployment {
                    Deployment::Standalone => Level::Local,
                    _ => Level::Majority,
                }
            }
            (HeadLevel::Primary, _) => Level::Local,
        };
        let known = known.map(|end| end.last);
        let last = match self.last_outline(branch, level).await? {
            Ok(Some(last)) => last,
            Ok(None) => {
                // The base never changes, and a branch that was dropped has a seal.
                if let Some(base) = self.lanes.base(branch) {
                    return match known {
                        Some(known) if known > base => Err(stale(known)),
                        _ => Ok(Ok(base)),
                    };
                }
                return self.find_base(branch).await;
            }
            Err(error) => return Ok(Err(error)),
        };
        if last.is_seal {
            self.lanes.bury(branch);
            return Ok(Err(Error::BranchGone { branch }));
        }
        match known {
            // The member that answered has not seen what was acknowledged: it is no primary any more.
            Some(known) if last.last < known => return Err(stale(known)),
            Some(known) if last.last == known => return Ok(Ok(known)),
            _ => {}
        }
        // Even what this process has under way: another may have read it already, and told a client.
        let durable = match (level, self.upstream.deployment) {
            (Level::Linearizable | Level::Majority, _) => last,
            (Level::Local, Deployment::Standalone) => {
                self.upstream.barrier().await?;
                last
            }
            (Level::Local, _) => match self.last_outline(branch, Level::Majority).await? {
                Ok(Some(last)) if last.is_seal => {
                    self.lanes.bury(branch);
                    return Ok(Err(Error::BranchGone { branch }));
                }
                Ok(Some(last)) => last,
                // It was rolled back.
                Ok(None) => return self.find_base(branch).await,
                Err(error) => return Ok(Err(error)),
            },
        };
        self.lanes.learn(branch, durable.first, durable.last);
        let head = self.lanes.durable(branch);
        Ok(Ok(head.map_or(durable.last, |end| end.last)))
    }

    /// Whether the record that ends at `end` is there, and the last of its branch.
    ///
    /// Nearly every strong read asks this and nothing else. The index and the bounds in it are named, so that the server
    /// has no plan to make, and keys are all that it answers.
    async fn is_end(&self, branch: BranchId, end: End) -> Result<bool, Failure> {
        let from = record_id(branch, end.first.unwrap_or_else(|| end.last.next()));
        let keys = self.upstream.keys(rawdoc! {
            "find": WAL_ENTRIES,
            "min": {"_id": from.clone()},
            "max": {"_id": record_id(branch, Lsn::MAX)},
            "hint": {"_id": 1},
            "returnKey": true,
            "limit": 2,
            "singleBatch": true,
        });
        let keys = keys.await?;
        let mut keys = keys.iter().map(|key| key.get_binary("_id").ok());
        let is_there = match end.first {
            Some(_) => keys
                .next()
                .flatten()
                .is_some_and(|key| key.bytes == from.bytes),
            None => true,
        };
        Ok(is_there && keys.next().is_none())
    }

    /// The base of a branch that has no records.
    async fn find_base(&self, branch: BranchId) -> Result<Result<Lsn>, Failure> {
        let mut find = Find::new(BRANCHES, rawdoc! {"_id": uuid(branch.as_bytes())});
        find.limit = Some(1);
        let found = self.upstream.find(&find).await?;
        let Some(document) = found.documents.first() else {
            return Ok(Err(Error::BranchGone { branch }));
        };
        Ok(match super::catalog::living_branch(document) {
            Ok(Some(meta)) => {
                self.lanes.learn_base(branch, meta.base());
                Ok(meta.base())
            }
            Ok(None) => Err(Error::BranchGone { branch }),
            Err(error) => Err(error),
        })
    }

    /// The last record of the branch.
    pub(super) async fn last_outline(
        &self,
        branch: BranchId,
        level: Level,
    ) -> Result<Result<Option<Outline>>, Failure> {
        let mut find = records(branch, Lsn::ZERO, Lsn::MAX);
        find.sort = Some(rawdoc! {"_id": -1});
        find.projection = Some(Outline::projection());
        find.limit = Some(1);
        find.level = level;
        let found = self.upstream.find(&find).await?;
        let outline = found.documents.first();
        let outline = outline.map(|document| Outline::of(branch, document));
        Ok(outline.transpose())
    }

    /// What a majority has of the records that begin from `from` to `to`.
    pub(super) async fn outlines(
        &self,
        branch: BranchId,
        from: Lsn,
        to: Lsn,
    ) -> Result<Result<Vec<Outline>>, Failure> {
        let mut find = records(branch, from, to);
        find.sort = Some(rawdoc! {"_id": 1});
        find.projection = Some(Outline::projection());
        find.level = Level::Majority;
        let found = self.upstream.find(&find).await?;
        let outlines = found.documents.iter();
        Ok(outlines
            .map(|document| Outline::of(branch, document))
            .collect())
    }

    pub(super) async fn read(
        &self,
        branch: BranchId,
        after: Lsn,
        up_to: Lsn,
        bytes_max: usize,
    ) -> Result<Vec<Record>> {
        if self.lanes.is_gone(branch) {
            return Err(Error::BranchGone { branch });
        }
        let from = self.from(branch, after).await?;
        let mut reading = Reading::range(branch, from, up_to, bytes_max);
        if up_to == Lsn::MAX || reading.is_done() {
            // Nobody has asked yet where the log ends, and whether it is there.
            let head = self.head(branch).await?;
            reading = Reading::range(branch, from, up_to.min(head), bytes_max);
        }
        // What is found up to a known end needs no further question: a log never changes.
        let mut asked_head = up_to == Lsn::MAX;
        while !reading.is_done() {
            let before = reading.next();
            let found = self.records_from(branch, &reading, bytes_max).await?;
            for document in found {
                let bytes = Bytes::from(document.into_bytes());
                let place = record_place(&bytes).map(|(_, first, _)| first);
                let stored = Stored::parse(branch, place.unwrap_or(before), &bytes)?;
                if stored.operation() == Operation::Seal {
                    self.lanes.bury(branch);
                    return Err(Error::BranchGone { branch });
                }
                let mut parts = self.parts(branch, &stored).await?.into_iter();
                let stored_bytes =
                    bytes.len() + parts.as_slice().iter().map(Bytes::len).sum::<usize>();
                if !reading.take(stored, stored_bytes, |_| Ok(parts.next()))? {
                    break;
                }
            }
            if reading.is_done() || reading.next() > before {
                continue;
            }
            if asked_head {
                // Dropped in between, or missing.
                self.head(branch).await?;
                return reading.finish();
            }
            // Nothing is there: the log ends before `up_to`, or lies below, in the ancestors'.
            asked_head = true;
            let head = self.head(branch).await?;
            reading = Reading::range(branch, from, up_to.min(head), bytes_max);
        }
        reading.finish()
    }

    /// The first position after `after` that can be in the branch's own log.
    async fn from(&self, branch: BranchId, after: Lsn) -> Result<Lsn> {
        if let Some(base) = self.lanes.base(branch) {
            return Ok(after.max(base).next());
        }
        let mut attempts = Attempts::new(self.upstream.patience);
        loop {
            match self.find_base(branch).await {
                Ok(base) => return Ok(after.max(base?).next()),
                Err(failure) => attempts.again(failure, Made::No).await?,
            }
        }
    }

    /// The next documents that `reading` wants, the one that holds its next position first.
    async fn records_from(
        &self,
        branch: BranchId,
        reading: &Reading,
        bytes_max: usize,
    ) -> Result<Vec<RawDocumentBuf>> {
        let next = reading.next();
        let wanted = i64::try_from(bytes_max / RECORD_BYTES).unwrap_or(DOCUMENTS_MAX);
        let mut find = records(branch, next, reading.up_to());
        find.sort = Some(rawdoc! {"_id": 1});
        find.limit = Some(wanted.clamp(1, DOCUMENTS_MAX));
        find.level = Level::Majority;
        let mut found = self.upstream.query(&find).await?.documents;
        let starts = found
            .first()
            .is_some_and(|document| document.get_i64("lsn").ok() == Some(next.0.cast_signed()));
        if !starts {
            // The record that holds the position began before it.
            let mut find = records(branch, Lsn::ZERO, next);
            find.sort = Some(rawdoc! {"_id": -1});
            find.limit = Some(1);
            find.level = Level::Majority;
            let before = self.upstream.query(&find).await?;
            let holds = |document: &RawDocumentBuf| {
                let last = document.get_i64("last_lsn").unwrap_or_default();
                last >= next.0.cast_signed()
            };
            found.splice(0..0, before.documents.into_iter().filter(holds));
        }
        Ok(found)
    }

    async fn parts(&self, branch: BranchId, stored: &Stored) -> Result<Vec<Bytes>> {
        if stored.parts() == 0 {
            return Ok(Vec::new());
        }
        let prefix = part_prefix(
            branch,
            stored.first(),
            stored.writer(),
            stored.cluster_time(),
        );
        let mut find = Find::new(WAL_PARTS, parts_filter(branch, &prefix));
        find.sort = Some(rawdoc! {"_id": 1});
        find.level = Level::Majority;
        let found = self.upstream.query(&find).await?;
        let parts = found.documents.iter().filter_map(|document| {
            let part = document.get_document("part").ok()?;
            Some(Bytes::copy_from_slice(part.as_bytes()))
        });
        Ok(parts.collect())
    }
}

fn stale(known: Lsn) -> Failure {
    Failure::NotSent(format!(
        "the member that answers has not seen LSN {known}, which is durable"
    ))
}

impl Upstream {
    /// Waits until everything the process has is in its journal.
    async fn barrier(&self) -> Result<(), Failure> {
        let mut updates = bson::RawArrayBuf::new();
        // Matches nothing, changes nothing, and is acknowledged as every write.
        updates.push(rawdoc! {"q": {"_id": "barrier"}, "u": {"$unset": {"value": 1}}});
        let command = rawdoc! {"update": SETTINGS, "updates": updates, "writeConcern": durable()};
        let reply = self.run(command).await?;
        match super::upstream::write_concern_failure(&reply) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }
}
