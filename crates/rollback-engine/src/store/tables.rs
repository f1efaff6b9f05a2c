//! The tables behind a connection: ours, and Django's `django_migrations`.

use rollback_core::{APP_LABEL, AppliedRow, AppliedSet, MigrationId};

use super::error::StoreError;
use super::row::{Reader, text};
use crate::dialect::LockRequest;
use crate::ports::{Database, DatabaseErrorKind, Purpose, Row};
use crate::session::{Session, SessionError};

/// Our own migrations, oldest first. One that is applied and not named here comes from a newer version.
const OWN_MIGRATIONS: &[&str] = &["0001_initial", "0002_releases", "0003_schemas", "0004_capsules"];

/// The tables behind a session.
pub(crate) struct Store<'d> {
    /// The session in which they are read and written.
    pub(crate) session: Session<'d>,
}

type Result<T> = std::result::Result<T, StoreError>;

impl<'d> Store<'d> {
    /// Checks that our tables exist and that a version made them that this one understands.
    pub(crate) fn open(database: &'d mut dyn Database) -> Result<Self> {
        let mut store = Self::over(database);
        let known = store.own_migrations()?;
        if let Some(newer) = known.iter().find(|name| !OWN_MIGRATIONS.contains(&name.as_str())) {
            let migration = MigrationId::new(APP_LABEL, newer.as_str());
            return Err(StoreError::NewerTables { database: store.session.name(), migration });
        }
        if let Some(missing) = OWN_MIGRATIONS.iter().find(|name| !known.iter().any(|known| known == *name)) {
            let migration = MigrationId::new(APP_LABEL, *missing);
            return Err(StoreError::NotInstalled { database: store.session.name(), migration });
        }
        Ok(store)
    }

    /// The tables behind a connection of which nothing is asked: statements are only passed on.
    pub(crate) fn over(database: &'d mut dyn Database) -> Self {
        Self { session: Session::new(database) }
    }

    fn own_migrations(&mut self) -> Result<Vec<String>> {
        let sql = "SELECT name FROM django_migrations WHERE app = $1";
        let rows = match self.session.query(sql, &[text(APP_LABEL)]) {
            Err(error) if error.kind() == Some(DatabaseErrorKind::MissingTable) => {
                return Err(StoreError::NoMigrationsTable { database: self.session.name() });
            }
            rows => rows?,
        };
        rows.into_iter().map(|row| self.reader(row, "a row of django_migrations").text()).collect()
    }

    /// The rows of `django_migrations`, in the order of their ids.
    pub(crate) fn applied_rows(&mut self) -> Result<Vec<AppliedRow>> {
        let rows = self.session.query("SELECT id, app, name FROM django_migrations ORDER BY id", &[])?;
        rows.into_iter()
            .map(|row| {
                let mut row = self.reader(row, "a row of django_migrations");
                let id = row.int()?;
                Ok(AppliedRow { id, migration: MigrationId::new(row.text()?, row.text()?) })
            })
            .collect()
    }

    /// Removes the row of a migration from `django_migrations`.
    pub(crate) fn unmark(&mut self, migration: &MigrationId) -> Result<()> {
        let sql = "DELETE FROM django_migrations WHERE app = $1 AND name = $2";
        Ok(self.session.execute(sql, &[text(&migration.app), text(&migration.name)])?)
    }

    /// Adds the row of a migration to `django_migrations`.
    pub(crate) fn mark(&mut self, migration: &MigrationId) -> Result<()> {
        let now = self.session.rules().now();
        let sql = format!("INSERT INTO django_migrations (app, name, applied) VALUES ($1, $2, {now})");
        Ok(self.session.execute(&sql, &[text(&migration.app), text(&migration.name)])?)
    }

    /// Looks at the application's tables without waiting long behind a session that alters them. What is seen while
    /// another session is at work is worth nothing: then that session is named, or the look is stale.
    pub(crate) fn look<T>(&mut self, look: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = self.applied_rows()?;
        if self.session.rules().readers_wait() {
            let seen = self.look_in_transaction(look)?;
            return if self.applied_rows()? == before { seen } else { Err(StoreError::Stale) };
        }
        match look(self) {
            Err(error) if is_failure(&error) && self.applied_rows()? != before => Err(StoreError::Stale),
            seen => seen,
        }
    }

    /// What was seen; an error if it is known why nothing can be seen.
    fn look_in_transaction<T>(&mut self, look: impl FnOnce(&mut Self) -> Result<T>) -> Result<Result<T>> {
        let rules = self.session.rules();
        self.session.begin(Purpose::Records)?;
        let set = self.session.ask(|database| rules.set_execution_options(database, &LockRequest::to_look()));
        let seen = set.map_err(StoreError::from).and_then(|()| look(self));
        self.session.rollback_quietly();
        match seen {
            Err(error) if is_interruption(&error) => Err(error),
            Err(error) if is_failure(&error) => match self.session.holder()? {
                holder @ Some(_) => {
                    Err(SessionError::Locked { database: self.session.name(), holder }.into())
                }
                None => Ok(Err(error)),
            },
            seen => Ok(seen),
        }
    }

    pub(super) fn damaged(&self, what: &str, reason: &str) -> StoreError {
        let (what, reason) = (what.to_owned(), reason.to_owned());
        StoreError::Damaged { database: self.session.name(), what, reason }
    }

    pub(super) fn reader(&self, row: Row, what: &str) -> Reader {
        Reader::new(self.session.name(), row, what)
    }
}

/// Whether the database failed, and not because a signal asked to stop.
fn is_failure(error: &StoreError) -> bool {
    error.session().and_then(SessionError::kind).is_some() && !is_interruption(error)
}

fn is_interruption(error: &StoreError) -> bool {
    matches!(error.session().and_then(SessionError::kind), Some(DatabaseErrorKind::Interrupted { .. }))
}

/// What is applied, whether or not our own tables exist.
pub(crate) fn applied(database: &mut dyn Database) -> Result<AppliedSet> {
    let rows = Store::over(database).applied_rows()?;
    Ok(AppliedSet::of_rows(&rows))
}
