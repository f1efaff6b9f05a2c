//! Taking turns with `migrate`.

use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_engine::session::SessionError;
use rollback_engine::store::StoreError;
use rollback_engine::store::Verification;
use rollback_testing::{Fault, Shop, When};

#[test]
fn a_migrate_takes_the_lock_and_lets_go_of_it() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001");
    shop.deploy("v1", "shop.0001");
    let (held, waited_for) = shop.migrate("shop.0002");
    assert_eq!(waited_for, Vec::<String>::new());
    assert!(shop.lock_text().starts_with("migrate by deploy@web-1\n"));
    assert!(matches!(
        shop.abort(),
        Err(EngineError::Case(CaseError::Store(StoreError::Session(SessionError::Locked { .. }))))
    ));
    drop(held);
    drop(shop.lock("test"));
}

#[test]
fn a_rollback_is_refused_meanwhile() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001\nshop.0003 < shop.0002");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    let (held, _) = shop.migrate("shop.0003");
    let held = held.unwrap();
    assert!(held.is_some());
    assert!(matches!(
        shop.roll_back("v1"),
        Err(EngineError::Case(CaseError::Store(StoreError::Session(SessionError::Locked { .. }))))
    ));
    drop(held);
    shop.roll_back("v1").unwrap();
}

#[test]
fn before_our_tables_are_there_nothing_is_guarded() {
    let mut shop = Shop::new("shop.0001");
    shop.sql("DROP TABLE django_rollback_lock");
    assert!(matches!(shop.migrate("shop.0001").0, Ok(None)));
    assert_eq!(shop.has_releases(), Ok(false));
}

#[test]
fn a_plan_that_a_rollback_made_stale_does_not_run() {
    let mut shop = Shop::with_two_releases();
    shop.roll_back("v1").unwrap();
    shop.sql("INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0002', '2026-01-01')");
    let refused = shop.migrate("shop.0002").0.map(drop);
    assert!(
        matches!(refused, Err(EngineError::Case(CaseError::StaleMigrate { is_applied: true, .. }))),
        "{refused:?}"
    );
    shop.sql("DELETE FROM django_migrations WHERE app = 'shop'");
    let refused = shop.migrate("shop.0002").0.map(drop);
    assert!(
        matches!(refused, Err(EngineError::Case(CaseError::StaleMigrate { is_applied: false, .. }))),
        "{refused:?}"
    );
    drop(shop.lock("test"));
}

#[test]
fn a_migrate_waits_for_its_turn_until_a_signal() {
    let mut shop = Shop::with_two_releases();
    let held = shop.lock("rollback");
    shop.seen.signal_at_pause = Some((3, 15));
    let (refused, waited_for) = shop.migrate("-shop.0002");
    assert!(matches!(refused.map(drop), Err(EngineError::Case(CaseError::Interrupted { signal: 15 }))));
    assert_eq!(waited_for.len(), 3);
    assert!(waited_for[0].starts_with("rollback by deploy@web-1, since "), "{waited_for:?}");
    drop(held);
    assert!(shop.migrate("-shop.0002").0.is_ok());
}

#[test]
fn what_was_changed_by_hand_belongs_to_the_release_from_then_on() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001");
    shop.deploy("v1", "shop.0001");
    shop.sql("CREATE INDEX by_hand ON shop_0001 (name)");
    assert!(shop.migrate("shop.0002").0.is_ok());
    assert_eq!(shop.ask("SELECT final_schema IS NOT NULL FROM django_rollback_appsstate"), "1");
    shop.deploy("v2", "shop.0002");
    assert_eq!(shop.roll_back("v1").unwrap().verified, Verification::Same);
}

#[test]
fn a_schema_that_is_the_same_is_not_stored_again() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001");
    shop.deploy("v1", "shop.0001");
    assert!(shop.migrate("shop.0002").0.is_ok());
    assert_eq!(shop.ask("SELECT final_schema IS NULL FROM django_rollback_appsstate"), "1");
}

#[test]
fn a_migrate_does_not_fail_because_something_cannot_be_remembered() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001");
    shop.deploy("v1", "shop.0001");
    shop.sql("CREATE INDEX by_hand ON shop_0001 (name)");
    shop.database.plan(When::At("INSERT INTO django_rollback_schema"), Fault::Refused("disk full"));
    assert!(shop.migrate("shop.0002").0.is_ok());
}

#[test]
fn what_is_recorded_is_kept_and_used() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001");
    shop.deploy("v1", "shop.0001");
    assert_eq!(shop.has_releases(), Ok(true));
    shop.apply("shop.0002");
    shop.keep("shop.0002").unwrap();
    shop.has_django = false;
    shop.save("v2").unwrap();
    assert_eq!(shop.plan("v1"), "sql shop.0002");
    shop.roll_back("v1").unwrap();
    assert_eq!(shop.tables(), "shop_0001");
}
