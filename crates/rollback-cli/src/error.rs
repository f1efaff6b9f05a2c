//! Errors at the outermost layer: a sentence, a hint, an exit code.

use std::io;

use rollback_engine::EngineError;
use rollback_engine::cases::CaseError;
use rollback_engine::rollback::RollbackError;
use rollback_revision::deployed::DeployedError;

use crate::console::safe;
use crate::exit::ExitCode;

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CliError {
    /// The engine refused or failed.
    Engine(EngineError),
    /// The commit of this deploy is not known.
    Deployed(DeployedError),
    /// Wrong usage.
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Something outside the engine: the door could not connect, a file could not be written.
    Other {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The reader of stdout has gone: the command ends quietly.
    ClosedPipe,
}

impl CliError {
    /// Wrong usage.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: Some(hint.into()) }
    }

    /// A failure outside the engine.
    pub fn other(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::Other { message: message.into(), hint }
    }

    /// The exit code.
    pub fn exit_code(&self) -> i32 {
        const SIGNALLED: i32 = 128;
        match self {
            Self::Engine(error) if error.signal().is_some() => SIGNALLED + error.signal().unwrap_or_default(),
            other => other.kind_of_end() as i32,
        }
    }

    fn kind_of_end(&self) -> ExitCode {
        match self {
            Self::Engine(error) if error.is_partial() => ExitCode::Partial,
            Self::Deployed(DeployedError::Invalid { .. }) => ExitCode::Usage,
            Self::Engine(error) if error.is_usage() => ExitCode::Usage,
            Self::Engine(_) | Self::Deployed(_) | Self::Other { .. } => ExitCode::Refused,
            Self::Usage { .. } => ExitCode::Usage,
            Self::ClosedPipe => ExitCode::Done,
        }
    }

    /// The sentence and, on a line of its own, the hint.
    pub fn render(&self) -> String {
        let (message, hint) = match self {
            Self::Engine(error) => (error.to_string(), error.hint()),
            Self::Deployed(error) => (error.to_string(), error.hint()),
            Self::Usage { message, hint } | Self::Other { message, hint } => (message.clone(), hint.clone()),
            Self::ClosedPipe => (String::new(), None),
        };
        match hint {
            Some(hint) => format!("{}\n  hint: {}", safe(message), safe(hint)),
            None => safe(message),
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<CaseError> for CliError {
    fn from(error: CaseError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<RollbackError> for CliError {
    fn from(error: RollbackError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<DeployedError> for CliError {
    fn from(error: DeployedError) -> Self {
        Self::Deployed(error)
    }
}

/// The error for a failure to write to stdout.
pub(crate) fn unwritten(error: &io::Error) -> CliError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::ClosedPipe,
        _ => CliError::other(format!("cannot write to stdout: {error}"), None),
    }
}
