"""Finds the protocol that `--protocol` names: a shipped one, a TOML file, or a class."""

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chatswarm.loadtests.system.text import one_line

from .code import CodeError, load_class
from .promises import Promises
from .protocol import ChatProtocol
from .push import KEY, Push
from .reference import Reference
from .secrets import secret_of, token_of

if TYPE_CHECKING:
    # Slow to load, and only needed for protocols that are described in a file.
    from .described import Description

Make = Callable[[Mapping[str, str], str], ChatProtocol]

BUILT_IN: dict[str, tuple[Promises, Make]] = {
    "reference": (Reference.promises, lambda environment, _: Reference(token_of(environment))),
    "push": (Push.promises, lambda environment, _: Push(secret_of(environment, KEY))),
}
"""The protocols that are classes here: what they promise, and how each is made from an environment and a target."""
_FILES = Path(__file__).with_name("files")


class ProtocolError(ValueError):
    """A protocol that cannot be had. `problems` holds all reasons, one line each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True)
class FoundProtocol:
    """A protocol that can be made. `named`: as `--protocol` named it; `text`: of its file, empty if it has none."""

    named: str
    name: str
    promises: Promises
    text: str = ""
    description: "Description | None" = None
    _make: Make | None = None

    def make(self, environment: Mapping[str, str] | None = None, target: str = "") -> ChatProtocol:
        """The protocol with the secrets of an environment, this process's by default, for the chat at a base URL.

        Raises ProtocolError for a secret that is missing or invalid, without showing it.
        """
        environment = os.environ if environment is None else environment
        try:
            if self.description is not None:
                return _made(self.description, environment, target)
            assert self._make is not None
            return self._make(environment, target)
        except ProtocolError:
            raise
        except ValueError as error:
            raise ProtocolError([str(error)]) from None

    @property
    def users_file(self) -> str | None:
        """The path of the users' file that its file names."""
        name = None if self.description is None else self.description.users_file
        return None if name is None else str(Path(self.named).absolute().parent / name)

    @property
    def members_file(self) -> Path | None:
        """The path of the members' file that its file names."""
        name = None if self.description is None else self.description.rooms.file
        return None if name is None else Path(self.named).absolute().parent / name


def shipped() -> dict[str, Path]:
    """The files of the protocols that come with chatswarm, by name. Those in BUILT_IN say the same as their classes."""
    return {path.name.removesuffix(".toml"): path for path in sorted(_FILES.glob("*.toml"))}


def is_shipped(named: str) -> bool:
    """Whether this is the name of a protocol that comes with chatswarm."""
    return named in BUILT_IN or named in shipped()


def find_protocol(named: str, text: str = "") -> FoundProtocol:
    """The protocol that is named like this. `text`: of its file, if that has been read already.

    Raises ProtocolError.
    """
    if text:
        return _described(named, text)
    if named in BUILT_IN:
        promises, make = BUILT_IN[named]
        return FoundProtocol(named, named, promises, _make=make)
    if named in shipped():
        return _described(named, shipped()[named].read_text(encoding="utf-8"))
    if named.endswith(".toml") or (":" not in named and Path(named).is_file()):
        return _described(named, _text_of(named))
    if ":" in named:
        return _coded(named)
    known = sorted({*BUILT_IN, *shipped()})
    near = difflib.get_close_matches(named, known, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ProtocolError(
        [f"expected one of {', '.join(known)}, the path of a TOML file, or module:Class, got {one_line(named)!r}{hint}"]
    )


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        problem = "expected TOML in UTF-8, got a file in another encoding (UTF-16?)"
    except OSError as error:
        problem = f"expected a readable TOML file, got: {error.strerror}"
    raise ProtocolError([one_line(f"{path}: {problem}")])


def _made(description: "Description", environment: Mapping[str, str], target: str) -> ChatProtocol:
    from .described import Described, ProtocolFileError

    try:
        return Described(description, environment, target)
    except ProtocolFileError as error:
        raise ProtocolError(error.problems) from None


def _described(named: str, text: str) -> FoundProtocol:
    from .described import ProtocolFileError, read_description

    location = f"{named}.toml" if named in shipped() else named
    try:
        description = read_description(text, location)
    except ProtocolFileError as error:
        raise ProtocolError(error.problems) from None
    return FoundProtocol(named, description.name, description.promises, text, description)


def _coded(named: str) -> FoundProtocol:
    try:
        found = load_class(named)
    except CodeError as error:
        raise ProtocolError([one_line(str(error))]) from None
    _check(named, found, [*_METHODS, "name", "promises"])

    def make(environment: Mapping[str, str], _target: str) -> ChatProtocol:
        try:
            made: ChatProtocol = found(environment)
        except ValueError:
            raise  # it says what is wrong
        except Exception as error:  # noqa: BLE001 - third-party code
            got = f"{type(error).__name__}: {error}"
            raise ValueError(f"{named}: expected a class that can be made with the environment, got {got}") from None
        _check(named, made, ChatProtocol.__annotations__)
        return made

    return FoundProtocol(named, found.name, found.promises, _make=make)


def _check(named: str, found: object, wanted: Iterable[str]) -> None:
    """Raises ProtocolError if something has not all that ChatProtocol has."""
    if missing := [name for name in wanted if not hasattr(found, name)]:
        what = ", ".join(missing)
        raise ProtocolError([one_line(f"{named}: expected a class with all that ChatProtocol has, got no {what}")])


_METHODS = sorted(name for name, value in vars(ChatProtocol).items() if callable(value) and not name.startswith("_"))
