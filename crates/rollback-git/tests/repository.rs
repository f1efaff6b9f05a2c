//! Each test builds a real repository with the `git` program, and reads it without.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod sandbox;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rollback_git::{GitRepository, discover};
use rollback_revision::{Repository, RepositoryError};

use crate::sandbox::{Sandbox, open};

// ---------------------------------------------------------------- where the repository is

#[test]
fn the_folder_of_the_work_tree() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let head = sandbox.commit(&shop, "one");

    let repository = open(&shop);
    assert_eq!(repository.root(), shop);
    assert_head(&repository, &head);
    assert!(!repository.is_shallow());
    assert!(!repository.foreign_owner());
}

#[test]
fn a_folder_below_and_the_git_folder_itself() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let head = sandbox.commit(&shop, "one");
    let below = shop.join("src/orders");
    fs::create_dir_all(&below).unwrap();

    for path in [below, shop.join(".git"), shop.join(".git/refs/heads"), shop.join("src/../src")] {
        let repository = open(&path);
        assert_eq!(repository.root(), shop, "{}", path.display());
        assert_head(&repository, &head);
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_leads_to_the_repository_around_its_target() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let head = sandbox.commit(&shop, "one");
    fs::create_dir(shop.join("src")).unwrap();
    let link = sandbox.path("current");
    std::os::unix::fs::symlink(shop.join("src"), &link).unwrap();

    let repository = open(&link);
    assert_eq!(repository.root(), shop);
    assert_head(&repository, &head);
}

#[test]
fn no_repository() {
    let sandbox = Sandbox::new();
    assert!(discover(&sandbox.root).unwrap().is_none());
}

#[test]
fn no_such_folder() {
    let sandbox = Sandbox::new();
    let missing = sandbox.path("missing");
    assert_eq!(
        failure(&missing),
        RepositoryError {
            path: missing.display().to_string(),
            reason: "no such folder".to_owned(),
            hint: None,
        }
    );

    let file = sandbox.path("manage.py");
    fs::write(&file, "").unwrap();
    assert_eq!(failure(&file).reason, "it is not a folder");
}

#[test]
fn a_bare_repository() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["tag", "v1"]);
    sandbox.git(&sandbox.root, ["clone", "--bare", "shop", "shop.git"]);

    let bare = sandbox.path("shop.git");
    for path in [bare.clone(), bare.join("refs")] {
        let repository = open(&path);
        assert_eq!(repository.root(), bare);
        assert_head(&repository, &head);
        assert_tags(&repository, [("v1", &head)]);
    }
}

#[test]
fn a_linked_work_tree_has_a_head_of_its_own() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let one = sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["tag", "v1"]);
    let two = sandbox.commit(&shop, "two");
    sandbox.git(&shop, ["worktree", "add", "../hotfix", "v1"]);

    let hotfix = open(&sandbox.path("hotfix"));
    assert_eq!(hotfix.root(), sandbox.path("hotfix"));
    assert_head(&hotfix, &one);
    assert_tags(&hotfix, [("v1", &one)]);
    assert_head(&open(&shop), &two);
}

#[test]
fn a_submodule_is_a_repository_of_its_own() {
    let sandbox = Sandbox::new();
    let library = sandbox.repository("library");
    let library_head = sandbox.commit(&library, "library");
    sandbox.git(&library, ["tag", "lib-1"]);
    let shop = sandbox.repository("shop");
    sandbox.git(&shop, ["-c", "protocol.file.allow=always", "submodule", "add", "../library", "lib"]);
    let shop_head = sandbox.commit(&shop, "shop");

    let submodule = open(&shop.join("lib"));
    assert_eq!(submodule.root(), shop.join("lib"));
    assert_head(&submodule, &library_head);
    assert_tags(&submodule, [("lib-1", &library_head)]);
    assert_head(&open(&shop), &shop_head);
}

