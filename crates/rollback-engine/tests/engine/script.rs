//! The rollback as a script does what our own run does.

use rollback_core::Way;
use rollback_engine::EngineError;
use rollback_engine::ports::Database;
use rollback_engine::rollback::RollbackError;
use rollback_testing::Shop;

fn shop() -> Shop {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Sql];
    shop
}

/// Runs a script as `sqlite3` does: up to the first failure.
fn run(shop: &Shop, script: &str) -> Result<(), String> {
    let sql: String =
        script.lines().filter(|line| !line.starts_with('.')).map(|line| format!("{line}\n")).collect();
    let mut database = shop.database.memory().clone();
    let ran = database.run(&sql).map_err(|error| error.message);
    if ran.is_err() {
        database.rollback().unwrap();
    }
    ran
}

#[test]
fn a_script_ends_where_our_own_run_ends() {
    let mut by_us = shop();
    let by_script = by_us.copy();
    let script = by_us.script("v1").unwrap();
    run(&by_script, &script).unwrap();
    by_us.roll_back("v1").unwrap();
    assert_eq!(
        (by_script.applied(), by_script.tables(), by_script.releases(), by_script.history()),
        (by_us.applied(), by_us.tables(), by_us.releases(), by_us.history())
    );
    assert_eq!(by_script.last_operation("$.verified"), "script");
}

#[test]
fn writing_a_script_changes_nothing() {
    let mut shop = shop();
    let before = shop.everything();
    shop.script("v1").unwrap();
    assert_eq!(shop.everything(), before);
}

#[test]
fn a_script_runs_once_and_only_on_its_state() {
    let mut shop = shop();
    let script = shop.script("v1").unwrap();
    let elsewhere = shop.copy();
    elsewhere.mark("blog.0001");
    assert!(run(&elsewhere, &script).unwrap_err().contains("the applied migrations are not those"));
    assert_eq!(elsewhere.tables(), "shop_0001 shop_0002");
    run(&shop, &script).unwrap();
    assert!(run(&shop, &script).is_err());
}

#[test]
fn a_script_is_for_its_current_release() {
    let mut shop = shop();
    let script = shop.script("v1").unwrap();
    shop.deploy("v3", "");
    assert!(run(&shop, &script).unwrap_err().contains("the current release is not the one"));
}

#[test]
fn a_script_names_what_is_lost() {
    let mut shop = shop();
    shop.sql("INSERT INTO shop_0002 (id) VALUES (1)");
    assert!(shop.script("v1").unwrap().contains("-- Lost: 1 rows of shop_0002, by undoing shop.0002."));
}

#[test]
fn what_cannot_be_a_script_is_refused() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unrecorded");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.ways = vec![Way::Sql];
    assert_eq!(shop.script("v1"), Err(EngineError::Rollback(RollbackError::Blocked { blockers: 1 })));
}

#[test]
fn a_script_keeps_what_was_made_by_hand() {
    let mut shop = shop();
    shop.sql("CREATE INDEX by_hand ON shop_0001 (name)");
    let script = shop.script("v1").unwrap();
    assert!(script.contains("CREATE INDEX IF NOT EXISTS by_hand ON shop_0001 (name);"), "{script}");
    run(&shop, &script).unwrap();
    assert_eq!(shop.tables(), "shop_0001");
}
