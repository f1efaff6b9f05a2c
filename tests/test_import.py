"""Day one: releases that were deployed before django-rollback was there are rebuilt from git, and gone back to.

The project was deployed at v1, v2 and v3 without it, each on top of the one before; v4 has it installed. What is right
is what a database holds that was freshly built at a tag by Django alone.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import CopyDatabase
from harness import oracle
from harness.database import Database
from harness.project import Files, Project
from scenarios import NAMED, NUMBER, add, create, kinds, migration, recorded, same, steps_of
from test_refusals import obey_file_modes
from two_releases import HEADINGS, everything_in, name_of, run

TAGS = ("v1", "v2", "v3", "v4")
DOORS = pytest.mark.parametrize("door", ["manage", "native"])
# The secret of the projects here, for the binary.
KEY = {"DJANGO_ROLLBACK_KEY": Project.secret}
OWN = "django_rollback"
SHOP_3 = migration(add("Item", "price", NUMBER), after=["shop.0002"])
MIGRATIONS: dict[str, dict[str, str | None]] = {
    "v1": {
        "shop/migrations/0001.py": migration(create("Item", **NAMED)),
        "shop/migrations/0002.py": migration(add("Item", "words", "models.TextField(default='')"), after=["shop.0001"]),
    },
    "v2": {
        "shop/migrations/0003.py": SHOP_3,
        "crates/migrations/0001.py": migration(
            create("Crate", item='models.ForeignKey("shop.Item", models.CASCADE)'), after=["shop.0003"]
        ),
    },
    # A squash beside what it replaces.
    "v3": {
        "shop/migrations/0001_squashed_0003.py": migration(
            create("Item", **NAMED, words="models.TextField(default='')", price=NUMBER),
            replaces=["shop.0001", "shop.0002", "shop.0003"],
        ),
        "shop/migrations/0004.py": migration(add("Item", "size", NUMBER), after=["shop.0003"]),
    },
    # The squash alone, and code that runs both ways.
    "v4": {
        "shop/migrations/0001.py": None,
        "shop/migrations/0002.py": None,
        "shop/migrations/0003.py": None,
        "shop/migrations/0004.py": migration(add("Item", "size", NUMBER), after=["shop.0001_squashed_0003"]),
        "shop/migrations/0005.py": migration(
            "migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop)",
            add("Item", "colour", "models.TextField(default='')"),
            after=["shop.0004"],
        ),
        "crates/migrations/0001.py": migration(
            create("Crate", item='models.ForeignKey("shop.Item", models.CASCADE)'),
            after=["shop.0001_squashed_0003"],
        ),
        "crates/migrations/0002.py": migration(add("Crate", "weight", NUMBER), after=["crates.0001"]),
    },
}
# A package that is not in the repository, and has grown since v1.
PACKAGE = {
    "v1": {"labels/migrations/0001.py": migration(create("Label"))},
    "v3": {
        "labels/migrations/0002.py": migration(
            add("Label", "text", "models.TextField(default='')"), after=["labels.0001"]
        )
    },
}
INSTALLED = {
    "v1": ["django.contrib.contenttypes", "labels", "shop"],
    "v2": ["django.contrib.contenttypes", "labels", "shop", "crates"],
    "v3": ["django.contrib.contenttypes", "labels", "shop", "crates"],
    "v4": ["django.contrib.contenttypes", "labels", "shop", "crates", OWN],
}
SETTINGS = """
    import sys

    sys.path.append({packages!r})
"""
OUTSIDE = {
    *(("contenttypes", name) for name in ("0001_initial", "0002_remove_content_type_name")),
    *(("labels", name) for name in ("0001", "0002")),
}


class Site:
    """The repository, the database as v4 has left it with nothing saved, and one freshly built at each tag."""

    def __init__(self, folder: Path, copy_database: CopyDatabase) -> None:
        self.folder = folder
        self.copy = copy_database
        self.packages = folder / "packages"
        self.deployed = copy_database()
        self.project = Project(folder / "project", database=self.deployed, apps=[], ways=())
        self.commits: dict[str, str] = {}
        self.fresh: dict[str, Database] = {}
        package = Project(folder / "package", database=self.deployed, apps=[])
        for tag in TAGS:
            package.write(PACKAGE.get(tag, {}))
            shutil.copytree(package.root, self.packages, dirs_exist_ok=True)
            self.project.install_apps(INSTALLED[tag], extra=SETTINGS.format(packages=str(self.packages)))
            self.commits[tag] = self.project.commit(MIGRATIONS[tag], tag=tag)
            self.project.manage("migrate", "-v", "0")
            self.fresh[tag] = copy_database()
            self.project.use(self.fresh[tag])
            self.project.manage("migrate", "-v", "0")
            self.project.use(self.deployed)
            if tag == "v1":
                self.deployed.execute("INSERT INTO shop_item (name, words) VALUES ('tea', 'black')")
        self.saved = copy_database(self.deployed)
        self.project.use(self.saved)
        self.project.manage("save_migrations_state", "-v", "0")

    def at(self, database: Database) -> Project:
        """The work tree at v4, on a copy of a database."""
        self.project.git("checkout", "--quiet", "--force", "v4")
        self.project.git("clean", "--quiet", "-d", "--force")
        self.project.use(self.copy(database))
        return self.project

    def label(self, tag: str) -> str:
        return f"{self.commits[tag][:7]} ({tag})"

    def rows_at(self, tag: str) -> set[tuple[str, str]]:
        """The application's migrations that a database freshly built at the tag has, the package's as they are now."""
        built = {row for row in oracle.migrations(self.fresh[tag]) if row[0] != OWN}
        return built | OUTSIDE


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, copy_database: CopyDatabase) -> Site:
    return Site(tmp_path_factory.mktemp("day-one"), copy_database)


@pytest.fixture
def project(site: Site) -> Project:
    """v4 is saved, through Django's door."""
    return site.at(site.saved)


