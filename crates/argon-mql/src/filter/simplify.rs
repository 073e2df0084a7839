//! The one form of a filter's tree: what means the same looks the same.
//!
//! mongod rewrites filters in this way too, and it shows: in the order of conditions that explanations print, in the array
//! item that a positional `$` means (that of the last condition in this order), in the fields that an upsert takes from
//! the filter.

use std::cmp::Ordering;

use bstr::BStr;

use super::bitwise::BitTest;
use super::comparison::{CompareOp, In};
use super::tree::{Leaf, Node, Predicate};

impl Node {
    /// All of `nodes`.
    pub(crate) fn and(nodes: Vec<Node>) -> Node {
        let nodes = match single(nodes) {
            Ok(only) => return only,
            Err(nodes) => nodes,
        };
        let mut flat = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node {
                Node::And(inner) => flat.extend(inner),
                Node::Always(true) => {}
                Node::Always(false) => return Node::Always(false),
                node => flat.push(node),
            }
        }
        sort(&mut flat);
        single(flat).unwrap_or_else(Node::And)
    }

    /// One of `nodes`, which are not none.
    pub(super) fn or(nodes: Vec<Node>) -> Node {
        let nodes = match single(nodes) {
            Ok(only) => return only,
            Err(nodes) => nodes,
        };
        let mut flat = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node {
                Node::Or(inner) => flat.extend(inner),
                Node::Always(false) => {}
                node if node.is_always() => return Node::Always(true),
                node => flat.push(node),
            }
        }
        if flat.is_empty() {
            return Node::Always(false);
        }
        if flat.len() > 1 {
            flat = gather_equalities(flat);
        }
        sort(&mut flat);
        single(flat).unwrap_or_else(Node::Or)
    }

    /// None of `nodes`, which are not none.
    pub(super) fn nor(nodes: Vec<Node>) -> Node {
        let mut nodes = nodes;
        if nodes.len() == 1 && nodes.iter().all(Node::is_always) {
            return Node::Always(false);
        }
        sort(&mut nodes);
        match single(nodes) {
            Ok(only) => Node::not(only),
            Err(nodes) => Node::Nor(nodes),
        }
    }

    /// Not `node`.
    pub(crate) fn not(node: Node) -> Node {
        match node {
            node @ Node::Always(_) => Node::Nor(vec![node]),
            node => Node::Not(Box::new(node)),
        }
    }

    /// Whether there is no condition.
    pub(super) fn is_always(&self) -> bool {
        match self {
            Node::And(nodes) => nodes.is_empty(),
            Node::Always(value) => *value,
            _ => false,
        }
    }

    /// Where it stands among its like.
    fn rank(&self) -> u8 {
        match self {
            Node::And(_) => 0,
            Node::Or(_) => 1,
            Node::Leaf(leaf) => leaf.predicate.rank(),
            Node::Not(_) => 30,
            Node::Nor(_) => 31,
            Node::Schema(_) => 33,
            Node::Expr(_) | Node::SampleRate(_) => 34,
            Node::Always(_) => 35,
        }
    }

    /// The path that it is about, if it is about one.
    fn path(&self) -> Option<&BStr> {
        match self {
            Node::Leaf(leaf) => Some(leaf.path.text()),
            _ => None,
        }
    }

    /// The conditions inside it.
    fn children(&self) -> &[Node] {
        match self {
            Node::And(nodes) | Node::Or(nodes) | Node::Nor(nodes) => nodes,
            Node::Not(node) => std::slice::from_ref(node),
            Node::Leaf(leaf) => match &leaf.predicate {
                Predicate::ElemMatchObject(inner) | Predicate::ElemMatchValue(inner) => {
                    std::slice::from_ref(inner)
                }
                _ => &[],
            },
            _ => &[],
        }
    }

    /// The order in which conditions stand: by kind, then by path, then by what is inside.
    fn order(&self, other: &Node) -> Ordering {
        let inside = || {
            let (mine, its) = (self.children(), other.children());
            mine.iter()
                .zip(its)
                .map(|(mine, its)| mine.order(its))
                .find(|ordering| ordering.is_ne())
                .unwrap_or(mine.len().cmp(&its.len()))
        };
        self.rank()
            .cmp(&other.rank())
            .then_with(|| self.path().cmp(&other.path()))
            .then_with(inside)
    }
}

impl Predicate {
    fn rank(&self) -> u8 {
        match self {
            Predicate::ElemMatchObject(_) => 2,
            Predicate::ElemMatchValue(_) => 3,
            Predicate::Size(_) => 4,
            Predicate::Compare(compare) => match compare.op() {
                CompareOp::Eq => 5,
                CompareOp::Lte => 6,
                CompareOp::Lt => 7,
                CompareOp::Gt => 8,
                CompareOp::Gte => 9,
            },
            Predicate::Regex(_) => 10,
            Predicate::Mod { .. } => 11,
            Predicate::Exists => 12,
            Predicate::In(_) => 13,
            Predicate::Bits(bits) => match bits.test() {
                BitTest::AllSet => 14,
                BitTest::AllClear => 15,
                BitTest::AnySet => 16,
                BitTest::AnyClear => 17,
            },
            Predicate::Type(_) => 32,
        }
    }
}

/// Sorts; equals stay in the order in which they were written.
fn sort(nodes: &mut [Node]) {
    if nodes.len() > 1 {
        nodes.sort_by(Node::order);
    }
}

/// The only one of `nodes`, or all of them back.
fn single(mut nodes: Vec<Node>) -> Result<Node, Vec<Node>> {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => Ok(only),
        Some(last) => {
            nodes.push(last);
            Err(nodes)
        }
        None => Err(nodes),
    }
}

/// Makes one `$in` out of several alternatives that ask one field for equality or for a regular expression.
fn gather_equalities(nodes: Vec<Node>) -> Vec<Node> {
    let gathers = |node: &Node| match node {
        Node::Leaf(leaf) => match &leaf.predicate {
            Predicate::Compare(compare) => compare.op() == CompareOp::Eq,
            Predicate::Regex(_) => true,
            _ => false,
        },
        _ => false,
    };
    let mut rest = Vec::with_capacity(nodes.len());
    let mut equal: Vec<Leaf> = Vec::new();
    for node in nodes {
        match node {
            Node::Leaf(leaf) if gathers(&Node::Leaf(leaf.clone())) => equal.push(leaf),
            node => rest.push(node),
        }
    }
    // Those on one path stand together; the order among them is that of the values anyway.
    equal.sort_by(|a, b| a.path.text().cmp(b.path.text()));
    for group in equal.chunk_by(|a, b| a.path == b.path) {
        rest.push(Node::Leaf(match group {
            [only] => only.clone(),
            [first, ..] => Leaf {
                path: first.path.clone(),
                predicate: Predicate::In(gather(group)),
            },
            [] => continue,
        }));
    }
    rest
}

fn gather(leaves: &[Leaf]) -> In {
    let mut values = Vec::new();
    let mut regexes = Vec::new();
    let mut collation = None;
    for leaf in leaves {
        match &leaf.predicate {
            Predicate::Compare(compare) => {
                values.push(compare.operand().clone());
                collation = collation.or(compare.shared_collation());
            }
            Predicate::Regex(regex) => regexes.push((**regex).clone()),
            _ => {}
        }
    }
    In::with_collation(values, regexes, collation)
}
