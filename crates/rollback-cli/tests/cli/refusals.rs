//! Bad input and damaged rows: one sentence that names the thing, a hint, the exit code, and nothing changed.

use insta::assert_snapshot;
use rollback_testing::{FakeDoor, FakeRepository, Shop, commit_of};

use crate::{manage, shop};

/// What is said, after a look that nothing was changed.
fn refused(shop: &Shop, door: &mut FakeDoor, line: &str) -> String {
    let before = shop.everything();
    let said = door.run(line);
    assert_eq!(shop.everything(), before);
    assert!(!said.contains("--- stdout"), "{said}");
    said
}

#[test]
fn a_target_that_no_release_answers_to() {
    let shop = shop();
    let mut door = shop.door();
    let mut refused = |line: &str| refused(&shop, &mut door, line);
    assert_snapshot!(refused("rollback -t v9"), @"
    --- stderr
    error: no release is saved for tag v9
      hint: `list` shows the saved releases
    --- exit code 1
    ");
    assert_snapshot!(refused("rollback -c 0123456"), @"
    --- stderr
    error: no release is saved for commit 0123456
      hint: `list` shows the saved releases
    --- exit code 1
    ");
    assert_snapshot!(refused(&format!("rollback -c {}", "9".repeat(40))), @"
    --- stderr
    error: no release is saved for commit 9999999999999999999999999999999999999999
      hint: `list` shows the saved releases
    --- exit code 1
    ");
    assert_snapshot!(refused("rollback -c v1"), @"
    --- stderr
    error: `v1` is not a commit hash: it may only contain the digits 0-9 and a-f
      hint: for a tag use `-t v1`; `list` shows the saved commits
    --- exit code 2
    ");
    assert_snapshot!(refused("rollback -c abc"), @"
    --- stderr
    error: `abc` is too short for a commit: use at least 4 digits
      hint: for a tag use `-t abc`; `list` shows the saved commits
    --- exit code 2
    ");
    assert_snapshot!(refused(&format!("rollback -c {}", "a".repeat(65))), @"
    --- stderr
    error: `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa` is too long for a commit: a hash has at most 64 digits
      hint: for a tag use `-t aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa`; `list` shows the saved commits
    --- exit code 2
    ");
    assert_snapshot!(refused("rollback -t ''"), @"
    --- stderr
    error: the tag is empty
      hint: is the shell variable unset? Leave `--tag` out to go back to the previous release
    --- exit code 2
    ");
    assert_snapshot!(refused("rollback -t ' '"), @"
    --- stderr
    error: the tag is empty
      hint: is the shell variable unset? Leave `--tag` out to go back to the previous release
    --- exit code 2
    ");
    assert_snapshot!(refused("rollback -c ''"), @"
    --- stderr
    error: the commit is empty
      hint: is the shell variable unset? Leave `--commit` out to go back to the previous release
    --- exit code 2
    ");
    assert_snapshot!(refused("rollback -c ' '"), @"
    --- stderr
    error: ` ` is not a commit hash: it may only contain the digits 0-9 and a-f
      hint: is the shell variable unset? Leave `--commit` out to go back to the previous release
    --- exit code 2
    ");
    assert_snapshot!(refused("rollback --tag v1 --commit abcd"), @"
    --- stderr
    error: `--tag` and `--commit` both name a release: give one of them
      hint: a commit is exact; a tag means the release that was saved under it
    --- exit code 2
    ");
    assert_snapshot!(refused("rollback -p ''"), @"
    --- stderr
    error: the path is empty
      hint: is the shell variable unset? `-p .` is the working directory
    --- exit code 2
    ");
}

#[test]
fn harmful_characters_in_a_target() {
    let shop = shop();
    let said = shop.door().run_words(&["rollback", "-t", "v\u{1b}[31m\n\u{202e}'\""]);
    assert_snapshot!(said, @r#"
    --- stderr
    error: no release is saved for tag v\u{1b}[31m\u{a}\u{202e}'"
      hint: `list` shows the saved releases
    --- exit code 1
    "#);
}

#[test]
fn a_tag_of_a_commit_that_was_never_saved() {
    let mut door = manage();
    door.repository = Some(FakeRepository::new().commit("v1", "").commit("v9", ""));
    assert_snapshot!(door.run("rollback -t v9"), @"
    --- stderr
    error: tag v9 points to commit 9999999999999999999999999999999999999999, which was never saved
      hint: `list` shows the saved releases
    --- exit code 1
    ");
}

#[test]
fn a_tag_that_has_moved_since() {
    let mut door = manage();
    door.repository = Some(FakeRepository::new().untagged("v1", "").commit("v9", "").tag("v1", "v9"));
    assert_snapshot!(door.run("plan -t v1"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapply shop.0002_price, by its recorded SQL
    Releases that leave the list: 2222222 (v2).
    --- stderr
    Warning: tag v1 was commit 1111111 when its release was saved, and names 9999999 in git now: the saved release counts.
    --- exit code 0
    ");
}

#[test]
fn an_ambiguous_prefix_shows_the_candidates() {
    let mut shop = shop();
    let commit = |digits: &str| format!("{digits:0<40}").parse().unwrap();
    shop.save_commit(&commit("abcd1"), &[]).unwrap();
    shop.save_commit(&commit("abcd2"), &["stable".to_owned()]).unwrap();
    assert_snapshot!(shop.door().run("rollback -c ABCD"), @"
    --- stderr
    error: commit abcd is ambiguous: 2 releases start with it
      hint: give more digits: abcd200000000000000000000000000000000000 (stable), abcd100000000000000000000000000000000000
    --- exit code 1
    ");
}

#[test]
fn there_is_no_release_before() {
    let mut shop = Shop::new("shop.0001");
    shop.deploy("v1", "shop.0001");
    assert_snapshot!(shop.door().run("rollback"), @"
    --- stderr
    error: no release was saved before the current one, 1111111 (v1)
      hint: name the release with `-c COMMIT` or `-t TAG`; `list` shows the saved releases
    --- exit code 1
    ");
}

#[test]
fn a_commit_that_is_none() {
    let shop = shop();
    let mut door = shop.door();
    let mut refused = |line: &str| refused(&shop, &mut door, line);
    assert_snapshot!(refused("save --commit ''"), @"
    --- stderr
    error: --commit: the commit is empty
      hint: give the full hash: `git rev-parse HEAD` prints it
    --- exit code 2
    ");
    assert_snapshot!(refused("save --commit v1"), @"
    --- stderr
    error: --commit: `v1` is not a commit hash: it may only contain the digits 0-9 and a-f
      hint: give the full hash: `git rev-parse HEAD` prints it
    --- exit code 2
    ");
    assert_snapshot!(refused("save --commit abcdef0"), @"
    --- stderr
    error: --commit: `abcdef0` is not a full commit hash: it has 7 digits, not 40 or 64
      hint: give the full hash: `git rev-parse HEAD` prints it
    --- exit code 2
    ");
    assert_eq!(refused("save --release v1"), refused("save --commit v1"));
    assert_snapshot!(refused("stamp --commit v1"), @"
    --- stderr
    error: --commit: `v1` is not a commit hash: it may only contain the digits 0-9 and a-f
      hint: give the full hash: `git rev-parse HEAD` prints it
    --- exit code 2
    ");
    door.variable("DJANGO_ROLLBACK_COMMIT", "v1");
    assert_snapshot!(door.run("save"), @"
    --- stderr
    error: DJANGO_ROLLBACK_COMMIT: `v1` is not a commit hash: it may only contain the digits 0-9 and a-f
      hint: give the full hash: `git rev-parse HEAD` prints it
    --- exit code 2
    ");
}

/// What `line` says after this change of the tables.
fn damaged(sql: &str, line: &str) -> String {
    let shop = shop();
    shop.sql(sql);
    let mut door = shop.door();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v3").as_str());
    refused(&shop, &mut door, line)
}

#[test]
fn damaged_rows() {
    let set = "hash = (SELECT applied_set FROM django_rollback_appsstate WHERE id = 1)";
    assert_snapshot!(damaged(&format!("UPDATE django_rollback_appliedset SET body = body || ' ' WHERE {set}"), "rollback"), @"
    --- stderr
    error: the list of migrations of release 1111111111111111111111111111111111111111 cannot be used: its content does not match its hash 6434d79a4779b73106593fc4e5c1566f72f1fe3a31fcdbd0116532c28d6c5f11
      hint: something else changed it: restore it from a backup, or go back to another release
    --- exit code 1
    ");
    assert_snapshot!(damaged(&format!("DELETE FROM django_rollback_appliedset WHERE {set}"), "rollback"), @"
    --- stderr
    error: the list of migrations of release 1111111111111111111111111111111111111111 in the SQLite database in memory is damaged: it is missing
      hint: something else changed it: repair it, or restore it from a backup
    --- exit code 1
    ");
    assert_snapshot!(damaged("UPDATE django_rollback_appsstate SET tags = '[\"v1' WHERE id = 1", "rollback"), @"
    --- stderr
    error: row 1 of django_rollback_appsstate in the SQLite database in memory is damaged: in the column tags, EOF while parsing a string at line 1 column 4
      hint: something else changed it: repair it, or restore it from a backup
    --- exit code 1
    ");
    assert_snapshot!(damaged("UPDATE django_rollback_appsstate SET tags = '{\"v1\": 1}' WHERE id = 1", "list"), @"
    --- stderr
    error: row 1 of django_rollback_appsstate in the SQLite database in memory is damaged: in the column tags, invalid type: map, expected a sequence at line 1 column 0
      hint: something else changed it: repair it, or restore it from a backup
    --- exit code 1
    ");
    assert_snapshot!(damaged("UPDATE django_rollback_appsstate SET \"commit\" = 'nonsense' WHERE id = 1", "list"), @"
    --- stderr
    error: row 1 of django_rollback_appsstate in the SQLite database in memory is damaged: in the column commit, `nonsense` is not a commit hash: it may only contain the digits 0-9 and a-f
      hint: something else changed it: repair it, or restore it from a backup
    --- exit code 1
    ");
    assert_snapshot!(damaged("UPDATE django_rollback_appsstate SET \"commit\" = '' WHERE id = 1", "save"), @"
    --- stderr
    error: row 1 of django_rollback_appsstate in the SQLite database in memory is damaged: in the column commit, the commit is empty
      hint: something else changed it: repair it, or restore it from a backup
    --- exit code 1
    ");
    assert_snapshot!(damaged("UPDATE django_rollback_operation SET body = '{}' WHERE id = 2", "history"), @"
    --- stderr
    error: row 2 of django_rollback_operation in the SQLite database in memory is damaged: in the column body, missing field `kind` at line 1 column 2
      hint: something else changed it: repair it, or restore it from a backup
    --- exit code 1
    ");
}

#[test]
fn tables_that_are_missing_or_newer() {
    assert_snapshot!(damaged("DROP TABLE django_migrations", "rollback"), @"
    --- stderr
    error: the SQLite database in memory has no table django_migrations
      hint: check that this is the application's database; if it is, run `manage.py migrate` first
    --- exit code 1
    ");
    assert_snapshot!(damaged("DELETE FROM django_migrations WHERE app = 'django_rollback'", "save"), @"
    --- stderr
    error: the tables of django-rollback are missing in the SQLite database in memory: django_rollback.0001_initial is not applied
      hint: run `manage.py migrate django_rollback` with this version installed
    --- exit code 1
    ");
    assert_snapshot!(damaged("DELETE FROM django_migrations WHERE app = 'django_rollback' AND name > '0002'", "rollback"), @"
    --- stderr
    error: the tables of django-rollback are missing in the SQLite database in memory: django_rollback.0002_releases is not applied
      hint: run `manage.py migrate django_rollback` with this version installed
    --- exit code 1
    ");
    assert_snapshot!(damaged("DELETE FROM django_migrations WHERE app = 'django_rollback' AND name > '0003'", "rollback"), @"
    --- stderr
    error: the tables of django-rollback are missing in the SQLite database in memory: django_rollback.0003_schemas is not applied
      hint: run `manage.py migrate django_rollback` with this version installed
    --- exit code 1
    ");
    let newer = "INSERT INTO django_migrations (app, name, applied) VALUES ('django_rollback', '0099_future', '2026-01-01')";
    assert_snapshot!(damaged(newer, "save"), @"
    --- stderr
    error: a newer django-rollback made the tables in the SQLite database in memory: this version does not know django_rollback.0099_future, which is applied
      hint: use the version of django-rollback that the newer release has
    --- exit code 1
    ");
    assert_eq!(damaged(newer, "save"), damaged(newer, "rollback"));
}

#[test]
fn documents_of_a_newer_version() {
    let stored = |table: &str, column: &str, values: &str| {
        let body = "{\"format\":2}";
        let hash = rollback_core::stored::hash(body);
        format!(
            "INSERT INTO {table} VALUES ('{hash}', {values}'{body}'); \
             UPDATE django_rollback_appsstate SET {column} = '{hash}' WHERE id = 1"
        )
    };
    assert_snapshot!(damaged(&stored("django_rollback_appliedset", "applied_set", "4, "), "rollback"), @"
    --- stderr
    error: the list of migrations of release 1111111111111111111111111111111111111111 cannot be used: it has format 2, but this version reads at most format 1
      hint: use the version of django-rollback that the newer release has
    --- exit code 1
    ");
    assert_snapshot!(damaged("UPDATE django_rollback_operation SET body = json_set(body, '$.format', 9) WHERE id = 2", "history"), @"
    --- stderr
    error: row 2 of django_rollback_operation in the SQLite database in memory was written by a newer django-rollback: it has format 9
      hint: use the version of django-rollback that the newer release has
    --- exit code 1
    ");
}
