from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .servers import Backend, running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend shared by the tests of a module, which must neither stop it nor depend on each other's data."""
    with running(tmp_path_factory.mktemp("backend")) as backend:
        yield backend


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """A backend for one test only."""
    with running(tmp_path) as backend:
        yield backend
