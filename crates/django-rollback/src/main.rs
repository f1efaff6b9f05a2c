//! The binary `django-rollback`: the command line with native drivers. It needs no Python, no git and no server program.

mod door;
mod project;
mod signals;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use rollback_cli::console::{Console, Level, Stream};
use rollback_native::interrupt;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    signals::watch();
    let mut door = door::NativeDoor::new();
    let ended = rollback_cli::run(&mut door, &mut Terminal, &arguments);
    if let Some(error) = ended.error {
        // Nobody reads stderr any more: the exit code still tells.
        let _ = writeln!(io::stderr(), "error: {error}");
    }
    std::process::exit(ended.code);
}

/// stdout and stderr of the process.
struct Terminal;

impl Console for Terminal {
    fn out(&mut self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    fn secret(&mut self, text: &str) -> io::Result<()> {
        self.out(text)
    }

    fn say(&mut self, _: Level, line: &str, stream: Stream) {
        // Talk that nobody can hear is no reason to stop.
        let _ = match stream {
            Stream::Stdout => writeln!(io::stdout(), "{line}"),
            Stream::Stderr => writeln!(io::stderr(), "{line}"),
            Stream::Silent => Ok(()),
        };
    }

    fn rate(&mut self, _: Level) {}

    fn is_terminal(&self) -> bool {
        io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    fn ask(&mut self, question: &str) -> Result<Option<String>, i32> {
        let mut answer = String::new();
        let _ = write!(io::stderr(), "{question}").and_then(|()| io::stderr().flush());
        let read = signals::while_nothing_is_under_way(|| io::stdin().read_line(&mut answer));
        Ok(read.is_ok_and(|length| length > 0).then_some(answer))
    }

    fn pause(&mut self, length: Duration) -> Result<(), i32> {
        const STEP: Duration = Duration::from_millis(20);
        let begun = Instant::now();
        while let Some(left) = length.checked_sub(begun.elapsed()) {
            std::thread::sleep(left.min(STEP));
            if let Some(signal) = interrupt::requested() {
                return Err(signal);
            }
        }
        Ok(())
    }
}