def imported(project: Project, door: str = "manage", *words: str, **options: Any) -> Any:
    """The document of an import that has to succeed."""
    options.setdefault("env", KEY)
    result = run(project, door, "import", "--format", "json", *words, **options)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def refused(project: Project, door: str, *words: str, **options: Any) -> tuple[int, str]:
    """Exit code and sentence of an import that changes nothing."""
    before = everything_in(project.database)
    result = run(project, door, "import", *words, **options)
    assert result.stdout == ""
    assert result.stderr.startswith(HEADINGS[door]), result.stderr
    same(everything_in(project.database), before)
    return result.returncode, result.stderr.removeprefix(HEADINGS[door]).removesuffix("\n")


def listed(project: Project) -> Any:
    return json.loads(project.native("list", "--format", "json").stdout)["releases"]


def tags_of(documents: list[dict[str, Any]]) -> list[str]:
    return [" ".join(each["tags"]) for each in documents]


def shown(project: Project, tag: str) -> set[tuple[str, str]]:
    """The application's migrations at a release."""
    document = json.loads(project.native("show", "-t", tag, "--format", "json").stdout)
    return {(app, name) for app, name in document["migrations"] if app != OWN}


def history(project: Project) -> Any:
    """The operations, oldest first."""
    return json.loads(project.native("history", "-n", "1000", "--format", "json").stdout)["operations"][::-1]


def plan(project: Project, *words: str, door: str = "manage", code: int = 0, **options: Any) -> Any:
    result = run(project, door, "plan", "--format", "json", *words, **options)
    assert result.returncode == code, result.stdout + result.stderr
    return json.loads(result.stdout)


def assert_at(site: Site, project: Project, tag: str) -> None:
    """Schema, records and rows are those of a database that was freshly built at the tag; only the package is newer."""
    found, built = (oracle.schema(database).splitlines() for database in (project.database, site.fresh[tag]))
    same(*([line for line in lines if " labels_label " not in line] for lines in (found, built)))
    rows = [(row["app"], row["name"]) for row in recorded(project.database)["django_migrations"] if row["app"] != OWN]
    same(sorted(rows), sorted(site.rows_at(tag)))
    [row] = oracle.rows(project.database, ["shop_item"])["shop_item"]
    same((row["name"], row["words"]), ("tea", "black"))


# There and back


@DOORS
def test_back_to_a_release_from_before_and_up_again(site: Site, door: str) -> None:
    """Save, import, back, compare, up again, save, and back once more."""
    project = site.at(site.deployed)
    project.manage("save_migrations_state", "-v", "0")
    same(tags_of(imported(project, door)["imported"]), ["v1", "v2", "v3"])
    for _ in range(2):
        planned = plan(project, "-t", "v2")
        same(steps_of(planned), ["shop.0005", "shop.0004", "crates.0002", "unrecord shop.0001_squashed_0003"])
        same((kinds(planned["blockers"]), kinds(planned["warnings"])), ([], ["not-verifiable"]))
        result = project.manage("rollback_migrations", "-t", "v2")
        assert f"The database is back at {site.label('v2')}.\n" in result.stdout
        assert_at(site, project, "v2")
        same([(each["tags"], each["imported"]) for each in listed(project)], [(["v2"], True), (["v1"], True)])
        last = history(project)[-1]
        same((last["kind"], last["outcome"], last["verified"]), ("rollback", "done", "no-schema"))
        project.manage("migrate", "-v", "0")
        same(oracle.schema(project.database), oracle.schema(site.saved))
        saved = json.loads(project.native("save", "--format", "json").stdout)
        same(saved["outcome"], "created")
        same(tags_of(listed(project)), ["v4", "v2", "v1"])


def test_all_the_way_back(site: Site) -> None:
    """To the first release, which had a part of the squash, from release to release or at once."""
    for tags in (["v3", "v2", "v1"], ["v1"]):
        project = site.at(site.saved)
        imported(project)
        for tag in tags:
            project.manage("rollback_migrations", "-t", tag)
            assert_at(site, project, tag)
        same(tags_of(listed(project)), ["v1"])


