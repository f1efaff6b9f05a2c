//! What is stored is readable for years: older documents, and those of newer versions.

use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_engine::store::{Event, Kind, StoreError, Verification};
use rollback_testing::{Shop, commit_of};

#[test]
fn an_operation_without_the_newer_fields_is_read() {
    let mut shop = Shop::with_two_releases();
    let body = r#"{"kind":"save","outcome":"done","from":null,"to":null,"tags":[],"from_set":null,"to_set":null,"steps":[],"steps_done":0,"releases_removed":[],"failed_step":null,"user":"a","host":"b","version":"0.5.0"}"#;
    shop.sql(&format!("UPDATE django_rollback_operation SET body = '{body}' WHERE id = 1"));
    let operations = shop.operations(10).unwrap();
    assert_eq!(operations[1].operation.kind(), Kind::Save);
    assert_eq!(operations.iter().map(|recorded| recorded.id).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_field_of_a_later_version_is_passed_over() {
    let mut shop = Shop::with_two_releases();
    shop.sql("UPDATE django_rollback_operation SET body = json_set(body, '$.weather', 'fine') WHERE id = 1");
    assert_eq!(shop.operations(10).unwrap().len(), 2);
}

#[test]
fn an_operation_of_a_newer_format_is_refused() {
    let mut shop = Shop::with_two_releases();
    shop.sql("UPDATE django_rollback_operation SET body = json_set(body, '$.format', 9) WHERE id = 2");
    let refused = shop.operations(10).unwrap_err();
    assert!(
        matches!(&refused, EngineError::Case(CaseError::Store(StoreError::NewerRecord { format: 9, what, .. })) if what.contains("row 2")),
        "{refused}"
    );
}

#[test]
fn an_operation_that_is_no_document_is_named() {
    let mut shop = Shop::with_two_releases();
    shop.sql("UPDATE django_rollback_operation SET body = '{}' WHERE id = 2");
    let refused = shop.operations(10).unwrap_err();
    assert!(
        matches!(&refused, EngineError::Case(CaseError::Store(StoreError::Damaged { what, .. })) if what.contains("row 2")),
        "{refused}"
    );
}

#[test]
fn history_is_newest_first_and_no_longer_than_asked() {
    let mut shop = Shop::with_two_releases();
    shop.roll_back("v1").unwrap();
    let kinds: Vec<Kind> =
        shop.operations(2).unwrap().iter().map(|recorded| recorded.operation.kind()).collect();
    assert_eq!(kinds, [Kind::Rollback, Kind::Save]);
}

#[test]
fn a_rollback_remembers_where_it_came_from_and_how_it_ended() {
    let mut shop = Shop::with_two_releases();
    shop.roll_back("v1").unwrap();
    let Event::Rollback(event) = shop.operations(1).unwrap().remove(0).operation.event else {
        panic!("the last operation is the rollback");
    };
    assert_eq!((event.route.from, event.route.to), (Some(commit_of("v2")), Some(commit_of("v1"))));
    assert_eq!((event.route.tags, event.verified), (vec!["v1".to_owned()], Some(Verification::Same)));
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_appliedset"), "2");
    assert!(event.from_set.is_some() && event.to_set.is_some() && event.from_set != event.to_set);
}

/// Both are saves; what the release had before and after is said by the sets.
#[test]
fn the_first_save_of_a_release_is_told_from_its_updates() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v1", "shop.0002");
    let operations = shop.operations(2).unwrap();
    let [Event::Save(updated), Event::Save(created)] =
        [&operations[0].operation.event, &operations[1].operation.event]
    else {
        panic!("both are saves");
    };
    assert_eq!((&created.from_set, &updated.from_set), (&None, &created.to_set));
    assert_ne!(updated.to_set, created.to_set);
}

#[test]
fn nothing_is_ever_deleted_from_history() {
    let mut shop = Shop::with_two_releases();
    let saves = shop.ask("SELECT body FROM django_rollback_operation ORDER BY id");
    shop.roll_back("v1").unwrap();
    shop.deploy("v2", "shop.0002");
    assert!(shop.ask("SELECT body FROM django_rollback_operation ORDER BY id").starts_with(&saves));
}

#[test]
fn a_schema_of_a_newer_version_is_refused_where_it_is_needed() {
    let mut shop = Shop::with_two_releases();
    let body = "{\"format\":9}";
    let hash = rollback_core::stored::hash(body);
    shop.sql(&format!("INSERT INTO django_rollback_schema VALUES ('{hash}', '{body}')"));
    shop.sql(&format!("UPDATE django_rollback_appsstate SET schema = '{hash}' WHERE id = 1"));
    assert!(matches!(
        shop.roll_back("v1"),
        Err(EngineError::Case(CaseError::Store(StoreError::StoredSchema { .. })))
    ));
    shop.verify = false;
    assert_eq!(shop.roll_back("v1").unwrap().verified, Verification::NotVerified);
}

#[test]
fn a_release_of_0_4_0_gets_its_set_while_the_rows_tell_it() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001");
    shop.apply("shop.0001");
    let newest = r#"[[4,"django_rollback","0004_capsules"],[5,"shop","0001"]]"#;
    shop.sql(&format!(
        "INSERT INTO django_rollback_appsstate (\"commit\", migrations, \"timestamp\") VALUES ('{}', '{newest}', '2025-01-01')",
        commit_of("v1")
    ));
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_appsstate WHERE applied_set IS NULL"), "1");
    shop.deploy("v2", "shop.0002");
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_appsstate WHERE applied_set IS NULL"), "0");
    let done = shop.roll_back(&commit_of("v1").to_string()).unwrap();
    assert_eq!((done.verified.as_str(), shop.applied().as_str()), ("no-schema", "shop.0001"));
}
