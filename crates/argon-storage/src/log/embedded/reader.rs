//! Reading a branch's records out of the segments.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::Kind;
use super::frames::{Found, Frames};
use super::index::Block;
use super::shared::Shared;
use crate::log::Reading;
use crate::record::Stored;
use crate::{BranchId, Error, Lsn, Record, Result};

/// How many blocks are looked up at once.
const BLOCKS_PER_LOOKUP: usize = 256;

/// What is read beyond a block's end at first, in bytes: its last frame mostly ends there.
const SLACK_BYTES: u64 = 4 << 10;

/// Reads as [`LogStore::read`](crate::LogStore::read) promises. Blocks the thread.
pub(super) fn read(
    shared: &Shared,
    branch: BranchId,
    after: Lsn,
    up_to: Lsn,
    bytes_max: usize,
) -> Result<Vec<Record>> {
    let mut reading = Reading::new(
        shared.read().ledger.branch(branch)?,
        after,
        up_to,
        bytes_max,
    )?;
    while !reading.is_done() {
        let next = reading.next();
        let (blocks, files) = locate(shared, branch, next, reading.up_to());
        for block in &blocks {
            let Some((file, end)) = files.get(&block.segment) else {
                continue;
            };
            if !read_block(file, *end, branch, block, &mut reading)? {
                return reading.finish();
            }
        }
        if reading.next() == next {
            // `finish` says that it is missing.
            break;
        }
    }
    // A branch that was dropped meanwhile lost its blocks, not its records.
    shared.read().ledger.branch(branch)?;
    reading.finish()
}

type Files = HashMap<u64, (Arc<File>, u64)>;

fn locate(shared: &Shared, branch: BranchId, from: Lsn, up_to: Lsn) -> (Vec<Block>, Files) {
    let published = shared.read();
    let blocks = published.index.find(branch, from, up_to, BLOCKS_PER_LOOKUP);
    let mut files = HashMap::new();
    for block in &blocks {
        if let Some(segment) = published.segments.get(&block.segment) {
            files
                .entry(block.segment)
                .or_insert_with(|| (Arc::clone(&segment.file), segment.end));
        }
    }
    (blocks, files)
}

/// Feeds the branch's records that begin in `block`; false once no more are wanted.
fn read_block(
    file: &File,
    end: u64,
    branch: BranchId,
    block: &Block,
    reading: &mut Reading,
) -> Result<bool> {
    let failed = |source| {
        Error::io(
            format!("reading segment {} at byte {}", block.segment, block.offset),
            source,
        )
    };
    let wanted = block.end() - block.offset + SLACK_BYTES;
    let mut frames = Frames::new(file, block.offset, end).with_chunk(wanted);
    let mut parts: Vec<Bytes> = Vec::new();
    // A record begins with its first part.
    while frames.position() < block.end() || !parts.is_empty() {
        let Some(found) = frames.next().map_err(failed)? else {
            break;
        };
        // Damage elsewhere is somebody else's; a record of ours that it hides will be missed.
        let Found::Frame {
            header, payload, ..
        } = found
        else {
            continue;
        };
        // Where copies stand, newer records of the branch may stand too: they belong to other blocks.
        if header.branch != branch || header.last > block.last {
            continue;
        }
        let whole = |payload: Option<Bytes>| {
            payload.ok_or_else(|| reading.corrupt(header.first, "the checksum does not match"))
        };
        match header.kind {
            Kind::Part if header.last >= reading.next() => parts.push(whole(payload)?),
            Kind::Record if header.last >= reading.next() => {
                let main = whole(payload)?;
                let bytes = main.len() + parts.iter().map(Bytes::len).sum::<usize>();
                let parts = std::mem::take(&mut parts);
                let part = |index: u32| {
                    Ok(usize::try_from(index)
                        .ok()
                        .and_then(|index| parts.get(index))
                        .cloned())
                };
                if !reading.take(Stored::parse(branch, header.first, &main)?, bytes, part)? {
                    return Ok(false);
                }
            }
            _ => {}
        }
    }
    Ok(true)
}
