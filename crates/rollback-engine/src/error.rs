//! Everything that can go wrong in a use case, each with the next step for the user.

use rollback_core::{CommitId, MigrationId, SchemaDifference, SelectError, StoredError, schema};
use rollback_revision::RepositoryError;

use crate::import::ImportError;
use crate::lock::{self, BlockingSession, Holder};
use crate::ports::{DatabaseError, DatabaseErrorKind, RunnerError};

/// A use case that ended without doing what was asked. Unless it says otherwise, nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The database, or the way to it, failed.
    #[error("{database}: {error}")]
    Database {
        /// How the database is called.
        database: String,
        /// Its own words.
        error: DatabaseError,
    },
    /// There is no table `django_migrations`.
    #[error("{database} has no table django_migrations")]
    NoMigrationsTable {
        /// How the database is called.
        database: String,
    },
    /// Our own tables are not there, or as 0.4.0 left them.
    #[error("the tables of django-rollback are missing in {database}: {migration} is not applied")]
    NotInstalled {
        /// How the database is called.
        database: String,
        /// The first of our migrations that is missing.
        migration: MigrationId,
    },
    /// A newer version than this one made the tables.
    #[error(
        "a newer django-rollback made the tables in {database}: {migration} is applied, and this version does not know it"
    )]
    NewerTables {
        /// How the database is called.
        database: String,
        /// The migration that is not known here.
        migration: MigrationId,
    },
    /// A row of ours that does not hold what we write.
    #[error("{what} in {database} is damaged: {reason}")]
    Damaged {
        /// How the database is called.
        database: String,
        /// Which row.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A row of ours that a newer version wrote.
    #[error("{what} in {database} was written by a newer django-rollback: it has format {format}")]
    NewerRecord {
        /// How the database is called.
        database: String,
        /// Which row.
        what: String,
        /// Its format.
        format: u32,
    },
    /// A stored set that a newer version wrote, or whose bytes changed.
    #[error("the stored set of release {release} cannot be used: {error}")]
    StoredSet {
        /// The release.
        release: CommitId,
        /// What is wrong with it.
        error: StoredError,
    },
    /// A stored schema that a newer version wrote, or whose bytes changed.
    #[error("the stored schema of release {release} cannot be used: {error}")]
    StoredSchema {
        /// The release.
        release: CommitId,
        /// What is wrong with it.
        error: StoredError,
    },
    /// No single release answers to what the user asked for.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// Nothing can be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The git repository cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A step failed on the scratch copy.
    #[error("the rehearsal failed at {step}: {reason}")]
    Rehearsal {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// Whether the database is ahead cannot be told: nobody here knows what the code has.
    #[error(
        "commit {commit} was never saved here, and no Django is here that could tell which migrations its code has"
    )]
    CodeUnknown {
        /// The commit of the code.
        commit: String,
    },
    /// Django's loader could not tell about the project's migrations.
    #[error("cannot load the project's migrations: {0}")]
    Project(String),
    /// Another save, rollback or migrate is at work.
    #[error("another save, rollback or migrate holds the lock in {database}{}", named(holder.as_ref()))]
    Locked {
        /// How the database is called.
        database: String,
        /// Who it is, where that is known.
        holder: Option<Holder>,
    },
    /// Other sessions kept the tables locked for as long as we were to wait.
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
    /// A signal asked to stop, and everything was taken back.
    #[error("interrupted, and everything is as it was before")]
    Interrupted {
        /// The signal's number.
        signal: i32,
    },
    /// The rollback would lose data, and nobody has accepted that.
    #[error("the rollback would lose {rows}, and {limit}", rows = values(*.rows), limit = allowed(*.limit))]
    WouldLoseData {
        /// How many rows and values.
        rows: i64,
        /// How many may be lost.
        limit: i64,
    },
    /// The schema after all steps is not the one that the target was saved with.
    #[error(
        "after all steps the schema is not the one that {target} was saved with, and everything is as it was before: {}",
        schema::describe(differences).join("; ")
    )]
    WrongSchema {
        /// Label of the target.
        target: String,
        /// What differs, apart from what differed before.
        differences: Vec<SchemaDifference>,
    },
    /// The connection was lost, and with it everything that was begun.
    #[error("the connection to {database} was lost, and everything is as it was before: {reason}")]
    ConnectionLost {
        /// How the database is called.
        database: String,
        /// What was said.
        reason: String,
    },
    /// The connection was lost at the commit, and the server cannot be asked what came of it.
    #[error(
        "the connection to {database} was lost, and whether the rollback is done is not known yet: {reason}"
    )]
    Unknown {
        /// How the database is called.
        database: String,
        /// What was said.
        reason: String,
    },
    /// A rollback has stopped part-way, and something else was asked for.
    #[error("the rollback to {to} stopped after {done} of {total} steps")]
    Open {
        /// Where it was to go.
        to: String,
        /// How many steps are permanent.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// The plan of a `migrate` counts on what is not so any more.
    #[error("the plan of this migrate is stale: meanwhile {migration} was {}", if *is_applied { "applied" } else { "undone" })]
    StaleMigrate {
        /// The first migration that is not as the plan has it.
        migration: MigrationId,
        /// Whether it is applied now.
        is_applied: bool,
    },
    /// There is nothing to resume or to abort.
    #[error("no rollback has stopped part-way")]
    NothingOpen,
    /// What is applied changed between the plan and its execution.
    #[error("migrations were applied or undone, or a release was saved, since this plan was made")]
    Stale,
    /// The plan has blockers.
    #[error("the rollback cannot run: {blockers} {things} in the way", things = if *.blockers == 1 { "thing is" } else { "things are" })]
    Blocked {
        /// How many blockers it has.
        blockers: usize,
    },
    /// A step failed, and everything was taken back.
    #[error("{step} could not be undone, and everything is as it was before: {reason}")]
    Failed {
        /// What was being done.
        step: String,
        /// What Django or the database said.
        reason: String,
    },
    /// A step failed after others had been made permanent.
    #[error("stopped after {done} of {total} steps: {reason}")]
    Stopped {
        /// What was being done, and what Django or the database said.
        reason: String,
        /// How many steps are permanent.
        done: usize,
        /// How many there are.
        total: usize,
    },
    /// After all steps the rows of `django_migrations` were not those of the target.
    #[error(
        "after all steps django_migrations did not hold what the plan promised, and everything is as it was before: {difference}"
    )]
    WrongResult {
        /// The first differences.
        difference: String,
    },
}

