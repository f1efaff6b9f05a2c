//! What commands that died have left behind, and what can be done about a rollback that stopped part-way.

use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_testing::{Fault, Shop, When, commit_of};

/// A line of history that says of itself that it is on its way.
fn left_behind(shop: &Shop, changes: &str) {
    let body = r#"{"format":1,"kind":"rollback","outcome":"running","from":null,"to":null,"tags":[],"from_set":null,"to_set":null,"steps":["shop.0003","shop.0002"],"steps_done":0,"releases_removed":[],"failed_step":null,"user":"deploy","host":"web-2","version":"0.5.0"}"#;
    let to = commit_of("v1");
    shop.sql(&format!(
        "INSERT INTO django_rollback_operation (kind, outcome, body, at) VALUES ('rollback', 'running', \
         json_set('{body}', '$.to', '{to}'{changes}), '2026-01-01')"
    ));
}

#[test]
fn a_rollback_whose_process_died_changed_nothing() {
    let mut shop = Shop::with_two_releases();
    left_behind(&shop, "");
    let settled = shop.settle().unwrap();
    assert_eq!(settled.len(), 1);
    assert_eq!(shop.history(), "save done, save done, rollback interrupted");
    assert_eq!(shop.settle().unwrap(), []);
}

#[test]
fn one_with_permanent_steps_has_stopped_part_way() {
    for changes in [", '$.steps_done', 1", ", '$.step_begun', json('true')"] {
        let mut shop = Shop::with_two_releases();
        left_behind(&shop, changes);
        shop.settle().unwrap();
        assert_eq!(shop.history(), "save done, save done, rollback stopped", "{changes}");
        assert_eq!(shop.unfinished().unwrap().route.to, Some(commit_of("v1")));
    }
}

#[test]
fn one_that_waits_for_others_is_alive() {
    for (until, outcome) in [("9999-01-01T00:00:00Z", "running"), ("2020-01-01T00:00:00Z", "interrupted")] {
        let mut shop = Shop::with_two_releases();
        left_behind(&shop, &format!(", '$.waits_until', '{until}'"));
        shop.settle().unwrap();
        assert_eq!(shop.history(), format!("save done, save done, rollback {outcome}"));
    }
}

#[test]
fn one_that_holds_the_lock_is_alive() {
    let mut shop = Shop::with_two_releases();
    left_behind(&shop, "");
    let held = shop.lock("rollback");
    assert_eq!(shop.settle().unwrap(), []);
    assert_eq!(shop.history(), "save done, save done, rollback running");
    drop(held);
    assert_eq!(shop.settle().unwrap().len(), 1);
}

#[test]
fn several_are_settled_at_once() {
    let mut shop = Shop::with_two_releases();
    left_behind(&shop, "");
    left_behind(&shop, "");
    assert_eq!(shop.settle().unwrap().len(), 2);
    assert!(!shop.history().contains("running"));
}

#[test]
fn settling_never_fails_the_command_that_asks_but_for_a_signal() {
    for (fault, ended) in
        [(Fault::Refused("read-only"), true), (Fault::Busy, true), (Fault::Signal(2), false)]
    {
        let mut shop = Shop::with_two_releases();
        left_behind(&shop, "");
        shop.database.plan(When::At("UPDATE django_rollback_operation"), fault);
        assert_eq!(shop.settle().is_ok(), ended, "{fault:?}");
        assert_eq!(shop.history(), "save done, save done, rollback running");
    }
}

#[test]
fn nothing_is_written_where_nothing_was_left() {
    let mut shop = Shop::with_two_releases();
    let before = shop.everything();
    assert_eq!(shop.settle().unwrap(), []);
    assert_eq!(shop.everything(), before);
}

#[test]
fn there_is_nothing_to_resume_or_to_abort() {
    let mut shop = Shop::with_two_releases();
    assert_eq!(shop.unfinished(), Err(EngineError::Case(CaseError::NothingUnfinished)));
    assert_eq!(shop.abort(), Err(EngineError::Case(CaseError::NothingUnfinished)));
    assert_eq!(shop.history(), "save done, save done");
}

#[test]
fn an_abort_closes_the_rollback_and_leaves_the_database() {
    let mut shop = Shop::with_two_releases();
    left_behind(&shop, ", '$.steps_done', 1");
    shop.settle().unwrap();
    let (applied, releases) = (shop.applied(), shop.releases());
    let closed = shop.abort().unwrap();
    assert_eq!((closed.steps_done, closed.route.steps.len()), (1, 2));
    assert_eq!((shop.applied(), shop.releases()), (applied, releases));
    assert_eq!(shop.history(), "save done, save done, rollback aborted");
    assert_eq!(shop.unfinished(), Err(EngineError::Case(CaseError::NothingUnfinished)));
}

#[test]
fn only_the_last_rollback_can_be_unfinished() {
    let mut shop = Shop::with_two_releases();
    left_behind(&shop, ", '$.steps_done', 1");
    shop.settle().unwrap();
    shop.sql(
        "INSERT INTO django_rollback_operation (kind, outcome, body, at) SELECT kind, 'done', body, at \
         FROM django_rollback_operation WHERE outcome = 'stopped'",
    );
    assert_eq!(shop.unfinished(), Err(EngineError::Case(CaseError::NothingUnfinished)));
}

#[test]
fn nothing_else_goes_on_while_a_rollback_is_part_way() {
    let mut shop = Shop::with_two_releases();
    shop.deploy("v3", "");
    left_behind(&shop, ", '$.steps_done', 1");
    shop.settle().unwrap();
    let open = EngineError::Case(CaseError::Unfinished { to: "1111111".to_owned(), done: 1, total: 2 });
    assert_eq!(shop.save("v3").unwrap_err(), open);
    assert_eq!(shop.roll_back("v2").unwrap_err(), open);
    assert!(shop.roll_back("v1").is_ok());
}
