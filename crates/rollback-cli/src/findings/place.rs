//! From bytes of a text to its lines and columns.

use std::ops::Range;

use serde::Serialize;

/// A point of a text. Both numbers begin with 1, and columns count Unicode characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Point {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A part of a text: from its first character to the one after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Point,
    pub(super) end: Point,
}

impl Span {
    /// The span of a range of bytes.
    pub(super) fn new(text: &str, range: &Range<usize>) -> Self {
        let Range { start, end } = clamp(text, range);
        Self { start: Point::new(text, start), end: Point::new(text, end) }
    }

    pub(super) fn is_on_one_line(self) -> bool {
        self.start.line == self.end.line
    }
}

impl Point {
    fn new(text: &str, offset: usize) -> Self {
        let (before, line) = (&text[..offset], &text[line_start(text, offset)..offset]);
        Self { line: number(before.matches('\n').count()), column: number(line.chars().count()) }
    }
}

/// Where the line of `offset` begins.
pub(super) fn line_start(text: &str, offset: usize) -> usize {
    text[..offset].rfind('\n').map_or(0, |line_end| line_end + 1)
}

/// A range that can be cut out of the text: within it, and not inside a character.
pub(super) fn clamp(text: &str, range: &Range<usize>) -> Range<usize> {
    let start = boundary(text, range.start);
    start..boundary(text, range.end).max(start)
}

fn boundary(text: &str, offset: usize) -> usize {
    let offset = offset.min(text.len());
    (0..=offset).rev().find(|&offset| text.is_char_boundary(offset)).unwrap_or_default()
}

/// The number of the thing at an index.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, range: Range<usize>, expected: &str) {
        let Span { start, end } = Span::new(text, &range);
        assert_eq!(format!("{}:{}-{}:{}", start.line, start.column, end.line, end.column), expected);
    }

    #[test]
    fn lines_and_columns_begin_with_one() {
        check("abc\ndef\n", 0..3, "1:1-1:4");
        check("abc\ndef\n", 4..5, "2:1-2:2");
        check("abc\ndef\n", 2..6, "1:3-2:3");
        check("abc\r\ndef\r\n", 5..8, "2:1-2:4");
    }

    #[test]
    fn columns_count_characters() {
        check("é = '価格'; x", 15..16, "1:11-1:12");
        check("\tx", 1..2, "1:2-1:3");
    }

    #[test]
    fn a_range_may_end_with_the_text() {
        check("abc\n", 4..4, "2:1-2:1");
        check("abc", 3..3, "1:4-1:4");
        check("", 0..0, "1:1-1:1");
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "a wrong range must do no harm")]
    fn a_range_that_makes_no_sense_is_cut() {
        check("abc", 2..900, "1:3-1:4");
        check("abc", 700..900, "1:4-1:4");
        check("abc", 2..1, "1:3-1:3");
        check("aéb", 2..3, "1:2-1:3");
    }
}
