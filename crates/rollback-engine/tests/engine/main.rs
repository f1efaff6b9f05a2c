//! The use cases of the engine, over a database in memory and a scripted project.

mod ahead;
mod capsules;
mod execute;
mod faults;
mod history;
mod import;
mod lock;
mod migrate;
mod plan;
mod reading;
mod rehearse;
mod save;
mod script;
mod segments;
mod settle;
mod verify;
