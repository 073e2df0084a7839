//! Collections, views and indexes as one side defines them.

use bson::{Document, doc};
use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::job;

/// A collection or view.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) is_view: bool,
    /// Arguments of `create`.
    pub(super) options: Document,
    /// The indexes beside the one on `_id`, as `createIndexes` takes them.
    pub(super) indexes: Vec<Document>,
}

/// What becomes of a collection with an option that Argon does not have.
enum Without {
    /// It is imported without the option.
    Option,
    /// Its documents mean nothing without the option.
    Collection,
}

/// Options of `create` that Argon refuses, sorted.
const UNSUPPORTED: &[(&str, Without)] = &[
    ("changeStreamPreAndPostImages", Without::Option),
    ("encryptedFields", Without::Collection),
    ("expireAfterSeconds", Without::Option),
    ("timeseries", Without::Collection),
];

/// Options that say how a mongod stores a collection, and nothing of what it is.
const STORAGE: &[&str] = &[
    "autoIndexId",
    "flags",
    "idIndex",
    "indexOptionDefaults",
    "storageEngine",
    "temp",
    "uuid",
];

/// Fields of an index that say how a mongod keeps it, and nothing of what it is.
const INDEX_STORAGE: &[&str] = &["background", "dropDups", "ns", "safe", "storageEngine", "v"];

/// The definitions of a database, a view after what it stands on, and what there is that Argon does not support.
pub(super) async fn read(side: &Endpoint) -> anyhow::Result<(Vec<Definition>, Vec<String>)> {
    let explain = |error| side.explain(error);
    let mut listed = side
        .list(doc! { "listCollections": 1 })
        .await
        .map_err(explain)?;
    if listed.is_empty() {
        let names = side.client.list_database_names().await.unwrap_or_default();
        anyhow::bail!(
            "{} at {} has no database {}; it has {}",
            side.role,
            side.hosts,
            side.database.name(),
            names.join(", ")
        );
    }
    listed.sort_by(|a, b| a.get_str("name").ok().cmp(&b.get_str("name").ok()));
    let mut definitions = Vec::new();
    let mut refused = Vec::new();
    for mut entry in listed {
        let name = entry.get_str("name").unwrap_or_default().to_owned();
        if name == job::COLLECTION {
            continue;
        }
        // Views are told of one by one; the profile and the buckets belong to the server.
        if name.starts_with("system.") && name != "system.js" {
            continue;
        }
        let mut options = match entry.remove("options") {
            Some(bson::Bson::Document(options)) => options,
            _ => Document::new(),
        };
        for option in STORAGE {
            options.remove(option);
        }
        let mut whole = true;
        for (option, without) in UNSUPPORTED {
            match (options.remove(option), without) {
                (None, _) => {}
                (Some(_), Without::Option) => refused.push(format!("{name}: the option {option}")),
                (Some(_), Without::Collection) => {
                    refused.push(format!("{name}: a collection with the option {option}"));
                    whole = false;
                }
            }
        }
        if !whole {
            continue;
        }
        let is_view = options.contains_key("viewOn");
        let mut indexes = match is_view {
            true => Vec::new(),
            false => indexes(side, &name).await?,
        };
        if options.contains_key("collation") {
            // An index that says nothing would get the collection's.
            for index in indexes
                .iter_mut()
                .filter(|index| !index.contains_key("collation"))
            {
                index.insert("collation", doc! { "locale": "simple" });
            }
        }
        definitions.push(Definition {
            name,
            is_view,
            options,
            indexes,
        });
    }
    Ok((in_order(definitions), refused))
}

/// The indexes of a collection beside the one on `_id`.
async fn indexes(side: &Endpoint, collection: &str) -> anyhow::Result<Vec<Document>> {
    let listed = side.list(doc! { "listIndexes": collection }).await;
    let mut indexes = listed.map_err(|error| side.explain(error))?;
    indexes.retain(|index| {
        let clustered = index.get_bool("clustered").unwrap_or_default();
        !clustered
            && index
                .get_document("key")
                .is_ok_and(|key| *key != doc! { "_id": 1 })
    });
    for index in &mut indexes {
        for field in INDEX_STORAGE {
            index.remove(field);
        }
    }
    Ok(indexes)
}

/// The command that makes `indexes`.
pub(super) fn create_indexes(collection: &str, indexes: &[Document]) -> Document {
    doc! { "createIndexes": collection, "indexes": indexes, "ignoreUnknownIndexOptions": true }
}

/// Collections before views, and each view after the one it stands on: they have to agree about the collation.
fn in_order(definitions: Vec<Definition>) -> Vec<Definition> {
    let (mut waiting, mut ordered): (Vec<_>, Vec<_>) = definitions
        .into_iter()
        .partition(|definition| definition.is_view);
    while !waiting.is_empty() {
        let names: Vec<String> = waiting.iter().map(|view| view.name.clone()).collect();
        let (later, ready): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|view| {
            let on = view.options.get_str("viewOn").unwrap_or_default();
            names.iter().any(|name| name == on)
        });
        if ready.is_empty() {
            // A circle, which no server allows: the target says so.
            ordered.extend(later);
            break;
        }
        ordered.extend(ready);
        waiting = later;
    }
    ordered
}

/// Says in what the definition that was made differs from the one that was to be.
pub(super) fn differences(wanted: &Definition, found: Option<&Definition>) -> Vec<String> {
    let name = &wanted.name;
    let Some(found) = found else {
        return vec![format!("{name}: it is not there any more")];
    };
    let mut differences = Vec::new();
    for (option, value) in &wanted.options {
        if found.options.get(option) != Some(value) {
            let found = found.options.get(option);
            let found = found.map_or_else(|| "missing".to_owned(), ToString::to_string);
            differences.push(format!(
                "{name}: the option {option} is {found}, in the source {value}"
            ));
        }
    }
    for index in &wanted.indexes {
        if !found.indexes.contains(index) {
            let called = index.get_str("name").unwrap_or_default();
            differences.push(format!(
                "{name}: the index {called} is not defined as in the source"
            ));
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted() {
        assert!(UNSUPPORTED.is_sorted_by(|a, b| a.0 < b.0));
        assert!(STORAGE.is_sorted());
        assert!(INDEX_STORAGE.is_sorted());
    }

    #[test]
    fn a_view_comes_after_what_it_stands_on() {
        let view = |name: &str, on: &str| Definition {
            name: name.to_owned(),
            is_view: true,
            options: doc! { "viewOn": on },
            indexes: Vec::new(),
        };
        let collection = Definition {
            name: "z".to_owned(),
            ..Definition::default()
        };
        let ordered = in_order(vec![
            view("a", "b"),
            view("b", "c"),
            view("c", "z"),
            collection,
        ]);
        let names: Vec<&str> = ordered.iter().map(|definition| &*definition.name).collect();
        assert_eq!(names, ["z", "c", "b", "a"]);
        assert_eq!(in_order(vec![view("a", "b"), view("b", "a")]).len(), 2);
    }
}
