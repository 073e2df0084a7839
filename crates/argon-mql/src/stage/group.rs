//! `$group`.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use smallvec::SmallVec;

use super::budget::Budget;
use super::group_id::{Evaluated, GroupId};
use super::read_fields::{FieldSet, add_fields_of};
use super::source::Turns;
use super::{Changes, Context, Source, Stage, StageContext};
use crate::accumulator::{Accumulator, Column, Flags};
use crate::expr::{Operand, Scope};
use crate::spill::{Area, Merge, Runs};
use crate::value::{Doc, DocBuf, FieldName, Fields, Value, ValueRef};
use crate::{Error, Result};

/// What a group costs beside its key and states: hash table entry, identity, states.
const GROUP_BYTES: usize = 128;

#[derive(Debug)]
pub(super) struct GroupStage {
    id: GroupId,
    fields: Vec<(Bytes, Accumulator)>,
    flags: Flags,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let Some(spec) = value.as_document() else {
        return Err(Error::location(
            15947,
            "a group's fields must be specified in an object",
        ));
    };
    let mut id = None;
    let mut fields = Vec::new();
    for element in spec.iter() {
        let name = element.key();
        if name == "_id" {
            if id.replace(element.value()).is_some() {
                return Err(Error::location(
                    15948,
                    "a group's _id may only be specified once",
                ));
            }
        } else if name == "$doingMerge" {
            // What a mongos adds for its shards.
            if !matches!(element.value(), ValueRef::Bool(true)) {
                return Err(Error::location(
                    17030,
                    "$doingMerge should be true if present",
                ));
            }
        } else {
            fields.push(parse_field(name, element.value(), context)?);
        }
    }
    let id =
        id.ok_or_else(|| Error::location(15955, "a group specification must include an _id"))?;
    out.push(Box::new(GroupStage::new(id, fields, context)?));
    Ok(())
}

/// Parses one field and its accumulator.
fn parse_field(
    name: &bstr::BStr,
    value: ValueRef<'_>,
    context: &StageContext<'_>,
) -> Result<(Bytes, Accumulator)> {
    if name.contains(&b'.') {
        return Err(Error::location(
            40235,
            format!("The field name '{name}' cannot contain '.'"),
        ));
    }
    if name.starts_with(b"$") {
        return Err(Error::location(
            40236,
            format!("The field name '{name}' cannot be an operator name"),
        ));
    }
    let accumulator = Accumulator::parse(name, value, context.cx)?;
    Ok((Bytes::copy_from_slice(name), accumulator))
}

impl GroupStage {
    /// Groups by `id`, with accumulators by field name.
    pub(super) fn with_id(id: GroupId, fields: Vec<(Bytes, Accumulator)>) -> GroupStage {
        GroupStage {
            id,
            fields,
            flags: Flags::default(),
        }
    }

    /// Parses the accumulators of a `$bucket` or `$bucketAuto`.
    ///
    /// # Errors
    /// Those of `$group`; 15948 for a second `_id`.
    pub(super) fn parse_fields(
        spec: Doc<'_>,
        context: &StageContext<'_>,
    ) -> Result<Vec<(Bytes, Accumulator)>> {
        let mut fields = Vec::new();
        for element in spec.iter() {
            if element.key() == "_id" {
                return Err(Error::location(
                    15948,
                    "a group's _id may only be specified once",
                ));
            }
            fields.push(parse_field(element.key(), element.value(), context)?);
        }
        Ok(fields)
    }

    /// Groups by `id`, with accumulators by field name.
    pub(super) fn new(
        id: ValueRef<'_>,
        fields: Vec<(Bytes, Accumulator)>,
        context: &StageContext<'_>,
    ) -> Result<GroupStage> {
        Ok(GroupStage {
            id: GroupId::parse(id, context.cx)?,
            fields,
            flags: Flags::default(),
        })
    }
}

impl Stage for GroupStage {
    fn open(self: Arc<Self>, input: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(GroupSource {
            stage: self,
            input: Some(input),
            groups: Groups::default(),
            next: 0,
            merge: None,
        })
    }

