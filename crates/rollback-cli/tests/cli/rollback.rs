//! `plan`, `rollback`, `guard`, `rehearse` and `sql`.

use insta::assert_snapshot;
use rollback_core::Way;
use rollback_testing::{Fault, Shop, When, commit_of};

use crate::{binary, manage, shop};

/// A shop whose last migration cannot be undone by recorded SQL, and is in part outside a transaction.
fn in_segments() -> Shop {
    let mut shop = Shop::new(
        "shop.0001_item
         shop.0002_price < shop.0001_item
         shop.0003_fill < shop.0002_price nonatomic code
         shop.0004_name < shop.0003_fill",
    );
    shop.deploy("v1", "shop.0001_item");
    shop.deploy("v2", "shop.0002_price shop.0003_fill shop.0004_name");
    shop.ways = vec![Way::Disk];
    shop
}

#[test]
fn a_plan() {
    let mut door = manage();
    assert_snapshot!(door.run("plan"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapply shop.0002_price, by its recorded SQL
    Releases that leave the list: 2222222 (v2).
    --- exit code 0
    ");
    assert_snapshot!(door.run("plan -t v1 --way disk"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapply shop.0002_price
    Releases that leave the list: 2222222 (v2).
    --- exit code 0
    ");
    assert_snapshot!(door.run("plan -t v2"), @"
    --- stdout
    Rollback from 2222222 (v2) to 2222222 (v2): no migration to undo.
    --- exit code 0
    ");
}

#[test]
fn a_release_by_its_tag_or_by_digits_of_its_commit() {
    let mut shop = Shop::new("shop.0001");
    shop.deploy("lima", "shop.0001");
    shop.deploy("v2", "");
    let whole = commit_of("lima").to_string();
    let by_tag = shop.door().run("plan -t lima");
    assert!(by_tag.ends_with("--- exit code 0"), "{by_tag}");
    for words in ["plan", "plan --tag=lima"] {
        assert_eq!(shop.door().run(words), by_tag, "{words}");
    }
    for digits in [&whole, &whole.to_uppercase(), &whole[..4], &whole[..9].to_uppercase()] {
        assert_eq!(shop.door().run(&format!("plan -c {digits}")), by_tag, "{digits}");
        assert_eq!(shop.door().run(&format!("plan --commit {digits}")), by_tag, "{digits}");
    }
}

#[test]
fn a_preview_is_the_plan() {
    let mut door = manage();
    assert_eq!(door.run("rollback --fake"), door.run("plan"));
    assert_eq!(door.run("rollback --dry-run -t v1"), door.run("plan -t v1"));
}

#[test]
fn a_plan_in_segments() {
    assert_snapshot!(in_segments().door().run("plan"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 3 steps in 3 segments.
    Segment 1 of 3, in one transaction:
      Unapply shop.0004_name
    Segment 2 of 3, outside a transaction:
      Unapply shop.0003_fill
    Segment 3 of 3, in one transaction:
      Unapply shop.0002_price
    Releases that leave the list: 2222222 (v2).
    --- stderr
    Warning: shop.0003_fill has `atomic = False`, and its RunPython (operation 1) must run outside a transaction: the steps before it are committed first, so a later failure leaves the rollback part-way.
    --- exit code 0
    ");
}

#[test]
fn a_plan_that_loses_data() {
    let shop = shop();
    shop.sql("INSERT INTO shop_0001_item (id, price) VALUES (1, 5), (2, 7)");
    assert_snapshot!(shop.door().run("plan"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapply shop.0002_price, by its recorded SQL
    Lost: 2 rows and values.
      2 values of shop_0001_item.price, by undoing shop.0002_price
    Releases that leave the list: 2222222 (v2).
    --- exit code 0
    ");
}

#[test]
fn a_plan_with_drift() {
    let shop = shop();
    shop.sql("CREATE INDEX by_hand ON shop_0001_item (name)");
    assert_snapshot!(shop.door().run("plan"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapply shop.0002_price, by its recorded SQL
    Releases that leave the list: 2222222 (v2).
    --- stderr
    Warning: the schema differs from the one saved with the current release 2222222 (v2), and these differences stay: index by_hand of shop_0001_item is unexpected: `create on shop_0001_item ( name )`.
    --- exit code 0
    ");
}

#[test]
fn a_rollback() {
    let mut door = manage();
    assert_snapshot!(door.run("rollback -t v1"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... OK (TIME)
    The database is back at 1111111 (v1), and its schema is the one that the release had.
    --- exit code 0
    ");
    assert_snapshot!(door.run("rollback -t v1"), @"
    --- stdout
    The database is already at 1111111 (v1); nothing to do.
    --- exit code 0
    ");
    assert_snapshot!(door.run("status"), @"
    --- stdout
    Current release 1111111 (v1), 5 migrations applied: the same as when it was saved.
    Schema: the same as when it was saved.
    --- exit code 0
    ");
}

#[test]
fn a_rollback_through_the_binary() {
    assert_snapshot!(binary().run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... OK (TIME)
    The database is back at 1111111 (v1), and its schema is the one that the release had.
    --- exit code 0
    ");
}

#[test]
fn a_rollback_in_silence() {
    assert_eq!(manage().run("rollback -q"), "--- exit code 0");
}

#[test]
fn data_that_would_be_lost_needs_consent() {
    let shop = shop();
    shop.sql("INSERT INTO shop_0001_item (id, price) VALUES (1, 5), (2, 7)");
    let before = shop.everything();
    assert_snapshot!(shop.door().run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
    --- stderr
    Lost: 2 rows and values.
      2 values of shop_0001_item.price, by undoing shop.0002_price
    error: the rollback would lose 2 rows and values, and nobody has accepted that
      hint: the plan shows what and where: copy the data first; or accept the loss with `--accept-data-loss`, or with `--max-lost-rows N` up to N rows and values
    --- exit code 1
    ");
    assert_snapshot!(shop.door().run("rollback --max-lost-rows 1"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
    --- stderr
    Lost: 2 rows and values.
      2 values of shop_0001_item.price, by undoing shop.0002_price
    error: the rollback would lose 2 rows and values, and at most 1 may be lost
      hint: the plan shows what and where: copy the data first; or accept the loss with `--accept-data-loss`, or with `--max-lost-rows N` up to N rows and values
    --- exit code 1
    ");
    assert_eq!(shop.applied(), "shop.0001_item shop.0002_price");
    assert_eq!(shop.everything(), before);
    assert_snapshot!(shop.door().run("rollback --max-lost-rows 2"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... OK (TIME)
    The database is back at 1111111 (v1), and its schema is the one that the release had.
    --- stderr
    Lost: 2 rows and values.
      2 values of shop_0001_item.price, by undoing shop.0002_price
    --- exit code 0
    ");
}

#[test]
fn a_person_is_asked() {
    let shop = shop();
    shop.sql("INSERT INTO shop_0001_item (id, price) VALUES (1, 5)");
    let mut door = shop.door();
    door.console.is_terminal = true;
    door.console.answers.push_back("y".to_owned());
    assert_snapshot!(door.run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
    --- stderr
    Lost: 1 row or value.
      1 value of shop_0001_item.price, by undoing shop.0002_price
    1 row or value will be lost. Type 'yes' to go on, anything else to stop: y
    error: stopped, and nothing was changed
    --- exit code 1
    ");
    door.console.answers.push_back("yes".to_owned());
    assert_snapshot!(door.run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... OK (TIME)
    The database is back at 1111111 (v1), and its schema is the one that the release had.
    --- stderr
    Lost: 1 row or value.
      1 value of shop_0001_item.price, by undoing shop.0002_price
    1 row or value will be lost. Type 'yes' to go on, anything else to stop: yes
    --- exit code 0
    ");
}

#[test]
fn nobody_is_asked_with_an_option_that_answers() {
    for words in ["rollback --accept-data-loss", "rollback --max-lost-rows 5"] {
        let shop = shop();
        shop.sql("INSERT INTO shop_0001_item (id, price) VALUES (1, 5)");
        let mut door = shop.door();
        door.console.is_terminal = true;
        assert!(door.run(words).ends_with("--- exit code 0"), "{words}");
        assert_eq!(shop.applied(), "shop.0001_item", "{words}");
    }
    let shop = shop();
    shop.sql("INSERT INTO shop_0001_item (id, price) VALUES (1, 5)");
    let mut door = shop.door();
    door.console.is_terminal = true;
    assert!(door.run("rollback --noinput").ends_with("--- exit code 1"));
}

#[test]
fn a_blocked_rollback() {
    let shop = shop();
    shop.mark("gone.0001");
    let before = shop.everything();
    assert_snapshot!(shop.door().run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 2 steps in one transaction.
      Unapply gone.0001
      Unapply shop.0002_price, by its recorded SQL
    Releases that leave the list: 2222222 (v2).
    Blocker: gone.0001 must be undone, but its file is missing.
      hint: run the command from the image or checkout of a release that has gone.0001, with its app in INSTALLED_APPS
    --- stderr
    Warning: gone.0001 was applied after the current release 2222222 (v2) was saved.
    error: the rollback is blocked: 1 problem
      hint: nothing was changed: each blocker above comes with a way out
    --- exit code 1
    ");
    assert_snapshot!(shop.door().run("plan"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 2 steps in one transaction.
      Unapply gone.0001
      Unapply shop.0002_price, by its recorded SQL
    Releases that leave the list: 2222222 (v2).
    Blocker: gone.0001 must be undone, but its file is missing.
      hint: run the command from the image or checkout of a release that has gone.0001, with its app in INSTALLED_APPS
    --- stderr
    Warning: gone.0001 was applied after the current release 2222222 (v2) was saved.
    --- exit code 1
    ");
    assert_eq!(shop.everything(), before);
}

#[test]
fn every_blocker_says_the_way_out() {
    let mut shop = Shop::new(
        "shop.0001\nshop.0002 < shop.0001 unkept irreversible RunSQL\nshop.0003 < shop.0002 unkept",
    );
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002 shop.0003");
    shop.project.remove("shop.0003");
    assert_snapshot!(shop.door().run("plan"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 2 steps in one transaction.
      Unapply shop.0003
      Unapply shop.0002
    Releases that leave the list: 2222222 (v2).
    Blocker: shop.0002 cannot be undone: RunSQL is irreversible.
      hint: give the operation a reverse in shop.0002 (`noop` if there is nothing to undo), deploy that file and run the command again; or go back to a release that has shop.0002
    Blocker: shop.0003 must be undone, but its file is missing and its archived source cannot be used: its source was missing when it was saved.
      hint: run the command from the image or checkout of 2222222 (v2)
    --- exit code 1
    ");
    assert_snapshot!(shop.door().run("plan --way sql"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 2 steps in one transaction.
      Unapply shop.0003
      Unapply shop.0002
    Releases that leave the list: 2222222 (v2).
    Blocker: shop.0002 cannot be undone: RunSQL is irreversible.
      hint: give the operation a reverse in shop.0002 (`noop` if there is nothing to undo), deploy that file and run the command again; or go back to a release that has shop.0002
    Blocker: shop.0003 cannot be undone with `--way sql`: its SQL was not recorded.
      hint: allow another way, or run the command from the image or checkout of 2222222 (v2)
    Blocker: shop.0002 cannot be undone with `--way sql`: its SQL was not recorded.
      hint: allow another way, or run the command from the image or checkout of 2222222 (v2)
    --- exit code 1
    ");
    assert_snapshot!(shop.door().run("plan --require-rehearsal"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 2 steps in one transaction.
      Unapply shop.0003
      Unapply shop.0002
    Releases that leave the list: 2222222 (v2).
    Blocker: shop.0002 cannot be undone: RunSQL is irreversible.
      hint: give the operation a reverse in shop.0002 (`noop` if there is nothing to undo), deploy that file and run the command again; or go back to a release that has shop.0002
    Blocker: shop.0003 must be undone, but its file is missing and its archived source cannot be used: its source was missing when it was saved.
      hint: run the command from the image or checkout of 2222222 (v2)
    Blocker: this plan for 1111111 (v1) was never rehearsed.
      hint: run `manage.py rollback rehearse` with the code of the current release: it works on a scratch copy. Or leave out `--require-rehearsal`
    --- exit code 1
    ");
}

#[test]
fn a_step_that_fails() {
    let shop = shop();
    shop.project.fail("shop.0002_price", "ValueError: the price is missing");
    assert_snapshot!(shop.door().run("rollback --way disk"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
    --- stderr
      Unapplying shop.0002_price... FAILED
    error: shop.0002_price could not be undone, and everything is as it was before: ValueError: the price is missing
      hint: nothing was changed: fix the cause, then run this again
    --- exit code 1
    ");
    assert_eq!(shop.applied(), "shop.0001_item shop.0002_price");
}

#[test]
fn recorded_sql_that_fails_is_followed_by_djangos_own_way() {
    let mut shop = shop();
    let mut wrong = Shop::new("shop.0002_price adds shop_0001_item.prize");
    wrong.database = shop.database.clone();
    wrong.keep("shop.0002_price").unwrap();
    shop.save("v2").unwrap();
    assert_snapshot!(shop.copy().door().run("rollback --way sql"), @r#"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
    --- stderr
      Unapplying shop.0002_price... FAILED
    error: shop.0002_price could not be undone, and everything is as it was before: no such column: ""prize""
      hint: nothing was changed: fix the cause, then run this again
    --- exit code 1
    "#);
    assert_snapshot!(shop.door().run("rollback"), @r#"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... OK (TIME)
    The database is back at 1111111 (v1), and its schema is the one that the release had.
    --- stderr
      Unapplying shop.0002_price... FAILED
    Warning: recorded SQL failed (shop.0002_price: no such column: ""prize"") and was rolled back; retrying through Django.
    --- exit code 0
    "#);
    assert_eq!(shop.applied(), "shop.0001_item");
}

#[test]
fn a_schema_that_is_not_the_releases() {
    let shop = shop();
    shop.project.also_run("shop.0002_price", "CREATE INDEX left_behind ON shop_0001_item (name)");
    assert_snapshot!(shop.door().run("rollback --way disk"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... OK (TIME)
    --- stderr
    error: after all steps the schema is not the one that 1111111 (v1) was saved with, and everything is as it was before: index left_behind of shop_0001_item is unexpected: `create on shop_0001_item ( name )`
      hint: a migration does not go back exactly: fix its reverse, deploy that file and run this again; `--no-verify` accepts the result as it is
    --- exit code 1
    ");
    assert_snapshot!(shop.door().run("rollback --way disk --no-verify"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... OK (TIME)
    The database is back at 1111111 (v1).
    --- exit code 0
    ");
}

#[test]
fn a_lost_connection() {
    let shop = shop();
    shop.database.plan(When::At("ALTER TABLE"), Fault::Lost);
    assert_snapshot!(shop.door().run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
    --- stderr
      Unapplying shop.0002_price... FAILED
    error: the connection to the SQLite database in memory was lost, and everything is as it was before: the server closed the connection
      hint: nothing was changed: run this again
    --- exit code 1
    ");
    assert_snapshot!(shop.door().run("history -n 1"), @"
    --- stdout
       AT                    WHAT      FROM     TO       STEPS         OUTCOME                    WHO           VERSION
    3  YYYY-MM-DD hh:mm:ssZ  rollback  2222222  1111111  0 of 1 steps  failed at shop.0002_price  deploy@web-1  VERSION
    --- exit code 0
    ");
}

#[test]
fn another_session_holds_the_lock() {
    let shop = shop();
    let held = shop.lock("save");
    assert_snapshot!(shop.door().run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
    --- stderr
    error: another save, rollback or migrate holds the lock in the SQLite database in memory: save by deploy@web-1, since YYYY-MM-DDThh:mm:ssZ
      hint: wait until it has ended, then run this again
    --- exit code 1
    ");
    assert_snapshot!(shop.door().run("list"), @"
    --- stdout
              SAVED AT              COMMIT                                    MIGRATIONS  TAGS
    curr >>>  YYYY-MM-DD hh:mm:ssZ  2222222222222222222222222222222222222222  6           v2
              YYYY-MM-DD hh:mm:ssZ  1111111111111111111111111111111111111111  5           v1
    --- exit code 0
    ");
    drop(held);
}

#[test]
fn another_session_is_in_the_way() {
    let shop = shop();
    shop.database.plan(When::At("ALTER TABLE"), Fault::Busy);
    assert_snapshot!(shop.door().run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Another session is in the way (database is locked): undone, retrying...
      Unapplying shop.0002_price... OK (TIME)
    The database is back at 1111111 (v1), and its schema is the one that the release had.
    --- stderr
      Unapplying shop.0002_price... FAILED
    --- exit code 0
    ");
    let shop = self::shop();
    shop.database.plan(When::Always("ALTER TABLE"), Fault::Busy);
    assert_snapshot!(shop.door().run("rollback --wait 0"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
    --- stderr
      Unapplying shop.0002_price... FAILED
    error: waited 0 s for locks in the SQLite database in memory, and everything is as it was before: database is locked
      hint: end those sessions or wait until they have ended, then run this again; `--wait SECONDS` waits longer
    --- exit code 1
    ");
}

#[test]
fn a_signal() {
    let shop = shop();
    shop.database.plan(When::At("ALTER TABLE"), Fault::Signal(2));
    assert_snapshot!(shop.door().run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
    --- stderr
      Unapplying shop.0002_price... FAILED
    error: interrupted, and everything is as it was before
      hint: nothing was changed: run it again when you want to
    --- exit code 130
    ");
}

#[test]
fn part_way_resumed() {
    let shop = in_segments();
    shop.project.fail("shop.0002_price", "ValueError: no");
    assert_snapshot!(shop.door().run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 3 steps in 3 segments.
      Unapplying shop.0004_name... OK (TIME)
      Unapplying shop.0003_fill... OK (TIME)
    --- stderr
    Warning: shop.0003_fill has `atomic = False`, and its RunPython (operation 1) must run outside a transaction: the steps before it are committed first, so a later failure leaves the rollback part-way.
      Unapplying shop.0002_price... FAILED
    error: stopped after 2 of 3 steps: shop.0002_price could not be undone: ValueError: no
      hint: the finished steps are recorded: fix the cause, then run the same command again, which goes on from here; `status` shows where the database is
    --- exit code 3
    ");
    assert_snapshot!(shop.door().run("rollback -t v2"), @"
    --- stdout
    The database is already at 2222222 (v2); nothing to do.
    --- stderr
    Warning: shop.0003_fill, shop.0004_name of the release are no longer applied; `migrate` with the release's code applies them again.
    --- exit code 0
    ");
    shop.project.fix();
    assert_snapshot!(shop.door().run("rollback --resume"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... OK (TIME)
    The database is back at 1111111 (v1), and its schema is the one that the release had.
    --- exit code 0
    ");
    assert_snapshot!(shop.door().run("rollback --resume"), @"
    --- stderr
    error: no rollback has stopped part-way
      hint: `history` shows what was done
    --- exit code 1
    ");
}

#[test]
fn part_way_left_there() {
    let shop = in_segments();
    shop.project.fail("shop.0003_fill", "ValueError: no");
    assert_snapshot!(shop.door().run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 3 steps in 3 segments.
      Unapplying shop.0004_name... OK (TIME)
    --- stderr
    Warning: shop.0003_fill has `atomic = False`, and its RunPython (operation 1) must run outside a transaction: the steps before it are committed first, so a later failure leaves the rollback part-way.
      Unapplying shop.0003_fill... FAILED
    error: stopped after 1 of 3 steps: shop.0003_fill could not be undone: ValueError: no
      hint: the finished steps are recorded: fix the cause, then run the same command again, which goes on from here; `status` shows where the database is
    --- exit code 3
    ");
    assert_snapshot!(shop.copy().door().run("rollback --abort --format json"), @r#"
    --- stdout
    {"format":1,"event":"aborted","undone":["shop.0004_name"],"left":["shop.0003_fill","shop.0002_price"],"in_doubt":true}
    --- stderr
    The rollback is closed, and the database stays where it is.
    These are undone for good; what they dropped is gone:
      shop.0004_name
    shop.0003_fill had begun outside a transaction, and may be undone in part: compare its tables before you go on.
    These are still applied:
      shop.0003_fill
      shop.0002_price
    To apply again what is undone, run `manage.py migrate` with the code of 2222222. To go on after all, run the same rollback once more.
    --- exit code 0
    "#);
    assert_snapshot!(shop.door().run("rollback --abort"), @"
    --- stdout
    The rollback is closed, and the database stays where it is.
    These are undone for good; what they dropped is gone:
      shop.0004_name
    shop.0003_fill had begun outside a transaction, and may be undone in part: compare its tables before you go on.
    These are still applied:
      shop.0003_fill
      shop.0002_price
    To apply again what is undone, run `manage.py migrate` with the code of 2222222. To go on after all, run the same rollback once more.
    --- exit code 0
    ");
    assert_snapshot!(shop.door().run("rollback --abort"), @"
    --- stderr
    error: no rollback has stopped part-way
      hint: `history` shows what was done
    --- exit code 1
    ");
}

#[test]
fn a_command_that_died_is_settled_by_the_next() {
    let shop = shop();
    let body = format!(
        r#"{{"kind":"rollback","outcome":"running","from":null,"to":"{}","tags":[],"from_set":null,"to_set":null,"steps":["shop.0002_price"],"steps_done":0,"releases_removed":[],"failed_step":null,"user":"deploy","host":"web-2","version":"0.5.0"}}"#,
        commit_of("v1")
    );
    let insert = |body: &str| {
        shop.sql(&format!(
            "INSERT INTO django_rollback_operation (kind, outcome, body, at) VALUES ('rollback', 'running', '{body}', '2026-01-01')"
        ));
    };
    insert(&body);
    assert_snapshot!(shop.door().run("list"), @"
    --- stdout
              SAVED AT              COMMIT                                    MIGRATIONS  TAGS
    curr >>>  YYYY-MM-DD hh:mm:ssZ  2222222222222222222222222222222222222222  6           v2
              YYYY-MM-DD hh:mm:ssZ  1111111111111111111111111111111111111111  5           v1
    --- stderr
    Settled: the rollback to 1111111 by deploy@web-2 was interrupted, and changed nothing.
    --- exit code 0
    ");
    insert(&body.replace("\"steps_done\":0", "\"steps_done\":1"));
    assert_snapshot!(shop.door().run("status"), @"
    --- stdout
    Current release 2222222 (v2), 6 migrations applied: the same as when it was saved.
    Schema: the same as when it was saved.
    --- stderr
    Settled: the rollback to 1111111 by deploy@web-2 stopped after 1 of 1 step: `rollback --resume` finishes it, `rollback --abort` leaves the database there.
    --- exit code 0
    ");
}

#[test]
fn the_binary_hands_over_what_only_django_can_do() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unrecorded");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.has_django = false;
    let mut door = shop.door();
    assert_snapshot!(door.run("rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapply shop.0002
    Releases that leave the list: 2222222 (v2).
    Blocker: undoing needs the project's code, and no manage.py was found: shop.0002 (its SQL was not recorded).
      hint: run the command in the folder of the project's `manage.py`, name it with `-p`, or run `manage.py rollback_migrations` there
    --- stderr
    Warning: losses are not counted here; `manage.py rollback plan` counts them.
    error: the rollback is blocked: 1 problem
      hint: nothing was changed: each blocker above comes with a way out
    --- exit code 1
    ");
    door.has_project = true;
    assert_eq!(door.run("rollback --accept-data-loss"), "--- exit code 0");
    assert_eq!(door.run("rollback --fake --format json"), "--- exit code 0");
    assert_snapshot!(door.handed_over.join("\n"), @"
    handed-over --commit 1111111111111111111111111111111111111111 --format text --verbosity 1 --expect 11a9a575ed663b80697c6809c7b73cbc11e489169b424d666be04114363c6e0e --token TOKEN --accept-data-loss --lock-timeout=100 --wait=60
    handed-over --commit 1111111111111111111111111111111111111111 --format json --verbosity 1 --expect 11a9a575ed663b80697c6809c7b73cbc11e489169b424d666be04114363c6e0e --lock-timeout=100 --wait=60
    ");
    assert_snapshot!(shop.door().run("history -n 1"), @"
    --- stdout
       AT                    WHAT       FROM     TO       STEPS         OUTCOME  WHO           VERSION
    3  YYYY-MM-DD hh:mm:ssZ  hand-over  2222222  1111111  0 of 1 steps  done     deploy@web-1  VERSION
    --- exit code 0
    ");
}

#[test]
fn what_was_handed_over_must_meet_the_same_database() {
    let shop = shop();
    let commit = commit_of("v1");
    let line = format!("handed-over --commit {commit} --expect 00 --token unknown");
    assert_snapshot!(shop.door().run(&line), @"
    --- stderr
    error: manage.py sees another database, or another state of it, than the URL that was given
      hint: nothing was changed: compare the setting DATABASES with the URL
    --- exit code 1
    ");
    let elsewhere = format!("handed-over --commit {} --expect 00", commit_of("v9"));
    assert_snapshot!(shop.door().run(&elsewhere), @"
    --- stderr
    error: manage.py sees another database, or another state of it, than the URL that was given
      hint: nothing was changed: compare the setting DATABASES with the URL
    --- exit code 1
    ");
}

#[test]
fn guard_tells_whether_the_database_is_ahead() {
    let mut door = manage();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v2").as_str());
    assert_snapshot!(door.run("guard"), @"
    --- stdout
    The database is not ahead of this code; its release is 2222222 (v2).
    --- exit code 0
    ");
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v1").as_str());
    assert_snapshot!(door.run("guard"), @"
    --- stderr
    The database is ahead of this code (brought by 2222222 (v2), saved at YYYY-MM-DDThh:mm:ssZ):
      - shop.0002_price
    `manage.py rollback_migrations -c 1111111` takes the database back to this code.
    --- exit code 1
    ");
    assert_snapshot!(door.run("guard --on-ahead warn"), @"
    --- stderr
    The database is ahead of this code (brought by 2222222 (v2), saved at YYYY-MM-DDThh:mm:ssZ):
      - shop.0002_price
    `manage.py rollback_migrations -c 1111111` takes the database back to this code.
    --- exit code 0
    ");
    assert_snapshot!(door.run("guard --format json"), @r#"
    --- stdout
    {"format":1,"ahead":true,"current":{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"target":{"commit":"1111111111111111111111111111111111111111","tags":["v1"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"},"migrations":[["shop","0002_price"]],"brought_by":[{"commit":"2222222222222222222222222222222222222222","tags":["v2"],"saved_at":"YYYY-MM-DDThh:mm:ssZ"}],"command":"manage.py rollback_migrations -c 1111111"}
    --- stderr
    The database is ahead of this code (brought by 2222222 (v2), saved at YYYY-MM-DDThh:mm:ssZ):
      - shop.0002_price
    `manage.py rollback_migrations -c 1111111` takes the database back to this code.
    --- exit code 1
    "#);
    assert_snapshot!(door.run("guard --on-ahead rollback"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapplying shop.0002_price... OK (TIME)
    The database is back at 1111111 (v1), and its schema is the one that the release had.
    --- stderr
    The database is ahead of this code (brought by 2222222 (v2), saved at YYYY-MM-DDThh:mm:ssZ):
      - shop.0002_price
    `manage.py rollback_migrations -c 1111111` takes the database back to this code.
    --- exit code 0
    ");
}

#[test]
fn guard_where_nothing_can_be_told() {
    let mut door = Shop::new("shop.0001").door();
    assert_snapshot!(door.run("guard"), @"
    --- stdout
    No release is saved yet: nothing to compare this code with.
    --- exit code 0
    ");
    let mut door = binary();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v9").as_str());
    assert_snapshot!(door.run("guard"), @"
    --- stderr
    error: commit 9999999999999999999999999999999999999999 was never saved in this database, and without Django its migrations are unknown
      hint: use `manage.py rollback guard`, which sees the migration files, or name a saved commit with `--commit`
    --- exit code 1
    ");
}

#[test]
fn guard_of_code_that_fits_no_release() {
    let shop = shop();
    shop.project.remove("shop.0001_item shop.0002_price");
    assert_snapshot!(shop.door().run("guard"), @"
    --- stderr
    The database is ahead of this code (brought by 2222222 (v2), saved at YYYY-MM-DDThh:mm:ssZ; 1111111 (v1), saved at YYYY-MM-DDThh:mm:ssZ):
      - shop.0002_price
      - shop.0001_item
    No saved release fits this code.
    --- exit code 1
    ");
}

#[test]
fn a_script_for_sqlite3() {
    assert_snapshot!(binary().run("sql -t v1"), @r#"
    --- stdout
    -- Rollback of the SQLite database in memory from 2222222 (v2) to 1111111 (v1).
    -- Written by django-rollback VERSION. Run it once, and only on this database.
    -- Run it with: sqlite3 DATABASE < FILE
    -- If a check or a statement fails, nothing is changed. `django-rollback status` says how it ended.
    .bail on
    PRAGMA foreign_keys = OFF;
    BEGIN IMMEDIATE;
    -- The plan was made for these migrations and for this current release.
    DROP TABLE IF EXISTS temp.django_rollback_check;
    CREATE TEMP TABLE django_rollback_check (holds INTEGER, CONSTRAINT "the applied migrations are not those that this script was made for" CHECK (holds));
    INSERT INTO django_rollback_check SELECT (SELECT count(DISTINCT (app || '.' || name)) FROM django_migrations) = 6 AND NOT EXISTS (SELECT 1 FROM django_migrations WHERE (app, name) NOT IN (VALUES ('django_rollback', '0001_initial'), ('django_rollback', '0002_releases'), ('django_rollback', '0003_schemas'), ('django_rollback', '0004_capsules'), ('shop', '0001_item'), ('shop', '0002_price')));
    DROP TABLE IF EXISTS temp.django_rollback_check;
    CREATE TEMP TABLE django_rollback_check (holds INTEGER, CONSTRAINT "the current release is not the one that this script was made for" CHECK (holds));
    INSERT INTO django_rollback_check SELECT (SELECT count(*) FROM django_rollback_appsstate WHERE id >= 2) = 1 AND (SELECT count(*) FROM django_rollback_appsstate WHERE id = 2 AND "commit" = '2222222222222222222222222222222222222222') = 1;
    -- Unapply shop.0002_price.
    ALTER TABLE "shop_0001_item" DROP COLUMN "price";
    DELETE FROM django_migrations WHERE app = 'shop' AND name = '0002_price';
    -- What belongs to the release, and a line of history.
    INSERT INTO django_rollback_appliedset (hash, size, body) VALUES ('6434d79a4779b73106593fc4e5c1566f72f1fe3a31fcdbd0116532c28d6c5f11', 5, '{"format":1,"applied":[["django_rollback","0001_initial"],["django_rollback","0002_releases"],["django_rollback","0003_schemas"],["django_rollback","0004_capsules"],["shop","0001_item"]]}') ON CONFLICT (hash) DO UPDATE SET size = EXCLUDED.size, body = EXCLUDED.body WHERE django_rollback_appliedset.body <> EXCLUDED.body;
    UPDATE django_rollback_appsstate SET applied_set = '6434d79a4779b73106593fc4e5c1566f72f1fe3a31fcdbd0116532c28d6c5f11', tags = '["v1"]' WHERE id = 1 AND applied_set IS NULL;
    DELETE FROM django_rollback_appsstate WHERE id > 1;
    INSERT INTO django_rollback_appliedset (hash, size, body) VALUES ('6434d79a4779b73106593fc4e5c1566f72f1fe3a31fcdbd0116532c28d6c5f11', 5, '{"format":1,"applied":[["django_rollback","0001_initial"],["django_rollback","0002_releases"],["django_rollback","0003_schemas"],["django_rollback","0004_capsules"],["shop","0001_item"]]}') ON CONFLICT (hash) DO UPDATE SET size = EXCLUDED.size, body = EXCLUDED.body WHERE django_rollback_appliedset.body <> EXCLUDED.body;
    INSERT INTO django_rollback_appliedset (hash, size, body) VALUES ('2f58aed33b2df07d3150cafd7f9f7967fd755f89e57344bb85533e163f2bd86a', 6, '{"format":1,"applied":[["django_rollback","0001_initial"],["django_rollback","0002_releases"],["django_rollback","0003_schemas"],["django_rollback","0004_capsules"],["shop","0001_item"],["shop","0002_price"]]}') ON CONFLICT (hash) DO UPDATE SET size = EXCLUDED.size, body = EXCLUDED.body WHERE django_rollback_appliedset.body <> EXCLUDED.body;
    INSERT INTO django_rollback_operation (kind, outcome, body, at) VALUES ('rollback', 'done', '{"format":1,"kind":"rollback","outcome":"done","from":"2222222222222222222222222222222222222222","to":"1111111111111111111111111111111111111111","tags":["v1"],"from_set":"2f58aed33b2df07d3150cafd7f9f7967fd755f89e57344bb85533e163f2bd86a","to_set":"6434d79a4779b73106593fc4e5c1566f72f1fe3a31fcdbd0116532c28d6c5f11","steps":["shop.0002_price"],"steps_done":1,"releases_removed":["2222222222222222222222222222222222222222"],"failed_step":null,"verified":"script","token":"TOKEN","user":"deploy","host":"web-1","version":"VERSION"}', strftime('%Y-%m-%d %H:%M:%f', 'now'));
    -- Afterwards.
    DROP TABLE IF EXISTS temp.django_rollback_check;
    CREATE TEMP TABLE django_rollback_check (holds INTEGER, CONSTRAINT "django_migrations does not hold what the release had" CHECK (holds));
    INSERT INTO django_rollback_check SELECT (SELECT count(DISTINCT (app || '.' || name)) FROM django_migrations) = 5 AND NOT EXISTS (SELECT 1 FROM django_migrations WHERE (app, name) NOT IN (VALUES ('django_rollback', '0001_initial'), ('django_rollback', '0002_releases'), ('django_rollback', '0003_schemas'), ('django_rollback', '0004_capsules'), ('shop', '0001_item')));
    DROP TABLE IF EXISTS temp.django_rollback_check;
    CREATE TEMP TABLE django_rollback_check (holds INTEGER, CONSTRAINT "the columns are not those that the release had" CHECK (holds));
    INSERT INTO django_rollback_check SELECT NOT EXISTS (WITH expected (t, c) AS (VALUES ('shop_0001_item', 'id'), ('shop_0001_item', 'name')), found (t, c) AS (SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_xinfo(m.name) c WHERE m.type = 'table' AND m.name IN ('shop_0001_item')) SELECT * FROM (SELECT * FROM expected EXCEPT SELECT * FROM found) UNION ALL SELECT * FROM (SELECT * FROM found EXCEPT SELECT * FROM expected));
    DROP TABLE IF EXISTS temp.django_rollback_check;
    CREATE TEMP TABLE django_rollback_check (holds INTEGER, CONSTRAINT "a row refers to another one that does not exist" CHECK (holds));
    INSERT INTO django_rollback_check SELECT NOT EXISTS (SELECT 1 FROM pragma_foreign_key_check);
    DROP TABLE temp.django_rollback_check;
    COMMIT;
    --- exit code 0
    "#);
}

#[test]
fn a_script_that_cannot_be_written() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unrecorded");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    assert_snapshot!(shop.door().run("sql"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapply shop.0002
    Releases that leave the list: 2222222 (v2).
    Blocker: shop.0002 cannot be undone with `--way sql`: its SQL was not recorded.
      hint: allow another way, or run the command from the image or checkout of 2222222 (v2)
    --- stderr
    error: the rollback is blocked: 1 problem
      hint: nothing was changed: each blocker above comes with a way out
    --- exit code 1
    ");
}

#[test]
fn a_rehearsal() {
    let shop = shop();
    assert_snapshot!(shop.door().run("rehearse"), @"
    --- stdout
      shop.0002_price... the schema is the same (down TIME by sql, up TIME)
    Rehearsed from 2222222 (v2) to 1111111 (v1) and back, 1 step: the schema was the same after each.
    --- exit code 0
    ");
    assert_eq!(shop.history(), "save done, save done, rehearsal done");
    shop.project.fail("shop.0002_price", "ValueError: no");
    assert_snapshot!(shop.door().run("rehearse --way disk"), @"
    --- stderr
    error: the rehearsal from 2222222 (v2) to 1111111 (v1) failed: the rehearsal failed at shop.0002_price: ValueError: no
      hint: the database itself was not touched; a rollback would be refused, or would use another way
    --- exit code 1
    ");
}

#[test]
fn the_key() {
    let mut door = manage();
    let said = door.run("key");
    assert!(said.contains("drk1_"), "{said}");
    let mut shop = shop();
    shop.secrets.clear();
    assert_snapshot!(shop.door().run("key"), @"
    --- stderr
    error: no key available
      hint: run `manage.py rollback key` in the project, or set DJANGO_ROLLBACK_KEY
    --- exit code 2
    ");
    door.variable("DJANGO_ROLLBACK_KEY", "drk1_cut");
    assert_snapshot!(door.run("plan"), @"
    --- stderr
    error: the key is cut or damaged
      hint: `manage.py rollback key` prints it: drk1_ and 64 hex digits
    --- exit code 2
    ");
}