def test_the_previous_release_is_the_newest_tag(site: Site, project: Project) -> None:
    """`rollback` without a target goes to what was deployed before."""
    imported(project)
    same(plan(project)["to"]["tags"], ["v3"])
    result = project.manage("rollback_migrations")
    sentence = "was imported from git without a schema, so the result cannot be verified"
    assert f"Warning: {site.label('v3')} {sentence}.\n" in result.stderr
    assert_at(site, project, "v3")
    status = project.native("status", check=False)
    assert status.stdout == (
        f"Current release {site.label('v3')}, 14 migrations applied: those that it was imported with.\n"
        "The release was imported, and git does not know its schema: it cannot be compared.\n"
    )


def test_from_the_old_image(site: Site) -> None:
    """What v4 brought is undone with the code of v2: the sources were kept from the files or from git."""
    project = site.at(site.saved)
    imported(project)
    project.git("checkout", "--quiet", "--force", "v2")
    project.install_apps([*INSTALLED["v2"], OWN], extra=SETTINGS.format(packages=str(site.packages)))
    planned = plan(project, "-t", "v2")
    ways = {f"{step['app']}.{step['migration']}": step["way"] for step in planned["steps"]}
    undone = dict.fromkeys(["shop.0005", "shop.0004", "crates.0002"], "capsule")
    same(ways, {**undone, "shop.0001_squashed_0003": "unrecord"})
    project.manage("rollback_migrations", "-t", "v2")
    assert_at(site, project, "v2")


def test_a_save_of_an_imported_release_makes_it_a_saved_one(site: Site, project: Project) -> None:
    """The code of v3 is deployed again, and its schema is known from then on."""
    imported(project)
    project.manage("rollback_migrations", "-t", "v3")
    saved = project.native("save", "--commit", site.commits["v3"], "--format", "json")
    same(json.loads(saved.stdout)["outcome"], "unchanged")
    same((listed(project)[0]["tags"], listed(project)[0]["imported"]), (["v3"], False))
    status = json.loads(project.native("status", "--format", "json").stdout)
    same((status["same"], status["schema"]), (True, []))
    project.manage("migrate", "-v", "0")
    project.manage("save_migrations_state", "-v", "0")
    project.manage("rollback_migrations", "-t", "v3")
    same(history(project)[-1]["verified"], "same")


def test_a_save_of_older_code_does_not_become_the_newest(site: Site, project: Project) -> None:
    """An old pod that starts again saves what was imported: it is told that it is behind."""
    imported(project)
    saved = json.loads(project.native("save", "--commit", site.commits["v2"], "--format", "json").stdout)
    same((saved["outcome"], saved["newest"]["tags"]), ("not-newest", ["v4"]))


# What is imported


@DOORS
def test_every_release_has_what_its_tag_stands_for(site: Site, project: Project, door: str) -> None:
    """The squash and what it replaces are one state, and each release has the names of its own files."""
    imported(project, door)
    for tag in ("v1", "v2", "v3"):
        same(shown(project, tag), site.rows_at(tag))


def test_the_document(site: Site, project: Project) -> None:
    """Both doors say the same; what was applied is counted with our own rows, as everywhere."""
    documents = [imported(project, door, "--dry-run") for door in ("manage", "native")]
    same(documents[0], documents[1])
    documents.append(imported(project))
    same([each.pop("dry_run") for each in documents], [True, True, False])
    same(documents[2], documents[0])
    releases = [
        {
            "commit": site.commits[tag],
            "tags": [tag],
            "migrations": len(site.rows_at(tag)) + 4,
            "not_applied": [],
        }
        for tag in ("v1", "v2", "v3")
    ]
    skipped = {"commit": site.commits["v4"], "tags": ["v4"], "kind": "saved", "message": "saved already"}
    same(
        documents[0],
        {
            "format": 1,
            "imported": releases,
            "skipped": [skipped],
            "assumed": sorted(map(list, OUTSIDE)),
            "sources": [["shop", "0001"], ["shop", "0002"], ["shop", "0003"]],
        },
    )


