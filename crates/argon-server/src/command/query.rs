//! What the commands that read have in common.

use std::sync::Arc;

use argon_engine::state::{Collection, State};
use argon_mql::collation::Collation;
use argon_mql::expr::{Expr, Scope};
use argon_mql::filter::Filter;
use argon_mql::plan::Hint;
use argon_mql::sort::Order;
use argon_mql::{Doc, Env, ErrorCode, ParseContext, Value, ValueRef};
use bytes::Bytes;

use super::Cx;
use crate::error::{Error, Result};
use crate::request::Argument;

/// Arguments that most commands take.
#[derive(Default)]
pub(super) struct Common<'a> {
    /// Values for the variables of expressions.
    pub(super) let_: Option<Doc<'a>>,
    /// How strings are compared.
    pub(super) collation: Option<Doc<'a>>,
}

/// Past this many documents a query may take long enough to be moved off the thread that serves sockets.
const HEAVY_DOCUMENTS: usize = 1_000;

impl<'a> Common<'a> {
    /// Takes `argument` if it is one of these; whether it was.
    pub(super) fn take(&mut self, argument: &Argument<'a>) -> Result<bool> {
        match &**argument.element.key() {
            b"let" => self.let_ = Some(argument.document()?),
            b"collation"
                if argument.command == "aggregate"
                    && matches!(argument.element.value(), ValueRef::Null) => {}
            b"collation" => {
                self.collation = Some(argument.document()?).filter(|doc| !doc.is_empty())
            }
            b"readConcern" => check_read_concern(argument)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// How strings are compared: as the command says, or else as its collection does.
pub(super) fn collation(
    given: Option<Doc<'_>>,
    collection: Option<&Arc<Collection>>,
) -> Result<Option<Arc<Collation>>> {
    let own = collection.and_then(|collection| collection.options.collation.clone());
    let Some(given) = given else {
        return Ok(own);
    };
    let given = Collation::parse(given)?.map(Arc::new);
    if given != own && collection.is_some_and(|collection| collection.options.view.is_some()) {
        return Err(Error::new(
            ErrorCode::OptionNotSupportedOnView,
            "Cannot override a view's default collation",
        ));
    }
    Ok(given)
}

/// Accepts the levels that a read of durable, published state meets, which is all but reading at a chosen time.
fn check_read_concern(argument: &Argument<'_>) -> Result<()> {
    let concern = argument.document()?;
    for element in concern.iter() {
        match &**element.key() {
            b"level" => match element.value().as_str() {
                Some("local" | "available" | "majority" | "linearizable" | "snapshot") => {}
                _ => {
                    return Err(Error::failed_to_parse(
                        "Invalid read concern level, must be one of 'local', 'majority', \
                         'linearizable', 'available' or 'snapshot'",
                    ));
                }
            },
            b"atClusterTime" => {
                return Err(Error::new(
                    ErrorCode::InvalidOptions,
                    "readConcern.atClusterTime is not supported: name the point in the database name \
                     (project~branch~LSN)",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The state that the command reads, and its collection there.
pub(super) async fn open(cx: &Cx<'_>) -> Result<(Arc<State>, Option<Arc<Collection>>)> {
    let collection = cx.request.collection()?;
    let state = state(cx).await?;
    let collection = state.collection(collection).cloned();
    Ok((state, collection))
}

/// The collection that the command writes to, as far as this server knows it. What was prepared with it is refused with
/// [`ErrorCode::StaleConfig`] by [`check_known`] where it does not hold: see [`attempts`].
async fn known(cx: &Cx<'_>) -> Result<Option<Arc<Collection>>> {
    let collection = cx.request.collection()?;
    let known = cx
        .shared
        .engine
        .known_database(&cx.request.database)
        .await?;
    Ok(known.and_then(|state| state.collection(collection).cloned()))
}

/// Has `attempt` compile a command for its collection and run it. Another server may have created that collection, or
/// another of its name, without this one having heard of it: then the collection is looked up, which takes time, and
/// the command compiled anew.
pub(super) async fn attempts<T, F: Future<Output = Result<T>>>(
    cx: &Cx<'_>,
    attempt: impl Fn(Option<Arc<Collection>>) -> F,
) -> Result<T> {
    /// Each takes somebody who creates the collection anew at just that moment.
    const REPEATS_MAX: u32 = 8;
    let mut collection = known(cx).await?;
    let mut repeats = 0;
    loop {
        let outcome = attempt(collection).await;
        let is_stale = |error: &Error| error.code == ErrorCode::StaleConfig;
        if repeats == REPEATS_MAX || !outcome.as_ref().is_err_and(is_stale) {
            return outcome;
        }
        repeats += 1;
        collection = open(cx).await?.1;
    }
}

/// Refuses what was compiled for `known` where the collection now compares strings in another way.
pub(super) fn check_known(
    now: Option<&Arc<Collection>>,
    known: Option<&Arc<Collection>>,
) -> Result<()> {
    let collation = |collection: Option<&Arc<Collection>>| {
        collection
            .filter(|collection| collection.options.collation.is_some())
            .map(|collection| collection.options.uuid())
    };
    if collation(now) == collation(known) {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::StaleConfig,
        "the collection was created anew meanwhile",
    ))
}

/// As [`open`], for the commands that refuse a name which no collection can have.
pub(super) async fn open_named(cx: &Cx<'_>) -> Result<(Arc<State>, Option<Arc<Collection>>)> {
    let collection = cx.request.collection()?;
    if collection.contains('$') {
        return Err(Error::new(
            ErrorCode::InvalidNamespace,
            format!(
                "Invalid collection name specified '{}.{collection}",
                cx.request.database
            ),
        ));
    }
    open(cx).await
}

/// The state that the command reads; a database that does not exist is empty.
pub(super) async fn state(cx: &Cx<'_>) -> Result<Arc<State>> {
    let after = cx.request.after_cluster_time();
    let opened = cx.shared.engine.open_database(&cx.request.database, after);
    // Where the store is asked, it may be slow.
    let found = cx.operation.until_deadline(opened).await??;
    Ok(found.unwrap_or_else(|| Arc::new(State::empty())))
}

/// Evaluates `let` and gives the context in which the command's expressions are compiled.
pub(super) fn variables(
    cx: &Cx<'_>,
    common: &Common<'_>,
    collection: Option<&Arc<Collection>>,
) -> Result<(Vec<(String, Value)>, ParseContext)> {
    let collation = collation(common.collation, collection)?;
    let mut parse = ParseContext::new().with_collation(collation);
    let mut variables = Vec::new();
    let check = || cx.operation.check();
    for definition in common.let_.into_iter().flat_map(Doc::iter) {
        let name = definition.key().to_string();
        let expression = Expr::parse(definition.value(), &parse)?;
        let env: Env<'_> = cx.env(variables.clone(), &check);
        let value = expression.eval(&Scope::new(&Bytes::from_static(b"\x05\0\0\0\0"), &env))?;
        parse = parse.with_variables([name.clone()]);
        variables.push((name, value));
    }
    Ok((variables, parse))
}

/// The sort that a command asks for, with strings compared as the command compares them.
pub(super) fn order(sort: Doc<'_>, parse: &ParseContext) -> Result<Order> {
    Ok(match Order::parse(sort)? {
        Order::By(sort) => Order::By(sort.with_collation(parse.collation.as_deref().cloned())),
        order => order,
    })
}

/// The index that a command asks for.
pub(super) fn hint(hint: ValueRef<'_>) -> Result<Option<Hint>> {
    match hint {
        ValueRef::Missing => Ok(None),
        hint => Ok(Hint::parse(hint)?),
    }
}

/// Whether a query may take long.
pub(super) fn is_heavy(collection: Option<&Arc<Collection>>, filter: Option<&Filter>) -> bool {
    let by_id = filter.is_some_and(|filter| {
        let equalities = filter.equalities();
        equalities.iter().any(|(path, _)| path.text() == "_id")
    });
    !by_id
        && collection.is_some_and(|collection| {
            collection.len() > HEAVY_DOCUMENTS || collection.options.view.is_some()
        })
}

/// Does `work`; if it may take long, other tasks are moved off this thread first, which costs some microseconds.
pub(super) fn run<T>(heavy: bool, work: impl FnOnce() -> T) -> T {
    if heavy {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// Refuses a view where a command needs a collection.
pub(super) fn refuse_view(cx: &Cx<'_>, collection: &Collection) -> Result<()> {
    if collection.options.view.is_none() {
        return Ok(());
    }
    let message = format!(
        "Namespace {}.{} is a view, not a collection",
        cx.request.database, collection.name
    );
    Err(Error::new(ErrorCode::CommandNotSupportedOnView, message))
}
