//! Where commands name namespaces: a row per command.

/// Where a name stands, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spot {
    /// Names nothing.
    Nothing,
    /// A collection of the command's database: a string. A UUID would name one of any branch, and is refused.
    Collection,
    /// The collection of a cursor: as before, or the database itself (`$cmd.aggregate`).
    CursorCollection,
    /// A collection: a string, or `{db, coll}`.
    Place,
    /// `"database.collection"`.
    Namespace,
    /// An array of aggregation stages.
    Pipeline,
    /// The same, stored as a view's definition.
    ViewPipeline,
    /// A document of pipelines (`$facet`).
    Pipelines,
    /// A document with names in these fields.
    Fields(&'static [Field]),
    /// The name of a collection, or a document with names in these fields.
    NameOrFields(&'static [Field]),
    /// `out` of `mapReduce`: the name of a collection, `{replace: name, db: name}`, or `{inline: 1}`.
    ReduceOut,
    /// Index specifications, which once carried their namespace.
    Indexes,
    /// Another command.
    Command,
    /// Names namespaces in a way that is not rewritten.
    Refused,
}

/// A field, and what it names.
pub(crate) type Field = (&'static str, Spot);

/// Where a reply names namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// In errors only, as every reply may.
    Plain,
    /// `cursor.ns`.
    Cursor,
    /// `ns`, and texts in `warnings` and `errors`.
    Namespace,
    /// An explanation, which repeats the command.
    Explain,
    /// `result` of `mapReduce`.
    ReduceResult,
}

/// A command that the server answers from several of the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Composed {
    /// `listCollections`.
    ListCollections,
    /// `dbStats`.
    DbStats,
    /// `dropDatabase`.
    DropDatabase,
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Rewritten and sent to the upstream; the reply has this shape.
    Forwarded(Shape),
    /// Answered from several of the upstream.
    Composed(Composed),
    /// It is about the whole upstream database: main has it, a branch does not.
    MainOnly,
    /// Refused on every branch.
    Refused,
}

/// A command: what its first field names, and which others name something.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) subject: Spot,
    pub(crate) fields: &'static [Field],
    pub(crate) kind: Kind,
}

const fn row(name: &'static str, subject: Spot, shape: Shape) -> Row {
    Row {
        name,
        aliases: &[],
        subject,
        fields: &[],
        kind: Kind::Forwarded(shape),
    }
}

impl Row {
    const fn alias(mut self, aliases: &'static [&'static str]) -> Row {
        self.aliases = aliases;
        self
    }

    const fn fields(mut self, fields: &'static [Field]) -> Row {
        self.fields = fields;
        self
    }

    const fn kind(mut self, kind: Kind) -> Row {
        self.kind = kind;
        self
    }
}

use Shape::{Cursor, Explain, Namespace, Plain, ReduceResult};
use Spot::{Collection, CursorCollection};

/// Every command that is sent to a database and names something in it.
///
/// Source: MongoDB manual, "Database Commands"; where a name stands was asked of mongod 6.0.5.
pub(crate) const COMMANDS: &[Row] = &[
    row("aggregate", Collection, Cursor).fields(&[("pipeline", Spot::Pipeline)]),
    row("cloneCollectionAsCapped", Collection, Plain).fields(&[("toCollection", Collection)]),
    row("collMod", Collection, Plain)
        .fields(&[("viewOn", Collection), ("pipeline", Spot::ViewPipeline)]),
    row("collStats", Collection, Namespace).alias(&["collstats"]),
    row("compact", Collection, Plain),
    row("convertToCapped", Collection, Plain),
    row("count", Collection, Plain),
    row("create", Collection, Plain).fields(&[
        ("encryptedFields", Spot::Refused),
        ("pipeline", Spot::ViewPipeline),
        ("viewOn", Collection),
    ]),
    row("createIndexes", Collection, Plain).fields(&[("indexes", Spot::Indexes)]),
    row("dataSize", Spot::Namespace, Plain).alias(&["datasize"]),
    row("dbHash", Spot::Nothing, Plain)
        .alias(&["dbhash"])
        .kind(Kind::MainOnly),
    row("dbStats", Spot::Nothing, Plain)
        .alias(&["dbstats"])
        .kind(Kind::Composed(Composed::DbStats)),
    row("delete", Collection, Plain),
    row("distinct", Collection, Plain),
    row("drop", Collection, Namespace),
    row("dropDatabase", Spot::Nothing, Plain).kind(Kind::Composed(Composed::DropDatabase)),
    row("dropIndexes", Collection, Plain).alias(&["deleteIndexes"]),
    row("explain", Spot::Command, Explain),
    // Files are in `<root>.files` and `<root>.chunks`: the prefix of one is the prefix of the other.
    row("filemd5", Spot::Nothing, Plain).fields(&[("root", Collection)]),
    row("find", Collection, Cursor),
    row("findAndModify", Collection, Plain).alias(&["findandmodify"]),
    row("getMore", Spot::Nothing, Cursor).fields(&[("collection", CursorCollection)]),
    row("insert", Collection, Plain),
    row("killCursors", CursorCollection, Plain),
    row("listCollections", Spot::Nothing, Cursor).kind(Kind::Composed(Composed::ListCollections)),
    row("listIndexes", Collection, Cursor),
    row("mapReduce", Collection, ReduceResult)
        .alias(&["mapreduce"])
        .fields(&[("out", Spot::ReduceOut)]),
    row("planCacheClear", Collection, Plain),
    row("planCacheClearFilters", Collection, Plain),
    row("planCacheListFilters", Collection, Plain),
    row("planCacheSetFilter", Collection, Plain),
    row("profile", Spot::Nothing, Plain).kind(Kind::MainOnly),
    row("reIndex", Collection, Plain),
    row("renameCollection", Spot::Namespace, Plain).fields(&[("to", Spot::Namespace)]),
    row("setIndexCommitQuorum", Collection, Plain),
    row("splitVector", Spot::Refused, Plain).kind(Kind::Refused),
    row("update", Collection, Plain),
    row("validate", Collection, Namespace),
];

/// Fields that any command may carry and that name namespaces.
///
/// Source: MongoDB manual, "Queryable Encryption": the schemas of encrypted collections, by namespace.
pub(crate) const ANYWHERE: &[Field] = &[("encryptionInformation", Spot::Refused)];

/// What the field called `key` names; `None` if it has no row.
pub(crate) fn field(fields: &[Field], key: &[u8]) -> Option<Spot> {
    fields
        .iter()
        .find(|(name, _)| name.as_bytes() == key)
        .map(|(_, spot)| *spot)
}

/// The row of the command called `name`.
pub(crate) fn find(name: &[u8]) -> Option<&'static Row> {
    COMMANDS.iter().find(|row| {
        row.name.as_bytes() == name || row.aliases.iter().any(|alias| alias.as_bytes() == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        assert!(
            COMMANDS
                .is_sorted_by(|a, b| { a.name.to_ascii_lowercase() < b.name.to_ascii_lowercase() })
        );
        for row in COMMANDS {
            for name in row.aliases {
                assert_eq!(find(name.as_bytes()).unwrap().name, row.name);
            }
        }
    }
}
