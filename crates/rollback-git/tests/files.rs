//! The files of commits and of work trees, compared with what `git` itself says.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod sandbox;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use rollback_revision::{Files, ReadFiles, Repository, RepositoryError};

use crate::sandbox::{Sandbox, open};

// ---------------------------------------------------------------- the files of a commit

#[test]
fn python_files_and_pyproject_in_the_order_of_their_paths() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let wanted = [
        "a-b.py",
        "a.py",
        "a/b.py",
        "a/b/c/d.py",
        "a/pyproject.toml",
        "a0.py",
        "manage.py",
        "pyproject.toml",
        "été/b c.py",
    ];
    write_all(&shop, &wanted);
    write_all(&shop, &["README.md", "a.pyc", "a/b.pyi", "my-pyproject.toml", "py", "x.PY", "a.py.txt"]);
    write_all(&shop, &["folder.py/README.md", "pyproject.toml.d/x"]);
    write(&shop, "empty.py", "");
    sandbox.git(&shop, ["add", "--all"]);
    sandbox.git(&shop, ["update-index", "--chmod=+x", "manage.py"]);
    let head = sandbox.commit(&shop, "one");
    let mut expected: Vec<&str> = wanted.into_iter().chain(["empty.py"]).collect();
    expected.sort_unstable();

    for _ in ["loose", "packed"] {
        let files = files(&shop, &head);
        assert_eq!(files.paths(), expected);
        assert_same_as_git(&sandbox, &shop, &head, &*files);
        sandbox.git(&shop, ["gc"]);
    }
    assert_eq!(work_tree(&shop).paths(), expected);
}

#[cfg(unix)]
#[test]
fn links_submodules_and_names_that_are_not_utf8_are_no_files() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    let sandbox = Sandbox::new();
    let library = sandbox.repository("library");
    write(&library, "lib.py", "");
    sandbox.git(&library, ["add", "--all"]);
    sandbox.commit(&library, "library");
    let shop = sandbox.repository("shop");
    write_all(&shop, &["shop/models.py"]);
    symlink("shop/models.py", shop.join("link.py")).unwrap();
    symlink("shop", shop.join("linked")).unwrap();
    symlink("nowhere.py", shop.join("dangling.py")).unwrap();
    fs::write(shop.join(OsStr::from_bytes(b"caf\xe9.py")), "").unwrap();
    fs::create_dir(shop.join(OsStr::from_bytes(b"\xe9"))).unwrap();
    fs::write(shop.join(OsStr::from_bytes(b"\xe9/a.py")), "").unwrap();
    sandbox.git(&shop, ["-c", "protocol.file.allow=always", "submodule", "add", "../library", "lib.py"]);
    sandbox.git(&shop, ["add", "--all"]);
    let head = sandbox.commit(&shop, "one");

    assert_eq!(files(&shop, &head).paths(), ["shop/models.py"]);
    assert_eq!(work_tree(&shop).paths(), ["shop/models.py"]);
    assert_eq!(work_tree(&shop.join("lib.py")).paths(), ["lib.py"]);
}

#[test]
fn each_commit_has_its_own_files() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let empty = sandbox.commit(&shop, "empty");
    write(&shop, "a.py", "old");
    sandbox.git(&shop, ["add", "--all"]);
    let one = sandbox.commit(&shop, "one");
    write(&shop, "a.py", "new");
    write(&shop, "b.py", "new");
    sandbox.git(&shop, ["add", "--all"]);
    let two = sandbox.commit(&shop, "two");

    assert_eq!(files(&shop, &empty).paths(), [] as [&str; 0]);
    assert_contents(&*files(&shop, &one), [("a.py", "old")]);
    assert_contents(&*files(&shop, &two), [("a.py", "new"), ("b.py", "new")]);
    let (one, two) = (files(&shop, &one), files(&shop, &two));
    assert_ne!(hashes(&*one)[0], hashes(&*two)[0]);
    assert_eq!(hashes(&*two)[0], hashes(&*two)[1]);
}

