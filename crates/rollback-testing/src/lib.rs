//! For tests only: what the engine and the command line need from outside, in memory.
//!
//! A [`Shop`] is a small project: its migrations are drawn in text, it is deployed release by release, and every use
//! case of the engine is one method. Behind it are a SQLite database in memory ([`Memory`]), a wrapper that fails when
//! it is told to ([`Faulty`]), and a project that undoes migrations by a script ([`ScriptedProject`]). A [`FakeDoor`]
//! runs the whole command line over the same shop and captures what is said.
//!
//! The crate is a dev-dependency of the crates that it depends on, so only their integration tests can use it.

mod database;
mod door;
mod drawing;
mod faults;
mod observer;
mod operator;
mod postgres;
mod project;
mod repository;
mod shop;

pub use crate::database::{Memory, TABLES};
pub use crate::door::{FakeConsole, FakeDoor};
pub use crate::drawing::{Drawn, commit_of, draw, id, ids};
pub use crate::faults::{Fault, Faulty, When};
pub use crate::observer::Recorder;
pub use crate::operator::Wanted;
pub use crate::postgres::Server;
pub use crate::project::ScriptedProject;
pub use crate::repository::FakeRepository;
pub use crate::shop::{Lock, Shop};
