//! The whole command line over a [`Shop`], without a process: what it says comes back as text.

use std::collections::VecDeque;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rollback_cli::console::{Console, Level, Stream};
use rollback_cli::error::CliError;
use rollback_cli::{DatabaseChoice, Door, DoorKind, Environment, Session};
use rollback_engine::ports::Runner;
use rollback_engine::store::Secret;
use rollback_engine::{Actor, VERSION};
use rollback_revision::{Repository, RepositoryError};

use crate::{FakeRepository, Faulty, ScriptedProject, Shop};

/// A door to a shop. Its clock is the database's; users, times and versions are made the same in each run.
pub struct FakeDoor {
    /// Which door it plays: `manage.py` has the project, the binary has not.
    pub kind: DoorKind,
    /// The surroundings, in a folder that is not there.
    pub environment: Environment,
    /// The git repository, if there is one.
    pub repository: Option<FakeRepository>,
    /// Whether a `manage.py` is near the binary.
    pub has_project: bool,
    /// What was handed over to that `manage.py`.
    pub handed_over: Vec<String>,
    /// Where the commands write.
    pub console: FakeConsole,
    database: Faulty,
    project: ScriptedProject,
    /// What `rehearse` works on.
    scratch: Option<Faulty>,
}

impl Shop {
    /// The command line over this shop.
    pub fn door(&self) -> FakeDoor {
        FakeDoor::over(self)
    }
}

impl FakeDoor {
    fn over(shop: &Shop) -> Self {
        let kind = if shop.has_django { DoorKind::Django } else { DoorKind::Native };
        let program = match kind {
            DoorKind::Django => "manage.py rollback",
            DoorKind::Native => "django-rollback",
        };
        Self {
            kind,
            environment: Environment {
                program: program.to_owned(),
                working_directory: PathBuf::from("/srv/shop"),
                secrets: shop.secrets.iter().map(Secret::new).collect(),
                ways: shop.ways.iter().map(|way| way.as_str().to_owned()).collect(),
                ..Environment::default()
            },
            repository: None,
            has_project: false,
            handed_over: Vec::new(),
            console: FakeConsole::default(),
            database: shop.database.clone(),
            project: shop.project.clone(),
            scratch: None,
        }
    }

    /// Sets a variable of the environment.
    pub fn variable(&mut self, name: &str, value: &str) {
        self.environment.variables.insert(name.to_owned(), value.to_owned());
    }

    /// Runs a command, written as in a shell, and returns what was said. `''` is an empty word, and quotes hold words
    /// together.
    pub fn run(&mut self, line: &str) -> String {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.run_words(&words)
    }

    /// Runs a command.
    pub fn run_words(&mut self, words: &[&str]) -> String {
        let arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut console = std::mem::take(&mut self.console);
        let ended = rollback_cli::run(self, &mut console, &arguments);
        if let Some(error) = ended.error {
            console.stderr.push_str(&format!("error: {error}\n"));
        }
        let mut said = String::new();
        for (name, text) in [("stdout", &console.stdout), ("stderr", &console.stderr)] {
            if !text.is_empty() {
                let _ = write!(said, "--- {name}\n{text}");
            }
        }
        let _ = write!(said, "--- exit code {}", ended.code);
        self.console = FakeConsole { is_terminal: console.is_terminal, ..FakeConsole::default() };
        same_in_each_run(&said)
    }

    fn session(&self, database: &Faulty) -> Session {
        let project = self.project.on(database);
        let runner = (self.kind == DoorKind::Django).then(|| Box::new(project) as Box<dyn Runner>);
        Session { database: Box::new(database.clone()), runner }
    }
}

impl Door for FakeDoor {
    fn kind(&self) -> DoorKind {
        self.kind
    }

    fn environment(&self) -> &Environment {
        &self.environment
    }

    fn actor(&self) -> Actor {
        Actor { user: "deploy".to_owned(), host: "web-1".to_owned() }
    }

    fn connect(&mut self, _: &DatabaseChoice) -> Result<Session, CliError> {
        Ok(self.session(&self.database))
    }

    fn loader(&mut self, _: &DatabaseChoice) -> Option<Box<dyn Runner>> {
        self.session(&self.database).runner
    }

    fn scratch(&mut self, _: &DatabaseChoice) -> Result<Session, CliError> {
        let scratch = Faulty::over(self.database.memory().copy());
        self.scratch = Some(scratch.clone());
        Ok(self.session(&scratch))
    }

    fn end_scratch(&mut self) {
        self.scratch = None;
    }

    fn repository(&self, _: &Path) -> Result<Option<Box<dyn Repository>>, RepositoryError> {
        Ok(self.repository.clone().map(|repository| Box::new(repository) as Box<dyn Repository>))
    }

