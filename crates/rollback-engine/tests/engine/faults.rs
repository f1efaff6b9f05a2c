//! Whatever goes wrong, and wherever: the database is at one of both releases, and history knows at which.

use rollback_core::Way;
use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_engine::ports::Database;
use rollback_engine::rollback::RollbackError;
use rollback_engine::session::SessionError;
use rollback_engine::store::StoreError;
use rollback_engine::store::Verification;
use rollback_testing::{Fault, Shop, When};

/// What must fit together: the tables, the rows of `django_migrations`, the releases, and the last line of history.
fn state(shop: &Shop) -> (String, String, String) {
    (shop.tables(), shop.applied(), shop.releases())
}

fn v1() -> (String, String, String) {
    ("shop_0001".to_owned(), "shop.0001".to_owned(), "1111111".to_owned())
}

fn v2() -> (String, String, String) {
    ("shop_0001 shop_0002".to_owned(), "shop.0001 shop.0002".to_owned(), "2222222 1111111".to_owned())
}

/// How many statements a rollback is, from the announcement to the commit.
fn statements_of_a_rollback(shop: &Shop) -> usize {
    let mut counted = shop.copy();
    let prepared = counted.prepare("v1").unwrap();
    let begun = counted.database.statements().len();
    counted.execute(&prepared).unwrap();
    counted.database.statements().len() - begun
}

/// Tries a rollback with the fault at its first statement, at its second, and so on to the last.
fn at_every_statement(
    way: Way,
    when: fn(usize) -> When,
    fault: Fault,
    check: impl Fn(&mut Shop, Result<(), EngineError>),
) {
    let mut whole = Shop::with_two_releases();
    whole.ways = vec![way];
    let statements = statements_of_a_rollback(&whole);
    assert!(statements > 20, "{statements}");
    for number in 1..=statements {
        let mut shop = whole.copy();
        let prepared = shop.prepare("v1").unwrap();
        shop.database.plan(when(number), fault);
        let ended = shop.execute(&prepared).map(drop);
        shop.database.behave();
        check(&mut shop, ended);
    }
}

/// A lost connection is settled by history: `done` only if everything was committed.
fn check_lost(shop: &mut Shop, ended: Result<(), EngineError>) {
    let _ = shop.database.reconnect();
    shop.settle().unwrap();
    let history = shop.history();
    let last = history.rsplit(", ").next().unwrap_or_default();
    match ended {
        Ok(()) => assert_eq!((state(shop), last), (v1(), "rollback done"), "{history}"),
        Err(EngineError::Rollback(RollbackError::ConnectionLost { .. })) => {
            assert_eq!((state(shop), last), (v2(), "rollback failed"), "{history}");
        }
        // Before the announcement was committed nothing has begun.
        Err(EngineError::Case(CaseError::Store(StoreError::Session(SessionError::Database { .. })))) => {
            assert_eq!(state(shop), v2(), "{history}");
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_connection_that_is_lost_before_any_statement() {
    at_every_statement(Way::Sql, When::Before, Fault::Lost, check_lost);
}

#[test]
fn a_connection_that_is_lost_after_any_statement() {
    at_every_statement(Way::Sql, When::After, Fault::Lost, check_lost);
}

#[test]
fn a_connection_that_is_lost_while_the_project_is_at_work() {
    at_every_statement(Way::Disk, When::Before, Fault::Lost, check_lost);
    at_every_statement(Way::Disk, When::After, Fault::Lost, check_lost);
}

#[test]
fn a_statement_that_is_refused_takes_everything_back() {
    at_every_statement(Way::Sql, When::Before, Fault::Refused("disk full"), |shop, ended| {
        let refused = ended.map_err(|error| error.to_string());
        assert!(matches!(&refused, Err(said) if said.contains("disk full")), "{refused:?}");
        assert_eq!(state(shop), v2());
        assert!(!shop.history().contains("rollback done"));
        shop.roll_back("v1").unwrap();
        assert_eq!(state(shop), v1());
    });
}

#[test]
fn a_busy_statement_is_tried_again_wherever_it_is() {
    at_every_statement(Way::Sql, When::Before, Fault::Busy, |shop, ended| match ended {
        Ok(()) => assert_eq!(state(shop), v1()),
        // Before the announcement nothing is tried again; who meets the lock itself is refused at once.
        Err(
            EngineError::Case(CaseError::Store(StoreError::Session(SessionError::Database { .. })))
            | EngineError::Case(CaseError::Store(StoreError::Session(SessionError::Locked { .. }))),
        ) => {
            assert_eq!(state(shop), v2());
            assert_eq!(shop.history(), "save done, save done");
        }
        Err(other) => panic!("{other}"),
    });
}

#[test]
fn a_signal_at_any_statement_takes_everything_back() {
    at_every_statement(Way::Sql, When::Before, Fault::Signal(2), |shop, ended| {
        let refused = ended.unwrap_err();
        assert_eq!((refused.signal(), state(shop)), (Some(2), v2()), "{refused}");
        shop.settle().unwrap();
        assert!(!shop.history().contains("running"));
    });
}

#[test]
fn a_connection_that_is_lost_right_after_the_commit_is_a_success() {
    let mut shop = Shop::with_two_releases();
    let last = statements_of_a_rollback(&shop);
    let prepared = shop.prepare("v1").unwrap();
    shop.database.plan(When::After(last), Fault::Lost);
    shop.database.stay_away_for(3);
    let done = shop.execute(&prepared).unwrap();
    assert_eq!(done.verified, Verification::Same);
    assert!(done.notes[0].starts_with("the connection was lost at the end"), "{:?}", done.notes);
    assert_eq!((shop.seen.pauses.0, state(&shop)), (3, v1()));
}

#[test]
fn a_server_that_stays_away_leaves_it_open_and_the_next_command_settles() {
    let mut shop = Shop::with_two_releases();
    let prepared = shop.prepare("v1").unwrap();
    shop.database.plan(When::At("DROP TABLE"), Fault::Lost);
    shop.database.stay_away_for(2);
    shop.seen.signal_at_pause = Some((1, 15));
    assert!(matches!(shop.execute(&prepared), Err(EngineError::Rollback(RollbackError::Unknown { .. }))));
    shop.database.reconnect().unwrap_err();
    shop.database.reconnect().unwrap();
    assert_eq!(shop.history(), "save done, save done, rollback running");
    assert_eq!(shop.settle().unwrap().len(), 1);
    assert_eq!((shop.history().as_str(), state(&shop)), ("save done, save done, rollback interrupted", v2()));
}

/// A server that took over without our commit may have given the number of our operation to another one.
#[test]
fn an_operation_of_somebody_else_is_not_taken_for_ours() {
    let mut shop = Shop::with_two_releases();
    let prepared = shop.prepare("v1").unwrap();
    shop.database.plan(When::At("DROP TABLE"), Fault::Lost);
    shop.sql(
        "CREATE TRIGGER taken AFTER INSERT ON django_rollback_operation BEGIN UPDATE django_rollback_operation SET \
         outcome = 'done', body = json_set(body, '$.token', 'of another', '$.outcome', 'done') WHERE id = NEW.id; END",
    );
    assert!(matches!(
        shop.execute(&prepared),
        Err(EngineError::Rollback(RollbackError::ConnectionLost { .. }))
    ));
    assert_eq!(state(&shop), v2());
}
