//! The arguments of every command, and the help that teaches them.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use rollback_core::Way;

use crate::DoorKind;
use crate::console::safe;

const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused or failed, nothing was changed; 2 wrong usage; \
                          3 stopped part-way, at a recorded step; 130 and 143 interrupted, nothing was changed.";

const EXAMPLES: &str = "\
Examples:
  save                 in each deploy, after `migrate`
  import               once, on the first day: the releases before, from the tags in git
  list                 the releases that can be gone back to
  plan -t v1.2         what going back to v1.2 would do; nothing is written
  check                before a deploy: can it be rolled back, and what is lost?
  rollback -t v1.2     go back to v1.2
  rollback -c 03ec91e  go back to a commit
  rollback             go back to the release before the current one
  status               is the database what the current release had?";

/// Take a Django database back to the migrations of any release you have deployed.
///
/// Record each deploy with `save`, right after `migrate`. When a release has to go, `plan` shows what going back
/// means, and `rollback` does it.
#[derive(Debug, Parser)]
#[command(name = "django-rollback", version, disable_help_subcommand = true)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}

{EXIT_CODES}"))]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Arguments that every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// URL of the database, without its password: postgres://user@host/name, sqlite:///path. Default: DATABASE_URL.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// File that holds the URL of the database; it may contain the password.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "database")]
    pub(crate) database_file: Option<PathBuf>,
    /// File that holds the key for what is kept for a way back, or the secret that it is made from. Default:
    /// DJANGO_ROLLBACK_KEY.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Git repository, or a folder in it. Default: the working directory, then the folder of manage.py.
    #[arg(short, long, global = true, value_name = "PATH", value_parser = path())]
    pub(crate) path: Option<PathBuf>,
    /// How to print: for people, or one JSON document for programs.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// How much to say: 0 nothing but errors and the data that was asked for, 1 the usual, 2 and 3 also what Django's
    /// signals have to say.
    #[arg(short, long, global = true, value_name = "LEVEL", default_value = "1",
          value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) verbosity: u8,
    /// The same as `--verbosity 0`.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// Annotations of GitHub Actions (`check`).
    Github,
    /// A Code Quality report of GitLab (`check`).
    Gitlab,
    /// SARIF 2.1.0 (`check`).
    Sarif,
    /// A comment on a pull request (`check`).
    Markdown,
    /// A picture (`graph`).
    Svg,
    /// A Mermaid flowchart (`graph`).
    Mermaid,
    /// A graph for Graphviz (`graph`).
    Dot,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Record which migrations belong to the deployed commit.
    ///
    /// Run it in each deploy, after `migrate`. Saving the same again changes nothing; saving after more migrations
    /// were applied updates the release, and says so. The commit comes from --release, DJANGO_ROLLBACK_COMMIT, git,
    /// the variables of the platform, or the file that `stamp` wrote, in this order.
    Save(SaveArguments),
    /// Rebuild past releases from the tags in git, so that they can be gone back to.
    ///
    /// For the day on which django-rollback is installed: save the deploy that is running, then import. Of each tag that
    /// is older than every release in the list, the migration files are read out of git and held against what is
    /// applied. Importing again imports nothing.
    Import(ImportArguments),
    /// List the saved releases, newest first.
    List,
    /// Show one release: its commit, tags and migrations.
    Show(TargetArguments),
    /// Show what going back to a release would do. Nothing is written.
    ///
    /// With BASE..HEAD: what going back from one commit to another would do, from git alone, before any deploy.
    Plan(PlanOrRangeArguments),
    /// Tell before the deploy what a release means for a rollback: from git and source text, without Python, Django or
    /// a database.
    ///
    /// Without a range: from the newest tag behind HEAD to the work tree.
    Check(CheckArguments),
    /// Draw the graph of migrations, or what is new in a range.
    Graph(GraphArguments),
    /// Go back to a release: undo what it did not have, in the order of the graph, in one transaction.
    ///
    /// Without a release: the one that was saved before the current one.
    Rollback(RollbackArguments),
    /// Write what going back would do as a SQL script, for psql or sqlite3.
    ///
    /// It checks what it was made for, undoes every migration by its recorded SQL, keeps our books, and checks the
    /// result, in one transaction.
    Sql(TargetArguments),
    /// Try going back on a scratch copy: down and up again, the schema compared after each step.
    ///
    /// SQLite: a copy of the file. PostgreSQL: a new database, built by `migrate` without rows. The result is written
    /// into history; `--require-rehearsal` asks for it.
    Rehearse(PlanArguments),
    /// Tell whether the database is ahead of this code: then an old image has been started on a newer database.
    Guard(GuardArguments),
    /// Print the key for what is kept for a way back, for a process that has no SECRET_KEY. Keep it secret.
    Key,
    /// Compare what is applied with the current release. Exit code 1 when they differ.
    Status,
    /// List what was done, newest first.
    History {
        /// At most this many operations.
        #[arg(long, short = 'n', value_name = "N", default_value = "20")]
        limit: u32,
    },
    /// Write the file that carries the commit and its tags into an image without a .git.
    ///
    /// Run it when the image is built, where git is; `save` reads the file where it is not.
    Stamp {
        /// Commit, in full. Default: as `save` finds it.
        #[arg(long, value_name = "HEX")]
        release: Option<String>,
        /// File to write, or - for stdout. Default: .django-rollback-release in the path.
        #[arg(long, short, value_name = "FILE")]
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

/// Commands that are parsed, but neither shown in help nor completed: those of the original, as manage.py passes them
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
        /// Show the saved releases.
        #[arg(long)]
        list: bool,
        /// Refuse to lose data, as `rollback` does; without it the losses are only said.
        #[arg(long)]
        refuse_data_loss: bool,
        #[command(flatten)]
        rollback: RollbackArguments,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SaveArguments {
    /// Commit to save, in full.
    #[arg(long, value_name = "HEX")]
    pub(crate) release: Option<String>,
    /// Print all migrations of the release.
    #[arg(long)]
    pub(crate) log_full_data: bool,
    /// Print what changed since the release before.
    #[arg(long)]
    pub(crate) log_diff: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The oldest tag to import. Default: all that lead to HEAD.
    #[arg(long, value_name = "TAG")]
    pub(crate) since: Option<String>,
    /// Only show what would be imported; nothing is written.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TargetArguments {
    /// Tag that the release was saved under.
    #[arg(short, long, value_name = "TAG")]
    pub(crate) tag: Option<String>,
    /// Commit of the release: the full hash or its first digits, at least four.
    #[arg(short, long, value_name = "COMMIT")]
    pub(crate) commit: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RollbackArguments {
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// Only show the plan; nothing is written.
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) fake: bool,
    /// Finish the rollback that stopped part-way.
    #[arg(long, conflicts_with_all = ["tag", "commit", "fake", "abort"])]
    pub(crate) resume: bool,
    /// Leave the database where the rollback that stopped part-way has brought it, and say what that means.
    #[arg(long, conflicts_with_all = ["tag", "commit", "fake"])]
    pub(crate) abort: bool,
    #[command(flatten)]
    pub(crate) manners: MannersArguments,
}

#[derive(Debug, Args)]
pub(crate) struct GuardArguments {
    /// Commit of this code, in full. Default: as `save` finds it, else the migration files tell.
    #[arg(long, value_name = "HEX")]
    pub(crate) release: Option<String>,
    /// What to do when the database is ahead.
    #[arg(long, value_enum, default_value = "fail")]
    pub(crate) on_ahead: OnAhead,
    #[command(flatten)]
    pub(crate) manners: MannersArguments,
}

/// What to do when the database is ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnAhead {
    /// Say it.
    Warn,
    /// Say it, and end with exit code 1.
    Fail,
    /// Take the database back to the release of this code.
    Rollback,
}

