from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .servers import Backend, running


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """A backend that the tests of a module share: they must not stop it or depend on what others left in it."""
    with running(tmp_path_factory.mktemp("backend")) as backend:
        yield backend


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """A backend of the test's own."""
    with running(tmp_path) as backend:
        yield backend
