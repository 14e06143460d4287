"""Places where blueprints are mounted."""

from __future__ import annotations

from typing import NamedTuple

from flask import Blueprint

XAPI = "/xAPI"
"""The resources of the standard."""

API = "/api/v1"
"""The interface of this store beside it."""


class Mounted(NamedTuple):
    """A blueprint, and the path that its routes are under; the empty one is the root."""

    blueprint: Blueprint
    prefix: str
