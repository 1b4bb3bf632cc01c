"""The fixture's methods take what the commands take: each option has an argument, which becomes that option."""

import inspect
from pathlib import Path

import pytest
import typer

from chatswarm.loadtests.cli import app
from chatswarm.loadtests.plugin.fixture import Swarm

LEFT_OUT = {
    "run": {"--out", "--json", "--metrics-host", "--metrics-port", "--toxiproxy"},
    "compare": {"--out", "--json", "--html", "--junit", "--markdown"},
    "capacity": {"--out", "--json", "--html"},
}
"""What the fixture decides itself, and what nobody needs in a test."""


class AskedCommandError(Exception):
    """What a method would run."""


def words_of(name: str, swarm: Swarm) -> set[str]:
    """The options that a method passes if every argument is given."""
    method = getattr(swarm, name)
    given = {}
    for parameter in inspect.signature(method).parameters.values():
        as_text = str(parameter.annotation)
        given[parameter.name] = True if as_text == "bool" else ["x"] if as_text == "Sequence[str]" else "x"
    with pytest.raises(AskedCommandError) as asked:
        method(**given)
    return {word.partition("=")[0] for word in asked.value.args[0]}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_each_option_has_an_argument(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def asks(_: Swarm, __: str, ___: str, options: list[str], words: list[str]) -> None:
        raise AskedCommandError([*options, *words])

    monkeypatch.setattr(Swarm, "_command", asks)
    group = typer.main.get_command(app)
    parameters = group.commands[name].params  # type: ignore[attr-defined]
    options = {option for parameter in parameters for option in parameter.opts if option.startswith("--")}
    assert options - words_of(name, Swarm(target=None, folders=tmp_path)) == LEFT_OUT[name]
