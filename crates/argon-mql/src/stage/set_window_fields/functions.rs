//! The table of window functions, and how one is parsed.

use std::sync::Arc;

use super::Function;
use super::bounds::SortShape;
use super::{calculus, fill, moving, order, window};
use crate::catalogue::Entry;
use crate::value::ValueRef;
use crate::{Error, ParseContext, Result};

/// What a window function is parsed from.
pub(super) struct Arguments<'a> {
    pub(super) name: &'static str,
    pub(super) value: ValueRef<'a>,
    pub(super) window: Option<ValueRef<'a>>,
    pub(super) sort: SortShape,
    pub(super) cx: &'a ParseContext,
}

type Parse = fn(&Arguments<'_>) -> Result<Arc<dyn Function>>;

/// The window functions, sorted by name.
pub(super) static FUNCTIONS: &[(&str, Parse)] = &[
    ("$addToSet", window::add_to_set),
    ("$avg", window::avg),
    ("$bottom", window::bottom),
    ("$bottomN", window::bottom_n),
    ("$count", window::count),
    ("$covariancePop", window::covariance_pop),
    ("$covarianceSamp", window::covariance_samp),
    ("$denseRank", order::dense_rank),
    ("$derivative", calculus::derivative),
    ("$documentNumber", order::document_number),
    ("$expMovingAvg", moving::exp_moving_avg),
    ("$first", window::first),
    ("$firstN", window::first_n),
    ("$integral", calculus::integral),
    ("$last", window::last),
    ("$lastN", window::last_n),
    ("$linearFill", fill::linear_fill),
    ("$locf", fill::locf),
    ("$max", window::max),
    ("$maxN", window::max_n),
    ("$min", window::min),
    ("$minN", window::min_n),
    ("$push", window::push),
    ("$rank", order::rank),
    ("$shift", order::shift),
    ("$stdDevPop", window::std_dev_pop),
    ("$stdDevSamp", window::std_dev_samp),
    ("$sum", window::sum),
    ("$top", window::top),
    ("$topN", window::top_n),
];

/// The window functions, sorted by name.
pub fn entries() -> impl Iterator<Item = Entry> {
    FUNCTIONS.iter().map(|(name, _)| Entry::known(name))
}

/// Parses what stands under `field` of `output`: a function and, for some, a window.
///
/// # Errors
/// `FailedToParse` as mongod says it, and what the function's arguments are refused with.
pub(super) fn parse(
    field: &[u8],
    value: ValueRef<'_>,
    sort: SortShape,
    cx: &ParseContext,
) -> Result<Arc<dyn Function>> {
    let Some(spec) = value.as_document() else {
        return Err(Error::failed_to_parse(format!(
            "The field '{}' must be an object",
            String::from_utf8_lossy(field)
        )));
    };
    let (mut function, mut window, mut unknown) = (None, None, None);
    for element in spec.iter() {
        if element.key().starts_with(b"$") {
            if function.replace(element).is_some() {
                return Err(Error::failed_to_parse(
                    "Cannot specify two functions in window function spec",
                ));
            }
        } else if element.key() == "window" {
            window = Some(element.value());
        } else {
            unknown = Some(element.key());
        }
    }
    let Some(function) = function else {
        return Err(Error::failed_to_parse(
            "Expected a $-prefixed window function",
        ));
    };
    if let Some(unknown) = unknown {
        return Err(Error::failed_to_parse(format!(
            "Window function found an unknown argument: {unknown}"
        )));
    }
    let at = FUNCTIONS
        .binary_search_by(|(name, _)| name.as_bytes().cmp(function.key()))
        .map_err(|_| {
            Error::failed_to_parse(format!("Unrecognized window function, {}", function.key()))
        })?;
    let (name, parse) = FUNCTIONS[at];
    parse(&Arguments {
        name,
        value: function.value(),
        window,
        sort,
        cx,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_unique() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
