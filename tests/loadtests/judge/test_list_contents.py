"""Where a text that a list showed stands in the final read: at a copy that is intact as well, or damaged as well."""

import pytest

from chatswarm.loadtests.judge.ledger.arrays import ints
from chatswarm.loadtests.judge.ledger.list_contents import _positions
from chatswarm.loadtests.judge.ledger.messages import Copies, is_damage
from chatswarm.loadtests.messages.damage import WORDS, Condition


@pytest.mark.parametrize("stored", [Condition.DAMAGED, *WORDS])
def test_a_text_that_was_shown_is_found_at_a_copy_of_its_kind(stored: Condition) -> None:
    """A damaged copy of message 7 in the first place of its chat, and an intact one in the second."""
    none = ints([0, 0])
    copies = Copies(
        chat=none, position=ints([1, 2]), key=ints([7, 7]), message=none, condition=ints([stored, Condition.INTACT]),
        message_id=none, explanation=none, of_message=none, read=none == 0,
    )  # fmt: skip
    shown = [Condition.INTACT, Condition.DAMAGED, Condition.NFC, Condition.CUT]
    assert _positions(ints([0] * 4), ints([7] * 4), ints(shown), copies).tolist() == [2, 1, 1, 1]


def test_damage_is_all_that_is_a_message_and_not_as_it_was_sent() -> None:
    whole = {Condition.INTACT, Condition.FOREIGN, Condition.IGNORED}
    assert is_damage(ints(list(Condition))).tolist() == [condition not in whole for condition in Condition]
