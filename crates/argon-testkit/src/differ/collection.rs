//! Commands that make, change, rename and drop collections, and writes and reads between them.

use super::bulk;
use super::document::{document, integer, scalar};
use super::filter::filter;
use super::projection;
use super::random::Random;

const NAMES: &[&str] = &["c", "d", "e", "v"];

/// A command on one of few collections, which may be there or not, a view or not.
pub(super) fn command(random: &mut Random) -> String {
    let name = random.pick(NAMES);
    let other = random.pick(NAMES);
    match random.below(24) {
        0..3 => format!("{{\"create\": \"{name}\"{}}}", create_options(random)),
        3 => format!(
            "{{\"create\": \"{name}\", \"viewOn\": \"{other}\", \"pipeline\": {}}}",
            view_pipeline(random)
        ),
        4 => format!("{{\"drop\": \"{name}\"}}"),
        5 | 6 => format!(
            "{{\"renameCollection\": \"<db>.{name}\", \"to\": \"<db>.{other}\"{}, \"$db\": \"admin\"}}",
            random.pick(&["", ", \"dropTarget\": true", ", \"dropTarget\": false"])
        ),
        7 => format!("{{\"collMod\": \"{name}\"{}}}", coll_mod(random)),
        8 => format!(
            "{{\"convertToCapped\": \"{name}\", \"size\": {}}}",
            random.pick(&["100000", "8192", "1", "0", "-1", "4097.5"])
        ),
        9 => format!(
            "{{\"createIndexes\": \"{name}\", \"indexes\": [{{\"key\": {{\"{}\": {}}}, \"name\": \"i{}\"{}}}]}}",
            random.pick(&["a", "b", "a.b"]),
            random.pick(&["1", "-1", "\"hashed\""]),
            random.below(3),
            random.pick(&[
                "",
                "",
                ", \"unique\": true",
                ", \"sparse\": true",
                ", \"hidden\": true",
                ", \"expireAfterSeconds\": 100000"
            ])
        ),
        10 => format!(
            "{{\"dropIndexes\": \"{name}\", \"index\": {}}}",
            random.pick(&[
                "\"*\"",
                "\"i0\"",
                "\"i1\"",
                "{\"a\": 1}",
                "\"_id_\"",
                "[\"i0\", \"i2\"]"
            ])
        ),
        11 => format!("{{\"listIndexes\": \"{name}\"}}"),
        12 => format!(
            "{{\"listCollections\": 1, \"filter\": {{\"name\": {{\"$in\": [\"c\", \"d\", \"e\", \"v\"]}}}}, \"nameOnly\": {}}}",
            random.pick(&["true", "false"])
        ),
        13 => format!(
            "{{\"count\": \"{name}\", \"query\": {}}}",
            filter(random, 0)
        ),
        14 => format!(
            "{{\"delete\": \"{name}\", \"deletes\": [{{\"q\": {{\"_id\": {}}}, \"limit\": 1}}]}}",
            random.below(9)
        ),
        15 => format!(
            "{{\"update\": \"{name}\", \"updates\": [{{\"q\": {{\"_id\": {}}}, \"u\": {{\"$set\": {{\"a\": {}}}}}, \"upsert\": {}}}]}}",
            random.below(9),
            scalar(random),
            random.pick(&["true", "false"])
        ),
        16..19 => {
            let id = random.below(9);
            format!(
                "{{\"insert\": \"{name}\", \"documents\": [{}]}}",
                document(random, id)
            )
        }
        19 => format!(
            "{{\"aggregate\": \"{name}\", \"pipeline\": [{{\"$match\": {}}}, {{\"$out\": \"{other}\"}}], \"cursor\": {{}}}}",
            filter(random, 0)
        ),
        20 => format!("{{\"find\": \"{name}\", \"limit\": 1}}"),
        _ => format!("{{\"find\": \"{name}\", \"sort\": {{\"_id\": 1}}}}"),
    }
}

fn create_options(random: &mut Random) -> String {
    match random.below(12) {
        0 => ", \"capped\": true, \"size\": 8192".to_owned(),
        1 => format!(
            ", \"capped\": true, \"size\": 100000, \"max\": {}",
            random.pick(&["2", "5", "0", "-1"])
        ),
        2 => ", \"collation\": {\"locale\": \"en\", \"strength\": 2}".to_owned(),
        3 => format!(", {}", bulk::validator(random)),
        4 => ", \"clusteredIndex\": {\"key\": {\"_id\": 1}, \"unique\": true}".to_owned(),
        5 => random
            .pick(&[
                ", \"capped\": true",
                ", \"size\": 100",
                ", \"max\": 3",
                ", \"viewOn\": \"\"",
                ", \"pipeline\": []",
                ", \"nope\": 1",
                ", \"validationLevel\": \"nope\"",
                ", \"capped\": true, \"size\": 0",
                ", \"expireAfterSeconds\": 10",
            ])
            .to_owned(),
        _ => String::new(),
    }
}