@DOORS
def test_the_text(site: Site, project: Project, door: str) -> None:
    def lines(done: str) -> str:
        return (
            f"{done} {site.label('v1')}: 10 migrations.\n"
            f"{done} {site.label('v2')}: 12 migrations.\n"
            f"{done} {site.label('v3')}: 14 migrations.\n"
            f"Skipped {site.label('v4')}: saved already.\n"
            "Assumed to be applied at each of them, because git has no file for them: "
            "contenttypes (2), labels (2).\n"
            "Sources from git, kept with them: 3 migrations.\n"
        )

    dry = run(project, door, "import", "--dry-run", env=KEY)
    same((dry.returncode, dry.stdout, dry.stderr), (0, lines("Would import"), ""))
    result = run(project, door, "import", env=KEY)
    same((result.returncode, result.stdout, result.stderr), (0, lines("Imported"), ""))
    table = run(project, door, "list").stdout
    for tag, row in zip(reversed(TAGS), table.splitlines()[1:], strict=True):
        same((site.commits[tag] in row, row.startswith("curr >>>")), (True, tag == "v4"))
        same(row.endswith(f"  {tag}" if tag == "v4" else f"  {tag}    imported"), True)
    head, *rest = run(project, door, "show", "-t", "v1").stdout.splitlines()
    same(head, f"commit     {site.commits['v1']}")
    same(rest[2], "imported   from git, as far as its migrations were applied then")
    assert rest[1].startswith("committed  2023-11-14 22:1")
    quiet = run(project, door, "import", "--quiet", env=KEY)
    same((quiet.returncode, quiet.stdout, quiet.stderr), (0, "", ""))


def test_history_has_a_line_for_each_release(site: Site, project: Project) -> None:
    imported(project)
    save, *imports = history(project)
    same((save["kind"], save["to"]), ("save", site.commits["v4"]))
    same(
        [(each["kind"], each["outcome"], each["tags"]) for each in imports],
        [("import", "done", [tag]) for tag in TAGS[:3]],
    )
    same([each["to"] for each in imports], [site.commits[tag] for tag in TAGS[:3]])
    assert all(each["from"] is None and each["to_set"] and each["user"] and each["version"] for each in imports)


def test_the_order_is_that_of_history_by_number_and_by_time(site: Site, project: Project) -> None:
    """0.4.0 orders by time: there, too, an imported release is older than any that was saved."""
    project.database.execute("UPDATE django_rollback_appsstate SET \"timestamp\" = '2001-01-01 00:00:00+00:00'")
    imported(project)
    for column in ("id", '"timestamp"'):
        rows = project.database.execute(f'SELECT "commit" FROM django_rollback_appsstate ORDER BY {column}')
        same([commit for (commit,) in rows], [site.commits[tag] for tag in TAGS])
    same([each["saved_at"] for each in listed(project)][1:], [f"2000-12-31T23:59:{second}Z" for second in (59, 58, 57)])


@DOORS
def test_a_dry_run_writes_nothing(project: Project, door: str) -> None:
    before = everything_in(project.database)
    same(tags_of(imported(project, door, "--dry-run")["imported"]), ["v1", "v2", "v3"])
    same(everything_in(project.database), before)


@DOORS
def test_importing_again_imports_nothing(site: Site, project: Project, door: str) -> None:
    imported(project, door)
    before = everything_in(project.database)
    again = run(project, door, "import", env=KEY)
    labels = ", ".join(site.label(tag) for tag in TAGS)
    same(
        (again.returncode, again.stdout, again.stderr),
        (0, f"Skipped {labels}: saved already.\nNothing to import.\n", ""),
    )
    same(everything_in(project.database), before)


@DOORS
def test_since_a_tag_and_the_rest_later(project: Project, door: str) -> None:
    """What is older than all that is there can still be put in front of it."""
    same(tags_of(imported(project, door, "--since", "v3")["imported"]), ["v3"])
    later = imported(project, door, "--since", "v2")
    same((tags_of(later["imported"]), tags_of(later["skipped"])), (["v2"], ["v3", "v4"]))
    same(tags_of(imported(project, door)["imported"]), ["v1"])
    same(tags_of(listed(project)), ["v4", "v3", "v2", "v1"])


def test_the_parts_of_an_import_are_the_whole(site: Site) -> None:
    """The releases are the same, however many imports it takes."""
    sets = []
    for since in (["v3", "v2", "v1"], ["v1"]):
        project = site.at(site.saved)
        for tag in since:
            imported(project, "manage", "--since", tag)
        sets.append([shown(project, tag) for tag in TAGS])
    same(sets[0], sets[1])


# What is kept


def kept(database: Database) -> dict[str, dict[str, Any]]:
    """The newest capsule of each migration."""
    rows = database.execute("SELECT app, name, body FROM django_rollback_capsule WHERE format > 1 ORDER BY id")
    return {f"{app}.{name}": json.loads(body) for app, name, body in rows}


def test_sources_from_git_are_as_those_of_files(site: Site) -> None:
    """The binary has kept from the text what Django says of the files, but for what only files outside git tell."""
    project = site.at(site.deployed)
    project.native("save")
    same(kept(project.database), {})
    sources = imported(project, "native")["sources"]
    by_text = kept(project.database)
    same(sorted(by_text), sorted(f"{app}.{name}" for app, name in sources))
    by_django = kept(site.saved)
    assert sorted(by_text.keys() - by_django.keys()) == ["shop.0001", "shop.0002", "shop.0003"]
    for name in by_text.keys() & by_django.keys():
        same(by_text[name], by_django[name])
    assert {"shop.0005", "shop.0004", "crates.0002"} <= by_text.keys() & by_django.keys()


