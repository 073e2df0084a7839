//! For tests of this crate and of those built on it: failures on demand, and the contract that
//! every log store passes.

mod contract;
mod crash;
mod disk_faults;
mod durable_contract;
mod fault_store;
mod sample;
mod shared_store;

pub use contract::contract;
pub use crash::CRASH_POINT_VARIABLE;
pub(crate) use crash::crash_point;
pub use disk_faults::DiskFaults;
pub use durable_contract::durable_contract;
pub use fault_store::{FaultStore, SubmitFault};
pub use sample::{document, fork, project, record, record_of};
pub use shared_store::{AppendFault, Process, SharedStore};
