"""Fuzzes crates/rollback-source for FUZZ_SECONDS (60): texts that are nearly migrations, through all that reads them.

It begins with the migrations in the docs, the tests and the demo, and with what former runs found worth keeping in
target/fuzz/corpus. Arguments are handed on to libFuzzer: a file instead runs only that input, `-seed=N` the same run.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[1]
CRATE = ROOT / "crates" / "rollback-source" / "fuzz"
TARGET = ROOT / "target" / "fuzz"
BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
TELLING = re.compile(r"\bclass Migration\b|\bAppConfig\b|\b[A-Z]+_MODEL\b|\bMIGRATION_MODULES\b")
LONGEST = 20_000
PATIENCE = 60  # seconds for one input

# What `cargo fuzz` gives the compiler where no sanitizer is asked for; a stable one takes it.
FLAGS = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
]


def main() -> int:
    """Build, run, and show the input that did harm, if there is one."""
    program = build()
    if any(not argument.startswith("-") for argument in sys.argv[1:]):
        return subprocess.run([program, *sys.argv[1:]]).returncode
    seconds = os.environ.get("FUZZ_SECONDS", "60")
    corpus, seeds, harmful = (TARGET / name for name in ("corpus", "seeds", "harmful"))
    for folder in (corpus, seeds, harmful):
        folder.mkdir(parents=True, exist_ok=True)
    write_seeds(seeds)
    known = set(harmful.iterdir())
    options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={PATIENCE}", "-print_final_stats=1"]
    options += ["-verbosity=0", f"-artifact_prefix={harmful}/", *sys.argv[1:]]
    code = subprocess.run([program, *options, corpus, seeds]).returncode
    for path in sorted(set(harmful.iterdir()) - known):
        print(f"\n{path}:\n{path.read_bytes()[:2_000]!r}\n`{sys.argv[0]} {path}` runs it again", file=sys.stderr)
    return code


def build() -> Path:
    """The program, with counters for libFuzzer in all of it."""
    version = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = version.partition("host: ")[2].split()[0]
    environment = os.environ | {"RUSTFLAGS": " ".join(FLAGS), "CARGO_TARGET_DIR": str(TARGET / "build")}
    # A named target, so that the flags are not those of build scripts.
    command = ["cargo", "build", "--release", "--quiet", "--target", host]
    subprocess.run(command, cwd=CRATE, env=environment, check=True)
    return TARGET / "build" / host / "release" / "read"


def write_seeds(folder: Path) -> None:
    """Every text that says something about migrations, under the hash of it."""
    for text in map(dedent, seeds()):
        if TELLING.search(text) and len(text) < LONGEST:
            (folder / sha256(text.encode()).hexdigest()).write_text(text)


def seeds() -> Iterator[str]:
    """Python blocks of the docs, string literals of the tests, and files of the demo."""
    for page in ROOT.glob("docs/**/*.md"):
        yield from BLOCK.findall(page.read_text())
    for path in [*ROOT.glob("tests/**/*.py"), *ROOT.glob("bench/*.py")]:
        nodes = ast.walk(ast.parse(path.read_text()))
        yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    for path in [*ROOT.glob("demo/shop/**/*.py"), *ROOT.glob("python/**/*.py")]:
        yield path.read_text()


if __name__ == "__main__":
    sys.exit(main())
