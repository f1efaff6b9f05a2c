//! Proof: at the end the schema is what the release had.

use rollback_core::{Warning, Way};
use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_engine::rollback::RollbackError;
use rollback_engine::store::StoreError;
use rollback_engine::store::Verification;
use rollback_testing::Shop;

fn shop() -> Shop {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Disk];
    shop
}

#[test]
fn a_step_that_leaves_something_behind_is_taken_back() {
    let mut shop = shop();
    shop.project.also_run("shop.0002", "CREATE INDEX left_behind ON shop_0001 (name)");
    let refused = shop.roll_back("v1").unwrap_err();
    assert!(
        matches!(&refused, EngineError::Rollback(RollbackError::WrongSchema { differences, .. }) if differences.len() == 1),
        "{refused}"
    );
    assert_eq!(
        (shop.applied().as_str(), shop.tables().as_str()),
        ("shop.0001 shop.0002", "shop_0001 shop_0002")
    );
    assert_eq!(shop.last_operation("$.failed_step"), "the check of the schema");
    assert_eq!(shop.ask("SELECT count(*) FROM sqlite_master WHERE name = 'left_behind'"), "0");
}

#[test]
fn a_step_that_drops_too_much_is_taken_back() {
    let mut shop = shop();
    shop.project.also_run("shop.0002", "ALTER TABLE shop_0001 DROP COLUMN name");
    assert!(matches!(shop.roll_back("v1"), Err(EngineError::Rollback(RollbackError::WrongSchema { .. }))));
    assert_eq!(shop.ask("SELECT count(*) FROM pragma_table_info('shop_0001')"), "2");
}

/// The same migration was recorded with other SQL than what undoes it: Django's own way may still do.
#[test]
fn recorded_sql_that_fails_is_taken_back_and_told_apart() {
    let mut shop = Shop::with_two_releases();
    let mut wrong = Shop::new("shop.0002 adds shop_0001.price");
    wrong.database = shop.database.clone();
    wrong.keep("shop.0002").unwrap();
    shop.save("v2").unwrap();
    let refused = shop.roll_back("v1").unwrap_err();
    assert!(
        matches!(&refused, EngineError::Rollback(RollbackError::Failed { step, .. }) if step == "shop.0002"),
        "{refused}"
    );
    assert_eq!(
        (shop.applied().as_str(), shop.tables().as_str()),
        ("shop.0001 shop.0002", "shop_0001 shop_0002")
    );
}

#[test]
fn no_verify_commits_the_result_as_it_is() {
    let mut shop = shop();
    shop.project.also_run("shop.0002", "CREATE INDEX left_behind ON shop_0001 (name)");
    shop.verify = false;
    assert_eq!(shop.roll_back("v1").unwrap().verified, Verification::NotVerified);
    assert_eq!(
        (shop.applied().as_str(), shop.last_operation("$.verified").as_str()),
        ("shop.0001", "not-verified")
    );
}

#[test]
fn what_differed_before_may_differ_afterwards() {
    let mut shop = shop();
    shop.sql("CREATE INDEX by_hand ON shop_0001 (name)");
    let prepared = shop.prepare("v1").unwrap();
    assert!(prepared.plan.warnings.iter().any(|warning| matches!(warning, Warning::Drift { .. })));
    assert_eq!(shop.execute(&prepared).unwrap().verified, Verification::Drift);
    assert_eq!(shop.ask("SELECT count(*) FROM sqlite_master WHERE name = 'by_hand'"), "1");
}

#[test]
fn drift_excuses_nothing_else() {
    let mut shop = shop();
    shop.sql("CREATE INDEX by_hand ON shop_0001 (name)");
    shop.project.also_run("shop.0002", "CREATE INDEX left_behind ON shop_0001 (id, name)");
    let refused = shop.roll_back("v1").unwrap_err();
    assert!(
        refused.to_string().contains("shop_0001") && !refused.to_string().contains("by_hand"),
        "{refused}"
    );
}

#[test]
fn a_release_without_a_schema_cannot_be_verified_and_that_is_told() {
    let mut shop = shop();
    shop.sql("UPDATE django_rollback_appsstate SET schema = NULL WHERE id = 1");
    let prepared = shop.prepare("v1").unwrap();
    assert!(prepared.plan.warnings.iter().any(|warning| matches!(warning, Warning::NotVerifiable { .. })));
    assert_eq!(shop.execute(&prepared).unwrap().verified, Verification::NoSchema);
}

#[test]
fn a_damaged_schema_bars_the_way_unless_it_is_not_compared() {
    let mut shop = shop();
    shop.sql("UPDATE django_rollback_schema SET body = body || ' '");
    let before = shop.everything();
    assert!(matches!(
        shop.roll_back("v1"),
        Err(EngineError::Case(CaseError::Store(StoreError::StoredSchema { .. })))
    ));
    assert_eq!(shop.everything(), before);
    shop.verify = false;
    assert_eq!(shop.roll_back("v1").unwrap().verified, Verification::NotVerified);
}

/// Django makes a table of SQLite anew for many a change, and knows nothing of what somebody made by hand.
#[test]
fn an_index_made_by_hand_is_made_again() {
    let mut shop = shop();
    shop.sql("CREATE INDEX by_hand ON shop_0001 (name)");
    shop.project.also_run(
        "shop.0002",
        "CREATE TABLE new (\"id\" integer NOT NULL PRIMARY KEY, \"name\" text NULL); INSERT INTO new SELECT * FROM \
         shop_0001; DROP TABLE shop_0001; ALTER TABLE new RENAME TO shop_0001",
    );
    assert_eq!(shop.roll_back("v1").unwrap().verified, Verification::Drift);
    assert_eq!(shop.ask("SELECT tbl_name FROM sqlite_master WHERE name = 'by_hand'"), "shop_0001");
}

#[test]
fn a_foreign_key_that_no_longer_holds_is_found_before_the_commit() {
    let mut shop = Shop::with_two_releases();
    shop.sql(
        "CREATE TABLE basket (item integer REFERENCES shop_0002 (id)); INSERT INTO shop_0002 (id) VALUES (7)",
    );
    shop.sql("INSERT INTO basket VALUES (7)");
    let refused = shop.roll_back("v1").unwrap_err();
    assert!(refused.to_string().contains("basket"), "{refused}");
    assert_eq!(shop.tables(), "basket shop_0001 shop_0002");
}
