//! Two revisions as texts, and what the rules find between them.
#![allow(dead_code, reason = "each test file uses a part of this")]

use std::collections::BTreeMap;
use std::sync::Arc;

use rollback_check::{Checked, Finding, Range, Vendor, check};
use rollback_core::MigrationId;
use rollback_revision::{File, Migrations, Read};
use rollback_source::{Paths, Places, Tree};

/// The files of a revision: paths and texts.
pub(crate) type Files = BTreeMap<String, String>;

/// In the place of a text: the newer revision does not have the file.
pub(crate) const DELETED: &str = "(deleted)";

/// The first migration of the app `shop`: a model `Item` with a name.
pub(crate) const ITEM: &str = "\
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = []
    operations = [
        migrations.CreateModel(
            'Item', [('id', models.BigAutoField(primary_key=True)), ('name', models.CharField(max_length=20))]
        ),
    ]
";

/// The older revision with changes: files by path, or by name if they are migrations of the app `shop`.
pub(crate) fn changed(older: &Files, changes: &[(&str, &str)]) -> Files {
    let mut files = older.clone();
    for (name, text) in changes {
        let path = if name.contains('/') { (*name).to_owned() } else { format!("shop/migrations/{name}.py") };
        match *text {
            DELETED => drop(files.remove(&path)),
            text => drop(files.insert(path, text.to_owned())),
        }
    }
    files
}

/// The app `shop` with these files.
pub(crate) fn shop(files: &[(&str, &str)]) -> Files {
    let packages = [("shop/__init__.py", ""), ("shop/migrations/__init__.py", "")];
    changed(&changed(&Files::new(), &packages), files)
}

/// A migration of the app `shop` with these operations, after others of the app.
pub(crate) fn migration(operations: &[&str], after: &[&str]) -> String {
    let after: Vec<String> = after.iter().map(|name| format!("('shop', '{name}')")).collect();
    let operations: Vec<String> =
        operations.iter().map(|operation| format!("        {operation},\n")).collect();
    format!(
        "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n    \
         dependencies = [{}]\n    operations = [\n{}    ]\n",
        after.join(", "),
        operations.concat()
    )
}

/// A migration that adds a column, which is `RB012`.
pub(crate) fn adds(field: &str, after: &[&str]) -> String {
    migration(&[&add(field)], after)
}

/// The operation that adds a column.
pub(crate) fn add(field: &str) -> String {
    format!("migrations.AddField('Item', '{field}', models.IntegerField(null=True))")
}

/// What `check` says of two revisions.
pub(crate) fn checked(older: &Files, newer: &Files, database: Option<Vendor>) -> Checked {
    let paths: Vec<String> = newer.keys().cloned().collect();
    let paths = Paths::new(&paths);
    let is_project = |module: &str| paths.has_module(module);
    check(&Range { base: &migrations(older), head: &migrations(newer), is_project: &is_project, database })
}

/// Checks the findings between two revisions, in the order of files and places: `RB012 shop.0002`.
pub(crate) fn expect(older: &Files, newer: &Files, expected: &[&str]) {
    let found = checked(older, newer, None).findings;
    let found: Vec<String> = found.iter().map(named).collect();
    assert_eq!(found, expected, "{newer:#?}");
}

/// A finding in short: `RB012 shop.0002`.
pub(crate) fn named(finding: &Finding) -> String {
    format!("{} {}", finding.rule.code, finding.migration)
}

fn migrations(files: &Files) -> Migrations {
    let paths: Vec<String> = files.keys().cloned().collect();
    let texts: Vec<&String> = files.values().collect();
    let read = |index: usize| Some(texts[index].clone());
    let paths = Paths::new(&paths);
    let tree = Tree::new(&paths, &read);
    let mut migrations = Migrations::default();
    for package in tree.packages(&Places::default()) {
        for (name, index) in &package.migrations {
            let id = MigrationId::new(&package.app, name);
            let text = texts[*index].clone();
            let file = File { path: paths.path(*index).to_owned(), hash: text.clone() };
            migrations.files.insert(id.clone(), file);
            let source = rollback_source::read(&package.module(name), &text, &tree);
            migrations.read.insert(id, Arc::new(Read { text, source }));
        }
    }
    migrations
}
