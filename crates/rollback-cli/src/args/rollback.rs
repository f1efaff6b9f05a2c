//! How a rollback behaves: what it is allowed to do, which way it goes, and how long it waits.

use clap::{Args, ValueEnum};
use rollback_core::Way;

use super::headings::{ALLOWED, LOCKS};
use super::target::TargetArguments;

#[derive(Debug, Args)]
pub(crate) struct RollbackArguments {
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// Show the plan; nothing is written.
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) fake: bool,
    /// Finish the rollback that stopped part-way.
    #[arg(long, conflicts_with_all = ["tag", "commit", "fake", "abort"])]
    pub(crate) resume: bool,
    /// Close the rollback that stopped part-way, and leave the database where it is.
    #[arg(long, conflicts_with_all = ["tag", "commit", "fake"])]
    pub(crate) abort: bool,
    #[command(flatten)]
    pub(crate) execution: ExecutionArguments,
}

#[derive(Debug, Args)]
pub(crate) struct GuardArguments {
    /// Commit of this code, in full [default: as `save` finds it, else the migration files tell].
    #[arg(long, value_name = "HEX", alias = "release")]
    pub(crate) commit: Option<String>,
    /// What to do if the database is ahead.
    #[arg(long, value_enum, value_name = "ACTION", default_value = "fail")]
    pub(crate) on_ahead: OnAhead,
    #[command(flatten)]
    pub(crate) execution: ExecutionArguments,
}

/// What to do if the database is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnAhead {
    /// Warn, and end with exit code 0.
    Warn,
    /// Warn, and end with exit code 1.
    Fail,
    /// Take the database back to the release of this code.
    Rollback,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    #[command(flatten)]
    pub(crate) way: WayArguments,
}

/// By which way migrations are undone.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct WayArguments {
    /// Undo every migration this way [default: the first possible of sql, disk, capsule; env: DJANGO_ROLLBACK_WAYS].
    #[arg(long, value_enum, value_name = "WAY", help_heading = ALLOWED)]
    pub(crate) way: Option<WayChoice>,
    /// Refuse a plan that was never rehearsed.
    #[arg(long, help_heading = ALLOWED)]
    pub(crate) require_rehearsal: bool,
    /// Do not use recorded SQL: it failed in this rollback.
    #[arg(long, hide = true, conflicts_with = "way")]
    pub(crate) without_sql: bool,
}

/// A way to undo a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WayChoice {
    /// The SQL that was recorded when the migration was applied.
    Sql,
    /// Its file, through Django.
    Disk,
    /// Its archived source, through Django.
    Capsule,
}

impl WayChoice {
    pub(crate) fn way(self) -> Way {
        match self {
            Self::Sql => Way::Sql,
            Self::Disk => Way::Disk,
            Self::Capsule => Way::Capsule,
        }
    }
}

impl WayArguments {
    /// The same as words, for the other door.
    fn words(&self) -> Vec<String> {
        let way = self.way.map(|way| format!("--way={}", way.way().as_str()));
        let flags = [(self.without_sql, "--without-sql"), (self.require_rehearsal, "--require-rehearsal")];
        way.into_iter().chain(given(&flags)).collect()
    }
}

/// How a rollback is carried out.
#[derive(Clone, Debug, Args)]
pub(crate) struct ExecutionArguments {
    #[command(flatten)]
    pub(crate) way: WayArguments,
    /// Lose the data that the plan says would be lost.
    #[arg(long, help_heading = ALLOWED)]
    pub(crate) accept_data_loss: bool,
    /// Lose at most this many rows and values.
    #[arg(long, value_name = "N", conflicts_with = "accept_data_loss", help_heading = ALLOWED,
          value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) max_lost_rows: Option<i64>,
    /// Ask nothing, and lose nothing that no option allows.
    #[arg(long, visible_alias = "no-input", help_heading = ALLOWED)]
    pub(crate) noinput: bool,
    /// Commit even if the schema differs from the one that the release had; history notes it.
    #[arg(long, help_heading = ALLOWED)]
    pub(crate) no_verify: bool,
    /// How long one statement waits for a lock, in milliseconds (PostgreSQL).
    #[arg(long, value_name = "MS", default_value = "100", help_heading = LOCKS,
          value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) lock_timeout: u32,
    /// How long to retry while other sessions hold locks, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "60", help_heading = LOCKS)]
    pub(crate) wait: u32,
}

impl ExecutionArguments {
    /// The same as words, for the other door.
    pub(crate) fn words(&self) -> Vec<String> {
        let flags = [
            (self.accept_data_loss, "--accept-data-loss"),
            (self.noinput, "--noinput"),
            (self.no_verify, "--no-verify"),
        ];
        let mut words = given(&flags);
        words.extend(self.max_lost_rows.map(|rows| format!("--max-lost-rows={rows}")));
        words.push(format!("--lock-timeout={}", self.lock_timeout));
        words.push(format!("--wait={}", self.wait));
        words.extend(self.way.words());
        words
    }
}

/// The flags that are set.
fn given(flags: &[(bool, &str)]) -> Vec<String> {
    flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| (*flag).to_owned()).collect()
}
