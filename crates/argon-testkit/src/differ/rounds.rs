//! What one round of each area does.

use super::area::Script;
use super::bulk;
use super::collation;
use super::collection;
use super::document::{self, DOCUMENTS, path, scalar, value};
use super::elements;
use super::expression::{Kind, expression};
use super::filter::{self, filter};
use super::gather;
use super::join;
use super::pattern;
use super::projection;
use super::random::Random;
use super::stage;
use super::time;
use super::update;
use super::wide;
use super::window;

/// Cases of a round, where they only read.
const READS: usize = 30;

/// Asks for the value of an expression for one document at a time, so that one failure does not hide the
/// others' answers.
fn ask_value(random: &mut Random, script: &mut Script, what: &str) {
    let id = random.below(DOCUMENTS);
    script.ask(
        format!("{{\"aggregate\": \"c\", \"pipeline\": [{{\"$match\": {{\"_id\": {id}}}}}, {{\"$project\": {{\"r\": {what}}}}}], \"cursor\": {{\"batchSize\": 1000}}}}"),
        false,
    );
}

pub(super) fn filters(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    for _ in 0..READS {
        script.ask(
            format!(
                "{{\"find\": \"c\", \"filter\": {}, \"projection\": {{\"_id\": 1}}}}",
                filter(random, 2)
            ),
            false,
        );
    }
}

pub(super) fn count(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    for _ in 0..READS {
        let (skip, limit) = (random.below(3), random.below(6));
        script.ask(
            format!(
                "{{\"count\": \"c\", \"query\": {}, \"skip\": {skip}, \"limit\": {limit}}}",
                filter(random, 1)
            ),
            false,
        );
    }
}

pub(super) fn distinct(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    for _ in 0..READS {
        let filter = if random.chance(50) {
            "{}".to_owned()
        } else {
            filter(random, 1)
        };
        script.ask(
            format!(
                "{{\"distinct\": \"c\", \"key\": \"{}\", \"query\": {filter}}}",
                path(random)
            ),
            false,
        );
    }
}

pub(super) fn projections(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    for _ in 0..READS {
        let projection = projection::projection(random);
        script.ask(
            if random.chance(70) {
                format!("{{\"find\": \"c\", \"projection\": {projection}}}")
            } else {
                format!("{{\"aggregate\": \"c\", \"pipeline\": [{{\"$project\": {projection}}}], \"cursor\": {{\"batchSize\": 1000}}}}")
            },
            false,
        );
    }
}

pub(super) fn sorts(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    for _ in 0..READS {
        let sort = projection::sort(random);
        let (skip, limit) = (random.below(3), random.below(9));
        script.ask(format!("{{\"find\": \"c\", \"sort\": {sort}, \"skip\": {skip}, \"limit\": {limit}, \"projection\": {{\"_id\": 1}}}}"), false);
    }
}

pub(super) fn expressions(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::typed_document);
    for _ in 0..READS {
        let what = expression(random, Kind::Any, 3);
        ask_value(random, script, &what);
    }
}

pub(super) fn aggregate(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::typed_document);
    script.insert("d", random, document::typed_document);
    for _ in 0..READS {
        let (pipeline, unordered) = stage::pipeline(random);
        script.ask(format!("{{\"aggregate\": \"c\", \"pipeline\": {pipeline}, \"cursor\": {{\"batchSize\": 1000}}}}"), unordered);
    }
}

