//! The thread behind: prepares the next segment's file, writes summaries, gives space back.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::active::{Placed, Work};
use super::frame::{Header, Kind};
use super::frames::{Found, Frames};
use super::index::Block;
use super::recovery::summarize;
use super::segment::Paths;
use super::shared::{Done, Shared, Spare, Task};
use crate::{BranchId, Error, Result};

/// Zeros are written in steps of this many bytes, with a pause, so that commits hardly notice.
const ZERO_BYTES: usize = 512 << 10;
const ZERO_PAUSE: Duration = Duration::from_millis(4);

/// Copies are made in steps of this many bytes: commits wait for one step at most.
const COPY_BYTES: usize = 1 << 20;

/// A segment is cleaned when less than this share of it is still needed.
const CLEAN_SHARE: u64 = 2;

pub(super) struct Keeper {
    shared: Arc<Shared>,
    paths: Paths,
    /// Segments that could not be cleaned: trying again would only copy the same again.
    given_up: HashSet<u64>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, paths: Paths) -> Self {
        Keeper {
            shared,
            paths,
            given_up: HashSet::new(),
        }
    }

    /// Works until told to stop.
    pub(super) fn run(mut self) {
        loop {
            let done = match self.shared.next_task() {
                Task::Stop => return,
                Task::Prepare(bytes) => self.prepare(bytes),
                Task::Summarize(number) => self.summarize(number),
                Task::Clean => self.clean(),
            };
            if let Err(error) = done {
                // Nothing is lost: commits go on without a spare, opening reads the whole segment,
                // and space is given back the next time.
                tracing::warn!(%error, "housekeeping of the data directory");
            }
        }
    }

    fn prepare(&self, bytes: u64) -> Result<()> {
        let outcome = self.fill_spare(bytes);
        let mut spare = self.shared.spare.lock();
        *spare = match outcome {
            Ok(true) => Spare::Ready { bytes },
            Ok(false) | Err(_) => {
                let _ = std::fs::remove_file(self.paths.spare());
                Spare::None
            }
        };
        outcome
            .map(drop)
            .map_err(|source| Error::io("preparing a segment", source))
    }

    fn fill_spare(&self, bytes: u64) -> io::Result<bool> {
        let mut file = File::create(self.paths.spare())?;
        let mut zeros: &[u8] = &vec![0; ZERO_BYTES];
        let mut missing = bytes;
        while missing > 0 {
            if self.shared.is_stopping() {
                return Ok(false);
            }
            // Not a byte more than asked for: a small segment's spare would be mostly waste.
            zeros = &zeros[..zeros
                .len()
                .min(usize::try_from(missing).unwrap_or(ZERO_BYTES))];
            file.write_all(zeros)?;
            file.sync_data()?;
            missing -= zeros.len() as u64;
            thread::sleep(ZERO_PAUSE);
        }
        file.sync_all()?;
        Ok(true)
    }

    fn summarize(&self, number: u64) -> Result<()> {
        let file = self
            .shared
            .read()
            .segments
            .get(&number)
            .map(|found| Arc::clone(&found.file));
        match file {
            Some(file) => summarize(&self.paths, number, &file),
            None => Ok(()),
        }
    }

    /// Removes segments of which nothing is needed, after copying what little is.
    fn clean(&mut self) -> Result<()> {
        for number in self.candidates() {
            if self.shared.is_stopping() {
                return Ok(());
            }
            if let Err(error) = self.clean_segment(number) {
                self.given_up.insert(number);
                return Err(error);
            }
        }
        Ok(())
    }

    fn clean_segment(&self, number: u64) -> Result<()> {
        let copies = self.copy(number)?;
        let mut file = None;
        self.shared.publish(|published| {
            let ledger = &published.ledger;
            let living = copies
                .iter()
                .filter(|(branch, _)| ledger.has_branch(*branch));
            published.index.replace(number, living);
            file = published.segments.remove(&number);
        });
        // Readers that have found it hold the file.
        drop(file);
        tracing::debug!(segment = number, copied = copies.len(), "segment cleaned");
        self.paths
            .remove(number)
            .map_err(|source| Error::io(format!("removing segment {number}"), source))
    }

    /// Finished segments that are mostly not needed any more.
    fn candidates(&self) -> Vec<u64> {
        let published = self.shared.read();
        let mut candidates = Vec::new();
        for (number, segment) in published.segments.range(..published.checkpointed) {
            let needed: u64 = segment
                .sizes
                .iter()
                .filter(|(branch, _)| !published.index.in_segment(**branch, *number).is_empty())
                .map(|(_, bytes)| bytes)
                .sum();
            if needed * CLEAN_SHARE < segment.end && !self.given_up.contains(number) {
                candidates.push(*number);
            }
        }
        candidates
    }

    /// Copies what is needed of a segment to the log's end; where it is now.
    fn copy(&self, number: u64) -> Result<Vec<(BranchId, Block)>> {
        let (file, end, blocks) = {
            let published = self.shared.read();
            let Some(segment) = published.segments.get(&number) else {
                return Ok(Vec::new());
            };
            let mut blocks: Vec<(BranchId, Block)> = Vec::new();
            for branch in segment.sizes.keys() {
                let of_branch = published.index.in_segment(*branch, number);
                blocks.extend(of_branch.into_iter().map(|block| (*branch, block)));
            }
            (Arc::clone(&segment.file), segment.end, blocks)
        };
        let mut copies = Vec::new();
        let mut step = Vec::new();
        let mut bytes = 0;
        for (branch, block) in blocks {
            for record in records(&file, end, branch, &block, number)? {
                bytes += record
                    .iter()
                    .map(|(_, payload)| payload.len())
                    .sum::<usize>();
                step.extend(record);
                if bytes >= COPY_BYTES {
                    copies.extend(self.append(std::mem::take(&mut step))?);
                    bytes = 0;
                }
            }
        }
        if !step.is_empty() {
            copies.extend(self.append(step)?);
        }
        Ok(copies)
    }

    fn append(&self, frames: Vec<(Header, Bytes)>) -> Result<Vec<(BranchId, Block)>> {
        let (done, copied) = oneshot::channel();
        self.shared
            .enqueue(Work::Copy(frames), Done::Copied(done))?;
        let placed: Vec<Placed> = copied.blocking_recv().map_err(|_| Error::Closed)??;
        Ok(placed
            .into_iter()
            .map(|placed| (placed.branch, placed.block))
            .collect())
    }
}

