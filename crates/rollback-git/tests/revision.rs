//! From a revision to a commit, and the commits before it, compared with what `git` itself says.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod sandbox;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rollback_core::CommitId;
use rollback_revision::{Repository, RepositoryError};

use crate::sandbox::{Sandbox, open};

// ---------------------------------------------------------------- a commit by its name

#[test]
fn every_way_to_name_a_commit() {
    let sandbox = Sandbox::new();
    let shop = shop_with_three_commits(&sandbox);
    sandbox.git(&sandbox.root, ["clone", "shop", "clone"]);
    let clone = sandbox.path("clone");
    let head = sandbox.git(&clone, ["rev-parse", "HEAD"]);
    let names = [
        "HEAD",
        "@",
        "main",
        "heads/main",
        "refs/heads/main",
        "origin/main",
        "origin",
        "main@{upstream}",
        "v1",
        "annotated",
        "nested",
        "tags/v1",
        "annotated^{}",
        "v1^{commit}",
        "HEAD~2",
        "HEAD^",
        "main~1^0",
        ":/second",
        "HEAD^{/first}",
        "v1-0-gffffff",
        "HEAD@{0}",
        &head,
        &head[..7],
        &head[..4],
        &head.to_uppercase(),
    ];
    for packed in [false, true] {
        let repository = open(&clone);
        for name in names {
            let expected = sandbox.try_git(&clone, ["rev-list", "--max-count=1", name, "--"]).ok();
            assert_eq!(resolve(&repository, name).unwrap(), expected, "{name}, packed: {packed}");
            assert!(expected.is_some() || name == "v1-0-gffffff", "{name}");
        }
        sandbox.git(&clone, ["pack-refs", "--all"]); // no `gc`: it drops old lines of the reflog
        sandbox.git(&clone, ["repack", "-a", "-d"]);
    }
    assert_eq!(open(&shop).head().unwrap().unwrap().as_str(), head);
}

#[test]
fn what_names_no_commit() {
    let sandbox = Sandbox::new();
    let shop = shop_with_three_commits(&sandbox);
    let tree = sandbox.git(&shop, ["rev-parse", "HEAD^{tree}"]);
    let repository = open(&shop);
    for name in [
        "HEAD^{tree}",
        "HEAD:manage.py",
        "HEAD:",
        ":manage.py",
        "blob",
        "annotated-tree",
        &tree,
        &tree[..7],
        // ranges
        "HEAD~1..HEAD",
        "v1...main",
        "^HEAD",
        "HEAD^!",
        "HEAD^@",
        "HEAD^-",
        // unknown
        "",
        " ",
        "next",
        "v2",
        "origin/main",
        "HEAD~3",
        "HEAD^2",
        "HEAD~99",
        "abc",
        "0000000",
        "main@{upstream}",
        &"12".repeat(20),
        &"12".repeat(32),
        ":/nothing",
        "HEAD^{/nothing}",
        "@{-1}",
        "@{99}",
        "HEAD:nothing.py",
        // nonsense
        "HEAD^{",
        "HEAD^{nothing}",
        "@{",
        "@{}",
        "^",
        "~",
        ":",
        ":0:",
        "..",
        "...",
        "HEAD~x",
        "-1",
        "--all",
        "a b",
        "main\0",
        "é",
        "a\nb",
        ":!x",
        "HEAD~99999999999999999999",
        "^^^",
        "@@",
        "refs/heads/",
        "main..",
    ] {
        assert_eq!(resolve(&repository, name).unwrap(), None, "{name:?}");
    }
}

#[test]
fn a_repository_without_a_commit() {
    let sandbox = Sandbox::new();
    let repository = open(&sandbox.repository("shop"));
    for name in ["HEAD", "main", "HEAD~1", ":/x"] {
        assert_eq!(resolve(&repository, name).unwrap(), None, "{name}");
    }
}

#[test]
fn a_tag_of_an_object_that_is_lost() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    sandbox.commit(&shop, "one");
    fs::write(shop.join(".git/refs/tags/lost"), format!("{}\n", "12".repeat(20))).unwrap();
    assert_eq!(resolve(&open(&shop), "lost").unwrap(), None);
}

#[test]
fn a_damaged_branch() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    sandbox.commit(&shop, "one");
    fs::write(shop.join(".git/refs/heads/main"), "\0".repeat(41)).unwrap();
    for name in ["main", "HEAD", "HEAD~1"] {
        let error = resolve(&open(&shop), name).unwrap_err();
        assert!(error.reason.contains("could not be decoded"), "{name}: {error}");
        assert!(error.hint.unwrap().contains("git fsck"));
    }
}

