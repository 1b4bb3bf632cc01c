"""Classes that people bring along, named `module:Class` or `path/to/module.py:Class`."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class CodeError(ValueError):
    """A class that cannot be had. The text says what was expected and what came."""


def load_class(name: str) -> Any:  # noqa: ANN401 - third-party code
    """The class of that name. A module that is a file in the current folder comes before an installed one.

    Raises CodeError.
    """
    place, _, attribute = name.rpartition(":")
    if not place or not attribute.isidentifier():
        raise CodeError(f"expected module:Class, got {name!r}")
    try:
        module = _module(place)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - third-party code
        raise CodeError(
            f"expected a module that can be imported, got {place!r}: {type(error).__name__}: {error}"
        ) from None
    found = getattr(module, attribute, None)
    if not isinstance(found, type):
        raise CodeError(f"expected a class {attribute} in {place}, got none")
    return found


def _module(place: str) -> ModuleType:
    path = Path(place) if place.endswith(".py") else Path(*place.split(".")).with_suffix(".py")
    if not path.is_file():
        return importlib.import_module(place)
    name = f"chatswarm_code_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
