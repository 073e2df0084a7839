//! The segment being written: from changes to durable bytes.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::disk::{Disk, Failure, is_full};
use super::frame::{HEADER_BYTES, Header, Kind, put};
use super::index::Block;
use super::segment::{Paths, file_header};
use crate::log::catalog::encode_setting;
use crate::log::ledger::{Change, Ledger};
use crate::raw::{UUID, Writer, tag};
use crate::{BranchId, Error};

/// A segment is at least this many times as large as the checkpoint it begins with.
pub(super) const CHECKPOINT_SHARE: u64 = 16;

/// What of the buffer is kept from group to group, in bytes.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// Where a record came to stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) branch: BranchId,
    pub(super) block: Block,
    /// What it takes, in bytes.
    pub(super) bytes: u64,
}

/// What a group is made of.
#[derive(Debug)]
pub(super) enum Work {
    /// A change, checked and in order.
    Change(Change),
    /// Frames of an old segment, copied because the rest of it is gone.
    Copy(Vec<(Header, Bytes)>),
}

impl Work {
    /// How many records it places.
    pub(super) fn records(&self) -> usize {
        match self {
            Work::Change(Change::Append(_)) => 1,
            Work::Change(_) => 0,
            Work::Copy(frames) => frames
                .iter()
                .filter(|(header, _)| header.kind == Kind::Record)
                .count(),
        }
    }

    /// About what it takes in a segment, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Work::Change(Change::Append(record)) => {
                record.len() + (record.parts.len() + 1) * (HEADER_BYTES + 8)
            }
            Work::Change(change) => change.len() + HEADER_BYTES + 8,
            Work::Copy(frames) => frames
                .iter()
                .map(|(_, payload)| payload.len() + HEADER_BYTES + 8)
                .sum(),
        }
    }
}

/// The segment being written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) paths: Paths,
    pub(super) disk: Disk,
    /// From this size on, in bytes, a segment is finished and the next one begun.
    pub(super) segment_bytes: u64,
    pub(super) number: u64,
    pub(super) file: Arc<File>,
    /// How far it is written, in bytes; nothing is, not even its header, at zero.
    pub(super) position: u64,
    /// Up to where its blocks exist, filled with zeros; zero if they do not.
    pub(super) allocated: u64,
    /// What the checkpoint at its beginning takes, in bytes.
    pub(super) checkpoint_bytes: u64,
    /// The next frame's.
    pub(super) sequence: u64,
    /// Every frame with a smaller sequence is on disk.
    pub(super) durable: u64,
    pub(super) buffer: Vec<u8>,
}

impl Active {
    /// Whether a group of about this size should begin a new segment.
    pub(super) fn is_full_for(&self, bytes: usize) -> bool {
        let limit = if self.allocated > 0 {
            self.allocated
        } else {
            self.segment_bytes
        };
        // A large catalogue must not be written over and over.
        let limit = limit.max(self.checkpoint_bytes * CHECKPOINT_SHARE);
        self.position > 0 && self.position + bytes as u64 > limit
    }

    /// Whether something written is not on disk yet.
    pub(super) fn is_dirty(&self) -> bool {
        self.durable < self.sequence
    }

