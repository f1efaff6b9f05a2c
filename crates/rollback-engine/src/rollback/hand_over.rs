//! Handing a plan over to the other door, which sees the same database.

use super::error::RollbackError;
use super::prepared::Prepared;
use super::record;
use crate::actor::Actor;
use crate::ports::{Database, Purpose};
use crate::store::{Event, HandOverEvent, Operation, Store};

/// A plan that the other door is asked to carry out, or to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The plan.
    pub prepared: Prepared,
    /// What history says of it, to tell the database from a copy; `None` if the plan is only to be shown.
    pub token: Option<String>,
    /// Whether recorded SQL has failed, and must not be used again.
    pub without_sql: bool,
}

/// What the other door was told, to see that its database is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandedOver<'a> {
    /// See [`Prepared::fingerprint`].
    pub fingerprint: &'a str,
    /// See [`HandOver::token`].
    pub token: Option<&'a str>,
}

/// Writes into history that the other door is asked to carry the plan out, and returns what tells it that it sees the
/// same database: a copy has the same rows, but not this one.
pub(super) fn write(
    database: &mut dyn Database,
    prepared: &Prepared,
    actor: &Actor,
) -> Result<String, RollbackError> {
    let mut store = Store::open(database)?;
    let token = store.session.random_text()?;
    let event = HandOverEvent {
        route: record::route(prepared),
        releases_removed: record::removed(prepared),
        lost_rows: record::lost_rows(prepared),
        token: Some(token.clone()),
    };
    store.session.begin(Purpose::Records)?;
    let written = store.write_operation(&Operation::new(Event::HandOver(event), actor));
    store.session.end(written)?;
    Ok(token)
}

impl HandedOver<'_> {
    /// Fails if this is not the database that the other door has made its plan for, or not in that state any more.
    pub(super) fn check(
        &self,
        database: &mut dyn Database,
        prepared: &Prepared,
    ) -> Result<(), RollbackError> {
        let was_written = match self.token {
            Some(token) => was_written(database, token)?,
            None => true,
        };
        if was_written && prepared.fingerprint() == self.fingerprint {
            Ok(())
        } else {
            Err(RollbackError::OtherDatabase)
        }
    }
}

/// Whether history has the hand-over with this token, among the last operations.
fn was_written(database: &mut dyn Database, token: &str) -> Result<bool, RollbackError> {
    const LAST: u32 = 50;
    let operations = Store::open(database)?.operations(LAST)?;
    Ok(operations.iter().any(|recorded| recorded.operation.token() == Some(token)))
}
