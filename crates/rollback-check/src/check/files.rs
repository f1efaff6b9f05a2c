//! Files that cannot be read, and parts of migrations that their text does not determine.

use rollback_core::MigrationId;
use rollback_source::facts::{MigrationSource, What};

use super::checker::Checker;
use crate::rules;

impl Checker<'_> {
    /// Files that are not valid Python, and what is unknown about the others.
    pub(super) fn readable(&mut self) {
        for id in self.looked_at() {
            let Some(read) = self.range.head.read.get(&id) else { continue };
            match &read.source {
                Err(error) => {
                    let message = format!("{id} {}", error.reason);
                    self.add(
                        &rules::UNREADABLE,
                        &id,
                        error.span.clone(),
                        message,
                        "fix the file so that Django can import it",
                    );
                }
                Ok(source) if source.class.is_none() => self.no_class(&id),
                Ok(source) => self.unknown(&id, source),
            }
        }
    }

    /// Django refuses a module without a class `Migration` in a migrations package.
    fn no_class(&mut self, id: &MigrationId) {
        let has_migrations = self.range.head.sources().any(|(other, _)| other.app == id.app);
        if has_migrations {
            let message = format!("{id} has no class Migration, so Django refuses to load it");
            self.add(
                &rules::UNREADABLE,
                id,
                0..0,
                message,
                "move the file out of the folder, or start its name with `_`",
            );
        }
    }

    fn unknown(&mut self, id: &MigrationId, source: &MigrationSource) {
        const ASK: &str = "run `manage.py rollback check`, which asks Django";
        const LOOK: &str = "check it by hand";
        for unknown in &source.unknown {
            // Django's loader knows the graph and which operations there are, but not what they do.
            let hint = if unknown.what.is_structural() { ASK } else { LOOK };
            let message = format!("{} of {id} is unknown: it {}", of(unknown.what), unknown.reason);
            self.add(&rules::UNKNOWN, id, unknown.span.clone(), message, hint);
        }
        for (method, span) in source.overrides.iter().filter(|(method, _)| !method.starts_with("__")) {
            let message = format!("{id} overrides Migration.{method}, so what it does is unknown");
            self.add(&rules::UNKNOWN, id, span.clone(), message, LOOK);
        }
    }
}

fn of(what: What) -> &'static str {
    match what {
        What::Migration => "part",
        What::Dependencies => "a dependency",
        What::RunBefore => "an entry of `run_before`",
        What::Replaces => "an entry of `replaces`",
        What::Initial => "`initial`",
        What::Atomic => "`atomic`",
        What::Operations => "an operation",
        What::Argument => "an argument",
    }
}
