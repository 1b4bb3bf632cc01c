"""Versions of the list in one process: recorded as differences, and reproduced exactly."""

import unicodedata
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatswarm.loadtests.history.files import History, read
from chatswarm.loadtests.history.manifest import history_file
from chatswarm.loadtests.messages.identity import FOREIGN, IGNORED, Condition, ParsedText, text_of
from chatswarm.loadtests.protocols.protocol import Unreadable
from chatswarm.loadtests.protocols.reference import Reference
from chatswarm.loadtests.swarm.list_versions import ListVersions
from chatswarm.loadtests.swarm.live.newly_shown import Viewer
from chatswarm.loadtests.swarm.recorder import Recorder

RUN = "abcdefghij"
Chats = dict[str, tuple[int, list[str]]]


def body(chats: Chats, noise: int = 0) -> bytes:
    users = [
        {
            "chats": [
                {"chat_id": chat, "total_messages": total, "messages": [{"role": "user", "text": t} for t in texts]}
            ]
        }
        for chat, (total, texts) in chats.items()
    ]
    return msgspec.json.encode({"users": users, "noise": noise})


def message(widget: int, n: int) -> str:
    return text_of(RUN, widget, n, 60)


class Seen:
    """List versions with a real history file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recorder = Recorder(folder, RUN, "swarm-0")
        self.listing = ListVersions(Reference(), RUN, self.recorder, lambda widget, n: widget * 100.0 + n)

    def history(self) -> History:
        self.recorder.close()
        return read(history_file(self.folder, "swarm-0"))


def rebuilt(history: History) -> list[dict[str, tuple[int, list[ParsedText]]]]:
    """All versions with rows, rebuilt from the differences in the history."""
    names = dict(zip(history.tables["chat"]["chat"], history.tables["chat"]["chat_id"], strict=True))
    texts = zip(*(history.tables["text"][column] for column in ("widget", "n", "condition")), strict=True)
    state: dict[str, tuple[int, list[ParsedText]]] = {}
    versions: list[dict[str, tuple[int, list[ParsedText]]]] = []
    columns = (history.tables["version"][column] for column in ("version", "chat", "total", "dropped", "added"))
    for version, chat, total, dropped, added in zip(*columns, strict=True):
        while version >= len(versions):  # an empty first list changes nothing, so it has no rows
            versions.append(state)
        state = dict(versions[-1])
        shown = state.pop(str(names[chat]), (0, []))[1][int(dropped) :]
        shown = shown + [ParsedText(*next(texts)) for _ in range(int(added))]
        if total >= 0:
            state[str(names[chat])] = (int(total), shown)
        versions[-1] = state
    return versions


def test_the_same_bytes_and_the_same_content_are_the_same_version(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    one, two = {"a": (1, [message(0, 0)])}, {"a": (2, [message(0, 0), message(0, 1)])}
    versions = [seen.listing.version_of(b) for b in (body(one), body(two), body(two), body(two, noise=7), body(one))]
    assert versions == [0, 1, 1, 1, 0]
    assert len(rebuilt(seen.history())) == 2


def test_content_that_comes_back_in_other_bytes_is_a_new_version(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    one, two = {"a": (1, [message(0, 0)])}, {"a": (2, [message(0, 0), message(0, 1)])}
    assert [seen.listing.version_of(b) for b in (body(one), body(two), body(one, noise=1))] == [0, 1, 2]
    versions = rebuilt(seen.history())
    assert versions[0] == versions[2] != versions[1]


def test_the_condition_of_a_text_is_recorded(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    damaged = message(0, 1).replace("quick", "quack")
    seen.listing.version_of(body({"a": (3, [message(0, 0), damaged, "hello"])}))
    assert [sight.condition for sight in rebuilt(seen.history())[0]["a"][1]] == [
        Condition.INTACT,
        Condition.DAMAGED,
        Condition.FOREIGN,
    ]


def test_how_a_text_was_changed_is_recorded_and_an_agents_quotation_is_ignored(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    text = text_of(RUN, 0, 0, 60, "unicode")
    normalised = unicodedata.normalize("NFC", text)
    chat = {
        "chat_id": "a", "total_messages": 5, "messages": [
            {"role": "user", "text": text}, {"role": "user", "text": normalised}, {"role": "user", "text": "hello"},
            {"role": "agent", "text": f'You wrote: "{text}"'}, {"role": "agent", "text": "hello"},
        ],
    }  # fmt: skip
    seen.listing.version_of(msgspec.json.encode({"users": [{"chats": [chat]}]}))
    assert rebuilt(seen.history())[0]["a"][1] == [
        ParsedText(0, 0, Condition.INTACT), ParsedText(0, 0, Condition.NFC), FOREIGN, IGNORED, IGNORED,
    ]  # fmt: skip


def test_texts_added_since_the_last_version_are_new_to_a_dashboard(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    viewer = Viewer()

    def new(contents: Chats, noise: int = 0) -> list[float]:
        ranges = seen.listing.messages.newly(viewer, seen.listing.version_of(body(contents, noise)))
        return [seen.listing.messages.intended[number] for numbers in ranges for number in numbers]

    assert new({"a": (1, [message(1, 0)])}) == [100.0]
    both: Chats = {"a": (2, [message(1, 0), message(1, 1)]), "b": (1, [message(2, 0)])}
    assert new(both) == [101.0, 200.0]
    assert new({"a": (1, [message(1, 0)])}, noise=1) == []
    assert new(both, noise=2) == [], "older content in between makes nothing new again"
    seen.recorder.close()


def test_an_unreadable_list_is_not_a_version(tmp_path: Path) -> None:
    seen = Seen(tmp_path)
    with pytest.raises(Unreadable, match="the list of chats"):
        seen.listing.version_of(b'{"users": 3}')
    assert seen.listing.version_of(body({})) == 0
    seen.recorder.close()


_CHATS = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(st.integers(0, 9), st.lists(st.integers(0, 5).map(lambda n: message(0, n)), max_size=5)),
)


@given(st.lists(_CHATS, max_size=8))
def test_versions_reproduce_any_sequence_of_lists_exactly(
    tmp_path_factory: pytest.TempPathFactory, contents: list[Chats]
) -> None:
    seen = Seen(tmp_path_factory.mktemp("listing"))
    shown = [(seen.listing.version_of(body(content)), content) for content in contents]
    versions = rebuilt(seen.history()) or [{}]
    for version, content in shown:
        rebuilt_content = {
            chat: (total, [message(s.widget, s.n) for s in sights])
            for chat, (total, sights) in versions[version].items()
        }
        assert rebuilt_content == content
