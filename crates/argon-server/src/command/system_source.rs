//! Documents that a pipeline gets from the server itself: `$collStats`, `$indexStats`, `$currentOp`, sessions.

use std::sync::Arc;

use argon_engine::exec::Reading;
use argon_engine::state::Collection;
use argon_mql::filter::Filter;
use argon_mql::index::IndexSpec;
use argon_mql::stage::{Documents, Reader, Source, SystemSource};
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use bytes::Bytes;

use super::diagnostic::{host, running_operations};
use super::{Cx, coll_stats, text};
use crate::error::{Error, Result};
use crate::request::{Argument, unknown_field};
use crate::server::now_ms;

/// A reader for a pipeline that begins with documents of the server.
pub(super) struct SystemReader {
    reading: Reading,
    documents: Vec<Bytes>,
}

impl SystemReader {
    /// Gets what `source` asks for, now: it is small, and a cursor may outlive what it describes.
    pub(super) fn new(
        cx: &Cx<'_>,
        source: &SystemSource,
        namespace: &str,
        collection: Option<&Arc<Collection>>,
        reading: Reading,
    ) -> Result<SystemReader> {
        let documents = documents(cx, source, namespace, collection)?;
        Ok(SystemReader { reading, documents })
    }
}

impl Reader for SystemReader {
    fn scan(
        &self,
        db: Option<&str>,
        collection: &str,
        filter: Option<&Filter>,
    ) -> argon_mql::Result<Box<dyn Source>> {
        self.reading.scan(db, collection, filter)
    }

    fn has_index(&self, db: Option<&str>, collection: &str, path: &[u8]) -> bool {
        self.reading.has_index(db, collection, path)
    }

    fn system(&self, source: &SystemSource) -> argon_mql::Result<Box<dyn Source>> {
        if source.on.is_some() {
            return self.reading.system(source);
        }
        Ok(Box::new(Documents::new(self.documents.clone())))
    }
}

fn documents(
    cx: &Cx<'_>,
    source: &SystemSource,
    namespace: &str,
    collection: Option<&Arc<Collection>>,
) -> Result<Vec<Bytes>> {
    match source.name {
        "$collStats" => Ok(vec![stats(cx, source, namespace, collection)?]),
        "$indexStats" => Ok(collection.map_or_else(Vec::new, |collection| indexes(cx, collection))),
        "$currentOp" => {
            let idle = source.arguments().get("idleConnections");
            Ok(running_operations(
                cx,
                matches!(idle, Some(ValueRef::Bool(true))),
            ))
        }
        "$listLocalSessions" | "$listSessions" => Ok(sessions(cx)),
        // A plan is chosen anew for each command.
        "$planCacheStats" => Ok(Vec::new()),
        name => Err(Error::new(
            ErrorCode::CommandNotSupported,
            format!("{name} is not supported"),
        )),
    }
}

fn stats(
    cx: &Cx<'_>,
    source: &SystemSource,
    namespace: &str,
    collection: Option<&Arc<Collection>>,
) -> Result<Bytes> {
    let mut doc = DocBuf::new();
    doc.append("ns", text(namespace));
    doc.append("host", text(&host(cx)));
    doc.append("localTime", ValueRef::DateTime(now_ms()));
    // In MongoDB's order, however they are asked for.
    let asked = source.arguments();
    let parts = ["latencyStats", "storageStats", "count", "queryExecStats"];
    for element in parts
        .iter()
        .filter_map(|part| asked.element(part.as_bytes()))
    {
        let what = element.key();
        if what == "latencyStats" {
            let histograms = histograms(element.value())?;
            // MongoDB names it once more here.
            doc.append("ns", text(namespace));
            let stats = doc.open_document("latencyStats");
            let latency = cx.shared.latencies.get(namespace);
            latency.append_to(&mut doc, histograms);
            doc.close(stats);
            continue;
        }
        let collection = collection.ok_or_else(|| {
            Error::new(
                ErrorCode::NamespaceNotFound,
                format!(
                    "PlanExecutor error during aggregation :: caused by :: Unable to retrieve {what} in $collStats \
                     stage :: caused by :: Collection [{namespace}] not found."
                ),
            )
        })?;
        match &**what {
            b"count" => doc.append("count", coll_stats::number(collection.len() as u64)),
            b"storageStats" => {
                let scale = element
                    .value()
                    .as_document()
                    .and_then(|options| options.element(b"scale"));
                let scale = scale.map(|element| {
                    let command = "$collStats.storageStats";
                    coll_stats::scale_of(&Argument { command, element })
                });
                let stats = doc.open_document("storageStats");
                coll_stats::append(&mut doc, Some(collection), scale.transpose()?.unwrap_or(1));
                doc.close(stats);
            }
            _ => {
                return Err(Error::new(
                    ErrorCode::CommandNotSupported,
                    format!("$collStats.{what} is not supported: Argon does not keep it"),
                ));
            }
        }
    }
    Ok(doc.finish())
}

/// Reads the options of `latencyStats`.
fn histograms(options: ValueRef<'_>) -> Result<bool> {
    let Some(options) = options.as_document() else {
        return Ok(false);
    };
    let mut histograms = false;
    for element in options.iter() {
        match (&**element.key(), element.value()) {
            (b"histograms", ValueRef::Bool(value)) => histograms = value,
            (b"histograms", value) => {
                return Err(Error::new(
                    ErrorCode::TypeMismatch,
                    format!(
                        "Field 'histograms' should be a boolean value, but found: {}",
                        value.type_name()
                    ),
                ));
            }
            _ => {
                return Err(unknown_field("$collStats.latencyStats", element.key()));
            }
        }
    }
    Ok(histograms)
}

fn indexes(cx: &Cx<'_>, collection: &Collection) -> Vec<Bytes> {
    let specs = std::iter::once(IndexSpec::id().document().clone()).chain(
        collection
            .indexes()
            .iter()
            .map(|index| index.spec.document().clone()),
    );
    specs
        .map(|spec| {
            let spec = Doc::new(&spec);
            let mut doc = DocBuf::new();
            for field in ["name", "key"] {
                if let Some(value) = spec.get(field) {
                    doc.append(field, value);
                }
            }
            doc.append("host", text(&host(cx)));
            let accesses = doc.open_document("accesses");
            // Uses are not counted. None since now is true, and nobody will drop an index for it.
            doc.append("ops", ValueRef::Int64(0));
            doc.append("since", ValueRef::DateTime(now_ms()));
            doc.close(accesses);
            doc.append("spec", ValueRef::Document(spec));
            doc.finish()
        })
        .collect()
}

fn sessions(cx: &Cx<'_>) -> Vec<Bytes> {
    let now = now_ms();
    cx.shared
        .sessions
        .list()
        .iter()
        .map(|(lsid, unused)| {
            let mut doc = DocBuf::new();
            let id = doc.open_document("_id");
            let (uuid, user) = lsid.split_at_checked(16).unwrap_or((lsid, &[]));
            doc.append(
                "id",
                ValueRef::Binary {
                    subtype: 4,
                    bytes: uuid,
                },
            );
            if !user.is_empty() {
                doc.append(
                    "uid",
                    ValueRef::Binary {
                        subtype: 0,
                        bytes: user,
                    },
                );
            }
            doc.close(id);
            let ago = i64::try_from(unused.as_millis()).unwrap_or(i64::MAX);
            doc.append("lastUse", ValueRef::DateTime(now.saturating_sub(ago)));
            doc.finish()
        })
        .collect()
}
