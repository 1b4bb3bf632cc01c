"""What gave out: the table, row by row."""

from dataclasses import replace

import pytest

from chatswarm.loadtests.compare.gave_out import LimitEvidence, what_gave_out

FREE = LimitEvidence(
    100, 110, rig_sound=True, null_failed=500, target_here=True, machine_busy=0.5, rig_share=0.5, target_busy=0.5
)
FULL = replace(FREE, machine_busy=0.95)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (FREE, "target"),
        (replace(FREE, target_busy=None, null_failed=None, rig_share=None, target_here=None), "target"),
        (replace(FREE, failed=None), "ceiling"),
        (replace(FREE, failed=None, rig_sound=False), "ceiling"),
        (replace(FREE, rig_sound=False), "rig"),
        (replace(FREE, rig_sound=False, target_busy=0.99), "rig"),
        (replace(FREE, rig_sound=None), "unknown"),
        (replace(FREE, null_failed=130), "rig"), (replace(FREE, null_failed=131), "target"),
        (replace(FREE, limit=528.9, failed=570, null_failed=687.6), "rig"),  # 687.57, as the search rounds it
        (replace(FREE, limit=None, null_failed=143), "rig"), (replace(FREE, limit=None, null_failed=144), "target"),
        (FULL, "machine"),
        (replace(FULL, rig_share=0.25), "machine"),
        (replace(FULL, rig_share=0.24), "unknown"), (replace(FULL, rig_share=None), "unknown"),
        (replace(FULL, target_here=False), "unknown"), (replace(FULL, target_here=None), "unknown"),
        (replace(FULL, target_busy=0.9), "target"),  # all that it can use, such as one worker's core
        (replace(FREE, machine_busy=None), "unknown"), (replace(FREE, machine_busy=None, target_busy=0.95), "target"),
        (replace(FREE, machine_busy=0.9), "machine"), (LimitEvidence(None, 20), "unknown"),
    ],
)  # fmt: skip
def test_what_gave_out(evidence: LimitEvidence, expected: str) -> None:
    assert what_gave_out(evidence) == expected