    fn reads(&self, _: Option<&FieldSet>) -> Option<FieldSet> {
        let mut fields = FieldSet::new();
        let known = self.id.add_fields(&mut fields)
            && self.fields.iter().all(|(_, accumulator)| {
                accumulator.each_expr(&mut |expr| add_fields_of(expr, &mut fields))
            });
        known.then_some(fields)
    }

    fn changes(&self) -> Changes {
        self.id.changes()
    }

    fn is_pushed_down(&mut self) {
        self.flags.last_of_equals = self.stays_pushed_down();
    }

    fn stays_pushed_down(&self) -> bool {
        !self.id.has_array()
            && self
                .fields
                .iter()
                .all(|(_, accumulator)| accumulator.is_pushed_down())
    }
}

/// The groups in order of appearance.
#[derive(Default)]
struct Groups {
    ids: Vec<Value>,
    by_key: HashMap<Box<[u8]>, usize>,
    columns: Vec<Box<dyn Column>>,
}

impl Groups {
    fn new(stage: &GroupStage) -> Groups {
        Groups {
            columns: stage
                .fields
                .iter()
                .map(|(_, accumulator)| accumulator.column(stage.flags))
                .collect(),
            ..Groups::default()
        }
    }

    /// Begins the group with `id` in all columns.
    fn begin(&mut self, id: &Value, scope: &Scope<'_>) -> Result<()> {
        let id = match id {
            Value::Document(id) => id.clone(),
            _ => Bytes::from_static(Doc::EMPTY.as_bytes()),
        };
        for column in &mut self.columns {
            column.begin(&id, scope)?;
        }
        Ok(())
    }

    /// The document of the group at `at`.
    fn document(&mut self, stage: &GroupStage, at: usize, id: &Value) -> Result<Bytes> {
        let mut out = DocBuf::new();
        out.append("_id", id.as_ref());
        for ((name, _), column) in stage.fields.iter().zip(&mut self.columns) {
            out.append(name, column.finish(at)?.as_ref());
        }
        Ok(out.finish())
    }

    /// Writes all groups as a run: by key, identity and the states of the accumulators.
    fn spill(mut self, runs: &mut Runs, area: &dyn Area) -> Result<()> {
        let mut keys: Vec<_> = self.by_key.into_iter().collect();
        keys.sort_unstable();
        for (key, at) in keys {
            let mut record = DocBuf::new();
            record.append("id", self.ids[at].as_ref());
            let states = record.open_array("states");
            for (index, column) in self.columns.iter_mut().enumerate() {
                record.push(index, column.save(at).as_ref());
            }
            record.close(states);
            runs.add((&key, &[]), |out| out.extend_from_slice(&record.finish()))?;
        }
        runs.end_run(area)
    }
}

struct GroupSource {
    stage: Arc<GroupStage>,
    input: Option<Box<dyn Source>>,
    groups: Groups,
    next: usize,
    /// The groups, if they did not fit the memory.
    merge: Option<Merge>,
}

/// The top-level fields that a `$group` reads, found in one pass over each document.
struct Wanted {
    names: Vec<FieldName>,
    /// Which of them is the `_id`.
    id: Option<usize>,
    /// Which of them each accumulator takes.
    columns: Vec<Option<usize>>,
}

impl Wanted {
    fn new(stage: &GroupStage, columns: &[Box<dyn Column>]) -> Wanted {
        let mut names: Vec<FieldName> = Vec::new();
        let mut slot = |name: Option<String>| {
            let name = name?;
            let at = names
                .iter()
                .position(|known| known.as_bytes() == name.as_bytes());
            Some(at.unwrap_or_else(|| {
                names.push(FieldName::new(name.into()));
                names.len() - 1
            }))
        };
        let id = slot(stage.id.field());
        let columns = columns.iter().map(|column| slot(column.field())).collect();
        Wanted { names, id, columns }
    }

    /// The values of the fields in `doc`.
    #[inline]
    fn read<'d>(&self, doc: Doc<'d>) -> SmallVec<[ValueRef<'d>; 8]> {
        let mut values = SmallVec::from_elem(ValueRef::Missing, self.names.len());
        let mut left = self.names.len();
        if left == 0 {
            return values;
        }
        for field in Fields::of(doc) {
            for (name, value) in self.names.iter().zip(&mut values) {
                if field.is(name) && matches!(value, ValueRef::Missing) {
                    *value = field.value();
                    left -= 1;
                    break;
                }
            }
            if left == 0 {
                break;
            }
        }
        values
    }
}