#[test]
fn a_git_folder_that_lies_elsewhere() {
    let sandbox = Sandbox::new();
    let shop = sandbox.path("shop");
    sandbox.git(&sandbox.root, ["init", "-b", "main", "--separate-git-dir", "shop.git", "shop"]);
    let head = sandbox.commit(&shop, "one");
    let repository = open(&shop);
    assert_eq!(repository.root(), shop);
    assert_head(&repository, &head);
}

#[test]
fn work_trees_beside_a_bare_repository() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&sandbox.root, ["clone", "--bare", "shop", "trees/.bare"]);
    let trees = sandbox.path("trees");
    fs::write(trees.join(".git"), "gitdir: ./.bare\n").unwrap();
    sandbox.git(&trees, ["worktree", "add", "main", "main"]);

    let main = open(&trees.join("main"));
    assert_eq!(main.root(), trees.join("main"));
    assert_head(&main, &head);
    assert_head(&open(&trees), &head);
}

// ---------------------------------------------------------------- what is checked out

#[test]
fn a_repository_without_a_commit() {
    let sandbox = Sandbox::new();
    let repository = open(&sandbox.repository("shop"));
    assert_eq!(repository.head().unwrap(), None);
    assert_eq!(repository.tags().unwrap(), []);
}

#[test]
fn a_branch_without_a_commit_beside_one_that_has_some() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["tag", "v1"]);
    sandbox.git(&shop, ["checkout", "--orphan", "fresh"]);

    let repository = open(&shop);
    assert_eq!(repository.head().unwrap(), None);
    assert_tags(&repository, [("v1", &head)]);
}

#[test]
fn a_detached_head() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let one = sandbox.commit(&shop, "one");
    sandbox.commit(&shop, "two");
    sandbox.git(&shop, ["checkout", &one]);
    assert_head(&open(&shop), &one);
}

#[test]
fn a_branch_that_is_another_name_of_a_branch() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["symbolic-ref", "refs/heads/trunk", "refs/heads/main"]);
    sandbox.git(&shop, ["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    assert_head(&open(&shop), &head);
}

#[test]
fn an_open_repository_sees_a_new_commit() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    sandbox.commit(&shop, "one");
    let repository = open(&shop);
    assert_tags(&repository, []);

    let two = sandbox.commit(&shop, "two");
    sandbox.git(&shop, ["tag", "-a", "-m", "two", "v2"]);
    sandbox.git(&shop, ["gc"]);
    assert_head(&repository, &two);
    assert_tags(&repository, [("v2", &two)]);
}

// ---------------------------------------------------------------- tags

#[test]
fn tags_of_each_kind_lead_to_their_commit() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let (one, two) = tag_in_each_way(&sandbox, &shop);
    let expected = [
        ("annotated", &one),
        ("deploy-1", &two),
        ("deploy/1", &two),
        ("latest", &one),
        ("light", &two),
        ("nested", &one),
    ];
    assert_tags(&open(&shop), expected);

    sandbox.git(&shop, ["pack-refs", "--all", "--prune"]);
    assert!(fs::read_to_string(shop.join(".git/packed-refs")).unwrap().contains("refs/tags/nested"));
    assert_tags(&open(&shop), expected);
    assert_head(&open(&shop), &two);

    sandbox.git(&shop, ["gc"]);
    assert_tags(&open(&shop), expected);
    assert_eq!(open(&shop).tags().unwrap(), commit_tags(&sandbox, &shop));
}

#[test]
fn a_loose_tag_stands_before_a_packed_one_of_its_name() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["tag", "-a", "-m", "live", "live"]);
    sandbox.git(&shop, ["pack-refs", "--all", "--prune"]);
    let two = sandbox.commit(&shop, "two");
    sandbox.git(&shop, ["tag", "--force", "live"]);
    assert_tags(&open(&shop), [("live", &two)]);
}

#[test]
fn tags_that_lead_nowhere_are_passed_over() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["tag", "v1"]);
    let tags = shop.join(".git/refs/tags");
    fs::write(tags.join("lost"), format!("{}\n", "12".repeat(20))).unwrap();
    fs::write(tags.join("empty"), "").unwrap();
    fs::write(tags.join("dangling"), "ref: refs/heads/deleted\n").unwrap();
    assert_tags(&open(&shop), [("v1", &head)]);
}

