"""Breaks our own safety code, one line at a time, and checks that a test notices: what survives is a hole in the tests.

Each mutant is built in a copy of the repository and installed into a virtual environment of its own; the tests are
those of this work tree, and stop at the first that fails. `tools/mutants.py NAME …` runs only these.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# A line of pytest's summary that names a test; any other failure is no verdict: a file is missing, for example.
A_TEST_FAILED = re.compile(r"^(FAILED|ERROR) \S+::", re.MULTILINE)
ENGINE, CORE, DOOR = "crates/rollback-engine/src", "crates/rollback-core/src", "python/django_rollback"


@dataclass(frozen=True)
class Mutant:
    """One change to the safety code, and the tests that have to notice it."""

    name: str
    file: str
    old: str
    new: str
    tests: str

    @property
    def is_python(self) -> bool:
        """Nothing has to be built for it."""
        return self.file.endswith(".py")


MUTANTS = [
    Mutant(
        "the row is not locked",
        f"{ENGINE}/dialect/postgres/locks.rs",
        "WHERE id = 1 FOR UPDATE NOWAIT",
        "WHERE id = 1",
        "rust:rollback-engine",
    ),
    Mutant(
        "the file is not locked",
        f"{ENGINE}/session/file_lock.rs",
        "match file.try_lock() {",
        "match Ok::<(), TryLockError>(()) {",
        "rust:rollback-engine",
    ),
    Mutant(
        "what is applied is not read again",
        f"{ENGINE}/rollback/execute.rs",
        "|| self.store.applied_rows()? != self.prepared.rows",
        "",
        "rust:rollback-engine",
    ),
    Mutant(
        "what is read under the lock is older than the lock",
        f"{ENGINE}/dialect/postgres/locks.rs",
        "        read_committed(database)?;\n",
        "",
        "rust:rollback-engine",
    ),
    Mutant(
        "the result is not checked",
        f"{ENGINE}/rollback/execute.rs",
        "        self.check_result()?;\n        let verified",
        "        let verified",
        "rust:rollback-engine",
    ),
    Mutant(
        "the schema is not compared",
        f"{ENGINE}/rollback/verify.rs",
        "match (differences.is_empty(), new.is_empty()) {",
        "match (differences.is_empty(), true) {",
        "rust:rollback-engine",
    ),
    Mutant(
        "drift excuses everything",
        f"{CORE}/schema.rs",
        "            excused.swap_remove(place);\n            false",
        "            false",
        "rust:rollback-core",
    ),
    Mutant(
        "a lost connection is always a failure",
        f"{ENGINE}/rollback/execute.rs",
        "is_ours(&event) && event.outcome == Outcome::Done",
        "is_ours(&event) && false",
        "rust:rollback-engine",
    ),
    Mutant(
        "a lost connection is always a success",
        f"{ENGINE}/rollback/execute.rs",
        "is_ours(&event) && event.outcome == Outcome::Done",
        "is_ours(&event)",
        "rust:rollback-engine",
    ),
    Mutant(
        "history says done in a transaction of its own",
        f"{ENGINE}/rollback/execute.rs",
        "record::close(&mut self.store, self.prepared, &mut self.event)?;\n        self.write_event(self.id)?;\n",
        "record::close(&mut self.store, self.prepared, &mut self.event)?;\n",
        "rust:rollback-engine",
    ),
    Mutant(
        "constraints are not flushed",
        f"{DOOR}/dialects.py",
        "violated = self._flush(execute, context)",
        "violated = None",
        "tests/test_rollback.py",
    ),
    Mutant(
        "remade tables are renamed the new way",
        f"{DOOR}/dialects.py",
        'execute("PRAGMA legacy_alter_table = ON", None, False, context)',
        "pass",
        "tests/test_rollback.py",
    ),
    Mutant(
        "a swallowed error is committed",
        f"{DOOR}/connection.py",
        "if self.django.needs_rollback:",
        "if False:",
        "tests/test_guards.py",
    ),
    Mutant(
        "locks are waited for without end",
        f"{ENGINE}/dialect/postgres/locks.rs",
        "set_config('lock_timeout', $1, true)",
        "set_config('lock_timeout', '0' || left($1, 0), true)",
        "rust:rollback-engine",
    ),
    Mutant(
        "settings stay in the session",
        f"{ENGINE}/dialect/postgres/locks.rs",
        "set_config('lock_timeout', $1, true)",
        "set_config('lock_timeout', $1, false)",
        "rust:rollback-engine",
    ),
    Mutant(
        "tables are not locked beforehand",
        f"{ENGINE}/rollback/execute.rs",
        "            self.store.session.lock_tables(&self.prepared.tables)?;\n",
        "",
        "rust:rollback-engine",
    ),
    Mutant(
        "a stale migrate runs",
        f"{ENGINE}/cases/migrate.rs",
        "    check(planned, &applied(database)?)?;\n",
        "",
        "rust:rollback-engine",
    ),
    Mutant(
        "migrate takes no lock",
        f"{DOOR}/migrate_lock.py",
        "    _holders[using] = holder\n",
        "    holder.release()\n",
        "tests/test_live.py -k 'migrate or meets'",
    ),
    Mutant(
        "data loss is not refused",
        f"{ENGINE}/rollback/execute.rs",
        "Some(limit) if rows > limit =>",
        "Some(limit) if rows < limit =>",
        "rust:rollback-engine",
    ),
    Mutant(
        "rows written meanwhile are not counted",
        f"{ENGINE}/rollback/execute.rs",
        "refuse_losses(lost_rows_now(&mut self.store, &drops, limit)?, self.options)",
        "refuse_losses(i64::try_from(drops.len()).map_or(0, |_| 0), self.options)",
        "rust:rollback-engine",
    ),
    Mutant(
        "a dead rollback is not settled",
        f"{ENGINE}/cases/unfinished.rs",
        "let is_unchanged = event.steps_done == 0 && !event.step_begun;",
        "let is_unchanged = true;",
        "rust:rollback-engine",
    ),
    Mutant(
        "a waiting rollback is taken for dead",
        f"{ENGINE}/cases/unfinished.rs",
        "waits_until: Some(until), .. }) => *until < now,",
        "waits_until: Some(until), .. }) => *until < now || true,",
        "rust:rollback-engine",
    ),
    Mutant(
        "a capsule needs no signature",
        f"{ENGINE}/store/signature.rs",
        'let Some(found) = found else { return Some("it is not signed") };',
        "let Some(found) = found else { return None };",
        "rust:rollback-engine",
    ),
    Mutant(
        "a wrong signature will do",
        f"{ENGINE}/store/signature.rs",
        "match mac(&key.bytes, &parts(key, signed)).verify_slice(&code) {",
        "match Ok::<(), hmac::digest::MacError>(drop((code, signed))) {",
        "rust:rollback-engine",
    ),
    Mutant(
        "an older capsule may take the place of a newer one",
        f"{ENGINE}/store/checked.rs",
        "for (migration, digest) in manifest.digests() {",
        "for (migration, digest) in BTreeMap::<MigrationId, &str>::from_iter(manifest.digests().into_iter().take(0)) {",
        "rust:rollback-engine",
    ),
    Mutant(
        "archived texts are not held against their hashes",
        f"{ENGINE}/store/archive.rs",
        "if text.len() > LONGEST || stored::hash(&text) != packed.hash {",
        "if text.len() > LONGEST {",
        "rust:rollback-engine",
    ),
    Mutant(
        "recorded SQL runs without proof",
        f"{CORE}/plan/choice.rs",
        "(situation.is_verified || is_only_way)",
        "(situation.own_app.len() > 1 || is_only_way)",
        "rust:rollback-core",
    ),
]


def main() -> int:
    """Run the mutants; exit code 1 when one survives or cannot be made."""
    chosen = [mutant for mutant in MUTANTS if not sys.argv[1:] or mutant.name in sys.argv[1:]]
    # Those in Python come first: the environment is a copy, and what is in it was built of the sources as they are.
    chosen.sort(key=lambda mutant: (not mutant.is_python, mutant.file))
    survivors = []
    with tempfile.TemporaryDirectory(prefix="django-rollback-mutants-") as folder:
        laboratory = Laboratory(Path(folder))
        for mutant in chosen:
            started = time.monotonic()
            verdict = laboratory.try_out(mutant)
            print(f"{verdict:10} {mutant.name} ({time.monotonic() - started:.0f} s)", flush=True)
            if verdict != "noticed":
                survivors.append(mutant.name)
    print(f"{len(chosen)} mutants, {len(survivors)} not noticed" + "".join(f"\n  {name}" for name in survivors))
    return 1 if survivors else 0


class Laboratory:
    """A copy of the sources, a target folder, and an environment in which the mutants are installed."""

    def __init__(self, folder: Path) -> None:
        self.copy = folder / "copy"
        self.target = ROOT / "target" / "mutants"
        self.environment = os.environ | {"CARGO_TARGET_DIR": str(self.target), "CARGO_PROFILE_DEV_DEBUG": "none"}
        ignored = shutil.ignore_patterns(".git", ".venv*", "target", "dist", "__pycache__")
        shutil.copytree(ROOT, self.copy, ignore=ignored)
        # A copy of the environment, whose package is replaced: its own Python finds what stands beside it.
        self.venv = folder / "venv"
        shutil.copytree(ROOT / ".venv", self.venv, symlinks=True)
        self.python = self.venv / "bin" / "python"
        self.package = next(self.venv.glob("lib/python*/site-packages/django_rollback"))

    def try_out(self, mutant: Mutant) -> str:
        """`noticed` when a test fails, `SURVIVED` when none does, `BROKEN` when the mutant cannot be made."""
        path = self.copy / mutant.file
        source = path.read_text()
        if source.count(mutant.old) < 1:
            return "BROKEN"
        path.write_text(source.replace(mutant.old, mutant.new, 1))
        try:
            if mutant.tests.startswith("rust:"):
                return self.judge_crate(mutant.tests.removeprefix("rust:"))
            if not self.install(mutant):
                return "BROKEN"
            return self.judge_tests(mutant.tests)
        finally:
            path.write_text(source)

    def judge_crate(self, crate: str) -> str:
        """The verdict of a crate's own tests."""
        if self.cargo("test", "--quiet", "--no-run", "-p", crate):
            return "BROKEN"
        return "noticed" if self.cargo("test", "--quiet", "-p", crate) else "SURVIVED"

    def cargo(self, *words: str) -> int:
        """The exit code of cargo in the copy."""
        return subprocess.run(["cargo", *words], cwd=self.copy, env=self.environment, capture_output=True).returncode

    def install(self, mutant: Mutant) -> bool:
        """Put the Python files into the environment and, unless the mutant is one of those, what is built."""
        shutil.copytree(self.copy / DOOR, self.package, dirs_exist_ok=True)
        if mutant.is_python:
            return True
        packages = ["-p", "rollback-py", "-p", "django-rollback", "--features", "pyo3/extension-module"]
        if self.cargo("build", "--quiet", *packages):
            return False
        shutil.copy(self.target / "debug" / "lib_native.so", next(self.package.glob("_native*.so")))
        shutil.copy(self.target / "debug" / "django-rollback", self.venv / "bin" / "django-rollback")
        return True

    def judge_tests(self, tests: str) -> str:
        """The verdict of these tests."""
        words = [str(self.python), "-m", "pytest", "-x", "-q", "-n", "auto", "-p", "no:cacheprovider", *_words(tests)]
        result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        if result.returncode == 0:
            return "SURVIVED"
        return "noticed" if A_TEST_FAILED.search(result.stdout) else "BROKEN"


def _words(tests: str) -> list[str]:
    files, _, expression = tests.partition(" -k ")
    return [*files.split(), *(["-k", expression.strip("'")] if expression else [])]


if __name__ == "__main__":
    sys.exit(main())
