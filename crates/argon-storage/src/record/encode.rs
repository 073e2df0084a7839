//! A record as stored bytes.

use std::cell::RefCell;

use bytes::Bytes;

use super::{Entry, Identity, Record, SessionStamp, Statement};
use crate::raw::{GENERIC, UUID, Writer, is_framed, tag};
use crate::{BranchId, Error, Lsn, Result};

/// From this size on, in bytes, entries and statements are compressed into a page. Below it they
/// stay readable in `mongosh`, and compressing them would save less than it costs.
pub const PAGE_BYTES_MIN: usize = 16 << 10;

/// The largest page, in bytes, that stays in the record's own document; a larger one goes into
/// part documents of at most this size. It keeps every document clear of MongoDB's 16 MiB
/// (`maxBsonObjectSize`), so that all stores can share the format.
pub const STORED_BYTES_MAX: usize = 12 << 20;

/// The largest record, in bytes before compression. Lengths in BSON are signed 32-bit numbers.
pub const RECORD_BYTES_MAX: usize = 1 << 30;

/// The most that everything but entries and statements may take, in bytes: the actor, the
/// collections' names, the session's identity.
const HEADER_BYTES_MAX: usize = 2 << 20;

/// Element overhead assumed per entry and per splice when a size is estimated, in bytes.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// The fastest of zstd's regular levels: the log is written once, on the way to an acknowledgement.
const PAGE_LEVEL: i32 = 1;

/// A record in its stored form.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) branch: BranchId,
    pub(crate) first: Lsn,
    pub(crate) last: Lsn,
    pub(crate) identity: Identity,
    /// The record's own document.
    pub(crate) main: Bytes,
    /// Part documents, stored before the record's own.
    pub(crate) parts: Vec<Bytes>,
}

impl Encoded {
    /// What it takes in a store, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.main.len() + self.parts.iter().map(Bytes::len).sum::<usize>()
    }
}

/// The key under which a record is stored: sorts by branch, then by position.
pub(crate) fn record_key(branch: BranchId, first: Lsn) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(branch.as_bytes());
    key[16..].copy_from_slice(&first.0.to_be_bytes());
    key
}

/// The key of a record's part: the record's, then the part's number.
pub(crate) fn part_key(branch: BranchId, first: Lsn, part: u32) -> [u8; 28] {
    let mut key = [0; 28];
    key[..24].copy_from_slice(&record_key(branch, first));
    key[24..].copy_from_slice(&part.to_be_bytes());
    key
}

/// Encodes `record`.
///
/// # Errors
/// [`Error::Invalid`] if it has no entry, is too large, or embeds bytes that are no document.
pub(crate) fn encode(record: &Record) -> Result<Encoded> {
    encode_from(record, PAGE_BYTES_MIN)
}

/// Encodes `record` with a page, however small it is.
///
/// # Errors
/// As [`encode`].
pub(crate) fn encode_as_page(record: &Record) -> Result<Encoded> {
    encode_from(record, 0)
}

fn encode_from(record: &Record, page_bytes_min: usize) -> Result<Encoded> {
    let body_bytes = check(record)?;
    let mut writer = Writer::with_capacity(body_bytes.min(PAGE_BYTES_MIN) + 512);
    let document = writer.begin();
    header(&mut writer, record);

    let mut parts = Vec::new();
    if body_bytes < page_bytes_min {
        entries(&mut writer, &record.entries);
        session(&mut writer, record.session.as_ref(), true);
    } else {
        let page = page(record, body_bytes)?;
        writer.int64(tag::INT64, "page_bytes", int64(page.raw_bytes));
        if page.compressed.len() <= STORED_BYTES_MAX {
            writer.binary("page", GENERIC, &page.compressed);
        } else {
            parts = split(record, &page.compressed)?;
            let count = i32::try_from(parts.len())
                .map_err(|_| Error::invalid("a record has too many parts"))?;
            writer.int32("parts", count);
        }
        session(&mut writer, record.session.as_ref(), false);
    }
    let checksum = writer.seal(document);
    Ok(Encoded {
        branch: record.branch,
        first: record.first,
        last: record.last(),
        identity: Identity {
            writer: record.writer,
            cluster_time: record.cluster_time,
            checksum: checksum.cast_signed(),
        },
        main: writer.into_bytes().into(),
        parts,
    })
}

