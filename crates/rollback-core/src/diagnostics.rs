//! What speaks against a plan, and what the user should know before it runs: each with a stable word for scripts.

use std::fmt;

use crate::effect::Rule;
use crate::migration::MigrationId;
use crate::schema::{self, SchemaDifference};
use crate::way::Way;

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
    /// A migration to undo has no file, and there is no other way.
    MissingFile {
        /// The migration.
        migration: MigrationId,
        /// Why its archived source is of no use, as the end of a sentence that begins with "it".
        reason: Option<String>,
        /// Label of the release that brought it.
        release: Option<String>,
    },
    /// A migration cannot be undone in the way that was asked for.
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
    /// What the database keeps of a migration is not what was put there.
    Untrusted {
        /// The migration.
        migration: MigrationId,
        /// What is wrong with it.
        reason: String,
        /// Whether it can be undone by its file instead.
        has_file: bool,
    },
    /// Something that stays depends on something to undo.
    Inconsistent {
        /// What stays.
        staying: MigrationId,
        /// What it depends on.
        undone: MigrationId,
    },
    /// Only a part of a squash is to be undone, and that part has no file of its own.
    CannotSplit {
        /// The squash.
        squash: MigrationId,
        /// The part.
        migration: MigrationId,
    },
    /// The release was saved by 0.4.0, and what was applied then cannot be told for certain.
    UncertainRelease {
        /// The first thing that does not fit.
        reason: String,
    },
    /// The plan was never rehearsed, and the user wants only those that were.
    NotRehearsed {
        /// Label of the release to go back to.
        target: String,
    },
    /// Undoing needs Python, and this door has found no project.
    NeedsPython {
        /// The migrations, each with why its recorded SQL does not do, as the end of a sentence that begins with "it".
        migrations: Vec<(MigrationId, String)>,
    },
    /// A statement that the database refuses inside a transaction, in a migration that is to run in one.
    RefusesTransaction {
        /// The migration.
        migration: MigrationId,
        /// The operation, as Django describes it.
        operation: String,
        /// The first words of the statement.
        statement: String,
    },
    /// The database takes no writes.
    ReadOnly {
        /// Why not, as an end of a sentence: `it is a replica`.
        reason: String,
    },
    /// Tables that must change belong to somebody else.
    NotOwner {
        /// The role of the connection.
        role: String,
        /// The tables, with their owners.
        tables: Vec<(String, String)>,
    },
    /// Rows that the older schema cannot hold.
    Unfit(Unfit),
    /// Objects that nobody's migrations made go with what is dropped.
    Dependants {
        /// The table that is dropped, or a column of it is.
        table: String,
        /// The views and other objects, as the database calls them.
        objects: Vec<String>,
    },
    /// More locks than a transaction may count on.
    TooManyLocks {
        /// How many relations are locked.
        needed: i64,
        /// How many locks the server has room for.
        room: i64,
    },
}

