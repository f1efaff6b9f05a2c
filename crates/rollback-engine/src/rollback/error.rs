//! What can go wrong in a rollback.

use rollback_core::{SchemaDifference, SelectError, schema};

use crate::cases::CaseError;
use crate::dialect::BlockingSession;
use crate::ports::{DatabaseErrorKind, RunnerError};
use crate::session::SessionError;
use crate::store::StoreError;

/// Why a rollback did not come to its end. Unless it says otherwise, nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RollbackError {
    /// What a rollback rests on failed.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The plan has blockers.
    #[error("the rollback is blocked: {blockers} {}", if *blockers == 1 { "problem" } else { "problems" })]
    Blocked {
        /// How many blockers it has.
        blockers: usize,
    },
    /// The rollback would lose data, and nobody has accepted that.
    #[error("the rollback would lose {rows}, and {limit}", rows = values(*.rows), limit = allowed(*.limit))]
    WouldLoseData {
        /// How many rows and values.
        rows: i64,
        /// How many may be lost.
        limit: i64,
    },
    /// The user was asked whether data may be lost, and said no.
    #[error("stopped, and nothing was changed")]
    Declined,
    /// Another door has made the plan, and this one sees something else.
    #[error("manage.py sees another database, or another state of it, than the URL that was given")]
    OtherDatabase,
    /// Other sessions kept the tables locked for as long as the rollback was to wait.
    #[error(
        "waited {waited} s for locks in {database}, and everything is as it was before: {reason}{}",
        blocking(sessions)
    )]
    Waited {
        /// How the database is called.
        database: String,
        /// For how long, in whole seconds.
        waited: u64,
        /// What the database said the last time.
        reason: String,
        /// Who holds locks on the tables.
        sessions: Vec<BlockingSession>,
    },
    /// The schema after all steps is not the one that the target was saved with.
    #[error(
        "after all steps the schema is not the one that {target} was saved with, and everything is as it was before: {}",
        schema::describe(differences).join("; ")
    )]
    WrongSchema {
        /// Label of the target.
        target: String,
        /// What differs, except for differences that already existed.
        differences: Vec<SchemaDifference>,
    },
    /// After all steps the rows of `django_migrations` were not those of the target.
    #[error(
        "after all steps django_migrations does not hold what the plan promised, and everything is as it was before: {difference}"
    )]
    WrongResult {
        /// The first differences.
        difference: String,
    },
    /// A step failed, and everything was taken back.
    #[error("{step} could not be undone, and everything is as it was before: {reason}")]
    Failed {
        /// What was being done.
        step: String,
        /// What Django or the database said.
        reason: String,
    },
    /// A step failed after others had become permanent.
    #[error("stopped after {done} of {total} steps: {reason}")]
    Stopped {
        /// What was being done, and what Django or the database said.
        reason: String,
        /// How many steps are permanent.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// The connection was lost, and with it everything that had begun.
    #[error("the connection to {database} was lost, and everything is as it was before: {reason}")]
    ConnectionLost {
        /// How the database is called.
        database: String,
        /// What was said.
        reason: String,
    },
    /// The connection was lost at the commit, and the server cannot be asked what became of it.
    #[error(
        "the connection to {database} was lost, and it is not known yet whether the rollback is done: {reason}"
    )]
    Unknown {
        /// How the database is called.
        database: String,
        /// What was said.
        reason: String,
    },
    /// A step failed on the scratch copy.
    #[error("the rehearsal failed at {step}: {reason}")]
    Rehearsal {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
}

impl From<StoreError> for RollbackError {
    fn from(error: StoreError) -> Self {
        Self::Case(error.into())
    }
}

impl From<SessionError> for RollbackError {
    fn from(error: SessionError) -> Self {
        Self::Case(error.into())
    }
}

impl From<SelectError> for RollbackError {
    fn from(error: SelectError) -> Self {
        Self::Case(error.into())
    }
}

