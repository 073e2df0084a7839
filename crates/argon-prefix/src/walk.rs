//! Commands, stage by stage and field by field, with the names in them changed.

use std::borrow::Cow;

use argon_mql::value::Element;
use argon_mql::{Doc, DocBuf, ErrorCode, ValueRef};
use bstr::BStr;
use bytes::Bytes;

use crate::names::Names;
use crate::refused::Refused;
use crate::table::{self, ANYWHERE, Composed, Kind, Row, Shape, Spot, field};
use crate::{stage, stream};

/// What becomes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// It goes to the upstream.
    Forward {
        /// The command's body with the upstream's names; `None` if it is as it was. Document sequences name nothing.
        body: Option<Bytes>,
        /// How [`reply`](crate::reply()) finds the names in the answer.
        shape: Shape,
    },
    /// It is answered from several commands to the upstream.
    Composed(Composed),
    /// No command that names anything: it is for the server itself, or unknown.
    Unknown,
}

/// Rewrites a command on the branch of `names`. What it names in other databases stays: whether it may is for the caller to
/// say, see [`elsewhere`](crate::elsewhere()).
///
/// `body` has been validated.
///
/// # Errors
/// [`Refused`] for names that are not the branch's, and for whatever names one where the tables do not know it.
pub fn command(names: &Names, body: &[u8]) -> Result<Rewritten, Refused> {
    let doc = Doc::new(body);
    let Some(first) = doc.iter().next() else {
        return Ok(Rewritten::Unknown);
    };
    let Some(row) = table::find(first.key()) else {
        return Ok(Rewritten::Unknown);
    };
    let shape = match row.kind {
        // Beside no branch a database is the upstream's as a whole.
        _ if names.is_transparent() => {
            return Ok(Rewritten::Forward {
                body: None,
                shape: Shape::Plain,
            });
        }
        Kind::Forwarded(shape) => shape,
        Kind::Composed(composed) => return Ok(Rewritten::Composed(composed)),
        Kind::MainOnly if names.prefix().is_empty() => Shape::Plain,
        Kind::MainOnly | Kind::Refused => return Err(Refused::unsupported(row.name)),
    };
    let walk = Walk {
        names,
        way: Way::In,
        whole_database: !matches!(first.value(), ValueRef::String(_)),
    };
    let mut out = DocBuf::with_capacity(body.len() + 64);
    walk.command(row, doc, &mut out)?;
    let out = out.finish();
    let body = (*out != *body).then_some(out);
    Ok(Rewritten::Forward { body, shape })
}

/// Which names become which.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The client's the upstream's.
    In,
    /// The upstream's the client's: what is not the branch's stays, and nothing is refused.
    Out,
}

/// One pass over a command.
pub(crate) struct Walk<'a> {
    names: &'a Names,
    way: Way,
    /// Whether the command is about the database, not one collection of it (`aggregate: 1`).
    whole_database: bool,
}

type Walked = Result<(), Refused>;

