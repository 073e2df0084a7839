//! `dbStats` of one branch, from `collStats` of its collections.

use argon_mql::{Doc, DocBuf, ValueRef};
use bstr::BStr;
use bytes::Bytes;

use crate::names::Names;

/// What `dbStats` adds up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    collections: i64,
    views: i64,
    objects: f64,
    data: f64,
    storage: f64,
    free: f64,
    indexes: f64,
    index_bytes: f64,
    index_free: f64,
}

impl Totals {
    /// Counts a view.
    pub fn add_view(&mut self) {
        self.views += 1;
    }

    /// Adds a collection, given its `collStats` with scale 1.
    pub fn add_collection(&mut self, stats: &[u8]) {
        let doc = Doc::new(stats);
        let number = |field: &str| doc.get(field).map_or(0.0, as_f64);
        self.collections += 1;
        self.objects += number("count");
        self.data += number("size");
        self.storage += number("storageSize");
        self.free += number("freeStorageSize");
        self.indexes += number("nindexes");
        self.index_bytes += number("totalIndexSize");
        let details = doc
            .get("indexDetails")
            .and_then(|value| value.as_document());
        for index in details.unwrap_or(Doc::EMPTY).values() {
            let free = index
                .as_document()
                .and_then(|index| index.get("block-manager"))
                .and_then(|manager| manager.as_document())
                .and_then(|manager| manager.get("file bytes available for reuse"));
            self.index_free += free.map_or(0.0, as_f64);
        }
    }

    /// The reply: `whole` is `dbStats` of the upstream database with scale 1, whose fields and types it takes over.
    #[must_use]
    pub fn reply(&self, names: &Names, whole: &[u8], scale: f64) -> Bytes {
        let mut out = DocBuf::new();
        for element in Doc::new(whole).iter() {
            let value = match &**element.key() {
                b"db" => ValueRef::String(BStr::new(names.client())),
                b"collections" => count(self.collections),
                b"views" => count(self.views),
                b"objects" => count(to_i64(self.objects)),
                b"avgObjSize" if self.objects > 0.0 => ValueRef::Double(self.data / self.objects),
                b"avgObjSize" => ValueRef::Double(0.0),
                b"dataSize" => ValueRef::Double(self.data / scale),
                b"storageSize" => ValueRef::Double(self.storage / scale),
                b"freeStorageSize" => ValueRef::Double(self.free / scale),
                b"indexes" => count(to_i64(self.indexes)),
                b"indexSize" => ValueRef::Double(self.index_bytes / scale),
                b"indexFreeStorageSize" => ValueRef::Double(self.index_free / scale),
                b"totalSize" => ValueRef::Double((self.storage + self.index_bytes) / scale),
                b"totalFreeStorageSize" => ValueRef::Double((self.free + self.index_free) / scale),
                b"scaleFactor" => ValueRef::Double(scale),
                b"fsUsedSize" | b"fsTotalSize" => ValueRef::Double(as_f64(element.value()) / scale),
                _ => element.value(),
            };
            out.append(element.key(), value);
        }
        out.finish()
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn as_f64(value: ValueRef<'_>) -> f64 {
    match value {
        ValueRef::Double(number) => number,
        ValueRef::Int32(number) => f64::from(number),
        ValueRef::Int64(number) => number as f64,
        _ => 0.0,
    }
}

/// A count, in the smallest type that holds it, as mongod gives it.
fn count(number: i64) -> ValueRef<'static> {
    i32::try_from(number).map_or(ValueRef::Int64(number), ValueRef::Int32)
}

#[expect(clippy::cast_possible_truncation, reason = "counts are far below 2^53")]
fn to_i64(number: f64) -> i64 {
    number as i64
}
