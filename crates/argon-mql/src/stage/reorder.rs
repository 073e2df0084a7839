//! Rewrites of a pipeline, as mongod does them: filters as far to the front as they can go, then limits and sorts.
//!
//! What stands in front of the first `$match` most often is a view, or a `$addFields` that the condition does not look
//! at: moved to the front an index can serve it. It also shows: an expression that would fail on a document does not fail
//! if a filter behind it drops the document before.
//!
//! Source: mongod 6.0.5, explanations, `tests/cases/stage/reorder.case`; MongoDB manual, "Aggregation Pipeline Optimization".

use std::sync::Arc;

use super::changes::met_by_parts;
use super::{Changes, Stage, limit, match_, skip};
use crate::filter::{Filter, Node};

/// The name of a stage, and the stage.
pub(super) type Named = (&'static str, Box<dyn Stage>);

/// Rewrites the stage at a place and the one behind it; answers whether it did.
type Rewrite = fn(&mut Vec<Named>, usize) -> bool;

/// The rewrites, in the order in which they are tried.
const REWRITES: &[Rewrite] = &[
    filter_forward,
    copy_filter_forward,
    window_forward,
    sort_forward,
    join_filters,
    join_limits,
    join_skips,
    drop_sort,
];

/// Rewrites `stages` until nothing changes.
///
/// Every rewrite moves a stage to the front or leaves one out, but for a filter that is split: each of its conditions then
/// goes its own way to the front. So this ends.
pub(super) fn rewrite(stages: &mut Vec<Named>) {
    let mut at = 0;
    while at + 1 < stages.len() {
        if REWRITES.iter().any(|rewrite| rewrite(stages, at)) {
            at = at.saturating_sub(1);
        } else {
            at += 1;
        }
    }
}

fn filter_at(stages: &[Named], at: usize) -> Option<&Arc<Filter>> {
    stages.get(at)?.1.as_match()
}

/// A `$match` goes before a stage that keeps the fields it reads, or gives them other names: all of it, or those of its
/// conditions of which that is true.
fn filter_forward(stages: &mut Vec<Named>, at: usize) -> bool {
    let Some(filter) = filter_at(stages, at + 1) else {
        return false;
    };
    if filter_at(stages, at).is_some() {
        return false;
    }
    let changes = stages[at].1.changes();
    if matches!(changes, Changes::All) {
        return false;
    }
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for node in conditions(filter.root()) {
        match changes.before(&node) {
            Some(node) => first.push(node),
            None => rest.push(node),
        }
    }
    if first.is_empty() && !rest.is_empty() {
        return false;
    }
    if rest.is_empty() {
        stages.remove(at + 1);
    } else {
        stages[at + 1].1 = stage(rest);
    }
    stages.insert(at, ("$match", stage(first)));
    true
}

/// The conditions of which all have to hold.
fn conditions(node: &Node) -> Vec<Node> {
    match node {
        Node::And(nodes) => nodes.iter().flat_map(conditions).collect(),
        Node::Nor(nodes) => nodes.iter().cloned().map(Node::not).collect(),
        node => vec![node.clone()],
    }
}

fn stage(nodes: Vec<Node>) -> Box<dyn Stage> {
    match_::stage(Arc::new(Filter::new(Node::and(nodes))))
}

/// A copy of a `$match` goes before a stage that only leaves out parts of documents, or adds documents.
fn copy_filter_forward(stages: &mut Vec<Named>, at: usize) -> bool {
    let Some(root) = filter_at(stages, at + 1).map(|filter| filter.root()) else {
        return false;
    };
    let copy = match stages[at].1.takes_copies() {
        Copies::None => None,
        Copies::WhatPartsMeet => met_by_parts(root),
        Copies::All => Changes::none().before(root),
    };
    let Some(copy) = copy else {
        return false;
    };
    stages[at].1.has_copy();
    stages.insert(at, ("$match", stage(vec![copy])));
    true
}

/// What of a filter behind a stage may stand before it as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Copies {
    None,
    WhatPartsMeet,
    All,
}

