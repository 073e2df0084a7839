//! Updates of elements deep in arrays: positional paths, and array filters at every level.

use super::document::{integer, scalar};
use super::random::Random;

/// A document with lists of lists, of documents, and of documents with lists.
pub(super) fn document(random: &mut Random, id: usize) -> String {
    let flat = random.list(0, 4, integer);
    let grid = random.list(0, 3, |random| format!("[{}]", random.list(0, 3, integer)));
    let items = random.list(0, 4, item);
    let odd = match random.below(4) {
        0 => scalar(random),
        1 => format!("{{\"x\": {}}}", integer(random)),
        _ => format!("[{}, {}]", item(random), scalar(random)),
    };
    format!("{{\"_id\": {id}, \"f\": [{flat}], \"g\": [{grid}], \"i\": [{items}], \"o\": {odd}}}")
}

fn item(random: &mut Random) -> String {
    let inner = random.list(0, 3, |random| {
        format!(
            "{{\"x\": {}, \"y\": [{}]}}",
            integer(random),
            random.list(0, 2, integer)
        )
    });
    format!(
        "{{\"x\": {}, \"y\": [{}], \"z\": [{inner}]}}",
        integer(random),
        random.list(0, 3, integer)
    )
}

/// Paths, and the array filters that they take.
const PATHS: &[(&str, &[&str])] = &[
    ("f.$[e]", &["e"]),
    ("f.$[]", &[]),
    ("g.$[].$[e]", &["e"]),
    ("g.$[].$[]", &[]),
    ("g.$[e]", &["e"]),
    ("i.$[e].x", &["e.x"]),
    ("i.$[e].y.$[f]", &["e.x", "f"]),
    ("i.$[].y.$[f]", &["f"]),
    ("i.$[e].z.$[f].x", &["e.x", "f.x"]),
    ("i.$[].z.$[f].y.$[h]", &["f.x", "h"]),
    ("i.$[].z.$[].y.$[]", &[]),
    ("i.$[e].z.$[].y", &["e.y"]),
    ("i.$[e].z.$[f]", &["e.z.x", "f.y"]),
    ("i.$[e]", &["e.z"]),
    ("o.$[e].x", &["e.x"]),
    ("o.$[]", &[]),
    ("i.0.z.$[f].x", &["f.x"]),
    ("i.$.x", &[]),
    ("f.$", &[]),
    ("g.$", &[]),
    ("i.$.y.$[f]", &["f"]),
    ("i.$.z.$[].x", &[]),
    ("i.$.z.0.x", &[]),
    ("i.1.y.2", &[]),
    ("i.2", &[]),
    ("x.$[e]", &["e"]),
    ("i.x.$[e]", &["e"]),
    ("i.$[e].w.v", &["e.x"]),
];

fn change(random: &mut Random, path: &str) -> String {
    let (name, operand) = match random.below(16) {
        0..4 => ("$set", scalar(random)),
        4 => ("$set", item(random)),
        5 | 6 => ("$inc", integer(random)),
        7 => ("$unset", "1".to_owned()),
        8 => ("$push", integer(random)),
        9 => (
            "$push",
            format!(
                "{{\"$each\": [{}], \"$slice\": {}, \"$sort\": 1}}",
                random.list(0, 3, integer),
                integer(random)
            ),
        ),
        10 => ("$pull", format!("{{\"$gt\": {}}}", integer(random))),
        11 => ("$pull", format!("{{\"x\": {}}}", integer(random))),
        12 => ("$addToSet", integer(random)),
        13 => ("$pop", random.pick(&["1", "-1"]).to_owned()),
        14 => ("$max", integer(random)),
        _ => ("$bit", "{\"xor\": 5}".to_owned()),
    };
    format!("\"{name}\": {{\"{path}\": {operand}}}")
}

fn array_filter(random: &mut Random, on: &str) -> String {
    let condition = match random.below(7) {
        0 => integer(random),
        1 => format!("{{\"$in\": [{}]}}", random.list(0, 3, integer)),
        2 => format!("{{\"$elemMatch\": {{\"$gte\": {}}}}}", integer(random)),
        3 => format!("{{\"$not\": {{\"$lt\": {}}}}}", integer(random)),
        4 => "{\"$exists\": true}".to_owned(),
        _ => format!(
            "{{\"{}\": {}}}",
            random.pick(&["$gt", "$lte", "$ne"]),
            integer(random)
        ),
    };
    match random.below(8) {
        0 => {
            let more = integer(random);
            format!("{{\"$or\": [{{\"{on}\": {condition}}}, {{\"{on}\": {more}}}]}}")
        }
        _ => format!("{{\"{on}\": {condition}}}"),
    }
}

/// A query that says which element a `$` means.
pub(super) fn query(random: &mut Random) -> String {
    let number = integer(random);
    match random.below(8) {
        0 => format!("\"f\": {number}"),
        1 => format!("\"f\": {{\"$gt\": {number}}}"),
        2 => format!("\"i.x\": {number}"),
        3 => format!(
            "\"i\": {{\"$elemMatch\": {{\"x\": {{\"$lte\": {number}}}, \"y\": {{\"$exists\": true}}}}}}"
        ),
        4 => format!("\"i.z.x\": {{\"$in\": [{number}, 1, 2]}}"),
        5 => format!("\"g\": {{\"$elemMatch\": {{\"$elemMatch\": {{\"$gte\": {number}}}}}}}"),
        6 => format!("\"f\": {{\"$gte\": {number}}}, \"i.y\": {{\"$exists\": true}}"),
        _ => format!("\"f\": {{\"$all\": [{number}]}}"),
    }
}

/// An update with its array filters: `"u": …, "arrayFilters": …`.
pub(super) fn update(random: &mut Random) -> String {
    let (path, on) = PATHS[random.below(PATHS.len())];
    let mut changes = change(random, path);
    let mut filters: Vec<String> = on.iter().map(|on| array_filter(random, on)).collect();
    if random.chance(15) {
        let (more, _) = PATHS[random.below(PATHS.len())];
        let second = change(random, more);
        if changes.split(':').next() != second.split(':').next() {
            changes.push_str(", ");
            changes.push_str(&second);
        }
    }
    if random.chance(5) {
        filters.push(array_filter(random, "q"));
    }
    let filters = if filters.is_empty() && random.chance(80) {
        String::new()
    } else {
        format!(", \"arrayFilters\": [{}]", filters.join(", "))
    };
    format!("\"u\": {{{changes}}}{filters}")
}
