//! Updates: modifiers, array filters, pipelines and replacements.

use super::document::{integer, number, object, path, scalar, value};
use super::filter;
use super::random::Random;
use super::stage;

/// An update with what goes with it: `"u": …, "arrayFilters": …`.
pub(super) fn update(random: &mut Random) -> String {
    match random.below(20) {
        0..2 => format!("\"u\": {}", stage::update_pipeline(random)),
        2 => format!("\"u\": {}", object(random, 2)),
        3..6 => filtered(random),
        _ => format!("\"u\": {{{}}}", modifiers(random)),
    }
}

fn modifiers(random: &mut Random) -> String {
    let first = modifier(random);
    if random.chance(70) {
        return first;
    }
    let second = modifier(random);
    let name = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
    if name(&first) == name(&second) {
        return first;
    }
    format!("{first}, {second}")
}

/// A path to change: sometimes of the array elements that match, or all of them.
fn target(random: &mut Random) -> String {
    match random.below(14) {
        0 => random
            .pick(&["a.$[]", "b.$[].a", "a.$[].b", "c.$[].$[]"])
            .to_owned(),
        1 => random.pick(&["a.$", "b.$.a", "a.$.b"]).to_owned(),
        2 => random.pick(&["a.3", "b.2.a", "a.b.1"]).to_owned(),
        _ => path(random),
    }
}

fn modifier(random: &mut Random) -> String {
    match random.below(22) {
        0..4 => one(random, "$set", |random| value(random, 2)),
        4..6 => one(random, "$unset", |_| "1".to_owned()),
        6..8 => one(random, "$inc", number),
        8 => one(random, "$mul", number),
        9 => one(random, "$min", |random| value(random, 1)),
        10 => one(random, "$max", |random| value(random, 1)),
        11 => {
            let to = random.pick(&["b", "c", "x", "d.e", "a.b"]);
            format!(
                "\"$rename\": {{\"{}\": \"{to}\"}}",
                path(random).replace("_id", "a")
            )
        }
        12 => one(random, "$setOnInsert", |random| value(random, 1)),
        13 | 14 => one(random, "$addToSet", |random| {
            if random.chance(50) {
                return value(random, 2);
            }
            format!(
                "{{\"$each\": [{}]}}",
                random.list(0, 3, |random| value(random, 1))
            )
        }),
        15 => one(random, "$pop", |random| {
            random.pick(&["1", "-1", "1.0"]).to_owned()
        }),
        16 => one(random, "$pullAll", |random| {
            format!("[{}]", random.list(0, 3, |random| value(random, 1)))
        }),
        17 => one(random, "$pull", |random| match random.below(3) {
            0 => value(random, 1),
            1 => filter::filter(random, 1),
            _ => filter::condition(random, 1),
        }),
        18 | 19 => one(random, "$push", push),
        20 => one(random, "$bit", |random| {
            let name = random.pick(&["and", "or", "xor"]);
            let mask = random.pick(&["1", "6", "{\"$numberLong\": \"3\"}", "-1", "1.5"]);
            format!("{{\"{name}\": {mask}}}")
        }),
        // Now and then an operand of the wrong kind.
        _ => {
            let name = random.pick(&["$inc", "$pop", "$pullAll", "$bit", "$push", "$mul", "$set"]);
            one(random, name, scalar)
        }
    }
}

fn one(random: &mut Random, name: &str, operand: impl Fn(&mut Random) -> String) -> String {
    let (first, second) = (target(random), target(random));
    let mut fields = format!("\"{first}\": {}", operand(random));
    if first != second && random.chance(15) {
        fields.push_str(&format!(", \"{second}\": {}", operand(random)));
    }
    format!("\"{name}\": {{{fields}}}")
}

fn push(random: &mut Random) -> String {
    if random.chance(40) {
        return value(random, 2);
    }
    let mut parts = vec![format!(
        "\"$each\": [{}]",
        random.list(0, 3, |random| value(random, 1))
    )];
    if random.chance(40) {
        parts.push(format!("\"$slice\": {}", integer(random)));
    }
    if random.chance(40) {
        let sort = random.pick(&[
            "1",
            "-1",
            "{\"a\": 1}",
            "{\"b\": -1, \"a\": 1}",
            "{\"a.b\": 1}",
        ]);
        parts.push(format!("\"$sort\": {sort}"));
    }
    if random.chance(30) {
        parts.push(format!("\"$position\": {}", integer(random)));
    }
    if random.chance(20) {
        parts.reverse();
    }
    format!("{{{}}}", parts.join(", "))
}

/// An update of the elements that an array filter finds.
fn filtered(random: &mut Random) -> String {
    let at = random.pick(&[
        "a.$[e]",
        "b.$[e]",
        "c.$[e]",
        "a.$[e].b",
        "b.$[e].a",
        "a.$[].$[e]",
    ]);
    let change = match random.below(6) {
        0 => format!("{{\"$unset\": {{\"{at}\": 1}}}}"),
        1 => format!("{{\"$inc\": {{\"{at}\": {}}}}}", number(random)),
        2 => format!("{{\"$push\": {{\"{at}\": {}}}}}", value(random, 1)),
        3 => format!("{{\"$max\": {{\"{at}\": {}}}}}", scalar(random)),
        _ => format!("{{\"$set\": {{\"{at}\": {}}}}}", value(random, 1)),
    };
    let condition = filter::condition(random, 1);
    let on = random.pick(&["e", "e", "e.a", "e.b", "f"]);
    format!("\"u\": {change}, \"arrayFilters\": [{{\"{on}\": {condition}}}]")
}
