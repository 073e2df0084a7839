//! Branches as prefixed collections of one upstream database, without I/O.
//!
//! Branch `feature-x` of project `shop` keeps its collection `users` as `branch_feature_x_users` in the upstream
//! database `shop`, beside main's `users`. An application speaks of `users` in the database `shop~feature-x` and must
//! never see the other names. So every command is rewritten on the way in and every reply on the way out:
//!
//! ```text
//!   {find: "users", $db: "shop~feature-x"}  ──command──▶  {find: "branch_feature_x_users", $db: "shop"}
//!                                                                         │ upstream
//!   {cursor: {ns: "shop~feature-x.users"}}  ◀──reply────  {cursor: {ns: "shop.branch_feature_x_users"}}
//! ```
//!
//! Two tables say where names stand: [`table`](mod@table) has a row per command, [`stage`](mod@stage) one per aggregation
//! stage. What has no row is refused, never passed on: a name that nobody rewrites would reach another branch's data.
//! [`Names`] is the mapping itself. The same tables say which other databases a command names ([`elsewhere()`]).
//!
//! Documents are bytes from end to end. What names nothing is copied as it stands, so field order and number types are
//! the client's own, and a reply's batch is passed over by its length.
//!
//! What it does not do: talk to anybody. Commands that one upstream command cannot answer (`listCollections`, `dbStats`,
//! `dropDatabase`) come out as [`Rewritten::Composed`]; the server makes them of several, with the functions of
//! [`listing`] and [`stats`].

pub mod copy;
mod elsewhere;
pub mod listing;
mod message;
mod names;
mod refused;
mod reply;
mod stage;
pub mod stats;
mod stream;
mod table;
mod walk;

pub use elsewhere::{Place, elsewhere, may_reach_elsewhere};
pub use message::to_client as message_to_client;
pub use names::{NAMESPACE_BYTES_MAX, Names, prefix_of};
pub use refused::Refused;
pub use reply::reply;
pub use table::{Composed, Shape};
pub use walk::{Rewritten, command};