#[derive(Debug, Args)]
pub(crate) struct PlanOrRangeArguments {
    /// Two commits, tags or branches: BASE..HEAD.
    #[arg(value_name = "RANGE", conflicts_with_all = ["tag", "commit", "way", "require_rehearsal"])]
    pub(crate) range: Option<String>,
    #[command(flatten)]
    pub(crate) plan: PlanArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// BASE..HEAD: two commits, tags or branches. BASE alone: from there to the work tree. BASE...HEAD: from where the
    /// two parted.
    #[arg(value_name = "RANGE")]
    pub(crate) range: Option<String>,
    /// Look at every migration, as if nothing had been released yet.
    #[arg(long, conflicts_with = "range")]
    pub(crate) all: bool,
    /// Only these rules: codes, the beginnings of codes, or names.
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub(crate) select: Vec<String>,
    /// Not these rules.
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// From which level on a finding makes the exit code 1. Default: error.
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) fail_on: Option<FailOn>,
    /// How many findings there are of each rule, instead of the findings.
    #[arg(long)]
    pub(crate) statistics: bool,
    /// Explain a rule, and look at nothing.
    #[arg(long, value_name = "RULE", conflicts_with_all = ["range", "all", "statistics"])]
    pub(crate) explain: Option<String>,
}

