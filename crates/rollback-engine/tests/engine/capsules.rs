//! What is kept is used only if it is what was put there.

use rollback_core::Warning;
use rollback_testing::Shop;

/// What the plan says of `shop.0002`, whose file is not here.
fn plan(shop: &mut Shop) -> String {
    shop.project.remove("shop.0002");
    shop.plan("v1")
}

#[test]
fn what_is_signed_is_used() {
    assert_eq!(plan(&mut Shop::with_two_releases()), "sql shop.0002");
}

#[test]
fn a_capsule_without_a_signature_is_not_used() {
    let mut shop = Shop::with_two_releases();
    shop.sql("UPDATE django_rollback_capsule SET signature = NULL, key_id = NULL WHERE name = '0002'");
    assert!(plan(&mut shop).contains("it is not signed"));
}

#[test]
fn a_capsule_that_was_altered_is_not_used() {
    let mut shop = Shop::with_two_releases();
    shop.sql("UPDATE django_rollback_capsule SET body = replace(body, 'CreateModel', 'DeleteModel') WHERE name = '0002'");
    assert!(!plan(&mut shop).starts_with("sql"));
}

#[test]
fn a_capsule_that_was_moved_to_another_migration_is_not_used() {
    let mut shop = Shop::with_two_releases();
    shop.sql("DELETE FROM django_rollback_capsule WHERE name = '0002'");
    shop.sql("UPDATE django_rollback_capsule SET name = '0002' WHERE name = '0001'");
    assert!(!plan(&mut shop).starts_with("sql"));
}

#[test]
fn a_capsule_of_another_database_is_not_used() {
    let mut shop = Shop::with_two_releases();
    shop.sql("UPDATE django_rollback_identity SET database = 'of another'");
    assert!(!plan(&mut shop).starts_with("sql"), "{}", plan(&mut shop));
}

#[test]
fn a_code_that_does_not_fit_is_not_used() {
    let mut shop = Shop::with_two_releases();
    let zeros = "0".repeat(64);
    shop.sql(&format!("UPDATE django_rollback_capsule SET signature = '{zeros}' WHERE name = '0002'"));
    assert!(plan(&mut shop).contains("its signature does not fit"));
}

#[test]
fn another_secret_verifies_nothing() {
    let mut shop = Shop::with_two_releases();
    shop.secrets = vec!["another".to_owned()];
    assert!(plan(&mut shop).contains("signed with a key that is not available"), "{}", plan(&mut shop));
}

#[test]
fn without_a_key_nothing_that_is_kept_is_run() {
    let mut shop = Shop::with_two_releases();
    shop.secrets.clear();
    assert!(plan(&mut shop).contains("no key"), "{}", plan(&mut shop));
}

/// Properly signed, but older than what the release was saved with: the list of the release tells.
#[test]
fn an_older_capsule_does_not_take_the_place_of_a_newer_one() {
    let mut shop = Shop::with_two_releases();
    let older = shop.ask("SELECT digest FROM django_rollback_capsule WHERE name = '0002'");
    // The same migration is recorded anew with other SQL, and the release is saved with that.
    let mut other = Shop::new("shop.0001\nshop.0002 < shop.0001 adds shop_0001.price");
    other.database = shop.database.clone();
    other.keep("shop.0002").unwrap();
    shop.save("v2").unwrap();
    shop.sql(&format!("DELETE FROM django_rollback_capsule WHERE name = '0002' AND digest <> '{older}'"));
    assert!(plan(&mut shop).contains("is missing"), "{}", plan(&mut shop));
}

#[test]
fn a_list_with_a_wrong_signature_is_believed_in_nothing() {
    let mut shop = Shop::with_two_releases();
    let zeros = "0".repeat(64);
    shop.sql(&format!("UPDATE django_rollback_appsstate SET signature = '{zeros}' WHERE id = 2"));
    assert!(!plan(&mut shop).starts_with("sql"), "{}", plan(&mut shop));
}

#[test]
fn a_release_that_was_saved_without_a_key_is_told() {
    let mut shop = Shop::with_two_releases();
    shop.sql(
        "UPDATE django_rollback_appsstate SET signature = NULL, key_id = NULL, manifest = NULL WHERE id = 2",
    );
    let warnings = shop.prepare("v1").unwrap().plan.warnings;
    assert!(warnings.iter().any(|warning| matches!(warning, Warning::Unlisted { .. })), "{warnings:?}");
}

/// Each text is whole in itself, but stands under the hash of another one.
#[test]
fn an_archived_text_that_does_not_fit_its_hash_is_not_used() {
    let mut shop = Shop::with_two_releases();
    let recording = |name: &str| {
        shop.ask(&format!(
            "SELECT json_extract(body, '$.reverse.recorded.hash') FROM django_rollback_capsule WHERE name = '{name}'"
        ))
    };
    let (first, second) = (recording("0001"), recording("0002"));
    let body = format!("(SELECT body FROM django_rollback_archive WHERE hash = '{first}')");
    shop.sql(&format!("UPDATE django_rollback_archive SET body = {body} WHERE hash = '{second}'"));
    assert!(plan(&mut shop).contains("its recorded SQL"), "{}", plan(&mut shop));
}

#[test]
fn names_that_no_migration_can_have_are_ignored() {
    let mut shop = Shop::with_two_releases();
    shop.sql(
        "INSERT INTO django_rollback_capsule (app, name, digest, format, body, at) \
         VALUES ('../evil', '0001', 'ff', 2, '{}', '2026-01-01')",
    );
    assert_eq!(plan(&mut shop), "sql shop.0002");
}

#[test]
fn sql_that_no_transaction_takes_is_not_recorded() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 vacuums");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    assert_eq!(shop.plan("v1"), "disk shop.0002");
    shop.ways = vec![rollback_core::Way::Sql];
    assert!(shop.plan("v1").contains("VACUUM"), "{}", shop.plan("v1"));
}
