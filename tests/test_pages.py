"""What these pages of the docs show is what the commands print: each `console` block is run and compared.

Database (SQLite) and work tree are those of the demo's shop at v3; each page gets a copy of the database. What differs
from run to run is replaced by what the pages show. `UPDATE=1` writes what is printed into the pages.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.database import Database
from harness.project import PATIENCE, Project

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*(DOCS / name for name in ("import.md", "incident.md", "old-image.md")), *sorted((DOCS / "json").glob("*.md"))]
SHOP = ROOT / "demo" / "shop"
APPS = ["django.contrib.contenttypes", "django_rollback", "catalog", "customers"]
RELEASES = {"v1": APPS, "v2": [*APPS, "orders"], "v3": [*APPS, "orders"]}
ROWS = {"v1": "opening_day", "v2": "first_orders"}
SAVED_AT = {"v1": "2026-11-21 09:12:30", "v2": "2026-11-22 13:40:51", "v3": "2026-11-22 13:47:07"}
NOW = "2026-11-22 14:02:10"
# Those of releases, and of the commits that the harness makes.
KNOWN_TIMES = "|".join([*SAVED_AT.values(), "2023"]).replace(" ", "[ T]")
BLOCK = re.compile(r"^(?:<!-- before: (?P<before>.*) -->\n\n)?```console\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
FIRST_CELL = re.compile(r"^\| (.*?) \|", re.MULTILINE)
QUOTED = re.compile(r"`([^`]+)`")
WIDTH = 100
LONGEST_LIST = 3
LONGEST_TEXT = 200


@dataclass
class Shop:
    """The shop as whoever reads a page has it: a work tree, a database, and variables for the binary."""

    project: Project
    nowhere: Path
    key: str = ""
    cwd: Path = field(init=False)
    code: int = 0

    def __post_init__(self) -> None:
        self.cwd = self.project.root

    def enter(self, line: str) -> str:
        """What a terminal would show after this line."""
        words = shlex.split(line, comments=True)
        if words[0] == "cd":
            self.cwd = self.project.root if words[1] == "/src" else self.nowhere
            return ""
        if words == ["echo", "$?"]:
            return f"{self.code}\n"
        is_document = "json" in words
        programs = {
            "./manage.py": [self.project.python, str(self.project.root / "manage.py")],
            "django-rollback": [str(self.project.binary())],
        }
        words = [str(self.project.root) if word == "/src" else word for word in words]
        text = self.steady(self.run([*programs.get(words[0], [words[0]]), *words[1:]], with_talk=not is_document))
        return documents(text) if is_document else text

    def run(self, command: list[str], *, with_talk: bool) -> str:
        """Run a command, and return what it wrote, with stderr or without."""
        environment, warm = self.environment(), self.project.warm()
        with tempfile.TemporaryFile() as shown, open(os.devnull, "r+") as nothing:
            streams = {"stdin": nothing, "stdout": shown, "stderr": shown if with_talk else nothing}
            if warm.can_run(command, environment):
                numbers = {name: stream.fileno() for name, stream in streams.items()}
                process = warm.start(command, env=environment, cwd=self.cwd, **numbers)
            else:
                process = subprocess.Popen(command, env=environment, cwd=self.cwd, **streams)
            self.code = process.wait(PATIENCE)
            shown.seek(0)
            return shown.read().decode()

    def environment(self) -> dict[str, str]:
        """As `docs/incident.md` says that it has to be."""
        path = f"{Path(self.project.python).parent}:{os.environ['PATH']}"
        ours = {"DATABASE_URL": self.project.database.url, "DJANGO_ROLLBACK_KEY": self.key}
        return self.project.environment() | ours | {"PATH": path, "DJANGO_ROLLBACK_PYTHON": self.project.front}

    def steady(self, text: str) -> str:
        """The text as it is in each run: paths, times, the user and the version."""
        text = text.replace(str(self.project.root), "/src").replace(self.project.database.name, "/srv/shop.sqlite3")
        text = re.sub(
            rf"(?!{KNOWN_TIMES})20\d\d-\d\d-\d\d([ T])\d\d:\d\d:\d\dZ", NOW.replace(" ", r"\g<1>") + "Z", text
        )
        text = re.sub(r"\d+\.\d{3}s\b", "0.001s", text)
        text = re.sub(r'("\w*seconds"):[\d.e-]+', r"\1:0.001", text)
        text = re.sub(r'"token":"\w+"', '"token":"0f2c…"', text)
        text = re.sub(
            r'"user":"[^"]*","host":"[^"]*","version":"[^"]*"', '"user":"ann","host":"web-1","version":"0.5.0"', text
        )
        text = re.sub(r"WHO +VERSION", "WHO        VERSION", text)
        return re.sub(r"\S+@\S+ +\d+\.\d+\.\d+\S*", "ann@web-1  0.5.0", text)


def documents(text: str) -> str:
    """One document a line, set for the eye."""
    return "".join(
        f"{event(each) if 'event' in each else rendered(each)}\n" for each in map(json.loads, text.splitlines())
    )


def event(document: dict[str, Any]) -> str:
    """One line: of what is inside, only that it is there."""
    short = {key: "<{…}>" if isinstance(each, dict) else "<[…]>" if each and isinstance(each, list) else each
             for key, each in document.items()}  # fmt: skip
    return re.sub(r'"<(.*?)>"', r"\1", json.dumps(short, ensure_ascii=False))


def rendered(value: Any, indent: int = 0, key: str = "") -> str:
    """In one line if it fits; of long lists and texts the beginning."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        value = value[: value.index("\n")] + "…"
    compact = json.dumps(value, ensure_ascii=False)
    is_long = isinstance(value, list) and len(value) > LONGEST_LIST
    if not is_long and indent and (indent + len(key) + len(compact) <= WIDTH or not isinstance(value, (dict, list))):
        return compact
    inner = " " * (indent + 2)
    if isinstance(value, dict):
        lines = [f'"{name}": {rendered(each, indent + 2, name)}' for name, each in value.items()]
    else:
        lines = [rendered(each, indent + 2) for each in value[:LONGEST_LIST]] + ["…"] * is_long
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(lines) + f"\n{' ' * indent}{closing}"


