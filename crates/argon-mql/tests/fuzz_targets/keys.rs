//! An index `i`, a sort order `s` and a collation `c` out of any document, and the keys of that document under them.

use argon_mql::collation::Collation;
use argon_mql::index::IndexSpec;
use argon_mql::value::validate;
use argon_mql::{Doc, Sort, ValueRef};
use bytes::Bytes;

pub(crate) fn run(data: &[u8]) {
    if validate(data).is_err() {
        return;
    }
    let document = Bytes::copy_from_slice(data);
    let part = |name: &str| match Doc::new(data).get(name) {
        Some(ValueRef::Document(part)) => part,
        _ => Doc::new(data),
    };
    if let Ok(index) = IndexSpec::parse(part("i")) {
        let _ = index.keys(&document);
        // What is stored is read back.
        assert!(IndexSpec::parse(Doc::new(index.document())).is_ok());
    }
    let collation = Collation::parse(part("c")).unwrap_or_default();
    if let Ok(sort) = Sort::parse(part("s")) {
        let _ = sort.with_collation(collation).key(Doc::new(data));
    }
}
