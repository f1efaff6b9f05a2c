//! Where the commit of this deploy comes from, and which tags git has.

use rollback_core::CommitId;
use rollback_revision::deployed::{self, Found, Surroundings};
use rollback_revision::{Repository, RepositoryError};

use super::context::Context;
use crate::error::CliError;

impl Context<'_> {
    /// Finds the commit of this deploy.
    pub(super) fn find_commit(&self, release: Option<&str>) -> Result<Found, CliError> {
        self.with_surroundings(release, deployed::find).map_err(CliError::from)
    }

    /// The tags that git has now, by name; `None` if there is no repository, or an unreadable one.
    pub(super) fn tags_in_git(&self) -> Vec<(String, CommitId)> {
        self.git_repository().ok().flatten().and_then(|repository| repository.tags().ok()).unwrap_or_default()
    }

    pub(super) fn git_repository(&self) -> Result<Option<Box<dyn Repository>>, RepositoryError> {
        self.with_surroundings(None, deployed::repository)
    }

    pub(super) fn with_surroundings<T>(
        &self,
        release: Option<&str>,
        look: impl FnOnce(&Surroundings<'_>) -> T,
    ) -> T {
        look(&Surroundings {
            commit: release,
            variables: &self.environment.variables,
            more_variables: &self.environment.commit_variables,
            path: &self.path,
            project: self.environment.project.as_deref().filter(|_| self.given_path().is_none()),
            open: &|path| self.door.repository(path),
        })
    }
}
