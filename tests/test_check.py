"""`check`, `graph` and `plan BASE..HEAD`: answers out of git and source text, with no Python and no database around.

The databases that these projects name do not exist, except where a test is about one. What `check` says of data is in
`test_check_truth.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from textwrap import dedent
from typing import Any
from xml.etree import ElementTree

import pytest

from harness.database import Database
from harness.project import Project
from scenarios import BASE_APPS, NAMED, add, call, create, kinds, migration, same
from test_order import RandomProject

Result = CompletedProcess[str]
NULL = "models.IntegerField(null=True)"
ITEM = create("Item", **NAMED)
FIRST = migration(ITEM)
TABLE = "[tool.django-rollback]\n"


def adds(field: str, *after: str, **words: Any) -> str:
    """A migration that adds a column: RB012, a note."""
    return migration(add("Item", field, NULL), after=[f"shop.{name}" for name in after], **words)


def in_shop(**migrations: str | None) -> dict[str, str | None]:
    """Files of the app `shop`, by their names without the digit's underscore in front."""
    return {f"shop/migrations/{name.removeprefix('_')}.py": source for name, source in migrations.items()}


def repository(root: Path, apps: tuple[str, ...] = ()) -> Project:
    return Project(root, database=Database.sqlite(root.with_name("not-there.sqlite3")), apps=apps)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """v1 has an item."""
    project = repository(tmp_path / "project", ("django.contrib.contenttypes", "django_rollback", "shop"))
    project.commit({"shop/models.py": "", **in_shop(_0001=FIRST)}, tag="v1")
    return project


def document(result: Result) -> dict[str, Any]:
    assert result.stdout.count("\n") == 1, result.stdout + result.stderr
    return json.loads(result.stdout)


def check(project: Project, *words: str, **options: Any) -> dict[str, Any]:
    """The document of a check that has no more to say."""
    result = project.native("check", *words, "--format", "json", check=False, **options)
    assert result.stderr == "", result.stderr
    found = document(result)
    assert result.returncode == (1 if found["counts"]["error"] else 0)
    return found


def found(document: Mapping[str, Any]) -> list[str]:
    """Findings in their order: `RB012 shop.0002`."""
    return [f"{each['code']} {each['app']}.{each['migration']}" for each in document["findings"]]


def short(project: Project, revision: str) -> str:
    return project.git("rev-parse", "--short=7", revision)


def refused(project: Project, *words: str, **options: Any) -> tuple[int, str]:
    """What a command that prints no data says."""
    result = project.native(*words, check=False, **options)
    assert result.stdout == ""
    return result.returncode, result.stderr.replace(str(project.root), "ROOT")


# Several projects in one repository


@pytest.fixture
def projects(tmp_path: Path) -> Project:
    """Two, each with an app `shop`; the second one has a new migration."""
    project = repository(tmp_path / "project")
    both = [f"{name}/{path}" for name in ("one", "two") for path in in_shop(_0001=FIRST)]
    project.commit(dict.fromkeys(both, FIRST), tag="v1")
    project.write({f"two/{path}": text for path, text in in_shop(_0002=adds("a", "0001")).items()})
    return project


OURS = {f"{name}/pyproject.toml": TABLE for name in ("one", "two")}


def test_an_app_label_that_is_there_twice(projects: Project) -> None:
    result = projects.native("check", "v1", "--format", "json")
    same(found(document(result)), [])
    same(
        result.stderr,
        "Warning: two/shop/migrations has changed and is not looked at, since one/shop/migrations has the same app "
        "label, shop. Exclude one of them, or give each project a pyproject.toml with [tool.django-rollback].\n",
    )
    projects.write({"pyproject.toml": f'{TABLE}exclude = ["one/**"]\n'})
    same(found(check(projects, "v1")), ["RB012 shop.0002"])


def test_a_project_in_a_folder(projects: Project) -> None:
    projects.write(OURS)
    same(found(check(projects, "v1", cwd=projects.root / "one")), [])
    for folder in ("two", "two/shop/migrations"):
        result = check(projects, "v1", cwd=projects.root / folder)
        same([finding["path"] for finding in result["findings"]], ["two/shop/migrations/0002.py"])
        assert result == check(projects, "v1", "--path", str(projects.root / folder), cwd=projects.root.parent)
    text = projects.native("check", "v1", cwd=projects.root / "two").stdout
    assert "--> two/shop/migrations/0002.py:" in text and "migrations.AddField(" in text


def test_commands_in_a_project_s_folder(projects: Project) -> None:
    projects.write(OURS)
    projects.commit(tag="v2")
    two = projects.root / "two"
    same(projects.native("graph", "v1..v2", cwd=two).stdout, "shop.0002 <- shop.0001\n")
    migrations = document(projects.native("graph", "v1..v2", "--format", "json", cwd=two))["migrations"]
    same([each["path"] for each in migrations], ["two/shop/migrations/0002.py"])
    assert "Unapply shop.0002" in projects.native("plan", "v1..v2", cwd=two).stdout
    assert "no migration to undo" in projects.native("plan", "v1..v2", cwd=projects.root / "one").stdout


def test_the_configuration_of_a_project_in_a_folder(projects: Project) -> None:
    """It counts, and not that of the repository; its paths begin at the folder."""
    path = "two/shop/migrations/0002.py"
    for table, expected in (
        ('exclude = ["shop/**"]', []),
        ('exclude = ["two/**"]', ["RB012 shop.0002"]),
        ('per-path-ignores = { "shop/**" = ["RB012"] }', []),
    ):
        projects.write(OURS | {"pyproject.toml": f"{TABLE}select = ['RB013']\n", "two/pyproject.toml": TABLE + table})
        same(found(check(projects, "v1", cwd=projects.root / "two")), expected)
    commented = (projects.root / path).read_text().replace(")),", ")),  # rollback: ignore[RB012] why")
    projects.write(OURS | {path: commented})
    result = check(projects, "v1", cwd=projects.root / "two")
    assert (found(result), result["suppressed"]) == ([], 1)


def test_a_wrong_table_in_a_project_s_folder(projects: Project) -> None:
    projects.write(OURS | {"two/pyproject.toml": f"{TABLE}selects = []\n"})
    code, text = refused(projects, "check", "v1", cwd=projects.root / "two")
    assert code == 1 and text.startswith("error: two/pyproject.toml: line 2: unknown field `selects`")


# Ranges


@pytest.fixture
def branches(project: Project) -> Project:
    """main: v1, v2; side parts from v1. The work tree is at main, with a third migration."""
    project.git("checkout", "-q", "-b", "side")
    project.commit(in_shop(_0002_side=adds("side", "0001")))
    project.git("checkout", "-q", "main")
    project.commit(in_shop(_0002=adds("a", "0001")), tag="v2")
    project.write(in_shop(_0003=adds("b", "0002")))
    return project


