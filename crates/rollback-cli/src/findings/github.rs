//! Workflow commands of GitHub Actions: each becomes an annotation of the run, and of its line in a pull request.

use rollback_check::{Finding, Level};

use super::place::Span;
use super::report::Report;
use crate::console::safe;

pub(super) fn render(report: &Report<'_>) -> String {
    report.findings.iter().map(|finding| command(report, finding)).collect()
}

fn command(report: &Report<'_>, finding: &Finding) -> String {
    let level = match finding.level {
        Level::Note => "notice",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    let mut properties = place(report, finding);
    properties.push(("title", format!("{} {}", finding.rule.code, finding.rule.name)));
    let properties: Vec<String> =
        properties.iter().map(|(name, value)| format!("{name}={}", escape_property(value))).collect();
    format!("::{level} {}::{}\n", properties.join(","), escape_data(&message(report, finding)))
}

/// The place, if GitHub can show it: a file of the older release is not in this commit.
fn place(report: &Report<'_>, finding: &Finding) -> Vec<(&'static str, String)> {
    let place = &finding.place;
    if place.is_older {
        return Vec::new();
    }
    let mut properties = vec![("file", safe(&place.path))];
    properties.extend(lines(report.span(place)).into_iter().map(|(name, value)| (name, value.to_string())));
    properties
}

/// GitHub takes columns only if the place is on one line.
fn lines(span: Option<Span>) -> Vec<(&'static str, u32)> {
    let Some(span) = span else { return vec![("line", 1)] };
    let mut properties = vec![("line", span.start.line), ("endLine", span.end.line)];
    if span.is_on_one_line() {
        properties.extend([("col", span.start.column), ("endColumn", span.end.column)]);
    }
    properties
}

fn message(report: &Report<'_>, finding: &Finding) -> String {
    let mut lines = vec![safe(&finding.message)];
    if !finding.hint.is_empty() {
        lines.push(safe(&finding.hint));
    }
    if finding.place.is_older {
        lines.push(safe(format!("{} of {}", finding.place.path, report.base)));
    }
    lines.join("\n")
}

/// As GitHub's own toolkit does it.
fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TEXT, at, finding, older, report};
    use super::*;

    #[track_caller]
    fn check(finding: Finding, text: &str, expected: &str) {
        assert_eq!(report(&[finding], text).render(render), expected);
    }

    #[test]
    fn a_finding_is_a_command() {
        check(
            finding(at(TEXT, "migrations.RunPython(fill)")),
            TEXT,
            "::error file=shop/migrations/0002_price.py,line=3,endLine=3,col=9,endColumn=35,\
             title=RB011 irreversible-operation::RunPython fill has no reverse_code%0Agive it one\n",
        );
        assert_eq!(report(&[], TEXT).render(render), "");
    }

    #[test]
    fn several_lines_have_no_columns() {
        let mut found = finding(at(TEXT, "migrations.AddField(\n            \"order\",\n        )"));
        found.level = Level::Note;
        check(
            found,
            TEXT,
            "::notice file=shop/migrations/0002_price.py,line=4,endLine=6,title=RB011 irreversible-operation\
             ::RunPython fill has no reverse_code%0Agive it one\n",
        );
    }

    #[test]
    fn a_whole_file_is_shown_at_its_first_line() {
        let mut found = finding(0..0);
        (found.level, found.hint) = (Level::Warning, String::new());
        check(
            found,
            TEXT,
            "::warning file=shop/migrations/0002_price.py,line=1,title=RB011 irreversible-operation\
             ::RunPython fill has no reverse_code\n",
        );
    }

    #[test]
    fn a_file_of_the_older_release_is_no_file_here() {
        check(
            older(3..8),
            TEXT,
            "::error title=RB032 deleted-after-release::shop.0001_initial was deleted%0Abring it back\
             %0Ashop/migrations/0001_initial.py of v1.2 (03ec91e)\n",
        );
    }

    #[test]
    fn nothing_breaks_out_of_a_command() {
        let mut found = finding(0..0);
        found.place.path = "a,b:c/100%.py".to_owned();
        (found.message, found.hint) = ("50% of a::b,\r\n::error::x".to_owned(), "\u{1b}[2J".to_owned());
        check(
            found,
            TEXT,
            "::error file=a%2Cb%3Ac/100%25.py,line=1,title=RB011 irreversible-operation\
             ::50%25 of a::b,\\u{d}\\u{a}::error::x%0A\\u{1b}[2J\n",
        );
    }
}
