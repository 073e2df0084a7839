//! The engines compared, behind the three things asked of them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub trait Engine: Send {
    /// Writes the items atomically; durable when it returns.
    fn commit<'a>(
        &mut self,
        items: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), Failure>
    where
        Self: Sized;

    /// Reads everything in key order; records and bytes.
    fn scan(&self) -> (u64, u64);
}

pub enum Any {
    Fjall { db: fjall::Database, log: fjall::Keyspace },
    Redb(redb::Database),
    Segment(Segment),
}

pub fn open(name: &str, dir: &Path) -> Any {
    std::fs::create_dir_all(dir).unwrap();
    match name {
        "fjall" => {
            let db = fjall::Database::builder(dir.join("fjall"))
                .cache_size(32 << 20)
                .manual_journal_persist(true)
                .open()
                .unwrap();
            let log = db.keyspace("log", fjall::KeyspaceCreateOptions::default).unwrap();
            Any::Fjall { db, log }
        }
        "redb" => {
            let db = redb::Database::builder()
                .set_cache_size(32 << 20)
                .create(dir.join("redb.db"))
                .unwrap();
            Any::Redb(db)
        }
        "segment" => Any::Segment(Segment::open(dir, 0)),
        "segment0" => Any::Segment(Segment::open(dir, 64 << 20)),
        "raw" => Any::Segment(Segment::open(dir, 64 << 20)),
        _ => panic!("unknown engine"),
    }
}

const TABLE: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("log");

impl Engine for Any {
    fn commit<'a>(
        &mut self,
        items: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), Failure> {
        match self {
            Any::Fjall { db, log } => {
                let mut batch = db.batch().durability(Some(fjall::PersistMode::SyncData));
                for (key, value) in items {
                    batch.insert(log, key, value);
                }
                batch.commit()?;
            }
            Any::Redb(db) => {
                let write = db.begin_write()?;
                {
                    let mut table = write.open_table(TABLE)?;
                    for (key, value) in items {
                        table.insert(key, value)?;
                    }
                }
                write.commit()?;
            }
            Any::Segment(segment) => segment.commit(items)?,
        }
        Ok(())
    }

    fn scan(&self) -> (u64, u64) {
        let (mut records, mut bytes) = (0, 0);
        match self {
            Any::Fjall { log, .. } => {
                for guard in log.iter() {
                    let (_, value) = guard.into_inner().unwrap();
                    records += 1;
                    bytes += value.len() as u64;
                }
            }
            Any::Redb(db) => {
                use redb::{ReadableDatabase, ReadableTable};
                let read = db.begin_read().unwrap();
                let Ok(table) = read.open_table(TABLE) else { return (0, 0) };
                for item in table.iter().unwrap() {
                    let (_, value) = item.unwrap();
                    records += 1;
                    bytes += value.value().len() as u64;
                }
            }
            Any::Segment(segment) => return segment.scan(),
        }
        (records, bytes)
    }
}

/// The reference: one file after the other, `length, checksum, key, value`, one write per group.
pub struct Segment {
    file: File,
    path: PathBuf,
    at: u64,
    zeroed: u64,
    ahead: u64,
    buffer: Vec<u8>,
    index: std::collections::BTreeMap<[u8; 24], (u64, u32)>,
}

impl Segment {
    fn open(dir: &Path, ahead: u64) -> Segment {
        let path = dir.join("segment.log");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .unwrap();
        let mut segment = Segment {
            file,
            path,
            at: 0,
            zeroed: 0,
            ahead,
            buffer: Vec::new(),
            index: Default::default(),
        };
        segment.recover();
        segment.zeroed = segment.at;
        segment
    }

    fn recover(&mut self) {
        let mut reader = std::io::BufReader::with_capacity(1 << 20, File::open(&self.path).unwrap());
        let mut head = [0u8; 32];
        let mut value = Vec::new();
        while reader.read_exact(&mut head).is_ok() {
            let length = u32::from_le_bytes(head[..4].try_into().unwrap());
            if length == 0 {
                break;
            }
            value.resize(length as usize, 0);
            if reader.read_exact(&mut value).is_err() {
                break;
            }
            let sum = crc32c::crc32c_append(crc32c::crc32c(&head[8..]), &value);
            if sum != u32::from_le_bytes(head[4..8].try_into().unwrap()) {
                break;
            }
            self.index.insert(head[8..].try_into().unwrap(), (self.at + 32, length));
            self.at += 32 + u64::from(length);
        }
    }

    fn commit<'a>(
        &mut self,
        items: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), Failure> {
        self.buffer.clear();
        for (key, value) in items {
            let at = self.at + self.buffer.len() as u64 + 32;
            self.index.insert(key.try_into()?, (at, value.len() as u32));
            self.buffer.extend_from_slice(&(value.len() as u32).to_le_bytes());
            let sum = crc32c::crc32c_append(crc32c::crc32c(key), value);
            self.buffer.extend_from_slice(&sum.to_le_bytes());
            self.buffer.extend_from_slice(key);
            self.buffer.extend_from_slice(value);
        }
        let end = self.at + self.buffer.len() as u64;
        if self.ahead > 0 && end > self.zeroed {
            // Real zeros: blocks that exist and are written need no journal commit to be overwritten.
            let zeros = vec![0u8; 1 << 20];
            let until = end + self.ahead;
            let mut at = self.zeroed;
            while at < until {
                self.file.write_all_at(&zeros, at)?;
                at += zeros.len() as u64;
            }
            self.zeroed = at;
            self.file.sync_all()?;
        }
        self.file.write_all_at(&self.buffer, self.at)?;
        self.file.sync_data()?;
        self.at = end;
        let _ = self.file.flush();
        Ok(())
    }

    fn scan(&self) -> (u64, u64) {
        let (mut records, mut bytes) = (0, 0);
        for (at, length) in self.index.values() {
            let mut value = vec![0u8; *length as usize];
            self.file.read_exact_at(&mut value, *at).unwrap();
            records += 1;
            bytes += u64::from(*length);
        }
        (records, bytes)
    }
}