pub(super) fn collations(random: &mut Random, script: &mut Script) {
    script.insert("c", random, collation::document);
    script.insert("d", random, collation::document);
    if random.chance(50) {
        let (field, own) = (random.pick(&["s", "v", "l"]), collation::collation(random));
        script.setup(format!(
            "{{\"createIndexes\": \"c\", \"indexes\": [{{\"key\": {{\"{field}\": 1}}, \"name\": \"i\", \"collation\": {own}}}]}}"
        ));
    }
    // A few of them over and over, so that an index often fits.
    let few: Vec<String> = (0..3).map(|_| collation::collation(random)).collect();
    for number in 0..READS {
        let own = &few[number % few.len()];
        let filter = collation::filter(random);
        let (command, unordered) = match random.below(5) {
            0 => (
                format!(
                    "\"distinct\": \"c\", \"key\": \"{}\", \"query\": {filter}",
                    random.pick(&["s", "l", "o.s"])
                ),
                false,
            ),
            1 => (format!("\"count\": \"c\", \"query\": {filter}"), false),
            2 => {
                let field = random.pick(&["s", "v", "l", "o.s"]);
                (
                    format!(
                        "\"find\": \"c\", \"filter\": {filter}, \"sort\": {{\"{field}\": {}, \"_id\": 1}}",
                        random.pick(&["1", "-1"])
                    ),
                    false,
                )
            }
            3 => (format!("\"find\": \"c\", \"filter\": {filter}"), true),
            _ => {
                let (stage, unordered) = collation::stage(random);
                (
                    format!(
                        "\"aggregate\": \"c\", \"pipeline\": [{{\"$sort\": {{\"_id\": 1}}}}, {stage}], \"cursor\": {{}}"
                    ),
                    unordered,
                )
            }
        };
        script.ask(format!("{{{command}, \"collation\": {own}}}"), unordered);
    }
}

pub(super) fn densify(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::typed_document);
    for _ in 0..READS {
        let (stages, unordered) = gather::densify(random);
        script.ask(
            format!("{{\"aggregate\": \"c\", \"pipeline\": [{stages}], \"cursor\": {{}}}}"),
            unordered,
        );
    }
}

/// Results in small batches.
pub(super) fn cursors(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::typed_document);
    script.insert("d", random, document::typed_document);
    for _ in 0..READS {
        let size = random.below(6);
        script.ask(
            if random.chance(50) {
                let (skip, limit) = (random.below(3), random.below(12));
                let sort = random.pick(&["{\"_id\": -1}", "{\"i\": 1, \"_id\": 1}", "{\"$natural\": -1}"]);
                let limit = if random.chance(10) { "-3".to_owned() } else { limit.to_string() };
                let options = random.pick(&["", "", "", ", \"singleBatch\": true", ", \"noCursorTimeout\": true", ", \"allowPartialResults\": true"]);
                format!("{{\"find\": \"c\", \"sort\": {sort}, \"skip\": {skip}, \"limit\": {limit}, \"batchSize\": {size}{options}}}")
            } else {
                let stages = random.pick(&[
                    "{\"$unwind\": \"$k\"}",
                    "{\"$unionWith\": \"d\"}",
                    "{\"$sort\": {\"n\": 1, \"_id\": 1}}",
                    "{\"$lookup\": {\"from\": \"d\", \"pipeline\": [{\"$limit\": 3}], \"as\": \"w\"}}, {\"$unwind\": \"$w\"}",
                    "{\"$skip\": 5}",
                ]);
                format!("{{\"aggregate\": \"c\", \"pipeline\": [{stages}], \"cursor\": {{\"batchSize\": {size}}}}}")
            },
            false,
        );
    }
}

/// Pipelines whose front an index may serve.
pub(super) fn indexed_aggregate(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::typed_document);
    script.insert("d", random, document::typed_document);
    for number in 0..=random.below(3) {
        let first = random.pick(&["n", "i", "s", "v", "v.a", "k", "l"]);
        let second = random.pick(&["", "", ", \"_id\": 1", ", \"o.a\": -1"]);
        script.setup(format!("{{\"createIndexes\": \"c\", \"indexes\": [{{\"key\": {{\"{first}\": {}{second}}}, \"name\": \"i{number}\"}}]}}", random.pick(&["1", "-1"])));
    }
    for _ in 0..READS {
        let (pipeline, unordered) = stage::sorted_pipeline(random);
        script.ask(format!("{{\"aggregate\": \"c\", \"pipeline\": {pipeline}, \"cursor\": {{\"batchSize\": 1000}}}}"), unordered);
    }
}

/// Pipelines that write.
pub(super) fn merges(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::typed_document);
    script.insert("d", random, document::typed_document);
    for _ in 0..8 {
        let stages = random.pick(&[
            "",
            "{\"$match\": {\"i\": {\"$gt\": 0}}}, ",
            "{\"$project\": {\"i\": 1, \"y\": \"$n\"}}, ",
            "{\"$set\": {\"_id\": {\"$add\": [\"$_id\", 7]}, \"y\": 1}}, ",
            "{\"$group\": {\"_id\": {\"$type\": \"$v\"}, \"y\": {\"$sum\": 1}}}, {\"$sort\": {\"_id\": 1}}, ",
        ]);
        let sink = gather::sink(random);
        script.ask(
            format!("{{\"aggregate\": \"c\", \"pipeline\": [{stages}{sink}], \"cursor\": {{}}}}"),
            false,
        );
        script.look("{\"find\": \"d\", \"sort\": {\"_id\": 1}}");
    }
}