def test_what_is_kept_is_not_replaced(project: Project) -> None:
    """Django's door has kept the sources of its files, and lists them: only others are added."""
    before = kept(project.database)
    imported(project)
    after = kept(project.database)
    same({name: after[name] for name in before}, before)
    same(sorted(after.keys() - before.keys()), ["shop.0001", "shop.0002", "shop.0003"])
    rows = everything_in(project.database)
    project.manage("save_migrations_state", "-v", "0")
    same(everything_in(project.database), rows)


def test_the_binary_knows_the_order(site: Site) -> None:
    """No Python has ever seen this database: the text tells the order, and what Django has to do is named."""
    project = site.at(site.deployed)
    project.native("save")
    warned = kinds(plan(project, "-c", site.commits["v4"], door="native")["warnings"])
    same(warned, [])
    imported(project, "native")
    project.git("checkout", "--quiet", "--force", "v1")
    planned = plan(project, "-t", "v2", door="native", env=KEY)
    assert "order-unknown" not in kinds(planned["warnings"])
    same(
        [f"{step['app']}.{step['migration']}" for step in planned["steps"]][:3],
        ["shop.0005", "shop.0004", "crates.0002"],
    )


def test_without_a_key_no_source_is_kept(site: Site) -> None:
    """Whoever has the key would not trust it."""
    project = site.at(site.deployed)
    project.native("save")
    result = project.native("import")
    why = "no key available (set DJANGO_ROLLBACK_KEY, or use `--key-file`)"
    warning = f"Warning: {why}, so no source is kept from git.\n"
    same((result.stderr, kept(project.database)), (warning, {}))
    same(tags_of(listed(project)), ["v4", "v3", "v2", "v1"])
    project.manage("rollback_migrations", "-t", "v2")
    assert_at(site, project, "v2")


# Which tags


