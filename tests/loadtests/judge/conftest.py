"""Small blocks, so that every history of these tests has many, and what crosses their edges is judged too."""

from collections.abc import Iterator

import pytest

from chatswarm.loadtests.judge.ledger import arrays


@pytest.fixture(scope="package", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrays, "_BLOCK", 7)
        yield
