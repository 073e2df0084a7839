//! Which records MongoDB would refuse for the depth of the documents in them.
//!
//! MongoDB stores documents of up to 180 levels, and in a record a document begins some levels deeper. What nests deeply
//! goes into a page, which is one level of bytes.

use bson::RawDocument;
use bson::raw::RawBsonRef;
use bytes::Bytes;

use crate::record::{Encoded, encode, encode_as_page};
use crate::{Entry, Record, Result};

/// Levels up to which a document stays readable in its record: what MongoDB's manual promises for documents.
/// Source: MongoDB manual, "MongoDB Limits and Thresholds", "Nested Depth for BSON Documents".
const LEVELS_MAX: usize = 100;

/// The bytes of one more level: a type, an empty name, and an empty document's length and end.
const LEVEL_BYTES: usize = 7;

pub(super) fn encode_for_mongodb(record: &Record) -> Result<Encoded> {
    let mut documents = record.entries.iter().filter_map(document);
    let statements = record.session.iter().flat_map(|stamp| &stamp.statements);
    let mut outcomes = statements.map(|statement| &statement.outcome);
    if documents.any(is_deep) || outcomes.any(is_deep) {
        encode_as_page(record)
    } else {
        encode(record)
    }
}

fn document(entry: &Entry) -> Option<&Bytes> {
    match entry {
        Entry::Put { document, .. } => Some(document),
        Entry::Patch { document_id, .. } | Entry::Delete { document_id, .. } => Some(document_id),
        Entry::CreateCollection { options, .. } | Entry::CollMod { options, .. } => Some(options),
        Entry::CreateIndex { spec, .. } => Some(spec),
        Entry::DropCollection { .. }
        | Entry::RenameCollection { .. }
        | Entry::DropIndex { .. }
        | Entry::DropDatabase
        | Entry::Noop => None,
    }
}

/// Whether the document nests deeper than [`LEVELS_MAX`]. One that cannot be read is, so that MongoDB does not read it.
fn is_deep(document: &Bytes) -> bool {
    if document.len() < LEVELS_MAX * LEVEL_BYTES {
        return false;
    }
    let Ok(document) = RawDocument::from_bytes(document) else {
        return true;
    };
    let mut levels = vec![document.iter()];
    while let Some(level) = levels.last_mut() {
        match level.next() {
            None => drop(levels.pop()),
            Some(Err(_)) => return true,
            Some(Ok((_, value))) => {
                let inner = match value {
                    RawBsonRef::Document(inner) => inner,
                    RawBsonRef::Array(inner) => match RawDocument::from_bytes(inner.as_bytes()) {
                        Ok(inner) => inner,
                        Err(_) => return true,
                    },
                    _ => continue,
                };
                if levels.len() == LEVELS_MAX {
                    return true;
                }
                levels.push(inner.iter());
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::record_of;
    use crate::{BranchId, Lsn};
    use bson::{RawDocumentBuf, rawdoc};

    fn nested(levels: usize) -> Bytes {
        let mut document = rawdoc! {};
        for _ in 1..levels {
            let mut outer = RawDocumentBuf::new();
            outer.append(bson::cstr!(""), document);
            document = outer;
        }
        document.into_bytes().into()
    }

    #[test]
    fn deep_documents_are_told_from_others() {
        assert!(!is_deep(&nested(LEVELS_MAX)));
        assert!(is_deep(&nested(LEVELS_MAX + 1)));
        let wide: Vec<RawDocumentBuf> = (0..200).map(|_| rawdoc! {"a": [1, {"b": 2}]}).collect();
        let mut array = bson::RawArrayBuf::new();
        wide.into_iter().for_each(|item| array.push(item));
        let wide = rawdoc! {"list": array};
        assert!(!is_deep(&wide.into_bytes().into()));
    }

    #[test]
    fn they_go_into_pages() {
        let record = |levels| {
            let put = Entry::Put {
                collection: "users".into(),
                document: nested(levels),
            };
            record_of(BranchId::from_bytes([1; 16]), Lsn(1), vec![put])
        };
        let has_page = |levels| {
            let stored = encode_for_mongodb(&record(levels)).unwrap().main;
            let stored = RawDocument::from_bytes(&stored).unwrap();
            stored.get("page").unwrap().is_some()
        };
        assert!(!has_page(100));
        assert!(has_page(180));
    }
}
