//! Which folders of a repository hold migrations, and the app label of each.

use std::collections::BTreeMap;

use rollback_source::{Paths, Places, Tree};

const FIRST: &str =
    "from django.db import migrations\n\nclass Migration(migrations.Migration):\n    dependencies = []\n";
const CONFIG: &str = "from django.apps import AppConfig\n\n";
const PACKAGE: &str = "blog/migrations/__init__.py";

/// A migration that depends on others.
fn after(dependencies: &[(&str, &str)]) -> String {
    FIRST.replace("[]", &format!("{dependencies:?}"))
}

/// The migrations of these files with their labels: `blog.0001`, and `blog.0001?` if the text does not determine it.
fn labels(files: &[(&str, &str)]) -> String {
    let files: BTreeMap<String, &str> =
        files.iter().map(|(path, text)| ((*path).to_owned(), *text)).collect();
    let paths: Vec<String> = files.keys().cloned().collect();
    let read = |index: usize| files.get(&paths[index]).map(|text| (*text).to_owned());
    let indexed = Paths::new(&paths);
    let packages = Tree::new(&indexed, &read).packages(&Places::default());
    let named = packages.iter().flat_map(|package| {
        let mark = if package.is_certain { "" } else { "?" };
        package.migrations.keys().map(move |name| format!("{}.{name}{mark}", package.app))
    });
    named.collect::<Vec<_>>().join(" ")
}

/// The migrations of an app in the folder `blog`, with these files in it.
fn blog(files: &[(&str, &str)]) -> String {
    labels(&[files, &[("blog/migrations/0001.py", FIRST), (PACKAGE, "")]].concat())
}

#[test]
fn the_label_is_the_name_of_the_folder() {
    assert_eq!(blog(&[("blog/__init__.py", "")]), "blog.0001");
    assert_eq!(
        labels(&[
            ("sites/inner/deep/migrations/0001.py", FIRST),
            ("sites/inner/deep/migrations/__init__.py", "")
        ]),
        "deep.0001"
    );
    assert_eq!(
        labels(&[("src/blog/migrations/0001.py", FIRST), ("src/blog/migrations/__init__.py", "")]),
        "blog.0001"
    );
}

#[test]
fn a_folder_that_is_no_package_has_no_migrations() {
    assert_eq!(labels(&[("blog/migrations/0001.py", FIRST)]), "");
}

#[test]
fn the_label_in_apps_py() {
    let config = format!("{CONFIG}class BlogConfig(AppConfig):\n    name = 'blog'\n    label = 'journal'\n");
    assert_eq!(blog(&[("blog/apps.py", &config)]), "journal.0001");
}

#[test]
fn one_of_several_configurations() {
    let two = |default: &str| {
        format!(
            "{CONFIG}class One(AppConfig):\n    name = 'blog'\n    label = 'one'\n\n\
             class Two(AppConfig):\n    name = 'blog'\n    label = 'two'\n{default}"
        )
    };
    assert_eq!(blog(&[("blog/apps.py", &two("    default = True\n"))]), "two.0001");
    let named = ("blog/__init__.py", "default_app_config = 'blog.apps.Two'\n");
    assert_eq!(blog(&[("blog/apps.py", &two("")), named]), "two.0001");
}

#[test]
fn a_configuration_in_the_package() {
    let config =
        format!("{CONFIG}class BlogConfig(AppConfig):\n    name = 'blog.app'\n    label = 'journal'\n");
    assert_eq!(
        labels(&[
            ("blog/app/__init__.py", &config),
            ("blog/app/migrations/__init__.py", ""),
            ("blog/app/migrations/0001_initial.py", FIRST),
            (
                "blog/app/migrations/0002_more.py",
                &after(&[("journal", "0001_initial"), ("auth", "0001_initial")])
            ),
        ]),
        "journal.0001_initial journal.0002_more"
    );
    let named = format!(
        "{CONFIG}default_app_config = 'blog.BlogConfig'\n\nclass BlogConfig(AppConfig):\n    name = 'blog'\n    \
         label = 'journal'\n"
    );
    assert_eq!(blog(&[("blog/__init__.py", &named)]), "journal.0001");
}

/// A project may install the app by the path of its configuration, or by the name of its package.
#[test]
fn a_label_that_the_text_does_not_determine() {
    let config = format!("{CONFIG}class Config(AppConfig):\n    name = 'blog'\n    label = 'journal'\n");
    assert_eq!(blog(&[("blog/__init__.py", &config)]), "journal.0001?");
}

#[test]
fn a_configuration_elsewhere_shows_in_the_dependencies() {
    let package = [("blog/app/migrations/__init__.py", ""), ("blog/app/migrations/0001_initial.py", FIRST)];
    let second = after(&[("journal", "0001_initial")]);
    let third = after(&[("journal", "0002_more")]);
    let more =
        [("blog/app/migrations/0002_more.py", second.as_str()), ("blog/app/migrations/0003_more.py", &third)];
    assert_eq!(
        labels(&[&package[..], &more[..]].concat()),
        "journal.0001_initial journal.0002_more journal.0003_more"
    );
    // The first migrations of other apps have the same name.
    let second = after(&[("auth", "0001_initial")]);
    assert_eq!(
        labels(&[&package[..], &[("blog/app/migrations/0002_more.py", second.as_str())]].concat()),
        "app.0001_initial app.0002_more"
    );
}
