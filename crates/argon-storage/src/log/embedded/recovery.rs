//! Opening: what is on disk, made the store's state again.
//!
//! A crash cuts off the end of the last segment, and only of what was not yet durable. Each frame
//! says which frames before it were, so an end that was cut off (dropped, as it was never
//! acknowledged) is told from damage (reported).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::sync::Arc;

use bytes::Bytes;

use super::active::Active;
use super::disk::Disk;
use super::frame::{Header, Kind, Place};
use super::frames::{Found, Frames};
use super::index::{Block, Index};
use super::segment::{FILE_HEADER_BYTES, Paths, Segment, Summary, check_file_header, read_at};
use super::shared::Published;
use crate::log::catalog::{BranchMeta, ProjectMeta, decode_setting};
use crate::log::ledger::{Change, Ledger};
use crate::raw::{CHECKSUM, Fields, Reason, Value, array, binary, document, text};
use crate::{BranchId, Error, Lsn, ProjectId, Result};

/// Reads what is in the store's directory, which is locked.
pub(super) fn recover(paths: Paths, disk: Disk, segment_bytes: u64) -> Result<(Published, Active)> {
    let numbers = paths.segments()?;
    let newest = numbers.last().copied().unwrap_or(1);
    let mut files = BTreeMap::new();
    for number in &numbers {
        files.insert(*number, open(&paths, *number)?);
    }

    // The catalogue: the newest checkpoint that can be read, and the changes after it.
    let mut scans: BTreeMap<u64, Scan> = BTreeMap::new();
    let mut published = Published::default();
    let mut begun = false;
    for (number, file) in files.iter().rev() {
        let scan = Scan::of(*number, file, *number == newest)?;
        begun |= scan.end > 0;
        let is_base = scan.checkpoint.is_some();
        scans.insert(*number, scan);
        if is_base {
            break;
        }
    }
    for (number, scan) in &mut scans {
        replay(&mut published, *number, scan)?;
    }
    if begun && !scans.values().any(|scan| scan.checkpoint.is_some()) {
        return Err(Error::CorruptCatalog {
            what: format!("catalogue in {}", paths.directory().display()),
            reason: "no segment's checkpoint can be read".into(),
        });
    }

    // Where records are: from the summaries of older segments, else by reading them.
    for (number, file) in &files {
        let summary = match scans.get(number) {
            Some(scan) => scan.summary(),
            None => match read_summary(&paths, *number) {
                Some(summary) => summary,
                None => Scan::of(*number, file, false)?.summary(),
            },
        };
        add(&mut published, *number, file, summary);
    }
    set_heads(&mut published);

    let last = scans.get(&newest);
    let (position, sequence) = match last {
        Some(scan) if scan.end > 0 => (scan.end, scan.sequence),
        _ => (
            0,
            scans.values().map(|scan| scan.sequence).max().unwrap_or(0),
        ),
    };
    let file = match files.remove(&newest) {
        Some(file) => file,
        None => create(&paths, newest)?,
    };
    let allocated = settle(&file, newest, position)?;
    published.checkpointed = if position > 0 {
        newest
    } else {
        newest.saturating_sub(1)
    };
    let segment = Segment {
        file: Arc::clone(&file),
        end: position,
        sizes: HashMap::new(),
    };
    published.segments.entry(newest).or_insert(segment);
    let checkpoint = scans.get(&newest).and_then(|scan| scan.checkpoint.as_ref());
    let active = Active {
        paths,
        disk,
        segment_bytes,
        number: newest,
        file,
        position,
        allocated,
        checkpoint_bytes: checkpoint.map_or(0, |checkpoint| checkpoint.len() as u64),
        sequence,
        durable: sequence,
        buffer: Vec::new(),
    };
    Ok((published, active))
}

fn open(paths: &Paths, number: u64) -> Result<Arc<File>> {
    let path = paths.segment(number);
    let file = OpenOptions::new().read(true).write(true).open(&path);
    file.map(Arc::new).map_err(|source| failed(number, source))
}