/// Takes symbols, which nobody makes any more, for strings: mongod 6.0.5 neither indexes nor sorts them under a
/// collation, and refuses some bounds on them.
fn without_symbols(script: &mut Script) {
    for asked in &mut script.commands {
        asked.command = asked.command.replace("{\"$symbol\": \"a\"}", "\"a\"");
    }
}

/// Key patterns and options of an index; a failure to build it is compared as well.
fn index_of(random: &mut Random, number: usize, unique: bool, wildcard: bool) -> String {
    let fields = &["a", "b", "c", "a.b", "b.a", "c.a"];
    let first = random.pick(fields);
    let mut key = format!("\"{first}\": {}", random.pick(&["1", "-1"]));
    let second = random.pick(fields);
    if first != second && random.chance(40) {
        key.push_str(&format!(", \"{second}\": {}", random.pick(&["1", "-1"])));
    }
    let mut options = String::new();
    if unique {
        options.push_str(", \"unique\": true");
    }
    match random.below(9) {
        0 => options.push_str(", \"sparse\": true"),
        1 => options.push_str(", \"partialFilterExpression\": {\"b\": {\"$gt\": 0}}"),
        2 if !unique && wildcard => "\"$**\": 1".clone_into(&mut key),
        3 if !unique => key = format!("\"{first}\": \"hashed\""),
        4 => options.push_str(", \"collation\": {\"locale\": \"en\", \"strength\": 2}"),
        _ => {}
    }
    format!(
        "{{\"createIndexes\": \"c\", \"indexes\": [{{\"key\": {{{key}}}, \"name\": \"i{number}\"{options}}}]}}"
    )
}

pub(super) fn index(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    for number in 0..=random.below(3) {
        script.setup(index_of(random, number, false, true));
    }
    let wildcard = script
        .commands
        .iter()
        .any(|asked| asked.command.contains("$**"));
    for _ in 0..READS {
        let mut filter = filter(random, 1);
        // mongod 6.0.5 loses documents without the field when it answers {$lte: [<field>, …]}
        // or {"a.0": {$gte: null}} with a wildcard index; Argon does not.
        let edge = ["$gte\": null", "$lte\": null"];
        if wildcard && (filter.contains("$expr") || edge.iter().any(|edge| filter.contains(edge))) {
            filter = "{\"a\": {\"$gte\": 1}}".to_owned();
        }
        if random.chance(40) {
            let sort = projection::sort(random);
            script.ask(
                format!("{{\"find\": \"c\", \"filter\": {filter}, \"sort\": {sort}}}"),
                false,
            );
        } else {
            script.ask(format!("{{\"find\": \"c\", \"filter\": {filter}}}"), true);
        }
    }
    without_symbols(script);
}

pub(super) fn unique(random: &mut Random, script: &mut Script) {
    script.setup("{\"create\": \"c\"}".to_owned());
    script.setup(index_of(random, 0, true, false));
    for id in 0..DOCUMENTS {
        script.ask(
            format!(
                "{{\"insert\": \"c\", \"documents\": [{}]}}",
                document::document(random, id)
            ),
            false,
        );
    }
    for _ in 0..4 {
        let id = random.below(DOCUMENTS);
        let (path, value) = (random.pick(&["a", "b", "a.b", "b.a"]), value(random, 1));
        script.ask(format!("{{\"update\": \"c\", \"updates\": [{{\"q\": {{\"_id\": {id}}}, \"u\": {{\"$set\": {{\"{path}\": {value}}}}}}}]}}"), false);
    }
    script.contents();
    without_symbols(script);
}

