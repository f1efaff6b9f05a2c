//! Carrying a plan out in one transaction.

use rollback_engine::cases::CaseError;
use rollback_engine::rollback::RollbackError;
use rollback_engine::store::StoreError;
use std::time::Duration;

use rollback_core::Way;
use rollback_engine::EngineError;
use rollback_testing::{Fault, Shop, When};

#[test]
fn recorded_sql_takes_the_database_back() {
    let mut shop = Shop::with_two_releases();
    let done = shop.roll_back("v1").unwrap();
    assert_eq!((done.verified.as_str(), done.notes.len()), ("same", 0));
    assert_eq!((shop.applied().as_str(), shop.tables().as_str()), ("shop.0001", "shop_0001"));
    assert_eq!(
        (shop.releases().as_str(), shop.history().as_str()),
        ("1111111", "save done, save done, rollback done")
    );
    assert_eq!(shop.seen.events, ["begins shop.0002", "ends shop.0002"]);
    assert!(!shop.project.calls().contains(&"undo shop.0002".to_owned()));
}

#[test]
fn the_project_takes_the_database_back() {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Disk];
    shop.roll_back("v1").unwrap();
    assert_eq!((shop.applied().as_str(), shop.tables().as_str()), ("shop.0001", "shop_0001"));
    let calls = shop.project.calls();
    assert_eq!(calls[calls.len() - 3..], ["prepare", "undo shop.0002", "finish"]);
}

#[test]
fn an_archived_source_takes_the_place_of_a_missing_file() {
    let mut shop = Shop::with_two_releases();
    shop.project.remove("shop.0002");
    shop.ways = vec![Way::Disk, Way::Capsule];
    assert_eq!(shop.plan("v1"), "capsule shop.0002");
    shop.roll_back("v1").unwrap();
    assert_eq!(shop.applied(), "shop.0001");
    assert!(shop.project.calls().contains(&"load shop.0002".to_owned()));
}

#[test]
fn several_releases_are_left_at_once() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001\nshop.0003 < shop.0002");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.deploy("v3", "shop.0003");
    shop.roll_back("v1").unwrap();
    assert_eq!((shop.applied().as_str(), shop.releases().as_str()), ("shop.0001", "1111111"));
    let removed = ["3".repeat(40), "2".repeat(40)].map(|commit| format!("\"{commit}\"")).join(",");
    assert_eq!(shop.last_operation("$.releases_removed"), format!("[{removed}]"));
    assert_eq!(shop.last_operation("$.steps"), r#"["shop.0003","shop.0002"]"#);
    assert_eq!(shop.last_operation("$.steps_done"), "2");
}

#[test]
fn a_release_of_code_only_leaves_the_list() {
    let mut shop = Shop::with_two_releases();
    shop.deploy("v3", "");
    shop.roll_back("v2").unwrap();
    assert_eq!(
        (shop.applied().as_str(), shop.releases().as_str()),
        ("shop.0001 shop.0002", "2222222 1111111")
    );
    assert_eq!(shop.seen.events, Vec::<String>::new());
}

#[test]
fn a_round_ends_where_it_began() {
    let mut shop = Shop::with_two_releases();
    let tables = shop.ask("SELECT sql FROM sqlite_master ORDER BY name");
    shop.roll_back("v1").unwrap();
    shop.deploy("v2", "shop.0002");
    assert_eq!(shop.ask("SELECT sql FROM sqlite_master ORDER BY name"), tables);
    shop.roll_back("v1").unwrap();
    assert_eq!(shop.history(), "save done, save done, rollback done, save done, rollback done");
}

#[test]
fn a_step_that_fails_leaves_the_database_as_it_was() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001\nshop.0003 < shop.0002");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002 shop.0003");
    shop.ways = vec![Way::Disk];
    shop.project.fail("shop.0002", "ValueError: no price");
    let refused = shop.roll_back("v1").unwrap_err();
    assert_eq!(
        refused,
        EngineError::Rollback(RollbackError::Failed {
            step: "shop.0002".to_owned(),
            reason: "ValueError: no price".to_owned()
        })
    );
    assert_eq!(shop.tables(), "shop_0001 shop_0002 shop_0003");
    assert_eq!(
        (shop.applied().as_str(), shop.releases().as_str()),
        ("shop.0001 shop.0002 shop.0003", "2222222 1111111")
    );
    assert_eq!(shop.history(), "save done, save done, rollback failed");
    assert_eq!(
        (shop.last_operation("$.failed_step").as_str(), shop.last_operation("$.steps_done").as_str()),
        ("shop.0002", "0")
    );
    assert_eq!(shop.seen.events.last().map(String::as_str), Some("failed shop.0002"));
}