#[cfg(unix)]
#[test]
fn tags_with_unusual_names() {
    use std::os::unix::ffi::OsStrExt;

    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let head = sandbox.commit(&shop, "one");
    let latin1 = OsStr::from_bytes(b"\xe9t\xe9");
    for name in ["2026-05/été", "tags/v1", "🚀", "a'b\"c;$(d)", "v1+build@2"]
        .map(OsStr::new)
        .into_iter()
        .chain([latin1])
    {
        sandbox.git(&shop, [OsStr::new("tag"), name]);
    }
    let expected = ["2026-05/été", "a'b\"c;$(d)", "tags/v1", "v1+build@2", "\u{fffd}t\u{fffd}", "🚀"];
    assert_tags(&open(&shop), expected.map(|name| (name, &head)));
    sandbox.git(&shop, ["pack-refs", "--all", "--prune"]);
    assert_tags(&open(&shop), expected.map(|name| (name, &head)));
}

// ---------------------------------------------------------------- repositories of a special kind

#[test]
fn a_shallow_clone() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["tag", "v1"]);
    let two = sandbox.commit(&shop, "two");
    sandbox.git(&shop, ["tag", "-a", "-m", "two", "v2"]);
    let url = format!("file://{}", shop.display());
    sandbox.git(&sandbox.root, ["clone", "--depth", "1", &url, "shallow"]);

    let repository = open(&sandbox.path("shallow"));
    assert!(repository.is_shallow());
    assert_head(&repository, &two);
    assert_tags(&repository, [("v2", &two)]);
}

#[test]
fn a_sha256_repository() {
    let sandbox = Sandbox::new();
    let shop = sandbox.path("shop");
    sandbox.git(&sandbox.root, ["init", "-b", "main", "--object-format=sha256", "shop"]);
    let (one, two) = tag_in_each_way(&sandbox, &shop);
    assert_eq!(one.len(), 64);

    for _ in ["loose", "packed"] {
        let repository = open(&shop);
        assert_head(&repository, &two);
        assert_eq!(repository.tags().unwrap(), commit_tags(&sandbox, &shop));
        sandbox.git(&shop, ["gc"]);
    }
}

/// Only root can give a file away, so that another user's run sees the half of this test that is not about owners.
#[cfg(unix)]
#[test]
fn a_repository_of_another_user() {
    use std::os::unix::fs::{MetadataExt, lchown};

    const NOBODY: u32 = 65534;
    let sandbox = Sandbox::new();
    for format in ["sha1", "sha256"] {
        let shop = sandbox.path(format);
        sandbox.git(&sandbox.root, ["init", "-b", "main", &format!("--object-format={format}"), format]);
        let head = sandbox.commit(&shop, "one");
        sandbox.git(&shop, ["tag", "-a", "-m", "one", "v1"]);
        let as_root = shop.metadata().unwrap().uid() == 0;
        if as_root {
            each_below(&shop, &|path| lchown(path, Some(NOBODY), Some(NOBODY)).unwrap());
            assert!(sandbox.try_git(&shop, ["status"]).unwrap_err().contains("dubious ownership"));
        }

        let repository = open(&shop);
        assert_eq!(repository.foreign_owner(), as_root);
        assert_eq!(repository.root(), shop);
        assert_head(&repository, &head);
        assert_tags(&repository, [("v1", &head)]);
    }
}

#[test]
fn a_reftable_repository_says_how_to_convert_it() {
    let sandbox = Sandbox::new();
    let shop = sandbox.path("shop");
    if sandbox.try_git(&sandbox.root, ["init", "-b", "main", "--ref-format=reftable", "shop"]).is_err() {
        return; // git has it since 2.45
    }
    sandbox.git(&shop, ["config", "core.logAllRefUpdates", "false"]); // git 2.47 cannot migrate reflogs
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["tag", "v1"]);
    assert_eq!(
        failure(&shop),
        RepositoryError {
            path: shop.join(".git").display().to_string(),
            reason: "its branches and tags are in a reftable, which is not supported".to_owned(),
            hint: Some(
                "convert it with `git refs migrate --ref-format=files`, \
             or name the commit with `--commit` or DJANGO_ROLLBACK_COMMIT"
                    .to_owned()
            ),
        }
    );

    sandbox.git(&shop, ["refs", "migrate", "--ref-format=files"]);
    assert_head(&open(&shop), &head);
    assert_tags(&open(&shop), [("v1", &head)]);
}

