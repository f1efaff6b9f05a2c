//! Making the plan: what is kept is counted on only when it can be used.

use rollback_core::{Blocker, Warning, Way};
use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_testing::{Shop, ids};

#[test]
fn children_come_first() {
    let mut shop = Shop::new(
        "shop.0001
         shop.0002 < shop.0001
         blog.0001 < shop.0002
         shop.0003 < shop.0002 blog.0001",
    );
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002 blog.0001 shop.0003");
    assert_eq!(shop.plan("v1"), "sql shop.0003, sql blog.0001, sql shop.0002");
}

#[test]
fn both_doors_see_the_same_plan_of_recorded_sql() {
    let mut shop = Shop::with_two_releases();
    let here = shop.prepare("v1").unwrap();
    shop.has_django = false;
    let there = shop.prepare("v1").unwrap();
    assert_eq!((here.plan.steps, here.losses), (there.plan.steps, there.losses));
}

#[test]
fn files_are_not_loaded_where_recorded_sql_does_everything() {
    let mut shop = Shop::with_two_releases();
    let before = shop.project.calls().len();
    shop.plan("v1");
    assert_eq!(shop.project.calls()[before..], Vec::<String>::new());
}

#[test]
fn what_was_not_recorded_is_undone_by_its_file_or_its_source() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unrecorded");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    assert_eq!(shop.plan("v1"), "disk shop.0002");
    shop.project.remove("shop.0002");
    assert_eq!(shop.plan("v1"), "capsule shop.0002");
}

#[test]
fn without_django_the_plan_says_why_it_needs_it() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unrecorded");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.has_django = false;
    let prepared = shop.prepare("v1").unwrap();
    let why = prepared.needs_python().unwrap();
    assert_eq!((&why[0].0, why[0].1.as_str()), (&ids("shop.0002")[0], "its SQL was not recorded"));
}

#[test]
fn what_is_nowhere_blocks_and_the_release_that_has_it_is_named() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unkept");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.project.remove("shop.0002");
    let blockers = shop.prepare("v1").unwrap().plan.blockers;
    assert!(
        matches!(&blockers[..], [Blocker::MissingFile { migration, release: Some(release), .. }]
            if *migration == ids("shop.0002")[0] && release == "2222222 (v2)"),
        "{blockers:?}"
    );
}

#[test]
fn what_cannot_be_undone_blocks() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unrecorded irreversible RunSQL");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    let blockers = shop.prepare("v1").unwrap().plan.blockers;
    assert!(matches!(&blockers[..], [Blocker::Irreversible { .. }]), "{blockers:?}");
}

#[test]
fn damaged_recorded_sql_is_not_passed_over_in_silence() {
    let mut shop = Shop::with_two_releases();
    let recording = "(SELECT json_extract(body, '$.reverse.recorded.hash') FROM django_rollback_capsule WHERE name = '0002')";
    shop.sql(&format!("UPDATE django_rollback_archive SET body = 'eA==' WHERE hash = {recording}"));
    assert!(shop.plan("v1").contains("its content does not match its hash"), "{}", shop.plan("v1"));
    shop.ways = vec![Way::Disk];
    assert_eq!(shop.plan("v1"), "disk shop.0002");
}

#[test]
fn a_source_that_cannot_be_loaded_blocks_with_the_reason() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unrecorded");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.project.remove("shop.0002");
    shop.project.refuse_source("shop.0002", "it imports shop.fields, which is not here");
    assert!(shop.plan("v1").contains("it imports shop.fields, which is not here"), "{}", shop.plan("v1"));
}

#[test]
fn one_way_only_is_that_way_or_none() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unrecorded");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.ways = vec![Way::Sql];
    let blockers = shop.prepare("v1").unwrap().plan.blockers;
    assert!(matches!(&blockers[..], [Blocker::NotThatWay { .. }]), "{blockers:?}");
    shop.ways = vec![Way::Capsule];
    assert_eq!(shop.plan("v1"), "capsule shop.0002");
}

/// Recorded SQL is used only where its result will be checked.
#[test]
fn without_the_check_of_the_result_the_file_is_preferred() {
    let mut shop = Shop::with_two_releases();
    shop.verify = false;
    assert_eq!(shop.plan("v1"), "disk shop.0002");
    shop.project.remove("shop.0001 shop.0002");
    shop.ways = vec![Way::Sql, Way::Disk];
    assert_eq!(shop.plan("v1"), "sql shop.0002");
}

#[test]
fn migrations_that_were_never_saved_are_undone_and_told() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001");
    shop.deploy("v1", "shop.0001");
    shop.apply("shop.0002");
    let plan = shop.prepare("v1").unwrap().plan;
    assert_eq!(plan.steps.len(), 1);
    assert!(
        matches!(&plan.warnings[..], [Warning::NotSaved { migrations, .. }] if *migrations == ids("shop.0002"))
    );
}

#[test]
fn a_squash_is_exchanged_for_what_it_replaces() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001\nshop.0003 < shop.0002");
    shop.deploy("v1", "shop.0001 shop.0002");
    shop.deploy("v2", "shop.0003");
    let mut squashed = Shop::new(
        "shop.0001
         shop.0002 < shop.0001
         shop.0001_squashed replaces shop.0001 shop.0002 nothing
         shop.0003 < shop.0001_squashed",
    );
    squashed.deploy("v1", "shop.0001 shop.0002");
    squashed.mark("shop.0001_squashed");
    squashed.deploy("v2", "shop.0003");
    assert!(squashed.plan("v1").starts_with("sql shop.0003"), "{}", squashed.plan("v1"));
    squashed.roll_back("v1").unwrap();
    assert_eq!(
        (squashed.tables().as_str(), shop.plan("v1").as_str()),
        ("shop_0001 shop_0002", "sql shop.0003")
    );
}

#[test]
fn a_plan_may_have_to_be_rehearsed_first() {
    let mut shop = Shop::with_two_releases();
    shop.require_rehearsal = true;
    let blockers = shop.prepare("v1").unwrap().plan.blockers;
    assert!(matches!(&blockers[..], [Blocker::NotRehearsed { .. }]), "{blockers:?}");
    shop.rehearse("v1").unwrap_err();
    shop.require_rehearsal = false;
    shop.rehearse("v1").unwrap();
    shop.require_rehearsal = true;
    shop.roll_back("v1").unwrap();
}

#[test]
fn a_project_that_cannot_be_loaded_is_an_error() {
    let mut shop = Shop::with_two_releases();
    shop.ways = vec![Way::Disk];
    shop.project.break_loading("SyntaxError: invalid syntax");
    let refused = shop.prepare("v1").unwrap_err();
    assert_eq!(refused, EngineError::Case(CaseError::Project("SyntaxError: invalid syntax".to_owned())));
}

#[test]
fn a_plan_is_the_same_for_whoever_sees_the_same_database() {
    let mut shop = Shop::with_two_releases();
    let print = shop.prepare("v1").unwrap().fingerprint();
    assert_eq!(shop.copy().prepare("v1").unwrap().fingerprint(), print);
    shop.mark("blog.0001");
    assert_ne!(shop.prepare("v1").unwrap().fingerprint(), print);
}