fn create(paths: &Paths, number: u64) -> Result<Arc<File>> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(paths.segment(number));
    let file = file.map_err(|source| failed(number, source))?;
    paths.sync().map_err(|source| failed(number, source))?;
    Ok(Arc::new(file))
}

/// Cuts off what is not part of the log, and makes the rest durable: the process that wrote it may
/// have been killed before it was. Returns up to where the file's zeros go.
fn settle(file: &File, number: u64, position: u64) -> Result<u64> {
    let length = file
        .metadata()
        .map_err(|source| failed(number, source))?
        .len();
    let mut allocated = length;
    let mut at = position;
    while at < length {
        let chunk = read_at(file, at, 1 << 20).map_err(|source| failed(number, source))?;
        if chunk.is_empty() || chunk.iter().any(|byte| *byte != 0) {
            file.set_len(position)
                .map_err(|source| failed(number, source))?;
            allocated = 0;
            break;
        }
        at += chunk.len() as u64;
    }
    file.sync_all().map_err(|source| failed(number, source))?;
    Ok(if allocated > position { allocated } else { 0 })
}

fn failed(number: u64, source: std::io::Error) -> Error {
    Error::io(format!("reading segment {number}"), source)
}

fn corrupt(number: u64, offset: u64, reason: impl Into<String>) -> Error {
    Error::CorruptCatalog {
        what: format!("segment {number} at byte {offset}"),
        reason: reason.into(),
    }
}

/// What one segment holds.
#[derive(Default)]
struct Scan {
    /// How far it holds frames, in bytes; zero if nothing was ever written whole.
    end: u64,
    /// The sequence of the frame that would come next.
    sequence: u64,
    checkpoint: Option<Bytes>,
    /// Changes of the catalogue and of settings, in order.
    changes: Vec<(u64, Kind, Option<Bytes>)>,
    records: Vec<(BranchId, Block, u64)>,
}

impl Scan {
    fn of(number: u64, file: &File, is_newest: bool) -> Result<Scan> {
        let io = |source| failed(number, source);
        let length = file.metadata().map_err(io)?.len();
        let header = read_at(file, 0, FILE_HEADER_BYTES).map_err(io)?;
        let first_sequence = check_file_header(&header, number)?;

        let mut found = Vec::new();
        let mut frames = Frames::new(file, FILE_HEADER_BYTES as u64, length);
        // Before a segment is followed by another, all of it is put on disk.
        let mut durable = if is_newest { 0 } else { u64::MAX };
        let mut groups = HashSet::new();
        while let Some(item) = frames.next().map_err(io)? {
            if let Found::Frame { header, .. } = &item {
                durable = durable.max(header.durable);
                groups.insert(header.durable);
            }
            found.push((Item::of(item), frames.position()));
        }
        // A segment's first group is put on disk before the second is written, so one group alone
        // without the segment's header was cut off.
        if is_newest && first_sequence.is_none() && groups.len() <= 1 {
            return Ok(Scan::default());
        }

        let mut scan = Scan {
            end: FILE_HEADER_BYTES as u64,
            ..Scan::default()
        };
        let mut expected = first_sequence;
        let mut part = None;
        for (item, end) in found {
            let sequence = item.sequence().or(expected).unwrap_or(0);
            if item.is_damaged() && sequence >= durable {
                // Cut off by a crash, before it was acknowledged.
                break;
            }
            if expected.is_some_and(|expected| expected != sequence) || item.is_unknown() {
                return Err(corrupt(
                    number,
                    item.offset(),
                    "the damage hides what was written here",
                ));
            }
            scan.take(number, item, end, &mut part);
            expected = Some(sequence + 1);
            scan.sequence = sequence + 1;
            scan.end = end;
        }
        // Not even the checkpoint: as if it had never been begun.
        if scan.sequence == 0 {
            Ok(Scan::default())
        } else {
            Ok(scan)
        }
    }