RANGES = (
    ("", "v2 (V2)", "the work tree", ["RB012 shop.0003"]),
    ("v1", "v1 (V1)", "the work tree", ["RB012 shop.0002", "RB012 shop.0003"]),
    ("v1..v2", "v1 (V1)", "v2 (V2)", ["RB012 shop.0002"]),
    ("v1..", "v1 (V1)", "HEAD (V2)", ["RB012 shop.0002"]),
    ("HEAD~1..HEAD", "HEAD~1 (V1)", "HEAD (V2)", ["RB012 shop.0002"]),
    ("..v1", "HEAD (V2)", "v1 (V1)", ["RB032 shop.0002"]),
    ("..", "HEAD (V2)", "HEAD (V2)", []),
    ("main..side", "main (V2)", "side (SIDE)", ["RB032 shop.0002", "RB012 shop.0002_side"]),
    ("main...side", "V1", "side (SIDE)", ["RB012 shop.0002_side"]),
    ("side...", "V1", "HEAD (V2)", ["RB012 shop.0002"]),
    ("--all", "nothing", "the work tree", ["RB012 shop.0001"]),
)


def test_ranges(branches: Project) -> None:
    hashes = {"V1": short(branches, "v1"), "V2": short(branches, "v2"), "SIDE": short(branches, "side")}
    for words, base, head, expected in RANGES:
        for label, commit in hashes.items():
            base, head = base.replace(label, commit), head.replace(label, commit)
        result = check(branches, *words.split())
        same((words, result["base"], result["head"], found(result)), (words, base, head, expected))


def test_commits_by_their_hashes(branches: Project) -> None:
    v1, v2 = (branches.git("rev-parse", tag) for tag in ("v1", "v2"))
    for base, head in ((v1, v2), (v1[:7], v2[:10])):
        result = check(branches, f"{base}..{head}")
        assert (result["base"], result["head"], found(result)) == (v1[:7], v2[:7], ["RB012 shop.0002"])


def test_without_a_range_a_tag_at_head_counts_where_the_work_tree_has_other_migrations(project: Project) -> None:
    project.commit(in_shop(_0002=adds("a", "0001")), tag="v2")
    label = f"v1 ({short(project, 'v1')})"
    assert (check(project)["base"], found(check(project))) == (label, ["RB012 shop.0002"])
    project.write({"shop/models.py": "# changed\n"})
    assert check(project)["base"] == label
    project.write(in_shop(_0002=None))
    assert found(check(project)) == ["RB032 shop.0002"]


def test_without_a_range_the_configuration_says_where_migrations_are(project: Project) -> None:
    project.write({"pyproject.toml": '[tool.django-rollback.migration-modules]\nmoved = "moved.schema"\n'})
    project.commit({"moved/schema/0001.py": FIRST}, tag="v2")
    project.write({"moved/schema/0002.py": migration(add("Item", "a", NULL), after=["moved.0001"])})
    assert found(check(project)) == ["RB012 moved.0002"]


def test_without_a_range_and_without_a_tag(tmp_path: Path) -> None:
    project = repository(tmp_path / "project")
    no_tag = (
        "error: no tag comes before HEAD in ROOT\n"
        "  hint: name the older release: `check BASE..HEAD`; `check --all` looks at every migration\n"
    )
    assert refused(project, "check") == (2, no_tag)
    project.commit(in_shop(_0001=FIRST))
    assert refused(project, "check") == (2, no_tag)
    project.git("tag", "only")
    assert refused(project, "check") == (2, no_tag)
    assert found(check(project, "--all")) == ["RB012 shop.0001"]


def test_an_unknown_revision(project: Project) -> None:
    said = (
        2,
        'error: there is no commit "nope" in ROOT\n'
        "  hint: in a pipeline fetch the tags and the history: `git fetch --tags --unshallow`\n",
    )
    for words in (("check", "v1..nope"), ("check", "nope"), ("graph", "nope"), ("plan", "nope..v1")):
        same(refused(project, *words), said)


def test_a_revision_that_a_terminal_would_obey(project: Project) -> None:
    code, text = refused(project, "check", "v1..\x1b[31m")
    assert (code, text.splitlines()[0]) == (2, r'error: there is no commit "\u{1b}[31m" in ROOT')


def test_histories_with_nothing_in_common(project: Project) -> None:
    project.git("checkout", "-q", "--orphan", "other")
    project.commit()
    assert refused(project, "check", "v1...other")[1].startswith(
        f"error: v1 ({short(project, 'v1')}) and other ({short(project, 'other')}) have no commit in common\n"
    )


def test_a_bare_repository(branches: Project, tmp_path: Path) -> None:
    branches.git("clone", "-q", "--bare", str(branches.root), str(tmp_path / "bare"))
    result = check(branches, cwd=tmp_path / "bare")
    same(
        (result["base"], result["head"], found(result)),
        (f"v1 ({short(branches, 'v1')})", f"HEAD ({short(branches, 'v2')})", ["RB012 shop.0002"]),
    )


def test_a_shallow_clone(branches: Project, tmp_path: Path) -> None:
    branches.git("clone", "-q", "--depth=1", f"file://{branches.root}", str(tmp_path / "shallow"))
    for words in ((), ("HEAD~1..HEAD",)):
        code, text = refused(branches, "check", *words, cwd=tmp_path / "shallow")
        assert (code, "--unshallow" in text) == (2, True)
    assert found(check(branches, "HEAD", cwd=tmp_path / "shallow")) == []


def test_a_linked_work_tree(branches: Project, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    branches.git("worktree", "add", "-q", str(linked), "side")
    result = check(branches, cwd=linked)
    same((result["base"], found(result)), (f"v1 ({short(branches, 'v1')})", ["RB012 shop.0002_side"]))
    same(found(check(branches)), ["RB012 shop.0003"])


def test_a_submodule(branches: Project, tmp_path: Path) -> None:
    """What is in it counts in its own repository only."""
    outer = repository(tmp_path / "outer")
    outer.commit(in_shop(_0001=FIRST), tag="v1")
    outer.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(branches.root), "vendor/shop")
    outer.commit(tag="v2")
    inner = outer.root / "vendor/shop"
    (inner / "shop/migrations/0004.py").write_text(adds("c", "0002"))
    for words in ((), ("v1",), ("v1..v2",)):
        same(found(check(outer, *words)), [])
    same(found(check(outer, "v1", cwd=inner)), ["RB012 shop.0002", "RB012 shop.0004"])


def test_outside_of_a_repository(project: Project, tmp_path: Path) -> None:
    for command in ("check", "graph"):
        assert refused(project, command, cwd=tmp_path) == (
            2,
            f"error: there is no git repository at {tmp_path} or above it\n  hint: name one with `--path`\n",
        )
    assert found(check(project, "v1..", "--path", str(project.root / "shop"), cwd=tmp_path)) == []


def test_the_work_tree_is_what_git_would_add(project: Project) -> None:
    project.commit(in_shop(_0002=adds("a", "0001"), _0003=adds("b", "0002")), tag="v2")
    project.write({".gitignore": "local_settings.py\n0004*\n", **in_shop(_0003=None)})
    project.write(in_shop(_0004=adds("c", "0002"), _0005=adds("d", "0002")))
    assert found(check(project, "v2")) == ["RB032 shop.0003", "RB012 shop.0005"]
    project.git("add", "--force", "shop/migrations/0004.py")
    assert found(check(project, "v2"))[1:3] == ["RB061 shop.0004", "RB012 shop.0004"]


