"""Throw-away Django projects in throw-away git repositories, driven as a user drives one: git, manage.py, the binary.

The settings are committed and so change with the release; which database is used is not: it stands in an untracked
file, so that a check-out never changes it and two work trees of one repository can use two databases.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from harness import warm
from harness.database import Database
from harness.warm import Warm

CONTRIB_APPS = ("django.contrib.contenttypes", "django.contrib.auth")
DEFAULT_APPS = (*CONTRIB_APPS, "django_rollback")
BINARY_VARIABLE = "DJANGO_ROLLBACK_BIN"
INHERITED_VARIABLES = ("PATH", "TMPDIR", "LD_LIBRARY_PATH")
FIRST_COMMIT_TIME = 1_700_000_000
# The variables that a Python sees which the binary starts.
BARE_START = {"PYTHONDONTWRITEBYTECODE": "1"}
# Longer than any command waits of its own accord: one that waits for ever fails its test, and does not end the run.
PATIENCE = 240

MANAGE = """\
#!/usr/bin/env python
import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    execute_from_command_line(sys.argv)
"""

# Most tests are about Django's own way of undoing migrations. Those of the other ways ask for them.
DJANGOS_WAY = ("disk",)
WAYS_VARIABLE = "DJANGO_ROLLBACK_WAYS"
WAYS_SETTING = """
if isinstance(globals().setdefault("DJANGO_ROLLBACK", {{}}), dict):
    DJANGO_ROLLBACK.setdefault("WAYS", {ways!r})
"""

SETTINGS = """\
from pathlib import Path

from local_settings import DATABASES

BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = "for throw-away projects only"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
INSTALLED_APPS = [
{apps}]
"""

GIT_IDENTITY = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    # No commit checks whether the repository needs tidying.
    "GIT_CONFIG_COUNT": "2",
    "GIT_CONFIG_KEY_0": "gc.auto",
    "GIT_CONFIG_VALUE_0": "0",
    "GIT_CONFIG_KEY_1": "maintenance.auto",
    "GIT_CONFIG_VALUE_1": "false",
    "GIT_AUTHOR_NAME": "Test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "Test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}

Files = Mapping[str, str | None]


class CommandFailed(AssertionError):
    """A command that had to succeed did not; the message has all that it printed."""

    def __init__(self, result: subprocess.CompletedProcess[str]) -> None:
        command = shlex.join(map(str, result.args))
        super().__init__(f"exit code {result.returncode}: {command}\n{result.stdout}{result.stderr}")


class Project:
    """A Django project at the top of a git repository of its own."""

    secret = "for throw-away projects only"

    def __init__(
        self,
        root: Path,
        *,
        database: Database,
        apps: Iterable[str] = DEFAULT_APPS,
        python: str | Path = sys.executable,
        ways: Iterable[str] = DJANGOS_WAY,
    ) -> None:
        """Open the work tree at `root`; if there is none, make one, with a first set of files not committed yet.

        `ways` are those in which migrations may be undone; none for what is usual.
        """
        self.ways = list(ways)
        self.root = root.absolute()
        self.python = str(python)
        if not (self.root / ".git").exists():
            self._create(apps)
        self.use(database)

    def use(self, database: Database, **others: Database) -> None:
        """Point the work tree at another database, and at others by their alias."""
        self.database = database
        aliases = {alias: each.settings for alias, each in {"default": database, **others}.items()}
        self.write({"local_settings.py": f"DATABASES = {aliases!r}\n"})

    def install_apps(self, apps: Iterable[str], *, extra: str = "") -> None:
        """Rewrite the settings with these INSTALLED_APPS, all of them, and with `extra` lines at the end."""
        lines = "".join(f"    {app!r},\n" for app in apps)
        ways = WAYS_SETTING.format(ways=self.ways) if self.ways else ""
        self.write({"settings.py": SETTINGS.format(apps=lines) + dedent(extra) + ways})

    def write(self, files: Files) -> None:
        """Write files given by their path in the repository; None deletes a file or a folder.

        Packages get their `__init__.py` by themselves, and the indentation that all lines of a text share is removed.
        """
        for name, source in files.items():
            path = self.root / name
            if source is None:
                _remove(path)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(source))
            if path.suffix == ".py":
                self._make_packages(path.parent)

    def commit(self, files: Files | None = None, *, tag: str | None = None) -> str:
        """Write `files`, commit all that has changed (or nothing), and return the hash of the commit."""
        self.write(files or {})
        self.git("add", "--all")
        minutes = int(self.git("rev-list", "--all", "--count"))
        self.git("commit", "--quiet", "--allow-empty", f"--message={tag or 'change'}", minutes=minutes)
        if tag is not None:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")

    def checkout(self, ref: str) -> None:
        """Check out a tag, a branch or a commit."""
        self.git("checkout", "--quiet", ref)

    def git(self, *args: str, minutes: int = 0) -> str:
        """Run git, without the configuration of whoever runs the tests, and return what it printed.

        Author and time are fixed, so that hashes are the same in each run; `minutes` sets the clock forward.
        """
        environment = self.environment() | GIT_IDENTITY | _git_dates(minutes)
        return _run(["git", *args], environment, self.root, check=True).stdout.strip()

    def manage(
        self,
        *args: str,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        fresh: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run `manage.py ARGS`; `env` is added to an environment that knows nothing of the machine's.

        A fork of a warm process runs it, unless it has to be a `fresh` process or `env` changes how Python starts.
        """
        command = [self.python, str(self.root / "manage.py"), *args]
        return self._run_python(command, self.environment() | dict(env or {}), cwd or self.root, check, fresh)

    def run_python(self, code: str) -> str:
        """Run `code` inside the project, with Django set up, and return what it printed."""
        setup = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'; django.setup()"
        command = [self.python, "-c", f"{setup}\n{dedent(code)}"]
        return self._run_python(command, self.environment(), self.root, check=True, fresh=False).stdout

    def native(
        self,
        *args: str,
        check: bool = True,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run the binary `django-rollback ARGS` on the project's database, with no program at all on its PATH."""
        bare = {"PATH": "/nonexistent", "DATABASE_URL": self.database.url, **BARE_START}
        bare[WAYS_VARIABLE] = ",".join(self.ways)
        return _run([str(self.binary()), *args], bare | dict(env or {}), cwd or self.root, check=check)

    def binary(self) -> Path:
        """The program under test: the one that the wheel put beside this project's Python."""
        chosen = os.environ.get(BINARY_VARIABLE)
        return Path(chosen) if chosen else Path(self.python).with_name("django-rollback")

    def clone_at(self, ref: str, database: Database, root: Path | None = None) -> Project:
        """A second work tree of the same repository, at `ref` and with another database."""
        root = root or self.root.with_name(f"{self.root.name}-at-{ref.replace('/', '-')}")
        self.git("worktree", "add", "--quiet", "--detach", str(root), ref)
        return Project(root, database=database, python=self.python, ways=self.ways)

    def environment(self) -> dict[str, str]:
        """What a command of the project sees: nothing of Django's, of a CI's or of a home directory."""
        inherited = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
        fixed = {"HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONDONTWRITEBYTECODE": "1"}
        return inherited | fixed

    def warm(self) -> Warm:
        """The process whose forks are commands of this project, and of others with the same Python."""
        return warm.of(self.python, tuple(self.environment().items()))

    @property
    def front(self) -> str:
        """A program that stands in for the project's Python, for the binary to start: a fork does the work."""
        return str(warm.of(self.python, tuple(BARE_START.items())).front)

    def _run_python(
        self, command: list[str], environment: dict[str, str], cwd: Path, check: bool, fresh: bool
    ) -> subprocess.CompletedProcess[str]:
        if fresh or not self.warm().can_run(command, environment):
            return _run(command, environment, cwd, check=check)
        return _checked(self.warm().run(command, env=environment, cwd=cwd, timeout=PATIENCE), check)

    def _create(self, apps: Iterable[str]) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--template=", "--initial-branch=main")
        self.write({"manage.py": MANAGE, ".gitignore": "local_settings.py\n__pycache__/\n"})
        (self.root / "manage.py").chmod(0o755)
        self.install_apps(apps)

    def _make_packages(self, folder: Path) -> None:
        while folder != self.root:
            (folder / "__init__.py").touch()
            folder = folder.parent


def _run(
    command: list[str], environment: Mapping[str, str], cwd: Path, *, check: bool
) -> subprocess.CompletedProcess[str]:
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "encoding": "utf-8"}
    return _checked(subprocess.run(command, env=environment, cwd=cwd, timeout=PATIENCE, **options), check)


def _checked(result: subprocess.CompletedProcess[str], check: bool) -> subprocess.CompletedProcess[str]:
    if check and result.returncode:
        raise CommandFailed(result)
    return result


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _git_dates(minutes: int) -> dict[str, str]:
    date = f"{FIRST_COMMIT_TIME + 60 * minutes} +0000"
    return {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
