//! The use cases of the engine, over a database in memory and a scripted project.

mod save;
