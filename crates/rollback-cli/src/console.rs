//! Where output goes, and how foreign text is made safe for a terminal.

use std::io;
use std::time::Duration;

/// How much a line matters. In Django's door, the highest level of a command becomes the level of its log entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What happens.
    Info,
    /// What was done.
    Success,
    /// What the user should look at.
    Warning,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// With the data, for people.
    Stdout,
    /// Beside the data.
    Stderr,
    /// Nowhere, since the user asked for silence. A door may still log it.
    Silent,
}

/// The terminal, or whatever a door writes to and asks.
pub trait Console {
    /// Writes data to stdout. Fails if the reader has gone.
    fn out(&mut self, text: &str) -> io::Result<()>;

    /// Writes a secret to stdout, and never to a log.
    fn secret(&mut self, text: &str) -> io::Result<()>;

    /// Writes a message. A closed stream is no failure.
    fn say(&mut self, level: Level, line: &str, stream: Stream);

    /// Rates data that is written as a whole: a plan with blockers is a warning.
    fn rate(&mut self, level: Level);

    /// Whether all streams are a terminal: only then it asks questions and draws progress.
    fn is_terminal(&self) -> bool;

    /// Asks a person and returns the typed line; `None` if nobody is there. Fails with the number of a signal.
    fn ask(&mut self, question: &str) -> Result<Option<String>, i32>;

    /// Waits. Ends early with the number of a signal that asks to stop.
    fn pause(&mut self, length: Duration) -> Result<(), i32>;
}

/// Makes text from git or the database safe to show: it escapes control characters, line ends and marks that reorder
/// letters.
#[expect(clippy::needless_pass_by_value, reason = "callers pass references and fresh strings alike")]
pub fn safe(text: impl ToString) -> String {
    let mut shown = String::new();
    for character in text.to_string().chars() {
        if is_harmful(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Makes a JSON document safe to show: what [`safe`] escapes becomes JSON's own escapes, so the values stay the same.
/// `serde_json` leaves most of these characters as they are.
pub fn safe_json(document: &str) -> String {
    let mut shown = String::with_capacity(document.len());
    let mut units = [0; 2];
    for character in document.chars() {
        if character != '\n' && is_harmful(character) {
            shown.extend(character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Control characters, and the bidirectional and invisible ones of Unicode's UAX 9 and TR 36.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::{safe, safe_json};

    #[test]
    fn harmful_characters_are_escaped() {
        assert_eq!(safe("v1 é \"x\""), "v1 é \"x\"");
        assert_eq!(safe("a\u{1b}[31mb\nc\u{202e}d"), "a\\u{1b}[31mb\\u{a}c\\u{202e}d");
    }

    #[test]
    fn a_document_stays_the_same() {
        let value = serde_json::json!({ "é\u{9b}": "a\u{1b}\u{7f}\n\u{202e}\u{feff}\u{1f600}" });
        let shown = safe_json(&format!("{value}\n"));
        assert_eq!(shown, concat!(r#"{"é\u009b":"a\u001b\u007f\n\u202e\ufeff😀"}"#, "\n"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
