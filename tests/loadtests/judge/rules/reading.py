"""Judges a play and returns its causes."""

from chatswarm.loadtests.judge.explanation import ExplainedCause, RunCauses, explanation_of
from chatswarm.loadtests.judge.judge import judged
from tests.loadtests.judge.play import Play


def why(play: Play) -> RunCauses:
    """The causes of what went wrong in the play."""
    run = judged(play.write())
    assert not [note for note in run.verdict.notes if "could not be worked out" in note]
    return explanation_of(run.verdict, run.causes, run.scenario.update_target)


def first(play: Play, finding: str) -> ExplainedCause:
    """The first cause of a finding."""
    found = why(play)
    causes = [cause for cause in found.causes if cause.finding == finding]
    assert causes, found
    return causes[0]


def told(play: Play) -> list[tuple[str, str, int]]:
    """Finding, cause and number of cases of each cause."""
    return [(cause.finding, cause.id, cause.deliveries) for cause in why(play).causes]
