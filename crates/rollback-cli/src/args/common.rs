//! The options that every command takes.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::format::Output;
use super::headings::{CONNECTION, OUTPUT};

/// Options that every command takes, before the command or after it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub(crate) output: Output,
    /// How much to print: 0 errors and results, 1 the usual, 2 and 3 also what Django's signal handlers print.
    #[arg(short, long, global = true, value_name = "LEVEL", default_value = "1", help_heading = OUTPUT,
          value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) verbosity: u8,
    /// Print only errors and results, like `--verbosity 0`.
    #[arg(short, long, global = true, help_heading = OUTPUT)]
    pub(crate) quiet: bool,
    /// Database, without its password: postgres://user@host/name or sqlite:///path [env: DATABASE_URL].
    #[arg(long, global = true, value_name = "URL", help_heading = CONNECTION)]
    pub(crate) database: Option<String>,
    /// File with the URL of the database; this URL may contain the password.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "database", help_heading = CONNECTION)]
    pub(crate) database_file: Option<PathBuf>,
    /// File with the key that signs archived sources and recorded SQL, or the secret it is made from
    /// [env: DJANGO_ROLLBACK_KEY].
    #[arg(long, global = true, value_name = "FILE", help_heading = CONNECTION)]
    pub(crate) key_file: Option<PathBuf>,
    /// Git repository, or a folder in it [default: the working directory, then the folder of manage.py].
    #[arg(short, long, global = true, value_name = "PATH", value_parser = path(), help_heading = CONNECTION)]
    pub(crate) path: Option<PathBuf>,
}

/// A path, an empty one too: an empty path gets an error of our own, which explains unset shell variables.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}