    fn has_project(&self, _: &Path) -> bool {
        self.has_project
    }

    fn hand_over(&mut self, _: &Path, arguments: &[String]) -> Result<i32, CliError> {
        self.handed_over.push(same_in_each_run(&arguments.join(" ")));
        Ok(0)
    }
}

/// Captures what is said, and answers questions.
#[derive(Debug, Default)]
pub struct FakeConsole {
    /// Whether a person sits there.
    pub is_terminal: bool,
    /// What that person types.
    pub answers: VecDeque<String>,
    /// Whether nobody reads stdout any more.
    pub is_closed: bool,
    stdout: String,
    stderr: String,
}

impl Console for FakeConsole {
    fn out(&mut self, text: &str) -> io::Result<()> {
        if self.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.stdout.push_str(text);
        Ok(())
    }

    fn secret(&mut self, text: &str) -> io::Result<()> {
        self.out(text)
    }

    fn say(&mut self, _: Level, line: &str, stream: Stream) {
        let text = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
            Stream::Silent => return,
        };
        text.push_str(line);
        text.push('\n');
    }

    fn rate(&mut self, _: Level) {}

    fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    fn ask(&mut self, question: &str) -> Result<Option<String>, i32> {
        let answer = self.answers.pop_front();
        self.stderr.push_str(&format!("{question}{}\n", answer.as_deref().unwrap_or_default()));
        Ok(answer)
    }

    fn pause(&mut self, _: Duration) -> Result<(), i32> {
        Ok(())
    }
}

fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted, mut is_word) = (Vec::new(), String::new(), false, false);
    for character in line.chars() {
        match character {
            '\'' => (is_quoted, is_word) = (!is_quoted, true),
            ' ' if !is_quoted => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            _ => {
                word.push(character);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}

/// The text without what each run makes anew, at the same width where tables are: times, lengths of time, tokens and
/// the version.
fn same_in_each_run(text: &str) -> String {
    const SHAPES: &[(&str, &str)] = &[
        ("9999-99-99 99:99:99Z", "YYYY-MM-DD hh:mm:ssZ"),
        ("9999-99-99T99:99:99Z", "YYYY-MM-DDThh:mm:ssZ"),
        ("9.999s", "TIME"),
        ("hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh", "TOKEN"),
    ];
    let mut text = without_seconds(text).replace(VERSION, "VERSION");
    for (shape, replacement) in SHAPES {
        text = masked(&text, shape, replacement);
    }
    text
}

/// Replaces what has this shape and stands for itself: `9` is a digit, `h` a hex digit.
fn masked(text: &str, shape: &str, replacement: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let fits = |place: usize| {
        let is_edge = |character: Option<&char>| character.is_none_or(|c| !c.is_ascii_alphanumeric());
        is_edge(place.checked_sub(1).and_then(|before| characters.get(before)))
            && is_edge(characters.get(place + shape.len()))
            && shape.chars().enumerate().all(|(offset, wanted)| {
                characters.get(place + offset).is_some_and(|found| match wanted {
                    '9' => found.is_ascii_digit(),
                    'h' => found.is_ascii_hexdigit(),
                    _ => *found == wanted,
                })
            })
    };
    let (mut masked, mut place) = (String::new(), 0);
    while place < characters.len() {
        if fits(place) {
            masked.push_str(replacement);
            place += shape.len();
        } else {
            masked.push(characters[place]);
            place += 1;
        }
    }
    masked
}

/// Without the numbers of the JSON keys that end with `seconds`.
fn without_seconds(text: &str) -> String {
    const KEY: &str = "seconds\":";
    let mut parts = text.split(KEY);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([',', '}']).unwrap_or(part.len());
        shown.push_str(KEY);
        shown.push_str("TIME");
        shown.push_str(&part[end..]);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_does() {
        assert_eq!(words("rollback  -t v1"), ["rollback", "-t", "v1"]);
        assert_eq!(words("rollback -t '' -c ' a b'"), ["rollback", "-t", "", "-c", " a b"]);
        assert_eq!(words(""), Vec::<String>::new());
    }

    #[test]
    fn what_each_run_makes_anew_is_masked_and_nothing_else() {
        let commit = "a".repeat(40);
        let said =
            format!("at 2026-11-28 09:00:01Z, 2026-11-28T09:00:01Z (0.012s) {} {commit}", "0f".repeat(16));
        let masked = format!("at YYYY-MM-DD hh:mm:ssZ, YYYY-MM-DDThh:mm:ssZ (TIME) TOKEN {commit}");
        assert_eq!(same_in_each_run(&said), masked);
        assert_eq!(
            same_in_each_run(r#"{"seconds":1.5e-4,"down_seconds":2}"#),
            r#"{"seconds":TIME,"down_seconds":TIME}"#
        );
    }
}