#[test]
fn a_bare_repository_has_commits_but_no_work_tree() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write(&shop, "manage.py", "import django");
    sandbox.git(&shop, ["add", "--all"]);
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&sandbox.root, ["clone", "--bare", "shop", "shop.git"]);

    let bare = sandbox.path("shop.git");
    assert_contents(&*files(&bare, &head), [("manage.py", "import django")]);
    assert!(open(&bare).work_tree().unwrap().is_none());
}

#[test]
fn a_sha256_repository() {
    let sandbox = Sandbox::new();
    sandbox.git(&sandbox.root, ["init", "-b", "main", "--object-format=sha256", "shop"]);
    let shop = sandbox.path("shop");
    write_all(&shop, &["a.py", "shop/models.py"]);
    sandbox.git(&shop, ["add", "--all"]);
    let head = sandbox.commit(&shop, "one");

    for _ in ["loose", "packed"] {
        let files = files(&shop, &head);
        assert_same_as_git(&sandbox, &shop, &head, &*files);
        assert_eq!(hashes(&*files)[0].len(), 64);
        assert_eq!(hashes(&*files), hashes(&*work_tree(&shop)));
        sandbox.git(&shop, ["gc"]);
    }
    let repository = open(&shop);
    assert_eq!(repository.resolve(&head[..8]).unwrap().unwrap().as_str(), head);
    assert_eq!(repository.ancestors(&head.parse().unwrap()).unwrap().len(), 1);
    let error = repository.files(&"12".repeat(20).parse().unwrap()).err().unwrap();
    assert_eq!(error.reason, format!("commit {} is not in this clone", "12".repeat(20)));
}

#[test]
fn threads_read_side_by_side() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    for number in 0..200 {
        write(&shop, &format!("app/m{number:03}.py"), &format!("number = {number}\n").repeat(number + 1));
    }
    sandbox.git(&shop, ["add", "--all"]);
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["gc"]);

    for files in [files(&shop, &head), work_tree(&shop)] {
        let read = |step: usize| {
            let mut reader = files.reader().unwrap();
            for number in (0..200).map(|at| at * step % 200) {
                let expected = format!("number = {number}\n").repeat(number + 1);
                assert_eq!(reader.read(number).unwrap(), expected.as_bytes());
                assert_eq!(reader.hash(number).unwrap().len(), 40);
            }
        };
        thread::scope(|scope| {
            for step in [1, 3, 7, 199] {
                scope.spawn(move || read(step));
            }
        });
    }
}

#[test]
fn files_outlive_the_repository_and_a_gc() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write(&shop, "a.py", "a");
    sandbox.git(&shop, ["add", "--all"]);
    let head = sandbox.commit(&shop, "one");
    let files = files(&shop, &head);
    sandbox.git(&shop, ["gc"]);
    assert_contents(&*files, [("a.py", "a")]);
}

// ---------------------------------------------------------------- clones that are not whole

#[test]
fn a_partial_clone_without_the_contents() {
    let sandbox = Sandbox::new();
    let head = shop_to_clone_in_part(&sandbox);
    let part = partial_clone(&sandbox, "blob:none");

    let files = files(&part, &head);
    assert_eq!(files.paths(), ["manage.py", "shop/models.py"]);
    assert_eq!(hashes(&*files)[1], sandbox.git(&sandbox.path("shop"), ["rev-parse", "HEAD:shop/models.py"]));
    let error = files.reader().unwrap().read(1).unwrap_err();
    assert_eq!(
        error,
        RepositoryError {
            path: part.display().to_string(),
            reason: format!("object {} (shop/models.py) is not in this clone", hashes(&*files)[1]),
            hint: Some(
                "fetch everything with `git fetch --refetch --no-filter`, or make a full clone".to_owned()
            ),
        }
    );

    sandbox.git(&part, ["fetch", "--refetch", "--no-filter"]);
    assert_contents(&*files, [("manage.py", ""), ("shop/models.py", "class Order: ...\n")]);
}

