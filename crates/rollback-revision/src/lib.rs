//! The text of a commit: where its migrations are, what they say, and which commit is deployed.
//!
//! A *revision* is a commit or the work tree, read without a checkout, without Python and without a database. What the
//! texts mean is read by `rollback-source`; what they are good for is left to those above: `rollback-check` finds what
//! speaks against a release, the engine imports releases. Git itself stands behind the ports.

mod complete;
pub mod deployed;
mod error;
mod migrations;
mod ports;
mod project;
mod range;
mod reading;
mod revision;
mod settings;
mod subproject;

pub use error::{ProjectError, RevisionError};
pub use migrations::{File, Migrations, Read, in_order};
pub use ports::{Files, ReadFiles, Repository, RepositoryError};
pub use project::{CONFIG_FILE, PathPattern, ProjectSettings, config_text, unreadable};
pub use range::{Extent, plan, read_range};
pub use revision::{PassedOver, Revision};
pub use subproject::{Subproject, project_folder};
