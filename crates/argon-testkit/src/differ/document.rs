//! Documents and values, as extended JSON: all types, near the edges, few enough that many agree.

use super::random::Random;

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "5",
    "1.0",
    "2.0",
    "1.5",
    "2.5",
    "-0.0",
    "0.1",
    "1e300",
    "9007199254740992.0",
    r#"{"$numberDouble": "NaN"}"#,
    r#"{"$numberDouble": "Infinity"}"#,
    r#"{"$numberDouble": "-Infinity"}"#,
    r#"{"$numberLong": "0"}"#,
    r#"{"$numberLong": "1"}"#,
    r#"{"$numberLong": "2"}"#,
    r#"{"$numberLong": "9007199254740993"}"#,
    r#"{"$numberLong": "9223372036854775807"}"#,
    r#"{"$numberLong": "-9223372036854775808"}"#,
    "2147483647",
    "-2147483648",
    r#"{"$numberDecimal": "0"}"#,
    r#"{"$numberDecimal": "-0"}"#,
    r#"{"$numberDecimal": "1"}"#,
    r#"{"$numberDecimal": "1.0"}"#,
    r#"{"$numberDecimal": "1.5"}"#,
    r#"{"$numberDecimal": "0.1"}"#,
    r#"{"$numberDecimal": "2.50"}"#,
    r#"{"$numberDecimal": "NaN"}"#,
    r#"{"$numberDecimal": "Infinity"}"#,
    r#"{"$numberDecimal": "-Infinity"}"#,
];
const STRINGS: &[&str] = &[
    r#""""#,
    r#""a""#,
    r#""b""#,
    r#""ab""#,
    r#""A""#,
    r#""abc""#,
    r#""aba""#,
    r#""1""#,
    r#""é""#,
    r#""x y""#,
    r#""a\nb""#,
    r#"" a ""#,
    r#""日本""#,
    r#""$a""#,
];
const DATES: &[&str] = &[
    r#"{"$date": "1970-01-01T00:00:00Z"}"#,
    r#"{"$date": "2020-02-29T12:34:56.789Z"}"#,
    r#"{"$date": "1969-12-31T23:59:59.999Z"}"#,
    r#"{"$date": "2021-01-03T05:00:00Z"}"#,
    r#"{"$date": "2019-12-31T23:30:00Z"}"#,
];
const OTHERS: &[&str] = &[
    "true",
    "false",
    "null",
    r#"{"$oid": "507f1f77bcf86cd799439011"}"#,
    r#"{"$oid": "507f1f77bcf86cd799439012"}"#,
    r#"{"$binary": {"base64": "", "subType": "00"}}"#,
    r#"{"$binary": {"base64": "AQI=", "subType": "00"}}"#,
    r#"{"$binary": {"base64": "AQI=", "subType": "80"}}"#,
    r#"{"$binary": {"base64": "AAAAAAAAAAAAAAAAAAAAAQ==", "subType": "04"}}"#,
    r#"{"$timestamp": {"t": 1, "i": 2}}"#,
    r#"{"$timestamp": {"t": 1, "i": 3}}"#,
    r#"{"$minKey": 1}"#,
    r#"{"$maxKey": 1}"#,
    r#"{"$code": "f"}"#,
    r#"{"$symbol": "a"}"#,
    r#"{"$code": "f", "$scope": {"a": 1}}"#,
    r#"{"$regularExpression": {"pattern": "^a", "options": ""}}"#,
    r#"{"$regularExpression": {"pattern": "A", "options": "i"}}"#,
];

/// Names of fields that hold anything.
const NAMES: &[&str] = &["a", "b", "c"];
/// Documents of a round.
pub(super) const DOCUMENTS: usize = 14;

pub(super) fn number(random: &mut Random) -> String {
    // Plain ones more often, or sums are nothing but infinities.
    if random.chance(50) {
        random.pick(&NUMBERS[..10]).to_owned()
    } else {
        random.pick(NUMBERS).to_owned()
    }
}

pub(super) fn integer(random: &mut Random) -> String {
    random
        .pick(&["-3", "-2", "-1", "0", "1", "2", "3", "4", "2.0"])
        .to_owned()
}

pub(super) fn string(random: &mut Random) -> String {
    random.pick(STRINGS).to_owned()
}

