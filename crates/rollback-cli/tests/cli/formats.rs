//! What a newer version has stored, and what somebody has damaged: it is named and refused, or it does not matter.
//!
//! Whatever comes of a command, a document that this version cannot read stays as it is, and stays the one that counts.

use rollback_core::{Way, stored};
use rollback_testing::{Shop, commit_of};

const NEWER: &str = "{\"format\":2,\"delta\":{}}";
const APPLIED: &str = "django_rollback_appliedset";
const SCHEMAS: &str = "django_rollback_schema";
const HISTORY: &str = "django_rollback_operation";

/// What is done to the tables, how a refusal names it, and which commands have no choice but to refuse.
struct Case {
    sql: String,
    says: String,
    refused: &'static [&'static str],
    is_newer: bool,
}

/// The release gets a document that a newer version has written, under its right hash.
fn newer(table: &str, column: &str, id: u8) -> String {
    let hash = stored::hash(NEWER);
    let size = if table == APPLIED { "4, " } else { "" };
    format!(
        "INSERT INTO {table} VALUES ('{hash}', {size}'{NEWER}'); \
         UPDATE django_rollback_appsstate SET {column} = '{hash}' WHERE id = {id}"
    )
}

/// The content of the release's document does not match its hash any more.
fn changed(table: &str, column: &str, id: u8) -> String {
    format!(
        "UPDATE {table} SET body = body || ' ' \
         WHERE hash = (SELECT {column} FROM django_rollback_appsstate WHERE id = {id})"
    )
}

/// One more line in history.
fn operation(kind: &str, outcome: &str, body: &str) -> String {
    format!(
        "INSERT INTO {HISTORY} (kind, outcome, body, at) VALUES ('{kind}', '{outcome}', '{body}', '2026-01-01')"
    )
}

fn cases() -> Vec<Case> {
    const BACK: &[&str] = &["plan -t v1", "rollback -t v1"];
    const BACK_AND_SHOW: &[&str] = &["plan -t v1", "rollback -t v1", "show -t v1"];
    const BACK_AND_HISTORY: &[&str] = &["plan -t v1", "rollback -t v1", "history"];
    let of_release = |what: &str, tag: &str| format!("the {what} of release {}", commit_of(tag));
    let mut cases = Vec::new();
    for (change, is_newer) in [(newer as fn(&str, &str, u8) -> String, true), (changed, false)] {
        let mut add = |sql: String, says: String, refused| cases.push(Case { sql, says, refused, is_newer });
        add(change(APPLIED, "applied_set", 1), of_release("list of migrations", "v1"), BACK_AND_SHOW);
        add(change(APPLIED, "applied_set", 2), of_release("list of migrations", "v2"), &["show", "status"]);
        add(change(SCHEMAS, "schema", 1), of_release("stored schema", "v1"), BACK);
        add(change(SCHEMAS, "schema", 2), of_release("stored schema", "v2"), &["status"]);
    }
    for (body, is_newer) in [(NEWER, true), ("[", false)] {
        let line = format!("row 3 of {HISTORY}");
        for (kind, outcome, refused) in [
            ("save", "done", &["history"] as &[_]),
            ("rollback", "done", &["history"]),
            ("rollback", "running", &["history"]),
            ("rollback", "stopped", BACK_AND_HISTORY),
        ] {
            let sql = operation(kind, outcome, body);
            cases.push(Case { sql, says: line.clone(), refused, is_newer });
        }
    }
    let capsule =
        format!("UPDATE django_rollback_capsule SET format = 2, body = '{NEWER}' WHERE name = '0002_price'");
    cases.push(Case {
        sql: capsule,
        says: "the capsule of shop.0002_price".to_owned(),
        refused: &[],
        is_newer: true,
    });
    cases
}

/// The shop after the damage; files are at hand, so that nothing rests on recorded SQL.
fn damaged(sql: &str) -> Shop {
    let mut shop = crate::shop();
    shop.ways = vec![Way::Disk];
    shop.sql(sql);
    shop
}

/// What `line` says, in the code of `v2`.
fn run(shop: &Shop, line: &str) -> String {
    let mut door = shop.door();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v2").as_str());
    door.run(line)
}

/// It ends as it does without damage, or it says what it cannot read, and whether a newer version can.
fn check(said: &str, line: &str, case: &Case, usual: &str) {
    if said.contains(&case.says) {
        assert!(said.ends_with("--- exit code 1"), "{}, {line}: {said}", case.sql);
        assert_eq!(said.contains("format 2"), case.is_newer, "{}, {line}: {said}", case.sql);
    } else {
        assert!(!case.refused.contains(&line), "{}, {line}: {said}", case.sql);
        assert!(said.ends_with(usual), "{}, {line}: {said}", case.sql);
    }
}

/// The documents that are not ours to change: in the tables of the others a row may be replaced by its hash.
fn documents(shop: &Shop) -> Vec<String> {
    let hash = stored::hash(NEWER);
    [
        format!("SELECT body FROM {APPLIED} WHERE hash = '{hash}'"),
        format!("SELECT body FROM {SCHEMAS} WHERE hash = '{hash}'"),
        "SELECT body FROM django_rollback_capsule WHERE name = '0002_price'".to_owned(),
        format!("SELECT outcome || body FROM {HISTORY} WHERE id = 3"),
    ]
    .iter()
    .map(|sql| shop.ask(sql))
    .collect()
}

