//! Projections of `find`, and sort orders.

use super::document::{integer, value};
use super::expression;
use super::filter;
use super::random::Random;

const FIELDS: &[&str] = &["a", "b", "c", "a.b", "a.c", "b.a", "c.a.b", "a.0", "x"];

pub(super) fn projection(random: &mut Random) -> String {
    let keep = random.chance(60);
    let mut seen: Vec<&str> = Vec::new();
    let mut parts = Vec::new();
    if random.chance(30) {
        parts.push(format!(
            "\"_id\": {}",
            random.pick(&["0", "1", "false", "true"])
        ));
    }
    for _ in 0..=random.below(3) {
        let field = random.pick(FIELDS);
        if seen.contains(&field) {
            continue;
        }
        seen.push(field);
        let what = match random.below(14) {
            0 => format!("{{\"$slice\": {}}}", integer(random)),
            1 => format!(
                "{{\"$slice\": [{}, {}]}}",
                integer(random),
                1 + random.below(3)
            ),
            2 => {
                // Open: a schema here is refused, but which of several mistakes counts differs.
                let condition = filter::filter(random, 1);
                if condition.contains("$jsonSchema") {
                    "{\"$elemMatch\": {\"b\": 1}}".to_owned()
                } else {
                    format!("{{\"$elemMatch\": {condition}}}")
                }
            }
            3 => format!("\"${}\"", random.pick(FIELDS)),
            4 => expression::literal(&value(random, 1)),
            5 => format!("{{\"{}\": {}}}", random.pick(&["a", "b"]), u8::from(keep)),
            6 if random.chance(30) => u8::from(!keep).to_string(),
            _ => random
                .pick(if keep {
                    &["1", "true", "1", "5.5"]
                } else {
                    &["0", "false", "0", "0.0"]
                })
                .to_owned(),
        };
        parts.push(format!("\"{field}\": {what}"));
    }
    format!("{{{}}}", parts.join(", "))
}

/// A sort order with `_id` last, so that it leaves nothing open.
pub(super) fn sort(random: &mut Random) -> String {
    let mut seen: Vec<&str> = Vec::new();
    let mut parts = Vec::new();
    for _ in 0..=random.below(2) {
        let field = random.pick(FIELDS);
        if !seen.contains(&field) {
            seen.push(field);
            parts.push(format!("\"{field}\": {}", random.pick(&["1", "-1"])));
        }
    }
    parts.push(format!("\"_id\": {}", random.pick(&["1", "-1"])));
    format!("{{{}}}", parts.join(", "))
}
