//! What a rule has found, and where.

use std::ops::Range;

use rollback_core::MigrationId;

use crate::rules::{Level, Rule};

/// A range of a file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path below the repository's root, `/` between folders.
    pub path: String,
    /// Where in its text, in bytes; empty at 0 where the whole file is meant.
    pub range: Range<usize>,
    /// Whether the text is that of the older release (a file that is gone) and not that of the newer one.
    pub is_older: bool,
}

/// What a rule has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// How much it matters: the rule's level unless it is set otherwise.
    pub level: Level,
    /// Where.
    pub place: Place,
    /// The migration that it is about.
    pub migration: MigrationId,
    /// What was found, as a sentence without its full stop: `RunPython fill_prices has no reverse_code`.
    pub message: String,
    /// The way out in a few words, without a full stop; the rule's page has the rest.
    pub hint: String,
}
