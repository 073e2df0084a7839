//! `$lookup`, `$unionWith`, `$facet` and `$graphLookup` within each other.

use super::document::{integer, number};
use super::random::Random;

/// Fields of typed documents to compare.
const FIELDS: &[&str] = &["i", "n", "k", "o.a", "_id", "s", "l", "x"];
const COLLECTIONS: &[&str] = &["c", "d", "e"];

/// A pipeline that joins, `depth` levels deep at most.
pub(super) fn pipeline(random: &mut Random) -> String {
    let mut stages = Vec::new();
    if random.chance(50) {
        stages.push(format!(
            "{{\"$match\": {{\"i\": {{\"$gte\": {}}}}}}}",
            integer(random)
        ));
    }
    stages.push("{\"$project\": {\"i\": 1, \"n\": 1, \"k\": 1, \"s\": 1}}".to_owned());
    for _ in 0..=random.below(2) {
        stages.push(join(random, 2));
    }
    if random.chance(40) {
        stages.push(after(random));
    }
    format!("[{}]", stages.join(", "))
}

/// What one does with what was joined.
fn after(random: &mut Random) -> String {
    match random.below(7) {
        0 => "{\"$unwind\": \"$w\"}".to_owned(),
        1 => "{\"$unwind\": {\"path\": \"$w\", \"preserveNullAndEmptyArrays\": true, \"includeArrayIndex\": \"at\"}}".to_owned(),
        2 => "{\"$set\": {\"w\": {\"$size\": {\"$ifNull\": [\"$w\", []]}}}}".to_owned(),
        3 => format!("{{\"$unwind\": \"$w\"}}, {{\"$match\": {{\"w.i\": {{\"$lte\": {}}}}}}}", integer(random)),
        4 => "{\"$unwind\": \"$w\"}, {\"$sort\": {\"w.i\": 1, \"w._id\": 1, \"_id\": 1}}, {\"$limit\": 5}".to_owned(),
        5 => "{\"$project\": {\"w.i\": 1}}".to_owned(),
        _ => "{\"$match\": {\"w.0\": {\"$exists\": true}}}".to_owned(),
    }
}

fn join(random: &mut Random, depth: usize) -> String {
    let (from, local, foreign) = (
        random.pick(COLLECTIONS),
        random.pick(FIELDS),
        random.pick(FIELDS),
    );
    match random.below(10) {
        0 | 1 => format!(
            "{{\"$lookup\": {{\"from\": \"{from}\", \"localField\": \"{local}\", \"foreignField\": \"{foreign}\", \"as\": \"w\"}}}}"
        ),
        2 => format!(
            "{{\"$lookup\": {{\"from\": \"{from}\", \"localField\": \"{local}\", \"foreignField\": \"{foreign}\", \"let\": {{\"p\": \"$n\"}}, \"pipeline\": {}, \"as\": \"w\"}}}}",
            inner(random, depth)
        ),
        3 | 4 => format!(
            "{{\"$lookup\": {{\"from\": \"{from}\", \"let\": {{\"p\": \"${local}\", \"q\": {}}}, \"pipeline\": {}, \"as\": \"{}\"}}}}",
            number(random),
            inner(random, depth),
            random.pick(&["w", "w", "o.w", "i"])
        ),
        5 => format!(
            "{{\"$lookup\": {{\"from\": \"{from}\", \"pipeline\": [{{\"$sort\": {{\"_id\": 1}}}}, {{\"$limit\": 2}}, {{\"$project\": {{\"i\": 1}}}}], \"as\": \"w\"}}}}"
        ),
        // Not within $facet, where Argon does not refuse it.
        6 if depth > 0 => "{\"$lookup\": {\"pipeline\": [{\"$documents\": [{\"i\": 1}, {\"i\": 2}]}], \"as\": \"w\"}}".to_owned(),
        7 => format!(
            "{{\"$unionWith\": {{\"coll\": \"{from}\", \"pipeline\": {}}}}}",
            inner(random, 0)
        ),
        8 if depth == 2 => format!(
            "{{\"$facet\": {{\"w\": [{}], \"q\": [{}, {{\"$count\": \"n\"}}], \"r\": []}}}}",
            join(random, 0),
            join(random, 0)
        ),
        _ => format!(
            "{{\"$graphLookup\": {{\"from\": \"{from}\", \"startWith\": \"${local}\", \"connectFromField\": \"{}\", \"connectToField\": \"{foreign}\", \"as\": \"w\", \"maxDepth\": {}}}}}, \
             {{\"$set\": {{\"w\": {{\"$sortArray\": {{\"input\": \"$w._id\", \"sortBy\": 1}}}}}}}}",
            random.pick(&["i", "n", "k", "_id"]),
            random.below(3)
        ),
    }
}

/// A pipeline inside `$lookup`, where `p` may be a variable; small results keep the answers short.
fn inner(random: &mut Random, depth: usize) -> String {
    let mut stages = Vec::new();
    let field = random.pick(FIELDS);
    // Outside of `$lookup` there are no variables.
    let variable = if depth == 0 { "$i" } else { "$$p" };
    match random.below(6) {
        0 => stages.push(format!("{{\"$match\": {{\"i\": {{\"$gt\": {}}}}}}}", integer(random))),
        1 => stages.push(format!("{{\"$match\": {{\"$expr\": {{\"$eq\": [\"${field}\", \"{variable}\"]}}}}}}")),
        2 => stages.push(format!(
            "{{\"$match\": {{\"$expr\": {{\"$and\": [{{\"$gte\": [\"${field}\", \"{variable}\"]}}, {{\"$ne\": [\"$i\", {}]}}]}}}}}}",
            number(random)
        )),
        3 => stages.push(format!("{{\"$match\": {{\"$expr\": {{\"$in\": [\"{variable}\", \"$k\"]}}}}}}")),
        _ => {}
    }
    if depth > 1 && random.chance(40) {
        stages.push(join(random, depth - 1));
    }
    stages.push(match random.below(5) {
        0 => "{\"$group\": {\"_id\": null, \"n\": {\"$sum\": 1}, \"i\": {\"$max\": \"$i\"}}}"
            .to_owned(),
        1 => format!("{{\"$project\": {{\"i\": 1, \"y\": \"{variable}\"}}}}"),
        2 => "{\"$sort\": {\"i\": -1, \"_id\": 1}}, {\"$limit\": 2}, {\"$project\": {\"i\": 1}}"
            .to_owned(),
        _ => "{\"$project\": {\"i\": 1, \"n\": 1}}".to_owned(),
    });
    format!("[{}]", stages.join(", "))
}
