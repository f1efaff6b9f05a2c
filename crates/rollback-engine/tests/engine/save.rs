//! Saving a release.

use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_engine::cases::save::SaveOutcome;
use rollback_engine::store::StoreError;
use rollback_testing::{Fault, Shop, When, commit_of, ids};

fn shop() -> Shop {
    Shop::new("shop.0001\nshop.0002 < shop.0001")
}

#[test]
fn the_first_save_makes_a_release_with_its_set_schema_and_history() {
    let mut shop = shop();
    shop.apply("shop.0001");
    let saved = shop.save("v1").unwrap();
    assert_eq!((saved.outcome, saved.previous), (SaveOutcome::Created, None));
    assert!(saved.applied.contains(&ids("shop.0001")[0]));
    assert_eq!(saved.release.label(), "1111111 (v1)");
    assert_eq!((shop.releases().as_str(), shop.history().as_str()), ("1111111", "save done"));
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_schema"), "1");
    assert_eq!(shop.ask("SELECT size FROM django_rollback_appliedset"), "5");
    assert_eq!(shop.last_operation("$.to"), commit_of("v1").to_string());
    assert_eq!(shop.last_operation("$.user"), "deploy");
}

#[test]
fn saving_the_same_again_writes_nothing() {
    let mut shop = Shop::with_two_releases();
    let before = shop.everything();
    assert_eq!(shop.save("v2").unwrap().outcome, SaveOutcome::Unchanged);
    assert_eq!(shop.everything(), before);
    assert!(!shop.database.statements().iter().rev().take(5).any(|sql| sql == "BEGIN"));
}

#[test]
fn saving_after_more_migrations_updates_the_release() {
    let mut shop = shop();
    shop.deploy("v1", "shop.0001");
    shop.apply("shop.0002");
    let added = ids("shop.0002");
    let outcome = shop.save("v1").unwrap().outcome;
    assert_eq!(outcome, SaveOutcome::Updated { added, removed: Vec::new(), tags: Vec::new() });
    assert_eq!((shop.releases().as_str(), shop.history().as_str()), ("1111111", "save done, save done"));
    assert!(shop.status().unwrap().is_same());
}

#[test]
fn a_migration_that_was_undone_since_is_named() {
    let mut shop = Shop::with_two_releases();
    shop.sql("DELETE FROM django_migrations WHERE app = 'shop' AND name = '0002'");
    let removed = ids("shop.0002");
    let outcome = shop.save("v2").unwrap().outcome;
    assert_eq!(outcome, SaveOutcome::Updated { added: Vec::new(), removed, tags: Vec::new() });
}

#[test]
fn a_new_tag_is_added_to_those_of_the_release() {
    let mut shop = Shop::with_two_releases();
    let tags = vec!["stable".to_owned()];
    let saved = shop.save_commit(&commit_of("v2"), &tags).unwrap();
    let nothing = Vec::new();
    assert_eq!(saved.outcome, SaveOutcome::Updated { added: nothing.clone(), removed: nothing, tags });
    assert_eq!(saved.release.tags, ["stable", "v2"]);
}

#[test]
fn an_older_release_is_not_saved_again() {
    let mut shop = Shop::with_two_releases();
    let before = shop.everything();
    let outcome = shop.save("v1").unwrap().outcome;
    assert!(
        matches!(outcome, SaveOutcome::NotNewest { newest, same_set: false } if newest.label() == "2222222 (v2)")
    );
    assert_eq!(shop.everything(), before);
}

#[test]
fn an_older_release_with_the_same_migrations_is_told_apart() {
    let mut shop = shop();
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "");
    assert!(matches!(shop.save("v1").unwrap().outcome, SaveOutcome::NotNewest { same_set: true, .. }));
}

#[test]
fn deploys_without_new_migrations_share_a_set_and_a_schema() {
    let mut shop = Shop::with_two_releases();
    shop.deploy("v3", "");
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_appliedset"), "2");
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_schema"), "2");
    assert_eq!(shop.releases(), "3333333 2222222 1111111");
}

