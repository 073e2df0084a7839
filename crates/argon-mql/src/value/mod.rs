//! BSON as bytes: borrowed views, owned values, the builder, and MongoDB's order over them.

mod build;
mod doc;
mod owned;
mod reference;
mod validate;

pub use build::DocBuf;
pub use doc::{Doc, Element, Elements};
pub use owned::Value;
pub use reference::{BsonType, ValueRef};
pub use validate::{DEPTH_MAX, validate};
