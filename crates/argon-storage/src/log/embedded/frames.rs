//! Walking the frames of a segment, damage included.

use std::fs::File;
use std::io;

use bytes::Bytes;

use super::frame::{ALIGN, HEADER_BYTES, Header, Place, Step, find_header, step};
use super::segment::read_at;

/// What one read of the file asks for, in bytes, when more is wanted than one block.
const CHUNK_BYTES: usize = 1 << 20;

/// What a walk finds.
#[derive(Debug)]
pub(super) enum Found {
    /// A frame; `payload` is `None` if it is damaged.
    Frame {
        offset: u64,
        header: Header,
        payload: Option<Bytes>,
    },
    /// A frame whose header is damaged, or several, with what can be told: whose record it was.
    Damage { offset: u64, place: Option<Place> },
}

/// Walks from one frame to the next, reading the file in chunks.
pub(super) struct Frames<'a> {
    file: &'a File,
    /// How far the segment goes, in bytes.
    end: u64,
    chunk_bytes: usize,
    buffer: Bytes,
    /// Where `buffer` begins in the file.
    base: u64,
    /// Where the next frame begins in the file.
    position: u64,
}

impl<'a> Frames<'a> {
    /// Walks from the frame at `position` to `end`.
    pub(super) fn new(file: &'a File, position: u64, end: u64) -> Self {
        let buffer = Bytes::new();
        Frames {
            file,
            end,
            chunk_bytes: CHUNK_BYTES,
            buffer,
            base: position,
            position,
        }
    }

    /// Reads only this much at first: whoever wants one block.
    pub(super) fn with_chunk(mut self, bytes: u64) -> Self {
        self.chunk_bytes = usize::try_from(bytes).map_or(CHUNK_BYTES, |n| n.min(CHUNK_BYTES));
        self
    }

    /// Where the next frame begins, in bytes.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The next frame or damage; `None` after the last.
    pub(super) fn next(&mut self) -> io::Result<Option<Found>> {
        if self.rest() < HEADER_BYTES + ALIGN {
            self.fill(0)?;
        }
        loop {
            if self.position >= self.end {
                return Ok(None);
            }
            let offset = self.position;
            match step(&self.buffer, self.at()) {
                Step::Frame {
                    header,
                    payload,
                    next,
                } => {
                    self.position = self.base + next as u64;
                    return Ok(Some(Found::Frame {
                        offset,
                        header,
                        payload,
                    }));
                }
                Step::Short { needed } if self.rest() < needed && self.base < offset => {
                    self.fill(needed)?;
                }
                Step::Short { needed }
                    if self.buffer.len() < needed && offset + needed as u64 <= self.end =>
                {
                    self.fill(needed)?;
                    if self.buffer.len() < needed {
                        // The file ends before the segment should.
                        self.position = self.end;
                        return Ok(Some(Found::Damage {
                            offset,
                            place: None,
                        }));
                    }
                }
                Step::Damage {
                    place: Some(place),
                    next: Some(next),
                } => {
                    self.position = self.base + next as u64;
                    return Ok(Some(Found::Damage {
                        offset,
                        place: Some(place),
                    }));
                }
                // The payload may tell more, if only all of it is at hand.
                Step::Damage { .. } if self.base < offset => self.fill(self.claimed_bytes())?,
                Step::Short { .. } | Step::Damage { .. } => {
                    self.search()?;
                    return Ok(Some(Found::Damage {
                        offset,
                        place: None,
                    }));
                }
                Step::End => {
                    // Zeros are the end, unless there is something behind them.
                    return Ok(self.search()?.then_some(Found::Damage {
                        offset,
                        place: None,
                    }));
                }
            }
        }
    }

    /// Moves on to the next header; false, and to the end, if there is none.
    fn search(&mut self) -> io::Result<bool> {
        self.position += ALIGN as u64;
        while self.position < self.end {
            self.fill(CHUNK_BYTES)?;
            if let Some(found) = find_header(&self.buffer, 0) {
                self.position += found as u64;
                return Ok(true);
            }
            // A header may begin in the last bytes of this chunk.
            let step = self.buffer.len().saturating_sub(HEADER_BYTES).max(ALIGN);
            self.position += (step - step % ALIGN) as u64;
        }
        self.position = self.end;
        Ok(false)
    }

    /// The length that the payload at hand claims, with its header.
    fn claimed_bytes(&self) -> usize {
        let payload = self.buffer.get(self.at() + HEADER_BYTES..);
        let length = payload.and_then(|payload| payload.first_chunk());
        let length = length.map_or(0, |raw| u32::from_le_bytes(*raw));
        usize::try_from(length).map_or(0, |length| length.saturating_add(HEADER_BYTES))
    }

    fn at(&self) -> usize {
        usize::try_from(self.position - self.base).unwrap_or(usize::MAX)
    }

    fn rest(&self) -> usize {
        self.buffer.len().saturating_sub(self.at())
    }

    fn fill(&mut self, needed: usize) -> io::Result<()> {
        let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let length = needed.max(self.chunk_bytes).min(left);
        self.buffer = read_at(self.file, self.position, length)?.into();
        self.base = self.position;
        Ok(())
    }
}