pub(super) fn updates(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    // Each document gets a statement of its own: many cases, one command.
    let mut statements = Vec::new();
    for id in 0..DOCUMENTS {
        let more = if random.chance(40) {
            let condition = filter::condition(random, 0);
            format!(", \"{}\": {condition}", random.pick(&["a", "b", "a.b"]))
        } else {
            String::new()
        };
        statements.push(format!(
            "{{\"q\": {{\"_id\": {id}{more}}}, {}}}",
            update::update(random)
        ));
    }
    for id in 100..103 {
        let more = filter::equality(random);
        statements.push(format!(
            "{{\"q\": {{\"$and\": [{{\"_id\": {id}}}, {more}]}}, {}, \"upsert\": true}}",
            update::update(random)
        ));
    }
    script.cases += statements.len() - 1;
    script.ask(
        format!(
            "{{\"update\": \"c\", \"updates\": [{}], \"ordered\": false}}",
            statements.join(", ")
        ),
        false,
    );
    script.contents();
}

pub(super) fn find_and_modify(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    for _ in 0..12 {
        let mut parts = vec![format!(
            "\"findAndModify\": \"c\", \"query\": {}",
            filter(random, 1)
        )];
        parts.push(format!("\"sort\": {}", projection::sort(random)));
        if random.chance(20) {
            parts.push("\"remove\": true".to_owned());
        } else {
            let change = update::update(random).replacen("\"u\":", "\"update\":", 1);
            parts.push(change);
            parts.push(format!("\"new\": {}", random.pick(&["true", "false"])));
        }
        if random.chance(30) {
            parts.push(format!("\"fields\": {}", projection::projection(random)));
        }
        script.ask(format!("{{{}}}", parts.join(", ")), false);
    }
    // One more write shows that a failed one left nothing behind.
    script.ask(format!("{{\"update\": \"c\", \"updates\": [{{\"q\": {{}}, \"u\": {{\"$set\": {{\"z\": {}}}}}, \"multi\": true}}]}}", scalar(random)), false);
    script.contents();
}

/// Updates of elements, a statement for each document.
pub(super) fn array_filters(random: &mut Random, script: &mut Script) {
    script.insert("c", random, elements::document);
    let statements: Vec<String> = (0..DOCUMENTS)
        .map(|id| {
            let more = if random.chance(60) {
                format!(", {}", elements::query(random))
            } else {
                String::new()
            };
            format!(
                "{{\"q\": {{\"_id\": {id}{more}}}, {}}}",
                elements::update(random)
            )
        })
        .collect();
    script.cases += statements.len() - 1;
    script.ask(
        format!(
            "{{\"update\": \"c\", \"updates\": [{}], \"ordered\": false}}",
            statements.join(", ")
        ),
        false,
    );
    script.contents();
}

pub(super) fn bulks(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    if random.chance(50) {
        let unique = random.chance(60);
        script.setup(index_of(random, 0, unique, false));
    }
    for _ in 0..12 {
        let command = match random.below(8) {
            0..3 => bulk::insert(random),
            3 | 4 => bulk::update(random),
            5 => bulk::delete(random),
            _ => bulk::find_and_modify(random),
        };
        script.ask(command, false);
    }
    script.contents();
    without_symbols(script);
}

pub(super) fn capped(random: &mut Random, script: &mut Script) {
    let max = random.pick(&["", ", \"max\": 5", ", \"max\": 1", ", \"max\": 12"]);
    script.setup(format!(
        "{{\"create\": \"c\", \"capped\": true, \"size\": 1000000{max}}}"
    ));
    for _ in 0..READS {
        script.ask(collection::capped(random), false);
    }
    script.contents();
}

pub(super) fn collections(random: &mut Random, script: &mut Script) {
    for _ in 0..READS {
        let command = collection::command(random);
        let unordered = command.contains("listCollections");
        script.ask(command, unordered);
    }
    script.contents();
}

pub(super) fn conversions(random: &mut Random, script: &mut Script) {
    script.insert("c", random, wide::document);
    for _ in 0..READS {
        let what = wide::conversion(random);
        ask_value(random, script, &what);
    }
}

pub(super) fn dates(random: &mut Random, script: &mut Script) {
    script.insert("c", random, time::document);
    for _ in 0..READS {
        let what = time::expression(random);
        ask_value(random, script, &what);
    }
}

