//! PostgreSQL: row locks and table locks, a catalogue of tables, deferred constraints.

mod catalogue;
mod clock;
mod locks;
mod preflight;
mod recorded;
mod rules;
mod script;

pub(crate) use self::rules::Postgres;
