//! The command line, as a library over the ports: one file per command, rendering, errors with hints, exit codes.
//!
//! Both doors call [`run`] with what only they have (a [`Door`]), so both show the same and end the same.

mod args;
mod commands;
pub mod console;
mod document;
mod door;
mod drawing;
pub mod error;
mod exit;
mod facts_document;
pub mod findings;
mod table;
mod words;

use crate::args::{Arguments, Width};
use crate::console::Console;
use crate::error::CliError;

pub use crate::door::{DatabaseChoice, Door, DoorKind, Environment, Session, actor};
pub use crate::exit::{Ended, ExitCode};

/// Runs one command. `arguments` are those after the program's name.
pub fn run(door: &mut dyn Door, console: &mut dyn Console, arguments: &[String]) -> Ended {
    let program = &door.environment().program;
    let width = if console.is_terminal() { Width::Terminal } else { Width::Fixed };
    let arguments = match args::parse(door.kind(), program, arguments, width) {
        Ok(arguments) => arguments,
        Err(args::Unparsed::Help(text)) => {
            let written = console.out(&text).map_err(|error| error::unwritten(&error));
            return ended(written.map(|()| ExitCode::Done as i32));
        }
        Err(args::Unparsed::Usage(error)) => {
            return Ended { code: ExitCode::Usage as i32, error: Some(error) };
        }
    };
    ended(dispatch(door, console, arguments))
}

fn ended(result: Result<i32, CliError>) -> Ended {
    match result {
        Ok(code) => Ended { code, error: None },
        Err(CliError::ClosedPipe) => Ended { code: ExitCode::Done as i32, error: None },
        Err(error) => Ended { code: error.exit_code(), error: Some(error.render()) },
    }
}

fn dispatch(door: &mut dyn Door, console: &mut dyn Console, arguments: Arguments) -> Result<i32, CliError> {
    commands::run(commands::Context::new(door, console, arguments.common)?, arguments.command)
}