pub(super) fn hints(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    script.setup("{\"createIndexes\": \"c\", \"indexes\": [{\"key\": {\"a\": 1}, \"name\": \"i0\"}, {\"key\": {\"b\": -1}, \"name\": \"i1\"}]}".to_owned());
    if random.chance(70) {
        script.setup(index_of(random, 2, false, false));
    }
    for _ in 0..READS {
        let (command, unordered) = collection::hinted(random);
        script.ask(command, unordered);
    }
    without_symbols(script);
}

/// Writes under indexes, and reads between them.
pub(super) fn index_writes(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    for number in 0..=random.below(3) {
        let unique = random.chance(20);
        script.setup(index_of(random, number, unique, false));
    }
    for _ in 0..READS {
        if random.chance(50) {
            script.ask(bulk::write(random), false);
            continue;
        }
        let field = random.pick(&["a", "b", "a.b", "b.a"]);
        let value = value(random, 1);
        let condition = match random.below(4) {
            0 => value,
            1 => format!("{{\"$in\": [{value}, 1, \"a\"]}}"),
            _ => format!("{{\"{}\": {value}}}", random.pick(&["$gt", "$lt", "$eq"])),
        };
        script.ask(
            format!("{{\"find\": \"c\", \"filter\": {{\"{field}\": {condition}}}}}"),
            true,
        );
    }
    script.contents();
    without_symbols(script);
}

/// Without indexes on the joined fields: what is found comes in their order then, which nobody promises.
pub(super) fn joins(random: &mut Random, script: &mut Script) {
    for name in ["c", "d", "e"] {
        script.insert(name, random, document::typed_document);
    }
    for _ in 0..READS {
        let pipeline = join::pipeline(random);
        script.ask(format!("{{\"aggregate\": \"c\", \"pipeline\": {pipeline}, \"cursor\": {{\"batchSize\": 1000}}}}"), false);
    }
}

pub(super) fn patterns(random: &mut Random, script: &mut Script) {
    script.insert("c", random, pattern::document);
    if random.chance(40) {
        script.setup(
            "{\"createIndexes\": \"c\", \"indexes\": [{\"key\": {\"s\": 1}, \"name\": \"i0\"}]}"
                .to_owned(),
        );
    }
    for _ in 0..READS {
        if random.chance(50) {
            let what = pattern::expression(random);
            ask_value(random, script, &what);
        } else {
            script.ask(
                format!(
                    "{{\"find\": \"c\", \"filter\": {}, \"projection\": {{\"_id\": 1}}}}",
                    pattern::filter(random)
                ),
                true,
            );
        }
    }
}

pub(super) fn types(random: &mut Random, script: &mut Script) {
    script.insert("c", random, wide::document);
    for _ in 0..READS {
        let what = wide::expression(random);
        ask_value(random, script, &what);
    }
}

pub(super) fn validators(random: &mut Random, script: &mut Script) {
    if random.chance(50) {
        script.insert("c", random, document::document);
        script.setup(format!(
            "{{\"collMod\": \"c\", {}}}",
            bulk::validator(random)
        ));
    } else {
        script.setup(format!(
            "{{\"create\": \"c\", {}}}",
            bulk::validator(random)
        ));
    }
    for _ in 0..20 {
        script.ask(bulk::write(random), false);
    }
    script.contents();
}

pub(super) fn views(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    script.insert("d", random, document::document);
    script.ask(
        format!(
            "{{\"create\": \"v\", \"viewOn\": \"c\", \"pipeline\": {}}}",
            collection::view_pipeline(random)
        ),
        false,
    );
    let collation = random.pick(&[
        "",
        "",
        "",
        ", \"collation\": {\"locale\": \"en\", \"strength\": 2}",
    ]);
    script.ask(
        format!(
            "{{\"create\": \"w\", \"viewOn\": \"v\", \"pipeline\": {}{collation}}}",
            collection::view_pipeline(random)
        ),
        false,
    );
    for _ in 0..READS {
        let (command, unordered) = collection::view_read(random);
        script.ask(command, unordered);
    }
    without_symbols(script);
}

pub(super) fn windows(random: &mut Random, script: &mut Script) {
    script.insert("c", random, window::document);
    for _ in 0..READS {
        let pipeline = window::pipeline(random);
        script.ask(format!("{{\"aggregate\": \"c\", \"pipeline\": {pipeline}, \"cursor\": {{\"batchSize\": 1000}}}}"), false);
    }
}
