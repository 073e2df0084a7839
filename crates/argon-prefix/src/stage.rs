//! Where aggregation stages name namespaces: a row per stage.

use crate::table::{Field, Spot};

const LOOKUP: &[Field] = &[("from", Spot::Place), ("pipeline", Spot::Pipeline)];
const UNION: &[Field] = &[("coll", Spot::Collection), ("pipeline", Spot::Pipeline)];

/// Every stage of MongoDB 6.0 that a client may use, and what its operand names.
///
/// A stage without a row is refused as mongod refuses one that does not exist: `$listCatalog`, which shows every
/// collection, is such a one, and so are the internal ones.
///
/// Source: MongoDB manual, "Aggregation Stages".
pub(crate) const STAGES: &[Field] = &[
    ("$_internalInhibitOptimization", Spot::Nothing),
    ("$addFields", Spot::Nothing),
    ("$bucket", Spot::Nothing),
    ("$bucketAuto", Spot::Nothing),
    ("$changeStream", Spot::Nothing),
    ("$collStats", Spot::Nothing),
    ("$count", Spot::Nothing),
    ("$currentOp", Spot::Nothing),
    ("$densify", Spot::Nothing),
    ("$documents", Spot::Nothing),
    ("$facet", Spot::Pipelines),
    ("$fill", Spot::Nothing),
    ("$geoNear", Spot::Nothing),
    ("$graphLookup", Spot::Fields(&[("from", Spot::Place)])),
    ("$group", Spot::Nothing),
    ("$indexStats", Spot::Nothing),
    ("$limit", Spot::Nothing),
    ("$listLocalSessions", Spot::Nothing),
    ("$listSearchIndexes", Spot::Nothing),
    ("$listSessions", Spot::Nothing),
    ("$lookup", Spot::Fields(LOOKUP)),
    ("$match", Spot::Nothing),
    // `whenMatched` may be a pipeline, but of stages only that name nothing.
    ("$merge", Spot::NameOrFields(&[("into", Spot::Place)])),
    ("$out", Spot::Place),
    ("$planCacheStats", Spot::Nothing),
    ("$project", Spot::Nothing),
    ("$redact", Spot::Nothing),
    ("$replaceRoot", Spot::Nothing),
    ("$replaceWith", Spot::Nothing),
    ("$sample", Spot::Nothing),
    ("$search", Spot::Nothing),
    ("$searchMeta", Spot::Nothing),
    ("$set", Spot::Nothing),
    ("$setWindowFields", Spot::Nothing),
    ("$skip", Spot::Nothing),
    ("$sort", Spot::Nothing),
    ("$sortByCount", Spot::Nothing),
    ("$unionWith", Spot::NameOrFields(UNION)),
    ("$unset", Spot::Nothing),
    ("$unwind", Spot::Nothing),
];

/// What the operand of the stage called `name` names; `None` if there is no such stage.
pub(crate) fn find(name: &[u8]) -> Option<Spot> {
    STAGES
        .binary_search_by(|(row, _)| row.as_bytes().cmp(name))
        .ok()
        .map(|row| STAGES[row].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted() {
        assert!(STAGES.is_sorted_by(|a, b| a.0 < b.0));
    }
}
