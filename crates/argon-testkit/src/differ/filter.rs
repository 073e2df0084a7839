//! Filters with every operator that needs no geometry, text index or JavaScript.

use super::document::{integer, number, object, path, scalar, string, type_name, value};
use super::expression;
use super::random::Random;

/// A filter, `depth` logical operators deep at most.
pub(super) fn filter(random: &mut Random, depth: usize) -> String {
    let count = 1 + random.below(2);
    let mut seen: Vec<String> = Vec::new();
    let mut parts = Vec::new();
    for _ in 0..count {
        let (key, operand) = part(random, depth);
        // A second entry of one name is lost on the way through a document.
        if !seen.contains(&key) {
            parts.push(format!("\"{key}\": {operand}"));
            seen.push(key);
        }
    }
    format!("{{{}}}", parts.join(", "))
}

fn part(random: &mut Random, depth: usize) -> (String, String) {
    match random.below(20) {
        0..4 if depth > 0 => {
            let name = random.pick(&["$and", "$or", "$nor"]).to_owned();
            let list = random.list(1, 3, |random| filter(random, depth - 1));
            (name, format!("[{list}]"))
        }
        4 if depth > 0 => ("$jsonSchema".to_owned(), schema(random, 2)),
        5 => ("$expr".to_owned(), comparison(random)),
        _ => (path(random), condition(random, depth)),
    }
}

