//! The answer to a command, under construction.

use argon_engine::ClusterTime;
use argon_mql::{DocBuf, ValueRef};

use crate::error::{Error, UNCODED};
use crate::request::Request;

/// The answer to a command: its own fields, then `ok` and the times that every answer carries.
pub(crate) struct Reply {
    doc: DocBuf,
    /// The request that the client makes by not asking (exhaust): the answer to it follows at once.
    pub(crate) next: Option<Request>,
}

impl Reply {
    /// An answer without fields of its own.
    pub(crate) fn ok() -> Reply {
        Reply {
            doc: DocBuf::with_capacity(256),
            next: None,
        }
    }

    /// An answer with the fields of `doc`.
    pub(crate) fn from(doc: DocBuf) -> Reply {
        Reply { doc, next: None }
    }

    /// The failed command's answer.
    pub(crate) fn error(error: &Error) -> Reply {
        let mut doc = DocBuf::new();
        doc.append("ok", ValueRef::Double(0.0));
        doc.append("errmsg", ValueRef::String(error.message.as_str().into()));
        if error.code != UNCODED {
            doc.append("code", ValueRef::Int32(error.code.number()));
            doc.append(
                "codeName",
                ValueRef::String(error.code.name().as_str().into()),
            );
        }
        if let Some(details) = error.details() {
            doc.append_all(details);
        }
        if !error.labels.is_empty() {
            let labels = doc.open_array("errorLabels");
            for (index, label) in error.labels.iter().enumerate() {
                doc.push(index, ValueRef::String((*label).into()));
            }
            doc.close(labels);
        }
        Reply { doc, next: None }
    }

    /// Appends a field.
    pub(crate) fn with(mut self, key: &str, value: ValueRef<'_>) -> Reply {
        self.doc.append(key, value);
        self
    }

    /// The document being built.
    pub(crate) fn doc(&mut self) -> &mut DocBuf {
        &mut self.doc
    }

    /// The finished document. `times` is left out for clients that know no sessions.
    pub(crate) fn finish(mut self, failed: bool, time: ClusterTime) -> bytes::Bytes {
        if !failed {
            self.doc.append("ok", ValueRef::Double(1.0));
        }
        let cluster = self.doc.open_document("$clusterTime");
        self.doc.append("clusterTime", ValueRef::Timestamp(time.0));
        let signature = self.doc.open_document("signature");
        self.doc.append(
            "hash",
            ValueRef::Binary {
                subtype: 0,
                bytes: &[0; 20],
            },
        );
        self.doc.append("keyId", ValueRef::Int64(0));
        self.doc.close(signature);
        self.doc.close(cluster);
        self.doc
            .append("operationTime", ValueRef::Timestamp(time.0));
        self.doc.finish()
    }
}
