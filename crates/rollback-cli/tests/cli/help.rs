//! Help and completions.

use insta::assert_snapshot;
use rollback_testing::FakeDoor;

use crate::{binary, manage};

const COMMANDS: [&str; 15] = [
    "save",
    "import",
    "list",
    "show",
    "plan",
    "check",
    "graph",
    "rollback",
    "sql",
    "rehearse",
    "guard",
    "status",
    "history",
    "stamp",
    "completions",
];

#[test]
fn the_short_help_of_the_program() {
    assert_snapshot!(binary().run("-h"), @"
    --- stdout
    Take a Django database back to the migrations of any release you have deployed

    Usage: django-rollback [OPTIONS] <COMMAND>

    Commands:
      save         Record which migrations belong to the deployed commit
      import       Rebuild past releases from the tags in git, so that they can be gone back to
      list         List the saved releases, newest first
      show         Show one release: its commit, tags and migrations
      plan         Show what going back to a release would do. Nothing is written
      check        Tell before the deploy what a release means for a rollback: from git and source text,
                   without Python, Django or a database
      graph        Draw the graph of migrations, or what is new in a range
      rollback     Go back to a release: undo what it did not have, in the order of the graph, in one
                   transaction
      sql          Write what going back would do as a SQL script, for psql or sqlite3
      rehearse     Try going back on a scratch copy: down and up again, the schema compared after each
                   step
      guard        Tell whether the database is ahead of this code: then an old image has been started
                   on a newer database
      key          Print the key for what is kept for a way back, for a process that has no SECRET_KEY.
                   Keep it secret
      status       Compare what is applied with the current release. Exit code 1 when they differ
      history      List what was done, newest first
      stamp        Write the file that carries the commit and its tags into an image without a .git
      completions  Print a script that completes these commands in a shell

    Options:
          --database <URL>        URL of the database, without its password: postgres://user@host/name,
                                  sqlite:///path. Default: DATABASE_URL
          --database-file <FILE>  File that holds the URL of the database; it may contain the password
          --key-file <FILE>       File that holds the key for what is kept for a way back, or the secret
                                  that it is made from. Default: DJANGO_ROLLBACK_KEY
      -p, --path <PATH>           Git repository, or a folder in it. Default: the working directory,
                                  then the folder of manage.py
          --format <FORMAT>       How to print: for people, or one JSON document for programs [default:
                                  text] [possible values: text, json, github, gitlab, sarif, markdown,
                                  svg, mermaid, dot]
      -v, --verbosity <LEVEL>     How much to say: 0 nothing but errors and the data that was asked for,
                                  1 the usual, 2 and 3 also what Django's signals have to say [default:
                                  1]
      -q, --quiet                 The same as `--verbosity 0`
      -h, --help                  Print help (see more with '--help')
      -V, --version               Print version

    Exit codes: 0 done; 1 refused or failed, nothing was changed; 2 wrong usage; 3 stopped part-way, at
    a recorded step; 130 and 143 interrupted, nothing was changed.
    --- exit code 0
    ");
}

#[test]
fn headings_of_the_options_of_a_rollback() {
    let said = binary().run("rollback -h");
    let headings: Vec<&str> =
        said.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect();
    assert_snapshot!(headings.join("\n"), @"Options:");
}

#[test]
fn every_command_has_help_in_both_doors() {
    for (program, door) in [("django-rollback", binary as fn() -> FakeDoor), ("manage.py rollback", manage)] {
        for command in COMMANDS {
            for option in ["-h", "--help"] {
                let said = door().run(&format!("{command} {option}"));
                assert!(said.contains(&format!("\nUsage: {program} {command} ")), "{said}");
                assert!(said.ends_with("--- exit code 0"), "{said}");
                assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
                assert_eq!(said.contains("--database-file"), program == "django-rollback", "{said}");
                for hidden in ["save_migrations_state", "--expect", "\u{1b}"] {
                    assert!(!said.contains(hidden), "{said}");
                }
            }
        }
    }
}

#[test]
fn the_version() {
    assert_snapshot!(binary().run("--version"), @"
    --- stdout
    django-rollback VERSION
    --- exit code 0
    ");
}

#[test]
fn completions_name_what_may_be_typed_and_nothing_hidden() {
    for shell in ["bash", "zsh", "fish"] {
        let said = binary().run(&format!("completions {shell}"));
        assert!(COMMANDS.iter().all(|command| said.contains(command)), "{shell}");
        assert!(!said.contains("rollback_migrations") && !said.contains("--expect"), "{shell}");
        assert!(said.ends_with("--- exit code 0"), "{shell}");
    }
}