/// Not `cappedSize` and `cappedMax`: mongod 6.0.5 crashes when they are given for a view.
fn coll_mod(random: &mut Random) -> String {
    match random.below(8) {
        0 | 1 => format!(", {}", bulk::validator(random)),
        2 => format!(
            ", \"viewOn\": \"{}\", \"pipeline\": {}",
            random.pick(NAMES),
            view_pipeline(random)
        ),
        3 => format!(
            ", \"index\": {{\"name\": \"i{}\", \"hidden\": {}}}",
            random.below(3),
            random.pick(&["true", "false"])
        ),
        4 => format!(
            ", \"index\": {{\"keyPattern\": {{\"a\": 1}}, \"expireAfterSeconds\": {}}}",
            random.pick(&["200000", "-1", "300000.0"])
        ),
        5 => format!(
            ", \"index\": {{\"name\": \"i{}\", \"prepareUnique\": true}}",
            random.below(3)
        ),
        6 => random
            .pick(&[
                "",
                ", \"nope\": 1",
                ", \"index\": {}",
                ", \"validator\": {}",
            ])
            .to_owned(),
        _ => format!(
            ", \"validationAction\": \"{}\"",
            random.pick(&["warn", "error", "nope"])
        ),
    }
}

/// The pipeline of a view, or one that no view may have.
pub(super) fn view_pipeline(random: &mut Random) -> String {
    let stage = match random.below(9) {
        0 => return "[]".to_owned(),
        1 => format!("{{\"$match\": {}}}", filter(random, 0)),
        2 => "{\"$project\": {\"a\": 1, \"b\": 1}}".to_owned(),
        3 => "{\"$set\": {\"z\": \"$a\"}}".to_owned(),
        4 => "{\"$unwind\": {\"path\": \"$a\", \"preserveNullAndEmptyArrays\": true}}".to_owned(),
        5 => "{\"$lookup\": {\"from\": \"d\", \"localField\": \"a\", \"foreignField\": \"a\", \"as\": \"w\"}}, {\"$set\": {\"w\": {\"$size\": \"$w\"}}}".to_owned(),
        6 => format!("{{\"$match\": {{\"_id\": {{\"$gte\": {}}}}}}}, {{\"$sort\": {{\"_id\": -1}}}}, {{\"$limit\": 4}}", random.below(5)),
        7 => "{\"$unset\": \"b\"}".to_owned(),
        _ => format!("{{\"$match\": {{\"a\": {{\"$lte\": {}}}}}}}", integer(random)),
    };
    format!("[{stage}]")
}

/// Something to ask a view, or to refuse: not `distinct`, whose values come in no order from a view.
pub(super) fn view_read(random: &mut Random) -> (String, bool) {
    let view = random.pick(&["v", "w"]);
    let filter = filter(random, 0);
    match random.below(9) {
        0 => (format!("{{\"count\": \"{view}\", \"query\": {filter}}}"), false),
        2 => (format!("{{\"aggregate\": \"{view}\", \"pipeline\": [{{\"$match\": {filter}}}, {{\"$group\": {{\"_id\": {{\"$type\": \"$a\"}}, \"n\": {{\"$sum\": 1}}}}}}], \"cursor\": {{}}}}"), true),
        3 => (format!("{{\"aggregate\": \"c\", \"pipeline\": [{{\"$sort\": {{\"_id\": 1}}}}, {{\"$lookup\": {{\"from\": \"{view}\", \"localField\": \"b\", \"foreignField\": \"b\", \"as\": \"r\"}}}}, {{\"$project\": {{\"r._id\": 1}}}}], \"cursor\": {{}}}}"), false),
        4 => (format!("{{\"aggregate\": \"c\", \"pipeline\": [{{\"$unionWith\": {{\"coll\": \"{view}\", \"pipeline\": [{{\"$match\": {filter}}}]}}}}, {{\"$project\": {{\"a\": 1}}}}], \"cursor\": {{}}}}"), true),
        5 => (random.pick(&[
            "{\"insert\": \"v\", \"documents\": [{\"a\": 1}]}",
            "{\"update\": \"v\", \"updates\": [{\"q\": {}, \"u\": {\"$set\": {\"a\": 1}}}]}",
            "{\"delete\": \"v\", \"deletes\": [{\"q\": {}, \"limit\": 0}]}",
            "{\"findAndModify\": \"v\", \"remove\": true}",
            "{\"createIndexes\": \"v\", \"indexes\": [{\"key\": {\"a\": 1}, \"name\": \"i\"}]}",
            "{\"find\": \"v\", \"collation\": {\"locale\": \"fr\"}}",
            "{\"find\": \"v\", \"sort\": {\"$natural\": 1}}",
            "{\"find\": \"v\", \"projection\": {\"a\": {\"$elemMatch\": {\"b\": 1}}}}",
            "{\"find\": \"v\", \"hint\": {\"_id\": 1}}",
            "{\"collMod\": \"v\", \"viewOn\": \"d\", \"pipeline\": []}",
            "{\"collMod\": \"v\", \"viewOn\": \"w\", \"pipeline\": []}",
            "{\"listIndexes\": \"v\"}",
            "{\"validate\": \"v\"}",
            "{\"convertToCapped\": \"v\", \"size\": 4096}",
        ]).to_owned(), false),
        6 => (format!("{{\"find\": \"{view}\", \"filter\": {filter}, \"sort\": {}, \"limit\": {}}}", projection::sort(random), random.below(6)), false),
        7 => (format!("{{\"find\": \"{view}\", \"filter\": {filter}, \"projection\": {}, \"sort\": {{\"_id\": 1}}}}", random.pick(&["{\"a\": 1}", "{\"_id\": 0, \"b\": 1}", "{\"y\": \"$a\"}", "{\"a.b\": 0}"])), false),
        _ => (format!("{{\"find\": \"{view}\", \"filter\": {filter}}}"), true),
    }
}

