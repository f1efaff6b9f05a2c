//! `--format`: each command offers the formats that it has, and refuses the others.
//!
//! The option may come before the command, when it is not known yet which formats there are. So its value stays a word
//! until the command is known.

use clap::builder::{PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Arg, ArgMatches, Args, FromArgMatches, ValueEnum};

use super::headings::OUTPUT;

const FORMAT: &str = "format";

/// The format of commands that print no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TextFormat {
    /// For people.
    Text,
}

/// The formats of most commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum UsualFormat {
    /// For people.
    Text,
    /// A JSON document for programs.
    Json,
}

/// The formats of `graph`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// A line for each migration.
    Text,
    /// What the text of each migration says, as a JSON document.
    Json,
    /// A Mermaid flowchart.
    Mermaid,
    /// A graph for Graphviz.
    Dot,
    /// A picture.
    Svg,
}

/// What stdout gets, as far as every command has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Text for people, with talk between.
    Text,
    /// JSON documents.
    Json,
    /// A document in another format.
    Other,
}

impl Args for Output {
    fn augment_args(command: clap::Command) -> clap::Command {
        let help = "How to print: text, json, or what the command offers besides";
        command.arg(argument(help).global(true).value_parser(StringValueParser::new()))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Output {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(match matches.get_one::<String>(FORMAT).map(String::as_str) {
            None | Some("text") => Self::Text,
            Some("json") => Self::Json,
            Some(_) => Self::Other,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The `--format` of a command that has formats of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormatArgument<F>(pub(crate) F);

impl<F: ValueEnum> Args for FormatArgument<F> {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.arg(offered::<F>())
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl<F: ValueEnum> FromArgMatches for FormatArgument<F> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let word = matches.get_one::<String>(FORMAT).map_or("text", String::as_str);
        F::from_str(word, false)
            .map(Self)
            .map_err(|error| clap::Error::raw(clap::error::ErrorKind::InvalidValue, error))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Commands that print one thing, which is no document.
const WITHOUT_DOCUMENTS: [&str; 2] = ["key", "completions"];

/// Gives every command that has no formats of its own those that most commands have.
pub(super) fn offer_usual(grammar: clap::Command) -> clap::Command {
    grammar.mut_subcommands(|command| {
        if command.get_arguments().any(|argument| argument.get_id() == FORMAT) {
            command
        } else if WITHOUT_DOCUMENTS.contains(&command.get_name()) {
            command.arg(offered::<TextFormat>().hide(true))
        } else {
            command.arg(offered::<UsualFormat>())
        }
    })
}

/// Refuses a format that stood before the command and that the command does not offer.
pub(super) fn check(grammar: &clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let word = matches.get_raw(FORMAT).and_then(Iterator::last);
    let command = matches.subcommand_name().and_then(|name| grammar.find_subcommand(name));
    let (Some(word), Some(command)) = (word, command) else { return Ok(()) };
    let Some(argument) = command.get_arguments().find(|argument| argument.get_id() == FORMAT) else {
        return Ok(());
    };
    let formats = argument.get_possible_values();
    PossibleValuesParser::new(formats).parse_ref(command, Some(argument), word).map(|_| ())
}

fn offered<F: ValueEnum>() -> Arg {
    let formats = F::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    argument("How to print").default_value("text").value_parser(PossibleValuesParser::new(formats))
}

fn argument(help: &'static str) -> Arg {
    Arg::new(FORMAT).long(FORMAT).value_name("FORMAT").help(help).help_heading(OUTPUT)
}
