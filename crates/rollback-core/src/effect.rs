//! What undoing a migration does to the database: what it drops, what it locks, and what the older schema requires of
//! the rows. Django's operations tell it before anything runs.

mod walk;

use serde::{Deserialize, Serialize};

use crate::migration::MigrationId;

pub use walk::{Drop, Effects, Requirement};

/// One effect of undoing a migration. The door with Django reports them in the order in which they happen, with the
/// names that tables and columns have at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// The migration.
    pub migration: MigrationId,
    /// What happens.
    #[serde(flatten)]
    pub change: Change,
}

/// What happens to the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// A table is dropped with all its rows.
    DropTable {
        /// The table.
        table: String,
        /// A column with the time at which a row was last changed, or created.
        #[serde(default)]
        written_at: Option<String>,
        /// Whether that time is stored without its zone, as local time.
        #[serde(default)]
        local_time: bool,
    },
    /// A column is dropped with all its values.
    DropColumn {
        /// Its table.
        table: String,
        /// The column.
        column: String,
        /// As for a table.
        #[serde(default)]
        written_at: Option<String>,
        /// As for a table.
        #[serde(default)]
        local_time: bool,
    },
    /// A table comes (back), and is empty.
    CreateTable {
        /// The table.
        table: String,
    },
    /// A column comes (back), without values of its own.
    CreateColumn {
        /// Its table.
        table: String,
        /// The column.
        column: String,
        /// Whether it is NOT NULL and has no default: then the table must be empty.
        #[serde(default)]
        needs_empty: bool,
    },
    /// A table gets another name.
    RenameTable {
        /// The name before.
        table: String,
        /// The name after.
        to: String,
    },
    /// A column gets another name.
    RenameColumn {
        /// Its table.
        table: String,
        /// The name before.
        column: String,
        /// The name after.
        to: String,
    },
    /// A table is altered, or another table's reference to it: it must be locked.
    Alter {
        /// The table.
        table: String,
    },
    /// The older schema requires something of the rows.
    Require {
        /// The table.
        table: String,
        /// The columns that it is about.
        columns: Vec<String>,
        /// What it requires.
        #[serde(flatten)]
        rule: Rule,
    },
    /// Code of the project or custom SQL runs. It may do anything to the rows.
    RunCode,
    /// Code or custom SQL ran forwards, and nothing undoes it: what it created may be left behind.
    LeaveBehind,
}

impl Change {
    /// The tables that it names.
    fn tables(&self) -> impl Iterator<Item = &str> {
        let (table, other) = match self {
            Self::DropTable { table, .. }
            | Self::DropColumn { table, .. }
            | Self::CreateTable { table }
            | Self::CreateColumn { table, .. }
            | Self::RenameColumn { table, .. }
            | Self::Alter { table }
            | Self::Require { table, .. } => (Some(table), None),
            Self::RenameTable { table, to } => (Some(table), Some(to)),
            Self::RunCode | Self::LeaveBehind => (None, None),
        };
        table.into_iter().chain(other).map(String::as_str)
    }
}

/// What the older schema requires of the values in a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Rule {
    /// No NULL.
    NotNull,
    /// No text longer than this.
    Length {
        /// In characters.
        most: u32,
    },
    /// No number outside this range.
    Range {
        /// The least that fits.
        least: i64,
        /// The greatest that fits.
        greatest: i64,
    },
    /// No number with more digits than this before the decimal point, once it is rounded.
    Digits {
        /// How many.
        most: u32,
        /// To how many decimal places it is rounded.
        places: u32,
    },
    /// No two rows with the same values; NULL does not count.
    Unique,
}
