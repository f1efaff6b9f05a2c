/// The rules of SQLite 3.35 and newer.
pub(crate) struct Sqlite;
