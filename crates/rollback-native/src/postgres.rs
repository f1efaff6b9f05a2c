//! The `Database` port over the sync `postgres` driver.
//!
//! A transaction pooler may give each transaction to another session. So every statement is unnamed, every parameter
//! carries its type, and nothing is set outside a transaction.

mod connect;
mod failure;
mod tls;
mod values;

use postgres::Client;
use rollback_engine::ports::{Database, DatabaseError, Dialect, Purpose, Row, Value};

use crate::interrupt::{Cancel, Canceller};
use crate::url::PostgresUrl;

use self::failure::failure;

/// A connection to a PostgreSQL server.
pub struct PostgresDatabase {
    client: Client,
    name: String,
    url: PostgresUrl,
}

impl PostgresDatabase {
    /// Connects to the first of the URL's servers that is suitable.
    pub fn connect(url: &PostgresUrl) -> Result<Self, DatabaseError> {
        let (client, server) = connect::first(url)?;
        let name = format!("the PostgreSQL database \"{}\" on {server}", url.database);
        Ok(Self { client, name, url: url.clone() })
    }

    fn batch(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.client.batch_execute(sql).map_err(|error| failure(&error))
    }

    /// An error if a statement in this transaction has failed: the server would answer `COMMIT` with
    /// `ROLLBACK`, and the driver would not say so.
    fn check_not_aborted(&mut self) -> Result<(), DatabaseError> {
        self.batch("SELECT 1")
    }
}

impl Cancel for PostgresDatabase {
    fn canceller(&self) -> Option<Canceller> {
        let (token, connector) = (self.client.cancel_token(), tls::connector(&self.url.tls).ok()?);
        Some(Box::new(move || {
            // If the request does not arrive, the statement runs to its end, and the signal is seen after it.
            let _ = token.cancel_query(connector.clone());
        }))
    }
}

impl Database for PostgresDatabase {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn query(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, DatabaseError> {
        let rows = self.client.query_typed(sql, &values::typed(params)).map_err(|error| failure(&error))?;
        rows.iter().map(values::row).collect()
    }

    fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, DatabaseError> {
        self.client.execute_typed(sql, &values::typed(params)).map_err(|error| failure(&error))
    }

    fn run(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.batch(sql)
    }

    fn begin(&mut self, _purpose: Purpose) -> Result<(), DatabaseError> {
        self.batch("BEGIN")
    }

    /// A commit that fails undoes everything, whether or not the server did so itself.
    fn commit(&mut self) -> Result<(), DatabaseError> {
        let committed = self.check_not_aborted().and_then(|()| self.batch("COMMIT"));
        committed.inspect_err(|_| {
            // The first failure is the one to report.
            let _ = self.batch("ROLLBACK");
        })
    }

    fn rollback(&mut self) -> Result<(), DatabaseError> {
        self.batch("ROLLBACK")
    }

    fn reconnect(&mut self) -> Result<(), DatabaseError> {
        *self = Self::connect(&self.url)?;
        Ok(())
    }

    fn another(&self) -> Result<Box<dyn Database>, DatabaseError> {
        Ok(Box::new(Self::connect(&self.url)?))
    }
}
