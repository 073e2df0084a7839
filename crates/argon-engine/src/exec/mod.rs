//! MongoDB's reads and writes, over a state or a writer.
//!
//! `records` turns a plan into documents; `find` and `aggregate` put the rest of a query behind them; `write` decides
//! updates and deletes.

mod distinct;
mod find;
mod range;
mod records;
mod sink;
mod tail;
mod view;
mod write;

pub use distinct::{distinct, distinct_plan, distinct_records};
pub use find::{Find, Reading, aggregate, count_all, find};
pub use range::Range;
pub use records::{Examined, Records, examine, examine_records, plan};
pub use sink::{merge, out};
pub use tail::{Tail, tail};
pub use view::{Resolved, resolve};
pub use write::{
    Deleted, FindAndModify, Modified, Update, Updated, delete, find_and_modify, update,
};
