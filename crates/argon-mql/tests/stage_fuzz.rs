//! Feeds made-up pipelines with made-up documents: they fail or give well-formed documents, and never panic or hang.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;

use argon_mql::stage::{Context, Documents, Pipeline, Reader, Source};
use argon_mql::value::validate;
use argon_mql::{
    Doc, DocBuf, Env, Error, ErrorCode, Filter, ParseContext, Result, Value, ValueRef,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// How often a pipeline may look for an interruption before it gets one.
const TURNS_MAX: u32 = 200;

/// Options and operators of all stages, so that some of what is made up is nearly right.
const NAMES: &[&str] = &[
    "a",
    "b",
    "a.b",
    "_id",
    "",
    "$a",
    "x",
    "0",
    "path",
    "includeArrayIndex",
    "preserveNullAndEmptyArrays",
    "from",
    "localField",
    "foreignField",
    "as",
    "let",
    "pipeline",
    "startWith",
    "connectFromField",
    "connectToField",
    "maxDepth",
    "depthField",
    "restrictSearchWithMatch",
    "groupBy",
    "boundaries",
    "default",
    "output",
    "buckets",
    "granularity",
    "size",
    "coll",
    "newRoot",
    "partitionBy",
    "sortBy",
    "window",
    "documents",
    "range",
    "unit",
    "input",
    "n",
    "N",
    "alpha",
    "by",
    "field",
    "partitionByFields",
    "step",
    "bounds",
    "method",
    "value",
    "into",
    "on",
    "whenMatched",
    "whenNotMatched",
    "db",
    "$sum",
    "$avg",
    "$max",
    "$min",
    "$push",
    "$addToSet",
    "$first",
    "$last",
    "$firstN",
    "$lastN",
    "$minN",
    "$top",
    "$bottomN",
    "$stdDevPop",
    "$mergeObjects",
    "$count",
    "$rank",
    "$shift",
    "$derivative",
    "$integral",
    "$expMovingAvg",
    "$covariancePop",
    "$locf",
    "$linearFill",
    "$add",
    "$cond",
    "$expr",
    "$literal",
    "$match",
    "$group",
];

const TEXTS: &[&str] = &[
    "",
    "a",
    "$a",
    "$a.b",
    "$$ROOT",
    "$$NOW",
    "$",
    "a.b",
    "full",
    "partition",
    "unbounded",
    "current",
    "day",
    "month",
    "R5",
    "POWERSOF2",
    "1-2-5",
    "locf",
    "linear",
    "c",
    "insert",
    "merge",
    "$$KEEP",
    "$$DESCEND",
    "$$nope",
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => select(TEXTS).prop_map(Value::string),
        2 => select(vec![
            Value::Null,
            Value::Missing,
            Value::Bool(true),
            Value::Int32(0),
            Value::Int32(1),
            Value::Int32(-1),
            Value::Int32(3),
            Value::Int64(i64::MAX),
            Value::Int64(i64::MIN),
            Value::Double(0.5),
            Value::Double(f64::NAN),
            Value::Double(f64::INFINITY),
            Value::Double(5e-324),
            Value::Double(f64::MAX),
            Value::Decimal128([0xFF; 16]),
            Value::DateTime(0),
            Value::DateTime(i64::MAX),
            Value::DateTime(i64::MIN),
            Value::MaxKey,
        ]),
        1 => any::<f64>().prop_map(Value::Double),
        1 => any::<[u8; 16]>().prop_map(Value::Decimal128),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            1 => vec(inner.clone(), 0..4)
                .prop_map(|items| Value::Array(DocBuf::array(items.iter().map(Value::as_ref)))),
            2 => vec((select(NAMES), inner), 0..4)
                .prop_map(|fields| Value::Document(document(&fields))),
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

fn documents() -> impl Strategy<Value = Vec<Bytes>> {
    let fields = vec((select(&["_id", "a", "b", "x"][..]), value()), 0..4);
    vec(fields.prop_map(|fields| document(&fields)), 0..6)
}

/// A pipeline that parses, in extended form: `?` is a made-up value, `#` a made-up number or date.
const TEMPLATES: &[(&str, &[&str])] = &[
    (
        "$group",
        &[
            "_id=?",
            "r={$sum=?}",
            "s={$addToSet=$a}",
            "t={$stdDevSamp=$b}",
        ],
    ),
    (
        "$group",
        &[
            "_id=$a",
            "r={$firstN={n=#,input=?}}",
            "s={$top={sortBy={a=1},output=$b}}",
        ],
    ),
    ("$bucket", &["groupBy=$a", "boundaries=[#,#]", "default=?"]),
    (
        "$bucketAuto",
        &["groupBy=$a", "buckets=3", "granularity=R5"],
    ),
    (
        "$bucketAuto",
        &["groupBy=$a", "buckets=2", "granularity=POWERSOF2"],
    ),
    ("$bucketAuto", &["groupBy=$x", "buckets=2"]),
    (
        "$setWindowFields",
        &["sortBy={a=1}", "output={r={$sum=?,window={range=[#,#]}}}"],
    ),
    (
        "$setWindowFields",
        &[
            "sortBy={a=1}",
            "output={r={$push=?,window={documents=[-1,1]}}}",
        ],
    ),
    (
        "$setWindowFields",
        &[
            "partitionBy=$b",
            "sortBy={a=1}",
            "output={r={$linearFill=$x}}",
        ],
    ),
    (
        "$setWindowFields",
        &["sortBy={a=1}", "output={r={$integral={input=$x}}}"],
    ),
    (
        "$setWindowFields",
        &[
            "sortBy={a=-1}",
            "output={r={$derivative={input=$x},window={documents=[-1,0]}}}",
        ],
    ),
    (
        "$setWindowFields",
        &[
            "sortBy={a=1}",
            "output={r={$stdDevPop=$x,window={documents=[0,2]}}}",
        ],
    ),
    ("$densify", &["field=a", "range={step=#,bounds=full}"]),
    (
        "$densify",
        &[
            "field=a",
            "partitionByFields=[b]",
            "range={step=#,unit=month,bounds=partition}",
        ],
    ),
    ("$densify", &["field=a", "range={step=#,bounds=[#,#]}"]),
    (
        "$fill",
        &["sortBy={a=1}", "output={x={method=linear},b={value=?}}"],
    ),
    (
        "$lookup",
        &["from=c", "localField=a", "foreignField=b", "as=r.s"],
    ),
    (
        "$lookup",
        &[
            "from=c",
            "let={v=?}",
            "pipeline=[{$match={$expr={$eq=[$a,$$v]}}}]",
            "as=a",
        ],
    ),
    (
        "$graphLookup",
        &[
            "from=c",
            "startWith=?",
            "connectFromField=a",
            "connectToField=b",
            "as=r",
        ],
    ),
    (
        "$unwind",
        &[
            "path=$a",
            "includeArrayIndex=b.c",
            "preserveNullAndEmptyArrays=true",
        ],
    ),
    ("$sort", &["a=1", "b=-1"]),
    ("$addFields", &["a.b=?", "x=$b", "b.c.d=$a"]),
    ("$project", &["a.b=1", "x=?"]),
    ("$facet", &["p=[{$count=n}]", "q=[{$group={_id=$a}}]"]),
    ("$match", &["a=?"]),
    ("$redact", &["$cond=[$a,$$DESCEND,$$PRUNE]"]),
    ("$unionWith", &["coll=c", "pipeline=[{$limit=1}]"]),
];

/// Reads one value of a template.
struct Reading<'t> {
    text: &'t [u8],
    at: usize,
    made_up: &'t mut dyn Iterator<Item = Value>,
    numbers: &'t mut dyn Iterator<Item = Value>,
}

impl Reading<'_> {
    fn word(&mut self) -> String {
        let from = self.at;
        while self.at < self.text.len() && !b"={}[],".contains(&self.text[self.at]) {
            self.at += 1;
        }
        String::from_utf8(self.text[from..self.at].to_vec()).unwrap()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Value {
        if self.skip(b'{') {
            let mut doc = DocBuf::new();
            while !self.skip(b'}') {
                let name = self.word();
                assert!(self.skip(b'='));
                doc.append(&name, self.value().as_ref());
                self.skip(b',');
            }
            return Value::Document(doc.finish());
        }
        if self.skip(b'[') {
            let mut items = Vec::new();
            while !self.skip(b']') {
                items.push(self.value());
                self.skip(b',');
            }
            return Value::Array(DocBuf::array(items.iter().map(Value::as_ref)));
        }
        match self.word().as_str() {
            "?" => self.made_up.next().unwrap(),
            "#" => self.numbers.next().unwrap(),
            "true" => Value::Bool(true),
            word => match word.parse() {
                Ok(number) => Value::Int32(number),
                Err(_) => Value::string(word),
            },
        }
    }
}

fn from_template(at: usize, made_up: &[Value], numbers: &[Value]) -> Bytes {
    let (name, fields) = TEMPLATES[at];
    let text = format!("{{{}}}", fields.join(","));
    let spec = Reading {
        text: text.as_bytes(),
        at: 0,
        made_up: &mut made_up.iter().cloned().cycle(),
        numbers: &mut numbers.iter().cloned().cycle(),
    }
    .value();
    document(&[(name, spec)])
}

fn stages() -> impl Strategy<Value = Bytes> {
    let names: Vec<&'static str> = argon_mql::stage::entries()
        .map(|entry| entry.name)
        .collect();
    let number = prop_oneof![
        (-3..9).prop_map(Value::Int32),
        any::<f64>().prop_map(Value::Double),
        any::<i64>().prop_map(Value::DateTime),
        any::<i64>().prop_map(Value::Int64),
        any::<[u8; 16]>().prop_map(Value::Decimal128),
    ];
    let templates = (0..TEMPLATES.len(), vec(value(), 1..4), vec(number, 3))
        .prop_map(|(at, made_up, numbers)| from_template(at, &made_up, &numbers));
    prop_oneof![
        3 => templates,
        1 => (select(names), value()).prop_map(|(name, value)| document(&[(name, value)])),
    ]
}

struct Collections(Vec<Bytes>);

impl Reader for Collections {
    fn scan(&self, _: Option<&str>, _: &str, filter: Option<&Filter>) -> Result<Box<dyn Source>> {
        let env = Env::fixed();
        let mut found = Vec::new();
        for doc in &self.0 {
            if filter.is_none_or(|filter| filter.matches(doc, &env).unwrap_or(false)) {
                found.push(doc.clone());
            }
        }
        Ok(Box::new(Documents::new(found)))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn pipelines_give_documents_or_fail(
        stages in vec(stages(), 1..4),
        docs in documents(),
        others in documents(),
    ) {
        let array = DocBuf::array(stages.iter().map(|stage| ValueRef::Document(Doc::new(stage))));
        if let Ok(pipeline) = Pipeline::parse(Doc::new(&array), &ParseContext::new()) {
            let turns = Cell::new(0);
            let check_interrupt = || {
                turns.set(turns.get() + 1);
                if turns.get() > TURNS_MAX {
                    return Err(Error::new(ErrorCode::Interrupted, "long enough"));
                }
                Ok(())
            };
            let env = Env { check_interrupt: &check_interrupt, ..Env::fixed() };
            let reader = Collections(others);
            let cx = Context { env: &env, reader: &reader, spill: None };
            let mut source = pipeline.open(Box::new(Documents::new(docs)));
            // $densify may make half a million documents; a few thousand tell as much.
            for _ in 0..2_000 {
                match source.next(&cx) {
                    Ok(Some(doc)) => validate(&doc).unwrap(),
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }
}