#[test]
fn commands_that_read() {
    for case in cases() {
        let shop = damaged(&case.sql);
        let before = shop.everything();
        for line in ["list", "show", "show -t v1", "status", "history", "plan -t v1"] {
            check(&run(&shop, line), line, &case, "--- exit code 0");
        }
        assert_eq!(shop.everything(), before, "{}", case.sql);
    }
}

#[test]
fn commands_that_write() {
    for case in cases() {
        for line in ["save", "save --commit 3333333333333333333333333333333333333333", "rollback -t v1"] {
            writes(&case, line, "--- exit code 0");
        }
        // Without a rollback that stopped part-way there is nothing to resume.
        for line in ["rollback --resume", "rollback --abort"] {
            writes(&case, line, "--- exit code 1");
        }
    }
}

fn writes(case: &Case, line: &str, usual: &str) {
    let shop = damaged(&case.sql);
    let (untouched, before) = (shop.everything(), documents(&shop));
    let said = run(&shop, line);
    check(&said, line, case, usual);
    let after = documents(&shop);
    let stays = before.iter().zip(&after).all(|(before, after)| before.is_empty() || before == after);
    assert!(stays, "{}, {line}: {after:?}", case.sql);
    if said.ends_with("--- exit code 1") {
        assert_eq!(shop.everything(), untouched, "{}, {line}", case.sql);
    }
    if case.is_newer {
        let hash = stored::hash(NEWER);
        let pointers = "SELECT count(*) FROM django_rollback_appsstate WHERE ";
        let of_release = if case.says.ends_with(commit_of("v2").as_str()) { 2 } else { 1 };
        let is_listed = shop.ask(&format!("{pointers} id = {of_release}")) == "1";
        let points = shop.ask(&format!("{pointers} '{hash}' IN (applied_set, schema)")) == "1";
        assert!(points || !is_listed || !case.says.starts_with("the stored"), "{}, {line}", case.sql);
    }
}

/// It looks like one of ours, and has more to it: settled or aborted by this version, that would be lost.
#[test]
fn a_rollback_of_a_newer_version_stays_as_it_is() {
    for outcome in ["running", "stopped"] {
        let body = format!(
            "{{\"format\":2,\"kind\":\"rollback\",\"outcome\":\"{outcome}\",\"from\":null,\"to\":\"{}\",\"tags\":[\"v9\"],\
             \"from_set\":null,\"to_set\":null,\"steps\":[\"shop.0003\",\"shop.0002\"],\"steps_done\":1,\
             \"releases_removed\":[],\"failed_step\":\"shop.0002\",\"user\":\"a\",\"host\":\"b\",\"version\":\"9.0.0\",\
             \"parts\":[{{\"step\":\"shop.0003\",\"half\":true}}]}}",
            commit_of("v9")
        );
        for line in ["list", "status", "history", "save", "rollback --abort", "rollback --resume", "rollback"]
        {
            let shop = damaged(&operation("rollback", outcome, &body));
            run(&shop, line);
            assert_eq!(documents(&shop)[3], format!("{outcome}{body}"), "{line}");
        }
    }
}

/// Under its right hash: it is refused in one sentence, and no text makes a program fall over.
#[test]
fn any_text_for_a_document() {
    let deep = ["{".repeat(200), "[".repeat(100_000)];
    let texts = [
        "",
        "null",
        "[]",
        "0",
        "\"x\"",
        "{\"format\":2}",
        "{\"format\":\"1\"}",
        "{\"format\":-1}",
        "{\"format\":1}",
        "{\"format\":1e99}",
        "{\"format\":99999999999}",
        "{\"format\":1,\"applied\":[[\"a\"]]}",
    ];
    for body in texts.into_iter().chain(deep.iter().map(String::as_str)) {
        for (table, column, refuses) in [(APPLIED, "applied_set", "show"), (SCHEMAS, "schema", "status")] {
            let (hash, size) = (stored::hash(body), if table == APPLIED { "1, " } else { "" });
            let shop = damaged(&format!(
                "INSERT INTO {table} VALUES ('{hash}', {size}'{body}'); \
                 UPDATE django_rollback_appsstate SET {column} = '{hash}'"
            ));
            let before = shop.everything();
            for line in ["show", "status", "plan -t v1"] {
                let said = run(&shop, line);
                assert!(said.len() < 2000, "{said}");
                assert!(line != refuses || said.contains("cannot be used: "), "{body:.30}, {line}: {said}");
            }
            assert_eq!(shop.everything(), before);
        }
    }
}

/// It is refused where it counts, and ignored where it does not.
#[test]
fn any_text_for_a_capsule() {
    let deep = "[".repeat(100_000);
    for body in ["", "null", "[]", "{\"id\":[\"shop\"]}", "{\"id\":[\"zoo\",\"0001\"]}", &deep] {
        let shop =
            damaged(&format!("UPDATE django_rollback_capsule SET body = '{body}' WHERE name = '0002_price'"));
        for (way, code) in [("sql", 1), ("disk", 0)] {
            let said = run(&shop, &format!("plan -t v1 --way {way}"));
            assert!(said.ends_with(&format!("--- exit code {code}")) && said.len() < 2000, "{said}");
            assert_eq!(
                said.contains("the capsule of shop.0002_price cannot be trusted"),
                code == 1,
                "{said}"
            );
        }
    }
}