/// Checks what the writer relies on, and estimates from above what entries and statements take.
fn check(record: &Record) -> Result<usize> {
    if record.entries.is_empty() {
        return Err(Error::invalid("a record without entries"));
    }
    if record.first == Lsn::ZERO || record.last() == Lsn::MAX {
        return Err(Error::invalid("a record outside the range of LSNs"));
    }
    let mut header_bytes = record.actor.len();
    for name in &record.collections {
        header_bytes = header_bytes.saturating_add(name.len() + 16);
    }
    let mut body_bytes = 0usize;
    for entry in &record.entries {
        body_bytes = body_bytes.saturating_add(entry_bytes(entry)?);
    }
    if let Some(session) = &record.session {
        header_bytes = header_bytes.saturating_add(session.lsid.len());
        for statement in &session.statements {
            if !is_framed(&statement.outcome) {
                return Err(Error::invalid("a statement's outcome is no BSON document"));
            }
            body_bytes = body_bytes.saturating_add(statement.outcome.len() + ENTRY_OVERHEAD_BYTES);
        }
    }
    if header_bytes > HEADER_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a record whose actor, collections and session take {header_bytes} bytes; the limit is {HEADER_BYTES_MAX}"
        )));
    }
    if body_bytes > RECORD_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a record of {body_bytes} bytes; the limit is {RECORD_BYTES_MAX}"
        )));
    }
    Ok(body_bytes)
}

fn entry_bytes(entry: &Entry) -> Result<usize> {
    let (name_bytes, document) = match entry {
        Entry::Put {
            collection,
            document,
        } => (collection.len(), Some(document)),
        Entry::Patch {
            collection,
            document_id,
            splices,
        } => {
            let splice_bytes = splices.iter().fold(0usize, |bytes, splice| {
                bytes.saturating_add(splice.insert.len() + ENTRY_OVERHEAD_BYTES)
            });
            (
                collection.len().saturating_add(splice_bytes),
                Some(document_id),
            )
        }
        Entry::Delete {
            collection,
            document_id,
        } => (collection.len(), Some(document_id)),
        Entry::CreateCollection {
            collection,
            options,
        }
        | Entry::CollMod {
            collection,
            options,
        } => (collection.len(), Some(options)),
        Entry::CreateIndex { collection, spec } => (collection.len(), Some(spec)),
        Entry::DropCollection { collection } => (collection.len(), None),
        Entry::RenameCollection { from, to, .. } => (from.len() + to.len(), None),
        Entry::DropIndex { collection, name } => (collection.len() + name.len(), None),
        Entry::DropDatabase | Entry::Noop => (0, None),
    };
    let document_bytes = match document {
        Some(document) if !is_framed(document) => {
            return Err(Error::invalid(format!(
                "a {} entry whose document is no BSON document",
                entry.operation()
            )));
        }
        Some(document) => document.len(),
        None => 0,
    };
    Ok(name_bytes
        .saturating_add(document_bytes)
        .saturating_add(ENTRY_OVERHEAD_BYTES))
}

fn header(writer: &mut Writer, record: &Record) {
    writer.binary("_id", GENERIC, &record_key(record.branch, record.first));
    writer.binary("branch_id", UUID, record.branch.as_bytes());
    writer.int64(tag::INT64, "lsn", record.first.0.cast_signed());
    writer.int64(tag::INT64, "last_lsn", record.last().0.cast_signed());
    writer.int64(tag::DATE_TIME, "timestamp", record.timestamp_ms);
    writer.int64(
        tag::TIMESTAMP,
        "cluster_time",
        record.cluster_time.0.cast_signed(),
    );
    writer.binary("writer", UUID, record.writer.as_bytes());
    writer.string("actor", &record.actor);
    writer.string("operation", record.operation.name());
    writer.name(tag::ARRAY, "collections");
    let array = writer.begin();
    for (index, name) in record.collections.iter().enumerate() {
        writer.index(tag::STRING, index);
        writer.string_value(name);
    }
    writer.end(array);
}

