//! Taking a document apart along several paths at once, through the arrays on them.

use smallvec::SmallVec;

use super::keys::Multikey;
use crate::path::Path;
use crate::value::{Doc, ValueRef};
use crate::{Error, ErrorCode, Result};

/// The value at a path on which there is no array; `None` if there is one.
#[inline]
pub(crate) fn plain_value<'d>(doc: Doc<'d>, path: &Path) -> Option<ValueRef<'d>> {
    let mut value = ValueRef::Document(doc);
    for part in path.parts() {
        value = match value {
            ValueRef::Document(inner) => inner.get(part.name()).unwrap_or(ValueRef::Missing),
            ValueRef::Array(_) => return None,
            _ => return Some(ValueRef::Missing),
        };
    }
    match value {
        ValueRef::Array(_) => None,
        value => Some(value),
    }
}

/// Shows `visit` every combination of values (null where missing) to which `fields` paths lead in `doc`, as the keys of
/// an index on them.
pub(crate) fn combinations<'p, 'd>(
    doc: Doc<'d>,
    path: &dyn Fn(usize) -> &'p Path,
    fields: usize,
    visit: &mut dyn FnMut(&[ValueRef<'d>]),
) -> Result<()> {
    let mut expansion = Expansion {
        path,
        refuse_arrays: false,
        multikey: &mut Multikey::default(),
        visit: &mut |values, _| visit(values),
    };
    expansion.start(fields, doc)
}

/// Taking a document apart along several paths at once.
pub(super) struct Expansion<'e, 'p, 'd> {
    /// The path of each field.
    pub(super) path: &'e dyn Fn(usize) -> &'p Path,
    /// Whether an array on a path is an error, as in a hashed index.
    pub(super) refuse_arrays: bool,
    pub(super) multikey: &'e mut Multikey,
    /// Gets the values of each combination, null where missing, and whether any was there.
    pub(super) visit: &'e mut dyn FnMut(&[ValueRef<'d>], bool),
}

