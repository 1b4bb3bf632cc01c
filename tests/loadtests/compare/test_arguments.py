"""The words of `chatswarm compare`: sides, shares, and flags of the reference chat."""

import pytest

from chatswarm.loadtests.compare.arguments import parse_backend, parse_share, sides_of, with_divider


@pytest.mark.parametrize(
    ("words", "base", "new"),
    [
        (["a1", "a2", "--against", "b1", "b2"], ["a1", "a2"], ["b1", "b2"]),
        (["a1", "--against=b1", "b2", "b3"], ["a1"], ["b1", "b2", "b3"]),
        (["a1", "--against", "b1", "--against", "b2"], ["a1"], ["b1", "b2"]),
        (["--against", "b1"], [], ["b1"]),
        (["a1", "a2"], ["a1", "a2"], []),
        ([], [], []),
    ],
)
def test_everything_after_against_is_new(words: list[str], base: list[str], new: list[str]) -> None:
    assert sides_of(with_divider(words)) == (base, new)


def test_after_two_dashes_nothing_is_an_option() -> None:
    assert with_divider(["a", "--", "--against", "b"]) == ["a", "--", "--against", "b"]


@pytest.mark.parametrize(("text", "share"), [("20%", 0.2), ("0.2", 0.2), ("97.5 %", 0.975), ("0", 0.0)])
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "many", "-5%", "20%%", "nan", "1e3"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match="expected a share such as 20%, got "):
        parse_share(text)


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("--workers 2", {"workers": 2}),
        ("--workers=2 --max-frames-per-second 5", {"workers": 2, "max_frames_per_second": 5}),
        ("--push --api-docs off --name 'a b'", {"push": True, "api_docs": False, "name": "a b"}),
        ("", {}),
    ],
)
def test_flags_of_the_reference_chat(text: str, flags: dict[str, object]) -> None:
    assert parse_backend(text) == flags


@pytest.mark.parametrize("text", ["workers 2", "--workers 2 3", "2", "'open"])
def test_what_are_no_flags(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected flags|No closing quotation"):
        parse_backend(text)
