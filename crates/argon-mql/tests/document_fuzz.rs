//! Documents with bytes changed here and there: reading them never fails, and what is valid is copied byte for byte.
//!
//! The loop of `fuzz/fuzz_targets/document.rs` for the stable toolchain, with a fixed seed.

use std::cmp::Ordering;

use argon_mql::value::{compare, key, validate};
use argon_mql::{Doc, DocBuf, Env, ValueRef};

/// Changed documents tried.
const ROUNDS: usize = 200_000;

/// One element of every type.
fn sample() -> Vec<u8> {
    let inner = {
        let mut inner = DocBuf::new();
        inner.append("x", ValueRef::Int32(1));
        inner.finish()
    };
    let mut doc = DocBuf::new();
    let values = [
        ValueRef::MinKey,
        ValueRef::Null,
        ValueRef::Double(1.5),
        ValueRef::Int32(-7),
        ValueRef::Int64(1 << 40),
        ValueRef::Decimal128([7; 16]),
        ValueRef::Symbol("sym".into()),
        ValueRef::String("text".into()),
        ValueRef::Document(Doc::new(&inner)),
        ValueRef::Array(Doc::new(&inner)),
        ValueRef::Binary {
            subtype: 4,
            bytes: &[9; 16],
        },
        ValueRef::ObjectId([3; 12]),
        ValueRef::Bool(true),
        ValueRef::DateTime(5),
        ValueRef::Timestamp(6),
        ValueRef::Regex {
            pattern: "a.b".into(),
            options: "i".into(),
        },
        ValueRef::DbPointer {
            namespace: "d.c".into(),
            id: [1; 12],
        },
        ValueRef::JavaScript("f()".into()),
        ValueRef::JavaScriptWithScope {
            code: "g()".into(),
            scope: Doc::new(&inner),
        },
        ValueRef::MaxKey,
    ];
    for (at, value) in values.into_iter().enumerate() {
        doc.push(at, value);
    }
    doc.finish().to_vec()
}

#[test]
fn changed_documents_are_refused_or_read_as_they_stand() {
    let original = sample();
    validate(&original).unwrap();
    let random = Env::fixed();
    let below = |bound: usize| usize::try_from(random.next_random() % bound as u64).unwrap_or(0);
    let mut valid = 0;
    for _ in 0..ROUNDS {
        let mut bytes = original.clone();
        for _ in 0..=below(3) {
            let at = below(bytes.len());
            match below(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, u8::try_from(below(256)).unwrap_or(0)),
                _ => bytes[at] = u8::try_from(below(256)).unwrap_or(0),
            }
        }
        for element in Doc::new(&bytes).iter() {
            let _ = element.value();
        }
        if validate(&bytes).is_err() {
            continue;
        }
        valid += 1;
        let mut copy = DocBuf::new();
        for element in Doc::new(&bytes).iter() {
            copy.append(element.key(), element.value());
        }
        assert_eq!(&copy.finish()[..], &bytes[..]);
        let whole = ValueRef::Document(Doc::new(&bytes));
        key::append(&mut Vec::new(), whole, false);
        assert_eq!(compare(whole, whole), Ordering::Equal);
    }
    assert!(
        valid > ROUNDS / 100,
        "too few changes were harmless: {valid}"
    );
}
