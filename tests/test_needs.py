"""What workflows declare in needs.py and what activities/ implements are the same, name by name and type by type."""

import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, get_type_hints

import pytest

import activities
from workflows import needs

Function = Callable[..., Any]


def name_of(function: object) -> str | None:
    definition = getattr(function, "__temporal_activity_definition", None)
    return getattr(definition, "name", None)


def declared() -> dict[str, Function]:
    return {name: function for function in vars(needs).values() if (name := name_of(function))}


@cache
def implemented() -> list[tuple[str, Function]]:
    """(name, function or method) of every activity in every module under activities/."""
    return list(_activities())


def _activities() -> Iterator[tuple[str, Function]]:
    for module in pkgutil.walk_packages(activities.__path__, "activities."):
        for thing in vars(importlib.import_module(module.name)).values():
            if getattr(thing, "__module__", None) != module.name:
                continue
            for one in vars(thing).values() if inspect.isclass(thing) else (thing,):
                if name := name_of(one):
                    yield name, one


def signature(function: Function) -> list[Any]:
    """Types of the arguments (without self), then of the result."""
    hints = get_type_hints(function)
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    return [hints[name] for name in [*names, "return"]]


def test_the_declarations_are_found() -> None:
    assert "publish_check" in declared()


@pytest.mark.parametrize("name", sorted(declared()))
def test_each_declared_activity_is_implemented_once_with_the_same_types(name: str) -> None:
    found = [function for other, function in implemented() if other == name]
    assert 1 == len(found), f"{name} is implemented {len(found)} times under activities/"
    assert signature(declared()[name]) == signature(found[0])


def test_no_activity_is_implemented_without_being_declared() -> None:
    assert set() == {name for name, _ in implemented()} - declared().keys()


def test_no_two_activities_share_a_name() -> None:
    assert [] == [name for name, count in Counter(name for name, _ in implemented()).items() if count > 1]


def test_every_activity_can_be_cancelled_because_it_is_a_coroutine() -> None:
    assert all(inspect.iscoroutinefunction(function) for _, function in implemented())
