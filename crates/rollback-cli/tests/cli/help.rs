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
      save         Save which migrations belong to the deployed commit
      import       Rebuild past releases from the tags in git, so that you can go back to them
      list         List the releases, newest first
      show         Show one release: its commit, tags and migrations
      plan         Show what going back to a release would do; nothing is written
      check        Check before a deploy whether a release can be rolled back
      graph        Draw the graph of migrations, or what is new in a range
      rollback     Go back to a release: undo what it did not have, in one transaction
      sql          Write what going back would do as a SQL script, for psql or sqlite3
      rehearse     Try going back on a scratch copy, down and up again
      guard        Tell whether the database is ahead of this code
      key          Print the key for a process without SECRET_KEY
      status       Compare what is applied with the current release; exit code 1 if they differ
      history      List what was done, newest first
      stamp        Write the file that carries the commit and its tags into an image without .git
      completions  Print a script that completes these commands in a shell

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Output:
          --format <FORMAT>    How to print: text, json, or what the command offers besides
      -v, --verbosity <LEVEL>  How much to print: 0 errors and results, 1 the usual, 2 and 3 also what
                               Django's signal handlers print [default: 1]
      -q, --quiet              Print only errors and results, like `--verbosity 0`

    Connection:
          --database <URL>        Database, without its password: postgres://user@host/name or
                                  sqlite:///path [env: DATABASE_URL]
          --database-file <FILE>  File with the URL of the database; this URL may contain the password
          --key-file <FILE>       File with the key that signs archived sources and recorded SQL, or the
                                  secret it is made from [env: DJANGO_ROLLBACK_KEY]
      -p, --path <PATH>           Git repository, or a folder in it [default: the working directory,
                                  then the folder of manage.py]

    Exit codes:
      0    done
      1    refused or failed, nothing was changed
      2    wrong usage
      3    stopped part-way: finish it with `rollback --resume`, or close it with `rollback --abort`
      130  interrupted by Ctrl-C, nothing was changed
      143  interrupted by SIGTERM, nothing was changed
    --- exit code 0
    ");
}

#[test]
fn headings_of_the_options_of_a_rollback() {
    let said = binary().run("rollback -h");
    let headings: Vec<&str> =
        said.lines().filter(|line| line.ends_with(':') && !line.starts_with(' ')).collect();
    assert_snapshot!(headings.join("\n"), @"
    Options:
    Target:
    What is allowed:
    Locks:
    Output:
    Connection:
    ");
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

#[test]
fn completions_offer_the_formats_of_each_command() {
    let said = binary().run("completions bash");
    for formats in ["text json", "text json mermaid dot svg", "text json github gitlab sarif markdown"] {
        assert!(said.contains(&format!("compgen -W \"{formats}\"")), "{formats}");
    }
}
