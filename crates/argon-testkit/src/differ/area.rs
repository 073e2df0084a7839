//! The areas: what one round of each does.

use super::document::DOCUMENTS;
use super::random::Random;
use super::rounds;

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
        round: rounds::aggregate,
    },
    Area {
        name: "arrayFilters",
        cases: 300,
        open: "",
        round: rounds::array_filters,
    },
    Area {
        name: "bulk",
        cases: 300,
        open: "",
        round: rounds::bulks,
    },
    Area {
        name: "capped",
        cases: 300,
        open: "",
        round: rounds::capped,
    },
    Area {
        name: "collation",
        cases: 1_500,
        open: "",
        round: rounds::collations,
    },
    Area {
        name: "collections",
        cases: 300,
        open: "",
        round: rounds::collections,
    },
    Area {
        name: "convert",
        cases: 300,
        open: "",
        round: rounds::conversions,
    },
    Area {
        name: "count",
        cases: 1_000,
        open: "",
        round: rounds::count,
    },
    Area {
        name: "cursor",
        cases: 1_000,
        open: "",
        round: rounds::cursors,
    },
    Area {
        name: "date",
        cases: 300,
        open: "",
        round: rounds::dates,
    },
    Area {
        name: "densify",
        cases: 0,
        open: "months from dates before 1970 with a part of a second",
        round: rounds::densify,
    },
    Area {
        name: "distinct",
        cases: 1_000,
        open: "",
        round: rounds::distinct,
    },
    Area {
        name: "expression",
        cases: 4_000,
        open: "",
        round: rounds::expressions,
    },
    Area {
        name: "filter",
        cases: 5_000,
        open: "",
        round: rounds::filters,
    },
    Area {
        name: "findAndModify",
        cases: 1_000,
        open: "",
        round: rounds::find_and_modify,
    },
    Area {
        name: "hint",
        cases: 300,
        open: "",
        round: rounds::hints,
    },
    Area {
        name: "index",
        cases: 3_000,
        open: "",
        round: rounds::index,
    },
    Area {
        name: "indexWrites",
        cases: 300,
        open: "",
        round: rounds::index_writes,
    },
    Area {
        name: "indexedAggregate",
        cases: 1_500,
        open: "",
        round: rounds::indexed_aggregate,
    },
    Area {
        name: "join",
        cases: 200,
        open: "",
        round: rounds::joins,
    },
    Area {
        name: "merge",
        cases: 1_000,
        open: "",
        round: rounds::merges,
    },
    Area {
        name: "projection",
        cases: 2_000,
        open: "",
        round: rounds::projections,
    },
    Area {
        name: "regex",
        cases: 300,
        open: "",
        round: rounds::patterns,
    },
    Area {
        name: "sort",
        cases: 1_500,
        open: "",
        round: rounds::sorts,
    },
    Area {
        name: "types",
        cases: 300,
        open: "",
        round: rounds::types,
    },
    Area {
        name: "unique",
        cases: 1_000,
        open: "",
        round: rounds::unique,
    },
    Area {
        name: "update",
        cases: 4_000,
        open: "",
        round: rounds::updates,
    },
    Area {
        name: "validator",
        cases: 300,
        open: "",
        round: rounds::validators,
    },
    Area {
        name: "view",
        cases: 300,
        open: "",
        round: rounds::views,
    },
    Area {
        name: "window",
        cases: 300,
        open: "",
        round: rounds::windows,
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
    pub(super) fn setup(&mut self, command: String) {
        self.commands.push(Asked {
            command,
            unordered: false,
            setup: true,
        });
    }

    pub(super) fn ask(&mut self, command: String, unordered: bool) {
        self.commands.push(Asked {
            command,
            unordered,
            setup: false,
        });
        self.cases += 1;
    }

    pub(super) fn insert(
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
    pub(super) fn contents(&mut self) {
        self.look("{\"find\": \"c\", \"hint\": {\"$natural\": 1}}");
    }

    /// Plays a command that is no case of its own.
    pub(super) fn look(&mut self, command: &str) {
        self.commands.push(Asked {
            command: command.to_owned(),
            unordered: false,
            setup: false,
        });
    }
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