@pytest.fixture
def clone(site: Site, tmp_path: Path) -> Project:
    """A repository of its own, with v4 checked out and saved: tags and commits may come and go."""
    site.project.git("clone", "--quiet", str(site.project.root), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", database=site.copy(site.saved), ways=())
    clone.git("checkout", "--quiet", "-B", "main", "v4")
    return clone


def reasons(document: dict[str, Any]) -> dict[str, str]:
    return {" ".join(each["tags"]): each["kind"] for each in document["skipped"]}


@DOORS
def test_an_app_label_that_is_there_twice(clone: Project, door: str) -> None:
    """Two projects in one repository: of the other one nothing is said where it has an app that this one lacks."""
    clone.commit({f"other/{app}/migrations/0001.py": migration(create("Thing")) for app in ("shop", "elsewhere")})
    result = run(clone, door, "import", "--dry-run", env=KEY)
    assert result.returncode == 0
    warning = (
        "Warning: other/shop/migrations is not looked at, since shop/migrations has the same app label, shop. "
        "Exclude one of them, or give each project a pyproject.toml with [tool.django-rollback].\n"
    )
    same(result.stderr, warning)


def test_several_tags_on_one_commit_are_one_release(site: Site, clone: Project) -> None:
    clone.git("tag", "-a", "-m", "two", "annotated", "v2")
    clone.git("tag", "2.0", "v2")
    document = imported(clone)
    same(tags_of(document["imported"]), ["v1", "2.0 annotated v2", "v3"])
    same(tags_of(listed(clone)), ["v4", "v3", "2.0 annotated v2", "v1"])
    same(plan(clone, "-t", "annotated")["to"]["commit"], site.commits["v2"])


@DOORS
def test_tags_of_other_branches_and_of_what_came_later(site: Site, clone: Project, door: str) -> None:
    """What does not lead to HEAD is not looked at; what came after the oldest release has no place before it."""
    clone.git("checkout", "--quiet", "-b", "side", "v2")
    clone.commit({"readme.txt": "a hotfix"}, tag="v2.1")
    clone.git("checkout", "--quiet", "main")
    later = clone.commit({"readme.txt": "later"}, tag="v5")
    clone.git("tag", "v6", clone.git("commit-tree", "-m", "unrelated", "v1^{tree}"))
    document = imported(clone, door)
    same(tags_of(document["imported"]), ["v1", "v2", "v3"])
    elsewhere = dict.fromkeys(["v2.1", "v6"], "not-in-history")
    same(reasons(document), {"v4": "saved", "v5": "not-older", **elsewhere})
    [message] = [each["message"] for each in document["skipped"] if each["commit"] == later]
    same(message, f"not older than the oldest release in the list, {site.label('v4')}")


def test_a_branch_that_was_merged(site: Site, clone: Project) -> None:
    """A hotfix of an older release, released from its own branch: neither side has what the other one brought."""
    clone.git("checkout", "--quiet", "-b", "side", "v2")
    hotfix = migration(add("Item", "hot", NUMBER), after=["shop.0003"])
    clone.commit({"shop/migrations/0004_hotfix.py": hotfix}, tag="v2.1")
    clone.git("checkout", "--quiet", "main")
    clone.git("merge", "--quiet", "--strategy=ours", "--no-commit", "side")
    files = {
        "shop/migrations/0004_hotfix.py": migration(add("Item", "hot", NUMBER), after=["shop.0001_squashed_0003"]),
        "shop/migrations/0006_merge.py": migration(after=["shop.0004_hotfix", "shop.0005"]),
    }
    clone.commit(files, tag="v4.1")
    clone.database.execute("DELETE FROM django_rollback_appsstate")
    clone.manage("migrate", "-v", "0")
    clone.manage("save_migrations_state", "-v", "0")
    same(tags_of(imported(clone)["imported"]), ["v1", "v2", "v3", "v4", "v2.1"])
    brought = {
        tag: shown(clone, tag) & {("shop", "0004"), ("shop", "0004_hotfix")} for tag in ("v2", "v2.1", "v3", "v4")
    }
    hot, cold = {("shop", "0004_hotfix")}, {("shop", "0004")}
    same(brought, {"v2": set(), "v2.1": hot, "v3": cold, "v4": cold})
    planned = plan(clone, "-t", "v4")
    same((steps_of(planned), planned["blockers"]), (["shop.0006_merge", "shop.0004_hotfix"], []))


def test_code_that_is_older_than_the_database(site: Site, clone: Project) -> None:
    """v2 is checked out, and v4 is what is saved: the releases up to v2 are imported, as they were."""
    clone.git("checkout", "--quiet", "--force", "v2")
    same(tags_of(imported(clone, "native")["imported"]), ["v1", "v2"])
    for tag in ("v1", "v2"):
        same(shown(clone, tag), site.rows_at(tag))


def test_a_database_that_is_ahead_of_what_was_saved(site: Site, clone: Project) -> None:
    """What came after the oldest release was not there before it, of a package neither."""
    clone.database.execute(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('labels', '0003', '2026-01-01 00:00:00+00:00')"
    )
    imported(clone)
    for tag in ("v1", "v2", "v3"):
        same(shown(clone, tag), site.rows_at(tag))


def test_what_was_undone_is_not_in_the_set(clone: Project) -> None:
    """It is said how much of a tag is not applied any more."""
    clone.manage("migrate", "crates", "zero", "-v", "0")
    clone.manage("save_migrations_state", "-v", "0")
    document = imported(clone, "manage", "--dry-run")
    gone = [["crates", "0001"]]
    same([each["not_applied"] for each in document["imported"]], [[], gone, gone])
    text = run(clone, "manage", "import").stdout
    same(text.count(" migrations; 1 more is not applied.\n"), 2)
    assert ("crates", "0001") not in shown(clone, "v2")


def test_a_row_that_no_commit_has(clone: Project) -> None:
    """Of a branch that was never merged: nobody could undo it, and it is left alone."""
    clone.database.execute(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', '0003_gone', '2026-01-01 00:00:00+00:00')"
    )
    clone.native("save")
    document = imported(clone)
    assert ["shop", "0003_gone"] in document["assumed"]
    clone.manage("rollback_migrations", "-t", "v2")
    assert ("shop", "0003_gone") in oracle.migrations(clone.database)


def test_tags_without_migrations_and_those_that_nobody_understands(site: Site, clone: Project) -> None:
    """The first commit had none yet; then a squash that a function makes; then all were made anew."""
    files: list[tuple[str, Files]] = [
        ("empty", {"shop/migrations": None, "crates/migrations": None, "shop/models.py": ""}),
        ("before", {"shop/migrations/0001_old.py": migration(create("Item"))}),
        ("riddle", {"shop/migrations/0001_old.py": None, "shop/migrations/0001.py": RIDDLE}),
        ("after", {"shop/migrations/0001.py": migration(create("Item"))}),
    ]
    for tag, written in files:
        clone.commit(written, tag=tag)
    clone.database.execute("DELETE FROM django_rollback_appsstate")
    clone.database.execute("DELETE FROM django_rollback_capsule")
    clone.commit(tag="now")
    clone.native("save")
    document = imported(clone, "native", "--since", "empty")
    kinds_of = {"empty": "no-migrations", "before": "doubtful", "riddle": "doubtful", "now": "saved"}
    same((tags_of(document["imported"]), reasons(document)), (["after"], kinds_of))
    messages = {" ".join(each["tags"]): each["message"] for each in document["skipped"]}
    same(messages["riddle"], "the file of shop.0001 does not say what it replaces")

    clone.git("tag", "--delete", "riddle")
    clone.database.execute("DELETE FROM django_rollback_appsstate")
    clone.native("save")
    document = imported(clone, "native", "--since", "empty")
    same(reasons(document), {"empty": "no-migrations", "before": "made-anew", "now": "saved"})
    messages = {" ".join(each["tags"]): each["message"] for each in document["skipped"]}
    same(messages["before"], "none of its migrations of shop is applied, but others of shop are")


RIDDLE = """
    from django.db import migrations

    def earlier():
        return [("shop", name) for name in open("names.txt")]

    class Migration(migrations.Migration):
        replaces = earlier()
"""


def test_a_squash_that_only_django_understands(clone: Project) -> None:
    """A save through its door remembers what the squash replaces."""
    riddle = MIGRATIONS["v3"]["shop/migrations/0001_squashed_0003.py"]
    assert riddle is not None
    names = '[["shop", "0001"], ["shop", "0002"], ["shop", "0003"]]'
    replaces = f"replaces = [tuple(each) for each in __import__('json').loads('{names}')]"
    riddle = "\n".join(f"    {replaces}" if "replaces = " in line else line for line in riddle.splitlines())
    clone.commit({"shop/migrations/0001_squashed_0003.py": riddle}, tag="v5")
    for table in ("appsstate", "capsule"):
        clone.database.execute(f"DELETE FROM django_rollback_{table}")
    clone.native("save")
    same(reasons(imported(clone, "native")), {**dict.fromkeys(TAGS, "doubtful"), "v5": "saved"})
    clone.manage("save_migrations_state", "-v", "0")
    same(tags_of(imported(clone, "native")["imported"]), list(TAGS))


# Refusals


@DOORS
def test_nothing_was_saved(site: Site, door: str) -> None:
    """An imported release would be the current one, and nobody knows whether it is."""
    project = site.at(site.deployed)
    message = "no release is saved yet, and an imported one is never the current one"
    hint = "run `save` in the deploy that is running now, then `import`"
    same(refused(project, door), (1, f"{message}\n  hint: {hint}"))


@DOORS
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["import", "dry-run"])
def test_wrong_tags_to_begin_with(clone: Project, door: str, dry: list[str]) -> None:
    clone.git("checkout", "--quiet", "-b", "side", "v2")
    clone.commit({"readme.txt": "a hotfix"}, tag="v2.1")
    clone.git("checkout", "--quiet", "main")
    hints = {
        "v9": (
            f"there is no tag v9 in {clone.root}",
            "`git tag` lists them; `git fetch --tags` fetches those of the origin",
        ),
        "main": (
            f"there is no tag main in {clone.root}",
            "`git tag` lists them; `git fetch --tags` fetches those of the origin",
        ),
        "v2.1": (
            "tag v2.1 is not in the history of HEAD",
            "check out the branch that it is on, or begin with another tag",
        ),
        "": ("the tag is empty", "is the shell variable unset? Leave `--since` out to import all tags"),
    }
    for tag, (message, hint) in hints.items():
        same(refused(clone, door, "--since", tag, *dry), (2, f"{message}\n  hint: {hint}"))