def replayed(shop: Shop, page: str) -> str:
    """The page with what the commands of its blocks have printed now."""

    def run(block: re.Match[str]) -> str:
        if block["before"]:
            shop.enter(block["before"])
        lines = [line for line in block["text"].splitlines() if line.startswith("$ ")]
        printed = "".join(f"{line}\n{shop.enter(line.removeprefix('$ '))}" for line in lines)
        return block[0].replace(f"```console\n{block['text']}", f"```console\n{printed}")

    return BLOCK.sub(run, page)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The shop after the deploy of v3."""
    root = tmp_path_factory.mktemp("pages")
    (root / "shop.sqlite3").touch()
    project = Project(root / "src", database=Database.sqlite(root / "shop.sqlite3"), apps=APPS, ways=())
    for tag, apps in RELEASES.items():
        folder = SHOP / tag
        project.install_apps(apps)
        project.commit({str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.*")}, tag=tag)
    for tag in RELEASES:
        project.checkout(tag)
        project.manage("migrate", "-v", "0")
        project.manage("save_migrations_state")
        if tag in ROWS:
            project.manage("loaddata", ROWS[tag])
    for table, column in (("appsstate", "timestamp"), ("operation", "at")):
        for number, time in enumerate(SAVED_AT.values(), 1):
            project.database.execute(f"UPDATE django_rollback_{table} SET {column} = '{time}' WHERE id = {number}")
    return project


@pytest.fixture
def shop(deployed: Project, tmp_path: Path) -> Iterator[Shop]:
    """A copy of the database, and the work tree given back afterwards."""
    before = deployed.database
    copy = tmp_path / "shop.sqlite3"
    shutil.copyfile(before.name, copy)
    deployed.use(Database.sqlite(copy))
    (nowhere := tmp_path / "nowhere").mkdir()
    yield Shop(deployed, nowhere, key=deployed.manage("rollback", "key").stdout.strip())
    deployed.git("clean", "--quiet", "--force")
    deployed.checkout("v3")
    deployed.use(before)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_a_page_shows_what_is_printed(page: Path, shop: Shop) -> None:
    text = page.read_text()
    now = replayed(shop, text)
    if os.environ.get("UPDATE"):
        page.write_text(now)
    else:
        assert text.splitlines() == now.splitlines(), "UPDATE=1 writes what was printed into the page"


def test_the_messages_to_look_up_exist() -> None:
    """The messages in the tables of `docs/incident.md` are in the sources, and every kind of blocker is there."""
    files = [*ROOT.glob("crates/*/src/**/*.rs"), *ROOT.glob("python/django_rollback/**/*.py")]
    sources = re.sub(r"\\\n\s*", "", "".join(path.read_text() for path in files))
    page = (DOCS / "incident.md").read_text().partition("## If it refuses")[2]
    messages, _, kinds = page.partition("### If it is blocked")
    named = [name for row in FIRST_CELL.findall(messages) for name in QUOTED.findall(row) if " " in name]
    assert len(named) > 15 and [name for name in named if name not in sources] == []
    listed = {name for row in FIRST_CELL.findall(kinds) for name in QUOTED.findall(row)}
    known = re.search(r"impl Blocker \{.*?match self \{(.*?)\n        \}", sources, re.DOTALL)
    assert known and listed == set(re.findall(r'=> "([a-z-]+)"', known[1]))


def test_documents_are_set_for_the_eye() -> None:
    """Long lists are cut; of an event only the outline is shown."""
    assert documents('{"format":1,"a":[1,2,3,4],"b":{"c":null}}') == (
        '{\n  "format": 1,\n  "a": [\n    1,\n    2,\n    3,\n    …\n  ],\n  "b": {"c": null}\n}\n'
    )
    assert documents('{"event":"end","from":{"x":1},"steps":[2],"notes":[]}') == (
        '{"event": "end", "from": {…}, "steps": […], "notes": []}\n'
    )
