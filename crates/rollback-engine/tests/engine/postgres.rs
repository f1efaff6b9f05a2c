//! What the engine says to PostgreSQL, and in which order: SQLite stands behind it, so the words are what is tested.

use rollback_engine::cases::CaseError;
use rollback_engine::rollback::RollbackError;
use std::time::Duration;

use rollback_core::{Blocker, Way};
use rollback_engine::EngineError;
use rollback_testing::{Fault, Shop, When};

fn shop() -> Shop {
    let mut shop = Shop::on_postgres("shop.0001\nshop.0002 < shop.0001");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    shop
}

fn in_segments() -> Shop {
    let mut shop =
        Shop::on_postgres("shop.0001\nshop.0002 < shop.0001\nshop.0003 < shop.0002 nonatomic code");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002 shop.0003");
    shop.ways = vec![Way::Disk];
    shop
}

/// What is said while `work` runs: of each statement the words that tell which it is; reading and bookkeeping left out.
fn said(shop: &mut Shop, work: impl FnOnce(&mut Shop)) -> Vec<&'static str> {
    const KNOWN: &[&str] = &[
        "SHOW transaction_isolation",
        "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "set_config('lock_timeout', $1, true), set_config('application_name', $2, true)",
        "set_config('lock_timeout', $1, false)",
        "RESET lock_timeout",
        "set_config('idle_in_transaction_session_timeout', $1, true)",
        "WHERE id = 1 FOR UPDATE NOWAIT",
        "LOCK TABLE django_migrations IN SHARE ROW EXCLUSIVE MODE",
        "LOCK TABLE \"shop_0002\" IN ACCESS EXCLUSIVE MODE",
        "DROP TABLE \"shop_0002\"",
        "DELETE FROM django_migrations",
        "WITH spaces AS",
        "BEGIN",
        "COMMIT",
    ];
    let begun = shop.database.statements().len();
    work(shop);
    let statements = shop.database.statements();
    statements[begun..]
        .iter()
        .filter_map(|sql| KNOWN.iter().copied().find(|known| sql.contains(known)))
        .collect()
}

/// How every transaction under the lock begins.
const LOCKED: [&str; 5] = [
    "BEGIN",
    "SHOW transaction_isolation",
    "set_config('lock_timeout', $1, true), set_config('application_name', $2, true)",
    "WHERE id = 1 FOR UPDATE NOWAIT",
    "LOCK TABLE django_migrations IN SHARE ROW EXCLUSIVE MODE",
];

#[test]
fn a_rollback_takes_all_its_locks_before_the_first_step() {
    let mut shop = shop();
    let prepared = shop.prepare("v1").unwrap();
    let said = said(&mut shop, |shop| drop(shop.execute(&prepared).unwrap()));
    let announced = [&LOCKED[..], &["COMMIT"]].concat();
    let done = [
        &LOCKED[..],
        &[
            "LOCK TABLE \"shop_0002\" IN ACCESS EXCLUSIVE MODE",
            "DROP TABLE \"shop_0002\"",
            "DELETE FROM django_migrations",
            "WITH spaces AS",
            "COMMIT",
        ],
    ]
    .concat();
    assert_eq!(said, [announced, done].concat());
}