// ---------------------------------------------------------------- damage

#[test]
fn a_head_that_is_no_reference() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["tag", "v1"]);
    for garbage in ["garbage\n", "", "\0\0\0\0", "ref: not a name\n"] {
        fs::write(shop.join(".git/HEAD"), garbage).unwrap();
        let repository = open(&shop);
        let error = repository.head().unwrap_err();
        assert_eq!(error.path, shop.display().to_string());
        assert!(error.reason.starts_with("the reference at \"HEAD\" could not be decoded: "), "{error}");
        assert!(!error.reason.contains('\n'));
        assert!(error.hint.unwrap().contains("DJANGO_ROLLBACK_COMMIT"));
        assert_tags(&repository, [("v1", &head)]);
    }
}

#[test]
fn a_branch_that_is_no_reference() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    sandbox.commit(&shop, "one");
    fs::write(shop.join(".git/refs/heads/main"), "\0".repeat(41)).unwrap();
    let error = open(&shop).head().unwrap_err();
    assert!(
        error.reason.starts_with(
            "the reference at \"refs/heads/main\" could not be decoded: reference content could not be parsed"
        ),
        "{error}"
    );
}

#[test]
fn the_reason_stays_short_however_large_the_damaged_file_is() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    fs::write(shop.join(".git/HEAD"), "x".repeat(1 << 20)).unwrap();
    let error = open(&shop).head().unwrap_err();
    assert!(error.reason.ends_with("xxx…") && error.reason.len() < 1000, "{error}");
}

#[test]
fn a_head_that_is_a_folder() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    fs::remove_file(shop.join(".git/HEAD")).unwrap();
    fs::create_dir(shop.join(".git/HEAD")).unwrap();
    assert!(failure(&shop).reason.contains("HEAD"));
}

#[test]
fn a_head_whose_commit_is_missing_still_has_its_name() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let missing = "12".repeat(20);
    fs::write(shop.join(".git/refs/heads/main"), format!("{missing}\n")).unwrap();
    assert_head(&open(&shop), &missing);
}

#[test]
fn damaged_packed_references() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    sandbox.commit(&shop, "one");
    fs::write(shop.join(".git/packed-refs"), "# pack-refs with: peeled fully-peeled sorted \ngarbage\n")
        .unwrap();
    let error = open(&shop).tags().unwrap_err();
    assert_eq!(
        error.reason,
        "invalid packed reference, input=\"garbage\", line=1: malformed packed reference"
    );
}

#[test]
fn a_damaged_tag_object() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["tag", "-a", "-m", "one", "v1"]);
    let id = sandbox.git(&shop, ["rev-parse", "v1"]);
    let object = shop.join(".git/objects").join(&id[..2]).join(&id[2..]);
    fs::remove_file(&object).unwrap();
    fs::write(&object, "").unwrap();
    let error = open(&shop).tags().unwrap_err();
    assert!(error.reason.contains("refs/tags/v1"), "{error}");
    assert!(error.reason.ends_with("empty loose object file"), "{error}");
}

#[test]
fn a_broken_repository_is_not_mistaken_for_the_one_around_it() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    sandbox.commit(&shop, "shop");
    let inner = sandbox.repository("shop/inner");
    fs::remove_file(inner.join(".git/HEAD")).unwrap();
    let error = failure(&inner);
    assert_eq!(error.path, inner.join(".git").display().to_string());
    assert!(error.reason.ends_with("missing HEAD at \".git/HEAD\""), "{error}");
}

