//! The prefix engine: branches whose collections lie in the upstream MongoDB, beside main's, under a prefix.
//!
//! ```text
//! command ─▶ names of the branch ─▶ argon-prefix rewrites ─▶ upstream ─▶ argon-prefix rewrites ─▶ reply
//!                 │                        └ listCollections, dbStats, dropDatabase: made of several commands
//!                 └ kept for as long as the catalogue does not change
//! createBranch ─▶ job: a document in the upstream, the copy, the document gone: the branch is ready
//! ```
//!
//! A branch is ready once no job is known of it. The job's document outlives a crash, so a half-copied branch is never
//! taken for a whole one: whoever starts next goes on where the copy ended.

mod composed;
mod copy;
mod job;
mod route;

use std::sync::Arc;

use argon_engine::UpstreamBranch;
use argon_engine::name::MAIN;
use argon_prefix::{Names, Refused, prefix_of};
use argon_upstream::Upstream;
use bson::{RawDocument, RawDocumentBuf};
use bytes::Bytes;

pub(crate) use composed::{db_stats, drop_database, list_collections};
pub(crate) use job::{Jobs, Progress, create_branch, drop_branch, watch};
pub(crate) use route::{Claimed, Rewriting, Routes, claim, names};

use crate::error::{Error, Result};
use crate::server::Shared;

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        Error::new(refused.code, refused.message)
    }
}

impl Shared {
    /// The deployment behind Argon.
    ///
    /// # Errors
    /// If none is configured.
    pub(crate) fn upstream(&self) -> Result<&Arc<Upstream>> {
        match &self.passthrough {
            Some(passthrough) => Ok(&passthrough.upstream),
            None => Err(Error::bad_value(
                "engine 'prefix' needs an upstream MongoDB, and none is configured: start Argon with --mongodb-uri",
            )),
        }
    }

    /// The database there in which Argon keeps its own data.
    pub(crate) fn upstream_database(&self) -> &str {
        self.passthrough
            .as_ref()
            .map_or("", |passthrough| &passthrough.own_database)
    }
}

/// The names of `found`, which clients call `client`.
fn names_of(client: &str, found: &UpstreamBranch) -> Names {
    let wire_name = &found.branch.meta.wire_name;
    let prefix = if wire_name == MAIN {
        String::new()
    } else {
        prefix_of(wire_name)
    };
    let beside: Vec<String> = found.beside.iter().map(|name| prefix_of(name)).collect();
    Names::new(
        client,
        &found.branch.project,
        &prefix,
        beside.iter().map(String::as_str),
    )
}

/// Runs `command` on the upstream's `database`; a failure there is one here, in the same words.
async fn run(
    upstream: &Upstream,
    database: &str,
    command: RawDocumentBuf,
) -> Result<RawDocumentBuf> {
    let reply = upstream.command(database, command).await?;
    match failure(&reply) {
        None => Ok(reply),
        Some(error) => Err(error),
    }
}

/// What a reply says went wrong with the command, or with the guarantee asked for.
fn failure(reply: &RawDocument) -> Option<Error> {
    let number = |field: &str| {
        let value = reply.get(field).ok().flatten()?;
        value
            .as_f64()
            .or_else(|| value.as_i32().map(f64::from))
            .or_else(|| value.as_bool().map(|ok| f64::from(u8::from(ok))))
    };
    let described = |doc: &RawDocument| {
        let code = doc.get_i32("code").unwrap_or(8);
        let message = doc.get_str("errmsg").unwrap_or("the upstream failed");
        Error::new(argon_mql::ErrorCode::location(code), message)
    };
    if number("ok") != Some(1.0) {
        return Some(described(reply));
    }
    if let Ok(error) = reply.get_document("writeConcernError") {
        return Some(described(error));
    }
    let errors = reply.get_array("writeErrors").ok()?;
    let first = errors.into_iter().next()?.ok()?;
    first.as_document().map(described)
}

/// Every document of a cursor of ours.
async fn documents(
    upstream: &Upstream,
    database: &str,
    command: RawDocumentBuf,
) -> Result<Vec<Bytes>> {
    let mut documents = Vec::new();
    let mut reply = run(upstream, database, command).await?;
    loop {
        let broken = || Error::bad_value("the upstream's cursor cannot be read");
        let cursor = reply.get_document("cursor").map_err(|_| broken())?;
        let batch = cursor
            .get_array("firstBatch")
            .or_else(|_| cursor.get_array("nextBatch"))
            .map_err(|_| broken())?;
        for item in batch {
            if let Some(document) = item.ok().and_then(|item| item.as_document()) {
                documents.push(Bytes::copy_from_slice(document.as_bytes()));
            }
        }
        let id = cursor.get_i64("id").map_err(|_| broken())?;
        let namespace = cursor.get_str("ns").map_err(|_| broken())?;
        let Some((_, collection)) = namespace.split_once('.').filter(|_| id != 0) else {
            return Ok(documents);
        };
        let more = bson::rawdoc! { "getMore": id, "collection": collection };
        reply = run(upstream, database, more).await?;
    }
}
