//! Every sentence that a plan is refused or annotated with.

use crate::effect::Rule;
use crate::schema::{SchemaDifference, SchemaObject, Side};
use crate::testing::{id, ids};
use crate::way::Way;

use super::{Blocker, Unfit, Warning};

fn check_blocker(blocker: &Blocker, message: &str, hint: &str) {
    assert_eq!((blocker.to_string().as_str(), blocker.hint().as_str()), (message, hint));
}

fn check_warning(warning: &Warning, message: &str) {
    assert_eq!(warning.to_string(), message);
}

fn release() -> Option<String> {
    Some("03ec91e (v2)".to_owned())
}

#[test]
fn migrations_that_cannot_be_undone() {
    check_blocker(
        &Blocker::Irreversible { migration: id("a.2"), operation: "RunSQL (operation 1)".to_owned() },
        "a.2 cannot be undone: RunSQL (operation 1) is irreversible",
        "give the operation a reverse in a.2 (`noop` if there is nothing to undo), deploy that file and run the \
         command again; or go back to a release that has a.2",
    );
    let refuses = Blocker::RefusesTransaction {
        migration: id("a.2"),
        operation: "RunSQL (operation 1)".to_owned(),
        statement: "VACUUM A".to_owned(),
    };
    check_blocker(
        &refuses,
        "a.2 cannot be undone in a transaction: RunSQL (operation 1) runs VACUUM A, which the database refuses there",
        "set `atomic = False` in a.2, deploy that file and run the command again: the migration then runs in a \
         segment of its own",
    );
    check_blocker(
        &Blocker::Inconsistent { staying: id("a.2"), undone: id("b.1") },
        "b.1 must be undone, but a.2 stays and depends on it",
        "the release had a.2 without b.1, so the file of a.2 has changed since: compare its dependencies with those \
         at the release",
    );
    check_blocker(
        &Blocker::CannotSplit { squash: id("a.s"), migration: id("a.2") },
        "a.2 must be undone alone, but only the whole squash a.s has a file here",
        "run the command from the image or checkout of a release that still has the files that a.s replaces",
    );
}

#[test]
fn files_that_are_missing() {
    let missing = |reason: Option<&str>, release| Blocker::MissingFile {
        migration: id("a.2"),
        reason: reason.map(str::to_owned),
        release,
    };
    check_blocker(
        &missing(None, None),
        "a.2 must be undone, but its file is missing",
        "run the command from the image or checkout of a release that has a.2, with its app in INSTALLED_APPS",
    );
    check_blocker(
        &missing(Some("it needs shop.fields"), release()),
        "a.2 must be undone, but its file is missing and its archived source cannot be used: it needs shop.fields",
        "run the command from the image or checkout of 03ec91e (v2)",
    );
    let needs_python = Blocker::NeedsPython { migrations: vec![(id("a.2"), "it has no capsule".to_owned())] };
    check_blocker(
        &needs_python,
        "undoing needs the project's code, and no manage.py was found: a.2 (it has no capsule)",
        "run the command in the folder of the project's `manage.py`, name it with `-p`, or run \
         `manage.py rollback_migrations` there",
    );
}

#[test]
fn ways_that_are_not_possible() {
    let not_that_way = |release| Blocker::NotThatWay {
        migration: id("a.2"),
        way: Way::Sql,
        reason: "it has no capsule".to_owned(),
        release,
    };
    let message = "a.2 cannot be undone with `--way sql`: it has no capsule";
    let hint = "allow another way; without `--way`, each step takes the best one";
    check_blocker(&not_that_way(None), message, hint);
    let hint = "allow another way, or run the command from the image or checkout of 03ec91e (v2)";
    check_blocker(&not_that_way(release()), message, hint);
    let untrusted = |has_file| Blocker::Untrusted {
        migration: id("a.2"),
        reason: "it is not signed".to_owned(),
        has_file,
    };
    check_blocker(
        &untrusted(true),
        "the capsule of a.2 cannot be trusted: it is not signed",
        "find out who changed it; `--way disk` uses only the files of the project. If SECRET_KEY was changed, put \
         the old one into SECRET_KEY_FALLBACKS",
    );
    check_blocker(
        &untrusted(false),
        "the capsule of a.2 cannot be trusted: it is not signed",
        "find out who changed it; `--way disk` in the image of a release that has the file uses only that file. If \
         SECRET_KEY was changed, put the old one into SECRET_KEY_FALLBACKS",
    );
}

#[test]
fn releases_that_cannot_be_reached() {
    check_blocker(
        &Blocker::UncertainRelease { reason: "its list of migrations is damaged: EOF".to_owned() },
        "version 0.4.0 saved this release, and which migrations it had is uncertain: its list of migrations is \
         damaged: EOF",
        "go back to a release that a later version saved. Or compare `manage.py showmigrations` with the checkout of \
         this release, undo newer migrations with `manage.py migrate APP NAME`, and save the release again",
    );
    check_blocker(
        &Blocker::NotRehearsed { target: "03ec91e (v2)".to_owned() },
        "this plan for 03ec91e (v2) was never rehearsed",
        "run `manage.py rollback rehearse` with the code of the current release: it works on a scratch copy. Or \
         leave out `--require-rehearsal`",
    );
}

