//! Stored bytes as a record.
//!
//! Whatever the bytes are, the answer is a record or a reason: the checksum finds damage, and every
//! length is checked nevertheless, because a checksum says nothing about what was written.

use std::sync::Arc;

use bytes::Bytes;

use super::encode::{RECORD_BYTES_MAX, part_key, record_key};
use super::{CollectionName, Entry, Operation, Record, SessionStamp, Splice, Statement};
use crate::raw::{CHECKSUM, Fields, Reason, Value, array, binary, document, int64, text, verify};
use crate::{BranchId, ClusterTime, Error, Lsn, Result, WriterId};

/// The most parts a record can have, with room to spare.
const PARTS_MAX: i32 = 1 << 16;

/// A record's own document, verified; its page may still be in parts.
pub(crate) struct Stored {
    record: Record,
    last: Lsn,
    body: Body,
    page_bytes: usize,
}

enum Body {
    Inline,
    Page(Bytes),
    Parts(u32),
}

impl Stored {
    /// Reads the document stored under (`branch`, `first`).
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is damaged or belongs elsewhere.
    pub(crate) fn parse(branch: BranchId, first: Lsn, bytes: &Bytes) -> Result<Stored> {
        main(branch, first, bytes).map_err(|reason| Error::Corrupt {
            branch,
            lsn: first,
            reason,
        })
    }

    /// The position of the record's first entry.
    pub(crate) fn first(&self) -> Lsn {
        self.record.first
    }

    /// The position of the record's last entry.
    pub(crate) fn last(&self) -> Lsn {
        self.last
    }

    /// How many part documents it names.
    pub(crate) fn parts(&self) -> u32 {
        match self.body {
            Body::Inline | Body::Page(_) => 0,
            Body::Parts(count) => count,
        }
    }

    pub(crate) fn operation(&self) -> Operation {
        self.record.operation
    }

    pub(crate) fn writer(&self) -> WriterId {
        self.record.writer
    }

    pub(crate) fn cluster_time(&self) -> ClusterTime {
        self.record.cluster_time
    }

    /// The whole record, given its part documents; `None` for one that is missing.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if a part is missing or anything is damaged.
    pub(crate) fn into_record(
        self,
        part: impl FnMut(u32) -> Result<Option<Bytes>>,
    ) -> Result<Record> {
        let (branch, lsn) = (self.record.branch, self.record.first);
        self.assemble(part)?.map_err(|reason| Error::Corrupt {
            branch,
            lsn,
            reason,
        })
    }

    fn assemble(
        mut self,
        mut part: impl FnMut(u32) -> Result<Option<Bytes>>,
    ) -> Result<Result<Record, Reason>> {
        let page = match self.body {
            Body::Inline => None,
            Body::Page(page) => Some(page),
            Body::Parts(count) => {
                let mut whole = Vec::new();
                for index in 0..count {
                    let Some(bytes) = part(index)? else {
                        return Ok(Err(format!("part {index} of {count} is missing")));
                    };
                    let key = part_key(self.record.branch, self.record.first, index);
                    match part_data(&key, &bytes) {
                        Ok(data) => whole.extend_from_slice(&data),
                        Err(reason) => return Ok(Err(format!("part {index}: {reason}"))),
                    }
                }
                Some(whole.into())
            }
        };
        if let Some(page) = page
            && let Err(reason) = read_page(&mut self.record, &page, self.page_bytes)
        {
            return Ok(Err(reason));
        }
        let expected = self.last.0 - self.record.first.0 + 1;
        if self.record.entries.len() as u64 != expected {
            let found = self.record.entries.len();
            return Ok(Err(format!("{found} entries, its LSNs say {expected}")));
        }
        Ok(Ok(self.record))
    }
}

