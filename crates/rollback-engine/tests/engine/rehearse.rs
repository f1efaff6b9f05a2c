//! Trying a rollback on a copy.

use rollback_core::Way;
use rollback_engine::EngineError;
use rollback_engine::rollback::RollbackError;
use rollback_testing::Shop;

#[test]
fn a_rehearsal_goes_down_and_up_and_touches_nothing() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001\nshop.0003 < shop.0002");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002 shop.0003");
    let steps = shop.rehearse("v1").unwrap();
    let names: Vec<String> = steps.iter().map(|step| step.migration.to_string()).collect();
    assert_eq!(names, ["shop.0002", "shop.0003"]);
    assert!(steps.iter().all(|step| step.differences.is_empty() && step.way == Way::Sql));
    assert_eq!(
        (shop.applied().as_str(), shop.history().as_str()),
        ("shop.0001 shop.0002 shop.0003", "save done, save done, rehearsal done")
    );
}

#[test]
fn a_step_that_fails_is_named_and_written_down() {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Disk];
    shop.project.fail("shop.0002", "ValueError: no");
    let refused = shop.rehearse("v1").unwrap_err();
    assert!(
        matches!(&refused, EngineError::Rollback(RollbackError::Rehearsal { step, .. }) if step == "shop.0002"),
        "{refused}"
    );
    assert_eq!(shop.history(), "save done, save done, rehearsal failed");
}

#[test]
fn a_schema_that_is_not_the_targets_fails_the_rehearsal() {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Disk];
    shop.project.also_run("shop.0002", "CREATE INDEX left_behind ON shop_0001 (name)");
    assert!(matches!(shop.rehearse("v1"), Err(EngineError::Rollback(RollbackError::WrongSchema { .. }))));
    assert_eq!(shop.history(), "save done, save done, rehearsal failed");
}

#[test]
fn a_rehearsal_that_failed_later_counts() {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Disk];
    shop.rehearse("v1").unwrap();
    shop.project.fail("shop.0002", "ValueError: no");
    shop.rehearse("v1").unwrap_err();
    shop.require_rehearsal = true;
    assert_eq!(shop.roll_back("v1"), Err(EngineError::Rollback(RollbackError::Blocked { blockers: 1 })));
}

#[test]
fn another_plan_needs_another_rehearsal() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001\nshop.0003 < shop.0002");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.rehearse("v1").unwrap();
    shop.deploy("v3", "shop.0003");
    shop.require_rehearsal = true;
    assert_eq!(shop.roll_back("v1"), Err(EngineError::Rollback(RollbackError::Blocked { blockers: 1 })));
}
