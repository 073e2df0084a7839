//! The files: segments of the log, one after the other, and a summary beside each finished one.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::index::Block;
use crate::log::FORMAT_VERSION;
use crate::raw::{CHECKSUM, Fields, GENERIC, Reason, Writer, binary, int64, tag, verify};
use crate::{BranchId, Error, Lsn, Result};

/// A segment's own header, in bytes; the first frame follows.
pub(super) const FILE_HEADER_BYTES: usize = 40;

/// The first bytes of a segment.
const MAGIC: [u8; 8] = *b"ARGONLOG";

/// The directory of the segments within the store's.
const LOG_DIRECTORY: &str = "log";

/// The file that will be the next segment, filled with zeros.
const SPARE: &str = "spare.tmp";

/// One branch's block in a summary: identity, first, last, offset.
const SUMMARY_BLOCK_BYTES: usize = 40;

/// One branch's size in a summary: identity, bytes.
const SUMMARY_SIZE_BYTES: usize = 24;

/// A segment as readers and cleaning see it.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) file: Arc<File>,
    /// How far it holds frames, in bytes.
    pub(super) end: u64,
    /// What each branch's records take in it, in bytes.
    pub(super) sizes: HashMap<BranchId, u64>,
}

/// The paths of a store's files.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    directory: PathBuf,
    log: PathBuf,
}

impl Paths {
    pub(super) fn new(directory: &Path) -> Self {
        Paths {
            directory: directory.to_owned(),
            log: directory.join(LOG_DIRECTORY),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.directory.join("LOCK")
    }

    pub(super) fn spare(&self) -> PathBuf {
        self.log.join(SPARE)
    }

    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.log.join(format!("{number:010}.seg"))
    }

    pub(super) fn summary(&self, number: u64) -> PathBuf {
        self.log.join(format!("{number:010}.idx"))
    }

