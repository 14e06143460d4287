"""Sillage: a learning-trace (xAPI) record store for education."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from app.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application, wired for these settings (by default those of the environment)."""
    from app.wiring.web_application import create_app as wired

    return wired(settings)
