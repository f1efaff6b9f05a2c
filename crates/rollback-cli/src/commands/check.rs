//! `check`: what a release means for a rollback, before it is deployed.

use std::collections::BTreeMap;

use rollback_check::suppress::{Idle, Suppressions};
use rollback_check::{Checked, Config, ConfigError, Finding, Level, Place, Range, Rule, check};
use rollback_core::MigrationId;
use rollback_revision::{Extent, File, Migrations, Revision, read_range};

use super::context::Context;
use super::range::{self, End, Ends, Nothing};
use crate::args::{CheckArguments, FailOn};
use crate::console::{Level as Importance, safe};
use crate::door::DoorKind;
use crate::error::CliError;
use crate::exit::ExitCode;
use crate::findings::{self, Report, statistics, statistics_document};
use crate::words::count;

pub(crate) fn run(context: &mut Context<'_>, arguments: &CheckArguments) -> Result<i32, CliError> {
    if let Some(code) = &arguments.explain {
        return explain(context, code);
    }
    let ends = if arguments.all { all(context)? } else { context.ends(arguments.range.as_deref())? };
    let mut config = ends.config.clone();
    config.override_by(&arguments.select, &arguments.ignore).map_err(|error| no_rule(&error))?;
    let [mut base, mut head] = range::open_both(&ends, &config.project)?;
    for passed_over in head.passed_over_since(&base) {
        context.say(Importance::Warning, &range::passed_over(&ends.folder, passed_over, "has changed and "));
    }
    let extent = if arguments.all { Extent::All } else { Extent::Changed };
    read_range(&mut base, &mut head, extent).map_err(|error| range::unread(&error))?;
    if ends.head.commit.is_none() {
        ask_django(context, &mut head);
    }
    let checked = check(&Range {
        base: base.migrations(),
        head: head.migrations(),
        is_project: &|path| head.has_module(path),
        database: config.database,
    });
    let compared =
        Compared { ends: &ends, base: base.migrations(), head: head.migrations(), config: &config };
    let is_failure = show(context, arguments, &compared, checked)?;
    range::leave(context, base, head);
    Ok(if is_failure { ExitCode::Refused } else { ExitCode::Done } as i32)
}

/// What was compared.
struct Compared<'c> {
    ends: &'c Ends,
    base: &'c Migrations,
    head: &'c Migrations,
    config: &'c Config,
}

/// Every migration, as if nothing had been released.
fn all(context: &Context<'_>) -> Result<Ends, CliError> {
    let head = range::single(context, None)?;
    let base = End { label: "nothing".to_owned(), commit: None, files: Box::new(Nothing) };
    let folder = context.folder_of_paths(context.repository()?.as_ref());
    let config = Config::of_files(head.files.as_ref(), &folder).map_err(|error| range::unread(&error))?;
    Ok(Ends { folder, base, head, config })
}

/// If the text is not enough, Django's loader knows: it sees the work tree.
fn ask_django(context: &mut Context<'_>, head: &mut Revision<'_>) {
    let unknown = head.unknown();
    if context.door.kind() != DoorKind::Django || unknown.is_empty() {
        return;
    }
    let choice = context.database_choice();
    let known = context.door.loader(&choice).and_then(|mut runner| runner.capsules(&unknown).ok());
    match known {
        Some(known) => head.complete(&known),
        None => context.say(
            Importance::Warning,
            &format!("Warning: Django could not be asked about {}.", count(unknown.len(), "migration")),
        ),
    }
}

/// Shows what was found. Whether that makes the command fail.
fn show(
    context: &mut Context<'_>,
    arguments: &CheckArguments,
    compared: &Compared<'_>,
    checked: Checked,
) -> Result<bool, CliError> {
    let texts = Texts::of(compared);
    let text = |place: &Place| texts.of_file(place);
    let (suppressed, findings) = judged(checked.findings, compared, &texts);
    for line in idle_comments(compared, &text) {
        context.say(Importance::Warning, &line);
    }
    let undo: Vec<String> = checked.undo.iter().map(ToString::to_string).collect();
    let report = Report {
        base: compared.ends.base.label.clone(),
        head: compared.ends.head.label.clone(),
        findings: &findings,
        texts: &text,
        suppressed: suppressed.len(),
        migrations: checked.new.len(),
        undo: &undo,
    };
    print(context, arguments, &report)?;
    let from = fail_on(arguments, compared.config);
    let is_failure = from.is_some_and(|from| findings.iter().any(|finding| finding.level >= from));
    if is_failure {
        context.console.rate(Importance::Warning);
    }
    Ok(is_failure)
}

