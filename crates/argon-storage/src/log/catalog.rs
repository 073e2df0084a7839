//! What the catalogue holds: projects and branches.

use bytes::Bytes;

use crate::raw::{
    CHECKSUM, Fields, GENERIC, Reason, UUID, Value, Writer, binary, document, int64, is_framed,
    tag, text, verify,
};
use crate::{BranchId, Error, Lsn, ProjectId, Result};

/// The most that one item's names and additional fields may take together, in bytes.
const ITEM_BYTES_MAX: usize = 1 << 20;

/// An empty BSON document: no additional fields.
pub const NO_EXTRA: Bytes = Bytes::from_static(&[5, 0, 0, 0, 0]);

/// A project, as the catalogue keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectMeta {
    /// Its identity.
    pub id: ProjectId,
    /// Its name, a MongoDB database name; unique, whatever the case.
    pub name: String,
    /// The branch it came into being with; it stays as long as the project does.
    pub main: BranchId,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// BSON document of further fields, kept as they are; [`NO_EXTRA`] if there are none.
    pub extra: Bytes,
}

/// A branch, as the catalogue keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchMeta {
    /// Its identity.
    pub id: BranchId,
    /// The project it belongs to.
    pub project: ProjectId,
    /// Its name, free text; unique within the project.
    pub name: String,
    /// Its name in database names; unique within the project, whatever the case.
    pub wire_name: String,
    /// Where it was forked from; `None` for a branch that began empty.
    pub parent: Option<Parent>,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// What serves it.
    pub engine: BranchEngine,
    /// BSON document of further fields, kept as they are; [`NO_EXTRA`] if there are none.
    pub extra: Bytes,
}

/// Where a branch was forked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The parent branch.
    pub branch: BranchId,
    /// The last LSN of the parent that the branch shares.
    pub base: Lsn,
}

/// What serves a branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum BranchEngine {
    /// The log in this store.
    #[default]
    Wal,
    /// Prefixed collections in the upstream MongoDB.
    Prefix,
}

impl BranchEngine {
    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            BranchEngine::Wal => "wal",
            BranchEngine::Prefix => "prefix",
        }
    }
}

impl ProjectMeta {
    pub(crate) fn check(&self) -> Result<()> {
        check_item(self.name.len(), &self.extra)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(256);
        let open = writer.begin();
        writer.binary("_id", UUID, self.id.as_bytes());
        writer.string("name", &self.name);
        writer.binary("main_id", UUID, self.main.as_bytes());
        writer.int64(tag::DATE_TIME, "created_at", self.created_at_ms);
        writer.document("extra", &self.extra);
        writer.seal(open);
        writer.into_bytes()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Reason> {
        verify(bytes)?;
        let (mut id, mut main) = (None, None);
        let (mut name, mut created_at_ms, mut extra) = (String::new(), 0, NO_EXTRA);
        let mut fields = Fields::of(bytes.clone(), "project")?;
        while let Some((field, value)) = fields.next()? {
            match field {
                "_id" => id = Some(ProjectId::from_bytes(uuid(value)?)),
                "name" => text(&value)?.clone_into(&mut name),
                "main_id" => main = Some(BranchId::from_bytes(uuid(value)?)),
                "created_at" => created_at_ms = int64(&value)?,
                // Copied, so that a few bytes do not keep a whole page of the store in memory.
                "extra" => extra = Bytes::copy_from_slice(&document(value)?),
                CHECKSUM => {}
                _ => return Err(format!("unexpected field {field:?}")),
            }
        }
        let (Some(id), Some(main)) = (id, main) else {
            return Err("an identity is missing".into());
        };
        Ok(ProjectMeta {
            id,
            name,
            main,
            created_at_ms,
            extra,
        })
    }
}

impl BranchMeta {
    /// The last LSN before the branch's own log: its parent's base, or zero.
    #[must_use]
    pub fn base(&self) -> Lsn {
        self.parent.map_or(Lsn::ZERO, |parent| parent.base)
    }