#[test]
fn a_damaged_set_is_replaced() {
    for sql in ["UPDATE django_rollback_appliedset SET body = ''", "DELETE FROM django_rollback_appliedset"] {
        let mut shop = Shop::with_two_releases();
        shop.sql(sql);
        assert!(matches!(shop.save("v2").unwrap().outcome, SaveOutcome::Updated { .. }), "{sql}");
        assert!(shop.show("v2").is_ok(), "{sql}");
    }
}

/// A deploy of code only stores no new set: the one that it shares is made whole.
#[test]
fn a_new_release_does_not_share_a_damaged_set() {
    let mut shop = Shop::with_two_releases();
    shop.sql("UPDATE django_rollback_appliedset SET body = ''");
    shop.save("v3").unwrap();
    assert!(shop.show("v3").is_ok() && shop.show("v2").is_ok());
}

#[test]
fn a_set_of_a_newer_version_is_never_replaced() {
    let mut shop = Shop::with_two_releases();
    let body = "{\"format\":2}";
    let hash = rollback_core::stored::hash(body);
    shop.sql(&format!("INSERT INTO django_rollback_appliedset VALUES ('{hash}', 1, '{body}')"));
    shop.sql(&format!("UPDATE django_rollback_appsstate SET applied_set = '{hash}' WHERE id = 2"));
    let before = shop.everything();
    assert!(matches!(
        shop.save("v2"),
        Err(EngineError::Case(CaseError::Store(StoreError::StoredSet { .. })))
    ));
    assert_eq!(shop.everything(), before);
}

#[test]
fn what_undoes_each_migration_is_kept_and_listed() {
    let shop = Shop::with_two_releases();
    assert_eq!(shop.ask("SELECT app || '.' || name FROM django_rollback_capsule"), "shop.0001 shop.0002");
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_capsule WHERE signature IS NULL"), "0");
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_appsstate WHERE signature IS NULL"), "0");
    assert_eq!(shop.ask("SELECT length(database) FROM django_rollback_identity"), "32");
}

#[test]
fn without_a_key_nothing_is_signed_and_a_later_save_signs() {
    let mut shop = shop();
    shop.secrets.clear();
    shop.deploy("v1", "shop.0001");
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_capsule WHERE signature IS NULL"), "1");
    shop.secrets.push("secret".to_owned());
    shop.save("v1").unwrap();
    // An unsigned capsule stays unsigned: nobody can vouch for it any more.
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_appsstate WHERE signature IS NOT NULL"), "1");
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_capsule WHERE signature IS NULL"), "1");
}

#[test]
fn a_new_secret_signs_again_what_the_older_one_vouches_for() {
    let mut shop = Shop::with_two_releases();
    let keys = "SELECT DISTINCT key_id FROM django_rollback_capsule";
    let before = shop.ask(keys);
    shop.secrets.insert(0, "newer".to_owned());
    shop.save("v2").unwrap();
    assert_ne!(shop.ask(keys), before);
    shop.secrets.truncate(1);
    assert_eq!(shop.plan("v1"), "sql shop.0002");
}

/// The binary cannot read migration files: `manage.py` keeps what is in them, and calls the release unchanged.
#[test]
fn the_first_save_through_django_only_adds_what_it_knows() {
    let mut shop = shop();
    shop.has_django = false;
    shop.deploy("v1", "shop.0001");
    shop.has_django = true;
    assert_eq!(shop.save("v1").unwrap().outcome, SaveOutcome::Unchanged);
    assert_eq!(shop.ask("SELECT app || '.' || name FROM django_rollback_capsule"), "shop.0001");
    assert_eq!((shop.releases().as_str(), shop.history().as_str()), ("1111111", "save done"));
    let everything = shop.everything();
    shop.save("v1").unwrap();
    assert_eq!(shop.everything(), everything);
}

