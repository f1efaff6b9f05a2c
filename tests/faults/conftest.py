"""Nothing in this folder is collected unless the command line names it: `pytest tests/faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.trials import Tally

HERE = Path(__file__).resolve().parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run of all tests takes the sample of `tests/test_faults.py` and does not wait for every point there is."""
    named = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    asked_for = any(path.resolve().is_relative_to(HERE) for path in named)
    return None if asked_for else collection_path.is_relative_to(HERE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what the tests have counted, in all their slices together."""
    reports = (each for name in ("passed", "failed") for each in terminalreporter.stats.get(name, []))
    tallies = [Tally(**value) for each in reports for name, value in each.user_properties if name == "faults"]
    if tallies:
        terminalreporter.section("faults")
        for name in sorted({tally.name for tally in tallies}):
            terminalreporter.write_line(str(Tally.sum(tally for tally in tallies if tally.name == name)))
