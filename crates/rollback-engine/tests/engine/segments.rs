//! Rollbacks with a step outside a transaction: they stop part-way, are resumed, or left there.

use rollback_core::Way;
use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_engine::ports::Database;
use rollback_engine::rollback::RollbackError;
use rollback_engine::session::SessionError;
use rollback_engine::store::StoreError;
use rollback_testing::{Fault, Shop, When};

/// `v2` brings three migrations, the middle one of which is undone outside a transaction.
fn shop() -> Shop {
    let mut shop = Shop::new(
        "shop.0001
         shop.0002 < shop.0001
         shop.0003 < shop.0002 nonatomic code
         shop.0004 < shop.0003",
    );
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002 shop.0003 shop.0004");
    shop.ways = vec![Way::Disk];
    shop
}

#[test]
fn each_segment_is_permanent_by_itself() {
    let mut shop = shop();
    let prepared = shop.prepare("v1").unwrap();
    assert_eq!((prepared.plan.segments().len(), prepared.plan.is_atomic()), (3, false));
    shop.execute(&prepared).unwrap();
    assert_eq!((shop.applied().as_str(), shop.tables().as_str()), ("shop.0001", "shop_0001"));
    assert_eq!(shop.history(), "save done, save done, rollback done");
    assert_eq!(shop.last_operation("$.step_begun"), "NULL");
}

#[test]
fn what_an_earlier_segment_has_dropped_is_not_counted_again() {
    let mut shop = shop();
    shop.max_lost_rows = Some(0);
    shop.roll_back("v1").unwrap();
    assert_eq!(shop.tables(), "shop_0001");
}

/// Rows that come between two segments are counted before the one that drops them.
#[test]
fn rows_that_come_between_two_segments_stop_the_rollback() {
    let mut shop = shop();
    shop.max_lost_rows = Some(0);
    shop.project.also_run("shop.0003", "INSERT INTO shop_0002 (id) VALUES (1)");
    let stopped = shop.roll_back("v1").unwrap_err();
    assert!(
        matches!(stopped, EngineError::Rollback(RollbackError::Stopped { done: 2, total: 3, .. })),
        "{stopped}"
    );
    assert_eq!(shop.ask("SELECT count(*) FROM shop_0002"), "1");
}

#[test]
fn a_failure_before_anything_is_permanent_takes_everything_back() {
    let mut shop = shop();
    shop.project.fail("shop.0004", "ValueError: no");
    assert!(
        matches!(shop.roll_back("v1"), Err(EngineError::Rollback(RollbackError::Failed { step, .. })) if step == "shop.0004")
    );
    assert_eq!(shop.tables(), "shop_0001 shop_0002 shop_0004");
    assert_eq!(shop.history(), "save done, save done, rollback failed");
}

