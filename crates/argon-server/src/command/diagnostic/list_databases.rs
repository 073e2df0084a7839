//! `listDatabases`: every branch of every project, so that tools which know nothing of branches show them.

use std::sync::Arc;

use argon_engine::{Branch, BranchEngine, Database};
use argon_mql::filter::Filter;
use argon_mql::{Doc, DocBuf, ParseContext, ValueRef};
use bytes::Bytes;

use crate::command::{Access, Command, Cx, text};
use crate::error::Result;
use crate::prefix;
use crate::reply::Reply;
use crate::request::Argument;

pub(in crate::command) const COMMAND: Command = Command {
    name: "listDatabases",
    aliases: &[],
    access: Access::AdminDatabase,
    help: "Lists every branch of every project as a database.",
    run: |cx| Box::pin(run(cx)),
};

/// Databases that a mongos has whatever is stored; Argon's own, and empty.
const OWN: &[&str] = &["admin", "config"];

/// What the listing says of a database beside its name.
struct Size {
    bytes: u64,
    empty: bool,
}

async fn run(cx: &Cx<'_>) -> Result<Reply> {
    const KNOWN: &[&str] = &["filter", "nameOnly", "authorizedDatabases"];
    cx.request.refuse_unknown("listDatabases", KNOWN)?;
    let mut filter = None;
    let mut name_only = false;
    for element in cx
        .request
        .arguments()
        .skip(1)
        .filter(|element| !element.value().is_nullish())
    {
        let argument = Argument {
            command: "listDatabases",
            element,
        };
        match &**element.key() {
            b"filter" => filter = Some(Filter::parse(argument.document()?, &ParseContext::new())?),
            b"nameOnly" => name_only = argument.bool()?,
            // Without authentication everybody may see every database.
            _ => {
                argument.bool()?;
            }
        }
    }

    let mut documents: Vec<Bytes> = OWN
        .iter()
        .map(|name| {
            describe(
                name,
                (!name_only).then_some(Size {
                    bytes: 0,
                    empty: true,
                }),
            )
        })
        .collect();
    let mut total = 0;
    cx.shared.engine.refresh().await?;
    for branch in branches(cx) {
        cx.operation.check()?;
        let size = if name_only {
            None
        } else {
            Some(size(cx, &branch).await?)
        };
        documents.push(describe(&branch.database, size));
    }
    if let Some(passthrough) = &cx.shared.passthrough {
        let listed = passthrough.list(cx.shared, name_only).await?;
        documents.extend(listed);
    }
    documents.sort_by(|a, b| name(a).cmp(&name(b)));

    let check = || cx.operation.check();
    let env = cx.env(Vec::new(), &check);
    let mut reply = Reply::ok();
    let doc = reply.doc();
    let array = doc.open_array("databases");
    let mut count = 0;
    for document in &documents {
        if let Some(filter) = &filter
            && !filter.matches(document, &env)?
        {
            continue;
        }
        if let Some(ValueRef::Int64(bytes)) = Doc::new(document).get("sizeOnDisk") {
            total += bytes;
        }
        doc.push(count, ValueRef::Document(Doc::new(document)));
        count += 1;
    }
    doc.close(array);
    if !name_only {
        doc.append("totalSize", ValueRef::Int64(total));
        doc.append("totalSizeMb", ValueRef::Int64(total / (1 << 20)));
    }
    Ok(reply)
}

/// Every branch of every project.
fn branches(cx: &Cx<'_>) -> Vec<Arc<Branch>> {
    let engine = &cx.shared.engine;
    engine
        .projects()
        .iter()
        // A project that is dropped meanwhile is not there.
        .filter_map(|project| engine.branches(project).ok())
        // As in MongoDB, a database without collections is none: what `dropDatabase` leaves. One with branches stays.
        .filter(|branches| {
            branches.len() > 1 || !branches.iter().all(|info| info.branch.is_known_empty())
        })
        .flatten()
        .map(|info| info.branch)
        // Main branches that are kept in the upstream are databases there, and listed with them.
        .filter(|branch| branch.meta.engine == BranchEngine::Wal || branch.parent().is_some())
        .collect()
}

/// Bytes of the documents that the branch shows. Branches share them, so the sum may exceed what the disk holds.
async fn size(cx: &Cx<'_>, branch: &Arc<Branch>) -> Result<Size> {
    let engine = &cx.shared.engine;
    if branch.meta.engine == BranchEngine::Prefix {
        return size_in_upstream(cx, branch).await;
    }
    // A listing must not push out of memory what clients work on: what is not in memory is read while there is room.
    if !branch.is_loaded() && engine.cached_bytes() >= engine.cache_bytes_max() {
        return Ok(Size {
            bytes: 0,
            empty: false,
        });
    }
    let state = engine
        .read(
            &Database {
                branch: Arc::clone(branch),
                point: None,
            },
            cx.request.after_cluster_time(),
        )
        .await?;
    Ok(Size {
        bytes: state
            .collections()
            .map(|collection| collection.bytes())
            .sum(),
        empty: state.collections().next().is_none(),
    })
}

/// Bytes that a branch takes in the upstream; nothing while it is copied.
async fn size_in_upstream(cx: &Cx<'_>, branch: &Arc<Branch>) -> Result<Size> {
    let mut size = Size {
        bytes: 0,
        empty: false,
    };
    if cx.shared.prefix_jobs.find(branch.id()).is_some() {
        return Ok(size);
    }
    if let Ok(Some(names)) = prefix::names(cx.shared, &branch.database).await {
        let stats = prefix::db_stats(cx.shared.upstream()?, &names, 1.0, false).await?;
        if let Some(ValueRef::Double(total)) = Doc::new(&stats).get("totalSize") {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a size in bytes"
            )]
            let bytes = total as u64;
            size.bytes = bytes;
        }
    }
    Ok(size)
}

fn describe(name: &str, size: Option<Size>) -> Bytes {
    let mut doc = DocBuf::new();
    doc.append("name", text(name));
    if let Some(Size { bytes, empty }) = size {
        doc.append(
            "sizeOnDisk",
            ValueRef::Int64(i64::try_from(bytes).unwrap_or(i64::MAX)),
        );
        doc.append("empty", ValueRef::Bool(empty));
    }
    doc.finish()
}

fn name(document: &Bytes) -> Option<&str> {
    Doc::new(document)
        .get("name")
        .and_then(|name| name.as_str())
}
