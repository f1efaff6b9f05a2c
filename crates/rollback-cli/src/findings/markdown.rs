//! A comment on a pull request.

use rollback_check::{Finding, Level};

use super::report::Report;
use crate::console::safe;
use crate::words::count;

/// By this line a bot finds its earlier comment and replaces it.
const MARKER: &str = "<!-- django-rollback check -->";

/// GitHub refuses comments of more than 65,536 characters.
const MOST_ROWS: usize = 100;

pub(super) fn render(report: &Report<'_>) -> String {
    let summary = escape(&report.summary());
    format!("{MARKER}\n## {}\n\n{summary}\n{}{}", verdict(report), table(report), undo(report.undo))
}

fn verdict(report: &Report<'_>) -> String {
    match report.number_of(Level::Error) {
        0 => "Can be rolled back".to_owned(),
        errors => format!("Cannot be rolled back: {}", count(errors, "error")),
    }
}

fn table(report: &Report<'_>) -> String {
    if report.findings.is_empty() {
        return String::new();
    }
    let rows: String = report.findings.iter().take(MOST_ROWS).map(|finding| row(report, finding)).collect();
    let more = match report.findings.len().saturating_sub(MOST_ROWS) {
        0 => String::new(),
        number => format!("\nAnd {}.\n", count(number, "more finding")),
    };
    format!("\n| Level | Rule | Place | Finding |\n|---|---|---|---|\n{rows}{more}")
}

fn row(report: &Report<'_>, finding: &Finding) -> String {
    let Finding { rule, level, message, hint, .. } = finding;
    let hint = if hint.is_empty() { String::new() } else { format!("<br>Hint: {}", escape(hint)) };
    format!(
        "| {} | {} {} | {} | {}{hint} |\n",
        level.as_str(),
        rule.code,
        rule.name,
        place(report, finding),
        escape(message)
    )
}

fn place(report: &Report<'_>, finding: &Finding) -> String {
    let place = &finding.place;
    let line = report.span(place).map_or_else(String::new, |span| format!(":{}", span.start.line));
    let release = if place.is_older { format!(" of {}", escape(&report.base)) } else { String::new() };
    code(&format!("{}{line}", place.path)) + &release
}

fn undo(migrations: &[String]) -> String {
    if migrations.is_empty() {
        return "\nGoing back would undo no migration.\n".to_owned();
    }
    let list: String = migrations.iter().map(|migration| format!("1. {}\n", code(migration))).collect();
    let number = count(migrations.len(), "migration");
    format!("\n<details>\n<summary>Going back would undo {number}</summary>\n\n{list}\n</details>\n")
}

/// Text without any markup for Markdown or HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in safe(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' | '!' => {
                escaped.extend(['\\', character]);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text as code, between more backticks than it contains. In a table, even code must escape `|`.
fn code(text: &str) -> String {
    let text = safe(text).replace('|', "\\|");
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or_default();
    let ticks = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{ticks}{space}{text}{space}{ticks}")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TEXT, at, finding, older, report};
    use super::*;

    #[test]
    fn an_empty_report() {
        assert_eq!(
            report(&[], TEXT).render(render),
            "<!-- django-rollback check -->
## Can be rolled back

No findings in 4 migrations between v1.2 (03ec91e) and HEAD (1234567).

<details>
<summary>Going back would undo 2 migrations</summary>

1. `shop.0003`
1. `shop.0002_price`

</details>
"
        );
        assert_eq!(undo(&[]), "\nGoing back would undo no migration.\n");
    }

    #[test]
    fn findings_are_a_table() {
        let mut whole = finding(0..0);
        (whole.level, whole.hint) = (Level::Warning, String::new());
        let findings =
            [finding(at(TEXT, "migrations.RunPython(fill)")), whole, older(TEXT.len()..TEXT.len())];
        let shown = report(&findings, TEXT).render(render);
        let (shown, _) = shown.split_once("\n<details>").unwrap();
        assert_eq!(
            shown,
            "<!-- django-rollback check -->
## Cannot be rolled back: 2 errors

3 findings (2 errors, 1 warning) in 4 migrations between v1.2 (03ec91e) and HEAD (1234567).

| Level | Rule | Place | Finding |
|---|---|---|---|
| error | RB011 irreversible-operation | `shop/migrations/0002_price.py:3` | RunPython fill has no reverse\\_code<br>Hint: give it one |
| warning | RB011 irreversible-operation | `shop/migrations/0002_price.py` | RunPython fill has no reverse\\_code |
| error | RB032 deleted-after-release | `shop/migrations/0001_initial.py:8` of v1.2 (03ec91e) | shop.0001\\_initial was deleted<br>Hint: bring it back |
"
        );
    }

    #[test]
    fn nothing_breaks_out_of_a_cell() {
        let mut found = finding(0..0);
        found.place.path = "a|b``c.py".to_owned();
        found.message = "<b>a</b> | `x` *y* [z](u)\n&amp; \\| 価格".to_owned();
        assert_eq!(
            report(&[found], TEXT).render(|report| row(report, &report.findings[0])),
            "| error | RB011 irreversible-operation | ``` a\\|b``c.py ``` \
             | &lt;b&gt;a&lt;/b&gt; \\| \\`x\\` \\*y\\* \\[z\\](u)\\\\u{a}&amp;amp; \\\\\\| 価格<br>Hint: give it one |\n"
        );
    }

    #[test]
    fn a_long_report_is_cut() {
        let findings = vec![finding(0..0); MOST_ROWS + 1];
        let shown = report(&findings, TEXT).render(table);
        assert!(shown.ends_with(" |\n\nAnd 1 more finding.\n"), "{shown}");
        assert_eq!(shown.matches("RB011").count(), MOST_ROWS);
    }
}
