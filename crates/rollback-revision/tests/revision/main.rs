//! Commits read from a repository in memory: where the migrations are, and what a comparison reads.

// Helpers of tests, which clippy does not take for tests.
#![allow(clippy::unwrap_used)]

use std::fs;

use rollback_core::{MigrationFacts, MigrationId};
use rollback_revision::{
    Extent, Files, ProjectSettings, Repository, Revision, RevisionError, Subproject, plan, project_folder,
    read_range,
};
use rollback_testing::{FakeRepository, commit_of, draw, id, ids};

/// A migration that depends on nothing, as a file.
const MIGRATION: &str =
    "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n    operations = []\n";

fn files(repository: &FakeRepository, tag: &str) -> Box<dyn Files> {
    repository.files(&commit_of(tag)).unwrap()
}

/// The facts that are read out of a commit, by the settings in it.
fn facts(repository: &FakeRepository, tag: &str) -> Vec<MigrationFacts> {
    let files = files(repository, tag);
    let mut revision =
        Revision::open(files.as_ref(), &ProjectSettings::of_files(files.as_ref()).unwrap()).unwrap();
    revision.read(&|_| true).unwrap();
    revision.migrations().facts()
}

fn names(facts: &[MigrationFacts]) -> Vec<MigrationId> {
    facts.iter().map(|facts| facts.id.clone()).collect()
}

#[test]
fn migrations_are_read_with_what_they_depend_on_and_replace() {
    let drawing =
        "shop.0001\nshop.0002 < shop.0001\nshop.0003 < shop.0001 replaces shop.0002\nblog.0001 < shop.0002";
    let read = facts(&FakeRepository::new().commit("v1", drawing), "v1");
    let mut drawn: Vec<MigrationFacts> = draw(drawing).into_iter().map(|drawn| drawn.facts).collect();
    drawn.sort_by(|one, other| one.id.cmp(&other.id));
    let said = |facts: &[MigrationFacts]| -> Vec<_> {
        facts
            .iter()
            .map(|facts| (facts.id.clone(), facts.dependencies.clone(), facts.replaces.clone()))
            .collect()
    };
    assert_eq!(said(&read), said(&drawn));
}

#[test]
fn a_commit_without_migrations_has_none() {
    assert_eq!(facts(&FakeRepository::new().commit("v1", ""), "v1"), []);
}

#[test]
fn files_that_django_does_not_take_for_migrations_are_none() {
    let repository = FakeRepository::new()
        .commit("v1", "shop.0001")
        .file("shop/migrations/_helpers.py", MIGRATION)
        .file("shop/migrations/~0002.py", MIGRATION)
        .file("shop/models.py", MIGRATION);
    assert_eq!(names(&facts(&repository, "v1")), ids("shop.0001"));
}

#[test]
fn an_app_may_have_another_label_than_its_folder() {
    let config = "from django.apps import AppConfig\n\n\nclass ShopConfig(AppConfig):\n    name = 'shop'\n    label = 'store'\n";
    let repository = FakeRepository::new()
        .commit("v1", "shop.0001")
        .file("shop/__init__.py", "")
        .file("shop/apps.py", config);
    assert_eq!(names(&facts(&repository, "v1")), ids("store.0001"));
}

#[test]
fn a_project_may_say_where_the_migrations_of_an_app_are() {
    let settings = "[tool.django-rollback.migration-modules]\nflatpages = 'pages.history'\n";
    let repository = FakeRepository::new()
        .commit("v1", "shop.0001")
        .file("pyproject.toml", settings)
        .file("pages/__init__.py", "")
        .file("pages/history/__init__.py", "")
        .file("pages/history/0001_initial.py", MIGRATION);
    assert_eq!(names(&facts(&repository, "v1")), ids("flatpages.0001_initial shop.0001"));
}

#[test]
fn a_project_may_exclude_files() {
    let settings = "[tool.django-rollback]\nexclude = ['examples']\n";
    let repository = FakeRepository::new()
        .commit("v1", "shop.0001")
        .file("pyproject.toml", settings)
        .file("examples/demo/migrations/__init__.py", "")
        .file("examples/demo/migrations/0001.py", MIGRATION);
    let files = files(&repository, "v1");
    let settings = ProjectSettings::of_files(files.as_ref()).unwrap();
    assert!(
        settings.is_excluded("examples/demo/migrations/0001.py")
            && !settings.is_excluded("shop/migrations/0001.py")
    );
}

#[test]
fn settings_that_cannot_be_read_are_named_with_their_line() {
    let repository = FakeRepository::new()
        .commit("v1", "")
        .file("pyproject.toml", "[tool.django-rollback]\nexclude = 3\n");
    let error = ProjectSettings::of_files(files(&repository, "v1").as_ref()).unwrap_err();
    assert!(matches!(&error, RevisionError::Project { path, .. } if path == "pyproject.toml"), "{error}");
    assert!(error.to_string().contains("line 2"), "{error}");
}