/// From which level on a finding makes the exit code 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Any finding.
    Note,
    /// Warnings and errors.
    Warning,
    /// Errors.
    Error,
    /// None.
    Never,
}

#[derive(Debug, Args)]
pub(crate) struct GraphArguments {
    /// A commit: its whole graph. BASE..HEAD: what HEAD brings. Default: the work tree.
    #[arg(value_name = "REVISION")]
    pub(crate) range: Option<String>,
    /// Only these apps.
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub(crate) app: Vec<String>,
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
    /// Undo every migration this way only. Default: recorded SQL where there is some, else the file, else the archived
    /// source.
    #[arg(long, value_enum, value_name = "WAY")]
    pub(crate) way: Option<WayChoice>,
    /// Refuse a plan that was never rehearsed.
    #[arg(long)]
    pub(crate) require_rehearsal: bool,
    /// Do not use recorded SQL: it did not lead where it should.
    #[arg(long, hide = true, conflicts_with = "way")]
    pub(crate) without_sql: bool,
}

/// A way to undo a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WayChoice {
    /// The SQL that was recorded when it was applied.
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
    pub(crate) fn words(&self) -> Vec<String> {
        let way = self.way.map(|way| format!("--way={}", way.way().as_str()));
        let flags = [(self.without_sql, "--without-sql"), (self.require_rehearsal, "--require-rehearsal")];
        let flags = flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_owned());
        way.into_iter().chain(flags).collect()
    }
}

/// How a rollback behaves.
#[derive(Clone, Debug, Args)]
pub(crate) struct MannersArguments {
    #[command(flatten)]
    pub(crate) way: WayArguments,
    /// Lose the data that the plan says would be lost.
    #[arg(long)]
    pub(crate) accept_data_loss: bool,
    /// Lose at most this many rows and values.
    #[arg(long, value_name = "N", conflicts_with = "accept_data_loss", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) max_lost_rows: Option<i64>,
    /// Ask nothing.
    #[arg(long, visible_alias = "no-input")]
    pub(crate) noinput: bool,
    /// How long one statement waits for a lock of another session, in milliseconds (PostgreSQL).
    #[arg(long, value_name = "MS", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub(crate) lock_timeout: u32,
    /// For how long in all it is tried again while other sessions are in the way, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub(crate) wait: u32,
    /// Commit even where the schema is not the one that the release had. History records that.
    #[arg(long)]
    pub(crate) no_verify: bool,
}

