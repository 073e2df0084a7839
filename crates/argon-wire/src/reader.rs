//! A place in a frame. Every read checks what is left, and no offset a peer sends is trusted.

use bytes::Bytes;

use crate::error::{DocumentError, SectionError};
use crate::limits::Limits;

/// Bytes of the shortest document: its length and its terminator.
const DOCUMENT_BYTES_MIN: usize = 5;

/// Reads the frame from `at` up to `end`; offsets count from the start of the frame.
pub(crate) struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `frame[at..end]`; an `end` beyond the frame is the frame's.
    pub(crate) fn new(frame: &'a Bytes, at: usize, end: usize) -> Self {
        let end = end.min(frame.len());
        Self {
            frame,
            at: at.min(end),
            end,
        }
    }

    /// Where the next byte is.
    pub(crate) fn offset(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.end - self.at
    }

    fn rest(&self) -> &'a [u8] {
        self.frame.get(self.at..self.end).unwrap_or_default()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        let byte = *self.rest().first()?;
        self.at += 1;
        Some(byte)
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        let value = read_i32(self.rest(), 0)?;
        self.at += 4;
        Some(value)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.i32().map(|v| u32::from_le_bytes(v.to_le_bytes()))
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        let bytes = self.rest().first_chunk::<8>()?;
        self.at += 8;
        Some(i64::from_le_bytes(*bytes))
    }

    /// The bytes up to the next NUL, which is skipped.
    pub(crate) fn cstring(&mut self) -> Option<Bytes> {
        let length = self.rest().iter().position(|&b| b == 0)?;
        let value = self.frame.slice(self.at..self.at + length);
        self.at += length + 1;
        Some(value)
    }

    /// A reader of the next `length` bytes, which are skipped here.
    pub(crate) fn split(&mut self, length: usize) -> Option<Self> {
        if length > self.left() {
            return None;
        }
        let part = Self {
            frame: self.frame,
            at: self.at,
            end: self.at + length,
        };
        self.at += length;
        Some(part)
    }

    /// Skips the next document and returns where it was.
    ///
    /// Only what delimits it is checked: its length and its last byte. What is between them is the query language's.
    pub(crate) fn skip_document(
        &mut self,
        limits: &Limits,
    ) -> Result<(usize, usize), SectionError> {
        let (offset, left) = (self.at, self.left());
        let refused = |error| SectionError::Document { offset, error };
        let Some(length) = read_i32(self.rest(), 0) else {
            return Err(refused(DocumentError::TooShort { length: 0, left }));
        };
        let size = match usize::try_from(length) {
            Ok(size) if size >= DOCUMENT_BYTES_MIN => size,
            _ => return Err(refused(DocumentError::TooShort { length, left })),
        };
        if size > left {
            return Err(refused(DocumentError::Overrun { length: size, left }));
        }
        if size > limits.document_bytes {
            return Err(refused(DocumentError::TooLarge {
                length: size,
                max: limits.document_bytes,
            }));
        }
        if self.rest().get(size - 1) != Some(&0) {
            return Err(refused(DocumentError::Unterminated { length: size }));
        }
        self.at += size;
        Ok((offset, self.at))
    }

    /// The next document, a slice of the frame.
    pub(crate) fn document(&mut self, limits: &Limits) -> Result<Bytes, SectionError> {
        let (from, to) = self.skip_document(limits)?;
        Ok(self.frame.slice(from..to))
    }

    /// All that is left, as documents.
    ///
    /// They are counted and checked before room for them is made: a document of 5 bytes costs a handle six times as long.
    pub(crate) fn documents(
        &mut self,
        limits: &Limits,
        check: impl FnOnce(usize) -> Result<(), SectionError>,
    ) -> Result<Vec<Bytes>, SectionError> {
        let start = self.at;
        let mut count = 0;
        while self.left() > 0 {
            self.skip_document(limits)?;
            count += 1;
        }
        check(count)?;
        self.at = start;
        let mut documents = Vec::with_capacity(count);
        while let Some(size) = read_i32(self.rest(), 0).and_then(|n| usize::try_from(n).ok()) {
            documents.push(self.frame.slice(self.at..self.at + size));
            self.at += size;
        }
        Ok(documents)
    }
}

/// The little-endian int32 at `offset`.
pub(crate) fn read_i32(bytes: &[u8], offset: usize) -> Option<i32> {
    let bytes = bytes.get(offset..)?.first_chunk::<4>()?;
    Some(i32::from_le_bytes(*bytes))
}