#[test]
fn databases_that_do_not_allow_it() {
    check_blocker(
        &Blocker::ReadOnly { reason: "it is a replica".to_owned() },
        "the database is read-only: it is a replica",
        "connect to the primary, with a role that may write",
    );
    let owned = |table: &str| (table.to_owned(), "ann".to_owned());
    check_blocker(
        &Blocker::NotOwner { role: "bob".to_owned(), tables: vec![owned("a_item"), owned("a_tag")] },
        "the role bob may not alter these tables: a_item (owner: ann), a_tag (owner: ann)",
        "connect as the role that runs `migrate`: it owns the tables",
    );
    let objects = vec!["view cheap".to_owned(), "view dear".to_owned()];
    check_blocker(
        &Blocker::Dependants { table: "a_item".to_owned(), objects },
        "dropping from a_item would also drop view cheap, view dear",
        "no migration created them: drop them yourself first and recreate them afterwards",
    );
    check_blocker(
        &Blocker::TooManyLocks { needed: 40, room: 50 },
        "one transaction would need about 40 locks, more than half of the server's 50",
        "go back one release at a time, or raise max_locks_per_transaction and restart the server",
    );
}

#[test]
fn rows_that_the_older_schema_cannot_hold() {
    let check = |rule: Option<Rule>, rows, finding: &str| {
        let columns = if rule.is_some() { vec!["x".to_owned()] } else { Vec::new() };
        let unfit = Unfit { migration: id("a.2"), table: "a_item".to_owned(), columns, rule, rows };
        let message = format!("{finding}, which the schema before a.2 cannot hold");
        let hint = "change or delete those rows first, or go back to a release that has a.2";
        check_blocker(&Blocker::Unfit(unfit.clone()), &message, hint);
        check_warning(
            &Warning::MayNotFit(unfit),
            &format!("{message}, unless code that runs earlier changes that"),
        );
    };
    check(None, 2, "a_item has 2 rows, and a column comes back that is NOT NULL and has no default");
    check(Some(Rule::NotNull), 1, "1 row of a_item has NULL in x");
    check(Some(Rule::Length { most: 9 }), 2, "2 rows of a_item have a text in x longer than 9 characters");
    let range = Rule::Range { least: 0, greatest: 9 };
    check(Some(range), 1, "1 row of a_item has a number in x outside 0 to 9");
    let digits = Rule::Digits { most: 3, places: 2 };
    check(Some(digits), 1, "1 row of a_item has a number in x with more than 3 digits before the point");
    check(Some(Rule::Unique), 2, "2 rows of a_item share their values with another row in x");
}

#[test]
fn warnings_about_migrations() {
    check_warning(
        &Warning::NotApplied { migrations: ids("a.1") },
        "a.1 of the release is no longer applied; `migrate` with the release's code applies it again",
    );
    check_warning(
        &Warning::NotApplied { migrations: ids("a.1 a.2 a.3 a.4 a.5 a.6 a.7") },
        "a.1, a.2, a.3, a.4, a.5 and 2 more of the release are no longer applied; `migrate` with the release's code \
         applies them again",
    );
    let current = || "03ec91e (v2)".to_owned();
    check_warning(
        &Warning::NotSaved { migrations: ids("a.1 a.2"), current: current() },
        "a.1, a.2 were applied after the current release 03ec91e (v2) was saved",
    );
    check_warning(
        &Warning::OrderUnknown { migrations: ids("a.1") },
        "the dependencies of a.1 are unknown, so the newest is shown first; `manage.py rollback plan` shows the real \
         order",
    );
    let operation = "RunPython fill (operation 1)".to_owned();
    check_warning(
        &Warning::NotAtomic { migration: id("a.2"), operation: operation.clone() },
        "a.2 has `atomic = False`, and its RunPython fill (operation 1) must run outside a transaction: the steps \
         before it are committed first, so a later failure leaves the rollback part-way",
    );
    check_warning(
        &Warning::MayLose { migration: id("a.2"), operation },
        "RunPython fill (operation 1) of a.2 runs custom SQL that may delete data, which is not counted",
    );
    check_warning(
        &Warning::ChangedFile { migration: id("a.2") },
        "the file of a.2 has changed since it was applied, and there is no other way to undo it",
    );
    check_warning(
        &Warning::Unlisted { current: current() },
        "the current release 03ec91e (v2) has no signed list of its capsules, so an older capsule could replace a \
         newer one unnoticed; save the release again with the key to sign the list",
    );
}

#[test]
fn warnings_about_the_result() {
    let object = SchemaObject::new("table", "a_item", "", "");
    let differences = vec![SchemaDifference { object, side: Side::Missing }];
    check_warning(
        &Warning::Drift { differences, current: "03ec91e (v2)".to_owned() },
        "the schema differs from the one saved with the current release 03ec91e (v2), and these differences stay: \
         table a_item is missing",
    );
    let not_verifiable =
        |is_imported| Warning::NotVerifiable { target: "03ec91e (v2)".to_owned(), is_imported };
    check_warning(
        &not_verifiable(false),
        "03ec91e (v2) was saved without its schema, so the result cannot be verified",
    );
    check_warning(
        &not_verifiable(true),
        "03ec91e (v2) was imported from git without a schema, so the result cannot be verified",
    );
    check_warning(
        &Warning::LossesUnknown,
        "losses are not counted here; `manage.py rollback plan` counts them",
    );
}
