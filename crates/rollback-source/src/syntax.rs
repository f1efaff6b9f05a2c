//! Parses Python source with ruff's parser. Text that is nested too deep for it is refused first.

use std::ops::Range;

use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{ModModule, PySourceType};
use ruff_python_parser::{Mode, Parsed, lexer, parse_module, parse_unchecked_source};
use ruff_text_size::{Ranged, TextRange};

/// The longest text that is parsed: far longer than any migration.
const LONGEST: usize = 4 * 1024 * 1024;

/// How deep expressions and blocks may be nested. Python itself stops at 100 blocks and 200 parentheses.
const DEEPEST: u32 = 200;

/// Why a text is not a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong, as the end of a sentence that starts with "it".
    pub reason: String,
    /// Where.
    pub span: Range<usize>,
}

/// Replaces a byte that is not text; no parser accepts it.
const NO_TEXT: char = '\u{0}';

/// The text of a file: UTF-8, or Latin-1 if one of its first two lines says so
/// (<https://peps.python.org/pep-0263/>). Other bytes become null characters.
pub fn decode(bytes: Vec<u8>) -> String {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return text,
        Err(error) => error,
    };
    let bytes = error.into_bytes();
    if is_latin_1(&bytes) {
        return bytes.iter().map(|byte| char::from(*byte)).collect();
    }
    String::from_utf8_lossy(&bytes).replace(char::REPLACEMENT_CHARACTER, &NO_TEXT.to_string())
}

fn is_latin_1(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').take(2).any(|line| {
        let line = String::from_utf8_lossy(line).to_lowercase().replace('_', "-");
        line.trim_start().starts_with('#')
            && line.contains("coding")
            && ["latin-1", "latin1", "iso-8859-1"].iter().any(|name| line.contains(name))
    })
}

/// Parses a module.
pub(crate) fn parse(text: &str) -> Result<Parsed<ModModule>, SyntaxError> {
    if text.len() > LONGEST {
        return Err(SyntaxError { reason: format!("is longer than {} MiB", LONGEST >> 20), span: 0..0 });
    }
    if let Some(place) = text.find(NO_TEXT) {
        let span = place..place + 1;
        return Err(SyntaxError { reason: "is not UTF-8, or contains a null character".to_owned(), span });
    }
    if is_too_deep(text) {
        return Err(SyntaxError { reason: format!("is nested more than {DEEPEST} levels deep"), span: 0..0 });
    }
    parse_module(text).map_err(|error| SyntaxError {
        reason: format!("is not valid Python: {}", error.error),
        span: range(error.location),
    })
}

/// A range of ruff as one of Rust.
pub(crate) fn range(range: TextRange) -> Range<usize> {
    range.start().to_usize()..range.end().to_usize()
}

/// The range of a node.
pub(crate) fn span(node: &impl Ranged) -> Range<usize> {
    range(node.range())
}

/// The places of comments in a text, with the `#`; none if the text cannot be read.
pub fn comments(text: &str) -> Vec<Range<usize>> {
    if !text.contains('#') {
        return Vec::new();
    }
    tokens(text).into_iter().filter(|(kind, _)| *kind == TokenKind::Comment).map(|(_, range)| range).collect()
}

fn tokens(text: &str) -> Vec<(TokenKind, Range<usize>)> {
    if text.len() > LONGEST || is_too_deep(text) {
        return Vec::new();
    }
    let parsed = parse_unchecked_source(text, PySourceType::Python);
    parsed.tokens().iter().map(|token| (token.kind(), range(token.range()))).collect()
}

/// Whether the text is nested too deep for a recursive parser. It counts what nests between two commas, which is an
/// upper bound.
fn is_too_deep(text: &str) -> bool {
    let mut lexer = lexer::lex(text, Mode::Module);
    let mut open: Vec<u32> = vec![0];
    let (mut deep, mut blocks) = (0_u32, 0_u32);
    loop {
        let kind = lexer.next_token();
        let is_inside = open.len() > 1;
        let level = open.last_mut().expect("the outermost level is never closed");
        match kind {
            TokenKind::EndOfFile => return false,
            TokenKind::Lpar
            | TokenKind::Lsqb
            | TokenKind::Lbrace
            | TokenKind::FStringStart
            | TokenKind::TStringStart => {
                *level += 1;
                deep += 1;
                open.push(0);
            }
            TokenKind::Rpar
            | TokenKind::Rsqb
            | TokenKind::Rbrace
            | TokenKind::FStringEnd
            | TokenKind::TStringEnd
                if is_inside =>
            {
                deep -= open.pop().unwrap_or_default();
            }
            TokenKind::Comma | TokenKind::Newline => {
                deep -= *level;
                *level = 0;
            }
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            kind if nests(kind) => {
                *level += 1;
                deep += 1;
            }
            _ => {}
        }
        if deep > DEEPEST || blocks > DEEPEST / 2 {
            return true;
        }
    }
}

/// Whether what follows a token may be nested one level deeper.
fn nests(kind: TokenKind) -> bool {
    kind.is_operator() && !matches!(kind, TokenKind::Equal)
        || matches!(
            kind,
            TokenKind::Not
                | TokenKind::Lambda
                | TokenKind::If
                | TokenKind::Else
                | TokenKind::Elif
                | TokenKind::Await
                | TokenKind::Yield
                | TokenKind::For
                | TokenKind::And
                | TokenKind::Or
                | TokenKind::In
                | TokenKind::Is
                | TokenKind::Class
                | TokenKind::Def
                | TokenKind::Try
                | TokenKind::With
                | TokenKind::While
                | TokenKind::Except
                | TokenKind::Finally
                | TokenKind::Match
                | TokenKind::Case
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_that_would_overflow_the_stack_is_refused() {
        for text in [
            "(".repeat(5000),
            format!("x = {}1", "not ".repeat(5000)),
            format!("x = {}1", "-".repeat(5000)),
            format!("x = a{}", ".a".repeat(5000)),
            format!("x = a{}", "()".repeat(5000)),
            format!("x = {}1", "1 ** ".repeat(5000)),
            format!("x = {}1", "1 + ".repeat(5000)),
            format!("x = {}1", "lambda: ".repeat(5000)),
            format!("x = {}1", "1 if 1 else ".repeat(5000)),
            format!("{}x", "f'{".repeat(5000)),
            (0..500).map(|depth| format!("{}if 1:\n", " ".repeat(depth))).collect(),
            "if 1:\n".repeat(5000),
            "{[(".repeat(3000),
            "*".repeat(5000),
            "@".repeat(5000),
            "match x:\n case ".to_owned() + &"(".repeat(5000),
            "match x:\n case ".to_owned() + &"-".repeat(5000),
            "match x:\n case ".to_owned() + &"1|".repeat(5000),
        ] {
            assert!(parse(&text).is_err(), "{}", &text[..40]);
        }
    }

    #[test]
    fn long_lists_are_not_deep() {
        let items = "('shop', '0001_initial'),\n".repeat(20_000);
        assert!(parse(&format!("x = [\n{items}]\n")).is_ok());
        assert!(parse(&"x = 1\n".repeat(20_000)).is_ok());
        assert!(parse(&format!("{}1", "x = ".repeat(5000))).is_ok());
        assert!(parse(&format!("x = {}'a'", "'a' ".repeat(20_000))).is_ok());
    }

    #[test]
    fn comments_are_not_found_inside_strings() {
        let text = "x = '# no'  # yes\n";
        assert_eq!(comments(text).into_iter().map(|range| &text[range]).collect::<Vec<_>>(), ["# yes"]);
    }
}
