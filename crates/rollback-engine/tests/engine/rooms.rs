//! The rooms of the engine: what `ARCHITECTURE.md` says of them holds in its sources.

use std::fs;
use std::path::{Path, PathBuf};

/// Every file of Rust below a folder of `crates/`, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// The lines of code outside of tests that have one of these words, except in the files that may.
fn offenders(folder: &str, words: &[&str], may: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in sources(folder) {
        let shown = path.display().to_string();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        if may.iter().any(|part| shown.contains(part)) {
            continue;
        }
        let lines = code.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let lines = lines.filter(|line| words.iter().any(|word| line.contains(word)));
        found.extend(lines.map(|line| format!("{shown}: {line}")));
    }
    found
}

/// A third database adds files to `dialect/`, and changes nothing else in the engine or the command line.
#[test]
fn only_the_dialects_ask_which_database_it_is() {
    let names = ["Dialect::Sqlite", "Dialect::Postgres"];
    let found = [
        offenders("rollback-engine/src", &names, &["/dialect/mod.rs"]),
        offenders("rollback-cli/src", &names, &[]),
        offenders("django-rollback/src", &names, &[]),
    ];
    assert_eq!(found.concat(), Vec::<String>::new());
    // The port translates the codes of failures, which every driver reports in its own way.
    let may = ["/dialect/", "/ports/database.rs"];
    let words = ["sqlite_", "pg_", "PRAGMA ", "SET LOCAL"];
    assert_eq!(offenders("rollback-engine/src", &words, &may), Vec::<String>::new());
}

/// `rollback → cases → store → session → dialect → ports`.
#[test]
fn each_room_imports_only_what_is_below_it() {
    let rooms = ["ports", "dialect", "session", "store", "cases", "rollback"];
    for (place, room) in rooms.iter().enumerate() {
        let above: Vec<String> = rooms[place + 1..].iter().map(|above| format!("crate::{above}::")).collect();
        let words: Vec<&str> = above.iter().map(String::as_str).chain(["crate::error"]).collect();
        let found = offenders(&format!("rollback-engine/src/{room}"), &words, &[]);
        assert_eq!(found, Vec::<String>::new(), "{room}");
    }
}
