"""Registries of the sections that are chosen by name: a built-in name, `module:Class`, or an entry point.

A class from outside must be a subclass of the registry's base class and keep the inherited `name: str`, which holds the
name it was chosen by.
"""

import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, TypeVar, cast

from banditloop.rl_core.errors import InvalidInput, did_you_mean
from banditloop.rl_core.settings.section import Section

S = TypeVar("S", bound=Section)


class Registry(Mapping[str, type[S]]):
    """The built-in classes by name, as `module:Class` of a package, each imported when it is asked for.

    So a process starts with the classes that its config names, and without the others.
    """

    def __init__(self, package: str, classes: Mapping[str, str]) -> None:
        self._package, self._classes = package, classes

    def __getitem__(self, name: str) -> type[S]:
        return cast(type[S], imported(f"{self._package}.{self._classes[name]}"))

    def get(self, name: str, default: Any = None) -> Any:
        """The class of a name. Mapping.get would take a KeyError while importing it for an unknown name."""
        return self[name] if name in self._classes else default

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


def imported(name: str) -> Any:
    """The attribute of a module that is named by `module:attribute`."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def registered(registry: Mapping[str, type[S]], base: type[Any], values: Any, where: str) -> S:
    """The section of the class named `values["name"]`, with the other values. `where` is its key in the config.

    Entry points are looked up in the group `banditloop.<where>s`, as banditloop.agents.

    Raises:
        InvalidInput: there is no subclass of `base` of that name, or the values are not valid for it.
    """
    if isinstance(values, Section):
        return cast(S, values)
    name = values.get("name") if isinstance(values, Mapping) else None
    part = _find_class(registry, name, where)
    if not (isinstance(part, type) and issubclass(part, base)):
        raise InvalidInput(f"{where}.name = {name!r}: is not a subclass of {base.__name__}")
    return part.parse(values, where)


def registered_parts(registry: Mapping[str, type[S]], where: str) -> dict[str, type[S]]:
    """All classes by name: the built-in ones, and the entry points of the group `banditloop.<where>s`."""
    points = entry_points(group=f"banditloop.{where}s")
    return {point.name: point.load() for point in points} | dict(registry)


def _find_class(registry: Mapping[str, type[S]], name: Any, where: str) -> type[S]:
    if not isinstance(name, str):
        raise _unknown(registry, name, where)
    if name in registry:
        return registry[name]
    if ":" in name:
        return _import_class(name, where)
    points = entry_points(group=f"banditloop.{where}s", name=name)
    if not points:
        raise _unknown(registry, name, where)
    return cast(type[S], next(iter(points)).load())


def _import_class(name: str, where: str) -> Any:
    try:
        return imported(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidInput(f"{where}.name = {name!r}: {error}; give module:Class of an importable module") from None


def _unknown(registry: Mapping[str, type[S]], name: Any, where: str) -> InvalidInput:
    names = sorted({*registry, *(point.name for point in entry_points(group=f"banditloop.{where}s"))})
    hint = did_you_mean(str(name), names)
    text = f"{where}.name = {name!r}: is not one of: {', '.join(names)}; or give module:Class"
    return InvalidInput(f"{text}; {hint}" if hint else text)
