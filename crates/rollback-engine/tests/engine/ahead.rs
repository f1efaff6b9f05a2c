//! Whether the database is ahead of the code.

use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_testing::{Shop, ids};

#[test]
fn the_code_of_the_current_release_is_not_behind() {
    let mut shop = Shop::with_two_releases();
    let ahead = shop.ahead(Some("v2")).unwrap().unwrap();
    assert_eq!((ahead.migrations, ahead.brought_by.len()), (Vec::new(), 0));
    assert_eq!(ahead.current.label(), "2222222 (v2)");
}

#[test]
fn the_code_of_an_older_release_is() {
    let mut shop = Shop::with_two_releases();
    let ahead = shop.ahead(Some("v1")).unwrap().unwrap();
    assert_eq!(ahead.migrations, ids("shop.0002"));
    assert_eq!(ahead.target.unwrap().label(), "1111111 (v1)");
    assert_eq!(ahead.brought_by[0].label(), "2222222 (v2)");
}

#[test]
fn the_files_tell_where_the_commit_was_never_saved() {
    let mut shop = Shop::with_two_releases();
    shop.project.remove("shop.0002");
    for commit in [Some("never saved"), None] {
        let ahead = shop.ahead(commit).unwrap().unwrap();
        assert_eq!(
            (ahead.migrations, ahead.target.unwrap().label()),
            (ids("shop.0002"), "1111111 (v1)".to_owned())
        );
    }
}

#[test]
fn code_that_fits_no_release_has_no_target() {
    let mut shop = Shop::with_two_releases();
    shop.project.remove("shop.0001 shop.0002");
    let ahead = shop.ahead(None).unwrap().unwrap();
    assert_eq!((ahead.migrations, ahead.target), (ids("shop.0002 shop.0001"), None));
}

#[test]
fn files_that_have_more_are_not_behind() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001");
    shop.deploy("v1", "shop.0001");
    assert_eq!(shop.ahead(None).unwrap().unwrap().migrations, []);
}

#[test]
fn without_django_a_commit_that_was_never_saved_tells_nothing() {
    let mut shop = Shop::with_two_releases();
    shop.has_django = false;
    assert!(matches!(shop.ahead(Some("never saved")), Err(EngineError::Case(CaseError::CodeUnknown { .. }))));
    assert_eq!(shop.ahead(Some("v1")).unwrap().unwrap().migrations, ids("shop.0002"));
}

#[test]
fn before_the_first_save_there_is_nothing_to_compare_with() {
    assert_eq!(Shop::new("shop.0001").ahead(None).unwrap(), None);
}
