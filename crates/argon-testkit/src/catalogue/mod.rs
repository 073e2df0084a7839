//! The page of operators: what MongoDB 6.0 has by name, what Argon makes of it, and how many recorded steps use it.
//!
//! Three sources meet here. Argon's rows come from the registration tables (`argon_mql::catalogue`,
//! `argon_server::catalogue`); MongoDB's names from a real `mongod`, which was asked for each name that its binary
//! contains whether it knows it ([`names`]); the numbers of steps from the case files ([`usage`]). [`page`] writes
//! `docs/operators.md` of them. A name that MongoDB has and Argon neither has nor refuses is a row "missing", which a
//! test does not let pass.

pub mod names;
pub mod page;
pub mod usage;

use argon_mql::catalogue::{self, Entry};

/// A kind of thing that has a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "the table of kinds says what they are")]
pub enum Kind {
    Query,
    Schema,
    Type,
    Update,
    PushModifier,
    Projection,
    Expression,
    Accumulator,
    WindowFunction,
    Stage,
    IndexKind,
    IndexOption,
    Collation,
    Command,
    Parameter,
}

/// What the page says about a kind.
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// Its key in the list of mongod's names.
    pub key: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What Argon has of it.
    pub entries: fn() -> Vec<Entry>,
}

/// The kinds in the order of the page.
pub const KINDS: &[Row] = &[
    row(Kind::Query, "query", "Query operators", || {
        catalogue::query_operators().collect()
    }),
    row(Kind::Schema, "schema", "Keywords of $jsonSchema", || {
        catalogue::schema_keywords().collect()
    }),
    row(
        Kind::Type,
        "type",
        "Names of types in $type and bsonType",
        || catalogue::type_aliases().collect(),
    ),
    row(
        Kind::Projection,
        "projection",
        "Projection operators",
        || catalogue::projection_operators().collect(),
    ),
    row(Kind::Update, "update", "Update operators", || {
        catalogue::update_operators().collect()
    }),
    row(Kind::PushModifier, "push", "Modifiers of $push", || {
        catalogue::push_clauses().collect()
    }),
    row(Kind::Stage, "stage", "Aggregation stages", || {
        catalogue::stages().collect()
    }),
    row(
        Kind::Expression,
        "expression",
        "Expression operators",
        || catalogue::expressions().collect(),
    ),
    row(
        Kind::Accumulator,
        "accumulator",
        "Accumulators of $group",
        || catalogue::accumulators().collect(),
    ),
    row(
        Kind::WindowFunction,
        "window",
        "Window functions of $setWindowFields",
        || catalogue::window_functions().collect(),
    ),
    row(Kind::IndexKind, "index-kind", "Kinds of index keys", || {
        catalogue::index_kinds().collect()
    }),
    row(
        Kind::IndexOption,
        "index-option",
        "Options of an index",
        || catalogue::index_options().collect(),
    ),
    row(
        Kind::Collation,
        "collation",
        "Fields of a collation",
        || catalogue::collation_options().collect(),
    ),
    row(Kind::Command, "command", "Commands", || {
        argon_server::catalogue::commands()
            .map(|command| command.entry)
            .collect()
    }),
    row(Kind::Parameter, "parameter", "Parameters", || {
        argon_server::catalogue::parameters().collect()
    }),
];

const fn row(
    kind: Kind,
    key: &'static str,
    title: &'static str,
    entries: fn() -> Vec<Entry>,
) -> Row {
    Row {
        kind,
        key,
        title,
        entries,
    }
}

/// Commands of mongod that Argon does not find, as a mongos does not, and why; a `*` stands for any ending.
pub const NOT_FOUND: &[(&str, &[&str])] = &[
    (
        "of shards: a mongos answers without them, and here are none",
        &[
            "autoSplitVector",
            "checkShardingIndex",
            "cleanupOrphaned",
            "getDatabaseVersion",
            "getShardMap",
            "getShardVersion",
            "mergeChunks",
            "setShardVersion",
            "shardingState",
            "splitChunk",
            "splitVector",
        ],
    ),
    (
        "of members of a replica set",
        &["replSet*", "voteCommitIndexBuild", "top", "fsyncUnlock"],
    ),
    (
        "between servers, for transactions over shards, migrations and tests",
        &[
            "abortShardSplit",
            "cluster*",
            "commitShardSplit",
            "coordinateCommitTransaction",
            "donor*",
            "driverOIDTest",
            "forgetShardSplit",
            "internalRenameIfOptionsAndIndexesMatch",
            "prepareTransaction",
            "recipient*",
            "waitForFailPoint",
        ],
    ),
];

/// Whether `name` is one of those that Argon does not find as a mongos does not.
#[must_use]
pub fn is_not_found(name: &str) -> bool {
    // A mongos has `replSetGetStatus`.
    if argon_server::catalogue::commands().any(|command| command.entry.name == name) {
        return false;
    }
    NOT_FOUND
        .iter()
        .flat_map(|(_, patterns)| patterns.iter())
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *pattern,
        })
}
