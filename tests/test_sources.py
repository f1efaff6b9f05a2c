"""Which commit a save belongs to, and under which tags: every place where it is looked for, in order.

Almost all of it goes through the binary, which runs with no program on its PATH: whatever works here needs no git.
The database plays no part in it, so one copy of a SQLite file per test will do.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from harness import oracle
from harness.database import Database
from harness.project import DEFAULT_APPS, Project

STAMP = ".django-rollback-release"
A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)

# The documented list, in the order in which it is asked.
PLATFORM_VARIABLES = (
    "GIT_COMMIT",
    "SOURCE_VERSION",
    "HEROKU_SLUG_COMMIT",
    "HEROKU_BUILD_COMMIT",
    "RENDER_GIT_COMMIT",
    "RAILWAY_GIT_COMMIT_SHA",
    "VERCEL_GIT_COMMIT_SHA",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "GITHUB_SHA",
    "CI_COMMIT_SHA",
    "BITBUCKET_COMMIT",
    "CIRCLE_SHA1",
    "BUILD_SOURCEVERSION",
    "BUILDKITE_COMMIT",
    "DRONE_COMMIT_SHA",
    "TRAVIS_COMMIT",
    "SEMAPHORE_GIT_SHA",
    "APPVEYOR_REPO_COMMIT",
    "CF_REVISION",
    "COMMIT_SHA",
    "GIT_SHA",
    "COMMIT_REF",
)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our tables, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    database = folder / "database.sqlite3"
    Project(folder / "project", database=Database.sqlite(database)).manage("migrate", "-v", "0")
    return database


@pytest.fixture
def shop(tmp_path: Path, migrated: Path) -> Project:
    """A project with nothing committed yet, on a database of its own that has our tables and no release."""
    database = tmp_path / "database.sqlite3"
    shutil.copy(migrated, database)
    return Project(tmp_path / "src" / "shop", database=Database.sqlite(database))


def save(project: Project, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Any:
    """What the binary's `save` says, as JSON; `commit_from` is where it found the commit."""
    return json.loads(project.native("save", "--format", "json", *args, env=env, cwd=cwd).stdout)