def test_the_program_alone(branches: Project, tmp_path: Path) -> None:
    """Copied out of its environment, with nothing in its own."""
    program = shutil.copy(branches.binary(), tmp_path / "django-rollback")
    command = [program, "check", "v1..v2", "--format", "json"]
    result = subprocess.run(command, cwd=branches.root, env={}, capture_output=True, text=True)
    assert found(json.loads(result.stdout)) == ["RB012 shop.0002"]


def test_from_the_saved_release(project: Project, tmp_path: Path) -> None:
    """The newest one in a database that the user names, in both doors."""
    project.use(Database.sqlite(tmp_path / "shop.sqlite3"))
    project.commit(in_shop(_0002=adds("a", "0001")))
    call(project, ("migrate", "-v", "0"), ("save_migrations_state", "-v", "0"))
    project.commit(in_shop(_0003=adds("b", "0002")), tag="v3")
    project.write(in_shop(_0004=adds("c", "0003")))
    expected = (short(project, "HEAD~1"), ["RB012 shop.0003", "RB012 shop.0004"])
    result = check(project, "--database", project.database.url)
    assert (result["base"], found(result)) == expected
    result = document(project.manage("rollback", "check", "--database", "default", "--format", "json"))
    assert (result["base"], found(result)) == expected

    project.database.execute("DELETE FROM django_rollback_appsstate")
    assert check(project, "--database", project.database.url)["base"] == f"v3 ({short(project, 'v3')})"
    code, text = refused(project, "check", "--database", f"sqlite:///{tmp_path}/nothing")
    assert (code, text.split(" at ")[0]) == (1, "error: there is no database file")


# Squashes


SQUASH = create("Item", **NAMED, a=NULL, b=NULL)


def squash(*names: str) -> str:
    return migration(SQUASH, replaces=[f"shop.{name}" for name in names])


def test_a_squash_whose_originals_are_long_gone(project: Project) -> None:
    """A database has the rows of the originals at both releases: going back leaves them alone."""
    project.commit(in_shop(_0001=None, _0001_squash=migration(ITEM, replaces=["shop.0001"])), tag="v2")
    project.commit(in_shop(_0002=adds("a", "0001_squash")), tag="v3")
    steps = project.native("plan", "v2..v3").stdout.splitlines()[1:]
    assert steps == ["  Unapply shop.0002"]


# Files


def test_files_that_are_no_usual_text(project: Project) -> None:
    def write(name: str, contents: bytes) -> None:
        (project.root / f"shop/migrations/{name}.py").write_bytes(contents)

    write("0002_lines", adds("a", "0001").replace("\n", "\r\n").encode())
    write("0003_mark", b"\xef\xbb\xbf" + adds("b", "0002_lines").encode())
    write("0004_latin", b"# -*- coding: latin-1 -*-\n# caf\xe9\n" + adds("c", "0003_mark").encode())
    write("0005_binary", b"\x00\x01\xff this is ] no Python")
    write("_0006_private", b"(")
    write("0007_utf_16", adds("d", "0004_latin").encode("utf-16"))
    result = check(project)
    assert found(result) == [
        "RB012 shop.0002_lines",
        "RB012 shop.0003_mark",
        "RB012 shop.0004_latin",
        "RB001 shop.0005_binary",
        "RB001 shop.0007_utf_16",
    ]
    starts = [each["start"] for each in result["findings"][:3]]
    assert starts == [{"line": line, "column": 9} for line in (15, 15, 17)]


def test_a_file_without_a_migration(project: Project) -> None:
    """`BadMigrationError: Migration 0002 in app shop has no Migration class`."""
    project.write(in_shop(_0002="x = 1\n"))
    assert project.manage("migrate", "--plan", check=False).returncode == 1
    assert check(project)["counts"]["error"] == 1


# Where migrations are


def test_where_migrations_are_said_to_be(tmp_path: Path) -> None:
    """By settings, and by the configuration."""
    project = repository(tmp_path / "project")
    project.write({"blog/migrations/0001.py": FIRST, "elsewhere/of_blog/0007.py": FIRST})
    project.write({"settings_production.py": "MIGRATION_MODULES = {'blog': 'elsewhere.of_blog'}\n"})
    same(project.native("graph").stdout, "blog.0007\n")
    project.write({"settings_production.py": None})
    same(project.native("graph").stdout, "blog.0001\n")
    modules = '[tool.django-rollback.migration-modules]\nblog = "elsewhere.of_blog"\n'
    project.write({"pyproject.toml": modules})
    same(project.native("graph").stdout, "blog.0007\n")


def test_a_label_that_is_not_told(tmp_path: Path) -> None:
    """A project may install the app by the path of its configuration, or by the name of its package."""
    config = "from django.apps import AppConfig\nclass Config(AppConfig):\n    name = 'blog'\n    label = 'journal'\n"
    project = repository(tmp_path / "project")
    project.write({"blog/migrations/0001.py": FIRST, "blog/__init__.py": config})
    (listed,) = document(project.native("graph", "--format", "json"))["migrations"]
    assert (listed["app"], listed["is_unknown"]) == ("journal", True)


@pytest.mark.parametrize("folder", ["", "backend/"])
def test_settings_in_a_package(tmp_path: Path, folder: str) -> None:
    project = repository(tmp_path / "project")
    settings = {
        "manage.py": "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'conf.settings.dev')\n",
        "conf/settings/base.py": "MIGRATION_MODULES = {'shop': 'conf.schema.shop'}\n",
        "conf/settings/dev.py": "from .base import *\nDEBUG = True\n",
        "conf/schema/shop/0001.py": FIRST,
        "shop/models.py": "",
    }
    for usual in ("manage.py", "settings.py"):
        (project.root / usual).unlink()
    project.commit({folder + path: text for path, text in settings.items()}, tag="v1")
    project.write({f"{folder}conf/schema/shop/0002.py": adds("a", "0001")})
    same(found(check(project, "v1")), ["RB012 shop.0002"])


def test_migrations_that_are_switched_off(tmp_path: Path) -> None:
    """The settings of tests say nothing of what is deployed."""
    project = repository(tmp_path / "project")
    project.write({"manage.py": None, "blog/migrations/0001.py": FIRST})
    for name, expected in (
        ("settings_production.py", ""),
        ("settings_test.py", "blog.0001\n"),
        ("tests/settings.py", "blog.0001\n"),
        ("blog/test_utils/settings/base.py", "blog.0001\n"),
    ):
        project.write({name: "MIGRATION_MODULES = {'blog': None}\n"})
        same((name, project.native("graph").stdout), (name, expected))
        project.write({name: None})


