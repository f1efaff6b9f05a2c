//! `save` and `stamp`.

use insta::assert_snapshot;
use rollback_testing::{FakeRepository, Shop, commit_of};

use crate::{manage, shop};

/// A shop whose first migration is applied, and of which nothing was saved.
fn unsaved() -> Shop {
    let mut shop = Shop::new("shop.0001_item\nshop.0002_price < shop.0001_item adds shop_0001_item.price");
    shop.apply("shop.0001_item");
    shop
}

#[test]
fn the_first_save() {
    let mut door = unsaved().door();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v1").as_str());
    door.variable("DJANGO_ROLLBACK_TAGS", "v1, stable");
    assert_snapshot!(door.run("save"), @"
    --- stdout
    Saved release 1111111 (stable, v1) with 5 migrations (commit from DJANGO_ROLLBACK_COMMIT).
    --- exit code 0
    ");
}

#[test]
fn the_commit_comes_from_git_with_its_tags() {
    let mut door = unsaved().door();
    door.repository = Some(FakeRepository::new().commit("v1", ""));
    assert_snapshot!(door.run("save"), @"
    --- stdout
    Saved release 1111111 (v1) with 5 migrations (commit from the git repository at /srv/shop).
    --- exit code 0
    ");
}

#[test]
fn saving_again() {
    let mut door = manage();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v2").as_str());
    assert_snapshot!(door.run("save"), @"
    --- stdout
    Release 2222222 (v2) with 6 migrations is already saved; nothing to do.
    --- exit code 0
    ");
    door.variable("DJANGO_ROLLBACK_TAGS", "stable");
    assert_snapshot!(door.run("save"), @"
    --- stdout
    Updated release 2222222 (stable, v2): it has 6 migrations now.
    New tags: stable.
    --- exit code 0
    ");
}

#[test]
fn saving_again_after_more_migrations() {
    let shop = shop();
    shop.mark("blog.0001");
    shop.sql("DELETE FROM django_migrations WHERE name = '0002_price'");
    let mut door = shop.door();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v2").as_str());
    assert_snapshot!(door.run("save"), @"
    --- stdout
    Updated release 2222222 (v2): it has 6 migrations now.
      + blog.0001
      - shop.0002_price
    --- exit code 0
    ");
}

#[test]
fn saving_an_older_release() {
    let mut door = manage();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v1").as_str());
    assert_snapshot!(door.run("save"), @"
    --- stderr
    Release 1111111 (v1) is already saved, but is not the newest: that is 2222222 (v2). Nothing was changed; the migrations that are applied are not those of this release. If you went back to this code on purpose, go back with the database too: `rollback_migrations -c 1111111`.
    --- exit code 0
    ");
}

#[test]
fn the_full_data_and_the_difference() {
    let mut door = manage();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v2").as_str());
    assert_snapshot!(door.run("save --log-full-data --log-diff"), @"
    --- stdout
    Release 2222222 (v2) with 6 migrations is already saved; nothing to do.
    Migrations of the release:
        django_rollback.0001_initial
        django_rollback.0002_releases
        django_rollback.0003_schemas
        django_rollback.0004_capsules
        shop.0001_item
        shop.0002_price
    Since 1111111 (v1):
      + shop.0002_price
    --- exit code 0
    ");
}

#[test]
fn the_difference_of_a_release_that_undid_something_and_of_the_first_one() {
    let shop = shop();
    shop.sql("DELETE FROM django_migrations WHERE name = '0002_price'");
    let mut door = shop.door();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v3").as_str());
    assert_snapshot!(door.run("save --log-diff"), @"
    --- stdout
    Saved release 3333333 with 5 migrations (commit from DJANGO_ROLLBACK_COMMIT).
    Since 2222222 (v2):
      - shop.0002_price
    --- exit code 0
    ");
    let mut door = unsaved().door();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v1").as_str());
    assert_snapshot!(door.run("save --log-diff"), @"
    --- stdout
    Saved release 1111111 with 5 migrations (commit from DJANGO_ROLLBACK_COMMIT).
    No release was saved before this one: there is nothing to compare with.
    --- exit code 0
    ");
}

#[test]
fn a_deploy_of_code_only() {
    let mut door = manage();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v3").as_str());
    assert_snapshot!(door.run("save --log-diff"), @"
    --- stdout
    Saved release 3333333 with 6 migrations (commit from DJANGO_ROLLBACK_COMMIT).
    The same migrations as at 2222222 (v2).
    --- exit code 0
    ");
}

#[test]
fn silence() {
    let mut door = manage();
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v3").as_str());
    for words in ["save -v 0", "save --verbosity=0", "save -q", "save --quiet"] {
        assert_eq!(door.run(words), "--- exit code 0", "{words}");
    }
    door.variable("DJANGO_ROLLBACK_COMMIT", commit_of("v1").as_str());
    assert_eq!(door.run("save -v 0"), "--- exit code 0", "a warning is talk too");
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    let mut door = manage();
    for words in
        ["list", "list --format json", "plan", "show", "history", "status", "--help", "completions bash"]
    {
        door.console.is_closed = true;
        assert_eq!(door.run(words), "--- exit code 0", "{words}");
    }
}

#[test]
fn the_commit_is_not_known() {
    let mut door = manage();
    assert_snapshot!(door.run("save"), @"
    --- stderr
    error: the commit of this deploy is not known: there is no git repository at /srv/shop/ or above it, and no variable or file names one
      hint: give it with `--commit`, set DJANGO_ROLLBACK_COMMIT, point `-p` at the repository, or run `django-rollback stamp` when the image is built
    --- exit code 1
    ");
    door.variable("GIT_COMMIT", "unknown");
    door.variable("GITHUB_SHA", "");
    assert_snapshot!(door.run("save"), @"
    --- stderr
    error: the commit of this deploy is not known: there is no git repository at /srv/shop/ or above it, and no variable or file names one (GIT_COMMIT set, but to no full hash)
      hint: give it with `--commit`, set DJANGO_ROLLBACK_COMMIT, point `-p` at the repository, or run `django-rollback stamp` when the image is built
    --- exit code 1
    ");
    door.repository = Some(FakeRepository::new());
    assert_snapshot!(door.run("save"), @"
    --- stderr
    error: the git repository at /srv/shop has no commit yet, and no variable or file names one (GIT_COMMIT set, but to no full hash)
      hint: give it with `--commit`, set DJANGO_ROLLBACK_COMMIT, point `-p` at the repository, or run `django-rollback stamp` when the image is built
    --- exit code 1
    ");
    door.repository = Some(FakeRepository::new().broken("no such folder"));
    assert_snapshot!(door.run("save"), @"
    --- stderr
    error: cannot read the git repository at /srv/shop: no such folder
    --- exit code 1
    ");
}

#[test]
fn a_variable_of_the_platform_or_of_the_project() {
    let mut door = manage();
    door.variable("GITHUB_SHA", commit_of("v3").as_str());
    assert_snapshot!(door.run("save"), @"
    --- stdout
    Saved release 3333333 with 6 migrations (commit from GITHUB_SHA).
    --- exit code 0
    ");
    door.environment.commit_variables.push("OUR_COMMIT".to_owned());
    door.variable("OUR_COMMIT", commit_of("v4").as_str());
    assert_snapshot!(door.run("save"), @"
    --- stdout
    Saved release 4444444 with 6 migrations (commit from OUR_COMMIT).
    --- exit code 0
    ");
}

#[test]
fn a_stamp_carries_the_commit_into_an_image() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().canonicalize().expect("it is there").display().to_string();
    let mut door = manage();
    door.environment.working_directory = folder.path().to_owned();
    door.repository = Some(FakeRepository::new().commit("v3", ""));
    assert_snapshot!(door.run("stamp -o -"), @r#"
    --- stdout
    {"format":1,"commit":"3333333333333333333333333333333333333333","tags":["v3"]}
    --- exit code 0
    "#);
    let said = door.run("stamp").replace(&place, "FOLDER");
    assert_snapshot!(said, @"
    --- stdout
    Wrote FOLDER/.django-rollback-release for commit 3333333 (from the git repository at /srv/shop).
    --- exit code 0
    ");
    door.repository = None;
    let said = door.run("save").replace(&place, "FOLDER");
    assert_snapshot!(said, @"
    --- stdout
    Saved release 3333333 (v3) with 6 migrations (commit from the file FOLDER/.django-rollback-release).
    --- exit code 0
    ");
}

#[test]
fn a_stamp_that_is_damaged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().canonicalize().expect("it is there").display().to_string();
    let stamp = r#"{"format": 2, "commit": "1111111111111111111111111111111111111111"}"#;
    std::fs::write(folder.path().join(".django-rollback-release"), stamp).expect("it can be written");
    let mut door = manage();
    door.environment.working_directory = folder.path().to_owned();
    let said = door.run("save").replace(&place, "FOLDER");
    assert_snapshot!(said, @"
    --- stderr
    error: the file FOLDER/.django-rollback-release is not what `django-rollback stamp` writes: it has format 2, but this version reads at most format 1
      hint: write it again with `django-rollback stamp`, or delete FOLDER/.django-rollback-release
    --- exit code 1
    ");
}
