//! The compressors of the wire, as pure functions from bytes to bytes.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};

use flate2::{Compression, Decompress, FlushDecompress, Status, write::ZlibEncoder};

/// How an OP_COMPRESSED message is compressed. The numbers are those on the wire.
///
/// Source: specification "OP_COMPRESSED".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Compressor {
    /// Not at all; for tests. Never negotiated, and mongod 6.0.5 closes on it.
    Noop = 0,
    /// Snappy's block format, without the stream format's frames.
    Snappy = 1,
    /// Zlib.
    Zlib = 2,
    /// Zstandard.
    Zstd = 3,
}

/// What a compressor says that fails.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Compressor {
    /// Every compressor a handshake may name, in MongoDB's order of preference.
    pub const NEGOTIABLE: [Self; 3] = [Self::Snappy, Self::Zstd, Self::Zlib];

    /// The compressor with this number on the wire.
    #[must_use]
    pub fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::Noop),
            1 => Some(Self::Snappy),
            2 => Some(Self::Zlib),
            3 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The compressor with this name in a handshake's `compression`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NEGOTIABLE.into_iter().find(|c| c.name() == name)
    }

    /// Its name in a handshake's `compression`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Snappy => "snappy",
            Self::Zlib => "zlib",
            Self::Zstd => "zstd",
        }
    }

    /// Its number on the wire.
    #[must_use]
    pub fn id(self) -> u8 {
        match self {
            Self::Noop => 0,
            Self::Snappy => 1,
            Self::Zlib => 2,
            Self::Zstd => 3,
        }
    }

    /// Compresses `input` at the compressor's default level.
    pub(crate) fn deflate(self, input: &[u8]) -> Result<Vec<u8>, Cause> {
        Ok(match self {
            Self::Noop => input.to_vec(),
            Self::Snappy => snap::raw::Encoder::new().compress_vec(input)?,
            Self::Zlib => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(input)?;
                encoder.finish()?
            }
            Self::Zstd => with(&ZSTD_DEFLATE, zstd_compressor, |zstd| zstd.compress(input))?,
        })
    }

    /// Inflates `input` into exactly `output`: never a byte more, so a bomb does not go off, and never one less.
    ///
    /// mongod 6.0.5 lets zlib inflate to less than announced; the missing bytes are then whatever was in its buffer.
    /// Bytes after the end of zlib's data are ignored, as it does.
    pub(crate) fn inflate(self, input: &[u8], output: &mut [u8]) -> Result<(), Cause> {
        let room = output.len();
        let inflated = match self {
            Self::Noop => {
                if input.len() == room {
                    output.copy_from_slice(input);
                }
                input.len()
            }
            Self::Snappy => {
                let claimed = snap::raw::decompress_len(input)?;
                if claimed == room {
                    snap::raw::Decoder::new().decompress(input, output)?;
                }
                claimed
            }
            Self::Zlib => inflate_zlib(input, output)?,
            Self::Zstd => with(&ZSTD_INFLATE, zstd::bulk::Decompressor::new, |zstd| {
                zstd.decompress_to_buffer(input, output)
            })?,
        };
        if inflated == room {
            Ok(())
        } else {
            Err(format!("inflates to {inflated} bytes").into())
        }
    }
}

type Context<T> = RefCell<Option<T>>;

thread_local! {
    // To make a context costs ten times what a short message does. They hold nothing between messages.
    static ZSTD_DEFLATE: Context<zstd::bulk::Compressor<'static>> = const { RefCell::new(None) };
    static ZSTD_INFLATE: Context<zstd::bulk::Decompressor<'static>> = const { RefCell::new(None) };
}

fn zstd_compressor() -> io::Result<zstd::bulk::Compressor<'static>> {
    zstd::bulk::Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL)
}

/// Runs `work` with this thread's context, which `make` makes the first time.
fn with<T, R>(
    context: &'static std::thread::LocalKey<Context<T>>,
    make: impl FnOnce() -> io::Result<T>,
    work: impl FnOnce(&mut T) -> io::Result<R>,
) -> io::Result<R> {
    context.with_borrow_mut(|slot| {
        let context = match slot {
            Some(context) => context,
            None => slot.insert(make()?),
        };
        work(context)
    })
}

/// Returns how many bytes were inflated.
fn inflate_zlib(input: &[u8], output: &mut [u8]) -> Result<usize, Cause> {
    let mut zlib = Decompress::new(true);
    let mut read = 0;
    let mut written = 0;
    loop {
        let before = (read, written);
        let status = zlib.decompress(
            input.get(read..).unwrap_or_default(),
            output.get_mut(written..).unwrap_or_default(),
            FlushDecompress::Finish,
        )?;
        read = usize::try_from(zlib.total_in())?;
        written = usize::try_from(zlib.total_out())?;
        match status {
            Status::StreamEnd => return Ok(written),
            // The end of the data may take a call of its own, after the last byte is written.
            Status::Ok | Status::BufError if (read, written) != before => {}
            Status::Ok | Status::BufError => {
                return Err("ends too early, or does not fit".into());
            }
        }
    }
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_those_of_the_specification() {
        fn check(id: u8, name: &str, compressor: Option<Compressor>) {
            assert_eq!(Compressor::from_id(id), compressor);
            assert_eq!(Compressor::from_name(name), compressor);
            if let Some(compressor) = compressor {
                assert_eq!((compressor.id(), compressor.name()), (id, name));
            }
        }
        check(1, "snappy", Some(Compressor::Snappy));
        check(2, "zlib", Some(Compressor::Zlib));
        check(3, "zstd", Some(Compressor::Zstd));
        check(4, "brotli", None);
        assert_eq!(Compressor::from_id(0), Some(Compressor::Noop));
        assert_eq!(
            Compressor::from_name("noop"),
            None,
            "a handshake never names it"
        );
    }

    #[test]
    fn a_context_survives_an_error() {
        let mut room = [0; 5];
        assert!(Compressor::Zstd.inflate(b"garbage", &mut room).is_err());
        let small = Compressor::Zstd.deflate(b"hello").unwrap();
        Compressor::Zstd.inflate(&small, &mut room).unwrap();
        assert_eq!(&room, b"hello");
    }
}