#[test]
fn a_partial_clone_without_the_folders() {
    let sandbox = Sandbox::new();
    let head = shop_to_clone_in_part(&sandbox);
    let shop = sandbox.path("shop");
    for (filter, missing, name) in
        [("tree:0", "HEAD^{tree}", "the root folder"), ("tree:1", "HEAD:shop", "shop/")]
    {
        let part = partial_clone(&sandbox, filter);
        let id = sandbox.git(&shop, ["rev-parse", missing]);
        let error = open(&part).files(&head.parse().unwrap()).err().unwrap();
        assert_eq!(error.reason, format!("object {id} ({name}) is not in this clone"));
        sandbox.git(&part, ["fetch", "--refetch", "--no-filter"]);
        assert_eq!(files(&part, &head).paths(), ["manage.py", "shop/models.py"]);
    }
}

#[test]
fn a_shallow_clone_has_the_files_of_its_commits() {
    let sandbox = Sandbox::new();
    let head = shop_to_clone_in_part(&sandbox);
    let url = format!("file://{}", sandbox.path("shop").display());
    sandbox.git(&sandbox.root, ["clone", "--depth", "1", &url, "shallow"]);
    let files = files(&sandbox.path("shallow"), &head);
    assert_contents(&*files, [("manage.py", ""), ("shop/models.py", "class Order: ...\n")]);
}

#[test]
fn a_damaged_object() {
    let sandbox = Sandbox::new();
    let head = shop_to_clone_in_part(&sandbox);
    let shop = sandbox.path("shop");
    let damage = |name: &str| {
        let id = sandbox.git(&shop, ["rev-parse", name]);
        let object = shop.join(".git/objects").join(&id[..2]).join(&id[2..]);
        fs::remove_file(&object).unwrap();
        fs::write(&object, "garbage").unwrap();
    };
    damage("HEAD:shop/models.py");
    let error = files(&shop, &head).reader().unwrap().read(1).unwrap_err();
    assert!(error.hint.unwrap().contains("git fsck"));
    damage("HEAD:shop");
    let error = open(&shop).files(&head.parse().unwrap()).err().unwrap();
    assert!(error.hint.unwrap().contains("git fsck"));
}

// ---------------------------------------------------------------- the work tree

#[test]
fn a_work_tree_that_nobody_changed_is_its_commit() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write_all(&shop, &["manage.py", "pyproject.toml", "shop/models.py", "shop/migrations/0001_initial.py"]);
    sandbox.git(&shop, ["add", "--all"]);
    let head = sandbox.commit(&shop, "one");
    for path in [shop.clone(), shop.join("shop")] {
        let work_tree = work_tree(&path);
        assert_eq!(work_tree.paths(), files(&shop, &head).paths());
        assert_same_as_git(&sandbox, &shop, &head, &*work_tree);
    }
}

#[test]
fn new_changed_and_deleted_files() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write_all(&shop, &["a.py", "b.py", "c.py", "folder/d.py"]);
    sandbox.git(&shop, ["add", "--all"]);
    let head = sandbox.commit(&shop, "one");
    write(&shop, "a.py", "changed");
    fs::remove_file(shop.join("b.py")).unwrap();
    fs::remove_dir_all(shop.join("folder")).unwrap();
    write(&shop, "new/e.py", "new");
    write(&shop, "staged.py", "staged");
    sandbox.git(&shop, ["add", "staged.py"]);

    let (before, after) = (files(&shop, &head), work_tree(&shop));
    assert_eq!(after.paths(), ["a.py", "c.py", "new/e.py", "staged.py"]);
    assert_ne!(hashes(&*after)[0], hashes(&*before)[0]);
    assert_eq!(hashes(&*after)[1], hashes(&*before)[2]);
    assert_eq!(hashes(&*after)[0], sandbox.git(&shop, ["hash-object", "a.py"]));
    assert_eq!(after.reader().unwrap().read(0).unwrap(), b"changed");
}

