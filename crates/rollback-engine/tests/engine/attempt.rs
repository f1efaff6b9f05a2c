//! A request goes in, an outcome comes out: which way, who carries it out, what may be lost, what is tried next.

use rollback_core::Way;
use rollback_engine::EngineError;
use rollback_engine::rollback::{Consent, Outcome, RollbackError};
use rollback_testing::{Shop, Wanted};

/// Two rows would be lost on the way back.
fn with_rows() -> Shop {
    let shop = Shop::with_two_releases();
    shop.sql("INSERT INTO shop_0002 (id) VALUES (1), (2)");
    shop
}

/// `shop.0002` was recorded with SQL that fails.
fn with_wrong_sql() -> Shop {
    let mut shop = Shop::with_two_releases();
    let mut wrong = Shop::new("shop.0002 adds shop_0001.price");
    wrong.database = shop.database.clone();
    wrong.keep("shop.0002").unwrap();
    shop.save("v2").unwrap();
    shop
}

fn asks(answer: Result<bool, i32>) -> Wanted {
    Wanted { consent: Consent::Ask, answer, ..Wanted::default() }
}

#[test]
fn an_attempt_tells_the_plan_first_and_then_goes_back() {
    let mut shop = Shop::with_two_releases();
    let outcome = shop.attempt("v1", Wanted::default()).unwrap();
    assert!(matches!(outcome, Outcome::Done(_, done) if done.verified.as_str() == "same"));
    assert_eq!(shop.seen.events, ["plan of 1", "begins shop.0002", "ends shop.0002"]);
    assert_eq!(shop.applied(), "shop.0001");
}

#[test]
fn a_preview_writes_nothing_and_begins_nothing() {
    let mut shop = Shop::with_two_releases();
    let before = shop.everything();
    let outcome = shop.attempt("v1", Wanted { is_preview: true, ..Wanted::default() }).unwrap();
    assert!(matches!(outcome, Outcome::Preview(prepared) if prepared.plan.steps.len() == 1));
    assert_eq!((shop.everything(), shop.seen.events.len()), (before, 0));
}

#[test]
fn a_blocked_plan_is_an_outcome_and_not_a_beginning() {
    let mut shop = Shop::with_two_releases();
    shop.mark("blog.0001");
    let before = shop.everything();
    let outcome = shop.attempt("v1", asks(Ok(true))).unwrap();
    assert!(matches!(outcome, Outcome::Blocked(prepared) if prepared.plan.blockers.len() == 1));
    assert_eq!((shop.everything(), shop.seen.events.len()), (before, 0));
}

#[test]
fn where_nothing_is_to_do_nobody_is_asked() {
    let mut shop = with_rows();
    assert!(matches!(shop.attempt("v2", asks(Ok(true))), Ok(Outcome::NothingToDo(_))));
    assert_eq!(shop.seen.events, Vec::<String>::new());
}

#[test]
fn a_person_is_asked_only_if_something_would_be_lost() {
    let mut shop = Shop::with_two_releases();
    assert!(matches!(shop.attempt("v1", asks(Ok(false))), Ok(Outcome::Done(..))));
    let mut shop = with_rows();
    assert!(matches!(shop.attempt("v1", asks(Ok(true))), Ok(Outcome::Done(..))));
    assert_eq!(shop.seen.events[..2], ["plan of 1", "asks for 2"]);
}

#[test]
fn whoever_says_no_loses_nothing() {
    let mut shop = with_rows();
    let before = shop.everything();
    assert_eq!(shop.attempt("v1", asks(Ok(false))), Err(RollbackError::Declined));
    let interrupted = shop.attempt("v1", asks(Err(2))).unwrap_err();
    assert_eq!(EngineError::from(interrupted).signal(), Some(2));
    assert_eq!(shop.everything(), before);
}

