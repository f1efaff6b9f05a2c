"""What pipelines run: the GitHub action, the hook for pre-commit, and the examples of docs/check.md.

No runner and no pre-commit is asked. The scripts of the action are run as a runner does it, with a stand-in for Python
that installs the program under test.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.database import Database
from harness.project import Project
from scenarios import NAMED, create, migration

yaml = pytest.importorskip("yaml", reason="tools/requirements.txt has kubernetes-validate, which brings it")

ROOT = Path(__file__).resolve().parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs" / "check.md").read_text(), re.DOTALL | re.MULTILINE)
(VERSION,) = re.findall(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
OURS = "django-rollback/django-rollback"

# `python3 -m venv FOLDER` makes a folder with this again, and with our program; as the folder's Python it takes notes.
PYTHON = """\
#!/bin/sh
if [ "$2" = venv ]; then
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    ln -s {binary} "$3/bin/django-rollback"
else
    echo "$@" > {notes}
fi
"""


@dataclass(frozen=True)
class Ended:
    """A run of the action."""

    code: int
    printed: str
    report: str
    installed: str


class Runner:
    """Runs the steps of the action in a repository."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.folder = folder
        self.notes = folder / "notes"
        (folder / "bin").mkdir()
        python = folder / "bin" / "python3"
        python.write_text(PYTHON.format(binary=shlex.quote(str(project.binary())), notes=shlex.quote(str(self.notes))))
        python.chmod(0o755)

    def run(self, **inputs: str) -> Ended:
        """Run the action; an input's name has underscores here."""
        given = {name: value.get("default", "") for name, value in ACTION["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        output = self.folder / "output"
        output.touch()
        environment = self.project.environment()
        environment |= {"RUNNER_TEMP": str(self.folder), "GITHUB_OUTPUT": str(output)}
        environment["PATH"] = f"{self.folder / 'bin'}:{environment['PATH']}"
        printed, code = "", 0
        for step in ACTION["runs"]["steps"]:
            assert step["shell"] == "bash" and "${{" not in step["run"], step
            values = {name: filled(value, given) for name, value in step["env"].items()}
            ended = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self.project.root,
                env=environment | values,
                capture_output=True,
                text=True,
            )
            printed, code = printed + ended.stdout, ended.returncode
            if code:
                break
        report = Path(output.read_text().strip().removeprefix("report="))
        return Ended(code, printed, report.read_text(), self.notes.read_text())


def filled(value: str, given: dict[str, str]) -> str:
    """A value of the action with its inputs put in."""
    return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], value)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """v1 has an item; then comes a function that cannot be undone."""
    project = Project(tmp_path / "project", database=Database.sqlite(tmp_path / "none.sqlite3"), apps=("shop",))
    project.commit({"shop/migrations/0001_item.py": migration(create("Item", **NAMED))}, tag="v1")
    irreversible = migration("migrations.RunSQL('SELECT 1')", after=["shop.0001_item"])
    project.commit({"shop/migrations/0002_data.py": irreversible})
    (tmp_path / "runner").mkdir()
    return Runner(project, tmp_path / "runner")


def test_the_action_annotates_and_fails(runner: Runner) -> None:
    ended = runner.run()
    assert ended.code == 1
    assert ended.printed.startswith("::error file=shop/migrations/0002_data.py,line=")
    assert ended.report == ended.printed
    assert ended.installed.split()[-2:] == ["--no-deps", "django-rollback"]


def test_the_action_takes_its_inputs(runner: Runner) -> None:
    ended = runner.run(range="v1..HEAD", version=VERSION, fail_on="never", format="markdown")
    assert ended.code == 0
    assert "Cannot be rolled back: 1 error" in ended.printed
    assert ended.report == ended.printed
    assert ended.installed.split()[-1] == f"django-rollback=={VERSION}"


@pytest.mark.parametrize("text", ["$(touch harm)", "; touch harm", "--help"])
def test_an_input_is_never_run(text: str, runner: Runner) -> None:
    assert runner.run(range=text).code == 2
    assert not (runner.project.root / "harm").exists()


def test_the_hook_runs_for_migrations(runner: Runner) -> None:
    program, *words = shlex.split(HOOK["entry"])
    assert program == "django-rollback"
    assert runner.project.native(*words, check=False).returncode == 1
    runner.project.git("tag", "v2")
    runner.project.native(*words, "v2")
    assert re.search(HOOK["files"], "shop/migrations/0001_item.py")
    assert re.search(HOOK["files"], "migrations/0001_item.py")
    assert not re.search(HOOK["files"], "shop/models.py")


def steps_of_ours(value: Any) -> Iterator[dict[str, Any]]:
    """Every step of an example that uses our action."""
    if isinstance(value, dict):
        if str(value.get("uses", "")).startswith(f"{OURS}@"):
            yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else []:
        yield from steps_of_ours(inner)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_fits_what_there_is(example: str) -> None:
    document = yaml.safe_load(example)
    for step in steps_of_ours(document):
        assert step["uses"] == f"{OURS}@v{VERSION}"
        assert set(step.get("with", {})) <= set(ACTION["inputs"])
    assert set(re.findall(r"steps\.check\.outputs\.(\w+)", example)) <= set(ACTION["outputs"])
    for version in re.findall(r"django-rollback==([\w.]+)|rev: v([\w.]+)", example):
        assert VERSION in version
    for hook in (hook for repository in document.get("repos", []) for hook in repository["hooks"]):
        assert hook["id"] == HOOK["id"]
        assert {key: hook[key] for key in hook.keys() & {"entry", "files", "pass_filenames"}}.items() <= HOOK.items()


def test_there_are_examples() -> None:
    """Nothing is checked that is not found."""
    assert sum(f"uses: {OURS}@" in example for example in EXAMPLES) == 3
    assert sum("repos:" in example for example in EXAMPLES) == 2