fn named(holder: Option<&Holder>) -> String {
    holder.map(|holder| format!(": {holder}")).unwrap_or_default()
}

fn blocking(sessions: &[BlockingSession]) -> String {
    if sessions.is_empty() {
        return String::new();
    }
    let sessions: Vec<String> = sessions.iter().map(ToString::to_string).collect();
    format!("; locks are held by {}", sessions.join("; by "))
}

/// `1 row or value`, `2 rows and values`.
pub(crate) fn values(number: i64) -> String {
    if number == 1 { "1 row or value".to_owned() } else { format!("{number} rows and values") }
}

fn allowed(limit: i64) -> String {
    if limit == 0 { "nobody has accepted that".to_owned() } else { format!("at most {limit} may be lost") }
}

impl EngineError {
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
                format!("after all steps django_migrations did not hold what the plan promised: {difference}")
            }
            Self::Interrupted { .. } => "interrupted".to_owned(),
            Self::Failed { step, reason } => format!("{step}: {reason}"),
            other => other.to_string(),
        }
    }

    /// What Django or the project's code said while the project was loaded.
    pub(crate) fn project(error: RunnerError) -> Self {
        match error.kind {
            DatabaseErrorKind::Interrupted { signal } => Self::Interrupted { signal },
            _ => Self::Project(error.message),
        }
    }

    /// Whether some steps are permanent although not all are, or that cannot be told.
    pub fn is_partial(&self) -> bool {
        matches!(self, Self::Stopped { .. } | Self::Unknown { .. } | Self::Open { .. })
    }

    /// Whether another session is in the way: then trying again may help.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Locked { .. })
            || matches!(self, Self::Database { error, .. } if lock::is_busy(error.kind))
    }

    /// Whether recorded SQL may be at fault, where some was run: Django's own way may still do.
    pub fn may_be_due_to_sql(&self) -> bool {
        matches!(self, Self::WrongSchema { .. } | Self::Failed { .. })
    }

    /// The number of the signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        match self {
            Self::Interrupted { signal } => Some(*signal),
            Self::Database { error, .. } => match error.kind {
                DatabaseErrorKind::Interrupted { signal } => Some(signal),
                _ => None,
            },
            _ => None,
        }
    }

    /// What to do next, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Database { error, .. } => return database_hint(error.kind).map(str::to_owned),
            Self::NoMigrationsTable { .. } => {
                "check that this is the application's database; if it is, run `manage.py migrate` first"
            }
            Self::NotInstalled { .. } => {
                "run `manage.py migrate django_rollback` with this version installed"
            }
            Self::NewerTables { .. } => "use the version of django-rollback that the newer release has",
            Self::Damaged { .. } => "it was changed from outside: mend it, or restore it from a backup",
            Self::NewerRecord { .. }
            | Self::StoredSet { error: StoredError::Newer { .. }, .. }
            | Self::StoredSchema { error: StoredError::Newer { .. }, .. } => {
                "use the version of django-rollback that the newer release has"
            }
            Self::StoredSet { .. } => {
                "it was changed from outside: restore it from a backup, or go back to another release"
            }
            Self::StoredSchema { .. } => {
                "it was changed from outside: restore it from a backup, or go back with `--no-verify`"
            }
            Self::Select(error) => return select_hint(error),
            Self::Import(error) => return error.hint(),
            Self::Rehearsal { .. } => {
                "the database itself was not touched; a rollback would fail there as well"
            }
            Self::CodeUnknown { .. } => {
                "use `manage.py rollback guard`, which sees the migration files, or name a saved commit with `--commit`"
            }
            Self::Repository(error) => return error.hint.clone(),
            Self::Project(_) => "`manage.py showmigrations` shows the same failure with its traceback",
            Self::Locked { .. } => {
                "wait until it has ended and run this again; `history` shows what was done"
            }
            Self::Stale => "nothing was changed: look at the plan again, then run it again",
            Self::Blocked { .. } => "nothing was changed: each blocker above says the way out",
            Self::Failed { .. } => "nothing was changed: mend the cause, then run this again",
            Self::Stopped { .. } => {
                "the steps that are done are recorded: mend the cause, then run the same command again, which goes \
                 on from here; `status` shows where the database is"
            }
            Self::Waited { .. } => {
                "end those sessions or wait until they have ended, then run this again; `--wait SECONDS` waits longer"
            }
            Self::Interrupted { .. } => "nothing was changed: run it again when you want to",
            Self::WouldLoseData { .. } => {
                "the plan shows what and where: `--accept-data-loss` loses it, `--max-lost-rows N` no more than N; or \
                 copy it first"
            }
            Self::WrongSchema { .. } => {
                "a migration does not go back exactly: mend its reverse, deploy that file and run this again; \
                 `--no-verify` accepts the result as it is"
            }
            Self::ConnectionLost { .. } => "nothing was changed: run this again",
            Self::Unknown { .. } => {
                "run `status` as soon as the server answers: it finds out, and says so; do not run anything else before"
            }
            Self::Open { .. } => {
                "`rollback --resume` finishes it, `rollback --abort` leaves the database where it is and says what that \
                 means"
            }
            Self::StaleMigrate { .. } => {
                "nothing was changed: is this the code that is meant to run now? Then run `manage.py migrate` again"
            }
            Self::NothingOpen => "`history` shows what was done",
            Self::WrongResult { .. } => {
                "something else wrote to django_migrations meanwhile (a RunPython, a signal receiver): look there"
            }
        };
        Some(hint.to_owned())
    }
}