def test_the_model_of_the_user(tmp_path: Path) -> None:
    project = repository(tmp_path / "project")
    after = "[migrations.swappable_dependency(settings.AUTH_USER_MODEL)]"
    project.write({"people/migrations/0001.py": FIRST, "staff/migrations/0001.py": FIRST})
    project.write({"blog/migrations/0001.py": migration(ITEM, after=[after])})
    graph = {"blog.0001", "people.0001", "staff.0001"}
    assert set(project.native("graph").stdout.splitlines()) == graph
    project.write({"settings_production.py": 'AUTH_USER_MODEL = "people.Person"\n'})
    assert "blog.0001 <- people.0001\n" in project.native("graph").stdout
    project.write({"pyproject.toml": '[tool.django-rollback.settings]\nAUTH_USER_MODEL = "staff.Person"\n'})
    assert "blog.0001 <- staff.0001\n" in project.native("graph").stdout


# Rules that are wanted


@pytest.fixture
def two_rules(project: Project) -> Project:
    """The work tree brings RB012 and RB023."""
    project.write(in_shop(_0002=migration(add("Item", "a", "models.IntegerField(default=0)"), after=["shop.0001"])))
    return project


def test_selection(two_rules: Project) -> None:
    for words, expected in (
        (("--select", "RB02,RB03"), ["RB023"]),
        (("--select", "ALL", "--ignore", "RB01"), ["RB023"]),
        (("--ignore", "RB012", "--ignore", "RB023"), []),
    ):
        assert [each["code"] for each in check(two_rules, *words)["findings"]] == expected


def test_a_rule_that_is_none(project: Project) -> None:
    for option, word in (("--select", "RB9"), ("--ignore", "\x1b[31m")):
        shown = word.replace("\x1b", r"\u{1b}")
        expected = f'error: unknown rule "{shown}"\n  hint: docs/rules/README.md lists the rules\n'
        same(refused(project, "check", "v1", option, word), (2, expected))


def test_fail_on(two_rules: Project) -> None:
    for level, code in (("note", 1), ("warning", 1), ("error", 0), ("never", 0)):
        assert two_rules.native("check", "--fail-on", level, check=False).returncode == code
        two_rules.write({"pyproject.toml": f'{TABLE}fail-on = "{level}"\n'})
        assert two_rules.native("check", check=False).returncode == code
    two_rules.write({"pyproject.toml": f'{TABLE}fail-on = "note"\n'})
    assert two_rules.native("check", "--fail-on", "never", check=False).returncode == 0


def test_fail_on_something_else(project: Project) -> None:
    result = project.native("check", "--fail-on", "x", check=False)
    assert (result.returncode, "[possible values: note, warning, error, never]" in result.stderr) == (2, True)


def test_statistics(two_rules: Project) -> None:
    two_rules.write(in_shop(_0003=adds("b", "0002")))
    assert two_rules.native("check", "--statistics").stdout == dedent("""\
        COUNT  CODE   NAME                               LEVEL
        2      RB012  reverse-loses-data                 note
        1      RB023  not-null-without-database-default  warning
    """)
    assert two_rules.native("check", "--statistics", "--ignore", "RB").stdout == "No findings.\n"


def test_statistics_are_no_document(two_rules: Project) -> None:
    result = two_rules.native("check", "--statistics", "--format", "json", check=False)
    assert result.returncode == 2 or json.loads(result.stdout)


def test_explain(project: Project, tmp_path: Path) -> None:
    """Nothing has to be there for it."""
    page = (Path(__file__).parents[1] / "docs/rules/RB012.md").read_text()
    for word in ("rb012", "reverse-loses-data"):
        result = project.native("check", "--explain", word, cwd=tmp_path)
        assert (result.stdout, result.stderr) == (page, "")


def test_explain_what_is_no_rule(project: Project) -> None:
    assert refused(project, "check", "--explain", "RB01") == (
        2,
        'error: unknown rule "RB01"\n'
        "  hint: docs/rules/README.md lists them; `check --statistics` shows those that found something\n",
    )
    assert project.native("check", "v1", "--explain", "RB012", check=False).returncode == 2


# Configuration


def test_configuration(two_rules: Project) -> None:
    for table, expected in (
        ("", "RB012 note, RB023 warning"),
        ('exclude = ["shop/**"]', ""),
        ('levels = {RB012 = "error"}\nignore = ["RB023"]', "RB012 error"),
    ):
        two_rules.write({"pyproject.toml": f"{TABLE}{table}\n\n[tool.other]\nx = 1\n"})
        result = two_rules.native("check", "--format", "json", check=False)
        findings = document(result)["findings"]
        assert ", ".join(f"{each['code']} {each['level']}" for each in findings) == expected
        assert result.returncode == ("error" in expected)


def test_the_kind_of_database(project: Project) -> None:
    alter = "migrations.AlterField('Item', 'name', models.CharField(max_length=5, db_index=True))"
    project.write(in_shop(_0002=migration(alter, after=["shop.0001"])))
    for kind, expected in (("postgresql", ["RB025", "RB042", "RB043"]), ("sqlite", [])):
        project.write({"pyproject.toml": f'{TABLE}database = "{kind}"\n'})
        same([each["code"] for each in check(project)["findings"]], expected)


def test_the_configuration_is_that_of_the_newer_commit(two_rules: Project) -> None:
    two_rules.commit({"pyproject.toml": f'{TABLE}ignore = ["RB"]\n'}, tag="v2")
    two_rules.write({"pyproject.toml": "("})
    assert found(check(two_rules, "v1..v2")) == []
    assert refused(two_rules, "check", "v1")[0] == 1


def test_a_configuration_that_is_wrong(project: Project) -> None:
    for text, message in (
        (f"{TABLE}select = ['RB9']\n", 'unknown rule "RB9"'),
        (f'{TABLE}select = ["\\u001b[31m"]', r'unknown rule "\u{1b}[31m"'),
        (
            f"{TABLE}levels = 3\n",
            "line 2: invalid type: integer `3`, expected a map",
        ),
    ):
        project.write({"pyproject.toml": text})
        expected = f"error: pyproject.toml: {message}\n  hint: docs/rules/README.md shows what goes there\n"
        for command in (("check", "v1"), ("graph",)):
            same(refused(project, *command), (1, expected))


# Comments


def test_comments(project: Project) -> None:
    """One that suppresses a finding, and one without effect: a warning tells of it where it is new."""
    source = adds("a", "0001", code="# rollback: ignore[RB999] why").replace(")),", ")),  # rollback: ignore[RB012] x")
    project.write(in_shop(_0002=source))
    warning = 'Warning: the comment at shop/migrations/0002.py:7 has no effect: unknown rule "RB999".\n'
    printed = project.native("check", "v1", "--format", "json")
    same(printed.stderr, warning)
    assert (found(document(printed)), document(printed)["suppressed"]) == ([], 1)
    same(project.native("check", "v1", "-v", "0").stderr, "")
    project.commit(tag="v2")
    same(project.native("check", "v2").stderr, "")


# Formats


@pytest.fixture
def shown(tmp_path: Path) -> Project:
    """One finding of each level, and one about a file that is gone; the hashes are the same in each run."""
    project = repository(tmp_path / "project")
    project.commit(in_shop(_0001=FIRST, _0002=migration(after=["shop.0001"])), tag="v1")
    (project.root / "shop/migrations/0003.py").write_text(
        dedent("""\
            from django.db import migrations, models


            class Migration(migrations.Migration):
                dependencies = [("shop", "0001")]
                operations = [
                    migrations.RunSQL("SELECT 1"),
                    migrations.AddField(
                        "Item",
                        "price",
                        models.IntegerField(default=0),
                    ),
                ]
        """)
    )
    project.commit(in_shop(_0002=None), tag="v2")
    return project


