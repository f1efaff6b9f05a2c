//! The kinds of database that rules tell apart.

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// PostgreSQL.
    Postgresql,
    /// SQLite.
    Sqlite,
}
