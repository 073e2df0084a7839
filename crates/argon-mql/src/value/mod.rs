//! BSON as bytes: borrowed views, owned values, the builder, and MongoDB's order over them.

mod build;
mod compare;
pub mod decimal;
mod doc;
pub mod key;
mod number;
mod owned;
mod place;
mod reference;
mod scan;
mod text;
mod validate;

pub use build::DocBuf;
pub use compare::{
    TypeOrder, comparable, compare, compare_documents, compare_with, equal, equal_with,
};
pub use decimal::Decimal;
pub use doc::{Doc, Element, Elements};
pub use number::Number;
pub use owned::Value;
pub(crate) use place::{Places, without_places};
pub use reference::{BsonType, ValueRef};
pub(crate) use scan::{FieldName, Fields};
pub use validate::{DEPTH_MAX, validate};
