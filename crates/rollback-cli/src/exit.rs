//! How a command ends.

/// How a command ended. The numbers are the exit codes of both doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// Refused or failed, and nothing was changed.
    Refused = 1,
    /// Wrong usage.
    Usage = 2,
    /// Stopped part-way, with a recorded step.
    Partial = 3,
}

/// The end of a command: its exit code, and what to say of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// The error with its hint, ready to be shown; the door puts its own heading before it.
    pub error: Option<String>,
}
