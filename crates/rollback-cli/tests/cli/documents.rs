//! `--format json`: one document a command, or one event a line.

use insta::assert_snapshot;
use rollback_core::Way;
use rollback_testing::{FakeRepository, Fault, Shop, When, commit_of};

use crate::{manage, shop};

#[test]
fn of_list_show_status_and_history() {
    let mut door = manage();
    assert_snapshot!(door.run("list --format json"), @r#"
    --- stdout
    {"format":1,"releases":[{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ","current":true,"migrations":6,"imported":false},{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ","current":false,"migrations":5,"imported":false}]}
    --- exit code 0
    "#);
    assert_snapshot!(door.run("show -t v1 --format json"), @r#"
    --- stdout
    {"format":1,"release":{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"current":false,"imported":false,"previous":null,"migrations":[["django_rollback","0001_initial"],["django_rollback","0002_releases"],["django_rollback","0003_schemas"],["django_rollback","0004_capsules"],["shop","0001_item"]],"uncertain":null}
    --- exit code 0
    "#);
    assert_snapshot!(door.run("status --format json"), @r#"
    --- stdout
    {"format":1,"current":{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"migrations":6,"same":true,"ahead":[],"missing":[],"schema":[]}
    --- exit code 0
    "#);
    assert_snapshot!(door.run("history -n 1 --format json"), @r#"
    --- stdout
    {"format":1,"operations":[{"id":2,"at":"YYYY-MM-DDThh:mm:ssZ","format":1,"kind":"save","outcome":"done","from":"1111111111111111111111111111111111111111","to":"2222222222222222222222222222222222222222","tags":["v2"],"from_set":"6434d79a4779b73106593fc4e5c1566f72f1fe3a31fcdbd0116532c28d6c5f11","to_set":"2f58aed33b2df07d3150cafd7f9f7967fd755f89e57344bb85533e163f2bd86a","steps":[],"steps_done":0,"releases_removed":[],"failed_step":null,"user":"deploy","host":"web-1","version":"VERSION"}]}
    --- exit code 0
    "#);
}

#[test]
fn of_nothing() {
    let mut door = Shop::new("shop.0001").door();
    assert_snapshot!(door.run("list --format json"), @r#"
    --- stdout
    {"format":1,"releases":[]}
    --- exit code 0
    "#);
    assert_snapshot!(door.run("history --format json"), @r#"
    --- stdout
    {"format":1,"operations":[]}
    --- exit code 0
    "#);
    assert_snapshot!(door.run("guard --format json"), @r#"
    --- stdout
    {"format":1,"ahead":false,"current":null}
    --- stderr
    No release is saved yet: nothing to compare this code with.
    --- exit code 0
    "#);
}

#[test]
fn of_status_that_differs() {
    let shop = shop();
    shop.mark("blog.0001");
    shop.sql("CREATE INDEX by_hand ON shop_0001_item (name)");
    assert_snapshot!(shop.door().run("status --format json"), @r#"
    --- stdout
    {"format":1,"current":{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"migrations":7,"same":false,"ahead":[["blog","0001"]],"missing":[],"schema":[{"side":"surplus","kind":"index","table":"shop_0001_item","name":"by_hand","definition":"create on shop_0001_item ( name )"}]}
    --- exit code 1
    "#);
}

#[test]
fn of_save() {
    let mut door = manage();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v3").as_str());
    assert_snapshot!(door.run("save --format json --log-full-data --log-diff"), @r#"
    --- stdout
    {"format":1,"outcome":"created","release":{"commit":"3333333333333333333333333333333333333333","tags":[],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"commit_from":"DJANGO_ROLLBACK_COMMIT","migrations":6,"applied":[["django_rollback","0001_initial"],["django_rollback","0002_releases"],["django_rollback","0003_schemas"],["django_rollback","0004_capsules"],["shop","0001_item"],["shop","0002_price"]],"diff":{"previous":{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"added":[],"removed":[]}}
    --- stderr
    Saved release 3333333 with 6 migrations (commit from DJANGO_ROLLBACK_COMMIT).
    --- exit code 0
    "#);
}

#[test]
fn of_plan() {
    let shop = shop();
    assert_snapshot!(shop.door().run("plan --format json"), @r#"
    --- stdout
    {"format":1,"from":{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"to":{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"steps":[{"app":"shop","migration":"0002_price","way":"sql"}],"blockers":[],"warnings":[],"atomic":true,"segments":[{"steps":[["shop","0002_price"]],"in_transaction":true}],"losses":[],"lost_rows":0,"releases_removed":[{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"}]}
    --- exit code 0
    "#);
    shop.sql("INSERT INTO shop_0001_item (id, price) VALUES (1, 5)");
    shop.mark("gone.0001");
    assert_snapshot!(shop.door().run("plan --format json"), @r#"
    --- stdout
    {"format":1,"from":{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"to":{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"steps":[{"app":"gone","migration":"0001","way":"disk"},{"app":"shop","migration":"0002_price","way":"sql"}],"blockers":[{"kind":"missing-file","message":"gone.0001 must be undone, but its file is missing","hint":"run the command from the image or checkout of a release that has gone.0001, with its app in INSTALLED_APPS"}],"warnings":[{"kind":"not-saved","message":"gone.0001 was applied after the current release 2222222 (v2) was saved"}],"atomic":true,"segments":[{"steps":[["gone","0001"],["shop","0002_price"]],"in_transaction":true}],"losses":[],"lost_rows":0,"releases_removed":[{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"}]}
    --- exit code 1
    "#);
}

#[test]
fn of_a_rollback() {
    let shop = shop();
    assert_snapshot!(shop.door().run("rollback --format json"), @r#"
    --- stdout
    {"format":1,"event":"plan","from":{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"to":{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"steps":[{"app":"shop","migration":"0002_price","way":"sql"}],"blockers":[],"warnings":[],"atomic":true,"segments":[{"steps":[["shop","0002_price"]],"in_transaction":true}],"losses":[],"lost_rows":0,"releases_removed":[{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"}]}
    {"format":1,"event":"step-begins","app":"shop","migration":"0002_price","way":"sql"}
    {"format":1,"event":"step-ends","app":"shop","migration":"0002_price","way":"sql","seconds":TIME}
    {"format":1,"event":"end","from":{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"to":{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"steps":[{"app":"shop","migration":"0002_price","way":"sql"}],"blockers":[],"warnings":[],"atomic":true,"segments":[{"steps":[["shop","0002_price"]],"in_transaction":true}],"losses":[],"lost_rows":0,"releases_removed":[{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"}],"outcome":"done","verified":"same","notes":[]}
    --- stderr
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... OK (TIME)
    The database is back at 1111111 (v1), and its schema is the one that the release had.
    --- exit code 0
    "#);
    assert_snapshot!(shop.door().run("rollback -t v1 --format json"), @r#"
    --- stdout
    {"format":1,"from":{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"to":{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"steps":[],"blockers":[],"warnings":[],"atomic":true,"segments":[],"losses":[],"lost_rows":0,"releases_removed":[],"outcome":"nothing-to-do","verified":null,"notes":[]}
    --- stderr
    The database is already at 1111111 (v1); nothing to do.
    --- exit code 0
    "#);
}

#[test]
fn of_a_rollback_that_fails() {
    let shop = shop();
    shop.project.fail("shop.0002_price", "ValueError: no");
    assert_snapshot!(shop.door().run("rollback --way disk --format json"), @r#"
    --- stdout
    {"format":1,"event":"plan","from":{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"to":{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"steps":[{"app":"shop","migration":"0002_price","way":"disk"}],"blockers":[],"warnings":[],"atomic":true,"segments":[{"steps":[["shop","0002_price"]],"in_transaction":true}],"losses":[],"lost_rows":0,"releases_removed":[{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"}]}
    {"format":1,"event":"step-begins","app":"shop","migration":"0002_price","way":"disk"}
    {"format":1,"event":"step-failed","app":"shop","migration":"0002_price"}
    --- stderr
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... FAILED
    error: shop.0002_price could not be undone, and everything is as it was before: ValueError: no
      hint: nothing was changed: fix the cause, then run this again
    --- exit code 1
    "#);
}

/// Events are the data that was asked for: they stay, and the talk beside them goes.
#[test]
fn of_a_rollback_in_silence_without_a_check_of_the_result() {
    let said = manage().run("rollback --way disk --no-verify --format json -q");
    assert!(said.contains(r#""outcome":"done","verified":"not-verified","notes":[]"#), "{said}");
    assert!(!said.contains("--- stderr"), "{said}");
}

#[test]
fn of_a_rollback_that_waits() {
    let shop = shop();
    shop.database.plan(When::At("ALTER TABLE"), Fault::Busy);
    let said = shop.door().run("rollback --format json -q");
    let events: Vec<&str> = said.lines().filter(|line| !line.contains("\"to\"")).collect();
    assert_snapshot!(events.join("\n"), @r#"
    --- stdout
    {"format":1,"event":"step-begins","app":"shop","migration":"0002_price","way":"sql"}
    {"format":1,"event":"step-failed","app":"shop","migration":"0002_price"}
    {"format":1,"event":"waits","reason":"database is locked"}
    {"format":1,"event":"step-begins","app":"shop","migration":"0002_price","way":"sql"}
    {"format":1,"event":"step-ends","app":"shop","migration":"0002_price","way":"sql","seconds":TIME}
    --- exit code 0
    "#);
}

#[test]
fn of_a_rollback_that_stops_part_way() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001\nshop.0003 < shop.0002 nonatomic code");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002 shop.0003");
    shop.ways = vec![Way::Disk];
    shop.project.fail("shop.0002", "ValueError: no");
    let said = shop.door().run("rollback --format json");
    let events: Vec<&str> = said.lines().filter(|line| !line.contains("\"to\"")).collect();
    assert_snapshot!(events.join("\n"), @r#"
    --- stdout
    {"format":1,"event":"step-begins","app":"shop","migration":"0003","way":"disk"}
    {"format":1,"event":"step-ends","app":"shop","migration":"0003","way":"disk","seconds":TIME}
    {"format":1,"event":"step-begins","app":"shop","migration":"0002","way":"disk"}
    {"format":1,"event":"step-failed","app":"shop","migration":"0002"}
    --- stderr
    Rollback from 2222222 (v2) to 1111111 (v1): 2 steps in 2 segments.
    Warning: shop.0003 has `atomic = False`, and its RunPython (operation 1) must run outside a transaction: the steps before it are committed first, so a later failure leaves the rollback part-way.
      Unapplying shop.0003... OK (TIME)
      Unapplying shop.0002... FAILED
    error: stopped after 1 of 2 steps: shop.0002 could not be undone: ValueError: no
      hint: the finished steps are recorded: fix the cause, then run the same command again, which goes on from here; `status` shows where the database is
    --- exit code 3
    "#);
}

#[test]
fn of_a_rehearsal() {
    assert_snapshot!(manage().run("rehearse --format json"), @r#"
    --- stdout
    {"format":1,"from":{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"to":{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"outcome":"done","problem":null,"steps":[{"app":"shop","migration":"0002_price","way":"sql","down_seconds":TIME,"up_seconds":TIME,"differences":[]}]}
    --- stderr
      shop.0002_price... the schema is the same (down TIME by sql, up TIME)
    Rehearsed from 2222222 (v2) to 1111111 (v1) and back, 1 step: the schema was the same after each.
    --- exit code 0
    "#);
}

#[test]
fn of_import() {
    let mut door = shop().door();
    door.repository =
        Some(FakeRepository::new().commit("v0", "shop.0001_item").commit("v1", "shop.0001_item"));
    assert_snapshot!(door.run("import --format json"), @r#"
    --- stdout
    {"format":1,"dry_run":false,"imported":[{"commit":"0000000000000000000000000000000000000000","tags":["v0"],"migrations":5,"not_applied":[]}],"skipped":[{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"kind":"saved","message":"saved already"}],"assumed":[],"sources":[]}
    --- stderr
    Imported 0000000 (v0): 5 migrations.
    Skipped 1111111 (v1): saved already.
    --- exit code 0
    "#);
}

#[test]
fn a_refusal_leaves_stdout_empty() {
    assert_snapshot!(manage().run("plan -t v9 --format json"), @"
    --- stderr
    error: no release is saved for tag v9
      hint: `list` shows the saved releases
    --- exit code 1
    ");
}

#[test]
fn harmful_names_are_raw_values() {
    let shop = shop();
    shop.sql("UPDATE django_rollback_appsstate SET tags = '[\"v\\u001b[31m\\n\\u202e\"]' WHERE id = 1");
    assert_snapshot!(shop.door().run("list --format json"), @r#"
    --- stdout
    {"format":1,"releases":[{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ","current":true,"migrations":6,"imported":false},{"commit":"1111111111111111111111111111111111111111","tags":["v\u001b[31m\n\u202e"],"saved_at":"YYYY-MM-DDThh:mm:ssZ","current":false,"migrations":5,"imported":false}]}
    --- exit code 0
    "#);
}