/// `$limit`, `$skip` and `$sample` go before a stage that gives one document for each.
fn window_forward(stages: &mut Vec<Named>, at: usize) -> bool {
    let (name, next) = &stages[at + 1];
    let is_window = next.as_limit().is_some() || next.as_skip().is_some() || *name == "$sample";
    let moves = is_window && stages[at].1.gives_one_for_one();
    if moves {
        stages.swap(at, at + 1);
    }
    moves
}

/// `$sort` goes before `$unwind` and `$lookup` if they keep the fields by which it sorts.
fn sort_forward(stages: &mut Vec<Named>, at: usize) -> bool {
    let Some(sort) = stages[at + 1].1.as_sort() else {
        return false;
    };
    let keeps = |path: &[u8]| stages[at].1.may_follow_sort(path);
    let moves = sort
        .fields()
        .iter()
        .all(|field| field.path.as_ref().is_some_and(|path| keeps(path.text())));
    if moves {
        stages.swap(at, at + 1);
    }
    moves
}

fn join_filters(stages: &mut Vec<Named>, at: usize) -> bool {
    let (Some(first), Some(second)) = (filter_at(stages, at), filter_at(stages, at + 1)) else {
        return false;
    };
    let all = vec![first.root().clone(), second.root().clone()];
    stages[at].1 = stage(all);
    stages.remove(at + 1);
    true
}

fn join_limits(stages: &mut Vec<Named>, at: usize) -> bool {
    let limits = (stages[at].1.as_limit(), stages[at + 1].1.as_limit());
    let (Some(first), Some(second)) = limits else {
        return false;
    };
    stages[at].1 = limit::stage(first.min(second));
    stages.remove(at + 1);
    true
}

fn join_skips(stages: &mut Vec<Named>, at: usize) -> bool {
    let skips = (stages[at].1.as_skip(), stages[at + 1].1.as_skip());
    let (Some(first), Some(second)) = skips else {
        return false;
    };
    let Some(sum) = first.checked_add(second) else {
        return false;
    };
    stages[at].1 = skip::stage(sum);
    stages.remove(at + 1);
    true
}

/// Of two sorts in a row the first is for nothing.
fn drop_sort(stages: &mut Vec<Named>, at: usize) -> bool {
    let drops = stages[at].1.as_sort().is_some() && stages[at + 1].1.as_sort().is_some();
    if drops {
        stages.remove(at);
    }
    drops
}
/// The top-level fields that a filter reads, if it is made of conditions on fields only: evaluating it twice then gives
/// the same, and cannot fail.
pub(super) fn leaf_fields(filter: &Filter) -> Option<Vec<Vec<u8>>> {
    fn is_plain(node: &Node) -> bool {
        match node {
            Node::And(nodes) | Node::Or(nodes) | Node::Nor(nodes) => nodes.iter().all(is_plain),
            Node::Not(node) => is_plain(node),
            Node::Leaf(_) | Node::Always(_) => true,
            Node::Expr(_) | Node::Schema(_) | Node::SampleRate(_) => false,
        }
    }
    is_plain(filter.root()).then(|| fields(filter)).flatten()
}

/// The top-level fields that a filter reads; `None` if that cannot be told.
pub(super) fn fields(filter: &Filter) -> Option<Vec<Vec<u8>>> {
    let mut fields = Vec::new();
    collect(filter.root(), &mut fields).then_some(fields)
}

