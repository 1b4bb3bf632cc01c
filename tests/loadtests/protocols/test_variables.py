"""Variables in their four scopes, and secrets that are blanked in whatever form a target repeats them."""

import base64
import json
from urllib.parse import quote

import pytest

from chatswarm.loadtests.protocols.variables import OutOfScopeError, Scope, Variables, blanked

SECRET = "a/b+c=d 'é\"\\ 0123"
SCOPES: list[Scope] = ["run", "user", "connection", "room"]


def nested() -> dict[Scope, Variables]:
    """A scope of each kind, one in the other, with a variable named after it."""
    found: dict[Scope, Variables] = {}
    wider = None
    for scope in SCOPES:
        wider = found[scope] = Variables(scope, wider)
        wider[scope] = f"the {scope}'s"
    return found


@pytest.mark.parametrize("here", SCOPES)
@pytest.mark.parametrize("name", SCOPES)
def test_a_variable_is_known_in_its_scope_and_narrower_ones(name: Scope, here: Scope) -> None:
    variables = nested()[here]
    if SCOPES.index(name) <= SCOPES.index(here):
        assert name in variables
        assert variables[name] == f"the {name}'s"
        return
    assert name not in variables
    with pytest.raises(OutOfScopeError) as refused:
        variables[name]
    assert str(refused.value) == (
        f"{name}: expected a variable of the scope {here} or wider, got one that is known in the scope {name} only"
    )


def test_an_unknown_variable_is_called_unknown() -> None:
    with pytest.raises(OutOfScopeError) as refused:
        nested()["room"]["tokn"]
    assert str(refused.value) == "tokn: expected a variable of the scope room or wider, got an unknown one"


def test_the_widest_scope_that_knows_a_variable_is_named() -> None:
    scopes = nested()
    scopes["room"]["x"] = scopes["connection"]["x"] = "1"
    with pytest.raises(OutOfScopeError, match="known in the scope connection only"):
        scopes["run"]["x"]


def test_a_narrower_scope_hides_a_wider_one_until_it_forgets() -> None:
    scopes = nested()
    scopes["run"]["x"], scopes["user"]["x"] = "wide", "narrow"
    assert (scopes["run"]["x"], scopes["room"]["x"]) == ("wide", "narrow")
    scopes["user"].forget("x")
    scopes["user"].forget("x")
    assert scopes["room"]["x"] == "wide"


@pytest.mark.parametrize(("scope", "wider"), [("run", "run"), ("user", "room"), ("connection", "connection")])
def test_scopes_are_nested_in_order(scope: Scope, wider: Scope) -> None:
    with pytest.raises(ValueError, match=f"scope {scope}: expected a wider one around it, got {wider}"):
        Variables(scope, Variables(wider))


def test_values_of_its_own_and_wider_scopes_are_blanked_but_never_shown() -> None:
    scopes = nested()
    scopes["run"]["key"], scopes["user"]["token"], scopes["room"]["other"] = "key-12345", "token-12345", "room-12345"
    assert scopes["user"].blanked("key-12345 token-12345 room-12345") == "*** *** room-12345"
    assert all("12345" not in repr(each) + str(each) for each in scopes.values())


@pytest.mark.parametrize(
    "form",
    [
        SECRET, quote(SECRET, safe=""), quote(SECRET, safe="").replace("%20", "+"), json.dumps(SECRET), repr(SECRET),
        base64.urlsafe_b64encode(SECRET.encode()).decode(), base64.b64encode(SECRET.encode()).decode().rstrip("="),
    ],
)  # fmt: skip
def test_a_secret_is_blanked_in_every_form(form: str) -> None:
    assert "0123" in SECRET
    shown = blanked(f"Location: /a?token={form}&x=1 {form}", [SECRET])
    assert form not in shown
    assert shown.count("***") == 2
    assert "x=1" in shown


@pytest.mark.parametrize("end", ["", "'", '"', ")"])
def test_a_secret_that_is_cut_short_is_blanked(end: str) -> None:
    assert blanked(f"got b'token=s3cret-012{end}", ["s3cret-0123456789"]) == f"got b'token=***{end}"


def test_words_that_begin_as_a_secret_does_stay() -> None:
    assert blanked("customer-0 and customers, s3cret-7", ["customer-12345", "s3cret-0123"]) == (
        "customer-0 and customers, s3cret-7"
    )


def test_short_values_stay_because_any_text_has_them() -> None:
    assert blanked("status 401", ["401", ""]) == "status 401"


def test_one_secret_within_another_is_blanked_too() -> None:
    assert blanked("abcdef-ghijkl abcdef", ["abcdef", "abcdef-ghijkl"]) == "*** ***"
