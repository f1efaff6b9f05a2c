//! For people: findings as compilers show them, with an excerpt of the source.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level as Shown, Origin, Renderer, Snippet};
use rollback_check::{Finding, Level, Place};

use super::place::{Span, clamp, line_start};
use super::report::Report;
use crate::console::safe;

/// The most lines that are shown of an operation.
const MOST_LINES: usize = 4;

pub(super) fn render(report: &Report<'_>, is_coloured: bool) -> String {
    let renderer = if is_coloured { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for finding in report.findings {
        text.push_str(&renderer.render(&[group(report, finding)]));
        text.push_str("\n\n");
    }
    text + &safe(report.summary()) + "\n" + &undo(report.undo) + "\n"
}

fn undo(migrations: &[String]) -> String {
    if migrations.is_empty() {
        return "Going back would undo no migration.".to_owned();
    }
    safe(format!("Going back would undo: {}.", migrations.join(", ")))
}

fn group(report: &Report<'_>, finding: &Finding) -> Group<'static> {
    let title = level(finding.level).primary_title(safe(&finding.message)).id(finding.rule.code);
    let mut group = match report.source(&finding.place) {
        Some(text) => title.element(excerpt(text, &finding.place)),
        None => title.element(Origin::path(safe(&finding.place.path))),
    };
    if finding.place.is_older {
        group = group.element(Shown::NOTE.message(safe(format!("this is the file of {}", report.base))));
    }
    if !finding.hint.is_empty() {
        group = group.element(Shown::HELP.message(safe(&finding.hint)));
    }
    group
}

fn level(level: Level) -> Shown<'static> {
    match level {
        Level::Note => Shown::NOTE,
        Level::Warning => Shown::WARNING,
        Level::Error => Shown::ERROR,
    }
}

/// The first lines of a place, with carets under the first one.
fn excerpt(text: &str, place: &Place) -> Snippet<'static, Annotation<'static>> {
    let range = clamp(text, &place.range);
    let meant = text[range.clone()].trim_end();
    let number_of_lines = meant.lines().count().clamp(1, MOST_LINES);

    let line_start = line_start(text, range.start);
    let lines: Vec<String> = text[line_start..].lines().take(number_of_lines).map(visible).collect();
    let line_end = lines.first().map_or(0, String::len);
    let start = visible(&text[line_start..range.start]).len().min(line_end);
    let end = start + meant.lines().next().map_or(0, |line| visible(line).len());

    Snippet::source(lines.join("\n"))
        .path(safe(&place.path))
        .line_start(Span::new(text, &range).start.line as usize)
        .fold(false)
        .annotation(AnnotationKind::Primary.span(start..end.min(line_end)))
}

/// A line without characters that control a terminal. One character replaces each, so that columns and carets stay
/// right.
fn visible(line: &str) -> String {
    let is_safe = |character: char| character == '\t' || safe(character).starts_with(character);
    line.chars()
        .map(|character| if is_safe(character) { character } else { char::REPLACEMENT_CHARACTER })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TEXT, at, finding, older, report};
    use super::*;

    fn plain(report: &Report<'_>) -> String {
        render(report, false)
    }

    const END: &str = "
1 finding (1 error) in 4 migrations between v1.2 (03ec91e) and HEAD (1234567).
Going back would undo: shop.0003, shop.0002_price.
";

    /// Compares what is shown of a finding, but for its heading and the lines at the end.
    #[track_caller]
    fn check(finding: Finding, text: &str, expected: &str) {
        let shown = report(&[finding], text).render(plain);
        let excerpt = shown.strip_suffix(END).and_then(|shown| shown.split_once('\n'));
        assert_eq!(excerpt.map(|(_, excerpt)| excerpt), Some(expected), "{shown}");
    }

    #[test]
    fn an_empty_report() {
        assert_eq!(
            report(&[], TEXT).render(plain),
            "No findings in 4 migrations between v1.2 (03ec91e) and HEAD (1234567).
Going back would undo: shop.0003, shop.0002_price.
"
        );
        assert_eq!(undo(&[]), "Going back would undo no migration.");
    }

    #[test]
    fn findings_of_every_level() {
        let mut note = finding(at(TEXT, "fill"));
        (note.level, note.hint) = (Level::Note, String::new());
        let mut warning = older(at(TEXT, "class"));
        warning.level = Level::Warning;
        assert_eq!(
            report(&[finding(at(TEXT, "migrations.RunPython(fill)")), note, warning], TEXT).render(plain),
            "\
error[RB011]: RunPython fill has no reverse_code
 --> shop/migrations/0002_price.py:3:9
  |
3 |         migrations.RunPython(fill),
  |         ^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: give it one

note[RB011]: RunPython fill has no reverse_code
 --> shop/migrations/0002_price.py:3:30
  |
3 |         migrations.RunPython(fill),
  |                              ^^^^

warning[RB032]: shop.0001_initial was deleted
 --> shop/migrations/0001_initial.py:1:1
  |
1 | class Migration(migrations.Migration):
  | ^^^^^
  |
  = note: this is the file of v1.2 (03ec91e)
  = help: bring it back

3 findings (1 error, 1 warning, 1 note) in 4 migrations between v1.2 (03ec91e) and HEAD (1234567).
Going back would undo: shop.0003, shop.0002_price.
"
        );
    }

    #[test]
    fn a_whole_file_has_no_excerpt() {
        check(finding(0..0), TEXT, "--> shop/migrations/0002_price.py\n = help: give it one\n");
    }

    #[test]
    fn several_lines_are_marked_by_the_first() {
        let expected = " --> shop/migrations/0002_price.py:4:9
  |
4 |         migrations.AddField(
  |         ^^^^^^^^^^^^^^^^^^^^
5 |             \"order\",
6 |         ),
  |
  = help: give it one
";
        check(finding(at(TEXT, "migrations.AddField(\n            \"order\",\n        )")), TEXT, expected);

        let crlf = TEXT.replace('\n', "\r\n");
        check(
            finding(at(&crlf, "migrations.AddField(\r\n            \"order\",\r\n        )")),
            &crlf,
            expected,
        );
    }

    #[test]
    fn of_many_lines_the_first_are_shown() {
        check(
            finding(0..TEXT.len()),
            TEXT,
            " --> shop/migrations/0002_price.py:1:1
  |
1 | class Migration(migrations.Migration):
  | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
2 |     operations = [
3 |         migrations.RunPython(fill),
4 |         migrations.AddField(
  |
  = help: give it one
",
        );
    }

    #[test]
    fn the_end_of_a_file_can_be_shown() {
        check(
            finding(TEXT.len()..TEXT.len()),
            TEXT,
            " --> shop/migrations/0002_price.py:8:1
  |
8 |
  | ^
  |
  = help: give it one
",
        );
        check(
            finding(1..3),
            "abc",
            " --> shop/migrations/0002_price.py:1:2
  |
1 | abc
  |  ^^
  |
  = help: give it one
",
        );
    }

    #[test]
    fn carets_know_tabs_and_wide_characters_and_columns_count_them_once() {
        let text = "\tx = '価格é', 'e\u{301}', RunPython('価')\n";
        check(
            finding(at(text, "RunPython('価')")),
            text,
            " --> shop/migrations/0002_price.py:1:19
  |
1 |     x = '価格é', 'e\u{301}', RunPython('価')
  |                       ^^^^^^^^^^^^^^^
  |
  = help: give it one
",
        );
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let text = "x = '\u{1b}[31m\u{85}\u{202e}\r', RunPython(fill)\r\n";
        let mut found = finding(at(text, "RunPython(fill)"));
        found.place.path = "shop/\u{1b}[2J.py".to_owned();
        check(
            found,
            text,
            " --> shop/\\u{1b}[2J.py:1:17
  |
1 | x = '�[31m���', RunPython(fill)
  |                 ^^^^^^^^^^^^^^^
  |
  = help: give it one
",
        );
    }

    #[test]
    fn colours_are_there_when_asked_for() {
        let findings = [finding(at(TEXT, "fill"))];
        let shown = report(&findings, TEXT).render(|report| render(report, true));
        assert!(shown.starts_with("\u{1b}[1m\u{1b}[91merror[RB011]\u{1b}[0m"), "{shown:?}");
        assert!(shown.ends_with(END), "{shown:?}");
    }
}
