//! The commands that read commits: `check`, `graph`, and `plan` between two of them.

use clap::{Args, ValueEnum};

use super::format::{FormatArgument, GraphFormat};
use super::headings::OUTPUT;
use super::rollback::PlanArguments;
use crate::findings;

#[derive(Debug, Args)]
pub(crate) struct PlanOrRangeArguments {
    /// BASE..HEAD: two commits, tags or branches.
    #[arg(value_name = "RANGE", conflicts_with_all = ["tag", "commit", "way", "require_rehearsal"])]
    pub(crate) range: Option<String>,
    #[command(flatten)]
    pub(crate) plan: PlanArguments,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    /// BASE..HEAD: two commits, tags or branches; BASE...HEAD: from where the two parted; BASE: to the work tree.
    #[arg(value_name = "RANGE")]
    pub(crate) range: Option<String>,
    /// Check every migration, as if nothing had been released.
    #[arg(long, conflicts_with = "range")]
    pub(crate) all: bool,
    /// Apply only these rules: codes, beginnings of codes, or names.
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub(crate) select: Vec<String>,
    /// Skip these rules.
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// Lowest level of a finding that makes the exit code 1 [default: as pyproject.toml says, or error].
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(crate) fail_on: Option<FailOn>,
    /// Explain a rule; nothing is checked.
    #[arg(long, value_name = "RULE", conflicts_with_all = ["range", "all", "statistics"])]
    pub(crate) explain: Option<String>,
    #[command(flatten)]
    pub(crate) format: FormatArgument<findings::Format>,
    /// Count the findings of each rule instead of printing them.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) statistics: bool,
}

/// Lowest level of a finding that makes the exit code 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Any finding.
    Note,
    /// Warnings and errors.
    Warning,
    /// Errors.
    Error,
    /// None.
    Never,
}

#[derive(Debug, Args)]
pub(crate) struct GraphArguments {
    /// A commit: its whole graph; BASE..HEAD: what HEAD adds [default: the work tree].
    #[arg(value_name = "REVISION")]
    pub(crate) range: Option<String>,
    /// Draw only these apps.
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    pub(crate) app: Vec<String>,
    #[command(flatten)]
    pub(crate) format: FormatArgument<GraphFormat>,
}
