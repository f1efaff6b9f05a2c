//! SQL text cut into pieces.

/// The keywords that begin the definition of a constraint.
const CONSTRAINTS: [&str; 5] = ["constraint", "unique", "check", "foreign", "primary"];

/// The words of SQL text. Keywords and bare names are in lower case, every other character is a word of its own, and
/// there are no comments. Texts keep their quotes; names lose them, unless they would read as the keyword of a
/// constraint.
pub(crate) fn words(sql: &str) -> Vec<String> {
    let word = |Token { kind, text }| match kind {
        Kind::Nothing => None,
        Kind::Name(quote) => {
            let inner = text.trim_start_matches('[').trim_end_matches(']').trim_matches(quote);
            if CONSTRAINTS.contains(&inner.to_lowercase().as_str()) {
                return Some(format!("\"{inner}\""));
            }
            Some(inner.replace(&format!("{quote}{quote}"), &quote.to_string()))
        }
        Kind::Text => Some(text.to_owned()),
        Kind::Number | Kind::Other => Some(text.to_lowercase()),
    };
    tokens(sql).into_iter().filter_map(word).collect()
}

/// A piece of SQL text (<https://www.sqlite.org/lang_expr.html>,
/// <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>).
pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    pub(super) text: &'s str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// White space or a comment.
    Nothing,
    /// A name in these quotes.
    Name(char),
    /// A text in its quotes.
    Text,
    /// A number.
    Number,
    /// A keyword, a bare name, or one character.
    Other,
}

/// The text cut into pieces: nothing of it is lost.
pub(super) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let (mut tokens, mut rest) = (Vec::new(), sql);
    while let Some(first) = rest.chars().next() {
        let has_escapes =
            tokens.last().is_some_and(|before: &Token<'_>| before.text.eq_ignore_ascii_case("e"));
        let (kind, length) = match first {
            '\'' if has_escapes => (Kind::Text, quoted_with_escapes(rest)),
            '\'' => (Kind::Text, quoted(rest, first)),
            '"' | '`' => (Kind::Name(first), quoted(rest, first)),
            '[' => (Kind::Name('['), rest.find(']').map_or(rest.len(), |end| end + 1)),
            '-' if rest.starts_with("--") => (Kind::Nothing, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => {
                (Kind::Nothing, rest[2..].find("*/").map_or(rest.len(), |end| end + 4))
            }
            '$' => match dollar_quoted(rest) {
                Some(length) => (Kind::Text, length),
                None => (Kind::Other, word_length(rest)),
            },
            _ if first.is_ascii_digit() => {
                let end = rest.find(|c: char| !(is_part_of_a_word(c) || c == '.'));
                (Kind::Number, end.unwrap_or(rest.len()))
            }
            _ if is_part_of_a_word(first) => (Kind::Other, word_length(rest)),
            _ if first.is_whitespace() => (Kind::Nothing, first.len_utf8()),
            _ => (Kind::Other, first.len_utf8()),
        };
        let (text, after) = rest.split_at(length);
        tokens.push(Token { kind, text });
        rest = after;
    }
    tokens
}

fn word_length(text: &str) -> usize {
    text.find(|character| !is_part_of_a_word(character)).unwrap_or(text.len())
}

/// The length of a text in which a backslash takes the meaning from the next character.
fn quoted_with_escapes(text: &str) -> usize {
    let mut places = text.char_indices().skip(1);
    while let Some((place, character)) = places.next() {
        match character {
            '\\' => drop(places.next()),
            '\'' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_part_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

/// The length of the quoted word that the text begins with; a doubled quote stands for one.
fn quoted(text: &str, quote: char) -> usize {
    let mut places = text.char_indices().skip(1).peekable();
    while let Some((place, character)) = places.next() {
        if character != quote {
            continue;
        }
        if places.peek().is_some_and(|(_, next)| *next == quote) {
            places.next();
        } else {
            return place + character.len_utf8();
        }
    }
    text.len()
}

/// The length of a text that PostgreSQL quotes with dollars, `$tag$ … $tag$`, if it begins with one.
fn dollar_quoted(text: &str) -> Option<usize> {
    let end_of_tag = 1 + text[1..].find('$')?;
    let tag = &text[..=end_of_tag];
    let is_tag = tag[1..end_of_tag].chars().all(|character| character.is_alphanumeric() || character == '_');
    let body = &text[tag.len()..];
    is_tag.then(|| body.find(tag).map_or(text.len(), |end| tag.len() + end + tag.len()))
}
