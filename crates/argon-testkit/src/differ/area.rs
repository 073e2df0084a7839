//! The areas: what one round of each does.

use super::collation;
use super::document::{self, DOCUMENTS, path, scalar, value};
use super::expression::{Kind, expression};
use super::filter::{self, filter};
use super::gather;
use super::projection;
use super::random::Random;
use super::stage;
use super::update;

/// Cases of a round, where they only read.
const READS: usize = 30;

/// Something to compare over and over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) name: &'static str,
    /// Cases in the fixed set; 0 for areas with an open difference.
    pub(super) cases: usize,
    /// Why the area is not in the fixed set.
    pub(super) open: &'static str,
    round: fn(&mut Random, &mut Script),
}

/// Documents and what is asked about them, as extended JSON.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) commands: Vec<Asked>,
    /// How many cases the commands are.
    pub(super) cases: usize,
}

/// A command, and how to read the answer.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) command: String,
    /// Whether the documents' order is open.
    pub(super) unordered: bool,
    /// Whether the command belongs to what the cases start from.
    pub(super) setup: bool,
}

pub(super) const AREAS: &[Area] = &[
    Area {
        name: "aggregate",
        cases: 3_000,
        open: "",
        round: aggregate,
    },
    Area {
        name: "collation",
        cases: 1_500,
        open: "",
        round: collations,
    },
    Area {
        name: "count",
        cases: 1_000,
        open: "",
        round: count,
    },
    Area {
        name: "cursor",
        cases: 1_000,
        open: "",
        round: cursors,
    },
    Area {
        name: "densify",
        cases: 0,
        open: "the first value of a full range with a fractional step, bounds without a width, months before 1970",
        round: densify,
    },
    Area {
        name: "distinct",
        cases: 1_000,
        open: "",
        round: distinct,
    },
    Area {
        name: "expression",
        cases: 4_000,
        open: "",
        round: expressions,
    },
    Area {
        name: "filter",
        cases: 5_000,
        open: "",
        round: filters,
    },
    Area {
        name: "findAndModify",
        cases: 1_000,
        open: "",
        round: find_and_modify,
    },
    Area {
        name: "index",
        cases: 3_000,
        open: "",
        round: index,
    },
    Area {
        name: "indexedAggregate",
        cases: 1_500,
        open: "",
        round: indexed_aggregate,
    },
    Area {
        name: "merge",
        cases: 1_000,
        open: "",
        round: merges,
    },
    Area {
        name: "projection",
        cases: 2_000,
        open: "",
        round: projections,
    },
    Area {
        name: "sort",
        cases: 1_500,
        open: "",
        round: sorts,
    },
    Area {
        name: "unique",
        cases: 1_000,
        open: "",
        round: unique,
    },
    Area {
        name: "update",
        cases: 4_000,
        open: "",
        round: updates,
    },
];

impl Area {
    /// Makes round `index` of this area from `seed`.
    pub(super) fn round(&self, seed: u64, index: u64) -> Script {
        let mut script = Script::default();
        (self.round)(&mut Random::part(seed, self.name, index), &mut script);
        script
    }
}

impl Script {
    fn setup(&mut self, command: String) {
        self.commands.push(Asked {
            command,
            unordered: false,
            setup: true,
        });
    }

    fn ask(&mut self, command: String, unordered: bool) {
        self.commands.push(Asked {
            command,
            unordered,
            setup: false,
        });
        self.cases += 1;
    }

    fn insert(
        &mut self,
        collection: &str,
        random: &mut Random,
        make: fn(&mut Random, usize) -> String,
    ) {
        let documents: Vec<String> = (0..DOCUMENTS).map(|id| make(random, id)).collect();
        let documents = documents.join(", ");
        self.setup(format!(
            "{{\"insert\": \"{collection}\", \"documents\": [{documents}], \"ordered\": false}}"
        ));
    }

    /// Asks for the contents of the collection, which is no case of its own.
    fn contents(&mut self) {
        let command = "{\"find\": \"c\", \"hint\": {\"$natural\": 1}}".to_owned();
        self.commands.push(Asked {
            command,
            unordered: false,
            setup: false,
        });
    }
}