#[test]
fn a_release_that_left_the_list_can_be_saved_anew() {
    let mut shop = Shop::with_two_releases();
    shop.roll_back("v1").unwrap();
    shop.apply("shop.0002");
    assert_eq!(shop.save("v2").unwrap().outcome, SaveOutcome::Created);
    assert_eq!(shop.releases(), "2222222 1111111");
}

#[test]
fn the_binary_saves_without_asking_for_files() {
    let mut shop = shop();
    shop.has_django = false;
    shop.deploy("v1", "shop.0001");
    assert_eq!(shop.project.calls(), Vec::<String>::new());
    assert_eq!(shop.ask("SELECT count(*) FROM django_rollback_capsule"), "0");
}

#[test]
fn a_project_that_cannot_be_loaded_is_an_error_before_the_lock() {
    let mut shop = shop();
    shop.apply("shop.0001");
    shop.project.break_loading("ImportError: no module named blog");
    let before = shop.everything();
    let refused = shop.save("v1").unwrap_err();
    assert_eq!(
        refused,
        EngineError::Case(CaseError::Project("ImportError: no module named blog".to_owned()))
    );
    assert_eq!(shop.everything(), before);
    assert!(!shop.database.statements().contains(&"BEGIN".to_owned()));
}

#[test]
fn a_save_waits_a_moment_for_whoever_has_the_lock() {
    let mut shop = shop();
    shop.apply("shop.0001");
    shop.database.plan(When::At("BEGIN"), Fault::Busy);
    assert_eq!(shop.save("v1").unwrap().outcome, SaveOutcome::Created);
}

#[test]
fn a_connection_that_is_lost_at_the_commit_is_asked_what_came_of_it() {
    for when in [When::At("COMMIT"), When::Behind("COMMIT")] {
        let mut shop = shop();
        shop.apply("shop.0001");
        shop.database.plan(when, Fault::Lost);
        shop.save("v1").unwrap();
        assert_eq!((shop.releases().as_str(), shop.history().as_str()), ("1111111", "save done"), "{when:?}");
    }
}

#[test]
fn a_save_that_fails_anywhere_leaves_everything_as_it_was() {
    let before = {
        let mut shop = shop();
        shop.apply("shop.0001");
        shop
    };
    for number in 1.. {
        let mut shop = before.copy();
        shop.database.plan(When::Before(number), Fault::Refused("disk full"));
        let saved = shop.save("v1");
        if saved.is_ok() {
            assert!(number > 20, "only {number} statements");
            break;
        }
        assert_eq!(shop.everything(), before.everything(), "statement {number}");
    }
}

#[test]
fn our_own_tables_have_to_be_there() {
    let mut shop = shop();
    shop.sql("DELETE FROM django_migrations WHERE name = '0004_capsules'");
    assert!(
        matches!(shop.save("v1"), Err(EngineError::Case(CaseError::Store(StoreError::NotInstalled { migration, .. })))
        if migration.name == "0004_capsules")
    );
    shop.sql("DROP TABLE django_migrations");
    assert!(matches!(
        shop.save("v1"),
        Err(EngineError::Case(CaseError::Store(StoreError::NoMigrationsTable { .. })))
    ));
}

#[test]
fn tables_of_a_newer_version_are_left_alone() {
    let mut shop = Shop::with_two_releases();
    shop.mark("django_rollback.0099_future");
    let before = shop.everything();
    for refused in [shop.save("v3").map(drop), shop.roll_back("").map(drop), shop.settle().map(drop)] {
        match refused {
            Err(EngineError::Case(CaseError::Store(StoreError::NewerTables { migration, .. }))) => {
                assert_eq!(migration.name, "0099_future");
            }
            // `settle` keeps quiet: it is no failure of the command that asks.
            other => assert_eq!(other, Ok(())),
        }
    }
    assert_eq!(shop.everything(), before);
}
