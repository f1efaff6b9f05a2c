//! What a check has found, in the formats that people and other programs read: pure functions from a [`Report`] to
//! text.
//!
//! Looking for findings, choosing a format and writing the text are left to the command.

mod fingerprint;
mod github;
mod gitlab;
mod json;
mod markdown;
mod place;
mod sarif;
mod statistics;
#[cfg(test)]
mod testing;
mod text;

use clap::ValueEnum;
use rollback_check::{Finding, Level, Place};

use place::Span;

use crate::console::safe_json;
pub use statistics::{statistics, statistics_document};

/// What a check has found, ready to be shown.
pub struct Report<'a> {
    /// The older release, as people call it: `v1.2 (03ec91e)`.
    pub base: String,
    /// The newer one: `HEAD (1234567)`, `the work tree`.
    pub head: String,
    /// What was found, in the order in which it is shown.
    pub findings: &'a [Finding],
    /// The text of a place's file; `None` where it cannot be had.
    pub texts: &'a dyn Fn(&Place) -> Option<&'a str>,
    /// How many findings a comment in the source suppresses.
    pub suppressed: usize,
    /// How many migrations are new in the range.
    pub migrations: usize,
    /// The migrations that going back undoes, in order: `shop.0002_price`.
    pub undo: &'a [String],
}

/// How to show a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people, with excerpts of the source.
    Text,
    /// One JSON document of ours.
    Json,
    /// Workflow commands of GitHub Actions, which become annotations.
    Github,
    /// A Code Quality report of GitLab.
    Gitlab,
    /// SARIF 2.1.0, for code scanners.
    Sarif,
    /// A comment on a pull request.
    Markdown,
}

/// Renders a report; what is not empty ends with a line end. Only [`Format::Text`] has colours.
pub fn render(report: &Report<'_>, format: Format, is_coloured: bool) -> String {
    match format {
        Format::Text => text::render(report, is_coloured),
        Format::Json => safe_json(&json::render(report)),
        Format::Github => github::render(report),
        Format::Gitlab => safe_json(&gitlab::render(report)),
        Format::Sarif => safe_json(&sarif::render(report)),
        Format::Markdown => markdown::render(report),
    }
}

impl Report<'_> {
    /// The text of a place's file; `None` where it cannot be had, or where the whole file is meant.
    fn source(&self, place: &Place) -> Option<&str> {
        let is_whole_file = place.range == (0..0);
        if is_whole_file { None } else { (self.texts)(place) }
    }

    /// Lines and columns of a place; `None` where [`Self::source`] has none.
    fn span(&self, place: &Place) -> Option<Span> {
        self.source(place).map(|text| Span::new(text, &place.range))
    }

    fn number_of(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// `3 findings (1 error, 1 warning, 1 note), 2 suppressed, in 4 migrations between v1.2 (03ec91e) and HEAD.`
    fn summary(&self) -> String {
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
            0 => format!("{found}{suppressed} between {base} and {head}: no migration is new."),
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

/// What was found and the way out, in one line.
fn sentence(finding: &Finding) -> String {
    let Finding { message, hint, .. } = finding;
    if hint.is_empty() { message.clone() } else { format!("{message} (hint: {hint})") }
}

fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollback_check::Place;

    use super::testing::{finding, report, undo};
    use super::{Format, Report, render, statistics};
    use crate::console::safe;

    const FORMATS: [Format; 6] =
        [Format::Text, Format::Json, Format::Github, Format::Gitlab, Format::Sarif, Format::Markdown];

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
            "1 finding (1 error), 2 suppressed, between v1 and the work tree: no migration is new."
        );
    }

    /// Texts with everything that is awkward: line ends, tabs, long lines, wide, combining and control characters.
    fn source() -> impl Strategy<Value = String> {
        let awkward = ["\n", "\r", "\r\n", "\t", "é", "価", "\u{301}", "\u{1b}", "|", "`"];
        let piece = prop_oneof![
            5 => prop::sample::select(awkward.to_vec()).prop_map(str::to_owned),
            5 => any::<char>().prop_map(String::from),
            1 => Just(" ".repeat(30)),
            1 => Just("x".repeat(150)),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    /// Ranges within a text, beyond it, and the wrong way round.
    fn offset() -> impl Strategy<Value = usize> {
        prop_oneof![9 => 0..500usize, 1 => any::<usize>()]
    }

    proptest! {
        #[test]
        fn no_range_of_no_text_is_too_much(
            text in source(), start in offset(), end in offset(), message in source(), hint in source(),
        ) {
            let mut found = finding(start..end);
            (found.message, found.hint) = (message, hint);
            found.place.path = "a b/ü|`.py".to_owned();
            let texts = |_: &Place| Some(text.as_str());
            let undo = undo();
            let findings = [found.clone(), found];
            let report = Report {
                base: "v1".into(), head: "HEAD".into(), findings: &findings, texts: &texts,
                suppressed: 0, migrations: 1, undo: &undo,
            };
            for format in FORMATS {
                let shown = render(&report, format, false);
                prop_assert!(shown.ends_with('\n'));
                let unsafe_characters = shown.chars().filter(|&c| c != '\n' && safe(c) != c.to_string());
                prop_assert_eq!(unsafe_characters.collect::<String>(), "");
                match format {
                    Format::Json | Format::Gitlab | Format::Sarif => {
                        prop_assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok());
                    }
                    Format::Text | Format::Github | Format::Markdown => {}
                }
            }
            render(&report, Format::Text, true);
            statistics(&report);
        }
    }
}
