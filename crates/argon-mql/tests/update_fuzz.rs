//! Feeds made-up updates and projections with made-up documents: they fail or give well-formed documents, and never
//! panic.

use argon_mql::projection::Flavor;
use argon_mql::value::validate;
use argon_mql::{
    Doc, DocBuf, Env, ErrorCode, Filter, ParseContext, Projection, Update, UpdateOptions, Value,
    ValueRef,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const NAMES: &[&str] = &[
    "a",
    "b",
    "_id",
    "",
    "$",
    "0",
    "1",
    "01",
    "-1",
    "4294967296",
    "$a",
    "$ref",
    "$id",
];

const PATHS: &[&str] = &[
    "a", "b", "a.b", "a.0", "a.1.b", "a.01", "a.$", "a.$.b", "a.$[]", "a.$[].b", "a.$[x]",
    "a.$[x].b", "_id", "_id.a", "", ".", "a.", "a..b", "$", "$a", "a.$b", "a.40",
];

const OPERATORS: &[&str] = &[
    "$set",
    "$unset",
    "$inc",
    "$mul",
    "$min",
    "$max",
    "$rename",
    "$setOnInsert",
    "$push",
    "$pull",
    "$pullAll",
    "$addToSet",
    "$pop",
    "$bit",
    "$currentDate",
    "$nope",
];

const INNER: &[&str] = &[
    "$each",
    "$slice",
    "$sort",
    "$position",
    "$elemMatch",
    "$meta",
    "$literal",
    "$gt",
    "$in",
    "and",
    "or",
    "$type",
    "a",
    "a.b",
    "b",
    "$add",
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        select(vec![
            Value::Null,
            Value::Missing,
            Value::MinKey,
            Value::Undefined,
            Value::Bool(true),
            Value::Int32(0),
            Value::Int32(1),
            Value::Int32(-1),
            Value::Int32(i32::MAX),
            Value::Int64(i64::MAX),
            Value::Int64(i64::MIN),
            Value::Double(f64::NAN),
            Value::Double(-0.0),
            Value::Double(1e300),
            Value::Decimal128([0xFF; 16]),
            Value::Timestamp(0),
            Value::string(""),
            Value::string("a.b"),
            Value::string("$a"),
            Value::string("$$ROOT"),
            Value::string("date"),
            Value::ObjectId([7; 12]),
        ]),
        any::<i32>().prop_map(Value::Int32),
        any::<f64>().prop_map(Value::Double),
        any::<[u8; 16]>().prop_map(Value::Decimal128),
    ]
}

fn value(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4)
                .prop_map(|items| Value::Array(DocBuf::array(items.iter().map(Value::as_ref)))),
            vec((select(names), inner), 0..4).prop_map(|fields| Value::Document(document(&fields))),
        ]
    })
}

fn document(fields: &[(&str, Value)]) -> Bytes {
    let mut doc = DocBuf::new();
    for (name, value) in fields {
        doc.append(name, value.as_ref());
    }
    doc.finish()
}

fn documents() -> impl Strategy<Value = Bytes> {
    vec((select(NAMES), value(NAMES)), 0..5).prop_map(|fields| document(&fields))
}

fn updates() -> impl Strategy<Value = Value> {
    let operand = || prop_oneof![value(NAMES), value(INNER)];
    let modifiers = vec(
        (select(OPERATORS), vec((select(PATHS), operand()), 0..3)),
        1..3,
    );
    prop_oneof![
        4 => modifiers.prop_map(|modifiers| {
            let mut spec = DocBuf::new();
            for (name, operands) in &modifiers {
                spec.append(name, ValueRef::Document(Doc::new(&document(operands))));
            }
            Value::Document(spec.finish())
        }),
        1 => value(NAMES),
        1 => value(OPERATORS),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn updates_give_documents_or_fail(
        spec in updates(),
        doc in documents(),
        filters in proptest::option::of(value(INNER)),
        matched in proptest::option::of(0_usize..4),
    ) {
        let filters = filters.map(|filter| {
            let mut array = DocBuf::new();
            let open = array.push_document(0);
            array.append("x", filter.as_ref());
            array.close(open);
            array.finish()
        });
        let options = UpdateOptions {
            array_filters: filters.as_deref().map(Doc::new),
            ..UpdateOptions::default()
        };
        let env = Env::fixed();
        let _ = Update::check(spec.as_ref(), options.array_filters);
        if let Ok(update) = Update::parse(spec.as_ref(), &options, &ParseContext::new()) {
            if let Ok(Some(after)) = update.apply(&doc, matched, &env) {
                validate(&after).unwrap();
                prop_assert_eq!(
                    Doc::new(&doc).get("_id").is_some(),
                    Doc::new(&after).get("_id").is_some() && Doc::new(&doc).get("_id").is_some()
                );
            }
            if let Ok(inserted) = update.upsert(&Filter::all(), &env, || [1; 12]) {
                validate(&inserted).unwrap();
                let inserted = Doc::new(&inserted);
                prop_assert_eq!(inserted.iter().next().map(|first| first.key() == "_id"), Some(true));
            }
        }
    }

    #[test]
    fn projections_give_documents_or_fail(
        fields in vec((select(PATHS), prop_oneof![value(NAMES), value(INNER)]), 0..4),
        doc in documents(),
        find in any::<bool>(),
        matched in proptest::option::of(0_usize..4),
    ) {
        let flavor = if find { Flavor::Find } else { Flavor::Aggregate };
        let spec = document(&fields);
        if let Ok(projection) = Projection::parse(Doc::new(&spec), flavor, &ParseContext::new())
            && let Ok(projected) = projection.apply(&doc, &Env::fixed(), matched)
        {
            validate(&projected).unwrap();
        }
    }
}

/// mongod 6.0.5 crashes on this one: both paths name the same element.
#[test]
fn two_spellings_of_an_index_conflict() {
    let mut array = DocBuf::new();
    let open = array.open_array("a");
    array.push(0, ValueRef::Int32(1));
    array.close(open);
    let mut spec = DocBuf::new();
    let open = spec.open_document("$set");
    spec.append("a.00", ValueRef::Int32(2));
    spec.append("a.0", ValueRef::Int32(3));
    spec.close(open);
    let spec = spec.finish();
    let update = Update::parse(
        ValueRef::Document(Doc::new(&spec)),
        &UpdateOptions::default(),
        &ParseContext::new(),
    )
    .unwrap();
    let error = update
        .apply(&array.finish(), None, &Env::fixed())
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConflictingUpdateOperators);
}
