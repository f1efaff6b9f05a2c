//! The commands, as the help lists them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::headings::OUTPUT;
use super::revisions::{CheckArguments, GraphArguments, PlanOrRangeArguments};
use super::rollback::{ExecutionArguments, GuardArguments, PlanArguments, RollbackArguments};
use super::target::TargetArguments;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Save which migrations belong to the deployed commit.
    ///
    /// Run it in each deploy, after `migrate`. Saving the same again changes nothing. Saving after more migrations were
    /// applied updates the release.
    ///
    /// The commit comes from the first of these that has one: --commit, DJANGO_ROLLBACK_COMMIT, git, the variables of
    /// the platform, the file that `stamp` wrote. DJANGO_ROLLBACK_TAGS adds tags.
    Save(SaveArguments),
    /// Rebuild past releases from the tags in git, so that you can go back to them.
    ///
    /// Run it once, on the day you install django-rollback: save the running deploy, then import. For each tag that is
    /// older than your oldest release, it reads the migration files from git and compares them with what is applied.
    /// Importing again changes nothing.
    Import(ImportArguments),
    /// List the releases, newest first.
    List,
    /// Show one release: its commit, tags and migrations.
    ///
    /// Without --tag or --commit: the current release.
    Show(TargetArguments),
    /// Show what going back to a release would do; nothing is written.
    ///
    /// Without --tag or --commit: the release that was saved before the current one. With BASE..HEAD: what going back
    /// from HEAD to BASE would do, from git alone, without a database or Django. The exit code is 1 if something blocks
    /// the rollback.
    Plan(PlanOrRangeArguments),
    /// Check before a deploy whether a release can be rolled back.
    ///
    /// It reads git and source text alone: it needs no Python, Django or database. Without a range it checks what is
    /// new in the work tree since the newest tag behind HEAD; with --database, since the current release. The exit code
    /// is 1 if a finding is an error; --fail-on changes that.
    Check(CheckArguments),
    /// Draw the graph of migrations, or what is new in a range.
    Graph(GraphArguments),
    /// Go back to a release: undo what it did not have, in one transaction.
    ///
    /// Without --tag or --commit: the release that was saved before the current one. If a step must run outside a
    /// transaction, the plan is split into segments, and each is committed on its own.
    Rollback(RollbackArguments),
    /// Write what going back would do as a SQL script, for psql or sqlite3.
    ///
    /// In one transaction, the script checks the database it was made for, undoes every migration by its recorded SQL,
    /// writes history and checks the result.
    Sql(TargetArguments),
    /// Try going back on a scratch copy, down and up again.
    ///
    /// It compares the schema after each step. On SQLite it copies the file. On PostgreSQL it makes a new database, built
    /// by `migrate`, without rows. The result is written into history, where `rollback --require-rehearsal` looks for
    /// it.
    Rehearse(PlanArguments),
    /// Tell whether the database is ahead of this code.
    ///
    /// That is so if an old image starts on a newer database. `--on-ahead` says what to do then.
    Guard(GuardArguments),
    /// Print the key for a process without SECRET_KEY.
    ///
    /// The key signs archived sources and recorded SQL. Keep it secret: anyone who has it can sign SQL that a rollback
    /// then runs.
    Key,
    /// Compare what is applied with the current release; exit code 1 if they differ.
    Status,
    /// List what was done, newest first.
    History {
        /// Show at most this many operations.
        #[arg(long, short = 'n', value_name = "N", default_value = "20", help_heading = OUTPUT)]
        limit: u32,
    },
    /// Write the file that carries the commit and its tags into an image without .git.
    ///
    /// Run it when the image is built, where git is. In the image, `save` and `guard` read the file.
    Stamp {
        /// Commit, in full [default: as `save` finds it].
        #[arg(long, value_name = "HEX", alias = "release")]
        commit: Option<String>,
        /// File to write, or - for stdout [default: .django-rollback-release in the path].
        #[arg(long, short, value_name = "FILE", help_heading = OUTPUT)]
        output: Option<PathBuf>,
    },
    /// Print a script that completes these commands in a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// What is not for people to type.
    #[command(skip)]
    Unlisted(UnlistedCommand),
}

/// Commands that are parsed, but neither shown in help nor completed: those of version 0.4, as manage.py passes them
/// on, and what one door asks the other to do.
#[derive(Debug, Subcommand)]
pub(crate) enum UnlistedCommand {
    /// Carry out the plan that the other door has made, or show it.
    #[command(name = "handed-over", hide = true)]
    HandedOver(HandedOverArguments),
    /// `save` under its first name.
    #[command(name = "save_migrations_state", hide = true)]
    SaveMigrationsState(SaveArguments),
    /// `rollback` and `list` under their first name.
    #[command(name = "rollback_migrations", hide = true)]
    RollbackMigrations {
        /// List the releases, newest first.
        #[arg(long)]
        list: bool,
        /// Refuse to lose data, as `rollback` does; without it, losses only give a warning.
        #[arg(long)]
        refuse_data_loss: bool,
        #[command(flatten)]
        rollback: RollbackArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SaveArguments {
    /// Commit to save, in full [env: DJANGO_ROLLBACK_COMMIT].
    #[arg(long, value_name = "HEX", alias = "release")]
    pub(crate) commit: Option<String>,
    /// Print all migrations of the release.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) log_full_data: bool,
    /// Print what changed since the previous release.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) log_diff: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// Oldest tag to import [default: all tags that lead to HEAD].
    #[arg(long, value_name = "TAG")]
    pub(crate) since: Option<String>,
    /// Show what would be imported; nothing is written.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What one door asks the other to do.
#[derive(Debug, Args)]
pub(crate) struct HandedOverArguments {
    /// Commit of the release.
    #[arg(long)]
    pub(crate) commit: String,
    /// Fingerprint of what the plan was made from: refuse unless it is the same here.
    #[arg(long)]
    pub(crate) expect: String,
    /// Token that the other door wrote into history: refuse unless it is there. None for a preview.
    #[arg(long)]
    pub(crate) token: Option<String>,
    #[command(flatten)]
    pub(crate) execution: ExecutionArguments,
}
