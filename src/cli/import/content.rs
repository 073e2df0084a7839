//! What documents a part of a collection has, in a few bytes.

use bson::RawDocument;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

/// Number, bytes and hash of a set of documents, whatever their order.
///
/// The hash is the sum of the documents' hashes, so parts can be added up, and a document that is there twice counts
/// twice. XXH3 guards against accidents, which is what copying has to fear, at the speed of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) documents: u64,
    pub(super) bytes: u64,
    #[serde(with = "hex")]
    pub(super) hash: u128,
}

impl Content {
    /// Counts `document` in.
    pub(super) fn add(&mut self, document: &RawDocument) {
        let bytes = document.as_bytes();
        self.join(Content {
            documents: 1,
            bytes: bytes.len() as u64,
            hash: XxHash3_128::oneshot(bytes),
        });
    }

    /// Counts another set in.
    pub(super) fn join(&mut self, other: Content) {
        self.documents += other.documents;
        self.bytes += other.bytes;
        self.hash = self.hash.wrapping_add(other.hash);
    }
}

/// BSON has no integer of 128 bits.
mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{hash:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        u128::from_str_radix(&String::deserialize(from)?, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;

    fn of(documents: &[bson::RawDocumentBuf]) -> Content {
        let mut content = Content::default();
        for document in documents {
            content.add(document);
        }
        content
    }

    #[test]
    fn order_does_not_count_and_everything_else_does() {
        let (one, two) = (rawdoc! {"_id": 1, "v": "a"}, rawdoc! {"_id": 2});
        let both = of(&[one.clone(), two.clone()]);
        assert_eq!(both, of(&[two.clone(), one.clone()]));
        assert_ne!(both, of(&[one.clone(), one.clone()]));
        assert_ne!(both, of(&[rawdoc! {"v": "a", "_id": 1}, two.clone()]));
        assert_ne!(both, of(&[rawdoc! {"_id": 1_i64, "v": "a"}, two]));
        assert_ne!(
            of(std::slice::from_ref(&one)).hash,
            of(&[one.clone(), one.clone(), one]).hash
        );
    }

    #[test]
    fn it_is_kept_as_it_is() {
        let content = of(&[rawdoc! {"_id": 1}]);
        let kept = bson::serialize_to_document(&content).unwrap();
        assert_eq!(
            bson::deserialize_from_document::<Content>(kept).unwrap(),
            content
        );
    }
}