#[test]
fn what_git_ignores_is_left_out() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write(&shop, ".gitignore", "build/\n/local.py\n*_generated.py\n!kept_generated.py\n");
    write(&shop, "shop/.gitignore", "secret.py\n!secret.py.py\nsub/*.py\n");
    write(&shop, ".git/info/exclude", "mine.py\n/shop/only.py\n");
    let kept = [
        "kept_generated.py",
        "shop/kept_generated.py",
        "shop/local.py",
        "shop/models.py",
        "shop/sub/deep/a.py",
    ];
    write_all(&shop, &kept);
    write_all(&shop, &["build/a.py", "shop/build/lib/a.py", "local.py", "x_generated.py", "shop/secret.py"]);
    write_all(&shop, &["shop/sub/a.py", "mine.py", "shop/mine.py", "shop/only.py", "shop/a/secret.py"]);
    // The rules of other programs, of folders around the repository and of the user do not count.
    write(&shop, ".ignore", "*.py\n");
    write(&shop, ".rgignore", "*.py\n");
    write(&sandbox.root, ".gitignore", "*.py\n");
    write(&sandbox.root, ".ignore", "*.py\n");

    assert_eq!(work_tree(&shop).paths(), kept);
    let untracked = sandbox.git(&shop, ["ls-files", "--others", "--exclude-standard", "*.py"]);
    assert_eq!(untracked.lines().collect::<Vec<_>>(), kept);
}

#[test]
fn what_git_tracks_is_there_although_a_rule_fits_it() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write(&shop, ".gitignore", "lib/\nlocal.py\n");
    write_all(&shop, &["lib/a.py", "lib/gone.py", "lib/other.py", "local.py", "manage.py"]);
    write_all(&shop, &[".hidden/tool.py", "lib/env/a.py", "lib/env/pyvenv.cfg"]);
    sandbox.git(&shop, ["add", "--force", "lib/a.py", "lib/gone.py", "local.py", ".hidden", "lib/env"]);
    sandbox.commit(&shop, "one");
    fs::remove_file(shop.join("lib/gone.py")).unwrap();
    assert_eq!(work_tree(&shop).paths(), ["lib/a.py", "local.py", "manage.py"]);
}

#[test]
fn what_a_sparse_checkout_leaves_out_is_there() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let paths = ["manage.py", "shop/a.py", "store/c.py", "store/deep/b.py"];
    write_all(&shop, &paths);
    sandbox.git(&shop, ["add", "--all"]);
    let head = sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["sparse-checkout", "init", "--cone"]);
    sandbox.git(&shop, ["sparse-checkout", "set", "shop"]);

    for _ in ["a whole index", "a sparse one"] {
        assert!(!shop.join("store").exists());
        let files = work_tree(&shop);
        assert_eq!(files.paths(), paths);
        assert_same_as_git(&sandbox, &shop, &head, &*files);
        sandbox.git(&shop, ["sparse-checkout", "init", "--cone", "--sparse-index"]);
    }
    fs::remove_file(shop.join("shop/a.py")).unwrap();
    write(&shop, "store/c.py", "changed");
    let files = work_tree(&shop);
    assert_eq!(files.paths(), ["manage.py", "store/c.py", "store/deep/b.py"]);
    assert_eq!(files.reader().unwrap().read(1).unwrap(), b"changed");
}

