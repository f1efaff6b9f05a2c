//! What a script for the database's own program has around the statements: how it begins, checks and ends.

use std::collections::BTreeSet;

use rollback_core::SchemaObject;

/// A condition that has to hold; if it does not, the script ends with the message, and nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What is wrong if it does not hold.
    pub(crate) message: &'static str,
    /// SQL that is true or false.
    pub(crate) condition: String,
}

/// What the schema has to be at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaCheck<'s> {
    /// The objects, those of tables that no step names left out.
    pub(crate) expected: &'s [&'s SchemaObject],
    /// The tables that the steps name; `None` if they may change any.
    pub(crate) names: Option<&'s BTreeSet<String>>,
}

/// The frame of a script.
pub(crate) trait Script {
    /// The command that runs it.
    fn how_to_run(&self) -> &'static str;

    /// What stands before the first check: the transaction, the timeouts, the lock.
    fn opening(&self) -> &'static str;

    /// Statements that end the script unless a condition holds.
    fn check(&self, check: &Check) -> Vec<String>;

    /// Statements that have to run before the schema is checked.
    fn before_schema_checks(&self) -> Option<&'static str>;

    /// The checks that the schema is the target's, as far as SQL can tell.
    fn schema_checks(&self, schema: &SchemaCheck<'_>) -> Vec<Check>;

    /// A statement as the script has it; `None` if it is left out. A program that stops at each error cannot go back to
    /// a savepoint; `in_savepoint` remembers between calls that one is open.
    fn rewritten(&self, statement: &str, in_savepoint: &mut bool) -> Option<String>;

    /// What stands behind the last check.
    fn closing(&self) -> &'static str;
}