    /// Puts what was written on disk.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        if self.is_dirty() {
            self.disk
                .sync(&self.file)
                .map_err(|error| Failure::poison("syncing the log", &error))?;
            self.durable = self.sequence;
        }
        Ok(())
    }

    /// Begins the next segment: the spare, `spare_bytes` of zeros, or an empty file.
    pub(super) fn rotate(&mut self, spare_bytes: Option<u64>) -> Result<(), Failure> {
        self.sync()?;
        let number = self.number + 1;
        let path = self.paths.segment(number);
        let begun = || -> io::Result<File> {
            if spare_bytes.is_some() {
                fs::rename(self.paths.spare(), &path)?;
            }
            let mut options = OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            self.paths.sync()?;
            Ok(file)
        };
        let file = match begun() {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Err(full(&error)),
            Err(error) => return Err(Failure::poison("beginning a segment", &error)),
        };
        #[cfg(any(test, feature = "testing"))]
        crate::testing::crash_point("rotated");
        // Zeros left over are given back; if that fails they only take room.
        if self.allocated > self.position {
            let _ = self.file.set_len(self.position);
        }
        self.number = number;
        self.file = Arc::new(file);
        self.position = 0;
        self.allocated = spare_bytes.unwrap_or(0);
        Ok(())
    }

    /// Writes a group after what is there, and returns where its records stand, and which copies.
    /// On disk only after [`Self::sync`].
    ///
    /// `checkpoint` is needed at the beginning of a segment: [`checkpoint`] before the group.
    pub(super) fn write<'a>(
        &mut self,
        group: impl Iterator<Item = &'a Work>,
        checkpoint: Option<&[u8]>,
    ) -> Result<Vec<Placed>, Failure> {
        let sequence = self.sequence;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        if let Some(checkpoint) = checkpoint {
            buffer.extend_from_slice(&file_header(self.number, self.sequence));
            self.put(&mut buffer, Header::of(Kind::Checkpoint), checkpoint);
            self.checkpoint_bytes = checkpoint.len() as u64;
        }
        let mut placed = Vec::new();
        for work in group {
            match work {
                Work::Change(change) => self.put_change(&mut buffer, change, &mut placed),
                Work::Copy(frames) => {
                    let mut begin = None;
                    for (header, payload) in frames {
                        let offset = self.put(&mut buffer, *header, payload);
                        let begin_of = *begin.get_or_insert(offset);
                        if header.kind == Kind::Record {
                            placed.push(self.placed(header, begin_of, &buffer));
                            begin = None;
                        }
                    }
                }
            }
        }
        let written = self.disk.write(&self.file, &buffer, self.position);
        let length = buffer.len() as u64;
        buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.buffer = buffer;
        match written {
            Ok(()) => {
                self.position += length;
                Ok(placed)
            }
            Err(error) => {
                self.sequence = sequence;
                Err(self.undo(&error))
            }
        }
    }

    /// Writes the mark that the store was closed in order.
    pub(super) fn write_end(&mut self) -> Result<(), Failure> {
        if self.position == 0 {
            return Ok(());
        }
        let mut buffer = Vec::new();
        let mut writer = Writer::with_capacity(32);
        let open = writer.begin();
        writer.seal(open);
        self.put(&mut buffer, Header::of(Kind::End), &writer.into_bytes());
        match self.disk.write(&self.file, &buffer, self.position) {
            Ok(()) => {
                self.position += buffer.len() as u64;
                self.sync()
            }
            Err(error) => {
                self.sequence -= 1;
                Err(self.undo(&error))
            }
        }
    }

    /// Takes a write back that failed. What it left behind must not be found after a crash, when
    /// its records have been refused.
    fn undo(&mut self, error: &io::Error) -> Failure {
        if !is_full(error) {
            return Failure::poison("writing the log", error);
        }
        let undone = self
            .file
            .set_len(self.position)
            .and_then(|()| self.file.sync_all());
        self.allocated = 0;
        match undone {
            Ok(()) => full(error),
            Err(error) => {
                Failure::poison("taking back a write for which there was no room", &error)
            }
        }
    }

    fn put_change(&mut self, buffer: &mut Vec<u8>, change: &Change, placed: &mut Vec<Placed>) {
        match change {
            Change::Append(record) => {
                let header =
                    |kind| Header::of_record(kind, record.branch, record.first, record.last);
                let mut begin = None;
                for part in &record.parts {
                    let offset = self.put(buffer, header(Kind::Part), part);
                    begin.get_or_insert(offset);
                }
                let offset = self.put(buffer, header(Kind::Record), &record.main);
                let begin = begin.unwrap_or(offset);
                placed.push(self.placed(&header(Kind::Record), begin, buffer));
            }
            Change::CreateProject { project, main } => {
                let payload = sealed(|writer| {
                    writer.document("project", &project.encode());
                    writer.document("main", &main.encode());
                });
                self.put(buffer, Header::of(Kind::CreateProject), &payload);
            }
            Change::CreateBranch(branch) => {
                self.put(buffer, Header::of(Kind::CreateBranch), &branch.encode());
            }
            Change::DropBranch(branch) => {
                let payload = sealed(|writer| writer.binary("branch_id", UUID, branch.as_bytes()));
                self.put(buffer, Header::of(Kind::DropBranch), &payload);
            }
            Change::DropProject { project, .. } => {
                let payload =
                    sealed(|writer| writer.binary("project_id", UUID, project.as_bytes()));
                self.put(buffer, Header::of(Kind::DropProject), &payload);
            }
            Change::PutSetting { key, value } => {
                self.put(
                    buffer,
                    Header::of(Kind::PutSetting),
                    &encode_setting(key, value),
                );
            }
        }
    }

    /// Adds a frame and returns where it begins in the segment.
    fn put(&mut self, buffer: &mut Vec<u8>, header: Header, payload: &[u8]) -> u64 {
        let offset = self.position + buffer.len() as u64;
        put(
            buffer,
            Header {
                sequence: self.sequence,
                durable: self.durable,
                ..header
            },
            payload,
        );
        self.sequence += 1;
        offset
    }

    fn placed(&self, header: &Header, offset: u64, buffer: &[u8]) -> Placed {
        let (first, last) = (header.first, header.last);
        let block = Block {
            first,
            last,
            segment: self.number,
            offset,
        };
        let bytes = self.position + buffer.len() as u64 - offset;
        Placed {
            branch: header.branch,
            block,
            bytes,
        }
    }
}

fn full(error: &io::Error) -> Failure {
    Failure::Undone(Error::OutOfSpace {
        reason: error.to_string(),
    })
}

fn sealed(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::with_capacity(1024);
    let open = writer.begin();
    fill(&mut writer);
    writer.seal(open);
    writer.into_bytes()
}

/// Everything but the records, so that older segments can go.
pub(super) fn checkpoint(ledger: &Ledger, settings: &HashMap<String, Bytes>) -> Vec<u8> {
    sealed(|writer| {
        array(
            writer,
            "projects",
            ledger.project_metas().map(|meta| meta.encode()),
        );
        array(
            writer,
            "branches",
            ledger.branch_metas().map(|meta| meta.encode()),
        );
        array(
            writer,
            "settings",
            settings
                .iter()
                .map(|(key, value)| encode_setting(key, value)),
        );
    })
}

fn array(writer: &mut Writer, name: &str, documents: impl Iterator<Item = Vec<u8>>) {
    writer.name(tag::ARRAY, name);
    let open = writer.begin();
    for (index, document) in documents.enumerate() {
        writer.index(tag::DOCUMENT, index);
        writer.raw(&document);
    }
    writer.end(open);
}
