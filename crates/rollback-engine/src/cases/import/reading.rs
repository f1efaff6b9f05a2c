//! The migrations of several commits, from the newest on: which there are, and the newest text of each.

use std::collections::{BTreeMap, BTreeSet};

use rollback_core::{CommitId, MigrationFacts, MigrationId, NewCapsule, NewRecording, OperationFacts, Tree};
use rollback_revision::{Migrations, PassedOver, ProjectSettings, Read, Repository, Revision};
use rollback_source::facts::{MigrationSource, Operation, What};

use super::error::ImportError;
use crate::cases::error::CaseError;

/// Reads commit after commit.
pub(super) struct Reading<'r> {
    repository: &'r dyn Repository,
    head: CommitId,
    /// Where the migrations are, by what is checked out.
    project: ProjectSettings,
    /// The migrations of which something is kept: nothing better can be read.
    kept: &'r BTreeSet<MigrationId>,
    /// What was read last: the same contents in the next commit are not read again.
    last: Migrations,
    capsules: BTreeMap<MigrationId, NewCapsule>,
    /// Of several folders for one app label those that do not count, by their names.
    passed_over: BTreeMap<String, PassedOver>,
}

impl<'r> Reading<'r> {
    /// With the configuration of what is checked out, for all commits.
    pub(super) fn new(
        repository: &'r dyn Repository,
        kept: &'r BTreeSet<MigrationId>,
    ) -> Result<Self, CaseError> {
        let no_commit = || ImportError::NoCommit { path: repository.root().display().to_string() };
        let head = repository.head()?.ok_or_else(no_commit)?;
        let project =
            ProjectSettings::of_files(repository.files(&head)?.as_ref()).map_err(ImportError::from)?;
        let (last, capsules, passed_over) = (Migrations::default(), BTreeMap::new(), BTreeMap::new());
        Ok(Self { repository, head, project, kept, last, capsules, passed_over })
    }

    /// Reads a commit.
    pub(super) fn read(&mut self, commit: &CommitId) -> Result<Tree, CaseError> {
        let files = self.repository.files(commit)?;
        let mut revision = Revision::open(files.as_ref(), &self.project).map_err(ImportError::from)?;
        let passed_over = revision.passed_over().iter();
        self.passed_over.extend(passed_over.map(|folder| (folder.folder.clone(), folder.clone())));
        revision.share(&self.last);
        revision.read(&|_| true).map_err(ImportError::from)?;
        self.take_capsules(&revision);
        self.last = revision.migrations().clone();
        Ok(tree(&self.last))
    }

    /// What is checked out.
    pub(super) fn head(&self) -> &CommitId {
        &self.head
    }

