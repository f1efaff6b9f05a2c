//! `docs/cli.md`, written from the help, and the test that it is not stale.

use std::fmt::Write;
use std::path::Path;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};

use super::examples::{self, Example};
use super::grammar::{EXIT_CODES, grammar};
use crate::door::DoorKind;

const INTRODUCTION: &str = "\
# Commands and options

<!-- Written from the help of the commands: UPDATE=1 cargo test -p rollback-cli docs_cli -->

After this page you know which command does what, and with which options. `--help` prints the same, `-h` a short form:

```console
$ django-rollback rollback --help
```

There are two ways in: the binary `django-rollback`, which needs no Python, and `manage.py rollback` in the project.
Both have the same commands. Where their options differ, this page says so.
";

const COMMON: &str = "\
## Options of every command

They may stand before the command or after it.
";

const FIRST_COMMANDS: &str = "\
## Commands of version 0.4

`manage.py` also has the two commands of version 0.4, with the options that they need:

| command | does the same as | options of its own |
|---|---|---|
| `manage.py save_migrations_state` | `save` | `--logger NAME`, `--log-level LEVEL`: the report goes to this logger too |
| `manage.py rollback_migrations` | `rollback` | `--list`: the same as `list`; `--logger NAME`, `--log-level LEVEL` |

`rollback_migrations` only warns about lost data, unless the setting `DATA_LOSS` is `\"refuse\"`: see
[settings.md](settings.md). `manage.py rollback_migrations --help` lists its options.
";

#[test]
fn docs_cli_is_not_stale() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/cli.md is stale; write it anew: UPDATE=1 cargo test -p rollback-cli docs_cli"
    );
}

fn page() -> String {
    let [native, django] = [(DoorKind::Native, "django-rollback"), (DoorKind::Django, "manage.py rollback")]
        .map(|(door, program)| built(grammar(door, program)));
    let commands: Vec<&Command> = native.get_subcommands().collect();
    let sections: String = commands.iter().map(|command| section(command)).collect();
    [INTRODUCTION, &contents(&commands), &sections, &common(&native, &django), &exit_codes(), FIRST_COMMANDS]
        .join("\n")
}

fn built(mut grammar: Command) -> Command {
    grammar.build();
    grammar
}

fn contents(commands: &[&Command]) -> String {
    let row = |command: &&Command| {
        let name = command.get_name();
        format!("| [`{name}`](#{name}) | {} |\n", text(command.get_about()))
    };
    format!("| command | what it does |\n|---|---|\n{}", commands.iter().map(row).collect::<String>())
}

fn section(command: &Command) -> String {
    let name = command.get_name();
    let about = text(command.get_long_about().or(command.get_about()));
    let end = if about.ends_with('.') { "" } else { "." };
    let own: Vec<&Arg> = command.get_arguments().filter(|option| !is_common(option)).collect();
    let examples = console(examples::of(name));
    format!("## {name}\n\n{about}{end}\n\n{examples}{}\n", tables(&own))
}

fn console(examples: &[Example]) -> String {
    let lines: Vec<String> = examples
        .iter()
        .map(|Example { purpose, words }| format!("# {purpose}\n$ django-rollback {words}\n"))
        .collect();
    format!("```console\n{}```\n", lines.join("\n"))
}

/// The options that every command takes, and how those of `manage.py` differ.
fn common(native: &Command, django: &Command) -> String {
    let options: Vec<&Arg> = native.get_arguments().filter(|option| option.is_global_set()).collect();
    let differences: String = options.iter().filter_map(|option| difference(option, django)).collect();
    let tables = tables(&options);
    format!("{COMMON}\n{tables}\nIn `manage.py rollback`:\n\n{differences}")
}

/// What `manage.py` has instead of an option of the binary, unless it is the same.
fn difference(option: &Arg, django: &Command) -> Option<String> {
    let same = django.get_arguments().find(|other| other.get_id() == option.get_id())?;
    match (same.is_hide_set(), row(same) == row(option)) {
        (true, _) => Some(format!("- {}: not there.\n", names(option))),
        (false, false) => Some(format!("- {}: {}.\n", names(same), help(same))),
        (false, true) => None,
    }
}

fn exit_codes() -> String {
    let mut page = "## Exit codes\n\n| code | meaning |\n|---|---|\n".to_owned();
    for line in EXIT_CODES.lines().skip(1) {
        if let Some((code, meaning)) = line.trim().split_once(' ') {
            let _ = writeln!(page, "| {code} | {} |", meaning.trim());
        }
    }
    page
}

/// A table for each group of options.
fn tables(options: &[&Arg]) -> String {
    let shown = |option: &&&Arg| !option.is_hide_set() && !matches!(option.get_action(), ArgAction::Help);
    let shown: Vec<&Arg> = options.iter().filter(shown).copied().collect();
    let mut groups: Vec<Option<&str>> = Vec::new();
    for option in &shown {
        if !groups.contains(&option.get_help_heading()) {
            groups.push(option.get_help_heading());
        }
    }
    groups.sort_by_key(Option::is_some);
    let table = |group: &Option<&str>| {
        let rows =
            shown.iter().filter(|option| option.get_help_heading() == *group).map(|option| row(option));
        format!("\n| {} | |\n|---|---|\n{}", group.unwrap_or("Options"), rows.collect::<String>())
    };
    groups.iter().map(table).collect()
}

fn row(option: &Arg) -> String {
    format!("| {} | {} |\n", names(option), help(option))
}

/// `-t`, `--tag TAG`
fn names(option: &Arg) -> String {
    let value = option.get_value_names().filter(|_| option.get_action().takes_values());
    let value = value.map(|names| names.join(" ")).unwrap_or_default();
    if option.is_positional() {
        return format!("`{value}`");
    }
    let short = option.get_short().map(|letter| format!("-{letter}"));
    let long = option.get_long().into_iter().chain(option.get_visible_aliases().into_iter().flatten());
    let long = long.map(|name| format!("--{name} {value}"));
    let names: Vec<String> = short.into_iter().chain(long).map(|name| format!("`{}`", name.trim())).collect();
    names.join(", ")
}

/// The sentence of an option, its default, and a line for each of its values.
fn help(option: &Arg) -> String {
    let mut help = text(option.get_help());
    if !option.get_action().takes_values() {
        return help;
    }
    if let [default] = option.get_default_values() {
        let _ = write!(help, " [default: {}]", default.to_string_lossy());
    }
    for value in option.get_possible_values() {
        let _ = write!(help, "<br>`{}`", value.get_name());
        if let Some(meaning) = value.get_help() {
            let _ = write!(help, ": {}", text(Some(meaning)));
        }
    }
    help
}

fn text(text: Option<&StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.replace('|', "\\|")
}

/// Whether the option is the same for every command, or nearly: `--format` where it offers what it usually does.
fn is_common(option: &Arg) -> bool {
    option.is_global_set() || (option.get_id() == "format" && option.get_possible_values().len() == 2)
}
