//! What a command may name in other databases than its own: one rule for all commands and both sides.
//!
//! A command runs on one side: in Argon's log, or in the deployment behind. What it names on the other would be written to,
//! or read from, the wrong place, and what it names of a branch under the upstream's own names would pass by the branch.
//!
//! | on a command's database ╲ it names | project in the log | upstream database | main beside prefix branches | prefix branch | Argon's own, `admin`, `config`, `local` |
//! |---|---|---|---|---|---|
//! | in the log | yes | no | no | no | no |
//! | upstream database, or main beside prefix branches | no | yes | main's own collections | no | no |
//! | prefix branch | no | yes | no | no | no |
//!
//! A database that is nowhere yet is on the side of the command, where `new-databases` leaves it the choice.
//! Which places a command names is said by the tables of `argon-prefix`.

use argon_engine::name::RESERVED;
use argon_mql::ErrorCode;
use argon_prefix::{Names, Place, elsewhere, may_reach_elsewhere};
use argon_upstream::Request;

use super::{Passthrough, is_projects};
use crate::error::{Error, Result};
use crate::prefix;
use crate::server::Shared;

/// Checks a command that is to be sent to the deployment, on `database`: of the branch with `names`, if it is a branch's.
///
/// # Errors
/// If it names what it may not.
pub(crate) async fn check_request(
    shared: &Shared,
    names: Option<&Names>,
    database: &str,
    request: &Request,
) -> Result<()> {
    if !may_reach_elsewhere(request.command()) {
        return Ok(());
    }
    // A walk through what is nested deeper than MongoDB allows would take more stack than there is.
    argon_mql::value::validate(request.body())?;
    for place in elsewhere(database.as_bytes(), request.body()) {
        if names.is_none_or(|names| !names.is_own_database(place.database)) {
            check_place(shared, names, database, place).await?;
        }
    }
    Ok(())
}

async fn check_place(
    shared: &Shared,
    names: Option<&Names>,
    from: &str,
    place: Place<'_>,
) -> Result<()> {
    // What is no text is no database's name: the upstream says so.
    let Ok(database) = std::str::from_utf8(place.database) else {
        return Ok(());
    };
    if let Some(passthrough) = &shared.passthrough {
        passthrough.check_own(database)?;
    }
    if RESERVED.contains(&database) {
        return Err(Error::new(
            ErrorCode::Unauthorized,
            format!(
                "database '{database}' of the MongoDB behind Argon cannot be reached through it"
            ),
        ));
    }
    if !database.contains('~') && !is_projects(shared, database) {
        return Ok(());
    }
    let Some(named) = prefix::names(shared, database).await? else {
        return Err(other_side(
            from,
            "the MongoDB behind Argon",
            database,
            "Argon's log",
        ));
    };
    let from_branch = names.is_some_and(|names| !names.prefix().is_empty());
    if from_branch || !named.is_identity() {
        return Err(Error::new(
            ErrorCode::CommandNotSupported,
            format!(
                "a command on '{from}' cannot name collections of '{database}', which is another branch: use that branch's \
                 database"
            ),
        ));
    }
    named.to_upstream(place.collection)?;
    Ok(())
}

impl Passthrough {
    /// Fails if `database`, which a command on a project in the log names, is not in the log as well and cannot come to be.
    ///
    /// # Errors
    /// If it is kept upstream, or the upstream cannot be asked.
    pub(crate) async fn check_in_log(
        &self,
        shared: &Shared,
        from: &str,
        database: &str,
    ) -> Result<()> {
        let in_upstream = if is_projects(shared, database) {
            prefix::names(shared, database).await?.is_some()
        } else {
            self.keeps(shared, database).await?
        };
        if in_upstream {
            return Err(other_side(
                from,
                "Argon's log",
                database,
                "the MongoDB behind Argon",
            ));
        }
        Ok(())
    }
}

fn other_side(from: &str, from_side: &str, database: &str, side: &str) -> Error {
    Error::new(
        ErrorCode::CommandNotSupported,
        format!(
            "a command on '{from}', which is kept in {from_side}, cannot name collections of '{database}', which is kept in \
             {side}"
        ),
    )
}
