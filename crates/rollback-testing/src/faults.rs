//! A database that fails when it is told to, and remembers every statement.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use rollback_engine::ports::{Database, DatabaseError, DatabaseErrorKind, Dialect, Purpose, Row, Value};

use crate::Memory;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is lost. The database takes back what was begun on it, and every statement fails until the next
    /// connection.
    Lost,
    /// Another session holds what the statement needs.
    Busy,
    /// The statement is refused, in these words.
    Refused(&'static str),
    /// A signal with this number arrives.
    Signal(i32),
}

/// At which statement it goes wrong. Statements are counted from the moment the fault is planned: every query, and the
/// begin and the end of a transaction too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Instead of the statement with this number; the first is 1.
    Before(usize),
    /// When the statement with this number has run.
    After(usize),
    /// Instead of the next statement that has these words.
    At(&'static str),
    /// When the next statement that has these words has run.
    Behind(&'static str),
    /// Instead of every statement that has these words.
    Always(&'static str),
}

/// What a transaction's ends are called in the list of statements.
const BEGIN: &str = "BEGIN";
const COMMIT: &str = "COMMIT";

/// A database in memory that fails when it is told to. A clone is the same session with the same plans.
#[derive(Clone, Default)]
pub struct Faulty {
    memory: Memory,
    plans: Rc<RefCell<Plans>>,
}

#[derive(Default)]
struct Plans {
    planned: Vec<Planned>,
    statements: Vec<String>,
    is_lost: bool,
    /// How many more attempts to connect fail.
    unreachable_for: usize,
}

struct Planned {
    when: When,
    fault: Fault,
    /// How many statements had run when it was planned.
    since: usize,
}

/// Whether a statement has run when its fault is due.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

impl Faulty {
    /// Over this database.
    pub fn over(memory: Memory) -> Self {
        Self { memory, plans: Rc::default() }
    }

    /// The database itself, which never fails.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Plans a fault.
    pub fn plan(&self, when: When, fault: Fault) {
        let mut plans = self.plans.borrow_mut();
        let since = plans.statements.len();
        plans.planned.push(Planned { when, fault, since });
    }

    /// Lets this many attempts to connect again fail.
    pub fn stay_away_for(&self, attempts: usize) {
        self.plans.borrow_mut().unreachable_for = attempts;
    }

    /// Forgets the faults that have not come yet.
    pub fn behave(&self) {
        self.plans.borrow_mut().planned.clear();
    }

    /// Every statement until now.
    pub fn statements(&self) -> Vec<String> {
        self.plans.borrow().statements.clone()
    }

    fn passing<T>(
        &mut self,
        statement: &str,
        run: impl FnOnce(&mut Memory) -> Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        if self.plans.borrow().is_lost {
            return Err(lost());
        }
        self.plans.borrow_mut().statements.push(statement.to_owned());
        self.fail_if_planned(statement, Moment::Before)?;
        let done = run(&mut self.memory);
        self.fail_if_planned(statement, Moment::After)?;
        done
    }

    fn fail_if_planned(&mut self, statement: &str, moment: Moment) -> Result<(), DatabaseError> {
        let Some(fault) = self.plans.borrow_mut().due(statement, moment) else { return Ok(()) };
        Err(match fault {
            Fault::Lost => {
                let _ = self.memory.rollback();
                self.plans.borrow_mut().is_lost = true;
                lost()
            }
            Fault::Busy => DatabaseError::new(DatabaseErrorKind::Busy, "database is locked"),
            Fault::Refused(words) => DatabaseError::new(DatabaseErrorKind::Other, words),
            Fault::Signal(signal) => {
                DatabaseError::new(DatabaseErrorKind::Interrupted { signal }, "interrupted")
            }
        })
    }
}

impl Plans {
    fn due(&mut self, statement: &str, moment: Moment) -> Option<Fault> {
        let count = self.statements.len();
        let place = self.planned.iter().position(|planned| match planned.when {
            When::Before(number) => moment == Moment::Before && count == planned.since + number,
            When::After(number) => moment == Moment::After && count == planned.since + number,
            When::At(words) | When::Always(words) => moment == Moment::Before && statement.contains(words),
            When::Behind(words) => moment == Moment::After && statement.contains(words),
        })?;
        if matches!(self.planned[place].when, When::Always(_)) {
            return Some(self.planned[place].fault);
        }
        Some(self.planned.remove(place).fault)
    }
}

fn lost() -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Unreachable, "the server closed the connection")
}

impl Database for Faulty {
    fn dialect(&self) -> Dialect {
        self.memory.dialect()
    }

    fn name(&self) -> String {
        self.memory.name()
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        self.passing(sql, |memory| memory.query(sql, params))
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DatabaseError> {
        self.passing(sql, |memory| memory.execute(sql, params))
    }

    fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.passing(sql, |memory| memory.run(sql))
    }

    fn begin(&mut self, purpose: Purpose) -> Result<(), DatabaseError> {
        self.passing(BEGIN, |memory| memory.begin(purpose))
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        let committed = self.passing(COMMIT, Memory::commit);
        if committed.is_err() {
            // As a driver does: a commit that fails has taken everything back.
            let _ = self.memory.rollback();
        }
        committed
    }

    fn rollback(&mut self) -> Result<(), DatabaseError> {
        if self.plans.borrow().is_lost { Err(lost()) } else { self.memory.rollback() }
    }

    fn reconnect(&mut self) -> Result<(), DatabaseError> {
        let mut plans = self.plans.borrow_mut();
        if plans.unreachable_for > 0 {
            plans.unreachable_for -= 1;
            return Err(lost());
        }
        plans.is_lost = false;
        self.memory.reconnect()
    }

    fn another(&self) -> Result<Box<dyn Database>, DatabaseError> {
        Ok(Box::new(Self { memory: self.memory.other_session(), plans: Rc::clone(&self.plans) }))
    }

    fn lock_file(&self) -> Option<PathBuf> {
        self.memory.lock_file()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(database: &mut Faulty) -> Result<(), DatabaseErrorKind> {
        database.query("SELECT 1", &[]).map(drop).map_err(|error| error.kind)
    }

    #[test]
    fn a_fault_comes_once_at_its_statement() {
        let mut database = Faulty::default();
        database.plan(When::Before(2), Fault::Busy);
        assert_eq!(
            [ask(&mut database), ask(&mut database), ask(&mut database)],
            [Ok(()), Err(DatabaseErrorKind::Busy), Ok(())]
        );
    }

    #[test]
    fn a_lost_connection_takes_back_what_was_begun_and_stays_lost() {
        let mut database = Faulty::default();
        database.begin(Purpose::Records).unwrap();
        database.execute("DELETE FROM django_rollback_lock", &[]).unwrap();
        database.plan(When::Behind("SELECT 1"), Fault::Lost);
        let lost = Err(DatabaseErrorKind::Unreachable);
        assert_eq!([ask(&mut database), ask(&mut database)], [lost, lost]);
        database.stay_away_for(1);
        assert!(database.reconnect().is_err() && database.reconnect().is_ok());
        assert_eq!(database.memory().column("SELECT id FROM django_rollback_lock"), ["1"]);
    }
}