#[test]
fn digits_that_begin_several_hashes() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let mut stream = String::new();
    for number in 1..=2000 {
        let text = format!("{number}\n");
        let length = text.len();
        write!(stream, "commit refs/heads/main\ncommitter A <a@b> {} +0000\n", 1_700_000_000 + number)
            .unwrap();
        write!(stream, "data 2\nx\nM 644 inline a.py\ndata {length}\n{text}\n").unwrap();
    }
    import(&sandbox, &shop, &stream);
    let kinds = kinds_by_prefix(&sandbox, &shop);
    let with = |commits, others: bool| {
        let fits = |(found, other): (usize, usize)| found == commits && (other > 0) == others;
        kinds.iter().find(|(_, count)| fits(**count)).unwrap().0.as_str()
    };

    let repository = open(&shop);
    let one = with(1, true); // a tree or a file begins with the same digits
    assert!(resolve(&repository, one).unwrap().unwrap().starts_with(one));
    assert_eq!(resolve(&repository, with(0, true)).ok().flatten(), None);
    for others in [false, true] {
        let several = with(2, others);
        assert_eq!(
            resolve(&repository, several).unwrap_err(),
            RepositoryError {
                path: shop.display().to_string(),
                reason: format!("`{several}` is ambiguous: several commits begin with these digits"),
                hint: Some("give more digits".to_owned()),
            }
        );
        assert!(resolve(&repository, &format!("{several}~1")).is_err());
    }
}

// ---------------------------------------------------------------- the commits before one

#[test]
fn ancestors_of_a_straight_line() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let (one, two) = (sandbox.commit(&shop, "one"), sandbox.commit(&shop, "two"));
    let three = sandbox.commit(&shop, "three");
    let repository = open(&shop);
    assert_eq!(ancestors(&repository, &three), [&*three, &two, &one]);
    assert_eq!(ancestors(&repository, &one), [&*one]);
}

#[test]
fn ancestors_are_in_the_order_of_gits_date_order() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    import(&sandbox, &shop, &tangled_history());
    let head = sandbox.git(&shop, ["rev-parse", "main"]);
    let expected = sandbox.git(&shop, ["rev-list", "--date-order", "main"]);
    let expected: Vec<_> = expected.lines().collect();
    assert!(expected.len() > 300);
    assert_eq!(ancestors(&open(&shop), &head), expected);

    sandbox.git(&shop, ["gc"]);
    sandbox.git(&shop, ["commit-graph", "write", "--reachable"]);
    assert_eq!(ancestors(&open(&shop), &head), expected);

    fs::write(shop.join(".git/objects/info/commit-graph"), "garbage").unwrap();
    assert_eq!(ancestors(&open(&shop), &head), expected);
}

#[test]
fn ancestors_end_at_the_border_of_a_shallow_clone() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    import(&sandbox, &shop, &tangled_history());
    let url = format!("file://{}", shop.display());
    for depth in ["1", "2", "3", "30"] {
        sandbox.git(&sandbox.root, ["clone", "--bare", "--depth", depth, &url, depth]);
        let clone = sandbox.path(depth);
        let head = sandbox.git(&clone, ["rev-parse", "HEAD"]);
        let expected = sandbox.git(&clone, ["rev-list", "--date-order", "HEAD"]);
        assert_eq!(ancestors(&open(&clone), &head), expected.lines().collect::<Vec<_>>(), "{depth}");
    }
}

#[test]
fn the_time_of_a_commit_is_gits() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    import(&sandbox, &shop, &tangled_history());
    let repository = open(&shop);
    let log = sandbox.git(&shop, ["log", "--format=%H %ct", "main"]);
    for (commit, time) in log.lines().filter_map(|line| line.split_once(' ')) {
        let found = repository.committed_at(&commit.parse().unwrap());
        assert_eq!(found.map(|time| time.to_string()).as_deref(), Ok(time), "{commit}");
    }
    let tree = sandbox.git(&shop, ["rev-parse", "HEAD^{tree}"]);
    for missing in [&tree, &"12".repeat(20)] {
        let error = repository.committed_at(&missing.parse().unwrap()).unwrap_err();
        assert_eq!(error.reason, format!("commit {missing} is not in this clone"));
    }
}

/// One side of a merge is at the border, and its parent is the other side, which is there.
#[test]
fn a_border_beside_its_own_parent() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let first = sandbox.commit(&shop, "first");
    let side = sandbox.commit(&shop, "side");
    let tree = sandbox.git(&shop, ["rev-parse", "HEAD^{tree}"]);
    let merge = sandbox.git(&shop, ["commit-tree", "-p", &side, "-p", &first, "-m", "merge", &tree]);
    sandbox.git(&shop, ["reset", "--hard", &merge]);
    let url = format!("file://{}", shop.display());
    sandbox.git(&sandbox.root, ["clone", "--depth", "2", &url, "shallow"]);
    let expected = sandbox.git(&sandbox.path("shallow"), ["rev-list", "--date-order", "HEAD"]);
    let found = ancestors(&open(&sandbox.path("shallow")), &merge);
    assert_eq!(found, expected.lines().collect::<Vec<_>>());
    assert_eq!(found.len(), 3);
}

