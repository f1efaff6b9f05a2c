//! Going back: the plan of a rollback with all that speaks against it, and the one loop that carries it out.

mod attempt;
mod draft;
mod error;
mod execute;
mod failure;
mod hand_over;
mod preflight;
mod prepare;
mod prepared;
mod record;
mod rehearse;
mod script;
mod script_writer;
mod steps;
mod verify;

pub use self::attempt::{Attempt, Consent, Operator, Outcome, attempt, attempt_for_other_door};
pub use self::error::RollbackError;
pub use self::execute::{Order, RolledBack, execute};
pub use self::hand_over::{HandOver, HandedOver};
pub use self::prepare::prepare;
pub use self::prepared::{ExecutionOptions, Loss, PlanOptions, Prepared};
pub use self::rehearse::{Rehearsed, keep_rehearsal, rehearse};
pub use self::script::script;