    /// Creates the directories, durably.
    pub(super) fn create(&self) -> Result<()> {
        let failed = |source| {
            Error::io(
                format!("creating data directory {}", self.directory.display()),
                source,
            )
        };
        if self.log.is_dir() {
            return Ok(());
        }
        // Nobody else's to read, as with mongod.
        let created = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.log);
        created.map_err(failed)?;
        sync_directory(&self.directory).map_err(failed)?;
        let parent = self
            .directory
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(parent.unwrap_or(Path::new("."))).map_err(failed)
    }

    /// Makes created and removed files durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        sync_directory(&self.log)
    }

    /// The numbers of the segments that exist, ascending. Leftovers are removed.
    pub(super) fn segments(&self) -> Result<Vec<u64>> {
        let failed = |source| Error::io(format!("listing {}", self.log.display()), source);
        let mut numbers = Vec::new();
        for item in fs::read_dir(&self.log).map_err(failed)? {
            let path = item.map_err(failed)?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if name.ends_with(".tmp") {
                fs::remove_file(&path).map_err(failed)?;
            } else if let Some(number) = name.strip_suffix(".seg").and_then(|n| n.parse().ok()) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Removes a segment and its summary.
    pub(super) fn remove(&self, number: u64) -> io::Result<()> {
        match fs::remove_file(self.summary(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::remove_file(self.segment(number))?;
        self.sync()
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The header of a segment: magic, format version, zeros, number, the sequence of its first frame,
/// zeros, checksum.
pub(super) fn file_header(number: u64, first_sequence: u64) -> [u8; FILE_HEADER_BYTES] {
    let mut bytes = [0; FILE_HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    bytes[24..32].copy_from_slice(&first_sequence.to_le_bytes());
    let checksum = crc32c::crc32c(&bytes[..36]);
    bytes[36..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Checks a segment's header and returns its first frame's sequence; `None` if it was not written
/// whole.
///
/// # Errors
/// [`Error::NewerFormat`] if a newer version wrote it.
pub(super) fn check_file_header(bytes: &[u8], number: u64) -> Result<Option<u64>> {
    let Some(bytes) = bytes.first_chunk::<FILE_HEADER_BYTES>() else {
        return Ok(None);
    };
    let stored = bytes.last_chunk().map_or(0, |raw| u32::from_le_bytes(*raw));
    if bytes[..8] != MAGIC || stored != crc32c::crc32c(&bytes[..36]) {
        return Ok(None);
    }
    let version = bytes[8..]
        .first_chunk()
        .map_or(0, |raw| u32::from_le_bytes(*raw));
    if version > FORMAT_VERSION {
        return Err(Error::NewerFormat {
            found: version,
            supported: FORMAT_VERSION,
        });
    }
    let first_sequence = bytes[24..]
        .first_chunk()
        .map_or(0, |raw| u64::from_le_bytes(*raw));
    Ok((bytes[16..24] == number.to_le_bytes()).then_some(first_sequence))
}

/// Reads `length` bytes at `offset`, fewer where the file ends.
pub(super) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// What a finished segment holds, so that opening a store need not read all of it.
#[derive(Debug, Default)]
pub(super) struct Summary {
    /// How far the segment holds frames, in bytes.
    pub(super) end: u64,
    pub(super) blocks: Vec<(BranchId, Block)>,
    pub(super) sizes: HashMap<BranchId, u64>,
}

impl Summary {
    pub(super) fn encode(&self, number: u64) -> Vec<u8> {
        let mut blocks = Vec::with_capacity(self.blocks.len() * SUMMARY_BLOCK_BYTES);
        for (branch, block) in &self.blocks {
            blocks.extend_from_slice(branch.as_bytes());
            for value in [block.first.0, block.last.0, block.offset] {
                blocks.extend_from_slice(&value.to_le_bytes());
            }
        }
        let mut sizes = Vec::with_capacity(self.sizes.len() * SUMMARY_SIZE_BYTES);
        for (branch, bytes) in &self.sizes {
            sizes.extend_from_slice(branch.as_bytes());
            sizes.extend_from_slice(&bytes.to_le_bytes());
        }
        let mut writer = Writer::with_capacity(blocks.len() + sizes.len() + 128);
        let open = writer.begin();
        writer.int64(tag::INT64, "_id", number.cast_signed());
        writer.int64(tag::INT64, "end", self.end.cast_signed());
        writer.binary("blocks", GENERIC, &blocks);
        writer.binary("sizes", GENERIC, &sizes);
        writer.seal(open);
        writer.into_bytes()
    }

    pub(super) fn decode(bytes: &Bytes, number: u64) -> Result<Self, Reason> {
        verify(bytes)?;
        let mut summary = Summary::default();
        let mut fields = Fields::of(bytes.clone(), "summary")?;
        while let Some((name, value)) = fields.next()? {
            match name {
                "_id" if int64(&value)? == number.cast_signed() => {}
                "end" => summary.end = int64(&value)?.cast_unsigned(),
                "blocks" => {
                    for item in binary(value)?.chunks_exact(SUMMARY_BLOCK_BYTES) {
                        let (branch, [first, last, offset]) = item_of(item)?;
                        let (first, last) = (Lsn(first), Lsn(last));
                        let block = Block {
                            first,
                            last,
                            segment: number,
                            offset,
                        };
                        summary.blocks.push((branch, block));
                    }
                }
                "sizes" => {
                    for item in binary(value)?.chunks_exact(SUMMARY_SIZE_BYTES) {
                        let (branch, [bytes]) = item_of(item)?;
                        summary.sizes.insert(branch, bytes);
                    }
                }
                CHECKSUM => {}
                _ => return Err(format!("unexpected field {name:?}")),
            }
        }
        Ok(summary)
    }
}

fn item_of<const N: usize>(item: &[u8]) -> Result<(BranchId, [u64; N]), Reason> {
    let short = || Reason::from("an item is too short");
    let (branch, numbers) = item.split_first_chunk().ok_or_else(short)?;
    let mut values = [0; N];
    for (value, raw) in values.iter_mut().zip(numbers.chunks_exact(8)) {
        *value = u64::from_le_bytes(*raw.first_chunk().ok_or_else(short)?);
    }
    Ok((BranchId::from_bytes(*branch), values))
}
