"""Virtual environments with published packages and the wheel under test, made once and kept in `.venvs`.

The versions are pinned where a test's expectations depend on them; what those versions need is left to pip.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAMP = "packages.txt"


@dataclass(frozen=True)
class Environment:
    """A virtual environment `.venvs/packages-NAME` with these packages in it."""

    name: str
    packages: tuple[str, ...]

    def python(self) -> Path:
        """The interpreter; the environment is made first where there is none, or where other packages are in it."""
        folder = ROOT / ".venvs" / f"packages-{self.name}"
        python, stamp = folder / "bin" / "python", folder / STAMP
        wheel = newest_wheel()
        if not stamp.exists() or stamp.read_text() != self._contents():
            _run(sys.executable, "-m", "venv", "--clear", str(folder))
            _pip(python, *self.packages, "psycopg[binary]")
            stamp.write_text(self._contents())
        installed = folder / "wheel.txt"
        if not installed.exists() or installed.stat().st_mtime < wheel.stat().st_mtime:
            _pip(python, "--no-deps", "--force-reinstall", str(wheel))
            installed.write_text(wheel.name)
        return python

    def folder_of(self, package: str) -> Path:
        """Where a package of this environment is installed."""
        code = f"import importlib.util as u; print(u.find_spec({package!r}).submodule_search_locations[0])"
        return Path(subprocess.check_output([str(self.python()), "-c", code], text=True).strip())

    def _contents(self) -> str:
        return "\n".join((sys.version, *self.packages))


def newest_wheel() -> Path:
    """The wheel that `tools/wheel dev` has built."""
    wheels = sorted((ROOT / "dist" / "dev").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    assert wheels, "there is no wheel in dist/dev: run `tools/wheel dev`"
    return wheels[-1]


def _pip(python: Path, *arguments: str) -> None:
    _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments)


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}\n{result.stdout}{result.stderr}"
