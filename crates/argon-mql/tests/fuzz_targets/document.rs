//! Any bytes read as a document: what is valid is copied, keyed and compared as itself; nothing else is believed.

use std::cmp::Ordering;

use argon_mql::value::{compare, key, validate};
use argon_mql::{Doc, DocBuf, ValueRef};

pub(crate) fn run(data: &[u8]) {
    // Reading what was not validated may end early, and must not fail otherwise.
    for element in Doc::new(data).iter() {
        let _ = element.value();
    }
    if validate(data).is_err() {
        return;
    }
    let mut copy = DocBuf::new();
    for element in Doc::new(data).iter() {
        copy.append(element.key(), element.value());
    }
    assert_eq!(&copy.finish()[..], data);
    let whole = ValueRef::Document(Doc::new(data));
    key::append(&mut Vec::new(), whole, false);
    assert_eq!(compare(whole, whole), Ordering::Equal);
}
