//! Namespaces in other databases that a command names.
//!
//! Most commands name collections of their own database only. Where one can name another's (`$out`, `$merge`, `$lookup` and
//! `mapReduce` with `db`, `renameCollection`, ...) is said by the same tables that drive the rewriting: whoever passes a
//! command on looks here first, at all of it.

use argon_mql::value::Element;
use argon_mql::{Doc, ValueRef};

use crate::stage;
use crate::table::{self, Row, Spot};

/// A namespace in another database than the command's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'c> {
    /// The database.
    pub database: &'c [u8],
    /// The collection; empty where the command does not name one in a way that MongoDB understands.
    pub collection: &'c [u8],
}

/// Whether the command called `name` is one that can name another database.
#[must_use]
pub fn may_reach_elsewhere(name: &str) -> bool {
    table::find(name.as_bytes()).is_some_and(|row| {
        reaches(row.subject) || row.fields.iter().any(|(_, spot)| reaches(*spot))
    })
}

/// The namespaces in databases other than `own` that stand in the command `body`, in the order in which they stand there.
///
/// `body` has been validated.
#[must_use]
pub fn elsewhere<'c>(own: &[u8], body: &'c [u8]) -> Vec<Place<'c>> {
    let mut places = Vec::new();
    in_command(Doc::new(body), &mut places);
    places.retain(|place| place.database != own);
    places
}

fn reaches(spot: Spot) -> bool {
    match spot {
        Spot::Place
        | Spot::Namespace
        | Spot::Pipeline
        | Spot::ViewPipeline
        | Spot::Pipelines
        | Spot::ReduceOut
        | Spot::Command => true,
        Spot::Fields(fields) | Spot::NameOrFields(fields) => {
            fields.iter().any(|(_, spot)| reaches(*spot))
        }
        Spot::Nothing
        | Spot::Collection
        | Spot::CursorCollection
        | Spot::Indexes
        | Spot::Refused => false,
    }
}

fn in_command<'c>(command: Doc<'c>, places: &mut Vec<Place<'c>>) {
    let Some(row) = command
        .iter()
        .next()
        .and_then(|first| table::find(first.key()))
    else {
        return;
    };
    for (at, element) in command.iter().enumerate() {
        if let Some(spot) = spot_of(row, at, &element) {
            in_spot(spot, &element, places);
        }
    }
}

fn spot_of(row: &Row, at: usize, element: &Element<'_>) -> Option<Spot> {
    if at == 0 {
        return Some(row.subject);
    }
    table::field(row.fields, element.key())
}

fn in_spot<'c>(spot: Spot, element: &Element<'c>, places: &mut Vec<Place<'c>>) {
    match (spot, element.value()) {
        (Spot::Namespace, ValueRef::String(namespace)) => {
            let namespace: &'c [u8] = namespace;
            let dot = namespace.iter().position(|byte| *byte == b'.');
            if let Some((database, collection)) =
                dot.and_then(|dot| namespace.split_at_checked(dot))
            {
                places.push(Place {
                    database,
                    collection: collection.get(1..).unwrap_or_default(),
                });
            }
        }
        (Spot::Place, ValueRef::Document(place)) => {
            in_fields(place, &[b"coll", b"collection"], places);
        }
        (Spot::ReduceOut, ValueRef::Document(place)) => {
            in_fields(place, &[b"replace", b"merge", b"reduce", b"normal"], places);
        }
        (Spot::Pipeline | Spot::ViewPipeline, ValueRef::Array(stages)) => {
            for stage in stages.iter() {
                let ValueRef::Document(stage) = stage.value() else {
                    continue;
                };
                for operand in stage.iter() {
                    if let Some(spot) = stage::find(operand.key()) {
                        in_spot(spot, &operand, places);
                    }
                }
            }
        }
        (Spot::Pipelines, ValueRef::Document(pipelines)) => {
            for pipeline in pipelines.iter() {
                in_spot(Spot::Pipeline, &pipeline, places);
            }
        }
        (Spot::Fields(fields) | Spot::NameOrFields(fields), ValueRef::Document(doc)) => {
            for element in doc.iter() {
                if let Some(spot) = table::field(fields, element.key()) {
                    in_spot(spot, &element, places);
                }
            }
        }
        (Spot::Command, ValueRef::Document(command)) => in_command(command, places),
        _ => {}
    }
}

/// The namespace in a document that has the database as `db`, and the collection in one of the fields `collections`.
fn in_fields<'c>(place: Doc<'c>, collections: &[&[u8]], places: &mut Vec<Place<'c>>) {
    let mut database = None;
    let mut collection = &b""[..];
    for element in place.iter() {
        let ValueRef::String(text) = element.value() else {
            continue;
        };
        let key: &[u8] = element.key();
        if key == b"db" {
            database = Some(text);
        } else if collections.contains(&key) {
            collection = text;
        }
    }
    if let Some(database) = database {
        places.push(Place {
            database,
            collection,
        });
    }
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;
    use bstr::ByteSlice;

    use super::*;

    fn check(command: &bson::RawDocument, expected: &[&str]) {
        let found: Vec<String> = elsewhere(b"shop", command.as_bytes())
            .iter()
            .map(|place| {
                format!(
                    "{}.{}",
                    place.database.as_bstr(),
                    place.collection.as_bstr()
                )
            })
            .collect();
        assert_eq!(found, expected, "{command:?}");
        let name = command.iter().next().unwrap().unwrap().0;
        assert!(may_reach_elsewhere(name.as_str()), "{name}");
    }

    #[test]
    fn every_form_is_found() {
        let aggregate = |stage: bson::RawDocumentBuf| rawdoc! {"aggregate": "c", "pipeline": [stage], "cursor": {}};
        check(
            &aggregate(rawdoc! {"$out": {"db": "x", "coll": "y"}}),
            &["x.y"],
        );
        check(
            &aggregate(rawdoc! {"$out": {"db": "shop", "coll": "y"}}),
            &[],
        );
        check(&aggregate(rawdoc! {"$out": "y"}), &[]);
        check(
            &aggregate(rawdoc! {"$merge": {"into": {"db": "x", "coll": "y.z"}}}),
            &["x.y.z"],
        );
        check(&aggregate(rawdoc! {"$merge": "x.y"}), &[]);
        check(
            &aggregate(rawdoc! {"$facet": {"f": [{"$lookup": {
                "from": {"db": "local", "coll": "oplog.rs"},
                "pipeline": [{"$graphLookup": {"from": {"db": "d", "coll": "e"}}}],
            }}]}}),
            &["local.oplog.rs", "d.e"],
        );
        check(
            &rawdoc! {"explain": aggregate(rawdoc! {"$out": {"coll": "y", "db": "x"}}), "verbosity": "queryPlanner"},
            &["x.y"],
        );
        check(
            &rawdoc! {"mapReduce": "c", "map": "", "reduce": "", "out": {"merge": "y", "db": "x"}},
            &["x.y"],
        );
        check(
            &rawdoc! {"renameCollection": "shop.c", "to": "x.y"},
            &["x.y"],
        );
        check(
            &rawdoc! {"create": "v", "viewOn": "c", "pipeline": [{"$lookup": {"from": {"db": "x", "coll": "y"}}}]},
            &["x.y"],
        );
    }

    #[test]
    fn commands_that_stay_at_home_are_not_looked_at() {
        for name in [
            "find",
            "insert",
            "update",
            "delete",
            "getMore",
            "count",
            "noSuchCommand",
        ] {
            assert!(!may_reach_elsewhere(name), "{name}");
        }
    }
}
