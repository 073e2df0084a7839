//! Plans as `explain` shows them.

use bytes::Bytes;

use super::interval::Shown;
use super::{Direction, IndexScan, Plan, PlanIndex, conditions, describe};
use crate::filter::{Filter, Node, Predicate};
use crate::index::{IndexSpec, Multikey};
use crate::spill::STAGE_BYTES_MAX;
use crate::value::{Doc, DocBuf, Value, ValueRef};

/// How a projection is carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProjectionKind {
    /// Only inclusions of top-level fields.
    Simple,
    /// Anything else.
    Default,
}

impl ProjectionKind {
    /// The kind of `projection`, as written by the client.
    pub fn of(projection: Doc<'_>) -> ProjectionKind {
        let simple = projection.iter().all(|field| {
            let included = match field.value() {
                ValueRef::Bool(value) => Some(value),
                value => crate::value::Number::from_value(value).map(|number| !number.is_zero()),
            };
            !field.key().contains(&b'.')
                && (included == Some(true) || (field.key() == "_id" && included.is_some()))
        });
        let includes = projection.iter().any(|field| field.key() != "_id");
        if simple && includes {
            ProjectionKind::Simple
        } else {
            ProjectionKind::Default
        }
    }
}

/// What an explanation of a find is made of.
#[derive(Clone, Copy)]
pub struct Explain<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The indexes it was made from.
    pub indexes: &'a [PlanIndex<'a>],
    /// The filter.
    pub filter: &'a Filter,
    /// The filter as the client wrote it.
    pub source: Doc<'a>,
    /// The sort, if there is one.
    pub sort: Option<Doc<'a>>,
    /// The projection, if there is one.
    pub projection: Option<Doc<'a>>,
    /// Whether the collection is kept in the order of `_id`, and so has no index by it.
    pub clustered: bool,
    /// Documents passed over; 0 for none.
    pub skip: u64,
    /// Most documents given; 0 for all.
    pub limit: u64,
}

