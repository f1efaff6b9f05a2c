//! Findings: what a rule says about a place in a file.

use std::ops::Range;

use rollback_core::MigrationId;

use crate::rules::{Level, Rule};

/// A range of a file's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path below the repository's root, `/` between folders.
    pub path: String,
    /// Where in its text, in bytes; `0..0` if the whole file is meant.
    pub range: Range<usize>,
    /// Whether the text is that of the older revision, because the newer one does not have the file.
    pub is_older: bool,
}

/// Something that a rule has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// The rule's level, unless the configuration sets another one.
    pub level: Level,
    /// The text that it is about.
    pub place: Place,
    /// The migration that it is about.
    pub migration: MigrationId,
    /// A sentence without a full stop: `RunPython fill_prices has no reverse_code`.
    pub message: String,
    /// What to do, without a full stop; the rule's page says more.
    pub hint: String,
}
