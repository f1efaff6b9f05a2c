//! `import`, `plan BASE..HEAD` and `graph`: what git alone tells.

use insta::assert_snapshot;
use rollback_testing::{FakeRepository, Shop};

const V1: &str = "shop.0001_item";
const V2: &str = "shop.0001_item\nshop.0002_price < shop.0001_item";

/// `v2` is saved; git has `v1` too.
fn shop() -> (Shop, FakeRepository) {
    let mut shop = Shop::new(V2);
    shop.deploy("v2", "shop.0001_item shop.0002_price");
    (shop, FakeRepository::new().commit("v1", V1).commit("v2", V2))
}

#[test]
fn an_import() {
    let (shop, repository) = shop();
    let mut door = shop.door();
    door.repository = Some(repository);
    assert_snapshot!(door.run("import --dry-run"), @"
    --- stdout
    Would import 1111111 (v1): 5 migrations.
    Skipped 2222222 (v2): saved already.
    --- exit code 0
    ");
    assert_snapshot!(door.run("import"), @"
    --- stdout
    Imported 1111111 (v1): 5 migrations.
    Skipped 2222222 (v2): saved already.
    --- exit code 0
    ");
    assert_snapshot!(door.run("import"), @"
    --- stdout
    Skipped 1111111 (v1), 2222222 (v2): saved already.
    Nothing to import.
    --- exit code 0
    ");
    assert_snapshot!(door.run("list"), @"
    --- stdout
              SAVED AT              COMMIT                                    MIGRATIONS  TAGS
    curr >>>  YYYY-MM-DD hh:mm:ssZ  2222222222222222222222222222222222222222  6           v2
              YYYY-MM-DD hh:mm:ssZ  1111111111111111111111111111111111111111  5           v1    imported
    --- exit code 0
    ");
    assert_snapshot!(door.run("show -t v1"), @"
    --- stdout
    commit     1111111111111111111111111111111111111111
    tags       v1
    committed  YYYY-MM-DD hh:mm:ssZ
    imported   from git, as far as its migrations were applied then
    migrations 5
        django_rollback.0001_initial
        django_rollback.0002_releases
        django_rollback.0003_schemas
        django_rollback.0004_capsules
        shop.0001_item
    --- exit code 0
    ");
    assert_snapshot!(door.run("plan -t v1"), @"
    --- stdout
    Rollback from 2222222 (v2) to 1111111 (v1): 1 step in one transaction.
      Unapply shop.0002_price
    Releases that leave the list: 2222222 (v2).
    --- stderr
    Warning: 1111111 (v1) was imported from git without a schema, so the result cannot be verified.
    --- exit code 0
    ");
}

#[test]
fn an_import_that_is_refused() {
    let (shop, repository) = shop();
    let mut door = shop.door();
    assert_snapshot!(door.run("import"), @"
    --- stderr
    error: there is no git repository at /srv/shop/ or above it
      hint: name one with `--path`
    --- exit code 2
    ");
    door.repository = Some(repository.clone());
    assert_snapshot!(door.run("import --since v9"), @"
    --- stderr
    error: there is no tag v9 in /srv/shop
      hint: `git tag` lists them; `git fetch --tags` fetches those of the origin
    --- exit code 2
    ");
    door.repository = Some(repository.shallow());
    assert_snapshot!(door.run("import"), @"
    --- stderr
    error: the clone at /srv/shop is shallow: the order of its tags is unknown
      hint: fetch the rest: `git fetch --unshallow --tags`
    --- exit code 1
    ");
    door.repository = Some(FakeRepository::new().commit("v1", V1));
    assert_snapshot!(door.run("import"), @"
    --- stderr
    error: the oldest release in the list, 2222222 (v2), is not in the git repository at /srv/shop
      hint: point `-p` at the repository of the project, or fetch: `git fetch --all --tags`
    --- exit code 1
    ");
    door.repository = Some(FakeRepository::new().untagged("v2", V2));
    assert_snapshot!(door.run("import"), @"
    --- stderr
    error: the git repository at /srv/shop has no tags
      hint: fetch them: `git fetch --tags`; a release without a tag cannot be imported
    --- exit code 1
    ");
    let mut door = Shop::new(V1).door();
    door.repository = Some(FakeRepository::new().commit("v1", V1));
    assert_snapshot!(door.run("import"), @"
    --- stderr
    error: no release is saved yet, and an imported one is never the current one
      hint: run `save` in the deploy that is running now, then `import`
    --- exit code 1
    ");
}

#[test]
fn a_plan_between_two_commits() {
    let (shop, repository) = shop();
    let mut door = shop.door();
    door.repository = Some(repository);
    assert_snapshot!(door.run("plan v1..v2"), @"
    --- stdout
    Rollback from v2 (2222222) to v1 (1111111): 1 step in one transaction.
      Unapply shop.0002_price
    --- exit code 0
    ");
    assert_snapshot!(door.run("plan v1..v9"), @r#"
    --- stderr
    error: there is no commit "v9" in /srv/shop
      hint: in a pipeline fetch the tags and the history: `git fetch --tags --unshallow`
    --- exit code 2
    "#);
    assert_snapshot!(door.run("plan v1..v2 --format json"), @r#"
    --- stdout
    {"format":1,"from":"v2 (2222222)","to":"v1 (1111111)","steps":[{"app":"shop","migration":"0002_price","way":"disk"}],"blockers":[],"warnings":[],"atomic":true,"segments":[{"steps":[["shop","0002_price"]],"in_transaction":true}]}
    --- exit code 0
    "#);
}