#[test]
fn hidden_folders_environments_and_other_repositories_are_not_entered() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write_all(&shop, &[".config.py", "a.py", "shop/.settings.py", "venv.py"]);
    write_all(&shop, &[".venv/lib/a.py", ".tox/a.py", "shop/.cache/a.py", ".git/hooks/a.py"]);
    write_all(&shop, &["env/pyvenv.cfg", "env/lib/site-packages/django/a.py"]);
    write(&shop, ".gitignore", "!.venv\n!.git\n!env\n");
    let inner = sandbox.repository("shop/vendor/inner");
    write_all(&inner, &["a.py", "deep/a.py"]);
    write_all(&shop, &["worktrees/hotfix/a.py"]);
    write(&shop, "worktrees/hotfix/.git", "gitdir: elsewhere\n");
    let entered = [".config.py", "a.py", "shop/.settings.py", "venv.py"];
    assert_eq!(work_tree(&shop).paths(), entered);
    sandbox.git(
        &shop,
        ["add", "--force", ".tox", "shop/.cache", ".config.py", "a.py", "shop/.settings.py", "venv.py"],
    );
    let head = sandbox.commit(&shop, "hidden ones, too");
    assert_eq!(files(&shop, &head).paths(), entered);
    assert_eq!(work_tree(&shop).paths(), entered);
}

#[test]
fn the_root_itself_may_be_hidden_or_look_like_an_environment() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository(".shop");
    write_all(&shop, &["a.py", "pyvenv.cfg"]);
    assert_eq!(work_tree(&shop).paths(), ["a.py"]);
}

#[test]
fn rules_of_a_linked_work_tree_and_of_a_git_folder_elsewhere() {
    let sandbox = Sandbox::new();
    let shop = sandbox.path("shop");
    sandbox.git(&sandbox.root, ["init", "-b", "main", "--separate-git-dir", "shop.git", "shop"]);
    write(&sandbox.root, "shop.git/info/exclude", "mine.py\n");
    sandbox.commit(&shop, "one");
    sandbox.git(&shop, ["worktree", "add", "../hotfix"]);
    for folder in [shop, sandbox.path("hotfix")] {
        write_all(&folder, &["a.py", "mine.py"]);
        assert_eq!(work_tree(&folder).paths(), ["a.py"], "{}", folder.display());
    }
}

#[test]
fn a_merge_that_is_not_resolved() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write(&shop, ".gitignore", "lib/\n");
    let commit = |text: &str| {
        write(&shop, "lib/a.py", text);
        sandbox.git(&shop, ["add", "--force", "lib/a.py"]);
        sandbox.commit(&shop, text)
    };
    commit("base");
    sandbox.git(&shop, ["branch", "other"]);
    commit("ours");
    sandbox.git(&shop, ["checkout", "other"]);
    commit("theirs");
    assert!(sandbox.try_git(&shop, ["merge", "main"]).is_err());
    assert_eq!(work_tree(&shop).paths(), ["lib/a.py"]);
}

#[test]
fn a_file_that_goes_away() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write(&shop, "a.py", "");
    let work_tree = work_tree(&shop);
    fs::remove_file(shop.join("a.py")).unwrap();
    let expected = RepositoryError {
        path: shop.display().to_string(),
        reason: "the file a.py disappeared while the work tree was read".to_owned(),
        hint: Some("run the command again while nothing changes the work tree".to_owned()),
    };
    let mut reader = work_tree.reader().unwrap();
    assert_eq!(reader.read(0).unwrap_err(), expected);
    assert_eq!(reader.hash(0).unwrap_err(), expected);
    fs::create_dir(shop.join("a.py")).unwrap();
    assert!(reader.read(0).unwrap_err().reason.starts_with("the file a.py: is a directory"));
}

#[test]
fn contents_are_those_that_were_hashed() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write(&shop, "a.py", "old");
    write(&shop, "b.py", "other");
    let work_tree = work_tree(&shop);
    let mut reader = work_tree.reader().unwrap();
    let old = reader.hash(0).unwrap();
    write(&shop, "a.py", "new");
    assert_eq!(reader.read(0).unwrap(), b"old");
    assert_eq!(reader.read(0).unwrap(), b"new");
    assert_ne!(reader.hash(0).unwrap(), old);
    assert_eq!(reader.read(1).unwrap(), b"other");
}