def stamped(project: Project, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Any:
    """The commit and tags that are found, without a database."""
    found = json.loads(project.native("stamp", "--output", "-", *args, env=env, cwd=cwd).stdout)
    return found["commit"], found["tags"]


def plan(project: Project, *args: str) -> Any:
    return json.loads(project.native("plan", "--format", "json", *args).stdout)


def releases(project: Project) -> Any:
    return json.loads(project.native("list", "--format", "json").stdout)["releases"]


def own_rows(database: Database) -> oracle.Rows:
    """All that we have stored."""
    return oracle.rows(database, [name for name in oracle.table_names(database) if name.startswith(oracle.OWN_PREFIX)])


def refused(
    project: Project, *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, code: int = 1
) -> str:
    """The error of a `save` that must refuse: one sentence and a hint, and nothing written."""
    before = own_rows(project.database)
    result = project.native("save", *args, env=env, cwd=cwd, check=False)
    assert result.returncode == code, (result.stdout, result.stderr)
    assert result.stdout == ""
    assert_clear(result)
    assert own_rows(project.database) == before
    return result.stderr


def assert_clear(result: CompletedProcess[str]) -> None:
    """An error is a line that says what is wrong and at most one that says what to do."""
    assert "panicked" not in result.stderr and "Traceback" not in result.stderr
    lines = result.stderr.strip().splitlines()
    assert 1 <= len(lines) <= 2, result.stderr
    assert all(line.strip().startswith("hint: ") for line in lines[1:]), result.stderr


def forget_git(project: Project) -> None:
    """As in an image that was built without the repository."""
    shutil.rmtree(project.root / ".git")


def write_stamp(folder: Path, commit: str, *tags: str) -> None:
    (folder / STAMP).write_text(json.dumps({"format": 1, "commit": commit, "tags": tags}))


# The order


def test_the_places_are_asked_in_their_order(shop: Project) -> None:
    """Each place counts only where those before it say nothing."""
    head = shop.commit(tag="v1")
    write_stamp(shop.root, D)
    ours, platform = {"DJANGO_ROLLBACK_COMMIT": B}, {"GITHUB_SHA": C}

    def found(*args: str, **env: str) -> tuple[str, str]:
        saved = save(shop, *args, env=env)
        return saved["release"]["commit"], saved["commit_from"]

    assert found("--commit", A, **ours, **platform) == (A, "--commit")
    assert found(**ours, **platform) == (B, "DJANGO_ROLLBACK_COMMIT")
    assert found(**platform) == (head, f"the git repository at {shop.root}")
    forget_git(shop)
    assert found(**platform) == (C, "GITHUB_SHA")
    assert found() == (D, f"the file {shop.root / STAMP}")
    (shop.root / STAMP).unlink()
    error = refused(shop)
    assert str(shop.root) in error
    for way_out in ("--commit", "DJANGO_ROLLBACK_COMMIT", "-p", "stamp"):
        assert way_out in error


def test_each_variable_of_the_documented_list(shop: Project) -> None:
    """Every variable is known, and of several that are set the one that stands first in the list counts."""
    forget_git(shop)
    commits = {name: f"{number:040x}" for number, name in enumerate(PLATFORM_VARIABLES)}
    for position, name in enumerate(PLATFORM_VARIABLES):
        later = {other: commits[other] for other in PLATFORM_VARIABLES[position:]}
        assert save(shop, env=later)["commit_from"] == name
        assert stamped(shop, env={name: commits[name]}) == (commits[name], [])


@pytest.mark.parametrize(
    ("value", "commit"),
    [
        (A, A),
        (A.upper(), A),
        (f" {A}\n", A),
        ("e" * 64, "e" * 64),
        ("abc1234", None),
        ("main", None),
        ("arn:aws:s3:::bucket/source.zip", None),
        ("a" * 41, None),
        ("", None),
    ],
)
def test_values_of_platform_variables(shop: Project, value: str, commit: str | None) -> None:
    """A full hash of either kind counts, in any case; anything else is passed over for the next variable."""
    forget_git(shop)
    assert stamped(shop, env={"SOURCE_VERSION": value, "COMMIT_REF": B}) == (commit or B, [])


def test_variables_that_were_passed_over_are_named(shop: Project) -> None:
    """Who has set a variable to a short hash learns why it did not count; an empty one is as good as unset."""
    forget_git(shop)
    error = refused(shop, env={"GITHUB_SHA": "abc1234", "COMMIT_SHA": "latest", "CI_COMMIT_SHA": ""})
    assert "GITHUB_SHA" in error and "COMMIT_SHA" in error
    assert "CI_COMMIT_SHA" not in error and "CIRCLE_SHA1" not in error


def test_variables_that_were_passed_over_are_named_in_an_empty_repository(shop: Project) -> None:
    """A repository without a commit hides nothing of what else was looked at."""
    error = refused(shop, env={"GITHUB_SHA": "abc1234"})
    assert "no commit" in error
    assert "GITHUB_SHA" in error


def test_variables_of_the_setting(shop: Project) -> None:
    """`COMMIT_VARIABLES` are asked before the platforms', and named as those are when they hold no commit."""
    shop.install_apps(DEFAULT_APPS, extra='DJANGO_ROLLBACK = {"COMMIT_VARIABLES": ["SHOP_COMMIT"]}')
    forget_git(shop)
    saved = json.loads(
        shop.manage("save_migrations_state", "--format", "json", env={"SHOP_COMMIT": A, "GIT_COMMIT": B}).stdout
    )
    assert (saved["release"]["commit"], saved["commit_from"]) == (A, "SHOP_COMMIT")
    result = shop.manage("save_migrations_state", env={"SHOP_COMMIT": "main", "GIT_SHA": "main"}, check=False)
    assert result.returncode == 1
    assert "GIT_SHA" in result.stderr
    assert "SHOP_COMMIT" in result.stderr


@pytest.mark.parametrize(
    ("args", "env", "named"),
    [
        (["--commit", "abc1234"], {}, "--commit"),
        (["--commit", "v1"], {}, "--commit"),
        (["--commit", ""], {}, "--commit"),
        (["--commit", "a" * 41], {}, "--commit"),
        ([], {"DJANGO_ROLLBACK_COMMIT": "HEAD"}, "DJANGO_ROLLBACK_COMMIT"),
        ([], {"DJANGO_ROLLBACK_COMMIT": "abc1234"}, "DJANGO_ROLLBACK_COMMIT"),
    ],
)
def test_a_commit_that_was_named_on_purpose_must_be_one(
    shop: Project, args: list[str], env: dict[str, str], named: str
) -> None:
    """Where the user has said which commit it is, no other place is asked instead."""
    shop.commit(tag="v1")
    assert named in refused(shop, *args, env=env | {"GITHUB_SHA": A}, code=2)


def test_an_empty_variable_of_ours_counts_as_unset(shop: Project) -> None:
    """`DJANGO_ROLLBACK_COMMIT=` in an environment file is nothing that was said on purpose."""
    head = shop.commit()
    assert stamped(shop, env={"DJANGO_ROLLBACK_COMMIT": ""})[0] == head


# Where the repository is


@pytest.mark.parametrize(
    ("cwd", "args"),
    [
        (".", []),
        ("app/migrations", []),
        ("app", ["-p", "migrations"]),
        ("..", ["-p", "shop"]),
        ("..", ["--path", "shop/app/migrations"]),
        ("app/migrations", ["-p", ".."]),
        ("../elsewhere", ["-p", "../shop"]),
        ("../elsewhere", ["-p", "../link/app"]),
        ("../link/app", []),
    ],
)
def test_the_repository_is_the_nearest_at_the_path_or_above(shop: Project, cwd: str, args: list[str]) -> None:
    """A subdirectory, a path from outside and a symbolic link all lead to it."""
    head = shop.commit({"app/migrations/__init__.py": ""}, tag="v1")
    (shop.root.parent / "elsewhere").mkdir()
    (shop.root.parent / "link").symlink_to(shop.root)
    assert stamped(shop, *args, cwd=shop.root / cwd) == (head, ["v1"])


def test_the_nearest_repository_wins(shop: Project) -> None:
    """A repository inside another one is the project's, also when it cannot be read: above it is another project."""
    shop.commit(tag="outer")
    inner = shop.root / "vendor/inner"
    inner.mkdir(parents=True)
    shop.git("init", "--quiet", str(inner))
    shop.git("-C", str(inner), "commit", "--quiet", "--allow-empty", "--message=inner")
    assert stamped(shop, cwd=inner) == (shop.git("-C", str(inner), "rev-parse", "HEAD"), [])

    (inner / ".git/HEAD").write_text("nonsense\n")
    assert "inner" in refused(shop, cwd=inner)


def test_with_the_default_path_the_folder_of_manage_py_is_looked_at_too(shop: Project, tmp_path: Path) -> None:
    """`python /src/shop/manage.py` from a folder in no repository; a path that was given is all that counts."""
    head = shop.commit(tag="v1")
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    saved = json.loads(shop.manage("save_migrations_state", "--format", "json", cwd=nowhere).stdout)
    assert saved["release"] == {"commit": head, "tags": ["v1"], "saved_at": saved["release"]["saved_at"]}
    before = own_rows(shop.database)
    result = shop.manage("save_migrations_state", "-p", str(nowhere), cwd=nowhere, check=False)
    assert result.returncode == 1
    assert str(nowhere) in result.stderr and "Traceback" not in result.stderr
    assert own_rows(shop.database) == before


def test_the_working_directory_comes_before_the_folder_of_manage_py(shop: Project, tmp_path: Path) -> None:
    """The default path is the working directory, as in the original; the folder of manage.py only helps out."""
    shop.commit(tag="v1")
    other = Project(tmp_path / "other", database=shop.database)
    head = other.commit({"readme.txt": "other"}, tag="other")
    saved = json.loads(shop.manage("save_migrations_state", "--format", "json", cwd=other.root).stdout)
    assert (saved["release"]["commit"], saved["release"]["tags"]) == (head, ["other"])


@pytest.mark.parametrize("path", ["missing", "manage.py", "../nowhere"])
def test_a_path_that_leads_to_no_repository(shop: Project, path: str) -> None:
    """The path that was given is named, and no other place in the file system is asked."""
    shop.commit()
    (shop.root.parent / "nowhere").mkdir()
    assert path.removeprefix("../") in refused(shop, "-p", path)


def test_an_empty_path_is_a_usage_error(shop: Project) -> None:
    """An unset shell variable is no path: the repository of the working directory is not taken instead."""
    shop.commit()
    result = shop.native("save", "-p", "", check=False)
    assert result.returncode == 2
    assert "path" in result.stderr
    assert releases(shop) == []


def test_a_repository_without_a_commit(shop: Project) -> None:
    """It is said; a variable of the platform still helps out."""
    assert "has no commit yet" in refused(shop)
    assert save(shop, env={"GITHUB_SHA": A})["commit_from"] == "GITHUB_SHA"


# Kinds of repositories


def plain(project: Project) -> Path:
    return project.root


def packed(project: Project) -> Path:
    project.git("pack-refs", "--all")
    assert not (project.root / ".git/refs/heads/main").exists()
    return project.root


def collected(project: Project) -> Path:
    project.git("gc", "--quiet", "--aggressive")
    return project.root


def detached(project: Project) -> Path:
    project.git("checkout", "--quiet", "--detach", "HEAD")
    return project.root


def on_a_branch_with_a_slash(project: Project) -> Path:
    project.git("checkout", "--quiet", "-b", "feature/ä-b")
    return project.root


def linked_worktree(project: Project) -> Path:
    folder = project.root.parent / "worktree"
    project.git("worktree", "add", "--quiet", str(folder), "-b", "other")
    return folder


def submodule(project: Project) -> Path:
    outer = project.root.parent / "outer"
    project.git("init", "--quiet", str(outer))
    add = ["submodule", "--quiet", "add", str(project.root), "inside"]
    project.git("-C", str(outer), "-c", "protocol.file.allow=always", *add)
    return outer / "inside"


def shallow_clone(project: Project) -> Path:
    clone = project.root.parent / "clone"
    project.git("clone", "--quiet", "--depth=1", f"file://{project.root}", str(clone))
    project.git("-C", str(clone), "fetch", "--quiet", "--depth=1", "--tags")
    return clone


def shared_clone(project: Project) -> Path:
    clone = project.root.parent / "clone"
    project.git("clone", "--quiet", "--shared", str(project.root), str(clone))
    return clone


def bare_clone(project: Project) -> Path:
    clone = project.root.parent / "clone.git"
    project.git("clone", "--quiet", "--bare", str(project.root), str(clone))
    return clone


def separate_git_dir(project: Project) -> Path:
    project.git("init", "--quiet", "--separate-git-dir", str(project.root.parent / "elsewhere.git"))
    return project.root


def owned_by_another_user(project: Project) -> Path:
    """Only root can give files away; for anybody else it stays an ordinary repository."""
    if os.geteuid() == 0:
        for path in [project.root, *project.root.rglob("*")]:
            os.chown(path, 65534, 65534, follow_symlinks=False)
    return project.root


def only_the_git_folder(project: Project) -> Path:
    for path in project.root.iterdir():
        if path.name != ".git":
            path.unlink()
    return project.root


@pytest.mark.parametrize("objects", ["sha1", "sha256"])
@pytest.mark.parametrize(
    "kind",
    [
        plain,
        packed,
        collected,
        detached,
        on_a_branch_with_a_slash,
        linked_worktree,
        submodule,
        shallow_clone,
        shared_clone,
        bare_clone,
        separate_git_dir,
        owned_by_another_user,
        only_the_git_folder,
    ],
    ids=lambda kind: kind.__name__,
)
def test_kinds_of_repositories(shop: Project, objects: str, kind: Callable[[Project], Path]) -> None:
    """Commit and tags are found in each; a tag is light, annotated, of another tag, and never of a tree or a file."""
    forget_git(shop)
    shop.git("init", "--quiet", "--initial-branch=main", f"--object-format={objects}")
    shop.commit(tag="older")
    head = shop.commit({"readme.txt": "2"}, tag="light")
    shop.git("tag", "--annotate", "annotated", "--message=x")
    shop.git("tag", "--annotate", "nested/twice", "--message=x", "annotated")
    shop.git("tag", "tree", "HEAD^{tree}")
    shop.git("tag", "file", "HEAD:readme.txt")
    folder = with_object_format(kind, shop, objects)

    saved = save(shop, "-p", str(folder))
    assert saved["release"]["commit"] == head
    assert len(head) == (40 if objects == "sha1" else 64)
    assert saved["release"]["tags"] == ["annotated", "light", "nested/twice"]
    assert str(folder) in saved["commit_from"]


def with_object_format(kind: Callable[[Project], Path], project: Project, objects: str) -> Path:
    """Runs `kind` so that a repository which it makes anew has these objects, too."""
    with pytest.MonkeyPatch.context() as patch:
        inherited = project.environment()
        patch.setattr(project, "environment", lambda: inherited | {"GIT_DEFAULT_HASH": objects})
        return kind(project)


def test_a_clone_without_tags_still_saves(shop: Project) -> None:
    """The usual checkout of a CI: one commit, no tags; the tags can come from a variable."""
    head = shop.commit(tag="v1")
    clone = shop.root.parent / "clone"
    shop.git("clone", "--quiet", "--depth=1", "--no-tags", f"file://{shop.root}", str(clone))
    assert stamped(shop, "-p", str(clone)) == (head, [])
    assert stamped(shop, "-p", str(clone), env={"DJANGO_ROLLBACK_TAGS": "v1"}) == (head, ["v1"])


def test_a_worktree_without_its_repository(shop: Project) -> None:
    """Only the work tree was copied into the image: the file `.git` leads nowhere, and that is said."""
    shop.commit(tag="v1")
    folder = linked_worktree(shop)
    shutil.rmtree(shop.root)
    error = refused(shop, "-p", str(folder), cwd=folder)
    assert str(folder / ".git") in error
    assert save(shop, "-p", str(folder), env={"GIT_SHA": A}, cwd=folder)["commit_from"] == "GIT_SHA"


@pytest.mark.parametrize(
    "damage",
    [
        {".git/HEAD": "nonsense\n"},
        {".git/HEAD": ""},
        {".git/config": "[core\n"},
        {".git/packed-refs": "\x00\x01 nonsense\n"},
        {".git/refs/heads/main": "nonsense\n"},
        {".git": "gitdir: ../nowhere\n"},
        {".git": "nonsense\n"},
    ],
    ids=lambda damage: "".join(damage),
)
def test_a_damaged_repository(shop: Project, damage: dict[str, str]) -> None:
    """It is named in a sentence, and the commit can still be given by hand."""
    shop.commit(tag="v1")
    for name, text in damage.items():
        path = shop.root / name
        if path.is_dir():
            shutil.rmtree(path)
        path.write_text(text)
    assert str(shop.root) in refused(shop)
    assert save(shop, "--commit", A)["commit_from"] == "--commit"


def test_the_git_program_is_never_run(shop: Project) -> None:
    """In Django's process neither: the first `git` on the PATH would betray itself."""
    head = shop.commit(tag="v1")
    betrayed = shop.root.parent / "betrayed"
    program = shop.root.parent / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntouch {betrayed}\n")
    program.chmod(0o755)
    for run in (shop.manage, shop.native):
        command = "save_migrations_state" if run == shop.manage else "save"
        saved = json.loads(run(command, "--format", "json", env={"PATH": str(program.parent)}).stdout)
        assert (saved["release"]["commit"], saved["release"]["tags"]) == (head, ["v1"])
    assert not betrayed.exists()


# What the environment and a repository's configuration could do


@pytest.mark.parametrize(
    "variable",
    [
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_COMMON_DIR",
        "GIT_OBJECT_DIRECTORY",
        "GIT_INDEX_FILE",
        "GIT_CEILING_DIRECTORIES",
        "GIT_NAMESPACE",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    ],
)
def test_git_variables_do_not_redirect(shop: Project, tmp_path: Path, variable: str) -> None:
    """A hook or a CI job leaves `GIT_DIR` set: the repository at the path is read all the same."""
    head = shop.commit({"app/__init__.py": ""}, tag="v1")
    other = Project(tmp_path / "other", database=shop.database)
    other.commit({"readme.txt": "other"}, tag="other")
    values = {"GIT_NAMESPACE": "other", "GIT_CEILING_DIRECTORIES": str(shop.root), "GIT_WORK_TREE": str(other.root)}
    env = {variable: values.get(variable, str(other.root / ".git"))}
    assert stamped(shop, env=env, cwd=shop.root / "app") == (head, ["v1"])


def test_git_configuration_in_variables_is_not_read(shop: Project, tmp_path: Path) -> None:
    """Nor is the user's or the system's: a broken one would stop git."""
    head = shop.commit(tag="v1")
    (tmp_path / ".gitconfig").write_text("[core\n")
    env = {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "GIT_CONFIG_GLOBAL": str(tmp_path / ".gitconfig"),
        "GIT_CONFIG_SYSTEM": str(tmp_path / ".gitconfig"),
        "GIT_CONFIG_COUNT": "nonsense",
        "GIT_CONFIG_PARAMETERS": "nonsense",
    }
    assert stamped(shop, env=env) == (head, ["v1"])


@pytest.mark.parametrize(
    "key",
    [
        "core.fsmonitor",
        "core.hooksPath",
        "core.sshCommand",
        "core.pager",
        "core.editor",
        "core.gitProxy",
        "core.askPass",
        "core.alternateRefsCommand",
        "credential.helper",
        "diff.external",
        "filter.evil.smudge",
        "filter.evil.process",
        "gpg.program",
        "uploadpack.packObjectsHook",
    ],
)
def test_a_repository_s_configuration_runs_nothing(shop: Project, key: str) -> None:
    """Whatever a repository of somebody else's configures to be run, reading it does not run it."""
    head = shop.commit({".gitattributes": "* filter=evil\n"}, tag="v1")
    betrayed = shop.root.parent / "betrayed"
    folder = shop.root.parent / "programs"
    folder.mkdir()
    for name in ("program", "post-checkout", "reference-transaction", "fsmonitor-watchman", "query-watchman"):
        (folder / name).write_text(f"#!/bin/sh\ntouch {betrayed}\n")
        (folder / name).chmod(0o755)
    shop.git("config", key, str(folder if key == "core.hooksPath" else folder / "program"))
    assert stamped(shop) == (head, ["v1"])
    saved = save(shop)
    assert (saved["release"]["commit"], saved["release"]["tags"]) == (head, ["v1"])
    assert not betrayed.exists()


@pytest.mark.parametrize(
    "text",
    ["[core]\n\tbare = true\n\tworktree = /nonexistent\n", "[core]\n\trepositoryFormatVersion = 99\n", "[core\n"],
    ids=["redirects", "unknown format", "broken"],
)
@pytest.mark.parametrize("key", ["include.path", "includeIf.gitdir:/.path"])
def test_a_repository_s_configuration_includes_nothing(shop: Project, key: str, text: str) -> None:
    """A file that the configuration includes is none of the repository's, and has no effect."""
    head = shop.commit(tag="v1")
    included = shop.root.parent / "included"
    included.write_text(text)
    shop.git("config", key, str(included))
    assert save(shop)["release"]["commit"] == head
    assert stamped(shop) == (head, ["v1"])


def test_replace_refs_and_grafts_do_not_change_the_commit(shop: Project) -> None:
    """The commit is the one that is checked out, not what somebody lets git show in its place."""
    shop.commit(tag="v1")
    head = shop.commit({"readme.txt": "2"}, tag="v2")
    shop.git("replace", head, "v1")
    assert stamped(shop) == (head, ["v2"])


# Tags


def test_tags_are_stored_at_save(shop: Project) -> None:
    """In an image without .git the list shows them, and `-t` finds the release: plan, preview and rollback."""
    first = shop.commit(tag="v1")
    save(shop)
    second = shop.commit({"readme.txt": "2"}, tag="v2")
    shop.git("tag", "stable")
    save(shop)
    forget_git(shop)
    assert [(each["commit"], each["tags"]) for each in releases(shop)] == [(second, ["stable", "v2"]), (first, ["v1"])]
    assert "v1" in shop.native("list").stdout
    assert plan(shop, "-t", "v1")["to"]["commit"] == first
    assert shop.native("rollback", "-t", "v1", "--fake").returncode == 0
    shop.native("rollback", "-t", "v1")
    assert [(each["commit"], each["tags"]) for each in releases(shop)] == [(first, ["v1"])]


@pytest.mark.parametrize("to", ["saved", "not saved"])
def test_a_tag_that_moved_after_the_save(shop: Project, to: str) -> None:
    """The release that was saved under it wins, and the user is told, in both forms."""
    first = shop.commit(tag="v1")
    save(shop)
    second = shop.commit({"readme.txt": "2"}, tag="v2")
    save(shop)
    now = second if to == "saved" else shop.commit({"readme.txt": "3"})
    shop.git("tag", "--force", "v1", now)

    planned = plan(shop, "-t", "v1")
    assert planned["to"]["commit"] == first
    [warning] = planned["warnings"]
    assert warning["kind"] == "moved-tag"
    for word in ("v1", first[:7], now[:7]):
        assert word in warning["message"]
    shown = shop.native("plan", "-t", "v1")
    assert now[:7] in shown.stdout + shown.stderr
    assert [each["tags"] for each in releases(shop)] == [["v2"], ["v1"]]
    assert json.loads(shop.native("show", "--format", "json", "-t", "v1").stdout)["release"]["commit"] == first

    result = shop.native("rollback", "-t", "v1")
    assert now[:7] in result.stdout + result.stderr
    assert [each["commit"] for each in releases(shop)] == [first]


def test_a_tag_that_was_deleted_after_the_save(shop: Project) -> None:
    """It stays the release's, without a word: the usual cleaning up of old tags."""
    first = shop.commit(tag="v1")
    save(shop)
    save(shop, "--commit", A)
    shop.git("tag", "--delete", "v1")
    planned = plan(shop, "-t", "v1")
    assert (planned["to"]["commit"], planned["warnings"]) == (first, [])


def test_a_tag_that_was_added_after_the_save(shop: Project) -> None:
    """git answers for it where it is there; saving again stores it, so that it is known without git, too."""
    first = shop.commit()
    save(shop)
    save(shop, "--commit", A)
    shop.git("tag", "late", first)
    assert plan(shop, "-t", "late")["to"]["commit"] == first
    assert [each["tags"] for each in releases(shop)] == [[], ["late"]]
    shop.native("rollback", "-t", "late")

    again = save(shop)
    assert (again["outcome"], again["tags_added"]) == ("updated", ["late"])
    assert (again["added"], again["removed"]) == ([], [])
    assert save(shop)["outcome"] == "unchanged"
    forget_git(shop)
    assert releases(shop)[0]["tags"] == ["late"]


def test_a_tag_that_moved_away_stays_at_the_release(shop: Project) -> None:
    """Saving again adds tags and never takes one away: the release was deployed under it."""
    shop.commit(tag="v1")
    save(shop)
    shop.git("tag", "v2")
    shop.git("tag", "--delete", "v1")
    again = save(shop)
    assert (again["outcome"], again["tags_added"]) == ("updated", ["v2"])
    assert releases(shop)[0]["tags"] == ["v1", "v2"]


def test_a_tag_without_a_release(shop: Project) -> None:
    """Unknown to all, or known to git at a commit that was never saved: both are said with their names."""
    shop.commit(tag="v1")
    save(shop)
    never = shop.commit({"readme.txt": "2"}, tag="v2")
    for tag, said in {"v9": ["v9"], "v2": ["v2", never[:7]]}.items():
        result = shop.native("plan", "-t", tag, check=False)
        assert result.returncode == 1
        assert_clear(result)
        assert all(word in result.stderr for word in said)


@pytest.mark.parametrize(
    ("value", "tags"),
    [("v1", ["v1"]), ("v2,v1", ["v1", "v2"]), (" v2  v1, ,v2 ", ["v1", "v2"]), ("", []), (" , ", []), ("v2\n", ["v2"])],
)
@pytest.mark.parametrize("place", ["--commit", "platform", "stamp"])
def test_tags_from_the_variable(shop: Project, value: str, tags: list[str], place: str) -> None:
    """`DJANGO_ROLLBACK_TAGS` names tags where there is no git, with spaces or commas between them."""
    forget_git(shop)
    env = {"DJANGO_ROLLBACK_TAGS": value}
    if place == "--commit":
        assert stamped(shop, "--commit", A, env=env) == (A, tags)
    elif place == "platform":
        assert stamped(shop, env=env | {"GITHUB_SHA": A}) == (A, tags)
    else:
        write_stamp(shop.root, A)
        assert stamped(shop, env=env) == (A, tags)


def test_tags_from_the_variable_come_in_addition(shop: Project) -> None:
    """They are added to those of git or of the stamp, each once, and stored."""
    head = shop.commit(tag="v1")
    env = {"DJANGO_ROLLBACK_TAGS": "v1,release-7"}
    assert save(shop, env=env)["release"]["tags"] == ["release-7", "v1"]
    forget_git(shop)
    assert plan(shop, "-t", "release-7")["to"]["commit"] == head


def test_a_commit_named_by_hand_gets_the_tags_of_git(shop: Project) -> None:
    """`--commit` and the variable say which commit; which tags it has, a repository still knows."""
    first = shop.commit(tag="v1")
    shop.commit({"readme.txt": "2"}, tag="v2")
    assert stamped(shop, "--commit", first) == (first, ["v1"])
    assert stamped(shop, env={"DJANGO_ROLLBACK_COMMIT": first}) == (first, ["v1"])
    assert stamped(shop, "--commit", A) == (A, [])


# The stamp


def test_a_stamp_carries_commit_and_tags_into_an_image(shop: Project) -> None:
    """`stamp` where git is, `save` where it is not: the same release as with git."""
    head = shop.commit({"app/__init__.py": ""}, tag="v1")
    shop.git("tag", "--annotate", "stable", "--message=x")
    result = shop.native("stamp")
    assert head[:7] in result.stdout
    forget_git(shop)
    for cwd in (shop.root, shop.root / "app"):
        saved = save(shop, cwd=cwd)
        assert (saved["release"]["commit"], saved["release"]["tags"]) == (head, ["stable", "v1"])
        assert saved["commit_from"] == f"the file {shop.root / STAMP}"
    assert plan(shop, "-t", "stable")["to"]["commit"] == head


def test_a_stamp_is_found_from_manage_py(shop: Project, tmp_path: Path) -> None:
    """`python /app/manage.py` from anywhere finds the stamp beside it."""
    write_stamp(shop.root, A, "v1")
    forget_git(shop)
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    saved = json.loads(shop.manage("save_migrations_state", "--format", "json", cwd=nowhere).stdout)
    assert (saved["release"]["commit"], saved["release"]["tags"]) == (A, ["v1"])


def test_where_a_stamp_is_written(shop: Project, tmp_path: Path) -> None:
    """Into the path, or where `--output` says, seen from the working directory; `-` is stdout alone."""
    head = shop.commit(tag="v1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shop.native("stamp", "-p", str(shop.root), "--output", "there", cwd=elsewhere)
    shop.native("stamp", "-p", str(shop.root), cwd=elsewhere)
    assert sorted(path.name for path in elsewhere.iterdir()) == ["there"]
    expected = {"format": 1, "commit": head, "tags": ["v1"]}
    assert json.loads((elsewhere / "there").read_text()) == expected
    assert json.loads((shop.root / STAMP).read_text()) == expected
    assert json.loads(shop.native("stamp", "--output", "-").stdout) == expected
    result = shop.native("stamp", "--output", "missing/folder/file", check=False)
    assert result.returncode == 1
    assert_clear(result)


def test_a_stamp_is_renewed_from_git(shop: Project) -> None:
    """An old stamp, or one that is broken, never stands in the way where git is."""
    head = shop.commit(tag="v1")
    for old in (json.dumps({"format": 1, "commit": A, "tags": []}), "nonsense"):
        (shop.root / STAMP).write_text(old)
        assert save(shop)["release"]["commit"] == head
        shop.native("stamp")
        assert json.loads((shop.root / STAMP).read_text())["commit"] == head


def test_a_stamp_of_an_image_that_was_built_without_git(shop: Project) -> None:
    """The commit and the tags come from the build's variables then."""
    forget_git(shop)
    shop.native("stamp", env={"GITHUB_SHA": A, "DJANGO_ROLLBACK_TAGS": "v1"})
    assert stamped(shop) == (A, ["v1"])
    shop.native("stamp", "--commit", B)
    assert stamped(shop) == (B, [])


@pytest.mark.parametrize("variable", ["DJANGO_ROLLBACK_COMMIT", "RENDER_GIT_COMMIT"])
def test_the_tags_of_a_stamp_count_when_a_variable_names_the_same_commit(shop: Project, variable: str) -> None:
    """A platform sets its variable at run time, too: that must not lose the tags that the image was stamped with."""
    forget_git(shop)
    write_stamp(shop.root, A, "v1")
    assert stamped(shop, env={variable: A}) == (A, ["v1"])
    assert stamped(shop, env={variable: B}) == (B, [])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        A,
        "[]",
        "null",
        "{}",
        '{"format": 1}',
        '{"format": 1, "commit": "abc1234"}',
        '{"format": 1, "commit": ""}',
        '{"format": 1, "commit": 7}',
        '{"commit": "' + A + '"}',
        '{"format": 99, "commit": "' + A + '", "tags": []}',
        '{"format": 1, "commit": "' + A + '", "tags": "v1"}',
        '{"format": 1, "commit": "' + A + '", "tags": [7]}',
        '{"format": 1, "commit": "' + A + '", "tags": []',
        "\x00\x01",
    ],
)
def test_a_broken_stamp(shop: Project, text: str) -> None:
    """It is named as a file with what is wrong with it; no commit is guessed."""
    forget_git(shop)
    (shop.root / STAMP).write_text(text)
    error = refused(shop)
    assert str(shop.root / STAMP) in error
    assert "stamp" in error
    assert save(shop, env={"GIT_SHA": B})["commit_from"] == "GIT_SHA"


def test_a_stamp_that_is_no_text(shop: Project) -> None:
    forget_git(shop)
    (shop.root / STAMP).write_bytes(b"\xff\xfe\x00")
    assert str(shop.root / STAMP) in refused(shop)


def test_a_stamp_with_fields_that_are_not_known_yet(shop: Project) -> None:
    """What a later version adds within the same format does no harm."""
    forget_git(shop)
    (shop.root / STAMP).write_text(json.dumps({"format": 1, "commit": A, "tags": ["v1"], "tree": B}))
    assert stamped(shop) == (A, ["v1"])


def test_the_stamp_of_another_folder_does_not_count(shop: Project) -> None:
    """`-p ../other` leads out of this folder: its stamp is another project's."""
    forget_git(shop)
    write_stamp(shop.root, A)
    other = shop.root.parent / "other"
    other.mkdir()
    refused(shop, "-p", str(other))
    refused(shop, "-p", "../other")
    refused(shop, "-p", "..")
    write_stamp(shop.root.parent, B)
    assert stamped(shop, "-p", "../other") == (B, [])
    assert stamped(shop, "-p", "..") == (B, [])
    assert stamped(shop) == (A, [])
