//! What speaks against a plan, and what the user should know before it runs: each with a stable word for scripts.

mod blocker;
#[cfg(test)]
mod tests;
mod unfit;
mod warning;

pub use self::blocker::Blocker;
pub use self::unfit::Unfit;
pub use self::warning::Warning;
