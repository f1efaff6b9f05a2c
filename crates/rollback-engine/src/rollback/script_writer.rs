//! Takes the place of a database, and writes down what it is told to do.

use std::fmt::Write;

use crate::dialect::{self, Check, Rules, SchemaCheck, with_values};
use crate::ports::{Database, DatabaseError, DatabaseErrorKind, Dialect, Purpose, Row, Value};

/// What a comment begins with.
const NOTE: &str = "-- ";

/// A script on its way.
pub(super) struct ScriptWriter {
    dialect: Dialect,
    name: String,
    text: String,
    /// Whether the statements of a savepoint are on their way.
    in_savepoint: bool,
}

impl ScriptWriter {
    /// A script for this database. Nothing is asked of it.
    pub(super) fn new(database: &dyn Database) -> Self {
        Self { dialect: database.dialect(), name: database.name(), text: String::new(), in_savepoint: false }
    }

    fn rules(&self) -> &'static dyn Rules {
        dialect::of(self.dialect)
    }

    /// A comment as a statement: it is written in its place among the statements.
    pub(super) fn note(text: &str) -> String {
        format!("{NOTE}{text}")
    }

    /// The command that runs the script.
    pub(super) fn how_to_run(&self) -> &'static str {
        self.rules().how_to_run()
    }

    /// Writes what stands before the first check.
    pub(super) fn opening(&mut self) {
        self.text.push_str(self.rules().opening());
    }

    /// Writes what stands behind the last check.
    pub(super) fn closing(&mut self) {
        self.text.push_str(self.rules().closing());
    }

    /// The whole script.
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}");
    }

    /// Writes a comment.
    pub(super) fn comment(&mut self, text: &str) {
        // One line, whatever a name holds.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.line(&format!("{NOTE}{text}"));
    }

    fn statement(&mut self, sql: &str) {
        let sql = sql.trim_end();
        // A comment at its end would swallow the semicolon.
        let end = if sql.lines().last().is_some_and(|line| line.contains("--")) { "\n;" } else { ";" };
        self.line(&format!("{sql}{end}"));
    }

    /// Writes a check: the script ends unless its condition holds.
    pub(super) fn check(&mut self, check: &Check) {
        for statement in self.rules().check(check) {
            self.statement(&statement);
        }
    }

    /// Writes the checks of the schema.
    pub(super) fn check_schema(&mut self, schema: &SchemaCheck<'_>) {
        if let Some(statement) = self.rules().before_schema_checks() {
            self.statement(statement);
        }
        for check in self.rules().schema_checks(schema) {
            self.check(&check);
        }
    }
}

impl Database for ScriptWriter {
    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn query(&mut self, _: &str, _: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        Ok(Vec::new())
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DatabaseError> {
        self.statement(&with_values(sql, params));
        Ok(0)
    }

    fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        match sql.strip_prefix(NOTE) {
            Some(text) if !text.contains('\n') => self.comment(text),
            _ => {
                let rules = self.rules();
                if let Some(statement) = rules.rewritten(sql, &mut self.in_savepoint) {
                    self.statement(&statement);
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, _: Purpose) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn reconnect(&mut self) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn another(&self) -> Result<Box<dyn Database>, DatabaseError> {
        Err(DatabaseError::new(DatabaseErrorKind::Other, "a script has no connection"))
    }
}