#[test]
fn beyond_the_border_of_a_shallow_clone() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let one = sandbox.commit(&shop, "one");
    let two = sandbox.commit(&shop, "two");
    let url = format!("file://{}", shop.display());
    sandbox.git(&sandbox.root, ["clone", "--depth", "1", &url, "shallow"]);
    let repository = open(&sandbox.path("shallow"));
    assert_eq!(ancestors(&repository, &two), [&*two]);
    for name in ["HEAD~1", "HEAD^", &one] {
        assert_eq!(resolve(&repository, name).unwrap(), None, "{name}");
    }
    let expected = RepositoryError {
        path: sandbox.path("shallow").display().to_string(),
        reason: format!("commit {one} is not in this clone"),
        hint: Some("fetch it with `git fetch --unshallow`".to_owned()),
    };
    assert_eq!(repository.ancestors(&one.parse().unwrap()).unwrap_err(), expected);
    assert_eq!(repository.files(&one.parse().unwrap()).err().unwrap(), expected);
}

#[test]
fn a_commit_that_is_not_there() {
    let sandbox = Sandbox::new();
    let shop = sandbox.repository("shop");
    let one = sandbox.commit(&shop, "one");
    let two = sandbox.commit(&shop, "two");
    let repository = open(&shop);
    for missing in ["12".repeat(20), "12".repeat(32)] {
        let commit = missing.parse().unwrap();
        let error = repository.ancestors(&commit).unwrap_err();
        assert_eq!(error.reason, format!("commit {missing} is not in this clone"));
        assert_eq!(error.hint.as_deref(), Some("fetch it with `git fetch --all --tags`"));
        assert_eq!(repository.files(&commit).err().unwrap(), error);
    }
    fs::remove_file(shop.join(".git/objects").join(&one[..2]).join(&one[2..])).unwrap();
    let error = open(&shop).ancestors(&two.parse().unwrap()).unwrap_err();
    assert_eq!(error.reason, format!("commit {one} is not in this clone"));
}

#[test]
fn ancestors_of_what_is_no_commit() {
    let sandbox = Sandbox::new();
    let shop = shop_with_three_commits(&sandbox);
    let tree: CommitId = sandbox.git(&shop, ["rev-parse", "HEAD^{tree}"]).parse().unwrap();
    let repository = open(&shop);
    assert!(repository.ancestors(&tree).is_err());
    assert!(repository.files(&tree).is_err());
}

// ---------------------------------------------------------------- helpers

fn shop_with_three_commits(sandbox: &Sandbox) -> PathBuf {
    let shop = sandbox.repository("shop");
    fs::write(shop.join("manage.py"), "").unwrap();
    sandbox.git(&shop, ["add", "manage.py"]);
    sandbox.commit(&shop, "first");
    sandbox.git(&shop, ["tag", "v1"]);
    sandbox.commit(&shop, "second");
    sandbox.git(&shop, ["tag", "-a", "-m", "annotated", "annotated"]);
    sandbox.git(&shop, ["tag", "-a", "-m", "nested", "nested", "annotated"]);
    sandbox.git(&shop, ["tag", "-a", "-m", "tree", "annotated-tree", "HEAD^{tree}"]);
    sandbox.git(&shop, ["tag", "blob", "HEAD:manage.py"]);
    sandbox.commit(&shop, "third");
    shop
}

/// Feeds `git fast-import`.
fn import(sandbox: &Sandbox, repository: &Path, stream: &str) {
    let file = sandbox.path("stream");
    fs::write(&file, stream).unwrap();
    let mut git = sandbox.command(repository, ["fast-import", "--quiet"]);
    assert!(git.stdin(File::open(file).unwrap()).status().unwrap().success());
}

/// Merges, clocks that go wrong, and many commits in one second.
fn tangled_history() -> String {
    let mut stream = String::new();
    for number in 1..=400_usize {
        let time = 1_700_000_000 + number / 3 + (number * 7919) % 50;
        let parent = if number % 5 == 0 { number.saturating_sub(number * 31 % 17) } else { number } - 1;
        write!(stream, "commit refs/heads/main\nmark :{number}\n").unwrap();
        write!(stream, "committer A <a@b> {time} +0000\ndata 2\nx\n").unwrap();
        if number > 1 {
            writeln!(stream, "from :{}", parent.max(1)).unwrap();
        }
        if number > 5 && number % 5 == 0 && parent != number - 1 {
            writeln!(stream, "merge :{}", number - 1).unwrap();
        }
        stream.push('\n');
    }
    stream
}

/// The first four digits of each object's hash, with how many commits and other objects begin with them.
fn kinds_by_prefix(sandbox: &Sandbox, repository: &Path) -> HashMap<String, (usize, usize)> {
    let listing = sandbox.git(repository, ["cat-file", "--batch-all-objects", "--batch-check"]);
    let mut kinds = HashMap::<String, (usize, usize)>::new();
    for line in listing.lines() {
        let count = kinds.entry(line[..4].to_owned()).or_default();
        match line.contains(" commit ") {
            true => count.0 += 1,
            false => count.1 += 1,
        }
    }
    kinds
}

fn resolve(repository: &dyn Repository, name: &str) -> Result<Option<String>, RepositoryError> {
    Ok(repository.resolve(name)?.map(String::from))
}

fn ancestors(repository: &dyn Repository, commit: &str) -> Vec<String> {
    let commits = repository.ancestors(&commit.parse().unwrap()).unwrap();
    commits.into_iter().map(String::from).collect()
}
