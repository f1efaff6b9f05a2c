"""Runs the Python tests with every supported pair of Python and Django that this machine has, or with those given.

    tools/matrix.py [3.13/6.1 …]

Each pair gets a virtual environment of its own in `.venvs`, with the one wheel in it. Pairs whose Python is not there
are named at the end: nothing is skipped silently.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAIRS = [
    ("3.10", "4.2"),
    ("3.10", "5.2"),
    ("3.11", "4.2"),
    ("3.11", "5.2"),
    ("3.12", "5.2"),
    ("3.12", "6.1"),
    ("3.13", "5.2"),
    ("3.13", "6.1"),
]


def main() -> int:
    chosen = [tuple(word.split("/")) for word in sys.argv[1:]] or PAIRS
    wheel = next((ROOT / "dist" / "dev").glob("*.whl"))
    missing, failed = [], []
    for python, django in chosen:
        name = f"Python {python}, Django {django}"
        interpreter = find(python)
        if interpreter is None:
            missing.append(name)
            continue
        print(f"== {name}", flush=True)
        if not passes(interpreter, python, django, wheel):
            failed.append(name)
    for name in missing:
        print(f"not run, as that Python is not on this machine: {name}")
    for name in failed:
        print(f"FAILED: {name}")
    print(f"{len(chosen) - len(missing) - len(failed)} passed, {len(failed)} failed, {len(missing)} skipped")
    return 1 if failed else 0


def find(version: str) -> str | None:
    """The interpreter of this version: on the PATH, or one that pyenv installed."""
    on_path = shutil.which(f"python{version}")
    candidates = [on_path] if on_path else []
    candidates += [str(path) for path in Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
    return next((path for path in candidates if answers(path, version)), None)


def answers(path: str, version: str) -> bool:
    """Whether it really runs: pyenv's shims are on the PATH also for versions that are not active."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    result = subprocess.run([path, "-c", code], capture_output=True, text=True)
    return result.stdout.strip() == version


def passes(interpreter: str, python: str, django: str, wheel: Path) -> bool:
    folder = ROOT / ".venvs" / f"python{python}-django{django}"
    executable = folder / "bin" / "python"
    if not executable.exists():
        subprocess.run([interpreter, "-m", "venv", str(folder)], check=True)
    pip = [str(executable), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, f"django~={django}.0", "psycopg[binary]", "pytest", "pytest-xdist"], check=True)
    subprocess.run([*pip, "--force-reinstall", "--no-deps", str(wheel)], check=True)
    return subprocess.run([str(executable), "-m", "pytest", "tests", "-q", "-n", "auto"], cwd=ROOT).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
