//! The use cases of the engine, over a database in memory and a scripted project.

// Helpers of tests, which clippy does not take for tests.
#![allow(clippy::unwrap_used)]

mod ahead;
mod attempt;
mod capsules;
mod execute;
mod faults;
mod history;
mod import;
mod lock;
mod migrate;
mod plan;
mod postgres;
mod reading;
mod rehearse;
mod rooms;
mod save;
mod script;
mod segments;
mod settle;
mod verify;
