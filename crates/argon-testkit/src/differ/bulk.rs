//! Writes of many statements, of which some fail: ordered or not, beside unique indexes and validators.

use super::document::{document, integer, object, scalar, value};
use super::filter;
use super::random::Random;
use super::update;

/// Fewer ids than documents, so that some are there already.
const IDS: usize = 24;

pub(super) fn insert(random: &mut Random) -> String {
    let documents = random.list(1, 5, |random| {
        let id = random.below(IDS);
        match random.below(14) {
            0 => format!("{{\"_id\": [{id}]}}"),
            1 => format!("{{\"a\": {}, \"_id\": {}}}", scalar(random), scalar(random)),
            2 => "{\"_id\": {\"$numberDouble\": \"1.0\"}, \"a\": 1}".to_owned(),
            3 => "{\"_id\": {\"a\": 1, \"b\": {\"$numberLong\": \"2\"}}}".to_owned(),
            4 => format!("{{\"_id\": {id}, \"$a\": 1, \"b.c\": 2}}"),
            5 => format!("{{\"_id\": {{\"$regularExpression\": {{\"pattern\": \"a\", \"options\": \"\"}}}}, \"a\": {id}}}"),
            _ => document(random, id),
        }
    });
    format!(
        "{{\"insert\": \"c\", \"documents\": [{documents}]{}}}",
        options(random)
    )
}

pub(super) fn update(random: &mut Random) -> String {
    let updates = random.list(1, 4, |random| {
        let mut statement = format!("\"q\": {}, {}", query(random), update::update(random));
        if random.chance(30) {
            statement.push_str(&format!(", \"multi\": {}", random.pick(&["true", "false"])));
        }
        if random.chance(25) {
            statement.push_str(&format!(
                ", \"upsert\": {}",
                random.pick(&["true", "false"])
            ));
        }
        if random.chance(10) {
            statement.push_str(", \"hint\": ");
            statement.push_str(random.pick(&[
                "{\"_id\": 1}",
                "{\"a\": 1}",
                "\"i0\"",
                "\"nope\"",
                "{\"$natural\": 1}",
            ]));
        }
        if random.chance(10) {
            statement.push_str(", \"collation\": {\"locale\": \"en\", \"strength\": 2}");
        }
        format!("{{{statement}}}")
    });
    format!(
        "{{\"update\": \"c\", \"updates\": [{updates}]{}}}",
        options(random)
    )
}

pub(super) fn delete(random: &mut Random) -> String {
    let deletes = random.list(1, 3, |random| {
        let mut statement = format!(
            "\"q\": {}, \"limit\": {}",
            query(random),
            random.pick(&["0", "1", "1", "0", "1", "1.0", "2"])
        );
        if random.chance(10) {
            statement.push_str(", \"hint\": ");
            statement.push_str(random.pick(&["{\"_id\": 1}", "{\"a\": 1}", "\"i0\"", "\"nope\""]));
        }
        if random.chance(10) {
            statement.push_str(", \"collation\": {\"locale\": \"en\", \"strength\": 2}");
        }
        format!("{{{statement}}}")
    });
    format!(
        "{{\"delete\": \"c\", \"deletes\": [{deletes}]{}}}",
        options(random)
    )
}

fn query(random: &mut Random) -> String {
    match random.below(4) {
        0 => filter::filter(random, 1),
        1 => format!(
            "{{\"a\": {{\"$gt\": {}}}, \"_id\": {{\"$gte\": {}}}}}",
            integer(random),
            random.below(IDS)
        ),
        _ => format!("{{\"_id\": {}}}", random.below(IDS)),
    }
}

fn options(random: &mut Random) -> String {
    let mut options = String::new();
    if random.chance(60) {
        options.push_str(&format!(
            ", \"ordered\": {}",
            random.pick(&["true", "false"])
        ));
    }
    if random.chance(15) {
        options.push_str(", \"bypassDocumentValidation\": true");
    }
    if random.chance(5) {
        options.push_str(", \"let\": {\"x\": 1}");
    }
    options
}

/// `findAndModify` with every option it has.
pub(super) fn find_and_modify(random: &mut Random) -> String {
    let mut parts = vec![format!(
        "\"findAndModify\": \"c\", \"query\": {}",
        query(random)
    )];
    if random.chance(60) {
        parts.push(format!("\"sort\": {}", super::projection::sort(random)));
    }
    if random.chance(15) {
        parts.push("\"remove\": true".to_owned());
    } else {
        parts.push(update::update(random).replacen("\"u\":", "\"update\":", 1));
    }
    let mut maybe = |percent, text: String| {
        if random.chance(percent) {
            parts.push(text);
        }
    };
    maybe(40, "\"new\": true".to_owned());
    maybe(30, "\"upsert\": true".to_owned());
    maybe(10, "\"bypassDocumentValidation\": true".to_owned());
    maybe(
        10,
        "\"collation\": {\"locale\": \"en\", \"strength\": 1}".to_owned(),
    );
    maybe(10, "\"hint\": {\"_id\": 1}".to_owned());
    maybe(4, "\"hint\": \"nope\"".to_owned());
    maybe(5, "\"let\": {\"x\": 1}".to_owned());
    if random.chance(30) {
        parts.push(format!(
            "\"fields\": {}",
            super::projection::projection(random)
        ));
    }
    format!("{{{}}}", parts.join(", "))
}

/// A validator as an option of `create` and `collMod`.
pub(super) fn validator(random: &mut Random) -> String {
    let validator = match random.below(6) {
        0 => "{\"a\": {\"$exists\": true}}".to_owned(),
        1 => "{\"$expr\": {\"$ne\": [\"$a\", \"$b\"]}}".to_owned(),
        2 => "{\"$jsonSchema\": {\"required\": [\"a\"], \"properties\": {\"a\": {\"bsonType\": [\"number\", \"string\", \"array\"]}, \"b\": {\"minimum\": 0}}}}".to_owned(),
        3 => "{\"$jsonSchema\": {\"properties\": {\"c\": {\"bsonType\": \"object\", \"additionalProperties\": false, \"properties\": {\"a\": {}}}}}}".to_owned(),
        4 => "{\"$or\": [{\"a\": {\"$type\": \"number\"}}, {\"b\": null}]}".to_owned(),
        _ => format!("{{\"a\": {{\"$not\": {{\"$gt\": {}}}}}}}", value(random, 1)),
    };
    let mut options = format!("\"validator\": {validator}");
    if random.chance(40) {
        options.push_str(&format!(
            ", \"validationLevel\": \"{}\"",
            random.pick(&["off", "strict", "moderate"])
        ));
    }
    if random.chance(40) {
        options.push_str(&format!(
            ", \"validationAction\": \"{}\"",
            random.pick(&["warn", "error"])
        ));
    }
    options
}

/// One more document, or a change of one, for collections with rules.
pub(super) fn write(random: &mut Random) -> String {
    match random.below(6) {
        0..2 => insert(random),
        2 => update(random),
        3 => find_and_modify(random),
        4 => delete(random),
        _ => format!(
            "{{\"update\": \"c\", \"updates\": [{{\"q\": {{\"_id\": {}}}, \"u\": {}, \"upsert\": true}}]{}}}",
            random.below(IDS),
            object(random, 2),
            options(random)
        ),
    }
}