#[test]
fn a_failure_after_that_stops_part_way_and_is_resumed() {
    let mut shop = shop();
    shop.project.fail("shop.0002", "ValueError: no");
    let stopped = shop.roll_back("v1").unwrap_err();
    assert!(
        matches!(&stopped, EngineError::Rollback(RollbackError::Stopped { done: 2, total: 3, .. })),
        "{stopped}"
    );
    assert!(stopped.is_partial());
    assert_eq!(
        (shop.applied().as_str(), shop.tables().as_str()),
        ("shop.0001 shop.0002", "shop_0001 shop_0002")
    );
    assert_eq!(shop.history(), "save done, save done, rollback stopped");

    shop.project.fix();
    shop.resume().unwrap();
    assert_eq!((shop.applied().as_str(), shop.releases().as_str()), ("shop.0001", "1111111"));
    assert_eq!(shop.history(), "save done, save done, rollback done");
    assert_eq!(shop.last_operation("$.steps"), r#"["shop.0004","shop.0003","shop.0002"]"#);
    assert_eq!(shop.last_operation("$.steps_done"), "3");
}

#[test]
fn a_step_that_fails_outside_a_transaction_is_in_doubt() {
    let mut shop = shop();
    shop.project.fail("shop.0003", "ValueError: no");
    assert!(matches!(
        shop.roll_back("v1"),
        Err(EngineError::Rollback(RollbackError::Stopped { done: 1, total: 3, .. }))
    ));
    assert_eq!(
        (shop.last_operation("$.step_begun").as_str(), shop.last_operation("$.steps_done").as_str()),
        ("1", "1")
    );
    assert_eq!(shop.applied(), "shop.0001 shop.0002 shop.0003");
    let closed = shop.abort().unwrap();
    assert!(closed.step_begun);
}

#[test]
fn a_resume_that_fails_is_still_part_way() {
    let mut shop = shop();
    shop.project.fail("shop.0002", "ValueError: no");
    shop.roll_back("v1").unwrap_err();
    let again = shop.resume().unwrap_err();
    assert!(
        matches!(
            again,
            EngineError::Rollback(RollbackError::Failed { .. })
                | EngineError::Rollback(RollbackError::Stopped { .. })
        ),
        "{again}"
    );
    assert_eq!(shop.history(), "save done, save done, rollback stopped");
    assert_eq!(shop.unfinished().unwrap().steps_done, 2);
}

#[test]
fn the_same_rollback_once_more_resumes_it_too() {
    let mut shop = shop();
    shop.project.fail("shop.0002", "ValueError: no");
    shop.roll_back("v1").unwrap_err();
    shop.project.fix();
    shop.roll_back("v1").unwrap();
    assert_eq!(shop.history(), "save done, save done, rollback done");
}

#[test]
fn after_an_abort_the_same_rollback_is_a_new_one() {
    let mut shop = shop();
    shop.project.fail("shop.0002", "ValueError: no");
    shop.roll_back("v1").unwrap_err();
    shop.abort().unwrap();
    shop.project.fix();
    shop.roll_back("v1").unwrap();
    assert_eq!(shop.history(), "save done, save done, rollback aborted, rollback done");
    assert_eq!(shop.last_operation("$.steps"), r#"["shop.0002"]"#);
}

#[test]
fn the_lock_is_held_between_segments() {
    let mut shop = shop();
    let held = shop.lock("save");
    let refused = shop.roll_back("v1").unwrap_err();
    assert!(
        matches!(
            refused,
            EngineError::Case(CaseError::Store(StoreError::Session(SessionError::Locked { .. })))
        ),
        "{refused}"
    );
    drop(held);
    shop.roll_back("v1").unwrap();
    assert!(shop.lock_text().starts_with("rollback by deploy@web-1\n"));
}

/// Wherever the connection is lost, what history says of permanent steps is what the rows say, and a resume gets there.
#[test]
fn a_connection_that_is_lost_between_segments_can_be_resumed() {
    let whole = shop();
    for number in 1.. {
        let mut shop = whole.copy();
        let prepared = shop.prepare("v1").unwrap();
        shop.database.plan(When::Before(number), Fault::Lost);
        let ended = shop.execute(&prepared);
        shop.database.behave();
        if ended.is_ok() && !shop.history().contains("stopped") && number > 60 {
            break;
        }
        let _ = shop.database.reconnect();
        shop.settle().unwrap();
        if shop.history().ends_with("rollback stopped") {
            let undone = 4 - shop.applied().split(' ').count();
            let done: usize = shop.last_operation("$.steps_done").parse().unwrap();
            // A step that ran outside a transaction may be done before its row is removed.
            assert_eq!(done, undone, "statement {number}");
            shop.resume().unwrap();
        } else if ended.is_err() {
            shop.roll_back("v1").unwrap();
        }
        assert_eq!(
            (shop.applied().as_str(), shop.tables().as_str()),
            ("shop.0001", "shop_0001"),
            "statement {number}"
        );
        assert!(shop.history().ends_with("rollback done"), "statement {number}: {}", shop.history());
    }
}