/// Nothing is closed to root, which reads on.
#[cfg(unix)]
#[test]
fn a_git_folder_that_may_not_be_read() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let git = shop.join(".git");
    let set_mode = |mode| fs::set_permissions(&git, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o000);
    let found = discover(&shop);
    set_mode(0o755);
    if git.metadata().unwrap().uid() == 0 {
        assert!(found.unwrap().is_some());
    } else {
        let error = found.unwrap_err();
        assert_eq!(error.reason, "permission denied");
        assert!(error.hint.unwrap().starts_with("run the command as a user who may read it, or "));
    }
}

#[test]
fn a_work_tree_without_its_repository() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["worktree", "add", "../hotfix"]);
    fs::remove_dir_all(&shop).unwrap();
    let hotfix = sandbox.path("hotfix");
    assert_eq!(
        failure(&hotfix),
        RepositoryError {
            path: hotfix.join(".git").display().to_string(),
            reason: format!(
                "it points to {}, which does not exist",
                shop.join(".git/worktrees/hotfix").display()
            ),
            hint: Some(
                "make that folder available here, \
             or name the commit with `--commit` or DJANGO_ROLLBACK_COMMIT"
                    .to_owned()
            ),
        }
    );
}

// ---------------------------------------------------------------- the environment

/// Runs `reads_in_a_hostile_environment` in a process of its own, whose environment and configuration do all they
/// can to lead it astray or to run something.
#[cfg(unix)]
#[test]
fn neither_environment_nor_configuration_lead_astray_or_run_anything() {
    use std::os::unix::fs::PermissionsExt;

    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    fs::write(shop.join("manage.py"), "import django\n").unwrap();
    sandbox.git(&shop, ["add", "manage.py"]);
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["tag", "-a", "-m", "one", "v1"]);
    let ignored = sandbox.path("git/ignore"); // where $XDG_CONFIG_HOME leads
    fs::create_dir(sandbox.path("git")).unwrap();
    fs::write(&ignored, "*.py\n").unwrap();
    let decoy = sandbox.repository("decoy");
    sandbox.commit(&decoy, "decoy");

    let marker = sandbox.path("something-ran");
    let program = sandbox.path("bin/git");
    fs::create_dir(sandbox.path("bin")).unwrap();
    fs::write(&program, format!("#!/bin/sh\n/bin/touch '{}'\n", marker.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let run = program.to_str().unwrap();
    for key in
        ["core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "gpg.program", "credential.helper"]
    {
        sandbox.git(&shop, ["config", key, run]);
    }
    sandbox.git(&shop, ["config", "core.hooksPath", "../bin"]);
    sandbox.git(&shop, ["config", "core.worktree", "../../shop"]);
    fs::write(sandbox.path(".gitconfig"), "[this is no configuration\n").unwrap();
    sandbox.git(&shop, ["config", "include.path", "../../.gitconfig"]);

    let below = shop.join("src");
    fs::create_dir(&below).unwrap();
    let decoy_git = decoy.join(".git");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "reads_in_a_hostile_environment"])
        .current_dir(below)
        .env_clear()
        .env("SHOP", &shop)
        .env("HEAD", &head)
        .env("PATH", sandbox.path("bin"))
        .env("HOME", &sandbox.root)
        .env("XDG_CONFIG_HOME", &sandbox.root)
        .env("GIT_CONFIG_GLOBAL", sandbox.path(".gitconfig"))
        .env("GIT_CONFIG_SYSTEM", sandbox.path(".gitconfig"))
        .env("GIT_CONFIG_COUNT", "2")
        .env("GIT_CONFIG_KEY_0", "core.fsmonitor")
        .env("GIT_CONFIG_VALUE_0", run)
        .env("GIT_CONFIG_KEY_1", "core.excludesFile")
        .env("GIT_CONFIG_VALUE_1", &ignored)
        .env("GIT_DIR", &decoy_git)
        .env("GIT_COMMON_DIR", &decoy_git)
        .env("GIT_WORK_TREE", &decoy)
        .env("GIT_OBJECT_DIRECTORY", decoy_git.join("objects"))
        .env("GIT_NAMESPACE", "decoy")
        .env("GIT_SHALLOW_FILE", decoy_git.join("HEAD"))
        .env("GIT_CEILING_DIRECTORIES", &shop)
        .env("GIT_SSH_COMMAND", run)
        .env("GIT_DEFAULT_HASH", "sha256")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("1 passed"), "{stdout}");
    assert!(!marker.exists());
}

