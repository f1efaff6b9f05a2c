//! Operations in words, and what the rules ask about undoing one.

use rollback_source::facts::{Action, Operation, Reverse};

/// An operation in a few words: `RunPython fill_prices`.
pub(crate) fn described(operation: &Operation) -> String {
    let class = &operation.class;
    let (model, name) = match &operation.action {
        Action::CreateModel { name, .. }
        | Action::DeleteModel { name }
        | Action::AlterModelTable { name, .. } => (name.as_str(), None),
        Action::AlterUniqueTogether { name, .. }
        | Action::AlterIndexTogether { name, .. }
        | Action::AlterOptions { name, .. } => (name.as_str(), None),
        Action::AddField { model, name, .. } | Action::AlterField { model, name, .. } => {
            (model.as_str(), Some(name.as_str()))
        }
        Action::RemoveField { model, name } => (model.as_str(), Some(name.as_str())),
        Action::RenameField { model, old, .. } => (model.as_str(), Some(old.as_str())),
        Action::RenameModel { old, .. } => (old.as_str(), None),
        Action::RunPython { code, .. } => (code.as_str(), None),
        Action::AddIndex { model, .. } => (model.as_str(), None),
        Action::RemoveConstraint { model, name } => (model.as_str(), Some(name.as_str())),
        Action::AlterOrder { model, .. } => (model.as_str(), None),
        Action::AddConstraint { model, name, .. } => (model.as_str(), name.as_deref()),
        Action::Other { model: Some(model) } => (model.as_str(), None),
        Action::Other { model: None }
        | Action::RunSql { .. }
        | Action::Separate { .. }
        | Action::Custom
        | Action::Unknown => return class.clone(),
    };
    match name {
        Some(name) => format!("{class} {model}.{name}"),
        None => format!("{class} {model}"),
    }
}

/// Whether what undoes an operation is there and does nothing.
pub(crate) fn is_undone_by_nothing(operation: &Operation) -> bool {
    matches!(
        operation.action,
        Action::RunPython { reverse: Reverse::Noop, .. } | Action::RunSql { reverse: Reverse::Noop, .. }
    )
}

/// Whether an operation, or one inside it that changes the database, cannot be undone.
pub(crate) fn is_irreversible(operation: &Operation) -> bool {
    operation.reversible == Some(false) || operation.database_operations().iter().any(is_irreversible)
}
