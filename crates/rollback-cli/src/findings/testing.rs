//! Findings and a report for the tests of the formats.

use std::ops::Range;

use rollback_check::{Finding, Level, Place, Rule};
use rollback_core::MigrationId;

use super::report::Report;

/// A piece of a migration.
pub(super) const TEXT: &str = "class Migration(migrations.Migration):
    operations = [
        migrations.RunPython(fill),
        migrations.AddField(
            \"order\",
        ),
    ]
";

static IRREVERSIBLE: Rule = Rule {
    code: "RB011",
    name: "irreversible-operation",
    level: Level::Error,
    summary: "an operation cannot be undone",
    page: "# RB011\n\nWhy.\n",
};

static DELETED: Rule = Rule {
    code: "RB032",
    name: "deleted-after-release",
    level: Level::Warning,
    summary: "a migration was deleted after it was released",
    page: "# RB032\n\nBecause.\n",
};

/// The range of a piece of a text.
pub(super) fn at(text: &str, piece: &str) -> Range<usize> {
    let start = text.find(piece).unwrap();
    start..start + piece.len()
}

/// An error in the file of a new migration.
pub(super) fn finding(range: Range<usize>) -> Finding {
    Finding {
        rule: &IRREVERSIBLE,
        level: Level::Error,
        place: Place { path: "shop/migrations/0002_price.py".to_owned(), range, is_older: false },
        migration: MigrationId::new("shop", "0002_price"),
        message: "RunPython fill has no reverse_code".to_owned(),
        hint: "give it one".to_owned(),
    }
}

/// An error in a file that only the older release has.
pub(super) fn older(range: Range<usize>) -> Finding {
    Finding {
        rule: &DELETED,
        level: Level::Error,
        place: Place { path: "shop/migrations/0001_initial.py".to_owned(), range, is_older: true },
        migration: MigrationId::new("shop", "0001_initial"),
        message: "shop.0001_initial was deleted".to_owned(),
        hint: "bring it back".to_owned(),
    }
}

/// The migrations that going back undoes.
pub(super) fn undo() -> Vec<String> {
    vec!["shop.0003".to_owned(), "shop.0002_price".to_owned()]
}

/// A report on files that all have the same text.
pub(super) fn report<'a>(findings: &'a [Finding], text: &'a str) -> Prepared<'a> {
    Prepared { findings, text }
}

pub(super) struct Prepared<'a> {
    findings: &'a [Finding],
    text: &'a str,
}

impl Prepared<'_> {
    pub(super) fn render(&self, how: impl FnOnce(&Report<'_>) -> String) -> String {
        how(&Report {
            base: "v1.2 (03ec91e)".to_owned(),
            head: "HEAD (1234567)".to_owned(),
            findings: self.findings,
            texts: &|_| Some(self.text),
            suppressed: 0,
            migrations: 4,
            undo: &undo(),
        })
    }
}