/// How far one field has got.
#[derive(Clone, Copy)]
enum State<'d> {
    /// At its value. `None` if it is missing.
    Done(Option<ValueRef<'d>>),
    /// At a value from which the components from `rest` on are to be followed.
    At { value: ValueRef<'d>, rest: usize },
    /// At an array that a position at the end of the path picked: it is a value as it is, and is one of the arrays
    /// of which there may be but one.
    Whole(Doc<'d>),
    /// At an array which the components from `rest` on (none, at the end of the path) enter.
    Array { array: Doc<'d>, rest: usize },
}

type States<'d> = SmallVec<[State<'d>; 4]>;

impl<'p, 'd> Expansion<'_, 'p, 'd> {
    pub(super) fn start(&mut self, fields: usize, doc: Doc<'d>) -> Result<()> {
        let start = State::At {
            value: ValueRef::Document(doc),
            rest: 0,
        };
        self.run(SmallVec::from_elem(start, fields))
    }

    fn run(&mut self, mut states: States<'d>) -> Result<()> {
        let mut first: Option<(Doc<'d>, usize, usize)> = None;
        for (index, state) in states.iter_mut().enumerate() {
            if let State::At { value, rest } = *state {
                *state = self.follow(index, value, rest);
            }
            let (array, rest) = match *state {
                State::Array { array, rest } => (array, rest),
                State::Whole(array) => (array, self.path(index).parts().len()),
                State::Done(_) | State::At { .. } => continue,
            };
            if self.refuse_arrays {
                return Err(self.array_in_hashed(index, rest));
            }
            match first {
                None => first = Some((array, index, rest)),
                Some((other, other_index, other_rest)) => {
                    // The same array is the same bytes at the same place.
                    if !std::ptr::eq(array.as_bytes(), other.as_bytes()) {
                        return Err(Error::new(
                            ErrorCode::CannotIndexParallelArrays,
                            format!(
                                "cannot index parallel arrays [{}] [{}]",
                                self.name(index, rest),
                                self.name(other_index, other_rest)
                            ),
                        ));
                    }
                }
            }
        }
        let Some((array, ..)) = first else {
            let found = states
                .iter()
                .any(|state| matches!(state, State::Done(Some(_))));
            let values: SmallVec<[ValueRef<'d>; 4]> = states
                .iter()
                .map(|state| match state {
                    State::Done(Some(value)) => *value,
                    _ => ValueRef::Null,
                })
                .collect();
            (self.visit)(&values, found);
            return Ok(());
        };
        self.enter(states, array)
    }

    fn path(&self, index: usize) -> &'p Path {
        (self.path)(index)
    }

    fn follow(&self, index: usize, mut value: ValueRef<'d>, mut rest: usize) -> State<'d> {
        let parts = self.path(index).parts();
        loop {
            match value {
                ValueRef::Array(array) => return State::Array { array, rest },
                _ if rest == parts.len() => return State::Done(Some(value)),
                ValueRef::Document(doc) => match doc.get(parts[rest].name()) {
                    Some(inner) => {
                        value = inner;
                        rest += 1;
                    }
                    None => return State::Done(None),
                },
                _ => return State::Done(None),
            }
        }
    }

    /// Goes on from `array`, which one or more fields have reached: by position, where their next component is one, by
    /// each item otherwise.
    fn enter(&mut self, mut states: States<'d>, array: Doc<'d>) -> Result<()> {
        let mut by_item: SmallVec<[usize; 4]> = SmallVec::new();
        for index in 0..states.len() {
            if let State::Whole(array) = states[index] {
                states[index] = State::Done(Some(if array.is_empty() {
                    ValueRef::Undefined
                } else {
                    ValueRef::Array(array)
                }));
            }
            let State::Array { rest, .. } = states[index] else {
                continue;
            };
            match self.by_position(index, array, rest)? {
                Some(state) => states[index] = state,
                None => by_item.push(index),
            }
        }
        if by_item.is_empty() {
            return self.run(states);
        }
        for &index in &by_item {
            if let State::Array { rest, .. } = states[index] {
                self.multikey.mark_at(index, rest.saturating_sub(1));
            }
        }
        if array.is_empty() {
            for &index in &by_item {
                let at_end = self.at_end(index, states[index]);
                states[index] = State::Done(at_end.then_some(ValueRef::Undefined));
            }
            return self.run(states);
        }
        for item in array.values() {
            let mut next = states.clone();
            for &index in &by_item {
                let State::Array { rest, .. } = states[index] else {
                    continue;
                };
                next[index] = match item {
                    _ if self.at_end(index, states[index]) => State::Done(Some(item)),
                    // An array in an array is not entered.
                    ValueRef::Document(_) => State::At { value: item, rest },
                    _ => State::Done(None),
                };
            }
            self.run(next)?;
        }
        Ok(())
    }

    fn at_end(&self, index: usize, state: State<'d>) -> bool {
        matches!(state, State::Array { rest, .. } if rest == self.path(index).parts().len())
    }

    /// The state after the position that the next component names, if it names one that `array` has.
    fn by_position(&self, index: usize, array: Doc<'d>, rest: usize) -> Result<Option<State<'d>>> {
        let parts = self.path(index).parts();
        let Some(part) = parts.get(rest) else {
            return Ok(None);
        };
        let Some(item) = part
            .index()
            .and_then(|position| array.values().nth(position))
        else {
            return Ok(None);
        };
        let ambiguous = array
            .values()
            .filter_map(|item| item.as_document())
            .any(|inner| inner.get(part.name()).is_some());
        if ambiguous {
            return Err(Error::location(
                16746,
                format!(
                    "Ambiguous field name found in array (do not use numeric field names in embedded elements in an array), field: '{}' for array: {array}",
                    bstr::BStr::new(part.name())
                ),
            ));
        }
        let rest = rest + 1;
        Ok(Some(if rest == parts.len() {
            match item {
                ValueRef::Array(inner) => State::Whole(inner),
                item => State::Done(Some(item)),
            }
        } else {
            State::At { value: item, rest }
        }))
    }

    #[cold]
    fn name(&self, index: usize, rest: usize) -> String {
        let parts = self.path(index).parts();
        let part = &parts[rest.saturating_sub(1)];
        bstr::BStr::new(part.name()).to_string()
    }

    #[cold]
    fn array_in_hashed(&self, index: usize, rest: usize) -> Error {
        let names: Vec<String> = self.path(index).parts()[..rest]
            .iter()
            .map(|part| bstr::BStr::new(part.name()).to_string())
            .collect();
        Error::location(
            16766,
            format!(
                "Error: hashed indexes do not currently support array values. Found array at path: {}",
                names.join(".")
            ),
        )
    }
}
