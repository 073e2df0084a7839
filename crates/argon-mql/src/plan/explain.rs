//! Plans as `explain` shows them: which stages stand on which.
//!
//! What mongod has to fetch from its storage is at hand here, so stages that only say whether documents are fetched
//! (`FETCH`, `PROJECTION_COVERED`) are placed as mongod places them, for those who tune their indexes by them.

use bytes::Bytes;

use super::covering::{self, Needed};
use super::{Direction, IndexScan, Plan, PlanIndex, conditions, describe};
use crate::filter::{Filter, Node, Predicate};
use crate::index::{IndexSpec, Multikey};
use crate::path::Path;
use crate::spill::STAGE_BYTES_MAX;
use crate::value::{Doc, DocBuf, Value, ValueRef};

/// What the documents that a plan finds are wanted for.
#[derive(Clone, Copy)]
pub enum Purpose<'a> {
    /// To be given.
    Documents,
    /// To be counted.
    Count,
    /// For the different values of a field.
    Distinct(&'a Path),
    /// To be changed or deleted.
    Change,
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
    /// What for.
    pub purpose: Purpose<'a>,
    /// Whether index keys are given in place of documents.
    pub return_key: bool,
}

/// A stage with those below it.
struct Tree {
    stage: &'static str,
    fields: Bytes,
    inputs: Vec<Tree>,
}

/// The part of a plan that finds documents.
struct Access {
    tree: Tree,
    /// Whether whole documents come out of it, not only index keys.
    fetched: bool,
}

impl Tree {
    fn leaf(stage: &'static str, fields: impl FnOnce(&mut DocBuf)) -> Tree {
        let mut out = DocBuf::new();
        fields(&mut out);
        Tree {
            stage,
            fields: out.finish(),
            inputs: Vec::new(),
        }
    }

    fn over(stage: &'static str, input: Tree, fields: impl FnOnce(&mut DocBuf)) -> Tree {
        Tree {
            inputs: vec![input],
            ..Tree::leaf(stage, fields)
        }
    }

    fn write(&self, out: &mut DocBuf) {
        out.append("stage", ValueRef::String(self.stage.into()));
        out.append_all(Doc::new(&self.fields));
        match self.inputs.as_slice() {
            [] => {}
            [only] if !matches!(self.stage, "OR" | "SORT_MERGE") => {
                let open = out.open_document("inputStage");
                only.write(out);
                out.close(open);
            }
            many => {
                let array = out.open_array("inputStages");
                for (at, input) in many.iter().enumerate() {
                    let open = out.push_document(at);
                    input.write(out);
                    out.close(open);
                }
                out.close(array);
            }
        }
    }

    fn looks_at_documents(&self) -> bool {
        matches!(
            self.stage,
            "FETCH" | "COLLSCAN" | "IDHACK" | "CLUSTERED_IXSCAN"
        ) || self.inputs.iter().any(Tree::looks_at_documents)
    }
}

/// `winningPlan`, and what of it is told elsewhere.
pub struct Winning {
    /// The stages, the outermost first.
    pub stages: Bytes,
    /// Whether documents have to be looked at; else index keys do.
    pub looks_at_documents: bool,
}

