//! What does not fit the memory of a blocking stage, and where it goes.
//!
//! ```text
//! stage ── full: a sorted run ──> Runs ── Area::create ──> a temporary file
//!          at the end             Runs::merge ──> Merge ──> records by key, equal ones by arrival
//! ```
//!
//! The files themselves are made above this crate, which does no I/O: an [`Area`] comes in with the
//! [`Context`](crate::stage::Context) if the command allows the use of disk. A stage has one file at most, which
//! is gone when the stage is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;

use crate::{Error, ErrorCode, Result};

/// Bytes that a blocking stage may hold in memory.
///
/// Source: MongoDB manual, "Aggregation Pipeline Limits".
pub const STAGE_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Most runs that are merged at once: with [`STAGE_BYTES_MAX`] each, 100 GiB.
const RUNS_MAX: usize = 1024;

/// Bytes read from a run at a time.
const READ_BYTES: usize = 64 * 1024;

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1024 * 1024;

/// Where stages put what exceeds their memory.
pub trait Area: Send + Sync {
    /// An empty file, which is gone once it is dropped.
    ///
    /// # Errors
    /// What the disk fails with.
    fn create(&self) -> Result<Box<dyn File>>;

    /// Learns that a stage has written all it held: a spill, as `explain` counts them.
    fn note_spill(&self) {}

    /// Bytes that a stage holds before it turns to the disk.
    fn stage_bytes(&self) -> usize {
        STAGE_BYTES_MAX
    }
}

/// A file that is written once, from its beginning to its end, and then read.
pub trait File: Send {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// What the disk fails with.
    fn append(&mut self, bytes: &[u8]) -> Result<()>;

    /// Fills `out` with what begins at `offset`.
    ///
    /// # Errors
    /// What the disk fails with; if there are not that many bytes, too.
    fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<()>;
}

/// Sorted runs of records, each a key and a value, one after the other in a file.
pub(crate) struct Runs {
    file: Box<dyn File>,
    /// What is not written yet.
    buffer: Vec<u8>,
    written: u64,
    /// Where each run ends.
    ends: Vec<u64>,
}

impl Runs {
    /// No runs yet.
    pub(crate) fn new(area: &dyn Area) -> Result<Runs> {
        Ok(Runs {
            file: area.create()?,
            buffer: Vec::with_capacity(WRITE_BYTES),
            written: 0,
            ends: Vec::new(),
        })
    }