/// A comparison of two fields or a field and a value.
fn comparison(random: &mut Random) -> String {
    let name = random.pick(&["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]);
    let left = format!("\"${}\"", random.pick(&["a", "b", "c", "a.b", "b.a", "x"]));
    let right = if random.chance(50) {
        expression::literal(&value(random, 1))
    } else {
        format!("\"${}\"", random.pick(&["a", "b", "c", "a.c", "x"]))
    };
    format!("{{\"{name}\": [{left}, {right}]}}")
}

/// What a field must be: a value, or operators.
pub(super) fn condition(random: &mut Random, depth: usize) -> String {
    if random.chance(20) {
        return value(random, 2);
    }
    format!("{{{}}}", operators(random, depth))
}

fn operators(random: &mut Random, depth: usize) -> String {
    let first = operator(random, depth);
    if random.chance(75) {
        return first;
    }
    let second = operator(random, depth);
    let name = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
    if name(&first) == name(&second) {
        return first;
    }
    format!("{first}, {second}")
}

fn operator(random: &mut Random, depth: usize) -> String {
    match random.below(22) {
        0..7 => {
            let name = random.pick(&["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$gte", "$lt"]);
            format!("\"{name}\": {}", value(random, 2))
        }
        7..9 => {
            let name = random.pick(&["$in", "$nin"]);
            format!(
                "\"{name}\": [{}]",
                random.list(0, 4, |random| value(random, 1))
            )
        }
        9 => format!(
            "\"$exists\": {}",
            random.pick(&["true", "false", "1", "0", "null"])
        ),
        10..12 => {
            let list = random.list(1, 2, type_name);
            let one = type_name(random);
            format!(
                "\"$type\": {}",
                if random.chance(50) {
                    one
                } else {
                    format!("[{list}]")
                }
            )
        }
        12 => format!(
            "\"$mod\": [{}, {}]",
            random.pick(&["2", "3", "-2", "2.5", "{\"$numberLong\": \"3\"}", "4"]),
            random.pick(&["0", "1", "-1", "1.5"])
        ),
        13 => {
            let pattern = random.pick(&[
                "^a", "b$", "A", "a.b", ".", "^ab", "(a)\\\\1", "[a-b]+", "^$", "(?=a)",
            ]);
            let options = random.pick(&["", "i", "m", "s", "x", "im"]);
            format!("\"$regex\": \"{pattern}\", \"$options\": \"{options}\"")
        }
        14 | 15 if depth > 0 => format!("\"$not\": {{{}}}", operators(random, depth - 1)),
        16 | 17 if depth > 0 => elem_match(random, depth - 1),
        18 => match random.below(3) {
            0 if depth > 0 => {
                let list = random.list(1, 2, |random| format!("{{{}}}", elem_match(random, 0)));
                format!("\"$all\": [{list}]")
            }
            _ => format!(
                "\"$all\": [{}]",
                random.list(0, 3, |random| value(random, 1))
            ),
        },
        19 => format!("\"$size\": {}", random.pick(&["0", "1", "2", "3", "2.0"])),
        20 => {
            let name = random.pick(&[
                "$bitsAllSet",
                "$bitsAnySet",
                "$bitsAllClear",
                "$bitsAnyClear",
            ]);
            let mask = random.pick(&[
                "1",
                "5",
                "[0, 2]",
                "[]",
                "{\"$binary\": {\"base64\": \"AQI=\", \"subType\": \"00\"}}",
                "{\"$numberLong\": \"9007199254740993\"}",
                "[1, 200]",
            ]);
            format!("\"{name}\": {mask}")
        }
        // Now and then an operand of the wrong kind.
        _ if random.chance(15) => {
            let name = random.pick(&[
                "$in",
                "$size",
                "$mod",
                "$type",
                "$exists",
                "$all",
                "$elemMatch",
                "$not",
                "$regex",
                "$bitsAllSet",
            ]);
            format!("\"{name}\": {}", scalar(random))
        }
        _ => format!("\"$eq\": {}", scalar(random)),
    }
}

fn elem_match(random: &mut Random, depth: usize) -> String {
    let inner = if random.chance(50) {
        format!("{{{}}}", operators(random, depth))
    } else {
        filter(random, depth)
    };
    // MongoDB manual, "$expr": not inside $elemMatch, and schemas neither; both are refused.
    format!("\"$elemMatch\": {inner}")
}

/// A schema of documents or, in `properties`, of a value.
fn schema(random: &mut Random, depth: usize) -> String {
    let mut parts = Vec::new();
    if random.chance(40) {
        parts.push(format!("\"bsonType\": {}", type_name(random)));
    }
    if depth > 0 && random.chance(70) {
        let name = random.pick(&["a", "b", "c"]);
        parts.push(format!(
            "\"properties\": {{\"{name}\": {}}}",
            schema(random, depth - 1)
        ));
    }
    match random.below(14) {
        0 => parts.push("\"required\": [\"a\"]".to_owned()),
        1 => parts.push(format!("\"minimum\": {}", number(random))),
        2 => parts.push(format!(
            "\"maximum\": {}, \"exclusiveMaximum\": {}",
            number(random),
            random.pick(&["true", "false"])
        )),
        3 => parts.push(format!("\"enum\": [{}]", scalar(random))),
        4 => parts.push(format!("\"minLength\": {}", random.below(3))),
        5 => parts.push("\"pattern\": \"^a\"".to_owned()),
        6 => parts.push(format!("\"maxItems\": {}", random.below(3))),
        7 => parts.push("\"uniqueItems\": true".to_owned()),
        8 => parts.push("\"items\": {\"bsonType\": \"number\"}".to_owned()),
        9 => parts.push("\"additionalProperties\": false".to_owned()),
        10 => parts.push(format!(
            "\"multipleOf\": {}",
            random.pick(&["2", "1.5", "3"])
        )),
        11 if depth > 0 => {
            let name = random.pick(&["anyOf", "allOf", "oneOf"]);
            let list = random.list(1, 2, |random| schema(random, depth - 1));
            parts.push(format!("\"{name}\": [{list}]"));
        }
        12 if depth > 0 => parts.push(format!("\"not\": {}", schema(random, depth - 1))),
        13 => parts.push("\"dependencies\": {\"a\": [\"b\"]}".to_owned()),
        _ => {}
    }
    format!("{{{}}}", parts.join(", "))
}

/// A filter that a primary key or an upsert can be made of.
pub(super) fn equality(random: &mut Random) -> String {
    match random.below(4) {
        0 => format!("{{\"{}\": {}}}", path(random), scalar(random)),
        1 => format!(
            "{{\"{}\": {{\"$eq\": {}}}}}",
            path(random),
            object(random, 0)
        ),
        2 => format!(
            "{{\"$and\": [{{\"a\": {}}}, {{\"b\": {}}}]}}",
            string(random),
            integer(random)
        ),
        _ => format!("{{\"{}\": {{\"$gt\": {}}}}}", path(random), number(random)),
    }
}
