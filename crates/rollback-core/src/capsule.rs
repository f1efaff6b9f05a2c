//! Capsules: what undoes one migration without its file.

use serde::{Deserialize, Serialize};

use crate::effect::{Change, Effect};
use crate::migration::{MigrationFacts, MigrationId};
use crate::sql;
use crate::stored::{Stored, StoredError};

/// The version of capsules that this code writes. Version 1 had the facts alone.
pub const CAPSULE_FORMAT: u32 = 2;

/// What the database keeps of one migration. Its source and its recorded SQL are stored under their hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capsule {
    /// What planning has to know.
    #[serde(flatten)]
    pub facts: MigrationFacts,
    /// Every operation, in order.
    #[serde(default)]
    pub operations: Vec<OperationFacts>,
    /// The modules that the source imports, without those of Python's own library and of Django.
    #[serde(default)]
    pub imports: Vec<String>,
    /// The SQL that undoes it.
    pub reverse: Reverse,
}

/// One operation of a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationFacts {
    /// Its class: `AddField`.
    pub kind: String,
    /// Whether Django can undo it.
    pub reversible: bool,
}

/// Whether there is SQL that undoes a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reverse {
    /// There is SQL.
    Recorded {
        /// The database that it is for: `sqlite` or `postgresql`.
        vendor: String,
        /// Content address of the [`Recording`].
        hash: String,
    },
    /// There is no SQL.
    Missing {
        /// Why, as a sentence without its full stop.
        reason: String,
    },
}

/// The SQL that undoes one migration, recorded while the database was exactly at the state after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The statements, in order, with their values.
    pub statements: Vec<String>,
    /// What they do, as Django's operations tell it.
    pub effects: Vec<Change>,
}

/// What Django knows about a migration that has been applied.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct NewCapsule {
    /// What its file says.
    #[serde(flatten)]
    pub facts: MigrationFacts,
    /// Its operations.
    pub operations: Vec<OperationFacts>,
    /// The modules that it imports.
    pub imports: Vec<String>,
    /// Its source text; `None` if there is only compiled code.
    pub text: Option<String>,
    /// The SQL that undoes it, or why there is none.
    pub recording: NewRecording,
}

/// What recording the SQL that undoes a migration led to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum NewRecording {
    /// There is SQL.
    Recorded(Recording),
    /// There is no SQL.
    Missing {
        /// Why, as a sentence without its full stop.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Document {
    #[serde(flatten)]
    capsule: Capsule,
}

#[derive(Serialize)]
struct DocumentToWrite<'c> {
    format: u32,
    #[serde(flatten)]
    capsule: &'c Capsule,
}

impl Capsule {
    /// The stored form.
    pub fn encode(&self) -> Stored {
        Stored::of(&DocumentToWrite { format: CAPSULE_FORMAT, capsule: self })
    }

    /// Reads the stored form back.
    pub fn decode(stored: &Stored) -> Result<Self, StoredError> {
        stored.read::<Document>(CAPSULE_FORMAT).map(|document| document.capsule)
    }

    /// Which migration it is about.
    pub fn id(&self) -> &MigrationId {
        &self.facts.id
    }
}

impl Recording {
    /// As a text to keep.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("statements and names are strings: always valid JSON")
    }

    /// Reads the kept text back.
    pub fn from_text(text: &str) -> Result<Self, StoredError> {
        serde_json::from_str(text).map_err(|error| StoredError::Document(error.to_string()))
    }

    /// The effects, as those of this migration.
    pub fn effects_of(&self, migration: &MigrationId) -> impl Iterator<Item = Effect> {
        self.effects.iter().map(|change| Effect { migration: migration.clone(), change: change.clone() })
    }

    /// A statement that no transaction allows, if there is one.
    pub fn refused_statement(&self) -> Option<String> {
        self.statements.iter().find_map(|statement| sql::refuses_transaction(statement))
    }
}

/// Whether Django could have this app label or migration name: letters, digits and `_`, as in a module's name. Names
/// become part of messages and of module names, so nothing else is accepted from a stored row.
pub fn is_name(text: &str) -> bool {
    const LONGEST: usize = 255;
    !text.is_empty()
        && text.len() <= LONGEST
        && text != "__init__"
        && text.chars().all(|character| character.is_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::id;

    fn capsule() -> Capsule {
        Capsule {
            facts: MigrationFacts { source: Some("ab".repeat(32)), ..MigrationFacts::new(id("a.2")) },
            operations: vec![OperationFacts { kind: "AddField".to_owned(), reversible: true }],
            imports: vec!["shop.fields".to_owned()],
            reverse: Reverse::Recorded { vendor: "sqlite".to_owned(), hash: "cd".repeat(32) },
        }
    }

    #[test]
    fn a_capsule_comes_back_as_it_was() {
        assert_eq!(Capsule::decode(&capsule().encode()), Ok(capsule()));
        let missing =
            Capsule { reverse: Reverse::Missing { reason: "it runs code".to_owned() }, ..capsule() };
        assert_eq!(Capsule::decode(&missing.encode()), Ok(missing));
    }

    #[test]
    fn a_recording_comes_back_as_it_was() {
        let change = Change::DropColumn {
            table: "a_item".to_owned(),
            column: "price".to_owned(),
            written_at: None,
            local_time: false,
        };
        let recording = Recording { statements: vec!["ALTER TABLE a".to_owned()], effects: vec![change] };
        assert_eq!(Recording::from_text(&recording.to_text()), Ok(recording));
    }

    #[test]
    fn only_names_of_modules_are_names() {
        for name in ["0001_initial", "shop", "0162b_auto", "größe"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "__init__", "../evil", "a.b", "a b", "a\u{202e}b", "a\"b", &"a".repeat(256)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