fn main(branch: BranchId, first: Lsn, bytes: &Bytes) -> Result<Stored, Reason> {
    verify(bytes)?;
    let mut record = Record {
        branch,
        first,
        timestamp_ms: 0,
        cluster_time: ClusterTime::ZERO,
        writer: WriterId::from_bytes([0; 16]),
        actor: String::new(),
        operation: Operation::Noop,
        collections: Vec::new(),
        entries: Vec::new(),
        session: None,
    };
    let (mut last, mut body, mut page_bytes) = (None, Body::Inline, 0);
    let mut seen = Seen::default();
    let mut fields = Fields::of(bytes.clone(), "record")?;
    while let Some((name, value)) = fields.next()? {
        match name {
            "_id" => {
                if *binary(value)? != record_key(branch, first) {
                    return Err("the record belongs to another place".into());
                }
                seen.id = true;
            }
            "branch_id" if *binary(value.clone())? == *branch.as_bytes() => {}
            "lsn" if int64(&value)? == first.0.cast_signed() => {}
            "last_lsn" => {
                let lsn = u64::try_from(int64(&value)?).map_err(|_| "negative last_lsn")?;
                if lsn < first.0 {
                    return Err("last_lsn before lsn".into());
                }
                last = Some(Lsn(lsn));
            }
            "timestamp" => record.timestamp_ms = int64(&value)?,
            "cluster_time" => {
                record.cluster_time = ClusterTime(int64(&value)?.cast_unsigned());
            }
            "writer" => {
                let bytes: [u8; 16] = (*binary(value)?)
                    .try_into()
                    .map_err(|_| "writer is no UUID")?;
                record.writer = WriterId::from_bytes(bytes);
            }
            "actor" => record.actor = text(&value)?.to_owned(),
            "operation" => {
                let name = text(&value)?;
                record.operation = Operation::from_name(name)
                    .ok_or_else(|| format!("unknown operation {name:?}"))?;
            }
            "collections" => {
                let mut items = Fields::of(array(value)?, "collections")?;
                while let Some((_, item)) = items.next()? {
                    record.collections.push(text(&item)?.into());
                }
            }
            "entries" => record.entries = entries(array(value)?, &record.collections)?,
            "page_bytes" => {
                page_bytes = usize::try_from(int64(&value)?)
                    .ok()
                    .filter(|bytes| *bytes <= RECORD_BYTES_MAX)
                    .ok_or("page_bytes out of range")?;
            }
            "page" => body = Body::Page(binary(value)?),
            "parts" => match value {
                Value::Int32(count @ 1..=PARTS_MAX) => body = Body::Parts(count.cast_unsigned()),
                _ => return Err("parts out of range".into()),
            },
            "session" => record.session = Some(session(document(value)?)?),
            CHECKSUM => seen.checksum = true,
            _ => return Err(format!("unexpected field {name:?} or value")),
        }
    }
    if !seen.id || !seen.checksum {
        return Err("a field is missing".into());
    }
    let last = last.ok_or("last_lsn is missing")?;
    Ok(Stored {
        record,
        last,
        body,
        page_bytes,
    })
}

/// Whose record (or part of one) a stored document is: branch, first and last position. The last is
/// the first for a part. `None` if it is neither.
pub(crate) fn record_place(bytes: &Bytes) -> Option<(BranchId, Lsn, Lsn)> {
    let mut fields = Fields::of(bytes.clone(), "record").ok()?;
    let (mut place, mut last) = (None, None);
    while let Ok(Some((name, value))) = fields.next() {
        match (name, value) {
            ("_id", Value::Binary(key)) if key.len() == 24 || key.len() == 28 => {
                let branch = BranchId::from_bytes(*key.first_chunk()?);
                let first = u64::from_be_bytes(*key.get(16..)?.first_chunk()?);
                place = Some((branch, Lsn(first)));
            }
            ("last_lsn", Value::Int64(lsn)) => last = u64::try_from(lsn).ok().map(Lsn),
            _ => {}
        }
    }
    let (branch, first) = place?;
    Some((branch, first, last.unwrap_or(first)))
}

#[derive(Default)]
struct Seen {
    id: bool,
    checksum: bool,
}

fn part_data(key: &[u8], bytes: &Bytes) -> Result<Bytes, Reason> {
    verify(bytes)?;
    let mut data = None;
    let mut fields = Fields::of(bytes.clone(), "part")?;
    while let Some((name, value)) = fields.next()? {
        match name {
            "_id" if *binary(value.clone())? != *key => {
                return Err("it belongs to another record".into());
            }
            "_id" | CHECKSUM => {}
            "data" => data = Some(binary(value)?),
            _ => return Err(format!("unexpected field {name:?}")),
        }
    }
    data.ok_or_else(|| "its data are missing".into())
}

fn read_page(record: &mut Record, page: &[u8], page_bytes: usize) -> Result<(), Reason> {
    let raw = zstd::bulk::decompress(page, page_bytes)
        .map_err(|error| format!("its page cannot be decompressed: {error}"))?;
    if raw.len() != page_bytes {
        return Err(format!(
            "its page has {} bytes, not {page_bytes}",
            raw.len()
        ));
    }
    let mut fields = Fields::of(raw.into(), "page")?;
    while let Some((name, value)) = fields.next()? {
        match name {
            "entries" => record.entries = entries(array(value)?, &record.collections)?,
            "statements" => {
                let stamp = record
                    .session
                    .as_mut()
                    .ok_or("statements without a session")?;
                stamp.statements = statements(array(value)?)?;
            }
            _ => return Err(format!("unexpected field {name:?} in its page")),
        }
    }
    Ok(())
}

