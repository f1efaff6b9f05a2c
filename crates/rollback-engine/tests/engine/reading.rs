//! The list, one release, and where the database stands.

use rollback_core::SelectError;
use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_engine::cases::save::SaveOutcome;
use rollback_engine::store::StoreError;
use rollback_testing::{Shop, ids};

#[test]
fn an_empty_list_is_no_error_and_nothing_can_be_shown() {
    let mut shop = Shop::new("shop.0001");
    assert_eq!(shop.list().unwrap(), []);
    let nothing = EngineError::Case(CaseError::Select(SelectError::NoRelease));
    assert_eq!(shop.show("v1").unwrap_err(), nothing);
    assert_eq!(shop.status().unwrap_err(), nothing);
    assert_eq!(shop.prepare("").unwrap_err(), nothing);
}

#[test]
fn the_newest_release_comes_first() {
    let mut shop = Shop::with_two_releases();
    let listed = shop.list().unwrap();
    let lines: Vec<_> =
        listed.iter().map(|listed| (listed.release.label(), listed.migrations, listed.imported)).collect();
    assert_eq!(
        lines,
        [("2222222 (v2)".to_owned(), Some(6), false), ("1111111 (v1)".to_owned(), Some(5), false)]
    );
}

/// One host's clock was an hour off, or the time was set back: newest is what was saved last.
#[test]
fn the_order_is_that_of_saving_and_not_of_the_clock() {
    let mut shop = Shop::with_two_releases();
    shop.deploy("v3", "");
    for (id, time) in [(1, "2038-01-01"), (2, "1999-01-01"), (3, "2001-01-01")] {
        shop.sql(&format!("UPDATE django_rollback_appsstate SET \"timestamp\" = '{time}' WHERE id = {id}"));
    }
    let labels: Vec<String> = shop.list().unwrap().iter().map(|listed| listed.release.label()).collect();
    assert_eq!(labels, ["3333333 (v3)", "2222222 (v2)", "1111111 (v1)"]);
    assert_eq!(shop.prepare("").unwrap().to.label(), "2222222 (v2)");
    assert!(matches!(shop.save("v1").unwrap().outcome, SaveOutcome::NotNewest { .. }));
    shop.roll_back("v1").unwrap();
    assert_eq!(shop.releases(), "1111111");
}

#[test]
fn a_release_is_shown_with_its_migrations_and_the_one_before() {
    let mut shop = Shop::with_two_releases();
    let shown = shop.show("v2").unwrap();
    assert!(shown.current && !shown.imported);
    assert_eq!(shown.previous.map(|release| release.label()).as_deref(), Some("1111111 (v1)"));
    assert!(shown.applied.unwrap().contains(&ids("shop.0002")[0]));
    assert!(!shop.show("v1").unwrap().current);
}

#[test]
fn status_tells_rows_that_came_and_went() {
    let mut shop = Shop::with_two_releases();
    assert!(shop.status().unwrap().is_same());
    shop.mark("blog.0001");
    shop.sql("DELETE FROM django_migrations WHERE app = 'shop' AND name = '0002'");
    let status = shop.status().unwrap();
    assert_eq!((status.ahead, status.missing), (ids("blog.0001"), ids("shop.0002")));
}

#[test]
fn status_tells_a_change_by_hand() {
    let mut shop = Shop::with_two_releases();
    shop.sql("CREATE INDEX by_hand ON shop_0001 (name)");
    let status = shop.status().unwrap();
    assert!(!status.is_same());
    assert_eq!(status.schema.unwrap().len(), 1);
}

#[test]
fn our_own_migrations_belong_to_no_release() {
    let mut shop = Shop::with_two_releases();
    shop.sql("UPDATE django_rollback_appsstate SET applied_set = applied_set");
    shop.roll_back("v1").unwrap();
    assert_eq!(shop.ask("SELECT count(*) FROM django_migrations WHERE app = 'django_rollback'"), "4");
    assert!(shop.status().unwrap().is_same());
}

#[test]
fn a_damaged_row_is_named() {
    for (change, what) in [
        ("tags = '[\"v1'", "column tags"),
        ("\"commit\" = 'nonsense'", "column commit"),
        ("\"commit\" = ''", "column commit"),
    ] {
        let mut shop = Shop::with_two_releases();
        shop.sql(&format!("UPDATE django_rollback_appsstate SET {change} WHERE id = 1"));
        let refused = shop.list().unwrap_err().to_string();
        assert!(
            refused.contains("row 1 of django_rollback_appsstate") && refused.contains(what),
            "{refused}"
        );
    }
}

#[test]
fn a_damaged_set_bars_only_the_way_to_its_release() {
    for sql in ["UPDATE django_rollback_appliedset SET body = ''", "DELETE FROM django_rollback_appliedset"] {
        let mut shop = Shop::with_two_releases();
        let of = |id| {
            format!("{sql} WHERE hash = (SELECT applied_set FROM django_rollback_appsstate WHERE id = {id})")
        };
        shop.sql(&of(2));
        assert_eq!(shop.plan("v1"), "sql shop.0002", "{sql}");
        shop.sql(&of(1));
        let refused = shop.prepare("v1").unwrap_err();
        assert!(
            matches!(
                refused,
                EngineError::Case(CaseError::Store(StoreError::StoredSet { .. }))
                    | EngineError::Case(CaseError::Store(StoreError::Damaged { .. }))
            ),
            "{refused}"
        );
    }
}
