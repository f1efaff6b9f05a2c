//! The ways to do a step.

/// How a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Undo the migration by its file, through Django.
    Disk,
    /// Undo the migration by its archived source, through Django.
    Capsule,
    /// Undo the migration by its recorded SQL.
    Sql,
    /// Only remove its row: its state stays applied under other names, as after a squash.
    Unmark,
    /// Only add its row: the release had it, and its state is applied under another name.
    Mark,
}

/// The ways to undo a migration, in the order in which they are tried.
pub const WAYS: &[Way] = &[Way::Sql, Way::Disk, Way::Capsule];

impl Way {
    /// The word for it in documents and in history. Marking has the words of the first release, which scripts read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Capsule => "capsule",
            Self::Sql => "sql",
            Self::Unmark => "unrecord",
            Self::Mark => "record",
        }
    }

    /// Whether Django does it.
    pub fn needs_python(self) -> bool {
        matches!(self, Self::Disk | Self::Capsule)
    }

    /// Whether a migration is undone, and not only a row of `django_migrations` changed.
    pub fn undoes(self) -> bool {
        matches!(self, Self::Disk | Self::Capsule | Self::Sql)
    }
}