impl<'a> Walk<'a> {
    /// A pass over what the upstream answers.
    pub(crate) fn out(names: &'a Names) -> Walk<'a> {
        Walk {
            names,
            way: Way::Out,
            whole_database: false,
        }
    }

    /// Writes the command `doc` of `row`.
    fn command(&self, row: &Row, doc: Doc<'_>, out: &mut DocBuf) -> Walked {
        for (at, element) in doc.iter().enumerate() {
            let key: &[u8] = element.key();
            if key == b"$db" {
                self.database(&element, out);
                continue;
            }
            let spot = if at == 0 {
                row.subject
            } else {
                field(row.fields, key)
                    .unwrap_or_else(|| field(ANYWHERE, key).unwrap_or(Spot::Nothing))
            };
            self.spot(spot, &element, out)?;
        }
        Ok(())
    }

    /// Writes `element` with the names that stand in it as `spot` says.
    pub(crate) fn spot(&self, spot: Spot, element: &Element<'_>, out: &mut DocBuf) -> Walked {
        match (spot, element.value()) {
            (Spot::Collection | Spot::CursorCollection, ValueRef::Binary { .. }) => {
                return self.refuse(
                    || Refused::namespace("collections are named by their names here, not by UUID"),
                    element,
                    out,
                );
            }
            (Spot::CursorCollection, ValueRef::String(name)) if name.starts_with(b"$cmd.") => {
                out.append_element(element);
            }
            (
                Spot::Collection
                | Spot::CursorCollection
                | Spot::Place
                | Spot::NameOrFields(_)
                | Spot::ReduceOut,
                ValueRef::String(name),
            ) => {
                let name = self.collection(name)?;
                out.append(element.key(), ValueRef::String(BStr::new(&*name)));
            }
            (Spot::Namespace, ValueRef::String(name)) => {
                let name = match self.way {
                    Way::In => self.names.namespace_to_upstream(name)?,
                    Way::Out => self
                        .names
                        .namespace_to_client(name)
                        .unwrap_or_else(|| name.to_vec()),
                };
                out.append(element.key(), ValueRef::String(BStr::new(&name)));
            }
            (Spot::Place, ValueRef::Document(place)) => self.place(element, place, out)?,
            (Spot::ReduceOut, ValueRef::Document(place)) => self.reduce_out(element, place, out)?,
            (Spot::Pipeline, ValueRef::Array(stages)) => {
                let open = out.open_array(element.key());
                self.pipeline(stages, true, out)?;
                out.close(open);
            }
            (Spot::ViewPipeline, ValueRef::Array(stages)) => {
                let open = out.open_array(element.key());
                self.pipeline(stages, false, out)?;
                out.close(open);
            }
            (Spot::Pipelines, ValueRef::Document(pipelines)) => {
                let open = out.open_document(element.key());
                for pipeline in pipelines.iter() {
                    self.spot(Spot::Pipeline, &pipeline, out)?;
                }
                out.close(open);
            }
            (Spot::Fields(fields) | Spot::NameOrFields(fields), ValueRef::Document(doc)) => {
                let open = out.open_document(element.key());
                for element in doc.iter() {
                    let spot = field(fields, element.key()).unwrap_or(Spot::Nothing);
                    self.spot(spot, &element, out)?;
                }
                out.close(open);
            }
            (Spot::Indexes, ValueRef::Array(indexes)) => self.indexes(element, indexes, out),
            (Spot::Command, ValueRef::Document(doc)) => {
                let open = out.open_document(element.key());
                self.nested(doc, out)?;
                out.close(open);
            }
            (Spot::Refused, _) => {
                return self.refuse(|| Refused::unsupported(element.key()), element, out);
            }
            // A value of another type names nothing; where one is wrong the upstream says so.
            _ => out.append_element(element),
        }
        Ok(())
    }

    /// Writes a pipeline's stages into the open array; `live` if it is run, not stored.
    pub(crate) fn pipeline(&self, stages: Doc<'_>, live: bool, out: &mut DocBuf) -> Walked {
        let mut index = 0;
        for item in stages.iter() {
            let ValueRef::Document(doc) = item.value() else {
                out.push(index, item.value());
                index += 1;
                continue;
            };
            if self.way == Way::In && doc.iter().count() != 1 {
                return Err(Refused::new(
                    ErrorCode::location(40323),
                    "A pipeline stage specification object must contain exactly one field.",
                ));
            }
            let open = out.push_document(index);
            index += 1;
            for element in doc.iter() {
                self.stage(&element, out)?;
            }
            out.close(open);
            if live && self.way == Way::In {
                for stage in stream::after(self.names, doc, self.whole_database) {
                    out.push(index, ValueRef::Document(Doc::new(stage.as_bytes())));
                    index += 1;
                }
            }
        }
        Ok(())
    }

    fn stage(&self, element: &Element<'_>, out: &mut DocBuf) -> Walked {
        let name: &[u8] = element.key();
        match (stage::find(name), self.way) {
            (Some(spot), _) => self.spot(spot, element, out),
            (None, Way::In) => Err(Refused::new(
                ErrorCode::location(40324),
                format!("Unrecognized pipeline stage name: '{}'", BStr::new(name)),
            )),
            // An explained pipeline begins with what its plan is, and has counters beside its stages.
            (None, Way::Out) if name == b"$cursor" => {
                self.explained(element, out);
                Ok(())
            }
            (None, Way::Out) => {
                out.append_element(element);
                Ok(())
            }
        }
    }

    /// Writes an element of an explanation: plans name collections wherever they please, but under known keys.
    pub(crate) fn explained(&self, element: &Element<'_>, out: &mut DocBuf) {
        let key: &[u8] = element.key();
        let walked = match (key, element.value()) {
            (b"namespace" | b"foreignCollection" | b"ns", ValueRef::String(_)) => {
                self.spot(Spot::Namespace, element, out)
            }
            (b"command", ValueRef::Document(_)) => self.spot(Spot::Command, element, out),
            (b"stages" | b"pipeline", ValueRef::Array(_)) => {
                self.spot(Spot::Pipeline, element, out)
            }
            // The client's own values.
            (b"parsedQuery" | b"filter" | b"indexBounds" | b"transformBy", _) => {
                out.append_element(element);
                Ok(())
            }
            (_, ValueRef::Document(doc)) => {
                let open = out.open_document(key);
                doc.iter().for_each(|inner| self.explained(&inner, out));
                out.close(open);
                Ok(())
            }
            (_, ValueRef::Array(array)) => {
                let open = out.open_array(key);
                array.iter().for_each(|inner| self.explained(&inner, out));
                out.close(open);
                Ok(())
            }
            _ => {
                out.append_element(element);
                Ok(())
            }
        };
        debug_assert!(walked.is_ok(), "on the way out nothing is refused");
    }

    /// Writes the command inside `explain`.
    fn nested(&self, doc: Doc<'_>, out: &mut DocBuf) -> Walked {
        let name = doc.iter().next().map_or(BStr::new(""), |first| first.key());
        match (table::find(name), self.way) {
            (Some(row), _) if matches!(row.kind, Kind::Forwarded(_)) => self.command(row, doc, out),
            (_, Way::In) => Err(Refused::new(
                ErrorCode::CommandNotFound,
                format!("Explain failed due to unknown command: {name}"),
            )),
            (_, Way::Out) => {
                out.append_all(doc);
                Ok(())
            }
        }
    }

    fn collection<'c>(&self, name: &'c [u8]) -> Result<Cow<'c, [u8]>, Refused> {
        match self.way {
            Way::In => self.names.to_upstream(name),
            Way::Out => Ok(Cow::Borrowed(self.names.to_client(name).unwrap_or(name))),
        }
    }

    fn database(&self, element: &Element<'_>, out: &mut DocBuf) {
        let (from, to) = match self.way {
            Way::In => (self.names.client(), self.names.upstream()),
            Way::Out => (self.names.upstream(), self.names.client()),
        };
        match element.value() {
            ValueRef::String(name) if *name == from.as_bytes() => {
                out.append(element.key(), ValueRef::String(BStr::new(to)));
            }
            _ => out.append_element(element),
        }
    }

    /// Writes `{db, coll}`: both change, or neither if the database is another one.
    fn place(&self, element: &Element<'_>, place: Doc<'_>, out: &mut DocBuf) -> Walked {
        if let Some(ValueRef::String(database)) = place.get("db") {
            let own = match self.way {
                Way::In => self.names.is_own_database(database),
                Way::Out => *database == self.names.upstream().as_bytes(),
            };
            if !own {
                out.append_element(element);
                return Ok(());
            }
        }
        let open = out.open_document(element.key());
        for element in place.iter() {
            match &**element.key() {
                b"db" => {
                    let to = match self.way {
                        Way::In => self.names.upstream(),
                        Way::Out => self.names.client(),
                    };
                    match element.value() {
                        ValueRef::String(_) => {
                            out.append("db", ValueRef::String(BStr::new(to)));
                        }
                        _ => out.append_element(&element),
                    }
                }
                b"coll" | b"collection" => self.spot(Spot::Collection, &element, out)?,
                _ => out.append_element(&element),
            }
        }
        out.close(open);
        Ok(())
    }

    /// Writes `out` of `mapReduce`, whose database is a field beside the collection's.
    fn reduce_out(&self, element: &Element<'_>, place: Doc<'_>, out: &mut DocBuf) -> Walked {
        let other = self.way == Way::In
            && matches!(
                place.get("db"),
                Some(ValueRef::String(database)) if !self.names.is_own_database(database)
            );
        let open = out.open_document(element.key());
        for element in place.iter() {
            match &**element.key() {
                b"db" if !other => self.database(&element, out),
                b"replace" | b"merge" | b"reduce" | b"normal" if !other => {
                    self.spot(Spot::Collection, &element, out)?;
                }
                _ => out.append_element(&element),
            }
        }
        out.close(open);
        Ok(())
    }

    /// Writes index specifications. mongod takes their old `ns` and does not look at it.
    fn indexes(&self, element: &Element<'_>, indexes: Doc<'_>, out: &mut DocBuf) {
        if self.names.is_identity() {
            out.append_element(element);
            return;
        }
        let open = out.open_array(element.key());
        for (at, item) in indexes.iter().enumerate() {
            let ValueRef::Document(index) = item.value() else {
                out.push(at, item.value());
                continue;
            };
            let open = out.push_document(at);
            for element in index.iter().filter(|element| element.key() != "ns") {
                out.append_element(&element);
            }
            out.close(open);
        }
        out.close(open);
    }

    /// Refuses on the way in; on the way out there is nothing to protect.
    fn refuse(
        &self,
        refused: impl FnOnce() -> Refused,
        element: &Element<'_>,
        out: &mut DocBuf,
    ) -> Walked {
        if self.way == Way::In {
            return Err(refused());
        }
        out.append_element(element);
        Ok(())
    }
}
