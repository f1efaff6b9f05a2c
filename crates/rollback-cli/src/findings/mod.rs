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
mod report;
mod sarif;
mod sentence;
mod statistics;
#[cfg(test)]
mod testing;
mod text;

use clap::ValueEnum;

use crate::console::safe_json;

pub use report::Report;
pub use statistics::{statistics, statistics_document};

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

/// Renders a report, with a line break at the end unless it is empty. Only [`Format::Text`] has colours.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rollback_check::Place;

    use super::testing::{finding, undo};
    use super::{Format, Report, render, statistics};
    use crate::console::safe;

    const FORMATS: [Format; 6] =
        [Format::Text, Format::Json, Format::Github, Format::Gitlab, Format::Sarif, Format::Markdown];

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
