//! Aggregation stages and pipelines.

use super::document::{number, value};
use super::expression::{Kind, expression, literal};
use super::filter;
use super::gather;
use super::projection;
use super::random::Random;

/// Fields of `typed_document` to group, sort and join by.
const KEYS: &[&str] = &["n", "i", "s", "v", "v.a", "l", "o.a", "x"];

/// A pipeline over the typed documents of `c`, with `d` to join. Its order is open if it groups.
pub(super) fn pipeline(random: &mut Random) -> (String, bool) {
    let mut stages = Vec::new();
    // At the start, where each document still has its `_id` to settle the order.
    if random.chance(30) {
        stages.push(format!("{{\"$match\": {}}}", typed_filter(random)));
    }
    if random.chance(30) {
        stages.push(format!("{{\"$sort\": {}}}", typed_sort(random)));
        if random.chance(60) {
            stages.push(format!("{{\"$skip\": {}}}", random.below(4)));
        }
        if random.chance(60) {
            stages.push(format!("{{\"$limit\": {}}}", 1 + random.below(8)));
        }
    }
    let mut unordered = false;
    // mongod 6.0.5 runs some pipelines in another engine, whose errors have codes of their own:
    // those that group or join.
    let many = random.chance(60);
    for at in 0..random.below(3) {
        stages.push(per_document(random, at == 0 && !many));
    }
    if many {
        let (stage, opens) = whole(random);
        unordered |= opens;
        stages.push(stage);
        if random.chance(30) {
            stages.push("{\"$unset\": \"x\"}".to_owned());
        }
    }
    (format!("[{}]", stages.join(", ")), unordered)
}

/// A pipeline that starts with a condition and an order of all documents.
pub(super) fn sorted_pipeline(random: &mut Random) -> (String, bool) {
    let mut stages = vec![
        format!("{{\"$match\": {}}}", typed_filter(random)),
        format!("{{\"$sort\": {}}}", typed_sort(random)),
    ];
    if random.chance(40) {
        stages.push(format!("{{\"$limit\": {}}}", 1 + random.below(8)));
    }
    let mut unordered = false;
    if random.chance(60) {
        let (stage, opens) = whole(random);
        unordered = opens;
        stages.push(stage);
    }
    (format!("[{}]", stages.join(", ")), unordered)
}

fn typed_filter(random: &mut Random) -> String {
    let key = random.pick(KEYS);
    // mongod 6.0.5 fails to optimize some pipelines that have $all inside $elemMatch.
    let condition = filter::condition(random, 1).replace("$all", "$in");
    format!("{{\"{key}\": {condition}}}")
}

fn typed_sort(random: &mut Random) -> String {
    let key = random.pick(&["n", "s", "v", "l", "o", "v.a"]);
    format!("{{\"{key}\": {}, \"_id\": 1}}", random.pick(&["1", "-1"]))
}

fn any(random: &mut Random, computed: bool) -> String {
    if !computed {
        return literal(&value(random, 1));
    }
    expression(random, Kind::Any, 2)
}

/// A stage that takes one document at a time. Only one of a pipeline computes anything that may
/// fail: which of two fails first depends on how many documents a server reads ahead.
fn per_document(random: &mut Random, computed: bool) -> String {
    match random.below(9) {
        0 => format!("{{\"$addFields\": {{\"y\": {}}}}}", any(random, computed)),
        1 => format!(
            "{{\"$set\": {{\"o.y\": {}, \"v.y\": {}}}}}",
            any(random, computed),
            literal(&value(random, 1))
        ),
        2 => format!(
            "{{\"$unset\": [\"{}\"]}}",
            random.pick(&["v.a", "l", "o.b", "n"])
        ),
        3 => format!(
            "{{\"$project\": {{\"v\": 1, \"n\": 1, \"y\": {}}}}}",
            any(random, computed)
        ),
        4 => format!(
            "{{\"$project\": {}}}",
            random.pick(&[
                "{\"v.a\": 0}",
                "{\"_id\": 0, \"l.a\": 1}",
                "{\"o\": {\"a\": 0}}",
                "{\"v\": {\"a\": 1, \"z\": \"$n\"}}"
            ])
        ),
        5 => {
            let options = random.pick(&[
                "",
                ", \"preserveNullAndEmptyArrays\": true",
                ", \"includeArrayIndex\": \"at\"",
            ]);
            format!(
                "{{\"$unwind\": {{\"path\": \"${}\"{options}}}}}",
                random.pick(&["l", "k", "v", "v.a"])
            )
        }
        6 => format!(
            "{{\"$replaceRoot\": {{\"newRoot\": {{\"_id\": \"$_id\", \"l\": \"$l\", \"v\": {}}}}}}}",
            any(random, computed)
        ),
        7 => {
            let then = random.pick(&["$$DESCEND", "$$PRUNE", "$$KEEP"]);
            format!(
                "{{\"$redact\": {{\"$cond\": [{{\"$gt\": [\"${}\", {}]}}, \"{then}\", \"$$DESCEND\"]}}}}",
                random.pick(&["n", "a"]),
                number(random)
            )
        }
        _ => format!("{{\"$match\": {}}}", typed_filter(random)),
    }
}

fn accumulator(random: &mut Random) -> String {
    let what = random.pick(&["n", "i", "v", "s", "l", "o.a"]);
    match random.below(9) {
        0 => format!("{{\"$addToSet\": {{\"$type\": \"${what}\"}}}}"),
        1 => format!("{{\"$firstN\": {{\"input\": \"${what}\", \"n\": 2}}}}"),
        2 => format!("{{\"$maxN\": {{\"input\": \"${what}\", \"n\": 2}}}}"),
        3 => format!(
            "{{\"$topN\": {{\"sortBy\": {{\"i\": 1, \"_id\": 1}}, \"output\": \"${what}\", \"n\": 2}}}}"
        ),
        4 => "{\"$mergeObjects\": \"$o\"}".to_owned(),
        _ => {
            let name = random.pick(&[
                "$sum",
                "$avg",
                "$min",
                "$max",
                "$first",
                "$last",
                "$push",
                "$stdDevPop",
            ]);
            format!("{{\"{name}\": \"${what}\"}}")
        }
    }
}

