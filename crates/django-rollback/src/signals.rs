//! Ctrl-C and SIGTERM: the first one takes back what is under way, the second one ends the process at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rollback_native::interrupt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

/// Whether a signal may end the process as it would without us.
static IDLE: AtomicBool = AtomicBool::new(false);

/// Handles the signals from now on. Where the system does not let us, they end the process as ever.
pub(crate) fn watch() {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    thread::spawn(move || {
        let mut is_first = true;
        for signal in signals.forever() {
            let is_seen = is_first && !IDLE.load(Ordering::SeqCst) && interrupt::request(signal);
            if !is_seen {
                let _ = low_level::emulate_default_handler(signal);
            }
            is_first = false;
        }
    });
}

/// Waits for something while a signal may simply end the process.
pub(crate) fn while_nothing_is_under_way<T>(wait: impl FnOnce() -> T) -> T {
    IDLE.store(true, Ordering::SeqCst);
    let done = wait();
    IDLE.store(false, Ordering::SeqCst);
    done
}