#[cfg(unix)]
#[test]
#[ignore = "run by `neither_environment_nor_configuration_lead_astray_or_run_anything`"]
fn reads_in_a_hostile_environment() {
    let shop = PathBuf::from(std::env::var_os("SHOP").unwrap());
    let head = std::env::var("HEAD").unwrap();

    let repository = open(Path::new("."));
    assert_eq!(repository.root(), shop);
    assert!(!repository.is_shallow());
    assert_head(&repository, &head);
    assert_tags(&repository, [("v1", &head)]);
    assert_eq!(repository.resolve("main").unwrap().unwrap().as_str(), head);
    let committed = repository.files(&head.parse().unwrap()).unwrap();
    assert_eq!(committed.paths(), ["manage.py"]);
    assert_eq!(committed.reader().unwrap().read(0).unwrap(), b"import django\n");
    fs::write(shop.join("new.py"), "").unwrap();
    assert_eq!(repository.work_tree().unwrap().unwrap().paths(), ["manage.py", "new.py"]);
}

// ---------------------------------------------------------------- helpers

/// Two commits and tags of every kind; those of a tree and a file lead to no commit.
fn tag_in_each_way(sandbox: &Sandbox, shop: &Path) -> (String, String) {
    fs::write(shop.join("manage.py"), "").unwrap();
    sandbox.git(shop, ["add", "manage.py"]);
    let one = sandbox.commit(shop, "one");
    sandbox.git(shop, ["tag", "-a", "-m", "annotated", "annotated"]);
    sandbox.git(shop, ["tag", "-a", "-m", "nested", "nested", "annotated"]);
    sandbox.git(shop, ["symbolic-ref", "refs/tags/latest", "refs/tags/nested"]);
    sandbox.git(shop, ["tag", "tree", "HEAD^{tree}"]);
    sandbox.git(shop, ["tag", "-a", "-m", "annotated tree", "annotated-tree", "HEAD^{tree}"]);
    sandbox.git(shop, ["tag", "blob", "HEAD:manage.py"]);
    sandbox.git(shop, ["tag", "-a", "-m", "annotated blob", "annotated-blob", "HEAD:manage.py"]);
    let two = sandbox.commit(shop, "two");
    for name in ["light", "deploy/1", "deploy-1"] {
        sandbox.git(shop, ["tag", name]);
    }
    (one, two)
}

/// What git itself says about the tags that lead to a commit.
fn commit_tags(sandbox: &Sandbox, repository: &Path) -> Vec<(String, rollback_core::CommitId)> {
    let names = sandbox.git(repository, ["tag", "--list"]);
    let commit =
        |name: &str| sandbox.try_git(repository, ["rev-parse", "--verify", &format!("{name}^{{commit}}")]);
    names.lines().filter_map(|name| Some((name.to_owned(), commit(name).ok()?.parse().unwrap()))).collect()
}

fn failure(path: &Path) -> RepositoryError {
    discover(path).unwrap_err()
}

fn assert_head(repository: &GitRepository, commit: &str) {
    assert_eq!(repository.head().unwrap().unwrap().as_str(), commit);
}

fn assert_tags<const N: usize>(repository: &GitRepository, expected: [(&str, &String); N]) {
    let tags = repository.tags().unwrap();
    let tags: Vec<_> = tags.iter().map(|(name, commit)| (name.as_str(), commit.as_str())).collect();
    assert_eq!(tags, expected.map(|(name, commit)| (name, commit.as_str())));
}

#[cfg(unix)]
fn each_below(path: &Path, visit: &dyn Fn(&Path)) {
    visit(path);
    if path.symlink_metadata().unwrap().is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| each_below(&entry.unwrap().path(), visit));
    }
}