#[test]
fn a_signal_takes_everything_back() {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Disk];
    shop.project.interrupt("shop.0002", 2);
    assert_eq!(shop.roll_back("v1"), Err(EngineError::Case(CaseError::Interrupted { signal: 2 })));
    assert_eq!(
        (shop.tables().as_str(), shop.history().as_str()),
        ("shop_0001 shop_0002", "save done, save done, rollback interrupted")
    );
}

#[test]
fn a_signal_while_a_statement_runs_is_told_as_one() {
    let mut shop = Shop::with_two_releases();
    shop.database.plan(When::At("DROP TABLE"), Fault::Signal(15));
    assert_eq!(shop.roll_back("v1"), Err(EngineError::Case(CaseError::Interrupted { signal: 15 })));
    assert_eq!(shop.tables(), "shop_0001 shop_0002");
}

#[test]
fn what_receivers_could_not_do_is_told() {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Disk];
    shop.project.note("content types could not be made");
    assert_eq!(shop.roll_back("v1").unwrap().notes, ["content types could not be made"]);
}

#[test]
fn a_plan_that_was_made_before_somebody_migrated_never_runs() {
    let mut shop = Shop::with_two_releases();
    let prepared = shop.prepare("v1").unwrap();
    shop.mark("blog.0001");
    let before = shop.everything();
    assert_eq!(shop.execute(&prepared), Err(EngineError::Case(CaseError::Store(StoreError::Stale))));
    assert_eq!(shop.everything(), before);
}

#[test]
fn a_plan_that_was_made_before_somebody_saved_never_runs() {
    let mut shop = Shop::with_two_releases();
    let prepared = shop.prepare("v1").unwrap();
    shop.deploy("v3", "");
    let before = shop.everything();
    assert_eq!(shop.execute(&prepared), Err(EngineError::Case(CaseError::Store(StoreError::Stale))));
    assert_eq!(shop.everything(), before);
}

/// A save that updates the newest release changes neither its place nor the rows, and yet what going back means.
#[test]
fn a_target_that_was_saved_anew_makes_the_plan_stale() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001");
    shop.deploy("v1", "shop.0001");
    shop.apply("shop.0002");
    let prepared = shop.prepare("v1").unwrap();
    shop.save("v1").unwrap();
    assert_eq!(shop.execute(&prepared), Err(EngineError::Case(CaseError::Store(StoreError::Stale))));
    assert_eq!(shop.tables(), "shop_0001 shop_0002");
}

/// The rows are read again under the lock of each try: what somebody writes between the announcement and it counts.
#[test]
fn a_migration_that_comes_while_a_rollback_waits_makes_the_plan_stale() {
    let mut shop = Shop::with_two_releases();
    shop.database.plan(When::At("DROP TABLE"), Fault::Busy);
    let sql = "CREATE TRIGGER late AFTER UPDATE ON django_rollback_operation WHEN NEW.body LIKE '%waits_until%' BEGIN \
               INSERT INTO django_migrations (app, name, applied) VALUES ('blog', '0001', '2026-01-01'); END";
    shop.sql(sql);
    shop.verify = false;
    assert_eq!(shop.roll_back("v1"), Err(EngineError::Case(CaseError::Store(StoreError::Stale))));
    assert_eq!(shop.tables(), "shop_0001 shop_0002");
}

#[test]
fn a_row_that_a_step_adds_is_a_wrong_result() {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Disk];
    let row = "INSERT INTO django_migrations (app, name, applied) VALUES ('blog', '0001', '2026-01-01')";
    shop.project.also_run("shop.0002", row);
    let refused = shop.roll_back("v1").unwrap_err();
    assert!(
        matches!(&refused, EngineError::Rollback(RollbackError::WrongResult { difference }) if difference.contains("blog.0001")),
        "{refused}"
    );
    assert_eq!(
        (shop.applied().as_str(), shop.tables().as_str()),
        ("shop.0001 shop.0002", "shop_0001 shop_0002")
    );
    assert_eq!(shop.history(), "save done, save done, rollback failed");
}

#[test]
fn a_row_that_a_step_removes_is_a_wrong_result() {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Disk];
    shop.project.also_run("shop.0002", "DELETE FROM django_migrations WHERE app = 'shop' AND name = '0001'");
    let refused = shop.roll_back("v1").unwrap_err();
    assert!(
        matches!(&refused, EngineError::Rollback(RollbackError::WrongResult { difference }) if difference.contains("shop.0001")),
        "{refused}"
    );
    assert_eq!(shop.applied(), "shop.0001 shop.0002");
}

#[test]
fn a_busy_database_is_tried_again_as_a_whole() {
    let mut shop = Shop::with_two_releases();
    shop.database.plan(When::At("DROP TABLE"), Fault::Busy);
    shop.roll_back("v1").unwrap();
    let seen = &shop.seen;
    let events = [
        "begins shop.0002",
        "failed shop.0002",
        "waits: database is locked",
        "begins shop.0002",
        "ends shop.0002",
    ];
    assert_eq!((&seen.events[..], seen.pauses.0), (&events.map(str::to_owned)[..], 1));
    assert!(seen.pauses.1 >= Duration::from_millis(50) && seen.pauses.1 <= Duration::from_millis(150));
    assert_eq!(
        (shop.history().as_str(), shop.last_operation("$.waits_until").as_str()),
        ("save done, save done, rollback done", "NULL")
    );
}

