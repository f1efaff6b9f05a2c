//! Reasons that a plan cannot run.

use std::fmt;

use crate::migration::MigrationId;
use crate::way::Way;

use super::unfit::Unfit;

/// A reason that a plan cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// An operation that Django cannot undo.
    Irreversible {
        /// The migration.
        migration: MigrationId,
        /// The operation, as Django describes it.
        operation: String,
    },
    /// A migration to undo has no file, and there is no other way to undo it.
    MissingFile {
        /// The migration.
        migration: MigrationId,
        /// Why its archived source cannot be used, as the end of a sentence that begins with "it".
        reason: Option<String>,
        /// Label of the release that brought it.
        release: Option<String>,
    },
    /// A migration cannot be undone in the only way that is allowed.
    NotThatWay {
        /// The migration.
        migration: MigrationId,
        /// The way.
        way: Way,
        /// Why not, as the end of a sentence that begins with "it".
        reason: String,
        /// Label of the release that brought it.
        release: Option<String>,
    },
    /// The capsule of a migration is not the one that was saved.
    Untrusted {
        /// The migration.
        migration: MigrationId,
        /// What is wrong with it.
        reason: String,
        /// Whether it can be undone by its file instead.
        has_file: bool,
    },
    /// A migration that stays depends on one to undo.
    Inconsistent {
        /// The migration that stays.
        staying: MigrationId,
        /// The migration that it depends on.
        undone: MigrationId,
    },
    /// Only a part of a squash is to be undone, and that part has no file of its own.
    CannotSplit {
        /// The squash.
        squash: MigrationId,
        /// The part.
        migration: MigrationId,
    },
    /// Version 0.4.0 saved the release, and which migrations were applied then is uncertain.
    UncertainRelease {
        /// The first thing that does not fit.
        reason: String,
    },
    /// The plan was never rehearsed, and the user requires that.
    NotRehearsed {
        /// Label of the release to go back to.
        target: String,
    },
    /// Undoing needs the project's Python code, and this door has found no project.
    NeedsPython {
        /// The migrations, each with why its recorded SQL cannot be used, as the end of a sentence that begins with
        /// "it".
        migrations: Vec<(MigrationId, String)>,
    },
    /// The migration must run in a transaction, but has a statement that the database refuses there.
    RefusesTransaction {
        /// The migration.
        migration: MigrationId,
        /// The operation, as Django describes it.
        operation: String,
        /// The first words of the statement.
        statement: String,
    },
    /// The database is read-only.
    ReadOnly {
        /// Why, as the end of a sentence: `it is a replica`.
        reason: String,
    },
    /// Tables that must change belong to another role.
    NotOwner {
        /// The role of the connection.
        role: String,
        /// The tables, with their owners.
        tables: Vec<(String, String)>,
    },
    /// Rows that the older schema cannot hold.
    Unfit(Unfit),
    /// Objects that no migration created depend on what is dropped.
    Dependants {
        /// The table that is dropped, or that a column is dropped from.
        table: String,
        /// The views and other objects, as the database calls them.
        objects: Vec<String>,
    },
    /// The transaction needs more locks than it can count on.
    TooManyLocks {
        /// How many relations are locked.
        needed: i64,
        /// How many locks the server has room for.
        room: i64,
    },
}

impl Blocker {
    /// A stable word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Irreversible { .. } => "irreversible",
            Self::MissingFile { .. } => "missing-file",
            Self::Inconsistent { .. } => "inconsistent",
            Self::CannotSplit { .. } => "cannot-split",
            Self::UncertainRelease { .. } => "uncertain-release",
            Self::NeedsPython { .. } => "needs-python",
            Self::NotThatWay { .. } => "not-that-way",
            Self::NotRehearsed { .. } => "not-rehearsed",
            Self::Untrusted { .. } => "untrusted",
            Self::RefusesTransaction { .. } => "refuses-transaction",
            Self::ReadOnly { .. } => "read-only",
            Self::NotOwner { .. } => "not-owner",
            Self::Unfit(_) => "unfit-rows",
            Self::Dependants { .. } => "dependants",
            Self::TooManyLocks { .. } => "too-many-locks",
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Irreversible { migration, .. } => format!(
                "give the operation a reverse in {migration} (`noop` if there is nothing to undo), deploy that file \
                 and run the command again; or go back to a release that has {migration}"
            ),
            Self::MissingFile { release: Some(release), .. } => run_from(release),
            Self::MissingFile { migration, release: None, .. } => format!(
                "run the command from the image or checkout of a release that has {migration}, with its app in \
                 INSTALLED_APPS"
            ),
            Self::NotThatWay { release: Some(release), .. } => {
                format!("allow another way, or {}", run_from(release))
            }
            Self::NotThatWay { release: None, .. } => {
                "allow another way; without `--way`, each step takes the best one".to_owned()
            }
            Self::Untrusted { has_file, .. } => untrusted_hint(*has_file),
            Self::Inconsistent { staying, undone } => format!(
                "the release had {staying} without {undone}, so the file of {staying} has changed since: compare its \
                 dependencies with those at the release"
            ),
            Self::CannotSplit { squash, .. } => format!(
                "run the command from the image or checkout of a release that still has the files that {squash} \
                 replaces"
            ),
            Self::NeedsPython { .. } => NEEDS_PYTHON_HINT.to_owned(),
            Self::RefusesTransaction { migration, .. } => format!(
                "set `atomic = False` in {migration}, deploy that file and run the command again: the migration then \
                 runs in a segment of its own"
            ),
            Self::Unfit(unfit) => format!(
                "change or delete those rows first, or go back to a release that has {}",
                unfit.migration
            ),
            Self::UncertainRelease { .. } => UNCERTAIN_HINT.to_owned(),
            Self::NotRehearsed { .. } => NOT_REHEARSED_HINT.to_owned(),
            Self::ReadOnly { .. } => "connect to the primary, with a role that may write".to_owned(),
            Self::NotOwner { .. } => "connect as the role that runs `migrate`: it owns the tables".to_owned(),
            Self::Dependants { .. } => DEPENDANTS_HINT.to_owned(),
            Self::TooManyLocks { .. } => TOO_MANY_LOCKS_HINT.to_owned(),
        }
    }
}

