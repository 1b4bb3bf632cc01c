"""Users' tokens and names, without I/O."""

from __future__ import annotations

import base64
import json

import pytest

from chatswarm.backend.http.user_tokens import ServiceKey, UserTokens, is_name

NOW = 1_800_000_000.0


def test_a_token_names_its_user_until_it_expires() -> None:
    tokens = UserTokens(b"secret", 60)
    token = tokens.issue("Zoë", NOW).encode()
    assert tokens.user(token, NOW) == "Zoë"
    assert tokens.user(token, NOW + 59.9) == "Zoë"
    assert tokens.user(token, NOW + 60) is None


def test_a_token_of_another_secret_is_not_valid() -> None:
    token = UserTokens(b"secret", 60).issue("ann", NOW).encode()
    assert UserTokens(b"other", 60).user(token, NOW) is None
    assert UserTokens(b"secret", 1).user(token, NOW) == "ann"


def test_any_change_makes_a_token_invalid() -> None:
    tokens = UserTokens(b"secret", 60)
    token = tokens.issue("ann", NOW).encode()
    claim, _, signature = token.partition(b".")
    forged = base64.urlsafe_b64encode(json.dumps({"user": "bob", "expires": NOW + 60}).encode()).rstrip(b"=")
    for wrong in (forged + b"." + signature, forged + b".", claim, claim + b".", b"." + signature, b"", b".", b"\xff"):
        assert tokens.user(wrong, NOW) is None
    for place in range(len(token)):
        changed = bytearray(token)
        changed[place] ^= 1
        assert tokens.user(bytes(changed), NOW) is None


def test_servers_with_the_same_key_know_each_others_tokens() -> None:
    secrets = [ServiceKey(key).token_secret() for key in ("key", "key", "other")]
    token = UserTokens(secrets[0], 60).issue("ann", NOW).encode()
    assert [UserTokens(secret, 60).user(token, NOW) for secret in secrets] == ["ann", "ann", None]


def test_neither_secret_nor_key_is_in_a_representation() -> None:
    """Promise 8."""
    assert "hidden" not in repr(UserTokens(b"hidden", 60)) + repr(ServiceKey("hidden"))
    assert ServiceKey("hidden").match(b"hidden")
    assert not ServiceKey("hidden").match(b"hidde")


@pytest.mark.parametrize("name", ["a", "Zoë", "x" * 200, "user-1@example.org", "%2F", "😀", "a.b:c"])
def test_names_are_printable(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "x" * 201, "a b", "a/b", "a\tb", "a\n", "\x00", "\u200b", "\xa0", "\u3000"])
def test_anything_else_is_no_name(name: str) -> None:
    assert not is_name(name)