@DOORS
def test_no_repository(site: Site, project: Project, tmp_path: Path, door: str) -> None:
    code, message = refused(project, door, "-p", str(tmp_path))
    same((code, message), (2, f"there is no git repository at {tmp_path} or above it\n  hint: name one with `--path`"))


@DOORS
def test_a_repository_with_nothing_in_it(project: Project, tmp_path: Path, door: str) -> None:
    project.git("init", "--quiet", str(tmp_path / "new"))
    same(
        refused(project, door, "-p", str(tmp_path / "new")),
        (
            1,
            f"the git repository at {tmp_path / 'new'} has no commit yet\n"
            "  hint: point `-p` at the repository of the project",
        ),
    )


@DOORS
def test_no_tags(clone: Project, door: str) -> None:
    """A pipeline may have fetched none."""
    clone.git("tag", "--delete", *TAGS)
    hint = "fetch them: `git fetch --tags`; a release without a tag cannot be imported"
    same(refused(clone, door), (1, f"the git repository at {clone.root} has no tags\n  hint: {hint}"))


@DOORS
def test_a_shallow_clone(site: Site, project: Project, tmp_path: Path, door: str) -> None:
    """Tags may be missing in it, and their order; with the whole history it works."""
    folder = tmp_path / "shallow"
    project.git("clone", "--quiet", "--depth=2", f"file://{project.root}", str(folder))
    message = f"the clone at {folder} is shallow: the order of its tags is unknown"
    said = f"{message}\n  hint: fetch the rest: `git fetch --unshallow --tags`"
    same(refused(project, door, "-p", str(folder)), (1, said))
    project.git("-C", str(folder), "fetch", "--quiet", "--unshallow", "--tags")
    same(tags_of(imported(project, door, "-p", str(folder))["imported"]), ["v1", "v2", "v3"])