fn database_hint(kind: DatabaseErrorKind) -> Option<&'static str> {
    match kind {
        DatabaseErrorKind::Unreachable => {
            Some("check the host, the port, the database's name and the password")
        }
        DatabaseErrorKind::PermissionDenied => {
            Some("connect as the role that runs `migrate`: it owns the tables and may write to them")
        }
        DatabaseErrorKind::ReadOnly => {
            Some("connect to the primary: a replica or a read-only file takes no writes")
        }
        DatabaseErrorKind::Busy => {
            Some("another session holds a lock: wait until it has ended and run this again")
        }
        DatabaseErrorKind::MissingTable => {
            Some("run `manage.py migrate django_rollback` with this version installed")
        }
        DatabaseErrorKind::Interrupted { .. } => Some("nothing was changed: run it again when you want to"),
        DatabaseErrorKind::Duplicate | DatabaseErrorKind::Other => None,
    }
}

fn select_hint(error: &SelectError) -> Option<String> {
    Some(match error {
        SelectError::NoRelease => {
            "run `manage.py save_migrations_state` after `migrate` in each deploy".to_owned()
        }
        SelectError::NoPrevious { .. } => {
            "name the release with `-c COMMIT` or `-t TAG`; `list` shows the saved ones".to_owned()
        }
        SelectError::UnknownCommit { .. }
        | SelectError::UnknownTag { .. }
        | SelectError::TagNotSaved { .. } => "`list` shows the saved releases".to_owned(),
        SelectError::AmbiguousCommit { candidates, .. } => {
            format!("give more digits: {}", candidates.join(", "))
        }
    })
}