#[test]
fn what_is_read_under_the_lock_is_not_older_than_the_lock() {
    let mut shop = shop();
    let prepared = shop.prepare("v1").unwrap();
    shop.database.memory().server(|server| server.isolation = "repeatable read".to_owned());
    let said = said(&mut shop, |shop| drop(shop.execute(&prepared).unwrap()));
    let levels = said.iter().filter(|words| words.starts_with("SET TRANSACTION")).count();
    assert_eq!((levels, said[2]), (2, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"));
}

#[test]
fn nothing_is_set_for_longer_than_a_transaction() {
    let mut shop = shop();
    shop.roll_back("v1").unwrap();
    for sql in shop.database.statements().iter().filter(|sql| sql.contains("set_config")) {
        assert!(!sql.contains("false"), "{sql}");
    }
}

#[test]
fn whoever_holds_the_row_is_named() {
    let mut shop = shop();
    let prepared = shop.prepare("v1").unwrap();
    shop.database.memory().server(|server| server.row_is_held = true);
    let refused = shop.execute(&prepared).unwrap_err().to_string();
    assert!(refused.ends_with("save by deploy@web-2, since 2026-01-01T00:00:00Z (pid 4711)"), "{refused}");
}

#[test]
fn sessions_in_the_way_are_named_without_the_values_in_their_queries() {
    let mut shop = shop();
    shop.wait = Duration::from_millis(10);
    shop.database.plan(When::Always("ACCESS EXCLUSIVE"), Fault::Busy);
    let refused = shop.roll_back("v1").unwrap_err();
    assert!(
        matches!(&refused, EngineError::Rollback(RollbackError::Waited { sessions, .. }) if sessions[0].pid == 4712),
        "{refused}"
    );
    assert!(refused.to_string().contains("user report") && !refused.to_string().contains("Ada"), "{refused}");
    assert_eq!(shop.tables(), "shop_0001 shop_0002");
}

#[test]
fn in_segments_a_session_of_its_own_holds_the_row() {
    let mut shop = in_segments();
    let prepared = shop.prepare("v1").unwrap();
    let said = said(&mut shop, |shop| drop(shop.execute(&prepared).unwrap()));
    let rows = said.iter().filter(|words| words.ends_with("FOR UPDATE NOWAIT")).count();
    let records = said.iter().filter(|words| words.starts_with("LOCK TABLE django_migrations")).count();
    assert_eq!((rows, said[3]), (1, "WHERE id = 1 FOR UPDATE NOWAIT"));
    assert!(records > 3, "{said:?}");
}

/// There is no transaction to set it for: it is set for the session, and set back.
#[test]
fn a_step_outside_a_transaction_waits_no_longer_either() {
    let mut shop = in_segments();
    let said = said(&mut shop, |shop| drop(shop.roll_back("v1").unwrap()));
    let set = said.iter().position(|words| *words == "set_config('lock_timeout', $1, false)").unwrap();
    assert_eq!(said[set + 1], "RESET lock_timeout");
}

#[test]
fn code_of_the_project_may_be_silent_for_as_long_as_it_likes() {
    let mut shop = Shop::on_postgres("shop.0001\nshop.0002 < shop.0001 code");
    shop.deploy("v1", "shop.0001");
    shop.deploy("v2", "shop.0002");
    let said = said(&mut shop, |shop| drop(shop.roll_back("v1").unwrap()));
    let silence = said.iter().filter(|words| words.starts_with("set_config('idle_in_transaction")).count();
    assert_eq!(silence, 2);
}

#[test]
fn a_replica_blocks_before_anything_is_locked() {
    let mut shop = shop();
    shop.database.memory().server(|server| server.read_only = Some("it is a replica".to_owned()));
    let blockers = shop.prepare("v1").unwrap().plan.blockers;
    assert!(
        matches!(&blockers[..], [Blocker::ReadOnly { reason }] if reason == "it is a replica"),
        "{blockers:?}"
    );
}

#[test]
fn a_migrate_holds_the_row_in_a_session_of_its_own() {
    let mut shop = shop();
    let said = said(&mut shop, |shop| drop(shop.migrate("-shop.0002").0.unwrap()));
    assert_eq!(said[..4], LOCKED[..4]);
    shop.database.memory().server(|server| server.row_is_held = true);
    shop.seen.signal_at_pause = Some((1, 15));
    let (refused, waited_for) = shop.migrate("-shop.0002");
    assert!(matches!(refused.map(drop), Err(EngineError::Case(CaseError::Interrupted { signal: 15 }))));
    assert_eq!(waited_for, ["save by deploy@web-2, since 2026-01-01T00:00:00Z (pid 4711)"]);
}

#[test]
fn a_save_locks_and_writes_in_one_transaction() {
    let mut shop = shop();
    let said = said(&mut shop, |shop| drop(shop.save("v3").unwrap()));
    assert_eq!(said, [&LOCKED[..], &["WITH spaces AS", "COMMIT"]].concat());
}
