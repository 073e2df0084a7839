//! Moves each `$match` as far to the front as the stages before it allow, where an index can serve it.
//!
//! What stands in front of the first `$match` most often is a view, or a `$addFields` that the condition does not look
//! at. A filter may pass a stage that gives each document on, one for one or in several, with the fields that the filter
//! reads as they were.

use std::sync::Arc;

use super::{Stage, match_};
use crate::filter::{Filter, Node};

/// The name of a stage, and the stage.
pub(super) type Named = (&'static str, Box<dyn Stage>);

/// Moves and joins the filters of `stages`.
pub(super) fn move_filters(stages: &mut Vec<Named>) {
    let mut at = 1;
    while at < stages.len() {
        let moved = match stages.get(at).and_then(|(_, stage)| stage.as_match()) {
            Some(filter) => place(stages, at, filter),
            None => at,
        };
        if moved < at {
            stages[moved..=at].rotate_right(1);
            if join(stages, moved) {
                // One stage less: the next one is at the same place now.
                continue;
            }
        }
        at += 1;
    }
}

/// How far to the front the filter at `at` can go.
fn place(stages: &[Named], at: usize, filter: &Filter) -> usize {
    let Some(fields) = fields(filter) else {
        return at;
    };
    if fields.is_empty() {
        // No field of it would keep it behind the stage that makes the documents, or behind `$facet`.
        return at;
    }
    let keeps_all = |stage: &dyn Stage| fields.iter().all(|field| stage.keeps_field(field));
    let passed = stages[..at]
        .iter()
        .rev()
        .take_while(|(_, stage)| keeps_all(stage.as_ref()))
        .count();
    at - passed
}

/// Joins the filter at `at` with one right before it; answers whether there was one.
fn join(stages: &mut Vec<Named>, at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else {
        return false;
    };
    let filter = |at: usize| stages.get(at).and_then(|(_, stage)| stage.as_match());
    let (Some(first), Some(second)) = (filter(before), filter(at)) else {
        return false;
    };
    let mut all = Vec::new();
    for filter in [first, second] {
        match filter.root() {
            Node::And(nodes) => all.extend(nodes.iter().cloned()),
            node => all.push(node.clone()),
        }
    }
    let joined = match_::stage(Arc::new(Filter::new(Node::And(all))));
    stages[before].1 = joined;
    stages.remove(at);
    true
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
    fn a_filter_without_fields_stays() {
        let filter = doc! { "$match": { "$expr": false } };
        let sort = doc! { "$sort": { "b": 1 } };
        assert_eq!(order(vec![sort, filter]), ["$sort", "$match"]);
    }
}
