"""A feature, as the list has it: what it builds, its routes, its jobs, its commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

import click

from app.platform.feature_services import FeatureServices
from app.web.gate import Gate
from app.web.mounting import Mounted

if TYPE_CHECKING:
    from app.wiring.container import Container

Services = TypeVar("Services", bound=FeatureServices)


def _no_routes(_: Container, __: Gate) -> Iterable[Mounted]:
    return ()


class Feature(Generic[Services]):
    """A line of the list; on a container, the services that it builds."""

    def __init__(
        self,
        build: Callable[[Container], Services],
        *,
        routes: Callable[[Container, Gate], Iterable[Mounted]] = _no_routes,
        commands: Sequence[click.Command] = (),
    ) -> None:
        """Describe it.

        Args:
            build: Its services; nothing is connected or opened before one of them is asked for.
            routes: Its routes; the gate tells who may use them.
            commands: Its commands; they get the container.
        """
        self.build = build
        self.routes = routes
        self.commands = tuple(commands)
        self.name = ""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        """It is called as the line of the list says."""
        self.name = name

    @overload
    def __get__(self, container: None, owner: type[Any]) -> Self: ...

    @overload
    def __get__(self, container: object, owner: type[Any]) -> Services: ...

    def __get__(self, container: object | None, owner: type[Any]) -> Self | Services:
        """The feature itself of the class; of a container, its services."""
        if container is None:
            return self
        # Once built it stands in the container itself, and is found there before this.
        raise AttributeError(f"{self.name} is built later: ask the container when it is needed.")


def features_of(listed: type[object]) -> tuple[Feature[Any], ...]:
    """The features of a list, in its order."""
    found = {name: line for each in reversed(listed.__mro__) for name, line in vars(each).items()}
    return tuple(line for line in found.values() if isinstance(line, Feature))
