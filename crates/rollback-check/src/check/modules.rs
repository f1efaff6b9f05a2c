//! A migration as a module: whether it runs in a transaction, and what it imports.

use std::collections::BTreeSet;

use rollback_core::MigrationId;
use rollback_source::facts::MigrationSource;

use super::checker::Checker;
use crate::rules;

impl Checker<'_> {
    /// The folders with migrations, as dotted paths.
    pub(super) fn folders(&self) -> BTreeSet<String> {
        let files = self.range.head.files.values();
        files.filter_map(|file| Some(file.path.rsplit_once('/')?.0.replace('/', "."))).collect()
    }

    pub(super) fn migration(
        &mut self,
        id: &MigrationId,
        source: &MigrationSource,
        folders: &BTreeSet<String>,
    ) {
        let may_be_repeated = |class: &str| class.ends_with("Concurrently") || class == "ValidateConstraint";
        let only_indexes = source.operations.iter().all(|operation| may_be_repeated(&operation.class));
        if let (false, span, false) = (source.atomic.0, &source.atomic.1, only_indexes) {
            let message = format!("{id} runs outside a transaction: if it fails, part of it stays applied");
            let hint = "keep only operations in it that need this and can safely run twice";
            self.add(&rules::NOT_ATOMIC, id, span.clone(), message, hint);
        }
        for import in &source.imports {
            let module = self.absolute(id, &import.module);
            let named = import.name.as_ref().map(|name| format!("{module}.{name}"));
            let is_django = |path: &str| path == "django" || path.starts_with("django.");
            let is_project = |path: &str| !is_django(path) && (self.range.is_project)(path);
            if !is_inside(&module, folders)
                && (is_project(&module) || named.as_deref().is_some_and(is_project))
            {
                let message = format!("{id} imports {module}, which another release may not have");
                let hint = "copy what the migration needs into its file";
                self.add(&rules::PROJECT_IMPORT, id, import.span.clone(), message, hint);
            }
        }
    }

    /// The absolute path of a module that a migration imports.
    fn absolute(&self, id: &MigrationId, module: &str) -> String {
        let below = module.trim_start_matches('.');
        let level = module.len() - below.len();
        if level == 0 {
            return module.to_owned();
        }
        let path = self.range.head.files.get(id).map_or("", |file| file.path.as_str());
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.truncate(parts.len().saturating_sub(level));
        parts.extend(below.split('.').filter(|part| !part.is_empty()));
        parts.join(".")
    }
}

/// Whether a module is a migrations package or inside one. `src.shop.migrations` is imported as `shop.migrations`.
fn is_inside(module: &str, folders: &BTreeSet<String>) -> bool {
    let parent = module.rsplit_once('.').map_or("", |(parent, _)| parent);
    let is_folder = |path: &str| {
        folders.contains(path)
            || path.ends_with(".migrations")
                && folders.iter().any(|folder| folder.ends_with(&format!(".{path}")))
    };
    is_folder(module) || is_folder(parent)
}
