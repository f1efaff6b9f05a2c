//! SQLite: one file, one writer at a time, a catalogue of texts. Tables are remade where other databases alter them.

mod catalogue;
mod clock;
mod locks;
mod preflight;
mod recorded;
mod rules;
mod script;

pub(crate) use self::rules::Sqlite;