#[test]
fn a_limit_answers_for_a_person() {
    let at_most = |limit| Wanted { consent: Consent::AtMost(limit), ..Wanted::default() };
    let mut shop = with_rows();
    assert_eq!(shop.attempt("v1", at_most(1)), Err(RollbackError::WouldLoseData { rows: 2, limit: 1 }));
    assert!(matches!(shop.attempt("v1", at_most(2)), Ok(Outcome::Done(..))));
    assert!(!shop.seen.events.iter().any(|event| event.starts_with("asks")));
}

#[test]
fn django_tries_again_where_recorded_sql_fails() {
    let mut shop = with_wrong_sql();
    assert!(matches!(shop.attempt("v1", Wanted::default()), Ok(Outcome::Done(..))));
    let expected = [
        "plan of 1",
        "begins shop.0002",
        "failed shop.0002",
        "retries by Django",
        "plan of 1",
        "begins shop.0002",
        "ends shop.0002",
    ];
    assert_eq!(
        (&shop.seen.events[..], shop.applied().as_str()),
        (&expected.map(str::to_owned)[..], "shop.0001")
    );
    assert_eq!(shop.history(), "save done, save done, rollback failed, rollback done");
}

#[test]
fn a_way_that_was_named_is_the_only_one() {
    let mut shop = with_wrong_sql();
    shop.ways = vec![Way::Sql];
    let refused = shop.attempt("v1", Wanted { has_fixed_way: true, ..Wanted::default() }).unwrap_err();
    assert!(matches!(&refused, RollbackError::Failed { step, .. } if step == "shop.0002"), "{refused}");
    assert_eq!(shop.tables(), "shop_0001 shop_0002");
}

#[test]
fn where_django_cannot_either_the_first_error_stands() {
    let mut shop = with_wrong_sql();
    shop.project.remove("shop.0002");
    shop.ways = vec![Way::Sql, Way::Disk];
    let refused = shop.attempt("v1", Wanted::default()).unwrap_err();
    assert!(refused.to_string().contains("shop.0002"), "{refused}");
    assert!(!shop.seen.events.contains(&"retries by Django".to_owned()));
}

#[test]
fn the_other_door_takes_over_what_only_django_can_do() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unrecorded");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.has_django = false;
    let outcome = shop.attempt("v1", Wanted { has_other_door: true, ..Wanted::default() }).unwrap();
    let Outcome::HandOver(hand_over) = outcome else { panic!("{outcome:?}") };
    assert_eq!(hand_over.token, Some(shop.last_operation("$.token")));
    assert_eq!(
        (shop.history().as_str(), hand_over.without_sql),
        ("save done, save done, hand-over done", false)
    );

    // manage.py sees the same database, and no other.
    let fingerprint = hand_over.prepared.fingerprint();
    shop.has_django = true;
    let copy = shop.copy().take_over("v1", &fingerprint, Some("of another database"));
    assert_eq!(copy, Err(RollbackError::OtherDatabase));
    let other_state = shop.take_over("v1", "another", hand_over.token.as_deref());
    assert_eq!(other_state, Err(RollbackError::OtherDatabase));
    let done = shop.take_over("v1", &fingerprint, hand_over.token.as_deref());
    assert!(matches!(done, Ok(Outcome::Done(..))), "{done:?}");
}

#[test]
fn a_preview_is_handed_over_without_a_line_in_history() {
    let mut shop = Shop::new("shop.0001\nshop.0002 < shop.0001 unrecorded");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop.has_django = false;
    let wanted = Wanted { has_other_door: true, is_preview: true, ..Wanted::default() };
    let outcome = shop.attempt("v1", wanted).unwrap();
    assert!(matches!(outcome, Outcome::HandOver(hand_over) if hand_over.token.is_none()));
    assert_eq!(shop.history(), "save done, save done");
}

#[test]
fn recorded_sql_that_fails_in_the_binary_is_handed_over_without_it() {
    let mut shop = with_wrong_sql();
    shop.has_django = false;
    let outcome = shop.attempt("v1", Wanted { has_other_door: true, ..Wanted::default() }).unwrap();
    assert!(matches!(&outcome, Outcome::HandOver(hand_over) if hand_over.without_sql), "{outcome:?}");
    assert_eq!(shop.tables(), "shop_0001 shop_0002");
}