pub(super) fn date(random: &mut Random) -> String {
    random.pick(DATES).to_owned()
}

pub(super) fn scalar(random: &mut Random) -> String {
    match random.below(10) {
        0..4 => number(random),
        4..6 => string(random),
        6 => date(random),
        7 => random.pick(&["null", "1", "2", "true"]).to_owned(),
        _ => random.pick(OTHERS).to_owned(),
    }
}

/// Any value, `depth` levels deep at most.
pub(super) fn value(random: &mut Random, depth: usize) -> String {
    match random.below(10) {
        0..2 if depth > 0 => array(random, depth - 1),
        2..4 if depth > 0 => object(random, depth - 1),
        _ => scalar(random),
    }
}

pub(super) fn array(random: &mut Random, depth: usize) -> String {
    format!("[{}]", random.list(0, 4, |random| value(random, depth)))
}

pub(super) fn object(random: &mut Random, depth: usize) -> String {
    let mut fields = Vec::new();
    for name in NAMES.iter().chain(&["0"]) {
        if random.chance(if *name == "0" { 5 } else { 40 }) {
            fields.push(format!("\"{name}\": {}", value(random, depth)));
        }
    }
    // The order of fields counts when documents are compared.
    if random.chance(30) {
        fields.reverse();
    }
    format!("{{{}}}", fields.join(", "))
}

/// A document whose fields `a`, `b` and `c` hold anything, if they are there.
pub(super) fn document(random: &mut Random, id: usize) -> String {
    let body = object(random, 3);
    let rest = &body[1..];
    let comma = if rest == "}" { "" } else { ", " };
    format!("{{\"_id\": {id}{comma}{rest}")
}

/// A document with a number, a string, a date, a list, an object and anything, for expressions
/// that would otherwise fail on their first argument's type.
pub(super) fn typed_document(random: &mut Random, id: usize) -> String {
    let mut fields = vec![format!("\"_id\": {id}")];
    for (name, make) in [
        ("n", number as fn(&mut Random) -> String),
        ("m", number),
        ("i", integer),
        ("s", string),
        ("r", string),
        ("t", date),
    ] {
        match random.below(20) {
            0 => {}
            1 => fields.push(format!("\"{name}\": null")),
            _ => fields.push(format!("\"{name}\": {}", make(random))),
        }
    }
    fields.push(format!("\"l\": {}", array(random, 1)));
    fields.push(format!("\"k\": [{}]", random.list(0, 4, number)));
    fields.push(format!("\"o\": {}", object(random, 1)));
    if random.chance(80) {
        fields.push(format!("\"v\": {}", value(random, 2)));
    }
    // mongod 6.0.5 turns code and symbols into strings when it groups, and wraps MinKey and MaxKey
    // in documents when it merges objects there, which is nothing to follow.
    format!("{{{}}}", fields.join(", "))
        .replace(r#"{"$code": "f"}"#, "\"f\"")
        .replace(r#"{"$symbol": "a"}"#, "\"a\"")
        .replace(r#"{"$minKey": 1}"#, "false")
        .replace(r#"{"$maxKey": 1}"#, "true")
}

/// A path into [`document`]s.
pub(super) fn path(random: &mut Random) -> String {
    random
        .pick(&[
            "a", "b", "c", "a", "b", "c", "a.b", "a.c", "b.a", "c.a", "a.b.c", "a.0", "a.1", "b.0",
            "a.0.b", "b.a.0", "c.b.a", "a.a", "x", "_id",
        ])
        .to_owned()
}

/// A name of a type in a `$type` or a `bsonType`.
pub(super) fn type_name(random: &mut Random) -> String {
    random
        .pick(&[
            "\"double\"",
            "\"string\"",
            "\"object\"",
            "\"array\"",
            "\"binData\"",
            "\"objectId\"",
            "\"bool\"",
            "\"date\"",
            "\"null\"",
            "\"regex\"",
            "\"int\"",
            "\"long\"",
            "\"decimal\"",
            "\"minKey\"",
            "\"maxKey\"",
            "\"timestamp\"",
            "\"number\"",
            "\"javascript\"",
            "\"symbol\"",
        ])
        .to_owned()
}