    /// Adds a record to the run being written: its key in two parts, and the value that `write` appends.
    pub(crate) fn add(
        &mut self,
        key: (&[u8], &[u8]),
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        let from = self.buffer.len();
        self.buffer.extend_from_slice(&[0; LENGTHS]);
        self.buffer.extend_from_slice(key.0);
        self.buffer.extend_from_slice(key.1);
        let key_len = key.0.len() + key.1.len();
        write(&mut self.buffer);
        let value_len = self.buffer.len() - from - LENGTHS - key_len;
        let lengths = [key_len, value_len].map(|len| u64::try_from(len).unwrap_or(u64::MAX));
        self.buffer[from..from + 8].copy_from_slice(&lengths[0].to_le_bytes());
        self.buffer[from + 8..from + LENGTHS].copy_from_slice(&lengths[1].to_le_bytes());
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file.append(&self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the run being written.
    ///
    /// # Errors
    /// What the disk fails with, and `ExceededMemoryLimit` for one run too many.
    pub(crate) fn end_run(&mut self, area: &dyn Area) -> Result<()> {
        area.note_spill();
        self.flush()?;
        self.ends.push(self.written);
        if self.ends.len() > RUNS_MAX {
            return Err(Error::new(
                ErrorCode::ExceededMemoryLimit,
                format!(
                    "a stage writes at most {RUNS_MAX} runs of {STAGE_BYTES_MAX} bytes to disk"
                ),
            ));
        }
        Ok(())
    }

    /// All records by key, those with equal keys in the order in which they were added.
    pub(crate) fn merge(mut self) -> Result<Merge> {
        self.buffer = Vec::new();
        let mut from = 0;
        let mut merge = Merge {
            runs: Vec::new(),
            heap: BinaryHeap::new(),
            file: self.file,
        };
        for (number, end) in self.ends.into_iter().enumerate() {
            merge.runs.push(Run {
                next: from,
                end,
                buffer: Vec::new(),
                at: 0,
                value: Bytes::new(),
            });
            from = end;
            merge.advance(number)?;
        }
        Ok(merge)
    }
}

/// The two lengths in front of a record.
const LENGTHS: usize = 16;

/// Records of all runs in the order of their keys.
pub(crate) struct Merge {
    file: Box<dyn File>,
    runs: Vec<Run>,
    /// The key that comes next in each run that is not at its end. Of equal keys, the earlier run's comes first.
    heap: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

/// A run being read.
struct Run {
    /// What is to be read next from the file.
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Where the next record begins in the buffer.
    at: usize,
    /// The value of the record whose key is in the heap.
    value: Bytes,
}

impl Merge {
    /// The next record.
    pub(crate) fn next(&mut self) -> Result<Option<(Vec<u8>, Bytes)>> {
        let Some(Reverse((key, number))) = self.heap.pop() else {
            return Ok(None);
        };
        let value = std::mem::take(&mut self.runs[number].value);
        self.advance(number)?;
        Ok(Some((key, value)))
    }

    /// The key of the next record.
    pub(crate) fn peek(&self) -> Option<&[u8]> {
        self.heap.peek().map(|Reverse((key, _))| &key[..])
    }

    /// Reads the next record of run `number`.
    fn advance(&mut self, number: usize) -> Result<()> {
        let run = &mut self.runs[number];
        if run.next == run.end && run.at == run.buffer.len() {
            run.buffer = Vec::new();
            run.at = 0;
            return Ok(());
        }
        let file = &mut *self.file;
        let lengths = run.take(LENGTHS, file)?;
        let mut length = [0; 2];
        for (length, bytes) in length.iter_mut().zip(lengths.chunks_exact(8)) {
            let bytes = bytes.try_into().unwrap_or_default();
            *length = usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        }
        let key = run.take(length[0], file)?.to_vec();
        run.value = Bytes::copy_from_slice(run.take(length[1], file)?);
        self.heap.push(Reverse((key, number)));
        Ok(())
    }
}

impl Run {
    /// The next `len` bytes.
    fn take(&mut self, len: usize, file: &mut dyn File) -> Result<&[u8]> {
        if self.buffer.len() - self.at < len {
            self.buffer.drain(..self.at);
            self.at = 0;
            let wanted = (len - self.buffer.len()).max(READ_BYTES) as u64;
            let wanted = wanted.min(self.end - self.next);
            let from = self.buffer.len();
            let grown = from + usize::try_from(wanted).unwrap_or(0);
            self.buffer.resize(grown, 0);
            file.read(self.next, &mut self.buffer[from..])?;
            self.next += wanted;
        }
        let from = self.at;
        let to = from + len;
        if to > self.buffer.len() {
            return Err(damaged());
        }
        self.at = to;
        Ok(&self.buffer[from..to])
    }
}

/// Something else than what was written came back.
#[cold]
fn damaged() -> Error {
    Error::new(
        ErrorCode::FileStreamFailed,
        "a temporary file does not hold what was written to it",
    )
}

/// Files in memory, and little memory for stages.
#[cfg(test)]
pub(crate) mod testing {
    use super::{Area, File, Result, damaged};

    /// An area whose stages hold that many bytes before they write.
    pub(crate) struct Small(pub(crate) usize);

    struct Memory(Vec<u8>);

    impl Area for Small {
        fn create(&self) -> Result<Box<dyn File>> {
            Ok(Box::new(Memory(Vec::new())))
        }

        fn stage_bytes(&self) -> usize {
            self.0
        }
    }

    impl File for Memory {
        fn append(&mut self, bytes: &[u8]) -> Result<()> {
            self.0.extend_from_slice(bytes);
            Ok(())
        }

        fn read(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let part = self.0.get(from..).and_then(|rest| rest.get(..out.len()));
            out.copy_from_slice(part.ok_or_else(damaged)?);
            Ok(())
        }
    }
}