def test_text(shown: Project) -> None:
    result = shown.native("check", "v1..v2", check=False)
    text = result.stdout.replace(short(shown, "v1"), "VVVVVV1").replace(short(shown, "v2"), "VVVVVV2")
    same(
        text,
        """\
error[RB032]: shop.0002 was deleted after it was released: databases that applied it cannot be rolled back past it
--> shop/migrations/0002.py
 = note: this is the file of v1 (VVVVVV1)
 = help: restore the file, or squash it

error[RB011]: RunSQL of shop.0003 has no reverse_sql
 --> shop/migrations/0003.py:7:9
  |
7 |         migrations.RunSQL("SELECT 1"),
  |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: add `reverse_sql`: `RunSQL.noop` if nothing needs undoing

note[RB012]: a rollback drops the column Item.price and all data in it
  --> shop/migrations/0003.py:8:9
   |
 8 |         migrations.AddField(
   |         ^^^^^^^^^^^^^^^^^^^^
 9 |             "Item",
10 |             "price",
11 |             models.IntegerField(default=0),
   |
   = help: export the data before a rollback if you need it

warning[RB023]: the older code cannot insert into Item: it does not fill price, which is NOT NULL and has no default \
in the database
  --> shop/migrations/0003.py:8:9
   |
 8 |         migrations.AddField(
   |         ^^^^^^^^^^^^^^^^^^^^
 9 |             "Item",
10 |             "price",
11 |             models.IntegerField(default=0),
   |
   = help: set `db_default`, or use `null=True` for one release

4 findings (2 errors, 1 warning, 1 note) in 1 migration between v1 (VVVVVV1) and v2 (VVVVVV2).
Going back would undo: shop.0003.
""",
    )
    assert (result.returncode, result.stderr) == (1, "")
    quiet = shown.native("check", "v1..v2", "--quiet", check=False)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (1, result.stdout, "")


def test_github(shown: Project) -> None:
    result = shown.native("check", "v1..v2", "--format", "github", check=False)
    same(
        result.stdout.replace(short(shown, "v1"), "VVVVVV1"),
        "::error title=RB032 deleted-after-release::shop.0002 was deleted after it was released: databases that "
        "applied it cannot be rolled back past it%0Arestore the file, or squash it%0A"
        "shop/migrations/0002.py of v1 (VVVVVV1)\n"
        "::error file=shop/migrations/0003.py,line=7,endLine=7,col=9,endColumn=38,title=RB011 irreversible-operation"
        "::RunSQL of shop.0003 has no reverse_sql%0Aadd `reverse_sql`: `RunSQL.noop` if nothing needs undoing\n"
        "::notice file=shop/migrations/0003.py,line=8,endLine=12,title=RB012 reverse-loses-data::a rollback drops "
        "the column Item.price and all data in it%0Aexport the data before a rollback if you need it\n"
        "::warning file=shop/migrations/0003.py,line=8,endLine=12,title=RB023 not-null-without-database-default::the "
        "older code cannot insert into Item: it does not fill price, which is NOT NULL and has no default in the "
        "database%0Aset `db_default`, or use `null=True` for one release\n",
    )
    assert result.returncode == 1


def test_markdown(shown: Project) -> None:
    result = shown.native("check", "v1..v2", "--format", "markdown", check=False)
    same(
        result.stdout.replace(short(shown, "v1"), "VVVVVV1").replace(short(shown, "v2"), "VVVVVV2"),
        "<!-- django-rollback check -->\n"
        "## Cannot be rolled back: 2 errors\n\n"
        "4 findings (2 errors, 1 warning, 1 note) in 1 migration between v1 (VVVVVV1) and v2 (VVVVVV2).\n\n"
        "| Level | Rule | Place | Finding |\n|---|---|---|---|\n"
        "| error | RB032 deleted-after-release | `shop/migrations/0002.py` of v1 (VVVVVV1) | shop.0002 was "
        "deleted after it was released: databases that applied it cannot be rolled back past it<br>Hint: restore the "
        "file, or squash it |\n"
        "| error | RB011 irreversible-operation | `shop/migrations/0003.py:7` | RunSQL of shop.0003 has no "
        "reverse\\_sql<br>Hint: add \\`reverse\\_sql\\`: \\`RunSQL.noop\\` if nothing needs undoing |\n"
        "| note | RB012 reverse-loses-data | `shop/migrations/0003.py:8` | a rollback drops the column Item.price "
        "and all data in it<br>Hint: export the data before a rollback if you need it |\n"
        "| warning | RB023 not-null-without-database-default | `shop/migrations/0003.py:8` | the older code cannot "
        "insert into Item: it does not fill price, which is NOT NULL and has no default in the database<br>Hint: set "
        "\\`db\\_default\\`, or use \\`null=True\\` for one release |\n\n"
        "<details>\n<summary>Going back would undo 1 migration</summary>\n\n1. `shop.0003`\n\n</details>\n",
    )


def test_json(shown: Project) -> None:
    result = document(shown.native("check", "v1..v2", "--format", "json", check=False))
    findings = result.pop("findings")
    assert result == {
        "format": 1,
        "base": f"v1 ({short(shown, 'v1')})",
        "head": f"v2 ({short(shown, 'v2')})",
        "migrations": 1,
        "undo": ["shop.0003"],
        "suppressed": 0,
        "counts": {"error": 2, "warning": 1, "note": 1},
    }
    assert next(iter(result)) == "format"
    assert findings[0] | {"message": "", "hint": ""} == {
        "code": "RB032",
        "name": "deleted-after-release",
        "level": "error",
        "message": "",
        "hint": "",
        "app": "shop",
        "migration": "0002",
        "path": "shop/migrations/0002.py",
        "older": True,
        "start": None,
        "end": None,
    }
    assert (findings[2]["start"], findings[2]["end"]) == ({"line": 8, "column": 9}, {"line": 12, "column": 10})


