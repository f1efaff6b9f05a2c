//! The grammar as a whole, for one door or the other, and how words are parsed by it.

use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::commands::{Command, UnlistedCommand};
use super::common::Common;
use super::examples::{self, FIRST_STEPS};
use super::format;
use crate::console::safe;
use crate::door::DoorKind;

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    refused or failed, nothing was changed
  2    wrong usage
  3    stopped part-way: finish it with `rollback --resume`, or close it with `rollback --abort`
  130  interrupted by Ctrl-C, nothing was changed
  143  interrupted by SIGTERM, nothing was changed";

/// Take a Django database back to the migrations of any release you have deployed.
///
/// Save each deploy with `save`, right after `migrate`. To take a release back, look at what `plan` says, then run
/// `rollback`.
#[derive(Debug, Parser)]
#[command(name = "django-rollback", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Arguments that were not parsed.
pub(crate) enum Unparsed {
    /// Help or the version was asked for: to be printed as data.
    Help(String),
    /// They are wrong.
    Usage(String),
}

/// How wide help is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// As wide as the terminal, but not wider than is easy to read.
    Terminal,
    /// [`WIDEST`] columns, if the help does not go to a terminal.
    Fixed,
}

/// The widest help, in columns.
const WIDEST: usize = 100;

/// The grammar as this door shows it.
pub(crate) fn grammar(door: DoorKind, program: &str) -> clap::Command {
    let first_steps = examples::render(program, FIRST_STEPS);
    let grammar = Arguments::command()
        .bin_name(program.to_owned())
        .after_help(EXIT_CODES)
        .after_long_help(format!("{first_steps}\n\n{EXIT_CODES}"))
        .mut_subcommands(|command| with_examples(command, program));
    let grammar = format::offer_usual(grammar);
    match door {
        DoorKind::Native => grammar,
        DoorKind::Django => grammar
            .mut_arg("database", |arg| {
                arg.value_name("ALIAS").help("Database of the setting DATABASES [default: default]")
            })
            .mut_arg("database_file", |arg| arg.hide(true)),
    }
}

fn with_examples(command: clap::Command, program: &str) -> clap::Command {
    let examples = examples::render(program, examples::of(command.get_name()));
    command.after_long_help(examples)
}

/// Parses the arguments after the program's name.
pub(crate) fn parse(
    door: DoorKind,
    program: &str,
    arguments: &[String],
    width: Width,
) -> Result<Arguments, Unparsed> {
    let words = std::iter::once(program).chain(arguments.iter().map(String::as_str));
    let grammar = whole(door, program, width);
    matches(grammar, words).and_then(|matches| read(&matches)).map_err(|error| unparsed(&error))
}

/// The grammar with the commands that help does not list.
fn whole(door: DoorKind, program: &str, width: Width) -> clap::Command {
    let unlisted = UnlistedCommand::augment_subcommands(clap::Command::new("unlisted"));
    let grammar = grammar(door, program).subcommands(unlisted.get_subcommands().cloned());
    let grammar = format::offer_usual(grammar);
    match width {
        Width::Terminal => grammar.max_term_width(WIDEST),
        Width::Fixed => grammar.term_width(WIDEST),
    }
}

