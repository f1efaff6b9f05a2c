//! Day one: releases that nobody saved, from the tags in git.

use rollback_core::Way;
use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_engine::cases::import::ImportError;
use rollback_engine::store::Verification;
use rollback_testing::{FakeRepository, Fault, Shop, When};

const V1: &str = "shop.0001";
const V2: &str = "shop.0001\nshop.0002 < shop.0001";
const V3: &str = "shop.0001\nshop.0002 < shop.0001\nshop.0003 < shop.0002";

/// Only `v3` was saved; git has `v1`, `v2` and `v3`.
fn shop() -> (Shop, FakeRepository) {
    let mut shop = Shop::new(V3);
    shop.deploy("v3", "shop.0001 shop.0002 shop.0003");
    (shop, FakeRepository::new().commit("v1", V1).commit("v2", V2).commit("v3", V3))
}

fn refused(ended: Result<impl Sized, EngineError>) -> ImportError {
    match ended.map(|_| ()) {
        Err(EngineError::Case(CaseError::Import(error))) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn past_releases_are_rebuilt_from_their_tags() {
    let (mut shop, repository) = shop();
    let import = shop.import(&repository, None).unwrap();
    assert_eq!((import.releases.len(), import.skipped.len()), (2, 1));
    assert_eq!(shop.releases(), "3333333 2222222 1111111");
    assert_eq!(shop.history(), "save done, import done, import done");
    let imported: Vec<_> =
        shop.list().unwrap().iter().map(|listed| (listed.imported, listed.migrations)).collect();
    assert_eq!(imported, [(false, Some(7)), (true, Some(6)), (true, Some(5))]);
}

#[test]
fn an_imported_release_can_be_gone_back_to() {
    let (mut shop, repository) = shop();
    shop.import(&repository, None).unwrap();
    shop.ways = vec![Way::Disk];
    assert_eq!(shop.plan("v1"), "disk shop.0003, disk shop.0002");
    assert_eq!(shop.roll_back("v1").unwrap().verified, Verification::NoSchema);
    assert_eq!(shop.applied(), "shop.0001");
}

#[test]
fn a_dry_run_writes_nothing() {
    let (mut shop, repository) = shop();
    let before = shop.everything();
    assert_eq!(shop.plan_import(&repository, None).unwrap().releases.len(), 2);
    assert_eq!(shop.everything(), before);
}

#[test]
fn importing_again_imports_nothing() {
    let (mut shop, repository) = shop();
    shop.import(&repository, None).unwrap();
    let before = shop.everything();
    assert_eq!(shop.import(&repository, None).unwrap().releases, []);
    assert_eq!(shop.everything(), before);
}

#[test]
fn an_import_may_begin_with_a_later_tag() {
    let (mut shop, repository) = shop();
    shop.import(&repository, Some("v2")).unwrap();
    assert_eq!(shop.releases(), "3333333 2222222");
}

#[test]
fn what_cannot_be_imported_is_told_why() {
    let (mut shop, repository) = shop();
    assert!(matches!(refused(shop.import(&repository, Some("v9"))), ImportError::UnknownTag { .. }));
    assert!(matches!(refused(shop.import(&repository.clone().shallow(), None)), ImportError::Shallow { .. }));
    let elsewhere = FakeRepository::new().commit("v1", V1);
    assert!(matches!(refused(shop.import(&elsewhere, None)), ImportError::Unrelated { .. }));
    let untagged = FakeRepository::new().untagged("v1", V1).untagged("v3", V3);
    assert!(matches!(refused(shop.import(&untagged, None)), ImportError::NoTags { .. }));
    let mut empty = Shop::new(V1);
    assert_eq!(refused(empty.import(&repository, None)), ImportError::NothingSaved);
    assert!(shop.import(&repository.broken("no permission"), None).is_err());
}

#[test]
fn a_commit_without_migrations_is_skipped() {
    let mut shop = Shop::new(V1);
    shop.deploy("v2", "shop.0001");
    let repository = FakeRepository::new().commit("v0", "").commit("v1", V1).commit("v2", V1);
    let import = shop.import(&repository, None).unwrap();
    assert_eq!((import.releases.len(), import.skipped.len()), (1, 2));
}

#[test]
fn a_save_that_comes_meanwhile_is_seen() {
    let (mut shop, repository) = shop();
    shop.database.plan(When::At("BEGIN"), Fault::Busy);
    shop.import(&repository, None).unwrap();
    assert_eq!(shop.releases(), "3333333 2222222 1111111");
}

#[test]
fn an_import_that_fails_leaves_everything_as_it_was() {
    let (mut shop, repository) = shop();
    let before = shop.everything();
    for words in ["INSERT INTO django_rollback_appsstate", "INSERT INTO django_rollback_operation", "COMMIT"]
    {
        shop.database.plan(When::At(words), Fault::Refused("disk full"));
        shop.import(&repository, None).unwrap_err();
        assert_eq!(shop.everything(), before, "{words}");
    }
}

#[test]
fn sources_out_of_git_are_kept_where_nothing_better_is() {
    let mut shop = Shop::new("shop.0001 unkept\nshop.0002 < shop.0001 unkept");
    shop.has_django = false;
    shop.deploy("v2", "shop.0001 shop.0002");
    let repository = FakeRepository::new().commit("v1", V1).commit("v2", V2);
    let import = shop.import(&repository, None).unwrap();
    assert_eq!(import.sources().count(), 2);
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_capsule"), "2");
}
