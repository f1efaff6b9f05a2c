//! A plan with all that it was made from. It is built once: the same value is printed and carried out.

use std::collections::BTreeSet;
use std::time::Duration;

use rollback_core::effect::Drop;
use rollback_core::plan::{Plan, Way};
use rollback_core::{AppliedRow, AppliedSet, MigrationId, Release, stored};

use super::error::RollbackError;
use super::steps::Recordings;
use super::verify::Expected;
use crate::cases::unfinished::Unfinished;
use crate::store::{Keyring, StoredRelease};

/// How a plan is made.
#[derive(Clone, Copy, Debug)]
pub struct PlanOptions<'a> {
    /// The ways that may be taken, the best first.
    pub ways: &'a [Way],
    /// The keys that verify what is kept.
    pub keys: &'a Keyring,
    /// Whether the schema at the end has to be the target's.
    pub verify: bool,
    /// Whether a plan that was never rehearsed is blocked.
    pub require_rehearsal: bool,
    /// Whether a plan with a step for Django is blocked if there is no `Runner`.
    pub require_runner: bool,
}

/// How a rollback behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutionOptions {
    /// How long one statement waits for a lock of another session.
    pub lock_timeout: Duration,
    /// For how long in all it is tried again while other sessions are in the way.
    pub wait: Duration,
    /// Whether the schema at the end has to be the target's.
    pub verify: bool,
    /// How many rows and values may be lost; `None` for any number.
    pub max_lost_rows: Option<i64>,
}

/// A plan with what it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The release that is current now.
    pub from: Release,
    /// The release to go back to.
    pub to: Release,
    /// The releases that leave the list, newest first.
    pub removed: Vec<Release>,
    /// The steps, and what speaks against them.
    pub plan: Plan,
    /// The data that would be lost, in the order of the steps.
    pub losses: Vec<Loss>,
    /// The rollback that this one finishes, or that is in its way.
    pub unfinished: Option<Unfinished>,
    /// The rows that it was made from.
    pub(super) rows: Vec<AppliedRow>,
    /// The releases that it was made from, from the newest to the target.
    pub(super) releases: Vec<StoredRelease>,
    pub(super) target_set: AppliedSet,
    /// What is dropped and exists now, with or without data: it is counted again under the lock.
    pub(super) drops: Vec<Drop>,
    /// The tables that the steps lock, sorted.
    pub(super) tables: Vec<String>,
    /// What the schema has to be at the end.
    pub(super) expected: Expected,
    pub(super) recordings: Recordings,
    /// A hash of the steps and of what they are done with: it names the plan in a rehearsal.
    pub(super) digest: String,
    /// The tables that the steps name; `None` if they may change any.
    pub(super) names: Option<BTreeSet<String>>,
    /// Why the steps that Django does are not done by recorded SQL, as the ends of sentences.
    pub(super) without_sql: Vec<(MigrationId, String)>,
}

/// Data that a step drops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The migration whose undoing drops it.
    pub migration: MigrationId,
    /// The table.
    pub table: String,
    /// The column; `None` if the whole table goes.
    pub column: Option<String>,
    /// How many rows the table has, or how many of them have a value in the column.
    pub rows: i64,
    /// How many of these were written since the current release was saved; `None` if no column tells.
    pub since: Option<i64>,
}

impl Prepared {
    /// Whether neither a migration nor the list of releases would change.
    pub fn is_empty(&self) -> bool {
        self.plan.steps.is_empty() && self.removed.is_empty()
    }

    /// How many rows and values would be lost in all.
    pub fn lost_rows(&self) -> i64 {
        self.losses.iter().map(|loss| loss.rows).sum()
    }

    /// Fails if the plan has blockers.
    pub(super) fn check_blockers(&self) -> Result<(), RollbackError> {
        match self.plan.blockers.len() {
            0 => Ok(()),
            blockers => Err(RollbackError::Blocked { blockers }),
        }
    }

    /// Fails if the target's schema is damaged: then nothing can tell whether the result is right.
    pub fn check_verifiable(&self) -> Result<(), RollbackError> {
        self.expected.damage.clone().map_or(Ok(()), |damage| Err(damage.into()))
    }

    /// A hash of what the plan was made from. Two doors that see the same database see the same one.
    pub fn fingerprint(&self) -> String {
        let rows = self.rows.iter().map(|row| format!("{} {}", row.id, row.migration));
        let releases = self.releases.iter().map(|stored| {
            let set = stored.set_hash().unwrap_or_default();
            format!("{} {} {set}", stored.release.id, stored.release.commit)
        });
        stored::hash(&releases.chain(rows).collect::<Vec<_>>().join("\n"))
    }

    /// The steps that Django has to do, each with why its recorded SQL is not used.
    pub fn needs_python(&self) -> Option<&[(MigrationId, String)]> {
        self.plan.needs_python().then_some(&self.without_sql[..])
    }

    /// Whether a step is done by recorded SQL.
    pub(super) fn uses_sql(&self) -> bool {
        self.plan.steps.iter().any(|step| step.way == Way::Sql)
    }
}
