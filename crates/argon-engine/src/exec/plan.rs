//! Which documents a filter leads to, and in which order. (To be replaced by `argon_mql::plan`.)

use std::ops::Bound;

use argon_mql::filter::Filter;
use argon_mql::sort::Order;
use argon_mql::{Result, Value};

use crate::state::Collection;

#[derive(Clone, Debug)]
pub enum Hint {
    Name(String),
}
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    Forward,
    Backward,
}
#[derive(Clone, Debug)]
pub struct KeyRange {
    pub low: Bound<Vec<u8>>,
    pub high: Bound<Vec<u8>>,
}
#[derive(Clone, Debug)]
pub struct IndexScan {
    pub index: Option<String>,
    pub bounds: Vec<KeyRange>,
    pub direction: Direction,
}
#[derive(Clone, Debug)]
pub enum Plan {
    IdLookup { ids: Vec<Value> },
    CollScan { direction: Direction },
    IndexScan(IndexScan),
    Union(Vec<Plan>),
}
impl Plan {
    pub fn covers_sort(&self) -> bool {
        false
    }
}
impl Hint {
    pub fn parse(_: argon_mql::ValueRef<'_>) -> Result<Hint> {
        Ok(Hint::Name(String::new()))
    }
}
pub fn plan(_: &Collection, filter: &Filter, order: &Order, _: Option<&Hint>) -> Result<Plan> {
    if let Order::Natural { reverse } = order {
        return Ok(Plan::CollScan {
            direction: if *reverse {
                Direction::Backward
            } else {
                Direction::Forward
            },
        });
    }
    if let Some((_, id)) = filter
        .equalities()
        .into_iter()
        .find(|(path, _)| path.text() == b"_id")
    {
        return Ok(Plan::IdLookup {
            ids: vec![id.clone()],
        });
    }
    Ok(Plan::CollScan {
        direction: Direction::Forward,
    })
}