type Frame = (Header, Bytes);

/// The records of a branch that begin in `block`, each with its parts before it.
fn records(
    file: &File,
    end: u64,
    branch: BranchId,
    block: &Block,
    number: u64,
) -> Result<Vec<Vec<Frame>>> {
    let failed = |source| Error::io(format!("reading segment {number}"), source);
    let mut records = Vec::new();
    let mut record: Vec<Frame> = Vec::new();
    let mut next = block.first;
    let mut frames = Frames::new(file, block.offset, end);
    while frames.position() < block.end() || !record.is_empty() {
        let Some(found) = frames.next().map_err(failed)? else {
            break;
        };
        let Found::Frame {
            header, payload, ..
        } = found
        else {
            continue;
        };
        let is_meant = header.first >= next && header.last <= block.last;
        if header.branch != branch || !is_meant {
            continue;
        }
        // A damaged record is kept where it is: its segment stays.
        let damaged = |lsn, reason: &str| Error::Corrupt {
            branch,
            lsn,
            reason: reason.into(),
        };
        let payload =
            payload.ok_or_else(|| damaged(header.first, "the checksum does not match"))?;
        record.push((header, payload));
        if header.kind == Kind::Record {
            if header.first != next {
                return Err(damaged(next, "the record is missing"));
            }
            next = header.last.next();
            records.push(std::mem::take(&mut record));
        }
    }
    if next != block.last.next() {
        return Err(Error::Corrupt {
            branch,
            lsn: next,
            reason: "the record is missing".into(),
        });
    }
    Ok(records)
}
