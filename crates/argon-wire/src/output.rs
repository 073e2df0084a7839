//! Where encoders write.

use bytes::{BufMut, BytesMut};

use crate::error::Error;
use crate::limits::{HEADER_BYTES, MAX_MESSAGE_BYTES};

/// A growing buffer whose written bytes can be changed: lengths and checksums are known last and stand first.
pub trait Output: BufMut + AsRef<[u8]> + AsMut<[u8]> {
    /// Drops everything from `length` on.
    fn truncate(&mut self, length: usize);
}

impl Output for Vec<u8> {
    fn truncate(&mut self, length: usize) {
        Self::truncate(self, length);
    }
}

impl Output for BytesMut {
    fn truncate(&mut self, length: usize) {
        Self::truncate(self, length);
    }
}

/// Writes the distance from `start` to the end of `out` at `at`, as int32.
///
/// # Errors
/// [`Error::MessageLength`] if it is more than a message may have; `out` is then cut at `start`.
pub(crate) fn patch_length<O: Output>(out: &mut O, start: usize, at: usize) -> Result<(), Error> {
    let length = out.as_ref().len().saturating_sub(start);
    let bytes = match i32::try_from(length) {
        Ok(n) if length <= MAX_MESSAGE_BYTES => n.to_le_bytes(),
        _ => {
            out.truncate(start);
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            return Err(Error::MessageLength {
                length,
                max: MAX_MESSAGE_BYTES,
            });
        }
    };
    if let Some(place) = out
        .as_mut()
        .get_mut(at..)
        .and_then(|rest| rest.first_chunk_mut())
    {
        *place = bytes;
    }
    Ok(())
}

/// Runs `write`, which appends one message after a header with no length, then fills the length in.
///
/// # Errors
/// Those of `write`, and [`Error::MessageLength`]; `out` is then as it was.
pub(crate) fn frame<O: Output>(
    out: &mut O,
    header: [u8; HEADER_BYTES],
    write: impl FnOnce(&mut O) -> Result<(), Error>,
) -> Result<(), Error> {
    let start = out.as_ref().len();
    out.put_slice(&header);
    if let Err(error) = write(out) {
        out.truncate(start);
        return Err(error);
    }
    patch_length(out, start, start)
}

/// Appends `name` and a NUL.
///
/// # Errors
/// [`Error::InteriorNul`] if `name` holds one itself.
pub(crate) fn put_cstring<O: Output>(out: &mut O, name: &[u8]) -> Result<(), Error> {
    if name.contains(&0) {
        return Err(Error::InteriorNul {
            name: String::from_utf8_lossy(name).into_owned(),
        });
    }
    out.put_slice(name);
    out.put_u8(0);
    Ok(())
}
