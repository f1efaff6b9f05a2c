//! One at a time.

use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_engine::session::SessionError;
use rollback_engine::store::StoreError;
use rollback_testing::{Fault, Shop, When};

/// Who is said to hold the lock.
fn holder(refused: &EngineError) -> String {
    match refused {
        EngineError::Case(CaseError::Store(StoreError::Session(SessionError::Locked {
            holder: Some(holder),
            ..
        }))) => holder.what.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_rollback_is_refused_while_somebody_else_works() {
    let mut shop = Shop::with_two_releases();
    let before = shop.everything();
    for operation in ["rollback", "save", "migrate", "import"] {
        let held = shop.lock(operation);
        let refused = shop.roll_back("v1").unwrap_err();
        assert_eq!(holder(&refused), format!("{operation} by deploy@web-1"));
        drop(held);
    }
    assert_eq!(shop.everything(), before);
    shop.roll_back("v1").unwrap();
}

#[test]
fn an_abort_is_refused_while_somebody_else_works() {
    let mut shop = Shop::with_two_releases();
    let _held = shop.lock("rollback");
    assert!(matches!(
        shop.abort(),
        Err(EngineError::Case(CaseError::Store(StoreError::Session(SessionError::Locked { .. }))))
    ));
}

#[test]
fn reading_takes_no_lock() {
    let mut shop = Shop::with_two_releases();
    let _held = shop.lock("rollback");
    assert_eq!(shop.list().unwrap().len(), 2);
    assert!(shop.status().unwrap().is_same());
    assert_eq!(shop.plan("v1"), "sql shop.0002");
}

#[test]
fn the_file_says_who_held_the_lock_and_since_when() {
    let mut shop = Shop::with_two_releases();
    shop.roll_back("v1").unwrap();
    let text = shop.lock_text();
    let (who, since) = text.trim_end().split_once('\n').unwrap();
    assert_eq!(who, "rollback by deploy@web-1");
    assert!(since.ends_with('Z') && since.len() == 20, "{since}");
}

#[test]
fn the_lock_is_free_after_every_end() {
    let mut shop = Shop::with_two_releases();
    for fault in [Fault::Refused("no"), Fault::Signal(2)] {
        shop.database.plan(When::At("DROP TABLE"), fault);
        shop.roll_back("v1").unwrap_err();
        drop(shop.lock("test"));
    }
    shop.roll_back("v1").unwrap();
    drop(shop.lock("test"));
}

#[test]
fn a_rollback_waits_for_one_who_only_settles() {
    let mut shop = Shop::with_two_releases();
    let held = shop.lock("settle");
    let refused = shop.roll_back("v1").unwrap_err();
    assert_eq!(holder(&refused), "settle by deploy@web-1");
    drop(held);
    shop.roll_back("v1").unwrap();
}

#[test]
fn the_row_of_the_lock_is_made_again_after_a_flush() {
    let mut shop = Shop::with_two_releases();
    shop.sql("DELETE FROM django_rollback_lock");
    shop.roll_back("v1").unwrap();
    assert_eq!(shop.ask("SELECT id FROM django_rollback_lock"), "1");
}