/// A stage that looks at many documents, and whether it leaves their order open.
fn whole(random: &mut Random) -> (String, bool) {
    let key = random.pick(KEYS);
    match random.below(14) {
        12 => (gather::graph_lookup(random), false),
        13 => (gather::bucket_auto(random), false),
        0..3 => {
            let by = match random.below(4) {
                0 => "null".to_owned(),
                1 => format!("{{\"x\": \"${key}\", \"y\": \"$i\"}}"),
                _ => format!("\"${key}\""),
            };
            let accumulator = accumulator(random);
            let mut stage = format!("{{\"$group\": {{\"_id\": {by}, \"r\": {accumulator}}}}}");
            // MongoDB manual, "$addToSet": the order of the elements is undefined.
            if accumulator.contains("$addToSet") {
                stage.push_str(
                    ", {\"$set\": {\"r\": {\"$sortArray\": {\"input\": \"$r\", \"sortBy\": 1}}}}",
                );
            }
            (stage, true)
        }
        3 => (format!("{{\"$sortByCount\": \"${key}\"}}"), true),
        4 => ("{\"$count\": \"n\"}".to_owned(), false),
        5 => {
            let facet = format!(
                "{{\"$facet\": {{\"p\": [{}], \"q\": [{}, {{\"$count\": \"n\"}}]}}}}",
                per_document(random, false),
                per_document(random, false)
            );
            (facet, false)
        }
        6 => {
            let stage = format!(
                "{{\"$bucket\": {{\"groupBy\": \"${}\", \"boundaries\": [0, 1, 2.5, 10], \"default\": \"other\", \"output\": {{\"r\": {}}}}}}}",
                random.pick(&["n", "i", "v"]),
                accumulator(random).replace("$addToSet", "$last")
            );
            (stage, false)
        }
        7 => {
            let to = random.pick(&["n", "i", "v", "v.a"]);
            (
                format!(
                    "{{\"$lookup\": {{\"from\": \"d\", \"localField\": \"{key}\", \"foreignField\": \"{to}\", \"as\": \"w\"}}}}"
                ),
                false,
            )
        }
        8 => {
            let inner = format!(
                "[{{\"$match\": {{\"$expr\": {{\"$gte\": [\"$n\", \"$$w\"]}}}}}}, {{\"$project\": {{\"n\": 1}}}}, {}]",
                per_document(random, false)
            );
            (
                format!(
                    "{{\"$lookup\": {{\"from\": \"d\", \"let\": {{\"w\": \"$i\"}}, \"pipeline\": {inner}, \"as\": \"w\"}}}}"
                ),
                false,
            )
        }
        9 => (
            format!(
                "{{\"$unionWith\": {{\"coll\": \"d\", \"pipeline\": [{}]}}}}",
                per_document(random, false)
            ),
            false,
        ),
        10 => {
            let window = random.pick(&[
                "[-1, 1]",
                "[\"unbounded\", \"current\"]",
                "[\"current\", \"unbounded\"]",
                "[-2, 0]",
            ]);
            let name = random.pick(&["$sum", "$avg", "$min", "$max", "$push", "$first", "$last"]);
            let what = random.pick(&["n", "i", "v"]);
            (
                format!(
                    "{{\"$setWindowFields\": {{\"partitionBy\": {{\"$type\": \"$v\"}}, \"sortBy\": {{\"i\": 1, \"_id\": 1}}, \"output\": {{\"w\": {{\"{name}\": \"${what}\", \"window\": {{\"documents\": {window}}}}}}}}}}}"
                ),
                true,
            )
        }
        _ => {
            let method = random.pick(&["\"method\": \"locf\"", "\"value\": 7"]);
            (
                format!(
                    "{{\"$fill\": {{\"sortBy\": {{\"_id\": 1}}, \"output\": {{\"{}\": {{{method}}}}}}}}}",
                    random.pick(&["i", "x"])
                ),
                false,
            )
        }
    }
}

/// Stages of an update.
pub(super) fn update_pipeline(random: &mut Random) -> String {
    let stages: Vec<String> = (0..=random.below(3))
        .map(|_| update_stage(random))
        .collect();
    format!("[{}]", stages.join(", "))
}

/// A stage that an update may have, over documents that hold anything.
fn update_stage(random: &mut Random) -> String {
    let path = random.pick(&["a", "b", "c", "a.b", "b.a", "x.y"]);
    let computed = match random.below(5) {
        0 => literal(&value(random, 2)),
        1 => format!("\"${}\"", random.pick(&["a", "b.a", "c", "a.b"])),
        2 => format!("{{\"$ifNull\": [\"${path}\", {}]}}", number(random)),
        3 => format!("[\"$a\", {}]", number(random)),
        _ => "{\"$type\": \"$b\"}".to_owned(),
    };
    match random.below(6) {
        0 => format!("{{\"$unset\": \"{path}\"}}"),
        1 => format!(
            "{{\"$project\": {}}}", // Constants that fail do so at once here, in mongod with the first document.
            projection::projection(random).replace("$slice", "$literal")
        ),
        2 => format!("{{\"$replaceWith\": {{\"a\": {computed}}}}}"),
        _ => format!("{{\"$set\": {{\"{path}\": {computed}}}}}"),
    }
}