@DOORS
def test_the_repository_of_another_project(site: Site, project: Project, tmp_path: Path, door: str) -> None:
    project.git("init", "--quiet", str(tmp_path / "other"))
    project.git("-C", str(tmp_path / "other"), "commit", "--quiet", "--allow-empty", "-m", "one")
    project.git("-C", str(tmp_path / "other"), "tag", "v1")
    message = (
        f"the oldest release in the list, {site.label('v4')}, is not in the git repository at {tmp_path / 'other'}"
    )
    hint = "point `-p` at the repository of the project, or fetch: `git fetch --all --tags`"
    same(refused(project, door, "-p", str(tmp_path / "other")), (1, f"{message}\n  hint: {hint}"))


@DOORS
def test_a_database_without_our_tables(site: Site, door: str) -> None:
    project = site.at(site.fresh["v3"])
    code, message = refused(project, door)
    assert code == 1
    assert f"the tables of django-rollback are missing in {name_of(project.database)}" in message


def test_a_database_that_takes_no_writes(project: Project) -> None:
    """What would be imported can be seen all the same."""
    database = project.database

    def start(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(project.binary()), "import", *words, "--database", database.url]
        options: dict[str, Any] = {"capture_output": True, "text": True, "preexec_fn": obey_file_modes}
        return subprocess.run(command, cwd=project.root, env=KEY, **options)

    before = everything_in(database)
    if database.vendor == "postgresql":
        database.execute(f'ALTER DATABASE "{database.name}" SET default_transaction_read_only = on')
    else:
        Path(database.name).chmod(0o444)
    dry, real = start("--dry-run"), start()
    same((dry.returncode, dry.stdout.count("Would import"), dry.stderr), (0, 3, ""))
    reason = "read-only transaction" if database.vendor == "postgresql" else "attempt to write a readonly database"
    same((real.returncode, real.stdout, reason in real.stderr), (1, "", True))
    assert real.stderr.endswith("  hint: connect to the primary: a replica or a read-only file takes no writes\n")
    same(everything_in(database), before)


@DOORS
def test_a_rollback_that_stopped_part_way(project: Project, door: str) -> None:
    """First it is finished, or left where it is."""
    body = json.dumps(
        history(project)[-1] | {"kind": "rollback", "outcome": "stopped", "steps": ["a.1", "a.2"], "steps_done": 1}
    )
    project.database.execute(
        "INSERT INTO django_rollback_operation (kind, outcome, body, at) "
        f"VALUES ('rollback', 'stopped', '{body}', '2026-01-01 00:00:00+00:00')"
    )
    code, message = refused(project, door)
    same((code, "stopped after 1 of 2 steps" in message), (3, True))


def test_0_4_0_and_its_releases(site: Site, project: Project) -> None:
    """Its oldest release has no set, but one that can be rebuilt; where that is not certain, nothing older can."""
    project.database.execute("UPDATE django_rollback_appsstate SET applied_set = NULL, tags = NULL")
    same(tags_of(imported(project, "native", "--dry-run")["imported"]), ["v1", "v2", "v3"])
    project.database.execute("UPDATE django_rollback_appsstate SET migrations = '[]'")
    code, message = refused(project, "native")
    oldest = site.commits["v4"][:7]
    assert message.startswith(f"what was applied at the oldest release, {oldest}, is not certain: "), message
    same(code, 1)


# Many at once


@contextmanager
def holding_the_lock(database: Database) -> Iterator[None]:
    """Another session that saves, and does not come to its end."""
    with database.connect() as connection:
        connection.execute("BEGIN IMMEDIATE" if database.vendor == "sqlite" else "BEGIN")
        lock = " FOR UPDATE" if database.vendor == "postgresql" else ""
        connection.execute(f"SELECT id FROM django_rollback_lock{lock}").fetchall()
        yield
        connection.execute("COMMIT")


def test_imports_and_saves_at_once(project: Project) -> None:
    """Each release is there once, in its order, and the save is the newest."""
    commit = project.git("rev-parse", "HEAD")
    commands = [["import"], ["save", "--commit", "ab" * 20], ["import"], ["save", "--commit", commit], ["import"]]
    with ThreadPoolExecutor(len(commands)) as pool:
        results = list(pool.map(lambda words: project.native(*words, check=False), commands))
    same([(result.returncode, "panicked" in result.stderr) for result in results], [(0, False)] * len(commands))
    same(tags_of(listed(project)), ["", "v4", "v3", "v2", "v1"])
    same(sorted(each["kind"] for each in history(project)), ["import"] * 3 + ["save"] * 2)
    same(sum("Imported" in result.stdout for result in results), 1)


def test_an_import_waits_for_a_save(project: Project) -> None:
    """Whoever holds the lock is waited for."""
    environment = {"PATH": "/nonexistent", "DATABASE_URL": project.database.url}
    command = [str(project.binary()), "import"]
    with holding_the_lock(project.database):
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started = subprocess.Popen(command, cwd=project.root, env=environment, **options)
        with pytest.raises(subprocess.TimeoutExpired):
            started.communicate(timeout=2)
    out, _ = started.communicate(timeout=25)
    same((started.returncode, out.count("Imported")), (0, 3))
