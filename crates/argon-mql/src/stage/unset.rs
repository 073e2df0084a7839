//! `$unset`: a `$project` that leaves fields out.

use super::project::Project;
use super::{FieldPath, Stage, StageContext};
use crate::value::{Doc, DocBuf, ValueRef};
use crate::{Error, Result};

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let mut spec = DocBuf::new();
    let mut leave_out = |value: ValueRef<'_>| {
        let ValueRef::String(path) = value else {
            return Err(Error::location(
                31120,
                "$unset specification must be a string or an array containing only string values",
            ));
        };
        FieldPath::parse(path)?;
        spec.append(path, ValueRef::Int32(0));
        Ok(())
    };
    match value {
        ValueRef::String(_) => leave_out(value)?,
        ValueRef::Array(array) if array.is_empty() => {
            return Err(Error::location(
                31119,
                "$unset specification must be a string or an array with at least one field",
            ));
        }
        ValueRef::Array(array) => array.values().try_for_each(leave_out)?,
        _ => {
            return Err(Error::location(
                31002,
                "$unset specification must be a string or an array",
            ));
        }
    }
    let spec = spec.finish();
    out.push(Box::new(Project::new("$unset", Doc::new(&spec), context)?));
    Ok(())
}