    fn take(&mut self, number: u64, item: Item, end: u64, part: &mut Option<(BranchId, Lsn, u64)>) {
        let (offset, header, payload) = match item {
            Item::Frame {
                offset,
                header,
                payload,
                ..
            } => (offset, header, payload),
            Item::Damage { offset, place } => {
                if let Some((branch, first, last)) = place {
                    let block = Block {
                        first,
                        last,
                        segment: number,
                        offset,
                    };
                    self.records.push((branch, block, end - offset));
                }
                return;
            }
        };
        match header.kind {
            Kind::Checkpoint => self.checkpoint = payload,
            Kind::End => {}
            Kind::Part => match part {
                Some((branch, first, _)) if (*branch, *first) == (header.branch, header.first) => {}
                _ => *part = Some((header.branch, header.first, offset)),
            },
            Kind::Record => {
                let begin = part
                    .take()
                    .filter(|(branch, first, _)| (*branch, *first) == (header.branch, header.first))
                    .map_or(offset, |(_, _, begin)| begin);
                let (first, last) = (header.first, header.last);
                let block = Block {
                    first,
                    last,
                    segment: number,
                    offset: begin,
                };
                self.records.push((header.branch, block, end - begin));
            }
            Kind::CreateProject
            | Kind::CreateBranch
            | Kind::DropBranch
            | Kind::DropProject
            | Kind::PutSetting => self.changes.push((offset, header.kind, payload)),
        }
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary {
            end: self.end,
            ..Summary::default()
        };
        let mut index = Index::default();
        for (branch, block, bytes) in &self.records {
            index.add(*branch, *block);
            *summary.sizes.entry(*branch).or_default() += bytes;
        }
        for branch in summary.sizes.keys() {
            summary
                .blocks
                .extend(index.all(*branch).iter().map(|block| (*branch, *block)));
        }
        summary
    }
}

/// A frame without the payload, unless it is the catalogue's.
enum Item {
    Frame {
        offset: u64,
        header: Header,
        payload: Option<Bytes>,
        damaged: bool,
    },
    Damage {
        offset: u64,
        place: Option<Place>,
    },
}

impl Item {
    fn of(found: Found) -> Self {
        match found {
            Found::Frame {
                offset,
                header,
                payload,
            } => {
                let damaged = payload.is_none();
                // Copied, so that it does not keep the chunk it was read with.
                let payload = payload
                    .filter(|_| !matches!(header.kind, Kind::Record | Kind::Part))
                    .map(|payload| Bytes::copy_from_slice(&payload));
                Item::Frame {
                    offset,
                    header,
                    payload,
                    damaged,
                }
            }
            Found::Damage { offset, place } => Item::Damage { offset, place },
        }
    }

    fn offset(&self) -> u64 {
        match self {
            Item::Frame { offset, .. } | Item::Damage { offset, .. } => *offset,
        }
    }

    fn sequence(&self) -> Option<u64> {
        match self {
            Item::Frame { header, .. } => Some(header.sequence),
            Item::Damage { .. } => None,
        }
    }

    fn is_damaged(&self) -> bool {
        matches!(
            self,
            Item::Damage { .. } | Item::Frame { damaged: true, .. }
        )
    }

    fn is_unknown(&self) -> bool {
        matches!(self, Item::Damage { place: None, .. })
    }
}

/// Writes the summary of a finished segment; without it, opening reads the segment instead.
pub(super) fn summarize(paths: &Paths, number: u64, file: &File) -> Result<()> {
    let summary = Scan::of(number, file, false)?.summary();
    fs::write(paths.summary(number), summary.encode(number))
        .map_err(|source| Error::io(format!("writing the summary of segment {number}"), source))
}

fn read_summary(paths: &Paths, number: u64) -> Option<Summary> {
    let bytes = fs::read(paths.summary(number)).ok()?;
    Summary::decode(&bytes.into(), number).ok()
}

