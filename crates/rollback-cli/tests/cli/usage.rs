//! Wrong usage: exit code 2, and where the help is.

use insta::assert_snapshot;
use rollback_testing::Shop;

use crate::{binary, manage};

#[test]
fn words_that_are_not_known() {
    let mut door = manage();
    assert_snapshot!(door.run("nonsense"), @"
    --- stderr
    error: unrecognized subcommand 'nonsense'

    Usage: manage.py rollback [OPTIONS] <COMMAND>

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("lst"), @"
    --- stderr
    error: unrecognized subcommand 'lst'

      tip: a similar subcommand exists: 'list'

    Usage: manage.py rollback [OPTIONS] <COMMAND>

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("list --nonsense"), @"
    --- stderr
    error: unexpected argument '--nonsense' found

    Usage: manage.py rollback list [OPTIONS]

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("rollback --tga v1"), @"
    --- stderr
    error: unexpected argument '--tga' found

    Usage: manage.py rollback rollback [OPTIONS]

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("plan one two"), @"
    --- stderr
    error: unexpected argument 'two' found

    Usage: manage.py rollback plan [OPTIONS] [RANGE]

    For more information, try '--help'.
    --- exit code 2
    ");
}

#[test]
fn values_that_do_not_fit() {
    let mut door = binary();
    assert_snapshot!(door.run("list -v 7"), @"
    --- stderr
    error: invalid value '7' for '--verbosity <LEVEL>': 7 is not in 0..=3

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("list --format yaml"), @"
    --- stderr
    error: invalid value 'yaml' for '--format <FORMAT>'
      [possible values: text, json]

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("history -n many"), @"
    --- stderr
    error: invalid value 'many' for '--limit <N>': invalid digit found in string

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("rollback --max-lost-rows=-1"), @"
    --- stderr
    error: invalid value '-1' for '--max-lost-rows <N>': -1 is not in 0..9223372036854775807

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("rollback --lock-timeout 0"), @"
    --- stderr
    error: invalid value '0' for '--lock-timeout <MS>': 0 is not in 1..=60000

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("rollback --way magic"), @"
    --- stderr
    error: invalid value 'magic' for '--way <WAY>'
      [possible values: sql, disk, capsule]

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("guard --on-ahead panic"), @"
    --- stderr
    error: invalid value 'panic' for '--on-ahead <ACTION>'
      [possible values: warn, fail, rollback]

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("completions csh"), @"
    --- stderr
    error: invalid value 'csh' for '<SHELL>'
      [possible values: bash, elvish, fish, powershell, zsh]

      tip: a similar value exists: 'zsh'

    For more information, try '--help'.
    --- exit code 2
    ");
}

#[test]
fn options_that_do_not_go_together() {
    let mut door = manage();
    assert_snapshot!(door.run("rollback --resume -t v1"), @"
    --- stderr
    error: the argument '--resume' cannot be used with '--tag <TAG>'

    Usage: manage.py rollback rollback --resume

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("rollback --abort --fake"), @"
    --- stderr
    error: the argument '--abort' cannot be used with '--fake'

    Usage: manage.py rollback rollback --abort

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("rollback --accept-data-loss --max-lost-rows 3"), @"
    --- stderr
    error: the argument '--accept-data-loss' cannot be used with '--max-lost-rows <N>'

    Usage: manage.py rollback rollback --accept-data-loss

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("plan v1..v2 -t v1"), @"
    --- stderr
    error: the argument '[RANGE]' cannot be used with '--tag <TAG>'

    Usage: manage.py rollback plan <RANGE>

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("list --format sarif"), @"
    --- stderr
    error: invalid value 'sarif' for '--format <FORMAT>'
      [possible values: text, json]

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(door.run("rollback_migrations --list -t v1"), @"
    --- stderr
    error: `--list` cannot be combined with `--tag`, `--commit` or `--fake`
      hint: leave `--list` out to go back to a release
    --- exit code 2
    ");
    let refused = door.run("rollback_migrations --list -t v1");
    for words in ["-c abcd", "--fake", "--dry-run"] {
        assert_eq!(door.run(&format!("rollback_migrations --list {words}")), refused, "{words}");
    }
}

#[test]
fn no_command_at_all() {
    let said = manage().run("");
    let first = said.lines().nth(1).unwrap();
    assert_snapshot!(first, @"error: a command is missing");
    assert!(said.contains("Usage:") && said.ends_with("--- exit code 2"));
}

#[test]
fn harmful_arguments_are_escaped() {
    for words in [["list", "--\u{1b}[31m"], ["list", "\u{202e}x"], ["list", "--format=\u{1b}[31m"]] {
        let said = manage().run_words(&words);
        assert!(said.ends_with("--- exit code 2"), "{said}");
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{said}");
    }
}

#[test]
fn ways_of_the_environment_that_are_not_known() {
    let mut door = Shop::with_two_releases().door();
    door.environment.ways = vec!["magic".to_owned()];
    assert_snapshot!(door.run("plan"), @"
    --- stderr
    error: unknown ways: magic
      hint: WAYS and DJANGO_ROLLBACK_WAYS accept sql, disk and capsule, the best first
    --- exit code 2
    ");
}
