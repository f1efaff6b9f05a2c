//! What a database says of itself: which tables there are, and its schema.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::Schema;

use crate::ports::{Database, DatabaseError};

/// What the names of our own tables begin with. They are ours to change, whatever release the application is at.
pub(crate) const OWN_TABLES: &str = "django_rollback_";

/// The columns of every table.
pub(crate) type Columns = BTreeMap<String, BTreeSet<String>>;

/// An index or a trigger, with the statement that makes it: remaking its table loses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RemadeObject {
    /// `index` or `trigger`.
    pub(crate) kind: String,
    /// The table that it is on.
    pub(crate) table: String,
    /// Its name.
    pub(crate) name: String,
    /// The statement that makes it.
    pub(crate) sql: String,
}

/// Questions to the catalogue.
pub(crate) trait Catalogue {
    /// A query that returns a row if the table of the lock exists. It never fails: an error would break the transaction
    /// of a caller who is in one.
    fn has_lock_table(&self) -> &'static str;

    /// Reads the schema: on a database with several namespaces, of those in which the connection looks tables up.
    ///
    /// Inside a transaction, as the settings on which the server's words depend are fixed until its end. Left out are our
    /// own tables, objects of extensions, and partitions, which come and go with the data.
    fn read_schema(&self, database: &mut dyn Database) -> Result<Schema, DatabaseError>;

    /// The columns of every table that the connection sees.
    fn columns(&self, database: &mut dyn Database) -> Result<Columns, DatabaseError>;

    /// Those of these tables that exist.
    fn existing(&self, database: &mut dyn Database, tables: &[String]) -> Result<Vec<String>, DatabaseError>;

    /// The indexes and triggers that the remake of a table loses; `None` if tables are altered in place.
    fn lost_in_remakes(&self, database: &mut dyn Database) -> Result<Vec<RemadeObject>, DatabaseError>;
}