/// The texts of the migrations of both ends, by whether they are of the older one, and by path.
struct Texts<'c>(BTreeMap<(bool, String), &'c str>);

impl<'c> Texts<'c> {
    fn of(compared: &Compared<'c>) -> Self {
        let Compared { ends, base, head, .. } = *compared;
        let mut by_path = BTreeMap::new();
        for (is_older, migrations) in [(true, base), (false, head)] {
            for (id, read) in &migrations.read {
                if let Some(file) = migrations.files.get(id) {
                    by_path.insert((is_older, format!("{}{}", ends.folder, file.path)), &*read.text);
                }
            }
        }
        Self(by_path)
    }

    fn of_file(&self, place: &Place) -> Option<&'c str> {
        self.0.get(&(place.is_older, place.path.clone())).copied()
    }
}

/// The findings that comments suppress, and those that the project wants to see.
fn judged(
    findings: Vec<Finding>,
    compared: &Compared<'_>,
    texts: &Texts<'_>,
) -> (Vec<Finding>, Vec<Finding>) {
    let mut suppressions: BTreeMap<String, Suppressions> = BTreeMap::new();
    let is_suppressed = |finding: &Finding| {
        let comments = suppressions
            .entry(finding.place.path.clone())
            .or_insert_with(|| texts.of_file(&finding.place).map(Suppressions::of).unwrap_or_default());
        !finding.place.is_older && comments.has(finding)
    };
    // The configuration's paths begin at the project, those of the report at the root of the repository.
    let from_root = |mut finding: Finding| {
        finding.place.path.insert_str(0, &compared.ends.folder);
        finding
    };
    let judged = findings.into_iter().filter_map(|finding| compared.config.judge(finding));
    judged.map(from_root).partition(is_suppressed)
}

fn print(context: &mut Context<'_>, arguments: &CheckArguments, report: &Report<'_>) -> Result<(), CliError> {
    if arguments.statistics && context.is_json() {
        return context.out_json(&statistics_document(report));
    }
    if arguments.statistics {
        return context.out(&statistics(report));
    }
    let is_coloured =
        context.console.is_terminal() && !context.environment.variables.contains_key("NO_COLOR");
    context.out(&findings::render(report, arguments.format.0, is_coloured))
}

/// The comments in migrations that the range is about that have no effect.
fn idle_comments<'t>(compared: &Compared<'_>, texts: &dyn Fn(&Place) -> Option<&'t str>) -> Vec<String> {
    let Compared { ends, base, head, config } = compared;
    let is_other = |(id, file): &(&MigrationId, &File)| {
        base.files.get(id).is_none_or(|older| older.hash != file.hash)
            && !config.project.is_excluded(&file.path)
    };
    let mut lines = Vec::new();
    for (_, file) in head.files.iter().filter(is_other) {
        let path = format!("{}{}", ends.folder, file.path);
        let place = Place { path, range: 0..0, is_older: false };
        let comments = texts(&place).map(Suppressions::of).unwrap_or_default();
        lines.extend(comments.idle().iter().map(|Idle { line, why }| {
            safe(format!("Warning: the comment at {}:{line} has no effect: {why}.", place.path))
        }));
    }
    lines
}

fn fail_on(arguments: &CheckArguments, config: &Config) -> Option<Level> {
    match arguments.fail_on {
        Some(FailOn::Note) => Some(Level::Note),
        Some(FailOn::Warning) => Some(Level::Warning),
        Some(FailOn::Error) => Some(Level::Error),
        Some(FailOn::Never) => None,
        None => config.fail_on.unwrap_or(Some(Level::Error)),
    }
}

fn explain(context: &mut Context<'_>, code: &str) -> Result<i32, CliError> {
    let Some(rule) = Rule::find(code) else {
        return Err(CliError::usage(
            format!("unknown rule {code:?}"),
            "docs/rules/README.md lists them; `check --statistics` shows those that found something",
        ));
    };
    context.out(rule.page)?;
    Ok(ExitCode::Done as i32)
}

fn no_rule(error: &ConfigError) -> CliError {
    CliError::usage(error.to_string(), "docs/rules/README.md lists the rules")
}