fn collect(node: &Node, fields: &mut Vec<Vec<u8>>) -> bool {
    match node {
        Node::And(nodes) | Node::Or(nodes) | Node::Nor(nodes) => {
            nodes.iter().all(|node| collect(node, fields))
        }
        Node::Not(node) => collect(node, fields),
        Node::Leaf(leaf) => match leaf.path.parts().first() {
            Some(part) if !part.name().is_empty() => {
                fields.push(part.name().to_vec());
                true
            }
            _ => false,
        },
        Node::Expr(node) => {
            let mut known = true;
            node.expr.each_field(&mut |path| {
                let first = path.split('.').next().unwrap_or_default();
                known &= !first.is_empty();
                fields.push(first.as_bytes().to_vec());
            });
            known
        }
        Node::Always(_) => true,
        Node::Schema(_) | Node::SampleRate(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use bson::{Bson, doc};

    use crate::stage::Pipeline;
    use crate::{Doc, ParseContext};

    fn order(stages: Vec<bson::Document>) -> Vec<&'static str> {
        let stages: Vec<Bson> = stages.into_iter().map(Bson::Document).collect();
        let bytes = doc! { "stages": stages }.to_vec().unwrap();
        let stages = Doc::new(&bytes).get("stages").unwrap().as_array().unwrap();
        let pipeline = Pipeline::parse(stages, &ParseContext::new()).unwrap();
        pipeline.stage_names().collect()
    }

    #[test]
    fn a_filter_passes_what_keeps_its_fields() {
        let filter = doc! { "$match": { "a": 1 } };
        let add = |name: &str| doc! { "$addFields": { name: 1 } };
        assert_eq!(
            order(vec![add("b"), doc! { "$sort": { "b": 1 } }, filter.clone()]),
            ["$match", "$addFields", "$sort"]
        );
        assert_eq!(
            order(vec![add("a.b"), filter.clone()]),
            ["$addFields", "$match"]
        );
        assert_eq!(
            order(vec![filter.clone(), add("b"), filter.clone(), add("c")]),
            ["$match", "$addFields", "$addFields"]
        );
        let limit = doc! { "$limit": 1 };
        assert_eq!(order(vec![limit, filter.clone()]), ["$limit", "$match"]);
        let group = doc! { "$group": { "_id": "$a" } };
        assert_eq!(order(vec![group, filter]), ["$group", "$match"]);
    }

    #[test]
    fn a_filter_is_split_and_renamed() {
        let both = doc! { "$match": { "a": 1, "b": 2 } };
        let compute = doc! { "$addFields": { "b": { "$add": ["$c", 1] } } };
        assert_eq!(
            order(vec![compute, both.clone()]),
            ["$match", "$addFields", "$match"]
        );
        let rename = doc! { "$project": { "a": 1, "b": "$c" } };
        assert_eq!(order(vec![rename, both.clone()]), ["$match", "$project"]);
        let deep = doc! { "$project": { "a": 1, "b": "$c.d" } };
        assert_eq!(
            order(vec![deep, both.clone()]),
            ["$match", "$project", "$match"]
        );
        let group = doc! { "$group": { "_id": "$a" } };
        let id = doc! { "$match": { "_id": 1 } };
        assert_eq!(order(vec![group.clone(), id]), ["$match", "$group"]);
        let exists = doc! { "$match": { "_id": { "$exists": true } } };
        assert_eq!(order(vec![group, exists]), ["$group", "$match"]);
        let redact = doc! { "$redact": "$$KEEP" };
        assert_eq!(order(vec![redact, both]), ["$match", "$redact", "$match"]);
    }

    #[test]
    fn a_random_filter_stays() {
        let filter = doc! { "$match": { "$expr": { "$lt": [{ "$rand": {} }, 0.5] } } };
        let sort = doc! { "$sort": { "b": 1 } };
        assert_eq!(order(vec![sort.clone(), filter]), ["$sort", "$match"]);
        let constant = doc! { "$match": { "$expr": false } };
        assert_eq!(order(vec![sort, constant]), ["$match", "$sort"]);
    }

    #[test]
    fn limits_pass_what_gives_one_for_one() {
        let add = doc! { "$addFields": { "b": 1 } };
        let (limit, skip) = (doc! { "$limit": 3 }, doc! { "$skip": 2 });
        assert_eq!(
            order(vec![add.clone(), skip, add, limit.clone(), limit.clone()]),
            ["$skip", "$limit", "$addFields", "$addFields"]
        );
        let unwind = doc! { "$unwind": "$a" };
        let sort = doc! { "$sort": { "b": 1 } };
        assert_eq!(
            order(vec![unwind, sort.clone(), sort, limit]),
            ["$sort", "$unwind", "$limit"]
        );
    }
}