fn blocking(sessions: &[BlockingSession]) -> String {
    if sessions.is_empty() {
        return String::new();
    }
    let sessions: Vec<String> = sessions.iter().map(ToString::to_string).collect();
    format!("; locks are held by {}", sessions.join("; by "))
}

/// `1 row or value`, `2 rows and values`.
fn values(number: i64) -> String {
    if number == 1 { "1 row or value".to_owned() } else { format!("{number} rows and values") }
}

fn allowed(limit: i64) -> String {
    if limit == 0 { "nobody has accepted that".to_owned() } else { format!("at most {limit} may be lost") }
}

impl RollbackError {
    /// What Django or the project's code said while the project was loaded.
    pub(super) fn project(error: RunnerError) -> Self {
        Self::Case(CaseError::project(error))
    }

    /// The rollback was interrupted by this signal.
    pub(super) fn interrupted(signal: i32) -> Self {
        Self::Case(CaseError::Interrupted { signal })
    }

    /// What kind of failure the database reported, if it was the database.
    pub(super) fn kind(&self) -> Option<DatabaseErrorKind> {
        if let Self::Case(error) = self { error.session().and_then(SessionError::kind) } else { None }
    }

    /// What happened, without a word on what is left of it.
    pub fn cause(&self) -> String {
        match self {
            Self::Waited { database, waited, reason, sessions } => {
                format!("waited {waited} s for locks in {database}: {reason}{}", blocking(sessions))
            }
            Self::WrongSchema { target, differences } => format!(
                "after all steps the schema is not the one that {target} was saved with: {}",
                schema::describe(differences).join("; ")
            ),
            Self::WrongResult { difference } => {
                format!(
                    "after all steps django_migrations does not hold what the plan promised: {difference}"
                )
            }
            Self::Case(CaseError::Interrupted { .. }) => "interrupted".to_owned(),
            Self::Failed { step, reason } => format!("{step}: {reason}"),
            other => other.to_string(),
        }
    }

    /// Whether some steps are permanent although not all are, or whether that is unknown.
    pub fn is_partial(&self) -> bool {
        matches!(self, Self::Stopped { .. } | Self::Unknown { .. } | Self::Case(CaseError::Unfinished { .. }))
    }

    /// Whether recorded SQL may be at fault, if some was run: Django's own way may still work.
    pub(super) fn may_be_due_to_sql(&self) -> bool {
        matches!(self, Self::WrongSchema { .. } | Self::Failed { .. })
    }

    /// The number of the signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        if let Self::Case(error) = self { error.signal() } else { None }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Case(error) => return error.hint(),
            Self::Declined => return None,
            Self::OtherDatabase => "nothing was changed: compare the setting DATABASES with the URL",
            Self::Blocked { .. } => "nothing was changed: each blocker above comes with a way out",
            Self::WouldLoseData { .. } => {
                "the plan shows what and where: copy the data first; or accept the loss with `--accept-data-loss`, or \
                 with `--max-lost-rows N` up to N rows and values"
            }
            Self::Waited { .. } => {
                "end those sessions or wait until they have ended, then run this again; `--wait SECONDS` waits longer"
            }
            Self::WrongSchema { .. } => {
                "a migration does not go back exactly: fix its reverse, deploy that file and run this again; \
                 `--no-verify` accepts the result as it is"
            }
            Self::WrongResult { .. } => {
                "something else wrote to django_migrations meanwhile (a RunPython, a signal receiver): look there"
            }
            Self::Failed { .. } => "nothing was changed: fix the cause, then run this again",
            Self::Stopped { .. } => {
                "the finished steps are recorded: fix the cause, then run the same command again, which goes on from \
                 here; `status` shows where the database is"
            }
            Self::ConnectionLost { .. } => "nothing was changed: run this again",
            Self::Unknown { .. } => {
                "run `status` as soon as the server answers: it finds out, and says so; run nothing else before that"
            }
            Self::Rehearsal { .. } => {
                "the database itself was not touched; a rollback would fail there as well"
            }
        };
        Some(hint.to_owned())
    }
}
