//! Collations, and documents whose strings they order in their own way.

use super::random::Random;

/// Strings that collations tell apart, or not.
const WORDS: &[&str] = &[
    "a", "A", "b", "B", "ab", "aB", "Ab", "a b", "a-b", "a1", "a2", "a10", "a01", "1", "2", "10",
    "é", "e", "E", "É", "ö", "o", "Z", "z", "côte", "coté", "cote", "côté", "", "ß", "ss",
];

/// A collation. Variants whose data differ between versions of the standard are left out.
pub(super) fn collation(random: &mut Random) -> String {
    let locale = random.pick(&["en", "en", "fr", "de", "sv", "es", "en_US"]);
    let mut options = format!("\"locale\": \"{locale}\"");
    if random.chance(70) {
        options.push_str(&format!(", \"strength\": {}", 1 + random.below(4)));
    }
    if random.chance(20) {
        options.push_str(", \"numericOrdering\": true");
    }
    match random.below(8) {
        0 => options.push_str(", \"caseLevel\": true"),
        1 => options.push_str(", \"caseFirst\": \"upper\""),
        2 => options.push_str(", \"caseFirst\": \"lower\""),
        3 => options.push_str(", \"alternate\": \"shifted\""),
        4 => options.push_str(", \"alternate\": \"shifted\", \"maxVariable\": \"space\""),
        _ => {}
    }
    format!("{{{options}}}")
}

pub(super) fn word(random: &mut Random) -> String {
    format!("\"{}\"", random.pick(WORDS))
}

/// A document of strings, alone, in arrays and in documents.
pub(super) fn document(random: &mut Random, id: usize) -> String {
    let list = random.list(0, 3, word);
    let value = match random.below(5) {
        0 => random.pick(&["1", "null", "true", "2.5"]).to_owned(),
        1 => format!("[{}]", random.list(0, 3, word)),
        _ => word(random),
    };
    format!(
        "{{\"_id\": {id}, \"s\": {}, \"v\": {value}, \"l\": [{list}], \"o\": {{\"s\": {}}}}}",
        word(random),
        word(random)
    )
}

/// A condition on strings.
pub(super) fn filter(random: &mut Random) -> String {
    let path = random.pick(&["s", "v", "l", "o.s", "_id"]);
    let condition = match random.below(9) {
        0 => word(random),
        1 => format!("{{\"$in\": [{}]}}", random.list(0, 3, word)),
        // mongod 6.0.5 answers a distinct with `{$nin: []}` from an index of another collation.
        2 => format!("{{\"$nin\": [{}]}}", random.list(1, 3, word)),
        3 => format!("{{\"$ne\": {}}}", word(random)),
        4 => format!("{{\"$all\": [{}]}}", random.list(1, 2, word)),
        5 => format!("[{}]", random.list(0, 2, word)),
        _ => format!(
            "{{\"{}\": {}}}",
            random.pick(&["$gt", "$gte", "$lt", "$lte", "$eq"]),
            word(random)
        ),
    };
    if random.chance(15) {
        let name = random.pick(&["$eq", "$gt", "$lte", "$cmp", "$in"]);
        return match name {
            "$in" => format!("{{\"$expr\": {{\"$in\": [{}, \"$l\"]}}}}", word(random)),
            _ => format!("{{\"$expr\": {{\"{name}\": [\"$s\", {}]}}}}", word(random)),
        };
    }
    format!("{{\"{path}\": {condition}}}")
}

/// Stages that compare strings, and whether they leave the order open.
const STAGES: &[(&str, bool)] = &[
    (
        "{\"$group\": {\"_id\": \"$s\", \"n\": {\"$sum\": 1}, \"m\": {\"$max\": \"$o.s\"}}}",
        true,
    ),
    (
        "{\"$group\": {\"_id\": null, \"s\": {\"$addToSet\": \"$s\"}, \"m\": {\"$min\": \"$v\"}}}, {\"$set\": {\"s\": {\"$size\": \"$s\"}}}",
        true,
    ),
    ("{\"$sort\": {\"s\": 1, \"_id\": 1}}", false),
    ("{\"$sort\": {\"l\": -1, \"_id\": 1}}", false),
    (
        "{\"$sort\": {\"v\": 1, \"_id\": 1}}, {\"$limit\": 5}",
        false,
    ),
    (
        "{\"$bucketAuto\": {\"groupBy\": \"$s\", \"buckets\": 3}}, {\"$project\": {\"count\": 1, \"_id\": 0}}",
        false,
    ),
    (
        "{\"$project\": {\"c\": {\"$cmp\": [\"$s\", \"$o.s\"]}, \"i\": {\"$indexOfArray\": [\"$l\", \"$s\"]}, \"u\": {\"$size\": {\"$setUnion\": [\"$l\", [\"$s\"]]}}}}",
        false,
    ),
    (
        "{\"$lookup\": {\"from\": \"d\", \"localField\": \"s\", \"foreignField\": \"o.s\", \"as\": \"w\"}}",
        false,
    ),
    (
        "{\"$setWindowFields\": {\"sortBy\": {\"s\": 1}, \"output\": {\"r\": {\"$rank\": {}}}}}",
        true,
    ),
    (
        "{\"$unwind\": \"$l\"}, {\"$sortByCount\": \"$l\"}, {\"$project\": {\"count\": 1, \"_id\": 0}}",
        true,
    ),
];

/// A stage that compares strings, and whether it leaves the order open.
pub(super) fn stage(random: &mut Random) -> (&'static str, bool) {
    STAGES[random.below(STAGES.len())]
}