/// Groups all documents: in memory, or behind [`Merge`] if they do not fit.
fn group(
    stage: &GroupStage,
    mut input: Box<dyn Source>,
    cx: &Context<'_>,
) -> Result<(Groups, Option<Merge>)> {
    let mut groups = Groups::new(stage);
    let mut runs = None;
    let mut budget = Budget::new("$group");
    let mut turns = Turns::default();
    let mut keys = Vec::new();
    let wanted = Wanted::new(stage, &groups.columns);
    while let Some(doc) = input.next(cx)? {
        turns.turn(cx)?;
        let scope = Scope::new(&doc, cx.env);
        let values = wanted.read(Doc::new(&doc));
        let find = |key: &[u8], value: Evaluated<'_>| {
            if let Some(at) = groups.by_key.get(key) {
                return (*at, 0);
            }
            let at = groups.ids.len();
            groups.by_key.insert(key.into(), at);
            groups.ids.push(value.to_value());
            (at, 2 * key.len() + GROUP_BYTES)
        };
        let (at, new) = match wanted.id.and_then(|slot| values.get(slot)) {
            Some(value) => stage
                .id
                .with_value(Operand::Part(*value, &doc), &mut keys, find),
            None => stage
                .id
                .with(&scope, stage.flags.last_of_equals, &mut keys, find)?,
        };
        if new > 0
            && let Some(id) = groups.ids.last().cloned()
        {
            groups.begin(&id, &scope)?;
        }
        let mut grown = new;
        for (column, slot) in groups.columns.iter_mut().zip(&wanted.columns) {
            grown += match slot.and_then(|slot| values.get(slot)) {
                Some(value) => column.add_value(at, Operand::Part(*value, &doc))?,
                None => column.add(at, &doc, &scope)?,
            };
        }
        if grown > 0
            && budget.is_over(grown, cx)?
            && let Some(area) = cx.spill
        {
            let runs = match &mut runs {
                Some(runs) => runs,
                none => none.insert(Runs::new(area)?),
            };
            std::mem::replace(&mut groups, Groups::new(stage)).spill(runs, area)?;
            budget.clear();
        }
    }
    let (Some(mut runs), Some(area)) = (runs, cx.spill) else {
        groups.by_key = HashMap::new();
        return Ok((groups, None));
    };
    groups.spill(&mut runs, area)?;
    Ok((Groups::default(), Some(runs.merge()?)))
}

/// Joins the parts of the next group that was written to disk.
fn next_merged(stage: &GroupStage, merge: &mut Merge, cx: &Context<'_>) -> Result<Option<Bytes>> {
    let Some((key, record)) = merge.next()? else {
        return Ok(None);
    };
    let id = Doc::new(&record).get("id").unwrap_or(ValueRef::Missing);
    let id = Value::share(id, &record);
    let mut groups = Groups::new(stage);
    groups.begin(
        &id,
        &Scope::new(&Bytes::from_static(Doc::EMPTY.as_bytes()), cx.env),
    )?;
    let mut load = |record: &Bytes| -> Result<()> {
        let states = Doc::new(record).get("states");
        let states = states.and_then(|states| states.as_array());
        for (column, state) in groups
            .columns
            .iter_mut()
            .zip(states.unwrap_or(Doc::EMPTY).values())
        {
            column.load(0, state)?;
        }
        Ok(())
    };
    load(&record)?;
    while merge.peek() == Some(&key[..])
        && let Some((_, record)) = merge.next()?
    {
        load(&record)?;
    }
    groups.document(stage, 0, &id).map(Some)
}

impl Source for GroupSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if let Some(input) = self.input.take() {
            (self.groups, self.merge) = group(&self.stage, input, cx)?;
        }
        if let Some(merge) = &mut self.merge {
            return next_merged(&self.stage, merge, cx);
        }
        let at = self.next;
        let Some(id) = self.groups.ids.get(at).cloned() else {
            return Ok(None);
        };
        self.next += 1;
        self.groups.document(&self.stage, at, &id).map(Some)
    }
}
