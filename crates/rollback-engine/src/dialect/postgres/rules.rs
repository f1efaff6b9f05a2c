/// The rules of PostgreSQL 12 and newer.
pub(crate) struct Postgres;