#[test]
fn waiting_comes_to_an_end() {
    let mut shop = Shop::with_two_releases();
    shop.wait = Duration::from_millis(20);
    shop.database.plan(When::Always("DROP TABLE"), Fault::Busy);
    let refused = shop.roll_back("v1").unwrap_err();
    assert!(
        matches!(&refused, EngineError::Rollback(RollbackError::Waited { reason, .. }) if reason == "database is locked"),
        "{refused}"
    );
    assert_eq!(
        (shop.tables().as_str(), shop.history().as_str()),
        ("shop_0001 shop_0002", "save done, save done, rollback failed")
    );
}

#[test]
fn no_time_to_wait_is_no_second_try() {
    let mut shop = Shop::with_two_releases();
    shop.wait = Duration::ZERO;
    shop.database.plan(When::At("DROP TABLE"), Fault::Busy);
    assert!(matches!(
        shop.roll_back("v1"),
        Err(EngineError::Rollback(RollbackError::Waited { waited: 0, .. }))
    ));
    assert_eq!(shop.seen.pauses.0, 0);
}

#[test]
fn a_signal_ends_the_waiting() {
    let mut shop = Shop::with_two_releases();
    shop.seen.signal_at_pause = Some((2, 15));
    shop.database.plan(When::Always("DROP TABLE"), Fault::Busy);
    assert_eq!(shop.roll_back("v1"), Err(EngineError::Case(CaseError::Interrupted { signal: 15 })));
    assert_eq!(shop.history(), "save done, save done, rollback interrupted");
}

#[test]
fn an_announcement_that_is_busy_is_made_again() {
    let mut shop = Shop::with_two_releases();
    let prepared = shop.prepare("v1").unwrap();
    shop.database.plan(When::At("BEGIN"), Fault::Busy);
    shop.execute(&prepared).unwrap();
    assert_eq!((shop.seen.pauses.0, shop.history().as_str()), (1, "save done, save done, rollback done"));
}

#[test]
fn data_is_lost_only_as_far_as_somebody_accepted() {
    for (limit, refused) in [(Some(0), true), (Some(1), true), (Some(2), false), (None, false)] {
        let mut shop = Shop::with_two_releases();
        shop.sql("INSERT INTO shop_0002 (id) VALUES (1), (2)");
        shop.max_lost_rows = limit;
        let ended = shop.roll_back("v1").map(drop);
        let would_lose =
            EngineError::Rollback(RollbackError::WouldLoseData { rows: 2, limit: limit.unwrap_or_default() });
        assert_eq!(ended, if refused { Err(would_lose) } else { Ok(()) }, "{limit:?}");
    }
}

#[test]
fn values_in_a_column_count_as_rows_do() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 adds shop_0001.price");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.sql("INSERT INTO shop_0001 (id, price) VALUES (1, 5), (2, NULL), (3, 7)");
    let prepared = shop.prepare("v1").unwrap();
    assert_eq!((prepared.lost_rows(), prepared.losses[0].column.as_deref()), (2, Some("price")));
    shop.roll_back("v1").unwrap();
    assert_eq!(
        (shop.ask("SELECT id FROM shop_0001").as_str(), shop.last_operation("$.lost_rows").as_str()),
        ("1 2 3", "2")
    );
}

#[test]
fn rows_that_come_between_the_plan_and_the_lock_are_counted() {
    let mut shop = Shop::with_two_releases();
    shop.max_lost_rows = Some(1);
    let prepared = shop.prepare("v1").unwrap();
    assert_eq!(prepared.lost_rows(), 0);
    shop.sql("INSERT INTO shop_0002 (id) VALUES (1), (2)");
    assert_eq!(
        shop.execute(&prepared),
        Err(EngineError::Rollback(RollbackError::WouldLoseData { rows: 2, limit: 1 }))
    );
    assert_eq!(shop.ask("SELECT count(*) FROM shop_0002"), "2");
}

#[test]
fn nothing_to_do_is_known_beforehand() {
    let mut shop = Shop::with_two_releases();
    assert!(shop.prepare("v2").unwrap().is_empty());
    shop.deploy("v3", "");
    assert!(!shop.prepare("v2").unwrap().is_empty());
}

#[test]
fn a_plan_with_a_blocker_does_not_run() {
    let mut shop = Shop::with_two_releases();
    shop.mark("blog.0001");
    let before = shop.everything();
    assert_eq!(shop.roll_back("v1"), Err(EngineError::Rollback(RollbackError::Blocked { blockers: 1 })));
    assert_eq!(shop.everything(), before);
}
