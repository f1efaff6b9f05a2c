//! What is seen of a rollback on its way: a bar on a terminal, plain lines elsewhere, events for programs.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rollback_core::MigrationId;
use rollback_core::plan::{Step, Way};
use rollback_engine::ports::Observer;
use serde_json::json;

use super::context::Context;
use crate::console::{Console, Level, Stream, safe};
use crate::document;

/// Says what happens, step by step. If nobody reads any more, the rollback goes on.
pub(crate) struct Progress<'c> {
    console: &'c mut dyn Console,
    is_json: bool,
    stream: Stream,
    failures: Stream,
    bar: Option<ProgressBar>,
}

impl<'c> Progress<'c> {
    /// For this many steps.
    pub(crate) fn new(context: &'c mut Context<'_>, steps: usize) -> Self {
        let (stream, failures) = (context.stream(Level::Info), context.stream(Level::Warning));
        let is_json = context.is_json();
        let drawn = !is_json && stream != Stream::Silent && context.console.is_terminal();
        let bar = drawn.then(|| bar(u64::try_from(steps).unwrap_or_default()));
        Self { console: &mut *context.console, is_json, stream, failures, bar }
    }

    /// Takes the bar away.
    pub(crate) fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn say(&mut self, level: Level, line: &str, stream: Stream) {
        let Self { console, bar, .. } = self;
        match bar {
            Some(bar) => bar.suspend(|| console.say(level, line, stream)),
            None => console.say(level, line, stream),
        }
    }

    fn event(&mut self, event: &str, content: serde_json::Value) {
        if self.is_json {
            let _ = self.console.out(&format!("{}\n", document::event(event, content)));
        }
    }
}

fn bar(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}");
    let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Observer for Progress<'_> {
    fn step_begins(&mut self, step: &Step) {
        self.event("step-begins", step_fields(step));
        if let Some(bar) = &self.bar {
            bar.set_message(safe(&step.migration));
        }
    }

    fn step_ends(&mut self, step: &Step, took: Duration) {
        let migration = safe(&step.migration);
        let what = match step.way {
            Way::Disk | Way::Capsule | Way::Sql => format!("Unapplying {migration}"),
            Way::Unmark => format!("Unmarking {migration}"),
            Way::Mark => format!("Marking {migration} as applied"),
        };
        let mut fields = step_fields(step);
        fields["seconds"] = json!(took.as_secs_f64());
        self.event("step-ends", fields);
        self.say(Level::Info, &format!("  {what}... OK ({:.3}s)", took.as_secs_f64()), self.stream);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    fn step_failed(&mut self, migration: &MigrationId) {
        self.event("step-failed", json!({ "app": migration.app, "migration": migration.name }));
        self.say(Level::Warning, &format!("  Unapplying {}... FAILED", safe(migration)), self.failures);
    }

    fn waits(&mut self, reason: &str) {
        self.event("waits", json!({ "reason": reason }));
        let line = format!("  Another session is in the way ({}): undone, retrying...", safe(reason));
        self.say(Level::Info, &line, self.stream);
        if let Some(bar) = &self.bar {
            bar.reset();
        }
    }

    fn pause(&mut self, length: Duration) -> Result<(), i32> {
        self.console.pause(length)
    }
}

fn step_fields(step: &Step) -> serde_json::Value {
    json!({ "app": step.migration.app, "migration": step.migration.name, "way": step.way.as_str() })
}