impl Explain<'_> {
    /// `parsedQuery`: the filter with every operator spelled out.
    pub fn parsed_query(&self) -> Bytes {
        describe::conjunction(&conditions::conjuncts(self.filter.root()), self.source)
    }

    /// `winningPlan`: the stages, the outermost first.
    ///
    /// The covered forms of mongod do not occur: documents are always at hand.
    pub fn winning_plan(&self) -> Bytes {
        let mut out = DocBuf::new();
        let subplan = match conditions::conjuncts(self.filter.root()).as_slice() {
            [Node::Or(branches)] => branches.len() > 1 && describe::as_list(branches).is_none(),
            _ => false,
        };
        if subplan {
            out.append("stage", ValueRef::String("SUBPLAN".into()));
            let input = out.open_document("inputStage");
            self.outer(&mut out);
            out.close(input);
        } else {
            self.outer(&mut out);
        }
        out.finish()
    }

    fn outer(&self, out: &mut DocBuf) {
        let sorting = self.sort.filter(|_| !self.plan.covers_sort());
        let mut stages: Vec<Stage<'_>> = Vec::new();
        if let Some(projection) = self.projection {
            stages.push(Stage::Projection(projection));
        }
        if self.limit > 0 && sorting.is_none() {
            stages.push(Stage::Limit);
        }
        // Where nothing is left to be matched, documents passed over are not even fetched.
        let skip_keys = sorting.is_none()
            && !self.clustered
            && matches!(self.plan, Plan::IndexScan(scan) if self.left(scan).is_empty());
        if self.skip > 0 && !skip_keys {
            stages.push(Stage::Skip);
        }
        if let Some(sort) = sorting {
            stages.push(Stage::Sort(sort));
        }
        self.nest(&stages, skip_keys && self.skip > 0, out);
    }

    fn nest(&self, stages: &[Stage<'_>], skip_keys: bool, out: &mut DocBuf) {
        let Some((first, rest)) = stages.split_first() else {
            return self.plan(self.plan, skip_keys, out);
        };
        match *first {
            Stage::Projection(projection) => {
                let name = match ProjectionKind::of(projection) {
                    ProjectionKind::Simple => "PROJECTION_SIMPLE",
                    ProjectionKind::Default => "PROJECTION_DEFAULT",
                };
                out.append("stage", ValueRef::String(name.into()));
                out.append("transformBy", ValueRef::Document(projection));
            }
            Stage::Limit => {
                out.append("stage", ValueRef::String("LIMIT".into()));
                out.append("limitAmount", number(self.limit));
            }
            Stage::Skip => {
                out.append("stage", ValueRef::String("SKIP".into()));
                out.append("skipAmount", number(self.skip));
            }
            Stage::Sort(sort) => {
                out.append("stage", ValueRef::String("SORT".into()));
                out.append("sortPattern", ValueRef::Document(sort));
                out.append("memLimit", number(STAGE_BYTES_MAX as u64));
                if self.limit > 0 {
                    out.append("limitAmount", number(self.limit.saturating_add(self.skip)));
                }
                out.append("type", ValueRef::String("simple".into()));
            }
        }
        let input = out.open_document("inputStage");
        self.nest(rest, skip_keys, out);
        out.close(input);
    }

    fn plan(&self, plan: &Plan, skip_keys: bool, out: &mut DocBuf) {
        match plan {
            Plan::Empty => self.collection_scan(Direction::Forward, out),
            Plan::CollScan { direction } => self.collection_scan(*direction, out),
            Plan::IdLookup { ids } if self.clustered => {
                let ends = ids.first().zip(ids.last());
                self.clustered_scan(ends, Direction::Forward, out);
            }
            Plan::IdLookup { .. } => out.append("stage", ValueRef::String("IDHACK".into())),
            Plan::IndexScan(scan) if self.clustered && scan.index.is_none() => {
                let intervals = scan.fields.first().map(|field| field.iter());
                let mut intervals = intervals.into_iter().flatten().peekable();
                let low = intervals.peek().map(|interval| &interval.low);
                let ends = low.zip(intervals.last().map(|interval| &interval.high));
                self.clustered_scan(ends, scan.direction, out);
            }
            Plan::IndexScan(scan) => {
                out.append("stage", ValueRef::String("FETCH".into()));
                let left = self.left(scan);
                let (on_keys, on_documents): (Vec<&Node>, Vec<&Node>) = left
                    .into_iter()
                    .partition(|node| self.is_on_keys(scan, node));
                self.filter(&on_documents, out);
                let input = out.open_document("inputStage");
                if skip_keys {
                    out.append("stage", ValueRef::String("SKIP".into()));
                    out.append("skipAmount", number(self.skip));
                    let inner = out.open_document("inputStage");
                    self.index_scan(scan, &on_keys, out);
                    out.close(inner);
                } else {
                    self.index_scan(scan, &on_keys, out);
                }
                out.close(input);
            }
            Plan::Union(plans) => self.union(plans, out),
        }
    }

    fn union(&self, plans: &[Plan], out: &mut DocBuf) {
        out.append("stage", ValueRef::String("FETCH".into()));
        let left: Vec<&Node> = conditions::conjuncts(self.filter.root())
            .into_iter()
            .filter(|node| !matches!(node, Node::Or(branches) if branches.len() == plans.len()))
            .collect();
        self.filter(&left, out);
        let input = out.open_document("inputStage");
        out.append("stage", ValueRef::String("OR".into()));
        let array = out.open_array("inputStages");
        for (index, plan) in plans.iter().enumerate() {
            let open = out.push_document(index);
            match plan {
                Plan::IndexScan(scan) => self.index_scan(scan, &[], out),
                other => self.plan(other, false, out),
            }
            out.close(open);
        }
        out.close(array);
        out.close(input);
    }

    /// A scan of a clustered collection between two `_id`s.
    fn clustered_scan(
        &self,
        ends: Option<(&Value, &Value)>,
        direction: Direction,
        out: &mut DocBuf,
    ) {
        let Some((low, high)) = ends.filter(|ends| !matches!(ends, (Value::MinKey, Value::MaxKey)))
        else {
            return self.collection_scan(direction, out);
        };
        out.append("stage", ValueRef::String("CLUSTERED_IXSCAN".into()));
        self.filter(&conditions::conjuncts(self.filter.root()), out);
        out.append("direction", direction_name(direction));
        // The least of numbers, which intervals of numbers without a lower end do not name.
        let low = match low {
            Value::Double(f64::NEG_INFINITY) => ValueRef::Double(f64::NAN),
            low => low.as_ref(),
        };
        out.append("minRecord", low);
        out.append("maxRecord", high.as_ref());
    }

    fn collection_scan(&self, direction: Direction, out: &mut DocBuf) {
        out.append("stage", ValueRef::String("COLLSCAN".into()));
        self.filter(&conditions::conjuncts(self.filter.root()), out);
        out.append("direction", direction_name(direction));
    }

    fn filter(&self, nodes: &[&Node], out: &mut DocBuf) {
        if !nodes.is_empty() && !matches!(nodes, [Node::Always(true)]) {
            let filter = describe::conjunction(nodes, self.source);
            out.append("filter", ValueRef::Document(Doc::new(&filter)));
        }
    }

    /// What the bounds of `scan` have not answered.
    fn left(&self, scan: &IndexScan) -> Vec<&Node> {
        conditions::conjuncts(self.filter.root())
            .into_iter()
            .enumerate()
            .filter(|(at, _)| !scan.answered.contains(at))
            .map(|(_, node)| node)
            .collect()
    }

    /// Whether mongod matches `node` on the keys of the index, before it fetches the document.
    fn is_on_keys(&self, scan: &IndexScan, node: &Node) -> bool {
        let Some(index) = self.index(scan) else {
            return false;
        };
        let Node::Leaf(leaf) = node else {
            return false;
        };
        let decidable = match &leaf.predicate {
            Predicate::Regex(_) | Predicate::Mod { .. } => true,
            Predicate::Type(types) => !types.contains(crate::value::BsonType::Array),
            _ => false,
        };
        decidable
            && index
                .spec
                .fields()
                .iter()
                .enumerate()
                .any(|(at, field)| field.path == leaf.path && !index.multikey.field(at))
    }

    fn index(&self, scan: &IndexScan) -> Option<&PlanIndex<'_>> {
        self.indexes.iter().find(|index| match &scan.index {
            Some(name) => index.spec.name() == name,
            None => index.spec.is_id(),
        })
    }

    fn index_scan(&self, scan: &IndexScan, on_keys: &[&Node], out: &mut DocBuf) {
        out.append("stage", ValueRef::String("IXSCAN".into()));
        self.filter(on_keys, out);
        let id_spec = IndexSpec::id();
        let none = Multikey::default();
        let (spec, multikey) = match self.index(scan) {
            Some(index) => (index.spec, index.multikey),
            None => (&id_spec, &none),
        };
        match &scan.wildcard {
            None => out.append("keyPattern", ValueRef::Document(spec.key_pattern())),
            Some(path) => {
                let pattern = out.open_document("keyPattern");
                out.append("$_path", ValueRef::Int32(1));
                out.append(path.text(), ValueRef::Int32(1));
                out.close(pattern);
            }
        }
        out.append("indexName", ValueRef::String(spec.name().into()));
        if let Some(collation) = spec.collation() {
            out.append(
                "collation",
                ValueRef::Document(Doc::new(collation.document())),
            );
        }
        out.append("isMultiKey", ValueRef::Bool(!multikey.is_empty()));
        match &scan.wildcard {
            None => {
                let paths = multikey.paths(spec);
                out.append("multiKeyPaths", ValueRef::Document(Doc::new(&paths)));
            }
            Some(path) => {
                let paths = out.open_document("multiKeyPaths");
                let none = out.open_array("$_path");
                out.close(none);
                let own = out.open_array(path.text());
                if !multikey.is_empty() {
                    out.push(0, ValueRef::String(path.text()));
                }
                out.close(own);
                out.close(paths);
            }
        }
        out.append("isUnique", ValueRef::Bool(spec.unique()));
        out.append("isSparse", ValueRef::Bool(spec.sparse()));
        out.append("isPartial", ValueRef::Bool(spec.partial_filter().is_some()));
        out.append("indexVersion", ValueRef::Int32(2));
        out.append("direction", direction_name(scan.direction));
        let bounds = out.open_document("indexBounds");
        if let Some(path) = &scan.wildcard {
            let array = out.open_array("$_path");
            let text = format!("[\"{path}\", \"{path}\"]");
            out.push(0, ValueRef::String(text.as_bytes().into()));
            out.close(array);
        }
        for (field, intervals) in spec.fields().iter().zip(&scan.fields) {
            let path = scan.wildcard.as_deref().unwrap_or(&field.path);
            let array = out.open_array(path.text());
            // Bounds are shown in the order in which they are walked.
            let backward = field.descending != (scan.direction == Direction::Backward);
            let mut texts: Vec<String> = intervals
                .iter()
                .map(|interval| {
                    let collated = spec.collation().is_some();
                    let shown = Shown {
                        interval,
                        backward,
                        collated,
                    };
                    shown.to_string()
                })
                .collect();
            if backward {
                texts.reverse();
            }
            for (index, text) in texts.iter().enumerate() {
                out.push(index, ValueRef::String(text.as_bytes().into()));
            }
            out.close(array);
        }
        out.close(bounds);
    }
}

#[derive(Clone, Copy)]
enum Stage<'a> {
    Projection(Doc<'a>),
    Limit,
    Skip,
    Sort(Doc<'a>),
}

fn direction_name(direction: Direction) -> ValueRef<'static> {
    ValueRef::String(match direction {
        Direction::Forward => "forward".into(),
        Direction::Backward => "backward".into(),
    })
}

/// A count as an int, if it fits.
fn number(count: u64) -> ValueRef<'static> {
    match i32::try_from(count) {
        Ok(count) => ValueRef::Int32(count),
        Err(_) => ValueRef::Int64(i64::try_from(count).unwrap_or(i64::MAX)),
    }
}
