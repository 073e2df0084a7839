//! `$documents`: documents out of an expression.

use std::sync::Arc;

use bytes::Bytes;

use super::replace_root::not_an_object;
use super::{Context, Source, Stage, StageContext};
use crate::expr::{Expr, Scope};
use crate::value::{Doc, Value, ValueRef};
use crate::{Error, Result};

#[derive(Debug)]
struct DocumentsStage {
    documents: Expr,
}

pub(super) fn parse(
    value: ValueRef<'_>,
    context: &StageContext<'_>,
    out: &mut Vec<Box<dyn Stage>>,
) -> Result<()> {
    let documents = Expr::parse(value, context.cx)
        .map_err(|error| error.context("Invalid $documents :: caused by :: "))?;
    out.push(Box::new(DocumentsStage { documents }));
    Ok(())
}

impl Stage for DocumentsStage {
    fn open(self: Arc<Self>, _: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(DocumentsSource {
            stage: self,
            items: None,
        })
    }

    fn generates(&self) -> bool {
        true
    }
}

struct DocumentsSource {
    stage: Arc<DocumentsStage>,
    items: Option<std::vec::IntoIter<Value>>,
}

impl DocumentsSource {
    fn evaluate(&self, cx: &Context<'_>) -> Result<Vec<Value>> {
        let empty = Bytes::from_static(Doc::EMPTY.as_bytes());
        let value = self.stage.documents.eval(&Scope::new(&empty, cx.env))?;
        let Value::Array(array) = value else {
            return Err(Error::location(5_858_203, "an array is expected"));
        };
        Ok(Doc::new(&array)
            .values()
            .map(|item| Value::share(item, &array))
            .collect())
    }
}

impl Source for DocumentsSource {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Bytes>> {
        if self.items.is_none() {
            self.items = Some(self.evaluate(cx)?.into_iter());
        }
        match self.items.as_mut().and_then(Iterator::next) {
            None => Ok(None),
            Some(Value::Document(doc)) => Ok(Some(doc)),
            Some(other) => Err(not_an_object(
                "elements within the array passed to $documents",
                other.as_ref(),
            )),
        }
    }
}