const NEEDS_PYTHON_HINT: &str = "run the command in the folder of the project's `manage.py`, name it with \
     `-p`, or run `manage.py rollback_migrations` there";

const UNCERTAIN_HINT: &str = "go back to a release that a later version saved. Or compare \
     `manage.py showmigrations` with the checkout of this release, undo newer migrations with \
     `manage.py migrate APP NAME`, and save the release again";

const NOT_REHEARSED_HINT: &str = "run `manage.py rollback rehearse` with the code of the current release: it works on \
     a scratch copy. Or leave out `--require-rehearsal`";

const DEPENDANTS_HINT: &str =
    "no migration created them: drop them yourself first and recreate them afterwards";

const TOO_MANY_LOCKS_HINT: &str =
    "go back one release at a time, or raise max_locks_per_transaction and restart the server";

fn run_from(release: &str) -> String {
    format!("run the command from the image or checkout of {release}")
}

fn untrusted_hint(has_file: bool) -> String {
    let way_out = if has_file {
        "`--way disk` uses only the files of the project"
    } else {
        "`--way disk` in the image of a release that has the file uses only that file"
    };
    format!(
        "find out who changed it; {way_out}. If SECRET_KEY was changed, put the old one into SECRET_KEY_FALLBACKS"
    )
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Irreversible { migration, operation } => {
                write!(f, "{migration} cannot be undone: {operation} is irreversible")
            }
            Self::MissingFile { migration, reason: None, .. } => {
                write!(f, "{migration} must be undone, but its file is missing")
            }
            Self::MissingFile { migration, reason: Some(reason), .. } => write!(
                f,
                "{migration} must be undone, but its file is missing and its archived source cannot be used: {reason}"
            ),
            Self::NotThatWay { migration, way, reason, .. } => {
                write!(f, "{migration} cannot be undone with `--way {}`: {reason}", way.as_str())
            }
            Self::Untrusted { migration, reason, .. } => {
                write!(f, "the capsule of {migration} cannot be trusted: {reason}")
            }
            Self::Inconsistent { staying, undone } => {
                write!(f, "{undone} must be undone, but {staying} stays and depends on it")
            }
            Self::CannotSplit { squash, migration } => {
                write!(
                    f,
                    "{migration} must be undone alone, but only the whole squash {squash} has a file here"
                )
            }
            Self::UncertainRelease { reason } => write!(
                f,
                "version 0.4.0 saved this release, and which migrations it had is uncertain: {reason}"
            ),
            Self::NotRehearsed { target } => write!(f, "this plan for {target} was never rehearsed"),
            Self::NeedsPython { migrations } => {
                let reasons = migrations.iter().map(|(migration, reason)| format!("{migration} ({reason})"));
                let reasons = reasons.collect::<Vec<_>>().join(", ");
                write!(f, "undoing needs the project's code, and no manage.py was found: {reasons}")
            }
            Self::RefusesTransaction { migration, operation, statement } => write!(
                f,
                "{migration} cannot be undone in a transaction: {operation} runs {statement}, which the database \
                 refuses there"
            ),
            Self::ReadOnly { reason } => write!(f, "the database is read-only: {reason}"),
            Self::NotOwner { role, tables } => {
                let tables = tables.iter().map(|(table, owner)| format!("{table} (owner: {owner})"));
                let tables = tables.collect::<Vec<_>>().join(", ");
                write!(f, "the role {role} may not alter these tables: {tables}")
            }
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Dependants { table, objects } => {
                write!(f, "dropping from {table} would also drop {}", objects.join(", "))
            }
            Self::TooManyLocks { needed, room } => write!(
                f,
                "one transaction would need about {needed} locks, more than half of the server's {room}"
            ),
        }
    }
}