fn filters(random: &mut Random, script: &mut Script) {
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

fn count(random: &mut Random, script: &mut Script) {
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

fn distinct(random: &mut Random, script: &mut Script) {
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

fn projections(random: &mut Random, script: &mut Script) {
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

fn sorts(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    for _ in 0..READS {
        let sort = projection::sort(random);
        let (skip, limit) = (random.below(3), random.below(9));
        script.ask(format!("{{\"find\": \"c\", \"sort\": {sort}, \"skip\": {skip}, \"limit\": {limit}, \"projection\": {{\"_id\": 1}}}}"), false);
    }
}

fn expressions(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::typed_document);
    for _ in 0..READS {
        // One document at a time, so that one failure does not hide the others' answers.
        let id = random.below(DOCUMENTS);
        let what = expression(random, Kind::Any, 3);
        script.ask(
            format!("{{\"aggregate\": \"c\", \"pipeline\": [{{\"$match\": {{\"_id\": {id}}}}}, {{\"$project\": {{\"r\": {what}}}}}], \"cursor\": {{\"batchSize\": 1000}}}}"),
            false,
        );
    }
}

fn aggregate(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::typed_document);
    script.insert("d", random, document::typed_document);
    for _ in 0..READS {
        let (pipeline, unordered) = stage::pipeline(random);
        script.ask(format!("{{\"aggregate\": \"c\", \"pipeline\": {pipeline}, \"cursor\": {{\"batchSize\": 1000}}}}"), unordered);
    }
}

fn collations(random: &mut Random, script: &mut Script) {
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

fn densify(random: &mut Random, script: &mut Script) {
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
fn cursors(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::typed_document);
    script.insert("d", random, document::typed_document);
    for _ in 0..READS {
        let size = random.below(6);
        script.ask(
            if random.chance(50) {
                let (skip, limit) = (random.below(3), random.below(12));
                let sort = random.pick(&["{\"_id\": -1}", "{\"i\": 1, \"_id\": 1}", "{\"$natural\": -1}"]);
                format!("{{\"find\": \"c\", \"sort\": {sort}, \"skip\": {skip}, \"limit\": {limit}, \"batchSize\": {size}}}")
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
fn indexed_aggregate(random: &mut Random, script: &mut Script) {
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
fn merges(random: &mut Random, script: &mut Script) {
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
        script.commands.push(Asked {
            command: "{\"find\": \"d\", \"sort\": {\"_id\": 1}}".to_owned(),
            unordered: false,
            setup: false,
        });
    }
}

/// Key patterns and options of an index; a failure to build it is compared as well.
fn index_of(random: &mut Random, number: usize, unique: bool) -> String {
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
    match random.below(8) {
        0 => options.push_str(", \"sparse\": true"),
        1 => options.push_str(", \"partialFilterExpression\": {\"b\": {\"$gt\": 0}}"),
        2 if !unique => "\"$**\": 1".clone_into(&mut key),
        3 if !unique => key = format!("\"{first}\": \"hashed\""),
        _ => {}
    }
    format!(
        "{{\"createIndexes\": \"c\", \"indexes\": [{{\"key\": {{{key}}}, \"name\": \"i{number}\"{options}}}]}}"
    )
}

fn index(random: &mut Random, script: &mut Script) {
    script.insert("c", random, document::document);
    for number in 0..=random.below(3) {
        script.setup(index_of(random, number, false));
    }
    let wildcard = script
        .commands
        .iter()
        .any(|asked| asked.command.contains("$**"));
    for _ in 0..READS {
        let mut filter = filter(random, 1);
        // mongod 6.0.5 loses documents without the field when it answers {$lte: [<field>, …]}
        // with a wildcard index; Argon does not.
        if wildcard && filter.contains("$expr") {
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
}

fn unique(random: &mut Random, script: &mut Script) {
    script.setup("{\"create\": \"c\"}".to_owned());
    script.setup(index_of(random, 0, true));
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
}

fn updates(random: &mut Random, script: &mut Script) {
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

fn find_and_modify(random: &mut Random, script: &mut Script) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::json;

    #[test]
    fn areas_are_sorted() {
        assert!(AREAS.is_sorted_by_key(|area| area.name));
    }

    #[test]
    fn rounds_are_documents() {
        for area in AREAS {
            assert!((area.cases == 0) != area.open.is_empty(), "{}", area.name);
            for index in 0..40 {
                for asked in area.round(1, index).commands {
                    let text = &asked.command;
                    assert!(json::parse_document(text).is_ok(), "{}: {text}", area.name);
                }
            }
        }
    }
}
