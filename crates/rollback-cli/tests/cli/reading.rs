//! `list`, `show`, `status` and `history`.

use insta::assert_snapshot;
use rollback_testing::{FakeRepository, Shop};

use crate::{binary, manage, shop};

#[test]
fn the_releases() {
    assert_snapshot!(manage().run("list"), @"
    --- stdout
              SAVED AT              COMMIT                                    MIGRATIONS  TAGS
    curr >>>  YYYY-MM-DD hh:mm:ssZ  2222222222222222222222222222222222222222  6           v2
              YYYY-MM-DD hh:mm:ssZ  1111111111111111111111111111111111111111  5           v1
    --- exit code 0
    ");
}

#[test]
fn the_releases_with_tags_of_git() {
    let mut door = manage();
    door.repository = Some(FakeRepository::new().commit("v1", "").commit("v2", "").tag("stable", "v1"));
    assert_snapshot!(door.run("list"), @"
    --- stdout
              SAVED AT              COMMIT                                    MIGRATIONS  TAGS
    curr >>>  YYYY-MM-DD hh:mm:ssZ  2222222222222222222222222222222222222222  6           v2
              YYYY-MM-DD hh:mm:ssZ  1111111111111111111111111111111111111111  5           stable, v1
    --- exit code 0
    ");
}

#[test]
fn nothing_is_saved_yet() {
    let mut door = Shop::new("shop.0001").door();
    assert_snapshot!(door.run("list"), @"
    --- stdout
    No release is saved yet: run `save_migrations_state` after `migrate` in each deploy.
    --- exit code 0
    ");
    assert_snapshot!(door.run("history"), @"
    --- stdout
    Nothing was done yet.
    --- exit code 0
    ");
    assert_snapshot!(door.run("show"), @"
    --- stderr
    error: no release is saved in this database
      hint: run `manage.py save_migrations_state` after `migrate` in each deploy
    --- exit code 1
    ");
    assert_snapshot!(door.run("status"), @"
    --- stderr
    error: no release is saved in this database
      hint: run `manage.py save_migrations_state` after `migrate` in each deploy
    --- exit code 1
    ");
    assert_snapshot!(door.run("rollback -t v1"), @"
    --- stderr
    error: no release is saved in this database
      hint: run `manage.py save_migrations_state` after `migrate` in each deploy
    --- exit code 1
    ");
}

#[test]
fn one_release() {
    let mut door = manage();
    assert_snapshot!(door.run("show"), @"
    --- stdout
    commit     2222222222222222222222222222222222222222 (current)
    tags       v2
    saved at   YYYY-MM-DD hh:mm:ssZ
    previous   1111111 (v1)
    migrations 6
        django_rollback.0001_initial
        django_rollback.0002_releases
        django_rollback.0003_schemas
        django_rollback.0004_capsules
        shop.0001_item
        shop.0002_price
    --- exit code 0
    ");
    assert_snapshot!(door.run("show -t v1"), @"
    --- stdout
    commit     1111111111111111111111111111111111111111
    tags       v1
    saved at   YYYY-MM-DD hh:mm:ssZ
    migrations 5
        django_rollback.0001_initial
        django_rollback.0002_releases
        django_rollback.0003_schemas
        django_rollback.0004_capsules
        shop.0001_item
    --- exit code 0
    ");
    assert_snapshot!(door.run("show -c 2222"), @"
    --- stdout
    commit     2222222222222222222222222222222222222222 (current)
    tags       v2
    saved at   YYYY-MM-DD hh:mm:ssZ
    previous   1111111 (v1)
    migrations 6
        django_rollback.0001_initial
        django_rollback.0002_releases
        django_rollback.0003_schemas
        django_rollback.0004_capsules
        shop.0001_item
        shop.0002_price
    --- exit code 0
    ");
}

#[test]
fn the_database_is_what_the_release_had() {
    assert_snapshot!(manage().run("status"), @"
    --- stdout
    Current release 2222222 (v2), 6 migrations applied: the same as when it was saved.
    Schema: the same as when it was saved.
    --- exit code 0
    ");
}

#[test]
fn the_database_is_not_what_the_release_had() {
    let shop = shop();
    shop.mark("blog.0001");
    shop.sql("DELETE FROM django_migrations WHERE name = '0002_price'");
    shop.sql("CREATE INDEX by_hand ON shop_0001_item (name)");
    assert_snapshot!(shop.door().run("status"), @"
    --- stdout
    Current release 2222222 (v2), 6 migrations applied: not those of the release.
      + blog.0001
      - shop.0002_price
    Schema: not the one that the release had.
      index by_hand of shop_0001_item is unexpected: `create on shop_0001_item ( name )`
    --- exit code 1
    ");
}

#[test]
fn a_release_without_its_schema() {
    let shop = shop();
    shop.sql("UPDATE django_rollback_appsstate SET schema = NULL");
    assert_snapshot!(shop.door().run("status"), @"
    --- stdout
    Current release 2222222 (v2), 6 migrations applied: the same as when it was saved.
    The release was saved without its schema: it cannot be compared.
    --- exit code 0
    ");
}

#[test]
fn what_was_done() {
    let mut shop = shop();
    shop.roll_back("v1").unwrap();
    shop.deploy("v2", "shop.0002_price");
    shop.project.fail("shop.0002_price", "ValueError: no");
    shop.ways = vec![rollback_core::Way::Disk];
    shop.roll_back("v1").unwrap_err();
    assert_snapshot!(shop.door().run("history"), @"
    --- stdout
       AT                    WHAT      FROM     TO       STEPS         OUTCOME                    WHO           VERSION
    5  YYYY-MM-DD hh:mm:ssZ  rollback  2222222  1111111  0 of 1 steps  failed at shop.0002_price  deploy@web-1  VERSION
    4  YYYY-MM-DD hh:mm:ssZ  save      1111111  2222222                done                       deploy@web-1  VERSION
    3  YYYY-MM-DD hh:mm:ssZ  rollback  2222222  1111111  1 step        done                       deploy@web-1  VERSION
    2  YYYY-MM-DD hh:mm:ssZ  save      1111111  2222222                done                       deploy@web-1  VERSION
    1  YYYY-MM-DD hh:mm:ssZ  save               1111111                done                       deploy@web-1  VERSION
    --- exit code 0
    ");
    assert_snapshot!(shop.door().run("history -n 1"), @"
    --- stdout
       AT                    WHAT      FROM     TO       STEPS         OUTCOME                    WHO           VERSION
    5  YYYY-MM-DD hh:mm:ssZ  rollback  2222222  1111111  0 of 1 steps  failed at shop.0002_price  deploy@web-1  VERSION
    --- exit code 0
    ");
}

#[test]
fn both_doors_print_the_same() {
    for words in ["list", "show", "show -t v1", "status", "history", "plan", "plan -t v2"] {
        assert_eq!(manage().run(words), binary().run(words), "{words}");
    }
}

#[test]
fn reading_writes_nothing() {
    let shop = shop();
    let before = shop.everything();
    for words in [
        "list",
        "show",
        "plan",
        "plan -t v1",
        "status",
        "history",
        "rollback --fake",
        "rollback --dry-run",
        "sql",
    ] {
        shop.door().run(words);
        assert_eq!(shop.everything(), before, "{words}");
    }
}

#[test]
fn harmful_names_are_escaped() {
    let shop = shop();
    shop.sql("UPDATE django_rollback_appsstate SET tags = '[\"v\\u001b[31m\\n\\u202e\"]' WHERE id = 1");
    shop.sql("INSERT INTO django_migrations (app, name, applied) VALUES ('ev''il' || char(27) || '[2J', 'x' || char(10) || char(8238), '2026-01-01')");
    assert_snapshot!(shop.door().run("list"), @r"
    --- stdout
              SAVED AT              COMMIT                                    MIGRATIONS  TAGS
    curr >>>  YYYY-MM-DD hh:mm:ssZ  2222222222222222222222222222222222222222  6           v2
              YYYY-MM-DD hh:mm:ssZ  1111111111111111111111111111111111111111  5           v\u{1b}[31m\u{a}\u{202e}
    --- exit code 0
    ");
    assert_snapshot!(shop.door().run("status"), @r"
    --- stdout
    Current release 2222222 (v2), 7 migrations applied: not those of the release.
      + ev'il\u{1b}[2J.x\u{a}\u{202e}
    Schema: the same as when it was saved.
    --- exit code 1
    ");
    let mut door = shop.door();
    door.variable("DJANGO_ROLLBACK_COMMIT", rollback_testing::commit_of("v3").as_str());
    assert_snapshot!(door.run("save --log-diff"), @r"
    --- stdout
    Saved release 3333333 with 7 migrations (commit from DJANGO_ROLLBACK_COMMIT).
    Since 2222222 (v2):
      + ev'il\u{1b}[2J.x\u{a}\u{202e}
    --- exit code 0
    ");
    assert_snapshot!(shop.door().run("plan -c 1111"), @r"
    --- stdout
    Rollback from 3333333 to 1111111 (v\u{1b}[31m\u{a}\u{202e}): 2 steps in one transaction.
      Unapply ev'il\u{1b}[2J.x\u{a}\u{202e}
      Unapply shop.0002_price, by its recorded SQL
    Releases that leave the list: 3333333, 2222222 (v2).
    Blocker: ev'il\u{1b}[2J.x\u{a}\u{202e} must be undone, but its file is missing.
      hint: run the command from the image or checkout of 3333333
    --- exit code 1
    ");
}