/// A write to or a read of a small capped collection.
pub(super) fn capped(random: &mut Random) -> String {
    let id = random.below(40);
    match random.below(12) {
        0..6 => format!(
            "{{\"insert\": \"c\", \"documents\": [{}], \"ordered\": {}}}",
            random.list(1, 4, |random| {
                let id = random.below(40);
                document(random, id)
            }),
            random.pick(&["true", "false"])
        ),
        6 => format!(
            "{{\"update\": \"c\", \"updates\": [{{\"q\": {{\"_id\": {id}}}, \"u\": {{\"$set\": {{\"a\": {}}}}}, \"upsert\": {}}}]}}",
            scalar(random),
            random.pick(&["true", "false"])
        ),
        7 => format!(
            "{{\"delete\": \"c\", \"deletes\": [{{\"q\": {{\"_id\": {{\"$lt\": {id}}}}}, \"limit\": {}}}]}}",
            random.pick(&["0", "1"])
        ),
        8 => "{\"find\": \"c\", \"sort\": {\"$natural\": -1}, \"limit\": 3}".to_owned(),
        9 => format!("{{\"find\": \"c\", \"filter\": {}}}", filter(random, 0)),
        10 => random
            .pick(&[
                "{\"collMod\": \"c\", \"cappedMax\": 4}",
                "{\"collMod\": \"c\", \"cappedSize\": 4096}",
                "{\"convertToCapped\": \"c\", \"size\": 4096}",
                "{\"collMod\": \"c\", \"cappedMax\": 100}",
            ])
            .to_owned(),
        _ => "{\"find\": \"c\"}".to_owned(),
    }
}

/// A read with a hint, bounds or a collation of its own.
pub(super) fn hinted(random: &mut Random) -> (String, bool) {
    let hint = random.pick(&[
        "{\"a\": 1}",
        "{\"b\": -1}",
        "\"i0\"",
        "\"i1\"",
        "\"_id_\"",
        "{\"_id\": 1}",
        "{\"$natural\": 1}",
        "{\"$natural\": -1}",
        "\"nope\"",
        "{\"a\": 1, \"b\": 1}",
        "{\"c\": 1}",
        "\"i2\"",
    ]);
    let filter = filter(random, 1);
    let mut options = String::new();
    if random.chance(30) {
        options.push_str(", \"collation\": {\"locale\": \"en\", \"strength\": ");
        options.push_str(random.pick(&["1", "2", "3"]));
        options.push('}');
    }
    match random.below(8) {
        0 => (
            format!(
                "{{\"count\": \"c\", \"query\": {filter}, \"hint\": {hint}, \"limit\": {}{options}}}",
                random.pick(&["0", "3", "-2"])
            ),
            false,
        ),
        1 => (
            format!(
                "{{\"distinct\": \"c\", \"key\": \"{}\", \"query\": {filter}{options}}}",
                random.pick(&["a", "b", "_id", "a.b", "c"])
            ),
            false,
        ),
        2 => (
            format!(
                "{{\"aggregate\": \"c\", \"pipeline\": [{{\"$match\": {filter}}}], \"cursor\": {{}}, \"hint\": {hint}{options}}}"
            ),
            true,
        ),
        3 => {
            let (low, high) = (scalar(random), scalar(random));
            let bounds = random.pick(&["both", "min", "max"]);
            let mut text = String::new();
            if bounds != "max" {
                text.push_str(&format!(", \"min\": {{\"a\": {low}}}"));
            }
            if bounds != "min" {
                text.push_str(&format!(", \"max\": {{\"a\": {high}}}"));
            }
            (
                format!("{{\"find\": \"c\", \"filter\": {filter}, \"hint\": {{\"a\": 1}}{text}}}"),
                true,
            )
        }
        4 => (
            format!(
                "{{\"find\": \"c\", \"filter\": {filter}, \"hint\": {hint}, \"sort\": {}{options}}}",
                projection::sort(random)
            ),
            false,
        ),
        _ => (
            format!("{{\"find\": \"c\", \"filter\": {filter}, \"hint\": {hint}{options}}}"),
            true,
        ),
    }
}