def test_sarif(shown: Project) -> None:
    """What GitHub demands of it, and that rules and places fit."""
    sarif = json.loads(shown.native("check", "v1..v2", "--format", "sarif", check=False).stdout)
    assert (sarif["version"], sarif["$schema"]) == ("2.1.0", "https://json.schemastore.org/sarif-2.1.0.json")
    [run] = sarif["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "django-rollback"
    rules = [rule["id"] for rule in driver["rules"]]
    assert rules == ["RB011", "RB012", "RB023", "RB032"]
    for rule in driver["rules"]:
        assert rule["shortDescription"]["text"] and rule["help"]["markdown"].startswith(
            f"# {rule['id']}: {rule['name']}"
        )
    results = run["results"]
    assert [(result["ruleId"], result["level"]) for result in results] == [
        ("RB032", "error"),
        ("RB011", "error"),
        ("RB012", "note"),
        ("RB023", "warning"),
    ]
    for result in results:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["message"]["text"]
        [location] = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"].startswith("shop/migrations/000")
    fingerprints = [result["partialFingerprints"]["finding/v1"] for result in results]
    assert len(set(fingerprints)) == 4
    assert results[0]["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
    assert results[1]["locations"][0]["physicalLocation"]["region"] == {
        "startLine": 7,
        "startColumn": 9,
        "endLine": 7,
        "endColumn": 38,
    }


def test_gitlab(shown: Project) -> None:
    """The fields that a Code Quality report must have."""
    issues = json.loads(shown.native("check", "v1..v2", "--format", "gitlab", check=False).stdout)
    assert [(issue["check_name"], issue["severity"], issue["location"]) for issue in issues] == [
        ("deleted-after-release", "critical", {"path": "shop/migrations/0002.py", "lines": {"begin": 1}}),
        ("irreversible-operation", "critical", {"path": "shop/migrations/0003.py", "lines": {"begin": 7}}),
        ("reverse-loses-data", "info", {"path": "shop/migrations/0003.py", "lines": {"begin": 8}}),
        ("not-null-without-database-default", "major", {"path": "shop/migrations/0003.py", "lines": {"begin": 8}}),
    ]
    assert len({issue["fingerprint"] for issue in issues}) == 4
    assert issues[1]["description"].startswith("RB011: RunSQL of shop.0003 has no reverse_sql")


def test_formats_of_nothing(project: Project) -> None:
    def show(name: str) -> str:
        return project.native("check", "v1", "--format", name).stdout

    label = f"v1 ({short(project, 'v1')})"
    nothing = f"No findings between {label} and the work tree: no new migrations.\n"
    assert show("text") == nothing + "Going back would undo no migration.\n"
    assert (show("github"), show("gitlab")) == ("", "[]\n")
    assert json.loads(show("sarif"))["runs"][0]["results"] == []
    assert show("markdown").startswith("<!-- django-rollback check -->\n## Can be rolled back\n")


def test_colours_are_for_terminals(shown: Project) -> None:
    def on_a_terminal(**environment: str) -> str:
        """All streams are the terminal."""
        ours, theirs = pty.openpty()
        command = [str(shown.binary()), "check", "v1..v2"]
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        process = subprocess.Popen(command, cwd=shown.root, env=environment, **streams)
        os.close(theirs)
        text = b""
        with contextlib.suppress(OSError):
            while part := os.read(ours, 4096):
                text += part
        process.wait()
        os.close(ours)
        return text.decode()

    assert "\x1b[" in on_a_terminal()
    assert "\x1b[" not in on_a_terminal(NO_COLOR="1")
    assert "\x1b[" not in shown.native("check", "v1..v2", check=False).stdout


def test_a_reader_that_leaves(project: Project) -> None:
    """`check | head -1`: neither an error nor a panic."""
    many = [add("Item", f"field_{number}", NULL) for number in range(600)]
    project.write(in_shop(_0002=migration(*many, after=["shop.0001"])))
    for words in (["check", "v1"], ["check", "v1", "--format", "sarif"], ["graph", "--format", "json"]):
        command = [str(project.binary()), *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, cwd=project.root, text=True, **pipes) as process:
            assert process.stdout and process.stderr
            process.stdout.read(10)
            process.stdout.close()
            assert process.stderr.read() == ""
        assert process.returncode in (0, 141, -13)


def test_a_full_disk(shown: Project) -> None:
    with open("/dev/full", "w") as full:
        command = [str(shown.binary()), "check", "v1..v2"]
        result = subprocess.run(command, cwd=shown.root, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith("error: cannot write to stdout: No space left on device")


HOSTILE = "\x1b]0;x\x07\u009b31m\u202e<&\"'>#;]|`"


def controls(text: str) -> set[str]:
    """What a terminal would obey."""
    return {
        letter
        for letter in text
        if letter != "\n" and (letter < " " or "\x7f" <= letter < "\xa0" or letter == "\u202e")
    }


@pytest.fixture
def hostile(project: Project) -> Project:
    """A name of a file, of a tag and of a field, a comment and a text that a terminal would obey."""
    sql = f"migrations.RunSQL('{HOSTILE[:9]}')"
    source = migration(add("Item", "a\\x1b[31m\\u009b", NULL), sql, after=["shop.0001"], code=f"# {HOSTILE}")
    (project.root / f"shop/migrations/0002{HOSTILE}.py").write_text(source)
    project.commit(tag="v2\u202e")
    return project


def test_what_a_terminal_would_obey(hostile: Project) -> None:
    for name in ("text", "json", "github", "gitlab", "sarif", "markdown"):
        for range_ in ("v1..HEAD", "v1..v2\u202e"):
            result = hostile.native("check", range_, "--format", name, check=False)
            assert (result.returncode, controls(result.stdout + result.stderr)) == (1, set())


def test_what_a_terminal_would_obey_in_graphs_and_plans(hostile: Project) -> None:
    formats = [("graph", "--format", name) for name in ("json", "mermaid", "dot", "svg")]
    for words in (("plan", "v1..HEAD"), ("graph",), *formats):
        result = hostile.native(*words, check=False)
        assert controls(result.stdout + result.stderr) == set()


# Graphs


@pytest.fixture
def graph(tmp_path: Path) -> Project:
    """Two apps, a diamond, a dependency on an app that is not in the repository."""
    project = repository(tmp_path / "project")
    project.commit({"a/migrations/0001.py": FIRST, "b/migrations/0001.py": migration()}, tag="v1")
    project.commit(
        {
            "a/migrations/0002_x.py": migration(after=["a.0001"]),
            "a/migrations/0002_y.py": migration(after=["a.0001", "b.0001"]),
            "a/migrations/0003.py": migration(after=["a.0002_x", "a.0002_y"]),
            "b/migrations/0002.py": migration(after=["b.0001"], before=["a.0003"]),
        },
        tag="v2",
    )
    return project


GRAPHS = {
    (): """\
b.0001
b.0002 <- b.0001
a.0001
a.0002_y <- a.0001, b.0001
a.0002_x <- a.0001
a.0003 <- a.0002_x, a.0002_y, b.0002
""",
    ("v1",): "a.0001\nb.0001\n",
    ("v1..v2", "--app", "b"): "b.0002 <- b.0001\n",
    ("v2..v1",): "",
    ("--app", "b", "v1"): "b.0001\n",
    ("--app", "a,b", "v1"): "a.0001\nb.0001\n",
    ("--app", "a", "--app", "b", "v1"): "a.0001\nb.0001\n",
    ("v1", "--app", "b", "--format", "mermaid"): 'flowchart LR\n  n0["b.0001"]\n',
    ("v1..v2", "--format", "mermaid"): """\
flowchart LR
  n0["b.0002"]
  n1["a.0002_y"]
  n2["a.0002_x"]
  n3["a.0003"]
  n4(["b.0001"])
  n5(["a.0001"])
  n4 --> n0
  n5 --> n1
  n4 --> n1
  n5 --> n2
  n2 --> n3
  n1 --> n3
  n0 --> n3
""",
    ("v1..v2", "--format", "dot"): """\
digraph migrations {
  rankdir = LR
  node [shape = box]
  "b.0002"
  "a.0002_y"
  "a.0002_x"
  "a.0003"
  "b.0001" [style = dashed]
  "a.0001" [style = dashed]
  "b.0001" -> "b.0002"
  "a.0001" -> "a.0002_y"
  "b.0001" -> "a.0002_y"
  "a.0001" -> "a.0002_x"
  "a.0002_x" -> "a.0003"
  "a.0002_y" -> "a.0003"
  "b.0002" -> "a.0003"
}
""",
}


def test_graph(graph: Project) -> None:
    for words, expected in GRAPHS.items():
        result = graph.native("graph", *words)
        same((words, result.stdout, result.stderr), (words, expected, ""))


def test_graph_of_an_app_that_is_not_there(graph: Project) -> None:
    result = graph.native("graph", "--app", "a,nope", check=False)
    said = "error: no app in the work tree has the label `nope` and migrations\n  hint: these have: a, b\n"
    same((result.returncode, result.stdout, result.stderr), (2, "", said))


SQUASHED = {
    (): "shop.0001_new (replaces shop.0001, shop.0002)\nshop.0003 <- shop.0001_new\n",
    ("v1..",): "shop.0001_new (replaces shop.0001, shop.0002)\nshop.0003 <- shop.0001_new\n",
    (
        "--format",
        "mermaid",
    ): 'flowchart LR\n  n0["shop.0001_new (replaces 2)"]\n  n1["shop.0003"]\n  n0 --> n1\n',
    ("--format", "dot"): "digraph migrations {\n  rankdir = LR\n  node [shape = box]\n"
    '  "shop.0001_new" [label = "shop.0001_new (replaces 2)"]\n  "shop.0003"\n'
    '  "shop.0001_new" -> "shop.0003"\n}\n',
}


def test_graph_with_a_squash(project: Project) -> None:
    squashed = migration(ITEM, add("Item", "a", NULL), replaces=["shop.0001", "shop.0002"])
    project.commit(in_shop(_0002=adds("a", "0001"), _0001_new=squashed, _0003=adds("b", "0002")), tag="v2")
    for words, expected in SQUASHED.items():
        same((words, project.native("graph", *words).stdout), (words, expected))


def texts_of(svg: str) -> set[str]:
    return {each.text for each in ElementTree.fromstring(svg).iter() if each.text}


def test_graph_as_a_picture(graph: Project) -> None:
    names = {"a.0001", "a.0002_x", "a.0002_y", "a.0003", "b.0001", "b.0002"}
    assert texts_of(graph.native("graph", "--format", "svg").stdout) >= names


def test_a_picture_of_names_that_are_no_names(hostile: Project) -> None:
    assert any("<&\"'>#;]|`" in text for text in texts_of(hostile.native("graph", "--format", "svg").stdout))


def test_a_picture_of_nothing(graph: Project) -> None:
    result = graph.native("graph", "v2..v1", "--format", "svg")
    assert (result.returncode, result.stderr) == (0, "")
    assert not any("0001" in text for text in texts_of(result.stdout))


def test_a_graph_with_an_app_that_is_elsewhere(project: Project) -> None:
    project.commit(in_shop(_0002=migration(after=["shop.0001", "auth.0001_initial"])))
    second = "shop.0002 <- auth.0001_initial, shop.0001\n"
    same(project.native("graph").stdout, f"shop.0001\n{second}")
    same(project.native("graph", "v1..").stdout, second)


def test_a_graph_with_a_circle(project: Project) -> None:
    project.write(in_shop(_0002=adds("a", "0001", "0003"), _0003=adds("b", "0002")))
    for name in ("text", "mermaid", "dot", "svg", "json"):
        result = project.native("graph", "--format", name)
        assert all(migration in result.stdout for migration in ("0001", "0002", "0003"))


def test_document_of_a_graph(graph: Project) -> None:
    result = document(graph.native("graph", "v1..v2", "--format", "json"))
    assert list(result) == ["format", "commit", "migrations"]
    assert (result["format"], result["commit"]) == (1, graph.git("rev-parse", "v2"))
    assert [each["name"] for each in result["migrations"]] == ["0002_x", "0002_y", "0003", "0002"]
    assert document(graph.native("graph", "v1", "--format", "json"))["migrations"][0] == {
        "app": "a",
        "name": "0001",
        "path": "a/migrations/0001.py",
        "dependencies": [],
        "run_before": [],
        "replaces": [],
        "initial": None,
        "atomic": True,
        "operations": [{"class": "CreateModel", "reversible": True, "elidable": False}],
        "unknown": [],
        "is_unknown": False,
    }


# Plans


SAVE_AND_PLAN = """
import contextlib, io, json
from django.core.management import call_command
from django.db import connection

with open("question.json") as file:
    FIRST, REST, COMMIT = json.load(file)

def record(rows):
    with connection.cursor() as cursor:
        sql = "INSERT INTO django_migrations (app, name, applied) VALUES (%s, %s, '2026-01-01')"
        cursor.executemany(sql, rows)

record(FIRST)
call_command("save_migrations_state", release=COMMIT, verbosity=0)
record(REST)
call_command("save_migrations_state", release="3" * 40, verbosity=0)
out = io.StringIO()
with contextlib.suppress(SystemExit):
    call_command("rollback_migrations", fake=True, format="json", commit=COMMIT, stdout=out)
print(out.getvalue())
"""
COMPARED = ("steps", "blockers", "atomic", "segments")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with nothing but our own tables."""
    path = tmp_path_factory.mktemp("empty") / "empty.sqlite3"
    path.touch()
    project = Project(path.with_name("project"), database=Database.sqlite(path), apps=BASE_APPS)
    project.manage("migrate", "-v", "0")
    return path


@pytest.mark.parametrize("seed", range(3))
def test_the_plan_is_that_of_a_database(seed: int, empty: Path, tmp_path: Path) -> None:
    """Any graph at all, cut in two: what git says is what a rollback says that was saved at the first part."""
    random_project = RandomProject(seed)
    first, rest = random_project.halves()
    database = Database.sqlite(Path(shutil.copyfile(empty, tmp_path / "database.sqlite3")))
    project = Project(tmp_path / "project", database=database, apps=BASE_APPS)
    project.install_apps([*BASE_APPS, *random_project.apps])
    older = [replace(node, before=node.before & set(first)) for node in random_project.nodes if node.key in first]
    commit = project.commit({f"{node.key[0]}/migrations/{node.key[1]}.py": node.source() for node in older})
    project.commit({f"{node.key[0]}/migrations/{node.key[1]}.py": node.source() for node in random_project.nodes})
    project.write({"question.json": json.dumps([first, rest, commit])})

    real = json.loads(project.run_python(SAVE_AND_PLAN))
    planned = document(project.native("plan", f"{commit}..HEAD", "--format", "json"))
    same([planned[key] for key in COMPARED], [real[key] for key in COMPARED])
    assert check(project, f"{commit}..HEAD")["undo"] == [
        f"{step['app']}.{step['migration']}" for step in real["steps"] if step["way"] == "disk"
    ]


DEPLOY = """
import contextlib, io, json
from django.core.management import CommandError, call_command

with open("before.json") as file:
    before = json.load(file)
call_command("migrate", "-v", "0")
call_command("save_migrations_state", "-v", "0")
out, code = io.StringIO(), 0
if before:
    try:
        call_command("rollback_migrations", "-t", before, "--fake", "--format", "json", stdout=out)
    except CommandError as error:
        code = error.returncode
print(json.dumps([code, out.getvalue()]))
"""


class Deployed:
    """A project that is deployed release by release: what a rollback to the one before it does, says the database."""

    def __init__(self, root: Path, apps: tuple[str, ...]) -> None:
        database = Database.sqlite(root / "shop.sqlite3")
        Path(database.name).touch()
        self.project = Project(root / "deployed", database=database, apps=("django.contrib.contenttypes", *apps))
        self.before: str | None = None

    def deploy(self, tag: str, files: dict[str, str | None]) -> dict[str, Any]:
        """The plan back, by git; it has to be that of the database."""
        self.project.write({"before.json": json.dumps(self.before)})
        self.project.commit({"shop/models.py": "", **files}, tag=tag)
        code, preview = json.loads(self.project.run_python(DEPLOY))
        before, self.before = self.before, tag
        if before is None:
            return {}
        result = self.project.native("plan", f"{before}..{tag}", "--format", "json", check=False)
        planned, real = document(result), json.loads(preview)
        assert list(planned) == ["format", "from", "to", "steps", "blockers", "warnings", "atomic", "segments"]
        same([planned[key] for key in COMPARED], [real[key] for key in COMPARED])
        assert result.returncode == code
        return planned


WORK = "def work(apps, schema_editor):\n    schema_editor.execute('SELECT 1')\n"


def test_plans_are_those_of_the_database(tmp_path: Path) -> None:
    """A squash that comes with a part of it and then takes over, an app that is elsewhere, work outside of a
    transaction, operations without a way back."""
    deployed = Deployed(tmp_path, ("django.contrib.auth", "django_rollback", "shop"))
    deployed.deploy("v1", in_shop(_0001=FIRST, _0002=adds("a", "0001")))
    deployed.deploy("v2", in_shop(_0003=adds("b", "0002"), _0001_squash=squash("0001", "0002", "0003")))

    gone = in_shop(_0001=None, _0002=None, _0003=None, _0001_squash=migration(SQUASH))
    elsewhere = adds("c", "0001_squash").replace("[('shop'", "[('auth', '0001_initial'), ('shop'")
    deployed.deploy("v3", gone | in_shop(_0004=elsewhere))

    def outside(reverse: str, after: str) -> str:
        return migration(f"migrations.RunPython(work, {reverse})", after=[after], atomic=False, code=WORK)

    plan = deployed.deploy(
        "v4", in_shop(_0005=adds("d", "0004"), _0006=outside("work", "shop.0005"), _0007=adds("e", "0006"))
    )
    assert len(plan["segments"]) == 3
    noop = outside("migrations.RunPython.noop", "shop.0007")
    assert len(deployed.deploy("v5", in_shop(_0008=noop, _0009=adds("f", "0008")))["segments"]) == 1

    python, sql, one_way = "migrations.RunPython(work)", "migrations.RunSQL('SELECT 1')", "OneWay('SELECT 1', '')"
    inside = f"migrations.SeparateDatabaseAndState(database_operations=[{python}])"
    code = f"{WORK}\n\nclass OneWay(migrations.RunSQL):\n    reversible = False\n"
    plan = deployed.deploy("v6", in_shop(_0010=migration(sql, python, inside, one_way, after=["shop.0009"], code=code)))
    assert kinds(plan["blockers"]) == ["irreversible"] * 4


def test_a_plan_with_blockers(project: Project) -> None:
    project.commit(in_shop(_0002=migration("migrations.RunSQL('SELECT 1')", after=["shop.0001"])), tag="v2")
    result = project.native("plan", "v1..v2", check=False)
    v1, v2 = (short(project, tag) for tag in ("v1", "v2"))
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.startswith(
        f"Rollback from v2 ({v2}) to v1 ({v1}): 1 step in one transaction.\n  Unapply shop.0002\n"
        "Blocker: shop.0002 cannot be undone: "
    )


def test_a_plan_of_nothing(project: Project) -> None:
    v1 = short(project, "v1")
    expected = f"Rollback from HEAD ({v1}) to v1 ({v1}): no migration to undo.\n"
    assert project.native("plan", "v1..HEAD").stdout == expected


def test_a_range_and_what_needs_a_database(project: Project) -> None:
    for words in (("-t", "v1"), ("-c", "abcd"), ("--way", "sql"), ("--require-rehearsal",)):
        assert refused(project, "plan", "v1..HEAD", *words)[0] == 2


# Through Django


BY_VENDOR = """
    from django.db import connection, migrations, models

    class Migration(migrations.Migration):
        dependencies = [("shop", "0001")]
        operations = []
        if connection.vendor in ("sqlite", "postgresql"):
            operations = [migrations.RunSQL("SELECT 1")]
"""


def test_the_loader_knows_what_the_text_does_not_tell(project: Project, tmp_path: Path) -> None:
    (tmp_path / "there.sqlite3").touch()
    project.use(Database.sqlite(tmp_path / "there.sqlite3"))
    project.write(in_shop(_0002=BY_VENDOR))
    assert found(check(project)) == ["RB002 shop.0002"]
    result = project.manage("rollback", "check", "--format", "json", check=False)
    assert (result.returncode, found(document(result)), result.stderr) == (1, ["RB011 shop.0002"], "")
    project.commit()
    committed = document(project.manage("rollback", "check", "v1..HEAD", "--format", "json"))
    assert found(committed) == ["RB002 shop.0002"]


def test_the_loader_needs_no_database(project: Project) -> None:
    project.use(Database("postgresql", "x", "127.0.0.1", 1, "x"))
    project.write(in_shop(_0002=BY_VENDOR))
    result = project.manage("rollback", "check", "--format", "json", check=False)
    assert found(document(result)) == ["RB011 shop.0002"]


def test_the_loader_tells_what_operations_do_or_the_note_stays(project: Project, tmp_path: Path) -> None:
    (tmp_path / "there.sqlite3").touch()
    project.use(Database.sqlite(tmp_path / "there.sqlite3"))
    operation = 'migrations.AddField("Item", "a", models.IntegerField(null=True))'
    project.write(in_shop(_0002=BY_VENDOR.replace('migrations.RunSQL("SELECT 1")', operation)))
    assert found(document(project.manage("rollback", "check", "--format", "json"))) != []


def test_both_doors_print_the_same(branches: Project) -> None:
    for command in ("check", "graph", "plan"):
        native, django = branches.native(command, "v1..v2"), branches.manage("rollback", command, "v1..v2")
        same((django.stdout, django.stderr), (native.stdout, native.stderr))