fn matches<'w>(
    mut grammar: clap::Command,
    words: impl Iterator<Item = &'w str>,
) -> Result<ArgMatches, clap::Error> {
    let matches = grammar.try_get_matches_from_mut(words)?;
    format::check(&grammar, &matches)?;
    Ok(matches)
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
    use crate::args::format::Output;
    use crate::findings;

    const NATIVE: &str = "django-rollback";

    fn parsed(words: &str) -> Result<Arguments, String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        parse(DoorKind::Native, NATIVE, &words, Width::Fixed).map_err(|error| match error {
            Unparsed::Help(text) | Unparsed::Usage(text) => text,
        })
    }

    #[track_caller]
    fn check_refused(words: &str, expected: &str) {
        assert_eq!(parsed(words).map(|_| ()).unwrap_err(), expected);
    }

    #[test]
    fn help_begins_with_what_the_program_is_for() {
        for option in ["-h", "--help"] {
            let text = parsed(option).map(|_| ()).unwrap_err();
            assert!(text.starts_with("Take a Django database back"), "{text}");
            assert!(!text.contains("handed-over") && !text.contains("rollback_migrations"), "{text}");
        }
    }

    #[test]
    fn the_grammar_holds() {
        grammar(DoorKind::Native, NATIVE).debug_assert();
        grammar(DoorKind::Django, "manage.py rollback").debug_assert();
    }

    #[test]
    fn every_command_has_examples_that_can_be_typed() {
        let grammar = grammar(DoorKind::Native, NATIVE);
        for command in grammar.get_subcommands() {
            let name = command.get_name();
            let examples = examples::of(name);
            assert!(!examples.is_empty(), "{name} has no example");
            for example in examples {
                assert_eq!(example.words.split_whitespace().next(), Some(name));
            }
        }
        let all = grammar.get_subcommands().flat_map(|command| examples::of(command.get_name()));
        for example in all.chain(FIRST_STEPS) {
            let (words, _) = example.words.split_once('>').unwrap_or((example.words, ""));
            assert!(parsed(words).is_ok(), "{}: {:?}", example.words, parsed(words).map(|_| ()));
        }
    }

    #[test]
    fn every_option_is_explained_by_one_short_sentence() {
        const MOST_WORDS: usize = 25;
        let grammar = grammar(DoorKind::Native, NATIVE);
        for command in std::iter::once(&grammar).chain(grammar.get_subcommands()) {
            for option in command.get_arguments().filter(|option| !option.is_hide_set()) {
                let help = option.get_help().map(ToString::to_string).unwrap_or_default();
                let place = format!("{} {}: {help}", command.get_name(), option.get_id());
                assert!(help.starts_with(|letter: char| letter.is_uppercase()), "{place}");
                assert!(!help.contains(". ") && !help.ends_with('.'), "{place}");
                assert!(help.split_whitespace().count() <= MOST_WORDS, "{place}");
            }
        }
    }

    #[test]
    fn a_command_offers_the_formats_that_it_has() {
        let end = "\n\nFor more information, try '--help'.";
        for words in ["list --format svg", "--format svg list"] {
            check_refused(
                words,
                &format!("invalid value 'svg' for '--format <FORMAT>'\n  [possible values: text, json]{end}"),
            );
        }
        check_refused(
            "check --format dot",
            &format!(
                "invalid value 'dot' for '--format <FORMAT>'\n  \
                 [possible values: text, json, github, gitlab, sarif, markdown]{end}"
            ),
        );
        check_refused(
            "--format github graph",
            &format!(
                "invalid value 'github' for '--format <FORMAT>'\n  \
                 [possible values: text, json, mermaid, dot, svg]{end}"
            ),
        );
    }

    #[test]
    fn the_format_may_come_before_the_command_or_after_it() {
        for (words, expected) in [
            ("list", Output::Text),
            ("list --format json", Output::Json),
            ("--format json list", Output::Json),
            ("check --format sarif", Output::Other),
            ("--format sarif check", Output::Other),
            ("save_migrations_state --format json", Output::Json),
        ] {
            assert_eq!(parsed(words).unwrap().common.output, expected, "{words}");
        }
        let Command::Check(check) = parsed("--format sarif check").unwrap().command else { panic!() };
        assert_eq!(check.format.0, findings::Format::Sarif);
    }

    #[test]
    fn release_is_still_a_name_of_commit() {
        for words in ["save --release ab", "save --commit ab"] {
            let Command::Save(save) = parsed(words).unwrap().command else { panic!() };
            assert_eq!(save.commit.as_deref(), Some("ab"));
        }
        for words in ["guard --release ab", "stamp --release ab", "save_migrations_state --release ab"] {
            assert!(parsed(words).is_ok(), "{words}");
        }
    }
}
