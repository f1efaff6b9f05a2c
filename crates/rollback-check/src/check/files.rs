//! Files that cannot be read, and what their texts leave open.

use rollback_core::MigrationId;
use rollback_source::facts::{MigrationSource, What};

use super::checker::Checker;
use crate::rules;

impl Checker<'_> {
    /// Files that are no Python, and what cannot be known of the others.
    pub(super) fn readable(&mut self) {
        for id in self.looked_at() {
            let Some(read) = self.range.head.read.get(&id) else { continue };
            match &read.source {
                Err(error) => {
                    let message = format!("{id} {}", error.reason);
                    self.add(&rules::UNREADABLE, &id, error.span.clone(), message, "mend the file");
                }
                Ok(source) if source.class.is_none() => self.no_class(&id),
                Ok(source) => self.unknown(&id, source),
            }
        }
    }

    /// Django refuses a module without a class `Migration` in a folder of migrations.
    fn no_class(&mut self, id: &MigrationId) {
        let has_migrations = self.range.head.sources().any(|(other, _)| other.app == id.app);
        if has_migrations {
            let message = format!("{id} has no class Migration: Django stops at it");
            self.add(
                &rules::UNREADABLE,
                id,
                0..0,
                message,
                "move the module out of the folder, or begin its name with _",
            );
        }
    }

    fn unknown(&mut self, id: &MigrationId, source: &MigrationSource) {
        const ASK: &str = "`manage.py rollback check` asks Django, which knows";
        const LOOK: &str = "look at it by hand";
        for unknown in &source.unknown {
            // Django's loader knows the graph and the operations by their names, and not what they do.
            let hint = if unknown.what.is_structural() { ASK } else { LOOK };
            let message = format!("{} of {id} cannot be known: it {}", of(unknown.what), unknown.reason);
            self.add(&rules::UNKNOWN, id, unknown.span.clone(), message, hint);
        }
        for (method, span) in source.overrides.iter().filter(|(method, _)| !method.starts_with("__")) {
            let message = format!("{id} has a method {method} of its own: what it does cannot be known");
            self.add(&rules::UNKNOWN, id, span.clone(), message, LOOK);
        }
    }
}

fn of(what: What) -> &'static str {
    match what {
        What::Migration => "something",
        What::Dependencies => "a dependency",
        What::RunBefore => "what `run_before` names",
        What::Replaces => "what `replaces` names",
        What::Initial => "`initial`",
        What::Atomic => "`atomic`",
        What::Operations => "an operation",
        What::Argument => "an argument",
    }
}