/// Rows that the older schema cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The migration whose undoing asks more of them.
    pub migration: MigrationId,
    /// The table.
    pub table: String,
    /// The columns; none where the table must be empty.
    pub columns: Vec<String>,
    /// What is asked; none where the table must be empty.
    pub rule: Option<Rule>,
    /// How many rows do not fit.
    pub rows: i64,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { migration, table, columns, rule, rows: number } = self;
        let rows = if *number == 1 { "1 row".to_owned() } else { format!("{number} rows") };
        let columns = columns.join(", ");
        let have = if *number == 1 { "has" } else { "have" };
        let held = |what: &str| format!("{rows} of {table} {have} {what} in {columns}");
        let what = match rule {
            None => {
                format!("{table} has {rows}, and a column comes back that takes no NULL and has no default")
            }
            Some(Rule::NotNull) => held("NULL"),
            Some(Rule::Length { most }) => format!("{} longer than {most} characters", held("a text")),
            Some(Rule::Range { least, greatest }) => {
                format!("{} outside {least} to {greatest}", held("a number"))
            }
            Some(Rule::Digits { most, .. }) => {
                format!("{} with more than {most} digits before the point", held("a number"))
            }
            Some(Rule::Unique) => {
                format!("{rows} of {table} share their values with another row in {columns}")
            }
        };
        write!(f, "{what}, which the schema before {migration} cannot hold")
    }
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

    /// The way out.
    pub fn hint(&self) -> String {
        match self {
            Self::Irreversible { migration, .. } => format!(
                "give the operation a reverse in {migration} (for RunPython and RunSQL a `noop` will do if nothing \
                 is to be undone), deploy that file and run this again; or go back to a release that has the \
                 migration"
            ),
            Self::MissingFile { migration, reason, release } => match (release, reason) {
                (Some(release), Some(reason)) => {
                    format!("run this from the image or checkout of {release}: {reason}")
                }
                (Some(release), None) => format!("run this from the image or checkout of {release}"),
                (None, _) => format!(
                    "run this from the image or checkout of the release that has {migration}, with its app in \
                     INSTALLED_APPS"
                ),
            },
            Self::NotRehearsed { .. } => "`manage.py rollback rehearse` does it on a scratch copy, with the code of the \
                 current release; or leave `--require-rehearsal` out"
                .to_owned(),
            Self::NotThatWay { release, .. } => match release {
                Some(release) => {
                    format!("allow another way, or run this from the image or checkout of {release}")
                }
                None => "allow another way: `rollback` takes the best one that there is".to_owned(),
            },
            Self::Untrusted { has_file: true, .. } => "find out who changed it; `--way disk` goes back by the files \
                 of the project alone. After a change of SECRET_KEY put the old one into SECRET_KEY_FALLBACKS"
                .to_owned(),
            Self::Untrusted { has_file: false, .. } => "find out who changed it; `--way disk` from the image of the \
                 release that has the file goes back by that alone. After a change of SECRET_KEY put the old one into \
                 SECRET_KEY_FALLBACKS"
                .to_owned(),
            Self::Inconsistent { staying, undone } => format!(
                "the release had {staying} without {undone}, so a file was edited after it was applied: compare the \
                 dependencies of {staying} with those at the release"
            ),
            Self::CannotSplit { squash, .. } => format!(
                "run this from the image or checkout of a release that still has the files that {squash} replaces"
            ),
            Self::UncertainRelease { .. } => "go back to a release saved by this version, or undo the newer \
                 migrations with `manage.py migrate APP NAME` after comparing `manage.py showmigrations` with the \
                 release's checkout, then save the release again"
                .to_owned(),
            Self::NeedsPython { .. } => "run it where the project's `manage.py` is, name its folder with `-p`, or use \
                 `manage.py rollback_migrations` there"
                .to_owned(),
            Self::RefusesTransaction { migration, .. } => format!(
                "set `atomic = False` in {migration}, deploy that file and run this again: then it runs in a segment \
                 of its own"
            ),
            Self::ReadOnly { .. } => "connect to the primary, with a role that may write".to_owned(),
            Self::NotOwner { .. } => "connect as the role that runs `migrate`, which owns the tables".to_owned(),
            Self::Unfit(unfit) => format!(
                "change or remove those rows first (`SELECT * FROM {}` shows the table), or go back to a release that \
                 has {}",
                unfit.table, unfit.migration
            ),
            Self::Dependants { .. } => "nobody's migrations made them, so nothing would bring them back: drop or move \
                 them yourself, and make them again afterwards"
                .to_owned(),
            Self::TooManyLocks { .. } => "go back in smaller steps, release by release, or raise \
                 max_locks_per_transaction and restart the server"
                .to_owned(),
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Irreversible { migration, operation } => {
                write!(f, "{migration} cannot be undone: {operation} is irreversible")
            }
            Self::MissingFile { migration, reason: None, .. } => {
                write!(f, "{migration} must be undone, and its file is not here")
            }
            Self::MissingFile { migration, reason: Some(reason), .. } => {
                write!(
                    f,
                    "{migration} must be undone, its file is not here, and of its archived source: {reason}"
                )
            }
            Self::NotRehearsed { target } => {
                write!(f, "going back to {target} in this way was never rehearsed")
            }
            Self::NotThatWay { migration, way, reason, .. } => {
                write!(f, "{migration} cannot be undone by the way `{}`: {reason}", way.as_str())
            }
            Self::Untrusted { migration, reason, .. } => {
                write!(f, "what the database keeps of {migration} is not to be trusted: {reason}")
            }
            Self::Inconsistent { staying, undone } => {
                write!(f, "{undone} must be undone, and {staying}, which stays, depends on it")
            }
            Self::CannotSplit { squash, migration } => write!(
                f,
                "{migration} must be undone alone, and only the squash {squash}, which holds more, has a file here"
            ),
            Self::UncertainRelease { reason } => {
                write!(f, "what was applied at this release, saved by 0.4.0, is not certain: {reason}")
            }
            Self::NeedsPython { migrations } => {
                f.write_str(
                    "undoing these migrations needs the project's code, and no manage.py was found: ",
                )?;
                let reasons = migrations.iter().map(|(migration, reason)| format!("{migration} ({reason})"));
                f.write_str(&reasons.collect::<Vec<_>>().join(", "))
            }
            Self::RefusesTransaction { migration, operation, statement } => write!(
                f,
                "{migration} cannot be undone in a transaction: {operation} runs {statement}, which the database \
                 refuses there"
            ),
            Self::ReadOnly { reason } => write!(f, "the database takes no writes: {reason}"),
            Self::NotOwner { role, tables } => {
                let owned: Vec<String> =
                    tables.iter().map(|(table, owner)| format!("{table} belongs to {owner}")).collect();
                write!(f, "the role {role} may not alter every table: {}", owned.join(", "))
            }
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Dependants { table, objects } => {
                write!(f, "dropping what {table} has would take along {}", objects.join(", "))
            }
            Self::TooManyLocks { needed, room } => write!(
                f,
                "one transaction would need about {needed} locks, more than half of the {room} that the server has"
            ),
        }
    }
}