fn session(bytes: Bytes) -> Result<SessionStamp, Reason> {
    let mut stamp = SessionStamp {
        lsid: Bytes::new(),
        txn_number: 0,
        statements: Vec::new(),
    };
    let mut fields = Fields::of(bytes, "session")?;
    while let Some((name, value)) = fields.next()? {
        match name {
            "lsid" => stamp.lsid = binary(value)?,
            "txnNumber" => stamp.txn_number = int64(&value)?,
            "statements" => stamp.statements = statements(array(value)?)?,
            _ => return Err(format!("unexpected field {name:?} in its session")),
        }
    }
    Ok(stamp)
}

fn statements(bytes: Bytes) -> Result<Vec<Statement>, Reason> {
    let mut statements = Vec::new();
    let mut items = Fields::of(bytes, "statements")?;
    while let Some((_, item)) = items.next()? {
        let (mut stmt_id, mut outcome) = (None, None);
        let mut fields = Fields::of(document(item)?, "statement")?;
        while let Some((name, value)) = fields.next()? {
            match (name, value) {
                ("stmtId", Value::Int32(value)) => stmt_id = Some(value),
                ("outcome", value) => outcome = Some(document(value)?),
                (name, _) => return Err(format!("unexpected field {name:?} in a statement")),
            }
        }
        statements.push(Statement {
            stmt_id: stmt_id.ok_or("a statement without a number")?,
            outcome: outcome.ok_or("a statement without an outcome")?,
        });
    }
    Ok(statements)
}

fn entries(bytes: Bytes, names: &[CollectionName]) -> Result<Vec<Entry>, Reason> {
    let mut entries = Vec::new();
    let mut names = Names {
        known: names,
        last: None,
    };
    let mut items = Fields::of(bytes, "entries")?;
    while let Some((_, item)) = items.next()? {
        entries.push(entry(document(item)?, &mut names)?);
    }
    Ok(entries)
}

/// Entries mostly name the same few collections: they share one allocation.
struct Names<'a> {
    known: &'a [CollectionName],
    last: Option<CollectionName>,
}

impl Names<'_> {
    fn share(&mut self, name: &str) -> CollectionName {
        let known = self.last.as_ref().into_iter().chain(self.known);
        let shared = match known.into_iter().find(|known| &***known == name) {
            Some(known) => Arc::clone(known),
            None => name.into(),
        };
        self.last = Some(Arc::clone(&shared));
        shared
    }
}

fn entry(bytes: Bytes, names: &mut Names<'_>) -> Result<Entry, Reason> {
    let mut operation = None;
    let (mut collection, mut to, mut name) = (None, None, None);
    let (mut payload, mut document_id, mut splices) = (None, None, None);
    let mut drop_target = false;
    let mut fields = Fields::of(bytes, "entry")?;
    while let Some((field, value)) = fields.next()? {
        match field {
            "operation" => operation = Some(value),
            "collection" => collection = Some(names.share(text(&value)?)),
            "to" => to = Some(names.share(text(&value)?)),
            "name" => name = Some(text(&value)?.to_owned()),
            "document" | "options" | "spec" => payload = Some(document(value)?),
            "document_id" => document_id = Some(document(value)?),
            "patch" => splices = Some(patch(array(value)?)?),
            "drop_target" => match value {
                Value::Boolean(value) => drop_target = value,
                _ => return Err("drop_target is no boolean".into()),
            },
            _ => return Err(format!("unexpected field {field:?} in an entry")),
        }
    }
    let operation = operation.ok_or("an entry without an operation")?;
    let operation = text(&operation)?;
    let missing = || format!("a field of a {operation} entry is missing");
    let collection = || collection.ok_or_else(missing);
    let payload = || payload.ok_or_else(missing);
    let document_id = || document_id.ok_or_else(missing);
    Ok(match operation {
        "put" => Entry::Put {
            collection: collection()?,
            document: payload()?,
        },
        "patch" => Entry::Patch {
            collection: collection()?,
            document_id: document_id()?,
            splices: splices.ok_or_else(missing)?,
        },
        "delete" => Entry::Delete {
            collection: collection()?,
            document_id: document_id()?,
        },
        "createCollection" => Entry::CreateCollection {
            collection: collection()?,
            options: payload()?,
        },
        "dropCollection" => Entry::DropCollection {
            collection: collection()?,
        },
        "renameCollection" => Entry::RenameCollection {
            from: collection()?,
            to: to.ok_or_else(missing)?,
            drop_target,
        },
        "createIndex" => Entry::CreateIndex {
            collection: collection()?,
            spec: payload()?,
        },
        "dropIndex" => Entry::DropIndex {
            collection: collection()?,
            name: name.ok_or_else(missing)?,
        },
        "collMod" => Entry::CollMod {
            collection: collection()?,
            options: payload()?,
        },
        "dropDatabase" => Entry::DropDatabase,
        "noop" => Entry::Noop,
        _ => return Err(format!("unknown entry {operation:?}")),
    })
}