#[test]
fn of_two_folders_with_one_label_one_counts_and_the_other_is_told() {
    let repository = FakeRepository::new()
        .commit("v1", "shop.0001")
        .file("shop/__init__.py", "")
        .file("old/__init__.py", "")
        .file("old/shop/__init__.py", "")
        .file("old/shop/migrations/__init__.py", "")
        .file("old/shop/migrations/0009.py", MIGRATION);
    let files = files(&repository, "v1");
    let revision = Revision::open(files.as_ref(), &ProjectSettings::default()).unwrap();
    let passed_over: Vec<_> =
        revision.passed_over().iter().map(|folder| (&*folder.app, &*folder.folder)).collect();
    assert_eq!(passed_over.len(), 1, "{passed_over:?}");
    assert_eq!(passed_over[0].0, "shop");
}

#[test]
fn a_text_that_does_not_tell_its_dependencies_is_unknown_until_django_tells() {
    let text = "from django.db import migrations\nfrom elsewhere import NAME\n\n\nclass Migration(migrations.Migration):\n    \
                dependencies = [('shop', NAME)]\n    operations = []\n";
    let repository = FakeRepository::new().commit("v1", "shop.0001").file("shop/migrations/0002.py", text);
    let files = files(&repository, "v1");
    let mut revision = Revision::open(files.as_ref(), &ProjectSettings::default()).unwrap();
    revision.read(&|_| true).unwrap();
    assert_eq!(revision.unknown(), ids("shop.0002"));
    let known = draw("shop.0002 < shop.0001").remove(0).capsule();
    revision.complete(&[known]);
    let facts = revision.migrations().facts();
    let completed = facts.iter().find(|facts| facts.id == id("shop.0002")).unwrap();
    assert_eq!(completed.dependencies, ids("shop.0001"));
}

#[test]
fn a_file_that_is_no_python_says_nothing_and_hides_no_other() {
    let repository = FakeRepository::new()
        .commit("v1", "shop.0001")
        .file("shop/migrations/0002.py", "class Migration(:\n");
    assert_eq!(names(&facts(&repository, "v1")), ids("shop.0001"));
}

/// Three apps; only `shop` has something new.
fn two_commits() -> FakeRepository {
    let before = "shop.0001\nblog.0001\nauth.0001";
    FakeRepository::new().commit("v1", before).commit("v2", &format!("{before}\nshop.0002 < shop.0001"))
}

#[test]
fn a_comparison_reads_what_changed_and_the_other_migrations_of_the_same_apps() {
    let repository = two_commits();
    let (base, head) = (files(&repository, "v1"), files(&repository, "v2"));
    let settings = ProjectSettings::default();
    let [mut base, mut head] = Revision::open_both(base.as_ref(), head.as_ref(), &settings).unwrap();
    read_range(&mut base, &mut head, Extent::Changed).unwrap();
    assert_eq!(names(&head.migrations().facts()), ids("shop.0001 shop.0002"));
    assert_eq!(base.migrations().facts(), []);
    base.share(head.migrations());
    assert_eq!(names(&base.migrations().facts()), ids("shop.0001"));
}

#[test]
fn what_a_commit_has_more_is_undone_on_the_way_back() {
    let repository = two_commits();
    let (base, head) = (files(&repository, "v1"), files(&repository, "v2"));
    let [mut base, mut head] =
        Revision::open_both(base.as_ref(), head.as_ref(), &ProjectSettings::default()).unwrap();
    base.read(&|_| true).unwrap();
    head.read(&|_| true).unwrap();
    let plan = plan(base.migrations(), head.migrations());
    let steps: Vec<MigrationId> = plan.steps.into_iter().map(|step| step.migration).collect();
    assert_eq!((steps, plan.blockers), (ids("shop.0002"), Vec::new()));
}

#[test]
fn a_project_below_the_root_sees_only_its_own_files() {
    let repository = FakeRepository::new()
        .commit("v1", "shop.0001")
        .file("backend/blog/migrations/__init__.py", "")
        .file("backend/blog/migrations/0001.py", MIGRATION);
    let below = Subproject::new(Box::new(repository), "backend");
    let files = below.files(&commit_of("v1")).unwrap();
    assert_eq!(files.paths(), ["blog/migrations/0001.py", "blog/migrations/__init__.py"]);
    assert_eq!(files.reader().unwrap().read(0).unwrap(), MIGRATION.as_bytes());
    assert_eq!(below.head().unwrap(), Some(commit_of("v1")));
}

#[test]
fn the_nearest_folder_with_our_table_is_the_project() {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("backend/src/shop");
    fs::create_dir_all(&deep).unwrap();
    assert_eq!(project_folder(root.path(), &deep), None);
    fs::write(root.path().join("backend/pyproject.toml"), "[tool.django-rollback]\n").unwrap();
    fs::write(root.path().join("backend/src/pyproject.toml"), "[tool.other]\n").unwrap();
    assert_eq!(project_folder(root.path(), &deep).as_deref(), Some("backend"));
    assert_eq!(project_folder(root.path(), root.path()), None);
}
