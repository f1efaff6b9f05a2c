//! Which release a command is about.

use clap::Args;

use super::headings::TARGET;

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TargetArguments {
    /// Tag that the release was saved under.
    #[arg(short, long, value_name = "TAG", help_heading = TARGET)]
    pub(crate) tag: Option<String>,
    /// Commit of the release: the full hash, or at least its first four digits.
    #[arg(short, long, value_name = "COMMIT", help_heading = TARGET)]
    pub(crate) commit: Option<String>,
}
