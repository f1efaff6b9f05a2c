//! What the user should know before a plan runs.

use std::fmt;

use crate::migration::MigrationId;
use crate::schema::{self, SchemaDifference};

use super::unfit::Unfit;

/// Something the user should know before a plan runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The release had migrations that are no longer applied. A rollback does not apply them again.
    NotApplied {
        /// The migrations.
        migrations: Vec<MigrationId>,
    },
    /// Migrations were applied after the current release was saved.
    NotSaved {
        /// The migrations.
        migrations: Vec<MigrationId>,
        /// Label of the current release.
        current: String,
    },
    /// A tag names another commit now than when its release was saved.
    MovedTag {
        /// The sentence.
        message: String,
    },
    /// The order of these is a guess: their dependencies are unknown.
    OrderUnknown {
        /// The migrations.
        migrations: Vec<MigrationId>,
    },
    /// A step must run outside a transaction: the rollback is not all or nothing.
    NotAtomic {
        /// The migration with `atomic = False`.
        migration: MigrationId,
        /// The operation that must run outside a transaction.
        operation: String,
    },
    /// The schema differs from the one that the current release was saved with. What differs now may differ
    /// afterwards.
    Drift {
        /// The differences.
        differences: Vec<SchemaDifference>,
        /// Label of the current release.
        current: String,
    },
    /// The release was saved without its schema, or imported: the result cannot be verified.
    NotVerifiable {
        /// Label of the release.
        target: String,
        /// Whether it was rebuilt from git, which does not know schemas.
        is_imported: bool,
    },
    /// Rows that the older schema cannot hold, unless code that runs earlier changes them.
    MayNotFit(Unfit),
    /// The connection goes through a transaction pooler.
    Pooler,
    /// Custom SQL of a migration may delete data, which nobody counts.
    MayLose {
        /// The migration.
        migration: MigrationId,
        /// The operation, as Django describes it.
        operation: String,
    },
    /// The current release has no signed list of its capsules, and capsules are used.
    Unlisted {
        /// Label of the current release.
        current: String,
    },
    /// A migration is undone by a file that has changed since it was applied.
    ChangedFile {
        /// The migration.
        migration: MigrationId,
    },
    /// How much is lost is unknown: only the project can tell what undoing drops.
    LossesUnknown,
}

impl Warning {
    /// A stable word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotApplied { .. } => "not-applied",
            Self::NotSaved { .. } => "not-saved",
            Self::MovedTag { .. } => "moved-tag",
            Self::OrderUnknown { .. } => "order-unknown",
            Self::NotAtomic { .. } => "not-atomic",
            Self::Drift { .. } => "drift",
            Self::NotVerifiable { .. } => "not-verifiable",
            Self::MayNotFit(_) => "may-not-fit",
            Self::Pooler => "pooler",
            Self::MayLose { .. } => "may-lose",
            Self::Unlisted { .. } => "unlisted",
            Self::ChangedFile { .. } => "changed-file",
            Self::LossesUnknown => "losses-unknown",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotApplied { migrations } => {
                let (is, it) = if migrations.len() == 1 { ("is", "it") } else { ("are", "them") };
                let migrations = list(migrations);
                write!(
                    f,
                    "{migrations} of the release {is} no longer applied; `migrate` with the release's code applies {it} \
                     again"
                )
            }
            Self::NotSaved { migrations, current } => {
                let were = if migrations.len() == 1 { "was" } else { "were" };
                write!(f, "{} {were} applied after the current release {current} was saved", list(migrations))
            }
            Self::MovedTag { message } => f.write_str(message),
            Self::OrderUnknown { migrations } => write!(
                f,
                "the dependencies of {} are unknown, so the newest is shown first; `manage.py rollback plan` shows \
                 the real order",
                list(migrations)
            ),
            Self::NotAtomic { migration, operation } => write!(
                f,
                "{migration} has `atomic = False`, and its {operation} must run outside a transaction: the steps \
                 before it are committed first, so a later failure leaves the rollback part-way"
            ),
            Self::Drift { differences, current } => write!(
                f,
                "the schema differs from the one saved with the current release {current}, and these differences stay: \
                 {}",
                schema::describe(differences).join("; ")
            ),
            Self::NotVerifiable { target, is_imported: false } => {
                write!(f, "{target} was saved without its schema, so the result cannot be verified")
            }
            Self::NotVerifiable { target, is_imported: true } => {
                write!(f, "{target} was imported from git without a schema, so the result cannot be verified")
            }
            Self::MayNotFit(unfit) => write!(f, "{unfit}, unless code that runs earlier changes that"),
            Self::Pooler => f.write_str(
                "the connection goes through a transaction pooler: that works, but over a direct connection the \
                 server notices a lost client sooner",
            ),
            Self::MayLose { migration, operation } => write!(
                f,
                "{operation} of {migration} runs custom SQL that may delete data, which is not counted"
            ),
            Self::Unlisted { current } => write!(
                f,
                "the current release {current} has no signed list of its capsules, so an older capsule could replace \
                 a newer one unnoticed; save the release again with the key to sign the list"
            ),
            Self::ChangedFile { migration } => write!(
                f,
                "the file of {migration} has changed since it was applied, and there is no other way to undo it"
            ),
            Self::LossesUnknown => {
                f.write_str("losses are not counted here; `manage.py rollback plan` counts them")
            }
        }
    }
}

fn list(migrations: &[MigrationId]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = migrations.iter().take(SHOWN).map(ToString::to_string).collect();
    match migrations.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}