fn add(published: &mut Published, number: u64, file: &Arc<File>, summary: Summary) {
    for (branch, block) in &summary.blocks {
        if published.ledger.has_branch(*branch) {
            published.index.add_block(*branch, *block);
        }
    }
    let (file, end, sizes) = (Arc::clone(file), summary.end, summary.sizes);
    published
        .segments
        .insert(number, Segment { file, end, sizes });
}

fn set_heads(published: &mut Published) {
    let branches: Vec<BranchId> = published
        .ledger
        .branch_metas()
        .map(|meta| meta.id)
        .collect();
    for branch in branches {
        if let Some(last) = published.index.last(branch) {
            published.ledger.set_head(branch, last);
        }
    }
    published.ledger.count_children();
}

/// Makes a segment's changes of the catalogue part of the state.
fn replay(published: &mut Published, number: u64, scan: &mut Scan) -> Result<()> {
    if let Some(payload) = &scan.checkpoint {
        published.ledger = Ledger::default();
        published.settings.clear();
        read_checkpoint(published, payload)
            .map_err(|reason| corrupt(number, FILE_HEADER_BYTES as u64, reason))?;
    }
    for (offset, kind, payload) in scan.changes.drain(..) {
        let payload = payload
            .ok_or_else(|| corrupt(number, offset, "a change of the catalogue is damaged"))?;
        read_change(published, kind, &payload).map_err(|reason| corrupt(number, offset, reason))?;
    }
    Ok(())
}

fn read_checkpoint(published: &mut Published, payload: &Bytes) -> Result<(), Reason> {
    let mut fields = Fields::of(payload.clone(), "checkpoint")?;
    while let Some((name, value)) = fields.next()? {
        if name == CHECKSUM {
            continue;
        }
        let name = name.to_owned();
        let mut items = Fields::of(array(value)?, "checkpoint")?;
        while let Some((_, item)) = items.next()? {
            let item = document(item)?;
            match name.as_str() {
                "projects" => {
                    published
                        .ledger
                        .add_project(Arc::new(ProjectMeta::decode(&item)?));
                }
                "branches" => add_branch(published, BranchMeta::decode(&item)?),
                "settings" => add_setting(published, &item)?,
                _ => return Err(format!("unexpected field {name:?} in the checkpoint")),
            }
        }
    }
    Ok(())
}

fn add_branch(published: &mut Published, meta: BranchMeta) {
    let base = meta.base();
    published.ledger.add_branch(Arc::new(meta), Ok(base));
}

fn add_setting(published: &mut Published, item: &Bytes) -> Result<(), Reason> {
    let mut fields = Fields::of(item.clone(), "setting")?;
    while let Some((name, value)) = fields.next()? {
        if name == "_id" {
            let key = text(&value)?.to_owned();
            published.settings.insert(key, decode_setting(item)?);
        }
    }
    Ok(())
}

fn read_change(published: &mut Published, kind: Kind, payload: &Bytes) -> Result<(), Reason> {
    match kind {
        Kind::CreateBranch => add_branch(published, BranchMeta::decode(payload)?),
        Kind::PutSetting => add_setting(published, payload)?,
        _ => {
            let mut fields = Fields::of(payload.clone(), "change")?;
            while let Some((name, value)) = fields.next()? {
                match name {
                    "project" => {
                        let meta = ProjectMeta::decode(&document(value)?)?;
                        published.ledger.add_project(Arc::new(meta));
                    }
                    "main" => add_branch(published, BranchMeta::decode(&document(value)?)?),
                    "branch_id" => {
                        let branch = BranchId::from_bytes(identity(value)?);
                        published.ledger.apply(&Change::DropBranch(branch));
                    }
                    "project_id" => {
                        let project = ProjectId::from_bytes(identity(value)?);
                        if let Ok(change) = published.ledger.drop_of_project(project) {
                            published.ledger.apply(&change);
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

fn identity(value: Value) -> Result<[u8; 16], Reason> {
    (*binary(value)?)
        .try_into()
        .map_err(|_| "an identity has not 16 bytes".into())
}
