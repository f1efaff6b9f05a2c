//! What a check has found, and how it is counted.

use rollback_check::{Finding, Level, Place};

use super::place::Span;
use crate::words::count;

/// What a check has found, ready to be shown.
pub struct Report<'a> {
    /// The older release, as people call it: `v1.2 (03ec91e)`.
    pub base: String,
    /// The newer one: `HEAD (1234567)`, `the work tree`.
    pub head: String,
    /// What was found, in the order in which it is shown.
    pub findings: &'a [Finding],
    /// The text of a place's file; `None` if it cannot be read.
    pub texts: &'a dyn Fn(&Place) -> Option<&'a str>,
    /// How many findings a comment in the source suppresses.
    pub suppressed: usize,
    /// How many migrations are new in the range.
    pub migrations: usize,
    /// The migrations that going back undoes, in order: `shop.0002_price`.
    pub undo: &'a [String],
}

impl Report<'_> {
    /// The text of a place's file; `None` if it cannot be read, or if the finding is about the whole file.
    pub(super) fn source(&self, place: &Place) -> Option<&str> {
        let is_whole_file = place.range == (0..0);
        if is_whole_file { None } else { (self.texts)(place) }
    }

    /// Lines and columns of a place; `None` if [`Self::source`] has none.
    pub(super) fn span(&self, place: &Place) -> Option<Span> {
        self.source(place).map(|text| Span::new(text, &place.range))
    }

    pub(super) fn number_of(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// `3 findings (1 error, 1 warning, 1 note), 2 suppressed, in 4 migrations between v1.2 (03ec91e) and HEAD.`
    pub(super) fn summary(&self) -> String {
        let Self { base, head, .. } = self;
        let found = match self.findings.len() {
            0 => "No findings".to_owned(),
            number => format!("{} ({})", count(number, "finding"), self.levels()),
        };
        let suppressed = match self.suppressed {
            0 => String::new(),
            number => format!(", {number} suppressed,"),
        };
        match self.migrations {
            0 => format!("{found}{suppressed} between {base} and {head}: no new migrations."),
            number => {
                format!("{found}{suppressed} in {} between {base} and {head}.", count(number, "migration"))
            }
        }
    }

    /// How many findings of each level there are, the gravest first.
    fn levels(&self) -> String {
        let levels = [Level::Error, Level::Warning, Level::Note].map(|level| (self.number_of(level), level));
        let counts = levels.into_iter().filter(|(number, _)| *number > 0);
        counts.map(|(number, level)| count(number, level.as_str())).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{finding, report};
    use super::*;

    #[test]
    fn the_summary_leaves_out_what_is_not_there() {
        let none = report(&[], "").render(|report| report.summary());
        assert_eq!(none, "No findings in 4 migrations between v1.2 (03ec91e) and HEAD (1234567).");

        let nothing_new = Report {
            base: "v1".into(),
            head: "the work tree".into(),
            findings: &[finding(0..0)],
            texts: &|_| None,
            suppressed: 2,
            migrations: 0,
            undo: &[],
        };
        assert_eq!(
            nothing_new.summary(),
            "1 finding (1 error), 2 suppressed, between v1 and the work tree: no new migrations."
        );
    }
}