    pub(crate) fn check(&self) -> Result<()> {
        check_item(
            self.name.len().saturating_add(self.wire_name.len()),
            &self.extra,
        )
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(384);
        let open = writer.begin();
        writer.binary("_id", UUID, self.id.as_bytes());
        writer.binary("project_id", UUID, self.project.as_bytes());
        writer.string("name", &self.name);
        writer.string("wire_name", &self.wire_name);
        if let Some(parent) = &self.parent {
            writer.binary("parent_id", UUID, parent.branch.as_bytes());
            writer.int64(tag::INT64, "base_lsn", parent.base.0.cast_signed());
        }
        writer.int64(tag::DATE_TIME, "created_at", self.created_at_ms);
        writer.string("engine", self.engine.name());
        writer.document("extra", &self.extra);
        writer.seal(open);
        writer.into_bytes()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Reason> {
        verify(bytes)?;
        let (mut id, mut project, mut engine) = (None, None, None);
        let (mut parent, mut base) = (None, None);
        let (mut name, mut wire_name) = (String::new(), String::new());
        let (mut created_at_ms, mut extra) = (0, NO_EXTRA);
        let mut fields = Fields::of(bytes.clone(), "branch")?;
        while let Some((field, value)) = fields.next()? {
            match field {
                "_id" => id = Some(BranchId::from_bytes(uuid(value)?)),
                "project_id" => project = Some(ProjectId::from_bytes(uuid(value)?)),
                "name" => text(&value)?.clone_into(&mut name),
                "wire_name" => text(&value)?.clone_into(&mut wire_name),
                "parent_id" => parent = Some(BranchId::from_bytes(uuid(value)?)),
                "base_lsn" => base = u64::try_from(int64(&value)?).ok().map(Lsn),
                "created_at" => created_at_ms = int64(&value)?,
                "engine" => {
                    engine = match text(&value)? {
                        "wal" => Some(BranchEngine::Wal),
                        "prefix" => Some(BranchEngine::Prefix),
                        other => return Err(format!("unknown engine {other:?}")),
                    };
                }
                "extra" => extra = Bytes::copy_from_slice(&document(value)?),
                CHECKSUM => {}
                _ => return Err(format!("unexpected field {field:?}")),
            }
        }
        let (Some(id), Some(project), Some(engine)) = (id, project, engine) else {
            return Err("a field is missing".into());
        };
        let parent = match (parent, base) {
            (None, None) => None,
            (Some(branch), Some(base)) => Some(Parent { branch, base }),
            _ => return Err("its parent is incomplete".into()),
        };
        Ok(BranchMeta {
            id,
            project,
            name,
            wire_name,
            parent,
            created_at_ms,
            engine,
            extra,
        })
    }
}

/// What names are compared by: MongoDB refuses databases whose names differ in case only, as some file systems cannot tell
/// them apart. Source: MongoDB manual, "Naming Restrictions".
pub(crate) fn folded(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// The stored form of a setting's value.
pub(crate) fn encode_setting(key: &str, value: &[u8]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(key.len() + value.len() + 64);
    let open = writer.begin();
    writer.string("_id", key);
    writer.binary("value", GENERIC, value);
    writer.seal(open);
    writer.into_bytes()
}

pub(crate) fn decode_setting(bytes: &Bytes) -> Result<Bytes, Reason> {
    verify(bytes)?;
    let mut found = None;
    let mut fields = Fields::of(bytes.clone(), "setting")?;
    while let Some((field, value)) = fields.next()? {
        if field == "value" {
            found = Some(Bytes::copy_from_slice(&binary(value)?));
        }
    }
    found.ok_or_else(|| "its value is missing".into())
}

/// Refuses a setting that is too large.
pub(crate) fn check_setting(key: &str, value: &[u8]) -> Result<()> {
    if key.len().saturating_add(value.len()) > ITEM_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a setting larger than {ITEM_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn check_item(name_bytes: usize, extra: &Bytes) -> Result<()> {
    if !is_framed(extra) {
        return Err(Error::invalid("the additional fields are no BSON document"));
    }
    if name_bytes.saturating_add(extra.len()) > ITEM_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a catalogue item larger than {ITEM_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn uuid(value: Value) -> Result<[u8; 16], Reason> {
    (*binary(value)?)
        .try_into()
        .map_err(|_| "an identity has not 16 bytes".into())
}