    /// The folders of these apps that do not count.
    pub(super) fn passed_over(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<PassedOver> {
        self.passed_over.values().filter(|folder| is_wanted(&folder.app)).cloned().collect()
    }

    /// What there is to keep of the migrations that were read.
    pub(super) fn into_capsules(self) -> Vec<NewCapsule> {
        self.capsules.into_values().collect()
    }

    fn take_capsules(&mut self, revision: &Revision<'_>) {
        for facts in revision.migrations().facts() {
            if self.kept.contains(&facts.id) || self.capsules.contains_key(&facts.id) {
                continue;
            }
            if let Some(capsule) = capsule(revision, facts) {
                self.capsules.insert(capsule.facts.id.clone(), capsule);
            }
        }
    }
}

fn tree(read: &Migrations) -> Tree {
    let is_migration = |read: &Read| read.source.as_ref().map_or(true, |source| source.class.is_some());
    let migrations = || read.read.iter().filter(|(_, read)| is_migration(read));
    Tree {
        files: migrations().map(|(id, _)| id.clone()).collect(),
        squashes: read.facts().into_iter().filter(|facts| !facts.replaces.is_empty()).collect(),
        doubtful: migrations().filter(|(_, read)| is_doubtful(read)).map(|(id, _)| id.clone()).collect(),
    }
}

/// Whether a migration may replace others, and its text does not tell which.
fn is_doubtful(read: &Read) -> bool {
    let is_unknown = |source: &MigrationSource| {
        source.unknown.iter().any(|unknown| matches!(unknown.what, What::Migration | What::Replaces))
    };
    read.text.contains("replaces") && read.source.as_ref().map_or(true, is_unknown)
}

/// What there is to keep of a migration; nothing where its text leaves something open.
fn capsule(revision: &Revision<'_>, facts: MigrationFacts) -> Option<NewCapsule> {
    let migrations = revision.migrations();
    let source = migrations.source(&facts.id).filter(|source| !source.is_unknown())?;
    let references = [&source.dependencies, &source.run_before, &source.replaces];
    if references.into_iter().flatten().any(|reference| migrations.target(reference).is_none()) {
        return None;
    }
    Some(NewCapsule {
        operations: source.operations.iter().map(operation).collect::<Option<_>>()?,
        imports: imports(revision, source, &facts.id),
        text: Some(as_python_reads_it(&migrations.read.get(&facts.id)?.text)?),
        recording: NewRecording::Missing { reason: NOT_RECORDED.to_owned() },
        facts,
    })
}

/// As Django's door says it of a migration whose file it has.
const NOT_RECORDED: &str = "it was applied when nothing recorded its SQL";

fn operation(operation: &Operation) -> Option<OperationFacts> {
    Some(OperationFacts { kind: operation.class.clone(), reversible: operation.reversible? })
}

/// The text without the marks that Python leaves out when it reads a source, so that both doors keep the same. Nothing
/// where it is not UTF-8.
fn as_python_reads_it(text: &str) -> Option<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    (!text.contains(char::REPLACEMENT_CHARACTER)).then(|| text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// The modules of the repository that a migration imports.
fn imports(revision: &Revision<'_>, source: &MigrationSource, id: &MigrationId) -> Vec<String> {
    let path = revision.migrations().files.get(id).map_or("", |file| file.path.as_str());
    let modules = source.imports.iter().map(|import| absolute(path, &import.module));
    let found: BTreeSet<String> = modules.filter(|module| revision.has_module(module)).collect();
    found.into_iter().collect()
}

/// A module that a file imports, without dots in front.
fn absolute(path: &str, module: &str) -> String {
    let below = module.trim_start_matches('.');
    let level = module.len() - below.len();
    if level == 0 {
        return module.to_owned();
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.truncate(parts.len().saturating_sub(level));
    parts.extend(below.split('.').filter(|part| !part.is_empty()));
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubtful(text: &str) -> bool {
        let source = rollback_source::read("shop.migrations.0001", text, &rollback_source::NoModules);
        is_doubtful(&Read { text: text.to_owned(), source })
    }

    #[test]
    fn a_squash_is_doubtful_where_its_text_does_not_tell_what_it_replaces() {
        let squash = |replaces: &str| {
            format!(
                "from django.db import migrations\n\nclass Migration(migrations.Migration):\n    replaces = {replaces}\n"
            )
        };
        assert!(!doubtful(&squash("[('shop', '0001')]")));
        assert!(doubtful(&squash("[tuple(each) for each in open('names.txt')]")));
        assert!(doubtful("class Migration(:\n    replaces = []"));
        assert!(!doubtful("class Migration(:\n    operations = []"));
    }

    #[test]
    fn a_text_is_kept_as_python_reads_it() {
        let read = |text: &str| as_python_reads_it(text);
        assert_eq!(read("\u{feff}a\r\nb\rc\n").as_deref(), Some("a\nb\nc\n"));
        assert_eq!(read("größer\n").as_deref(), Some("größer\n"));
        assert_eq!(read("gr\u{fffd}er\n"), None, "it was not UTF-8");
    }

    #[test]
    fn relative_imports_start_from_the_file() {
        let path = "src/shop/migrations/0002.py";
        for (module, expected) in
            [("shop.fields", "shop.fields"), (".helpers", "src.shop.migrations.helpers"), ("..", "src.shop")]
        {
            assert_eq!(absolute(path, module), expected);
        }
    }
}