impl Explain<'_> {
    /// `parsedQuery`: the filter with every operator spelled out.
    pub fn parsed_query(&self) -> Bytes {
        describe::conjunction(&conditions::conjuncts(self.filter.root()), self.source)
    }

    /// `winningPlan`.
    pub fn winning_plan(&self) -> Winning {
        let subplan = match conditions::conjuncts(self.filter.root()).as_slice() {
            [Node::Or(branches)] => branches.len() > 1 && describe::as_list(branches).is_none(),
            _ => false,
        };
        let mut tree = match self.purpose {
            Purpose::Count => self.counted(),
            Purpose::Distinct(path) => self.distinct(path),
            Purpose::Documents | Purpose::Change => self.arranged(),
        };
        if subplan {
            tree = Tree::over("SUBPLAN", tree, |_| {});
        }
        let mut out = DocBuf::new();
        tree.write(&mut out);
        Winning {
            stages: out.finish(),
            looks_at_documents: tree.looks_at_documents(),
        }
    }

    fn counted(&self) -> Tree {
        let Access { tree, fetched } = self.access(self.plan);
        if let Plan::IndexScan(scan) = self.plan
            && !fetched
            && !Doc::new(&tree.fields)
                .iter()
                .any(|field| field.key() == "filter")
            && let Some(counting) = self.with_index(scan, |spec, multikey| {
                super::explain_scan::count_fields(scan, spec, multikey)
            })
        {
            return Tree {
                stage: "COUNT_SCAN",
                fields: counting,
                inputs: Vec::new(),
            };
        }
        tree
    }

    fn distinct(&self, path: &Path) -> Tree {
        let Access { mut tree, fetched } = self.access(self.plan);
        let simple = path.parts().len() == 1;
        let covered = match self.plan {
            Plan::IndexScan(scan) if !fetched => self.with_index(scan, |spec, multikey| {
                scan.distinct_fields(spec, multikey, path)
            }),
            _ => None,
        };
        if covered.is_some() {
            tree.stage = "DISTINCT_SCAN";
            let name = if simple {
                "PROJECTION_COVERED"
            } else {
                "PROJECTION_DEFAULT"
            };
            return Tree::over(name, tree, transform_nothing);
        }
        if !fetched {
            tree = fetch(tree);
        }
        let in_an_index = *path.text() == *b"_id"
            || self.indexes.iter().any(|index| {
                let fields = index.spec.fields().iter().enumerate();
                fields
                    .into_iter()
                    .any(|(at, field)| field.path == *path && !index.multikey.field(at))
            });
        if !in_an_index || matches!(self.plan, Plan::IdLookup { .. }) {
            return tree;
        }
        let name = if simple {
            "PROJECTION_SIMPLE"
        } else {
            "PROJECTION_DEFAULT"
        };
        Tree::over(name, tree, transform_nothing)
    }

    /// The stages of a find: sort, skip, projection and limit on top of the access.
    fn arranged(&self) -> Tree {
        let Access {
            mut tree,
            mut fetched,
        } = self.access(self.plan);
        let provides = |path: &Path| self.provides(self.plan, path);
        let needed = self.projection.map(covering::needed);
        let asks_metadata = needed.as_ref().is_some_and(|needed| needed.metadata);
        let sorting = self.sort.filter(|_| !self.plan.covers_sort());
        if let Some(sort) = sorting {
            if !fetched && !covering::sort_paths(sort).iter().all(provides) {
                tree = fetch(tree);
                fetched = true;
            }
            tree = Tree::over("SORT", tree, |out| {
                out.append("sortPattern", ValueRef::Document(sort));
                out.append("memLimit", number(STAGE_BYTES_MAX as u64));
                if self.limit > 0 {
                    out.append("limitAmount", number(self.limit.saturating_add(self.skip)));
                }
                let kind = if !fetched || asks_metadata || self.return_key {
                    "default"
                } else {
                    "simple"
                };
                out.append("type", ValueRef::String(kind.into()));
            });
        }
        if self.skip > 0 {
            tree = Tree::over("SKIP", tree, |out| {
                out.append("skipAmount", number(self.skip));
            });
        }
        if self.return_key {
            if needed.is_some_and(|needed| needed.sort_key) && sorting.is_none() {
                tree = Tree::over("SORT_KEY_GENERATOR", tree, |_| {});
            }
            tree = Tree::over("RETURN_KEY", tree, |_| {});
        } else {
            match (self.projection, needed) {
                (Some(projection), Some(needed)) => {
                    let covers = needed
                        .paths
                        .as_ref()
                        .is_some_and(|paths| paths.iter().all(provides));
                    if !fetched && !covers {
                        tree = fetch(tree);
                        fetched = true;
                    }
                    tree = self.projected(tree, projection, &needed, fetched, sorting);
                }
                _ if !fetched => tree = fetch(tree),
                _ => {}
            }
        }
        // A single statement that changes a document stops there by itself.
        if self.limit > 0 && sorting.is_none() {
            tree = Tree::over("LIMIT", tree, |out| {
                out.append("limitAmount", number(self.limit));
            });
        }
        tree
    }

    /// Puts the projection on top, or below a sort that all it needs passes through.
    fn projected(
        &self,
        tree: Tree,
        projection: Doc<'_>,
        needed: &Needed,
        fetched: bool,
        sorting: Option<Doc<'_>>,
    ) -> Tree {
        let one_scan = matches!(self.plan, Plan::IndexScan(_));
        let name = match (needed.simple, fetched) {
            (true, true) => "PROJECTION_SIMPLE",
            (true, false) if one_scan => "PROJECTION_COVERED",
            _ => "PROJECTION_DEFAULT",
        };
        let transform = |out: &mut DocBuf| {
            out.append("transformBy", ValueRef::Document(projection));
        };
        let below_sort = name != "PROJECTION_DEFAULT"
            && self.limit == 0
            && sorting.is_some_and(|sort| {
                let kept = needed.paths.as_deref().unwrap_or_default();
                covering::sort_paths(sort)
                    .iter()
                    .all(|path| kept.iter().any(|kept| path.is_within(kept)))
            });
        if !below_sort {
            return Tree::over(name, tree, transform);
        }
        let mut tree = tree;
        let mut place = &mut tree;
        while place.stage == "SKIP"
            && let [_] = place.inputs.as_slice()
        {
            place = &mut place.inputs[0];
        }
        if place.stage != "SORT" {
            return Tree::over(name, tree, transform);
        }
        if let Some(input) = place.inputs.pop() {
            place.inputs.push(Tree::over(name, input, transform));
        }
        tree
    }

    fn access(&self, plan: &Plan) -> Access {
        let found = |tree| Access {
            tree,
            fetched: true,
        };
        match plan {
            Plan::Empty => found(self.collection_scan(Direction::Forward)),
            Plan::CollScan { direction } => found(self.collection_scan(*direction)),
            Plan::IdLookup { ids } if self.clustered => {
                let ends = ids.first().zip(ids.last());
                found(self.clustered_scan(ends, Direction::Forward))
            }
            Plan::IdLookup { .. } => found(Tree::leaf("IDHACK", |_| {})),
            Plan::IndexScan(scan) if self.clustered && scan.index.is_none() => {
                let intervals = scan.fields.first().map(|field| field.iter());
                let mut intervals = intervals.into_iter().flatten().peekable();
                let low = intervals.peek().map(|interval| &interval.low);
                let ends = low.zip(intervals.last().map(|interval| &interval.high));
                found(self.clustered_scan(ends, scan.direction))
            }
            Plan::IndexScan(scan) => {
                self.filtered_scan(scan, &conditions::conjuncts(self.filter.root()))
            }
            Plan::Union(plans) => self.union(plans),
        }
    }

    /// A scan, and the rest of `conjuncts` where it can be decided: on the keys, or on documents.
    fn filtered_scan(&self, scan: &IndexScan, conjuncts: &[&Node]) -> Access {
        let left = conjuncts
            .iter()
            .enumerate()
            .filter(|(at, _)| !scan.answered.contains(at))
            .map(|(_, node)| *node);
        let (on_keys, on_documents): (Vec<&Node>, Vec<&Node>) =
            left.partition(|node| self.is_on_keys(scan, node));
        let tree = Tree::leaf("IXSCAN", |out| {
            self.filter(&on_keys, out);
            self.with_index(scan, |spec, multikey| {
                super::explain_scan::scan_fields(scan, spec, multikey, out);
            });
        });
        let on_documents: Vec<&Node> = on_documents
            .into_iter()
            .filter(|node| !matches!(node, Node::Always(true)))
            .collect();
        if on_documents.is_empty() {
            return Access {
                tree,
                fetched: false,
            };
        }
        Access {
            tree: Tree::over("FETCH", tree, |out| self.filter(&on_documents, out)),
            fetched: true,
        }
    }

    fn union(&self, plans: &[Plan]) -> Access {
        let conjuncts = conditions::conjuncts(self.filter.root());
        let is_the_or =
            |node: &&Node| matches!(node, Node::Or(branches) if branches.len() == plans.len());
        let branches: Vec<&Node> = match conjuncts.iter().copied().find(is_the_or) {
            Some(Node::Or(branches)) => branches.iter().collect(),
            _ => Vec::new(),
        };
        let inputs: Vec<Access> = plans
            .iter()
            .enumerate()
            .map(|(at, plan)| match (plan, branches.get(at)) {
                (Plan::IndexScan(scan), Some(branch)) => {
                    self.filtered_scan(scan, &conditions::conjuncts(branch))
                }
                (plan, _) => self.access(plan),
            })
            .collect();
        let fetched = inputs.iter().all(|input| input.fetched);
        let tree = Tree {
            inputs: inputs.into_iter().map(|input| input.tree).collect(),
            ..Tree::leaf("OR", |_| {})
        };
        let left: Vec<&Node> = conjuncts
            .into_iter()
            .filter(|node| !is_the_or(node))
            .collect();
        if left.is_empty() {
            return Access { tree, fetched };
        }
        Access {
            tree: Tree::over("FETCH", tree, |out| self.filter(&left, out)),
            fetched: true,
        }
    }

    /// Whether the index keys that `plan` walks tell the values at `path`.
    fn provides(&self, plan: &Plan, path: &Path) -> bool {
        match plan {
            Plan::IndexScan(scan) => {
                self.with_index(scan, |spec, multikey| scan.provides(spec, multikey, path))
            }
            Plan::Union(plans) => plans.iter().all(|plan| self.provides(plan, path)),
            Plan::Empty | Plan::IdLookup { .. } | Plan::CollScan { .. } => false,
        }
    }

    /// A scan of a clustered collection between two `_id`s.
    fn clustered_scan(&self, ends: Option<(&Value, &Value)>, direction: Direction) -> Tree {
        let Some((low, high)) = ends.filter(|ends| !matches!(ends, (Value::MinKey, Value::MaxKey)))
        else {
            return self.collection_scan(direction);
        };
        Tree::leaf("CLUSTERED_IXSCAN", |out| {
            self.filter(&conditions::conjuncts(self.filter.root()), out);
            out.append("direction", direction_name(direction));
            // The least of numbers, which intervals of numbers without a lower end do not name.
            let low = match low {
                Value::Double(f64::NEG_INFINITY) => ValueRef::Double(f64::NAN),
                low => low.as_ref(),
            };
            out.append("minRecord", low);
            out.append("maxRecord", high.as_ref());
        })
    }

    fn collection_scan(&self, direction: Direction) -> Tree {
        Tree::leaf("COLLSCAN", |out| {
            self.filter(&conditions::conjuncts(self.filter.root()), out);
            out.append("direction", direction_name(direction));
        })
    }

    fn filter(&self, nodes: &[&Node], out: &mut DocBuf) {
        if !nodes.is_empty() && !matches!(nodes, [Node::Always(true)]) {
            let filter = describe::conjunction(nodes, self.source);
            out.append("filter", ValueRef::Document(Doc::new(&filter)));
        }
    }

    /// Whether mongod matches `node` on the keys of the index, before it fetches the document.
    fn is_on_keys(&self, scan: &IndexScan, node: &Node) -> bool {
        let Node::Leaf(leaf) = node else {
            return false;
        };
        let decidable = match &leaf.predicate {
            Predicate::Regex(_) | Predicate::Mod { .. } => true,
            Predicate::Type(types) => !types.contains(crate::value::BsonType::Array),
            _ => false,
        };
        decidable
            && self.with_index(scan, |spec, multikey| {
                let fields = spec.fields().iter().enumerate();
                fields
                    .into_iter()
                    .any(|(at, field)| field.path == leaf.path && !multikey.field(at))
            })
    }

    fn with_index<T>(&self, scan: &IndexScan, look: impl FnOnce(&IndexSpec, &Multikey) -> T) -> T {
        let index = self.indexes.iter().find(|index| match &scan.index {
            Some(name) => index.spec.name() == name,
            None => index.spec.is_id(),
        });
        match index {
            Some(index) => look(index.spec, index.multikey),
            None => look(&IndexSpec::id(), &Multikey::default()),
        }
    }
}

fn fetch(input: Tree) -> Tree {
    // Documents passed over are not even fetched.
    Tree::over("FETCH", input, |_| {})
}

fn transform_nothing(out: &mut DocBuf) {
    out.append("transformBy", ValueRef::Document(Doc::EMPTY));
}

pub(super) fn direction_name(direction: Direction) -> ValueRef<'static> {
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
