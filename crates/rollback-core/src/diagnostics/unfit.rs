//! Rows that the older schema cannot hold.

use std::fmt;

use crate::effect::Rule;
use crate::migration::MigrationId;

/// Rows that the older schema cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The migration whose undoing they prevent.
    pub migration: MigrationId,
    /// The table.
    pub table: String,
    /// The columns; empty if the table must be empty.
    pub columns: Vec<String>,
    /// What the older schema requires; `None` if the table must be empty.
    pub rule: Option<Rule>,
    /// How many rows do not fit.
    pub rows: i64,
}

impl Unfit {
    /// What is wrong with the rows.
    fn finding(&self) -> String {
        let Self { table, rule, .. } = self;
        let held = |what: &str| {
            format!("{} of {table} {} {what} in {}", self.counted(), self.have(), self.columns())
        };
        match rule {
            None => format!(
                "{table} has {}, and a column comes back that is NOT NULL and has no default",
                self.counted()
            ),
            Some(Rule::NotNull) => held("NULL"),
            Some(Rule::Length { most }) => format!("{} longer than {most} characters", held("a text")),
            Some(Rule::Range { least, greatest }) => {
                format!("{} outside {least} to {greatest}", held("a number"))
            }
            Some(Rule::Digits { most, .. }) => {
                format!("{} with more than {most} digits before the point", held("a number"))
            }
            Some(Rule::Unique) => format!(
                "{} of {table} share their values with another row in {}",
                self.counted(),
                self.columns()
            ),
        }
    }

    fn counted(&self) -> String {
        if self.rows == 1 { "1 row".to_owned() } else { format!("{} rows", self.rows) }
    }

    fn have(&self) -> &'static str {
        if self.rows == 1 { "has" } else { "have" }
    }

    fn columns(&self) -> String {
        self.columns.join(", ")
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, which the schema before {} cannot hold", self.finding(), self.migration)
    }
}
