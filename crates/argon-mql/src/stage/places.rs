//! Which fields the stages of a pipeline set: those leave a [place](crate::value) where an earlier stage takes them away.

use std::collections::HashMap;
use std::sync::Arc;

use crate::value::{Doc, Places, ValueRef};

/// By name, the last stage that sets a field called so.
#[derive(Default)]
pub(super) struct Setters {
    last: HashMap<Vec<u8>, usize>,
}

impl Setters {
    /// Notes what the stage `index`, `{name: spec}`, sets. The first stage can find no place.
    pub(super) fn note(&mut self, index: usize, name: &[u8], spec: ValueRef<'_>) {
        if index == 0 {
            return;
        }
        match name {
            b"$addFields" | b"$set" => self.keys(index, spec),
            b"$setWindowFields" | b"$fill" => self.keys(index, argument(spec, "output")),
            b"$lookup" | b"$graphLookup" => self.path(index, argument(spec, "as")),
            b"$unwind" => self.path(index, argument(spec, "includeArrayIndex")),
            b"$densify" => self.path(index, argument(spec, "field")),
            b"$facet" => {
                let pipelines = spec.as_document().into_iter().flat_map(Doc::values);
                for stage in pipelines
                    .filter_map(|stages| stages.as_array())
                    .flat_map(Doc::values)
                {
                    if let Some(first) = stage.as_document().and_then(|stage| stage.iter().next()) {
                        self.note(index, first.key(), first.value());
                    }
                }
            }
            _ => {}
        }
        self.set_fields(index, spec);
    }

    /// For each stage, which fields leave their place; none if no stage sets any.
    pub(super) fn places(
        self,
        outer: Option<&Arc<Places>>,
    ) -> impl Fn(usize) -> Option<Arc<Places>> {
        let set_by = Arc::new(self.last);
        let outer = outer.cloned();
        move |stage| {
            if set_by.is_empty() {
                return outer.clone();
            }
            Some(Arc::new(Places {
                set_by: Arc::clone(&set_by),
                stage,
                outer: outer.clone(),
            }))
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    fn path(&mut self, index: usize, path: ValueRef<'_>) {
        if let ValueRef::String(path) = path {
            self.names(index, path);
        }
    }

    fn names(&mut self, index: usize, path: &[u8]) {
        for name in path.split(|&byte| byte == b'.') {
            self.last.insert(name.to_vec(), index);
        }
    }

    /// All keys in `value`, which may be more than it sets.
    fn keys(&mut self, index: usize, value: ValueRef<'_>) {
        for element in value.as_document().into_iter().flat_map(Doc::iter) {
            if element.key().starts_with(b"$") {
                continue;
            }
            self.names(index, element.key());
            self.keys(index, element.value());
        }
    }

    /// What expressions anywhere in `value` set.
    fn set_fields(&mut self, index: usize, value: ValueRef<'_>) {
        let (ValueRef::Document(inner) | ValueRef::Array(inner)) = value else {
            return;
        };
        for element in inner.iter() {
            if matches!(&**element.key(), b"$setField" | b"$unsetField")
                && let ValueRef::String(name) = argument(element.value(), "field")
            {
                self.last.insert(name.to_vec(), index);
            }
            self.set_fields(index, element.value());
        }
    }
}

fn argument<'a>(spec: ValueRef<'a>, name: &str) -> ValueRef<'a> {
    let value = spec.as_document().and_then(|spec| spec.get(name));
    value.unwrap_or(ValueRef::Missing)
}
