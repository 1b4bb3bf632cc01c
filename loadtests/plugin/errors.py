"""Why there is nothing to assert on. pytest reports each of these as an error, never as a failure, never as a pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .measured import Verdict


class NoVerdictError(Exception):
    """There is no verdict that a test could be decided by."""

    verdict: Verdict | None = None


class UndecidedError(NoVerdictError):
    """The run is undecided, or what was asked for was not measured. `verdict` holds what there is."""

    def __init__(self, text: str, verdict: Verdict | None = None) -> None:
        super().__init__(text)
        self.verdict = verdict


class NotRunError(NoVerdictError):
    """Nothing was sent: a wrong scenario, wrong arguments, or a target that does not answer. The text says which."""


class SwarmError(NoVerdictError):
    """chatswarm itself failed, or was ended from outside."""