fn patch(bytes: Bytes) -> Result<Vec<Splice>, Reason> {
    let mut splices = Vec::new();
    let mut items = Fields::of(bytes, "patch")?;
    while let Some((_, item)) = items.next()? {
        let (mut at, mut remove, mut insert) = (None, None, None);
        let mut fields = Fields::of(document(item)?, "splice")?;
        while let Some((name, value)) = fields.next()? {
            match name {
                "at" => at = u32::try_from(int64(&value)?).ok(),
                "remove" => remove = u32::try_from(int64(&value)?).ok(),
                "insert" => insert = Some(binary(value)?),
                _ => return Err(format!("unexpected field {name:?} in a splice")),
            }
        }
        let (Some(at), Some(remove), Some(insert)) = (at, remove, insert) else {
            return Err("a splice is incomplete".into());
        };
        splices.push(Splice { at, remove, insert });
    }
    Ok(splices)
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;
    use crate::testing::{document, record_of};

    fn seal(mut bytes: Vec<u8>) -> Bytes {
        if let Some(end) = bytes.len().checked_sub(5) {
            let checksum = crc32c::crc32c(&bytes[..end]);
            bytes[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
        }
        bytes.into()
    }

    /// The checksum cannot help here: whatever the bytes, there is a record or a reason.
    #[test]
    fn sealed_nonsense_never_panics() {
        let branch = BranchId::from_bytes([3; 16]);
        for size in [30, 30_000] {
            let put = Entry::Put {
                collection: "users".into(),
                document: document(size, 0),
            };
            let splices = vec![Splice {
                at: 1,
                remove: 2,
                insert: Bytes::from_static(b"abc"),
            }];
            let patch = Entry::Patch {
                collection: "c".into(),
                document_id: document(1, 0),
                splices,
            };
            let mut record = record_of(branch, Lsn(1), vec![put, patch, Entry::Noop]);
            let outcome = document(2, 0);
            record.session = Some(SessionStamp {
                lsid: Bytes::from_static(b"session"),
                txn_number: 1,
                statements: vec![Statement {
                    stmt_id: 0,
                    outcome,
                }],
            });
            let bytes = encode(&record).unwrap().main;
            let mut read = 0;
            for at in 0..bytes.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 4] {
                    let mut damaged = bytes.to_vec();
                    damaged[at] = value;
                    let stored = Stored::parse(branch, Lsn(1), &seal(damaged));
                    read += usize::from(stored.and_then(|s| s.into_record(|_| Ok(None))).is_ok());
                }
                let cut = Stored::parse(branch, Lsn(1), &seal(bytes[..at].to_vec()));
                assert!(cut.is_err(), "cut at {at}");
            }
            assert!(read > 0);
        }
    }

    #[test]
    fn a_page_never_grows_beyond_what_it_says() {
        let branch = BranchId::from_bytes([3; 16]);
        let put = Entry::Put {
            collection: "users".into(),
            document: document(1 << 20, 0),
        };
        let bytes = encode(&record_of(branch, Lsn(1), vec![put])).unwrap().main;
        // The page is a few hundred bytes and says that it is a megabyte; make it say less.
        let at = bytes
            .windows(11)
            .position(|window| window == b"page_bytes\0")
            .unwrap()
            + 11;
        let mut damaged = bytes.to_vec();
        damaged[at..at + 8].copy_from_slice(&1000i64.to_le_bytes());
        let stored = Stored::parse(branch, Lsn(1), &seal(damaged)).unwrap();
        assert!(matches!(
            stored.into_record(|_| Ok(None)),
            Err(Error::Corrupt { .. })
        ));
        let mut damaged = bytes.to_vec();
        damaged[at..at + 8].copy_from_slice(&i64::MAX.to_le_bytes());
        assert!(Stored::parse(branch, Lsn(1), &seal(damaged)).is_err());
    }
}