fn entries(writer: &mut Writer, entries: &[Entry]) {
    writer.name(tag::ARRAY, "entries");
    let array = writer.begin();
    for (index, entry) in entries.iter().enumerate() {
        writer.index(tag::DOCUMENT, index);
        let document = writer.begin();
        writer.string("operation", entry.operation());
        match entry {
            Entry::Put {
                collection,
                document,
            } => {
                writer.string("collection", collection);
                writer.document("document", document);
            }
            Entry::Patch {
                collection,
                document_id,
                splices,
            } => {
                writer.string("collection", collection);
                writer.document("document_id", document_id);
                patch(writer, splices);
            }
            Entry::Delete {
                collection,
                document_id,
            } => {
                writer.string("collection", collection);
                writer.document("document_id", document_id);
            }
            Entry::CreateCollection {
                collection,
                options,
            }
            | Entry::CollMod {
                collection,
                options,
            } => {
                writer.string("collection", collection);
                writer.document("options", options);
            }
            Entry::DropCollection { collection } => writer.string("collection", collection),
            Entry::RenameCollection {
                from,
                to,
                drop_target,
            } => {
                writer.string("collection", from);
                writer.string("to", to);
                writer.boolean("drop_target", *drop_target);
            }
            Entry::CreateIndex { collection, spec } => {
                writer.string("collection", collection);
                writer.document("spec", spec);
            }
            Entry::DropIndex { collection, name } => {
                writer.string("collection", collection);
                writer.string("name", name);
            }
            Entry::DropDatabase | Entry::Noop => {}
        }
        writer.end(document);
    }
    writer.end(array);
}

fn patch(writer: &mut Writer, splices: &[super::Splice]) {
    writer.name(tag::ARRAY, "patch");
    let array = writer.begin();
    for (index, splice) in splices.iter().enumerate() {
        writer.index(tag::DOCUMENT, index);
        let document = writer.begin();
        writer.int64(tag::INT64, "at", i64::from(splice.at));
        writer.int64(tag::INT64, "remove", i64::from(splice.remove));
        writer.binary("insert", GENERIC, &splice.insert);
        writer.end(document);
    }
    writer.end(array);
}

fn session(writer: &mut Writer, stamp: Option<&SessionStamp>, inline: bool) {
    let Some(stamp) = stamp else { return };
    writer.name(tag::DOCUMENT, "session");
    let document = writer.begin();
    writer.binary("lsid", GENERIC, &stamp.lsid);
    writer.int64(tag::INT64, "txnNumber", stamp.txn_number);
    if inline {
        statements(writer, &stamp.statements);
    }
    writer.end(document);
}

fn statements(writer: &mut Writer, statements: &[Statement]) {
    writer.name(tag::ARRAY, "statements");
    let array = writer.begin();
    for (index, statement) in statements.iter().enumerate() {
        writer.index(tag::DOCUMENT, index);
        let document = writer.begin();
        writer.int32("stmtId", statement.stmt_id);
        writer.document("outcome", &statement.outcome);
        writer.end(document);
    }
    writer.end(array);
}

struct Page {
    raw_bytes: usize,
    compressed: Vec<u8>,
}

/// Compresses `{entries: […], statements: […]}`.
fn page(record: &Record, body_bytes: usize) -> Result<Page> {
    thread_local! {
        // A compressor's tables are larger than most pages; setting them up anew each time would
        // cost more than compressing.
        static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> =
            const { RefCell::new(None) };
    }
    let mut writer = Writer::with_capacity(body_bytes + 64);
    let document = writer.begin();
    entries(&mut writer, &record.entries);
    if let Some(stamp) = &record.session {
        statements(&mut writer, &stamp.statements);
    }
    writer.end(document);
    let raw = writer.into_bytes();

    let compressed = COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(zstd::bulk::Compressor::new(PAGE_LEVEL)?),
        };
        compressor.compress(&raw)
    });
    let compressed =
        compressed.map_err(|source| Error::io("compressing a record's page", source))?;
    Ok(Page {
        raw_bytes: raw.len(),
        compressed,
    })
}

fn split(record: &Record, page: &[u8]) -> Result<Vec<Bytes>> {
    let mut parts = Vec::new();
    for (index, data) in page.chunks(STORED_BYTES_MAX).enumerate() {
        let index =
            u32::try_from(index).map_err(|_| Error::invalid("a record has too many parts"))?;
        let mut writer = Writer::with_capacity(data.len() + 128);
        let document = writer.begin();
        writer.binary(
            "_id",
            GENERIC,
            &part_key(record.branch, record.first, index),
        );
        writer.binary("data", GENERIC, data);
        writer.seal(document);
        parts.push(writer.into_bytes().into());
    }
    Ok(parts)
}

fn int64(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("bounded by RECORD_BYTES_MAX")
}