/// Something the user should know before a plan runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The release had migrations that the database does not have any more. They are not applied again.
    NotApplied {
        /// The migrations.
        migrations: Vec<MigrationId>,
    },
    /// Migrations that are applied and were never saved with a release.
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
    /// The order of these is a guess: nothing is recorded about them.
    OrderUnknown {
        /// The migrations.
        migrations: Vec<MigrationId>,
    },
    /// A step that cannot share a transaction: the rollback is not all or nothing.
    NotAtomic {
        /// The migration with `atomic = False`.
        migration: MigrationId,
        /// The operation that has to stand apart.
        operation: String,
    },
    /// The schema is not the one that the current release was saved with. What differs now may differ afterwards.
    Drift {
        /// The differences.
        differences: Vec<SchemaDifference>,
        /// Label of the current release.
        current: String,
    },
    /// The release was saved without its schema, or imported: the result cannot be compared.
    NotVerifiable {
        /// Label of the release.
        target: String,
        /// Whether it was rebuilt from git, which does not know schemas.
        is_imported: bool,
    },
    /// Rows that the older schema cannot hold, unless code that runs before changes them.
    MayNotFit(Unfit),
    /// The connection goes through a transaction pooler.
    Pooler,
    /// SQL of a migration's own that may remove data, which nobody counts.
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
    /// A migration is undone by a file that is not the one that was applied.
    ChangedFile {
        /// The migration.
        migration: MigrationId,
    },
    /// How much is lost is not known: nobody here can say what undoing a migration drops.
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
            Self::NotApplied { migrations } => write!(
                f,
                "the release had {}, which the database does not have any more; `migrate` of that release applies \
                 it again",
                list(migrations)
            ),
            Self::NotSaved { migrations, current } => {
                write!(f, "{} applied after the current release {current} was saved", were(migrations))
            }
            Self::MovedTag { message } => f.write_str(message),
            Self::OrderUnknown { migrations } => write!(
                f,
                "nothing is recorded about {}: the order shown is that of application, the newest first; \
                 `manage.py rollback plan` knows the real one",
                list(migrations)
            ),
            Self::NotAtomic { migration, operation } => write!(
                f,
                "{migration} has `atomic = False`, and its {operation} has to run outside a transaction: the steps \
                 before it are made permanent first, and a failure from then on leaves the rollback part-way"
            ),
            Self::Drift { differences, current } => write!(
                f,
                "the schema is not the one that the current release {current} was saved with, and what differs is \
                 left as it is: {}",
                schema::describe(differences).join("; ")
            ),
            Self::NotVerifiable { target, is_imported: false } => write!(
                f,
                "{target} was saved without its schema, so the result is not compared with it"
            ),
            Self::NotVerifiable { target, is_imported: true } => write!(
                f,
                "{target} was imported from git, which does not know its schema, so the result is not compared with it"
            ),
            Self::MayNotFit(unfit) => write!(f, "unless code that runs before changes them, {unfit}"),
            Self::Pooler => f.write_str(
                "the connection goes through a transaction pooler: all works through it, but a direct connection to \
                 the server notices a lost client sooner",
            ),
            Self::MayLose { migration, operation } => write!(
                f,
                "{operation} of {migration} runs SQL of its own that may remove data, which is not counted"
            ),
            Self::Unlisted { current } => write!(
                f,
                "the current release {current} has no signed list of what is kept for it, so an older row could stand \
                 in the place of a newer one; a save with the key makes the list"
            ),
            Self::ChangedFile { migration } => write!(
                f,
                "the file of {migration} is not the one that was applied, and nothing else is there to undo it with"
            ),
            Self::LossesUnknown => f.write_str(
                "what would be lost is not counted here: `manage.py rollback plan` does that",
            ),
        }
    }
}

fn were(migrations: &[MigrationId]) -> String {
    let verb = if migrations.len() == 1 { "was" } else { "were" };
    format!("{} {verb}", list(migrations))
}

fn list(migrations: &[MigrationId]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = migrations.iter().take(SHOWN).map(ToString::to_string).collect();
    match migrations.len().checked_sub(SHOWN) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}