impl MannersArguments {
    /// The same as words, for the other door.
    pub(crate) fn words(&self) -> Vec<String> {
        let flags = [
            (self.accept_data_loss, "--accept-data-loss"),
            (self.noinput, "--noinput"),
            (self.no_verify, "--no-verify"),
        ];
        let mut words: Vec<String> =
            flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag.to_owned()).collect();
        words.extend(self.max_lost_rows.map(|rows| format!("--max-lost-rows={rows}")));
        words.push(format!("--lock-timeout={}", self.lock_timeout));
        words.push(format!("--wait={}", self.wait));
        words.extend(self.way.words());
        words
    }
}

/// What one door asks the other to do.
#[derive(Debug, Args)]
pub(crate) struct HandedOverArguments {
    /// Commit of the release.
    #[arg(long)]
    pub(crate) commit: String,
    /// What the plan was made from: refuse unless it is the same here.
    #[arg(long)]
    pub(crate) expect: String,
    /// The hand-over that the other door wrote into history: refuse unless it is there. None for a preview.
    #[arg(long)]
    pub(crate) token: Option<String>,
    #[command(flatten)]
    pub(crate) manners: MannersArguments,
}

/// Arguments that were not parsed.
pub(crate) enum Unparsed {
    /// Help or the version was asked for: to be printed as data.
    Help(String),
    /// They are wrong.
    Usage(String),
}

/// The grammar as this door shows it.
pub(crate) fn grammar(door: DoorKind, program: &str) -> clap::Command {
    let grammar = Arguments::command().bin_name(program.to_owned());
    match door {
        DoorKind::Native => grammar,
        DoorKind::Django => grammar
            .mut_arg("database", |arg| {
                arg.value_name("ALIAS").help("Database of the setting DATABASES. Default: default.")
            })
            .mut_arg("database_file", |arg| arg.hide(true)),
    }
}

/// A path, an empty one too: what an unset shell variable leaves is refused with a sentence of our own.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// Parses the arguments after the program's name.
pub(crate) fn parse(door: DoorKind, program: &str, arguments: &[String]) -> Result<Arguments, Unparsed> {
    let words = std::iter::once(program).chain(arguments.iter().map(String::as_str));
    let unlisted = UnlistedCommand::augment_subcommands(clap::Command::new("unlisted"));
    let grammar = grammar(door, program).subcommands(unlisted.get_subcommands().cloned());
    grammar.try_get_matches_from(words).and_then(|matches| read(&matches)).map_err(|error| unparsed(&error))
}

fn read(matches: &ArgMatches) -> Result<Arguments, clap::Error> {
    let is_unlisted = matches.subcommand_name().is_some_and(UnlistedCommand::has_subcommand);
    if !is_unlisted {
        return Arguments::from_arg_matches(matches);
    }
    let command = Command::Unlisted(UnlistedCommand::from_arg_matches(matches)?);
    Ok(Arguments { common: Common::from_arg_matches(matches)?, command })
}

fn unparsed(error: &clap::Error) -> Unparsed {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Unparsed::Help(text),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Unparsed::Usage(format!("a command is missing\n\n{}", text.trim_end()))
        }
        _ => {
            let lines: Vec<String> =
                text.trim_start_matches("error: ").trim_end().lines().map(safe).collect();
            Unparsed::Usage(lines.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_begins_with_what_the_program_is_for() {
        for option in ["-h", "--help"] {
            let Err(Unparsed::Help(text)) = parse(DoorKind::Native, "django-rollback", &[option.to_owned()])
            else {
                panic!("{option} is no help");
            };
            assert!(text.starts_with("Take a Django database back"), "{text}");
            assert!(!text.contains("handed-over") && !text.contains("rollback_migrations"), "{text}");
        }
    }

    #[test]
    fn the_grammar_holds() {
        grammar(DoorKind::Native, "django-rollback").debug_assert();
        grammar(DoorKind::Django, "manage.py rollback").debug_assert();
    }
}
