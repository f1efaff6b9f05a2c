//! Graphs drawn in text, for the tests of this crate.

use crate::migration::{CustomOperation, MigrationFacts, MigrationId};

/// `shop.0001` as an id.
pub(crate) fn id(text: &str) -> MigrationId {
    let (app, name) = text.split_once('.').expect("app.name");
    MigrationId::new(app, name)
}

/// Ids separated by spaces.
pub(crate) fn ids(text: &str) -> Vec<MigrationId> {
    text.split_whitespace().map(id).collect()
}

/// One migration a line; every part after the name is optional:
/// `a.3 < a.1 a.2 before b.1 replaces a.0 irreversible RunSQL nonatomic code sql VACUUM source 1f`.
pub(crate) fn migrations(text: &str) -> Vec<MigrationFacts> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(migration).collect()
}

fn migration(line: &str) -> MigrationFacts {
    let mut words = line.split_whitespace();
    let mut facts = MigrationFacts::new(id(words.next().expect("a name")));
    let mut part = "";
    for word in words {
        match (word, part) {
            ("<" | "before" | "replaces" | "irreversible" | "source", _) => part = word,
            ("sql", _) => part = word,
            ("nonatomic", _) => facts.atomic = false,
            ("code", _) => {
                facts.custom.push(CustomOperation { operation: "RunPython".to_owned(), sql: None });
            }
            (_, "sql") => facts
                .custom
                .push(CustomOperation { operation: "RunSQL".to_owned(), sql: Some(word.to_owned()) }),
            (_, "source") => facts.source = Some(word.to_owned()),
            (_, "<") => facts.dependencies.push(id(word)),
            (_, "before") => facts.run_before.push(id(word)),
            (_, "replaces") => facts.replaces.push(id(word)),
            (_, "irreversible") => facts.irreversible.push(word.to_owned()),
            _ => panic!("what is `{word}` in `{line}`?"),
        }
    }
    facts
}
