"""Nothing in this folder is collected unless the command line names it: `pytest tests/packages`."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run of all tests neither downloads packages nor waits for them."""
    named = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    asked_for = any(path.resolve().is_relative_to(HERE) for path in named)
    return None if asked_for else collection_path.is_relative_to(HERE)
