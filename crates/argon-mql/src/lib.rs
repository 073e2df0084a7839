//! MongoDB's query language as pure functions over raw BSON.
//!
//! Nothing here does I/O, reads a clock or draws a random number by itself: what an evaluation needs from outside
//! comes in its [`Env`]. Documents stay bytes: [`Doc`] is a borrowed view that finds a field without decoding the
//! others, [`ValueRef`] a borrowed value, [`Value`] an owned one that shares the buffer it came from, [`DocBuf`] the
//! builder of new documents.
//!
//! ```text
//! filter, update, projection, expr, accumulator, stage     one room per part of the language
//! index, sort, plan                                        keys, orders, and which index answers a filter
//! value                                                    BSON bytes, comparison, numbers, sortable keys
//! ```
//!
//! Each part is *compiled* once per command (`parse`) into a typed tree, which is then run over many documents.
//! The behaviour is that of MongoDB 6.0.5, as recorded in `tests/cases`.

pub mod accumulator;
pub mod catalogue;
pub mod collation;
mod context;
mod env;
mod error;
mod error_code;
pub mod expr;
pub mod filter;
pub mod index;
pub mod path;
pub mod plan;
pub mod projection;
pub mod regex;
pub mod sort;
pub mod sorter;
pub mod spill;
pub mod stage;
pub mod update;
pub mod value;

pub use context::ParseContext;
pub use env::Env;
pub use error::{Error, Result};
pub use error_code::ErrorCode;
pub use expr::{Expr, Scope};
pub use filter::Filter;
pub use path::Path;
pub use projection::Projection;
pub use sort::Sort;
pub use sorter::Sorter;
pub use stage::Pipeline;
pub use update::{Update, UpdateOptions};
pub use value::{Doc, DocBuf, Value, ValueRef};