#[test]
fn a_damaged_index() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write(&shop, "a.py", "");
    assert_eq!(work_tree(&shop).paths(), ["a.py"]);
    fs::write(shop.join(".git/index"), "garbage").unwrap();
    let error = open(&shop).work_tree().err().unwrap();
    assert_eq!(error.path, shop.display().to_string());
    assert!(error.hint.unwrap().contains("git fsck"));
}

#[test]
fn a_work_tree_that_is_gone() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let repository = open(&shop);
    sandbox.git(&shop, ["config", "core.worktree", "../../nowhere"]);
    let moved = open(&shop.join(".git"));
    assert!(repository.work_tree().unwrap().is_some());
    let error = moved.work_tree().err().unwrap();
    assert!(error.reason.contains("No such file or directory"), "{error}");
}

/// Nothing is closed to root, which enters the folder.
#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_entered() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    write_all(&shop, &["a.py", "data/b.py"]);
    let data = shop.join("data");
    let set_mode = |mode| fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o000);
    let found = work_tree(&shop);
    set_mode(0o755);
    match data.metadata().unwrap().uid() {
        0 => assert_eq!(found.paths(), ["a.py", "data/b.py"]),
        _ => assert_eq!(found.paths(), ["a.py"]),
    }
}

// ---------------------------------------------------------------- helpers

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Files that all differ: each holds its path.
fn write_all(folder: &Path, paths: &[&str]) {
    paths.iter().for_each(|path| write(folder, path, path));
}

/// A repository at `shop` that serves partial clones, and its only commit.
fn shop_to_clone_in_part(sandbox: &Sandbox) -> String {
    let shop = sandbox.repository("shop");
    sandbox.git(&shop, ["config", "uploadpack.allowFilter", "true"]);
    write(&shop, "manage.py", "");
    write(&shop, "shop/models.py", "class Order: ...\n");
    sandbox.git(&shop, ["add", "--all"]);
    sandbox.commit(&shop, "one");
    sandbox.commit(&shop, "two")
}

/// Bare, because checking out would fetch what is missing.
fn partial_clone(sandbox: &Sandbox, filter: &str) -> PathBuf {
    let url = format!("file://{}", sandbox.path("shop").display());
    let name = filter.replace(':', "-");
    sandbox.git(&sandbox.root, ["clone", "--bare", &format!("--filter={filter}"), &url, &name]);
    sandbox.path(&name)
}

fn files(path: &Path, commit: &str) -> Box<dyn Files> {
    open(path).files(&commit.parse().unwrap()).unwrap()
}

fn work_tree(path: &Path) -> Box<dyn Files> {
    open(path).work_tree().unwrap().unwrap()
}

fn assert_contents<const N: usize>(files: &dyn Files, expected: [(&str, &str); N]) {
    let mut reader = files.reader().unwrap();
    assert_eq!(files.paths(), expected.map(|(path, _)| path));
    for (index, (path, text)) in expected.into_iter().enumerate() {
        assert_eq!(reader.read(index).unwrap(), text.as_bytes(), "{path}");
    }
}

fn hashes(files: &dyn Files) -> Vec<String> {
    let mut reader = files.reader().unwrap();
    (0..files.paths().len()).map(|index| reader.hash(index).unwrap()).collect()
}

/// Every hash and all contents are those of `commit`.
fn assert_same_as_git(sandbox: &Sandbox, shop: &Path, commit: &str, files: &dyn Files) {
    let mut reader: Box<dyn ReadFiles + '_> = files.reader().unwrap();
    for (index, path) in files.paths().iter().enumerate() {
        let object = format!("{commit}:{path}");
        assert_eq!(reader.hash(index).unwrap(), sandbox.git(shop, ["rev-parse", &object]), "{path}");
        assert_eq!(reader.read(index).unwrap(), sandbox.git(shop, ["show", &object]).as_bytes(), "{path}");
    }
}
