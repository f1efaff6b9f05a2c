//! One operation, with the models as they are before it.

use rollback_core::MigrationId;
use rollback_source::facts::Operation;

use crate::state::{Known, Model, Models};

/// One operation in its migration.
pub(super) struct Step<'s> {
    pub(super) id: &'s MigrationId,
    pub(super) operation: &'s Operation,
    pub(super) models: &'s Models<'s>,
}

impl Step<'_> {
    pub(super) fn app(&self) -> &str {
        &self.id.app
    }

    /// Whether the older revision has the model's table.
    pub(super) fn is_older_table(&self, model: &str) -> bool {
        self.models.get(self.app(), model).is_none_or(Model::is_older_table)
    }

    pub(super) fn field(&self, model: &str, name: &str) -> Option<&Known<'_>> {
        self.models.field(self.app(), model, name)
    }
}
