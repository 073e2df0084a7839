//! Properties of the order over values: it is total, and keys agree with it.

#![allow(missing_docs, reason = "a test")]

use std::cmp::Ordering;

use argon_mql::value::{Decimal, Value, compare, equal, key};
use argon_mql::{DocBuf, ValueRef};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;

/// Doubles around which the forms of a key change.
const DOUBLES: &[f64] = &[
    0.0,
    -0.0,
    0.1,
    0.5,
    1.0,
    1.5,
    127.0,
    128.5,
    4503599627370495.5,
    4503599627370496.0,
    9007199254740992.0,
    9007199254740994.0,
    9223372036854774784.0,
    9223372036854775808.0,
    1e22,
    1e23,
    1e308,
    f64::MAX,
    f64::INFINITY,
    f64::NAN,
    f64::MIN_POSITIVE,
    5e-324,
    1e-310,
    0.3333333333333333,
];
const INTEGERS: &[i64] = &[
    0,
    1,
    63,
    64,
    127,
    128,
    32767,
    32768,
    2147483647,
    2147483648,
    9007199254740991,
    9007199254740992,
    9007199254740993,
    i64::MAX,
    i64::MIN,
    i64::MIN + 1,
    -1,
    -64,
    -128,
    -129,
];
const DECIMALS: &[&str] = &[
    "0",
    "-0",
    "0E+100",
    "1",
    "1.0",
    "1.50",
    "0.1",
    "0.1000000000000000055511151231257827",
    "0.1000000000000000055511151231257828",
    "0.10000000000000000555111512312578270211815834045410156",
    "1.0000000000000000000001",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775807.5",
    "9223372036854775808",
    "9223372036854775809",
    "1E+22",
    "1E+23",
    "1E+308",
    "2E+308",
    "1E+6144",
    "9.999999999999999999999999999999999E+6144",
    "Infinity",
    "NaN",
    "5E-324",
    "4E-324",
    "1E-6176",
    "3.333333333333333333333333333333333E-1",
    "1E-310",
    "127.9999999999999999999999999999999",
    "4503599627370495.5",
    "4503599627370495.50000001",
    "0.99999999999999999999999999999999",
];

fn decimal(text: &str) -> Value {
    Value::Decimal128(
        Decimal::parse(text.as_bytes())
            .expect("a decimal")
            .to_bytes(),
    )
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i32>().prop_map(Value::Int32),
        any::<i64>().prop_map(Value::Int64),
        select(INTEGERS).prop_map(Value::Int64),
        any::<f64>().prop_map(Value::Double),
        (select(DOUBLES), any::<bool>()).prop_map(|(v, minus)| Value::Double(if minus {
            -v
        } else {
            v
        })),
        (-20i32..20, 0u32..8)
            .prop_map(|(v, halves)| Value::Double(f64::from(v) / f64::from(1 << halves))),
        (-20i32..20).prop_map(Value::Int32),
        (select(DECIMALS), any::<bool>()).prop_map(|(text, minus)| decimal(&if minus {
            format!("-{text}").replace("--", "")
        } else {
            text.into()
        })),
        (any::<i64>(), -40i32..40).prop_map(|(c, e)| decimal(&format!("{c}E{e}"))),
        (-300i32..300, -3i32..3).prop_map(|(c, e)| decimal(&format!("{c}E{e}"))),
        any::<f64>()
            .prop_filter("finite", |v| v.is_finite())
            .prop_map(|v| decimal(&format!("{v:e}"))),
    ]
}

fn text() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        prop::collection::vec(select(&[0u8, 1, 2, b'a', b'b', 0xFE, 0xFF][..]), 0..5),
        prop::collection::vec(any::<u8>(), 0..12),
    ]
    .prop_map(Bytes::from)
}

fn name() -> impl Strategy<Value = String> {
    select(&["", "a", "b", "ab", "\u{1}", "é"][..]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => number(),
        1 => select(vec![
            Value::MinKey, Value::Missing, Value::Undefined, Value::Null, Value::MaxKey,
            Value::Bool(false), Value::Bool(true),
        ]),
        2 => text().prop_map(Value::String),
        1 => text().prop_map(Value::Symbol),
        1 => (select(&[0u8, 3, 128][..]), text()).prop_map(|(subtype, bytes)| Value::Binary { subtype, bytes }),
        1 => any::<[u8; 12]>().prop_map(Value::ObjectId),
        1 => prop_oneof![any::<i64>(), -2i64..3].prop_map(Value::DateTime),
        1 => prop_oneof![any::<u64>(), 0u64..3].prop_map(Value::Timestamp),
        1 => (name(), name()).prop_map(|(a, b)| Value::Regex(Box::new((a.into(), b.into())))),
        1 => (text(), select(vec![[0; 12], [1; 12]])).prop_map(|(a, b)| Value::DbPointer(Box::new((a, b)))),
        1 => text().prop_map(Value::JavaScript),
        1 => (text(), name(), number()).prop_map(|(code, name, value)| {
            let mut scope = DocBuf::new();
            scope.append(name, value.as_ref());
            Value::JavaScriptWithScope(Box::new((code, scope.finish())))
        }),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3)
                .prop_map(|items| Value::Array(DocBuf::array(items.iter().map(Value::as_ref)))),
            prop::collection::vec((name(), inner), 0..3).prop_map(|fields| {
                let mut doc = DocBuf::new();
                for (name, value) in &fields {
                    doc.append(name, value.as_ref());
                }
                Value::Document(doc.finish())
            }),
        ]
    })
}

fn keyed(value: ValueRef<'_>, descending: bool) -> Vec<u8> {
    let mut out = Vec::new();
    key::append(&mut out, value, descending);
    out
}

fn check_pair(a: &Value, b: &Value) {
    let order = compare(a.as_ref(), b.as_ref());
    assert_eq!(order, compare(b.as_ref(), a.as_ref()).reverse());
    assert_eq!(order == Ordering::Equal, equal(a.as_ref(), b.as_ref()));
    for descending in [false, true] {
        let (left, right) = (keyed(a.as_ref(), descending), keyed(b.as_ref(), descending));
        let keys = if descending {
            right.cmp(&left)
        } else {
            left.cmp(&right)
        };
        assert_eq!(keys, order, "{a:?} {b:?}\n{left:x?}\n{right:x?}");
        let prefix = left.starts_with(&right) || right.starts_with(&left);
        assert_eq!(prefix, order == Ordering::Equal, "prefix-free: {a:?} {b:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn keys_of_numbers_agree(a in number(), b in number()) {
        check_pair(&a, &b);
    }

    #[test]
    fn keys_agree(a in value(), b in value()) {
        check_pair(&a, &b);
    }

    #[test]
    fn order_is_transitive(a in value(), b in value(), c in value()) {
        let mut sorted = [&a, &b, &c];
        sorted.sort_by(|a, b| compare(a.as_ref(), b.as_ref()));
        prop_assert_ne!(compare(sorted[0].as_ref(), sorted[2].as_ref()), Ordering::Greater);
    }
}

#[test]
fn every_special_pair_of_numbers_agrees() {
    let mut all: Vec<Value> = Vec::new();
    all.extend(INTEGERS.iter().map(|&v| Value::Int64(v)));
    all.extend(
        DOUBLES
            .iter()
            .flat_map(|&v| [Value::Double(v), Value::Double(-v)]),
    );
    all.extend(DECIMALS.iter().flat_map(|text| {
        [
            decimal(text),
            decimal(&format!("-{text}").replace("--", "")),
        ]
    }));
    for a in &all {
        for b in &all {
            check_pair(a, b);
        }
    }
}
