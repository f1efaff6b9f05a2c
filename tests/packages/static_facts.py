"""What the binary reads in a site's migrations, held against what Django's own loader makes of them.

Both are documents of one shape. What the binary calls unknown is not held against it; whatever else it says has to be
true.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.database import Database
from harness.project import Project
from packages.sites import Site

HERE = Path(__file__).resolve().parent
INSTALLED = "site-packages"
REFERENCES = ("dependencies", "run_before", "replaces")
FLAGS = ("atomic", "initial")
NESTED = ("database_operations", "state_operations")
Facts = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """A site's migrations by the path of their file: as they are read, and as Django has loaded them."""

    read: dict[str, Facts]
    loaded: dict[str, Facts]
    settings: dict[str, str]
    """The settings that name a model."""

    @classmethod
    def of(cls, site: Site, folder: Path) -> Reading:
        """Read and load a site; a repository with its source is made in `folder`."""
        project, installed = repository(site, folder)
        command = ("graph", "--format", "json", "-p", str(project.root), "HEAD")
        read = json.loads(project.native(*command).stdout)
        folders = {str(installed): INSTALLED, str(project.root): ""}
        code = f"import djangos_facts, json; print(json.dumps(djangos_facts.document({folders!r})))"
        loaded = json.loads(project.run_python(code).splitlines()[-1])
        return cls(_by_path(read), _by_path(loaded), loaded["settings"])

    def differences(self) -> list[str]:
        """Where the two contradict each other, a line for each fact."""
        return [line for path in sorted(self.read | self.loaded) for line in self._differences_in(path)]

    def unknown(self) -> list[str]:
        """The loaded migrations of which something is not known that the loader sees, each with the reasons."""
        return [
            f"{path}: {json.dumps(read['unknown'])}"
            for path, read in self.read.items()
            if path in self.loaded and read["is_unknown"]
        ]

    def _differences_in(self, path: str) -> Iterator[str]:
        read, loaded = self.read.get(path), self.loaded.get(path)
        if loaded is None:
            # Of an app that is not installed Django says nothing.
            if str(Path(path).parent) in {str(Path(each).parent) for each in self.loaded}:
                yield f"{path}: Django does not load it"
            return
        if read is None:
            yield f"{path}: not found"
            return
        for fact, told, true in self._contradictions(read, loaded):
            yield f"{path}: {fact}: read {json.dumps(told)}, loaded {json.dumps(true)}"

    def _contradictions(self, read: Facts, loaded: Facts) -> Iterator[tuple[str, Any, Any]]:
        unknown = {each["what"] for each in read["unknown"]}
        for fact in ("app", "name"):
            if read[fact] != loaded[fact]:
                yield fact, read[fact], loaded[fact]
        if "migration" in unknown:
            return
        for fact in REFERENCES:
            told, true = [self._resolved(each) for each in read[fact]], loaded[fact]
            if told != true and not (fact in unknown and all(each in true for each in told)):
                yield fact, read[fact], true
        for fact in FLAGS:
            if fact not in unknown and read[fact] != loaded[fact]:
                yield fact, read[fact], loaded[fact]
        told, true = read["operations"], loaded["operations"]
        if not _agree(told, true, is_all="operations" not in unknown):
            yield "operations", told, true

    def _resolved(self, reference: Facts) -> Facts:
        """A dependency on the model that a setting names is one on the first migration of the model's app."""
        if "setting" not in reference:
            return reference
        model = self.settings.get(reference["setting"]) or reference["default"]
        return {"app": model.partition(".")[0], "name": "__first__"}


def repository(site: Site, folder: Path) -> tuple[Project, Path]:
    """The site as one commit, with the source of all packages of its environment; and where those are installed."""
    project = site.create(folder / "project", Database.sqlite(folder / "never-opened.sqlite3"), ways=())
    installed = Path(project.run_python("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    files = {f"{INSTALLED}/{path.relative_to(installed)}": path for path in installed.rglob("*.py")}
    for name, path in files.items():
        copy = project.root / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    project.git("add", "--force", INSTALLED)
    project.commit({"djangos_facts.py": (HERE / "djangos_facts.py").read_text()})
    return project, installed


def _by_path(document: Facts) -> dict[str, Facts]:
    return {migration["path"]: migration for migration in document["migrations"]}


def _agree(read: list[Facts], loaded: list[Facts], *, is_all: bool) -> bool:
    """Whether what is read is there, in this order; if that is not all that there is, whatever is between."""
    rest = iter(loaded)
    found = all(any(_is_same(one, other, is_all=is_all) for other in rest) for one in read)
    return found and not (is_all and len(read) != len(loaded))


def _is_same(read: Facts, loaded: Facts, *, is_all: bool) -> bool:
    if read["class"] != loaded["class"]:
        return False
    if read["reversible"] is None:
        return True
    flags = all(read[flag] in (None, loaded[flag]) for flag in ("reversible", "elidable"))
    return flags and all(_agree(read.get(name, []), loaded.get(name, []), is_all=is_all) for name in NESTED)
