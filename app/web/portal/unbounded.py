"""Pages that know no bounds of a perimeter: they tell of the whole store, so a role that has one opens none of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response

from app.access.roles import Role
from app.core.errors import OutsidePerimeter
from app.web import bounds
from app.web.portal.signed_pages import PageRequest, SignedPages, View


class UnboundedPages:
    """Registers such pages, as ``SignedPages`` does."""

    def __init__(self, pages: SignedPages) -> None:
        self._pages = pages

    def show(self, path: str, endpoint: str, roles: Sequence[Role], view: View, **options: Any) -> None:
        """Register a page; see ``SignedPages.show``."""
        self._pages.show(path, endpoint, roles, _unbounded(view), **options)

    def act(self, path: str, endpoint: str, roles: Sequence[Role], view: View, **options: Any) -> None:
        """Register what a form does; see ``SignedPages.act``."""
        self._pages.act(path, endpoint, roles, _unbounded(view), **options)


def _unbounded(view: View) -> View:
    def answered(asked: PageRequest, **values: Any) -> Response:
        # Of several grants of the role one is enough.
        if not any(grant.perimeter.unbounded for grant in asked.grants):
            bounds.note(asked.principal)
            raise OutsidePerimeter(
                "This page tells of the whole store, and your role has limits. It allows: "
                f"{asked.principal.perimeter.described()}.",
                asked="the whole",
            )
        return view(asked, **values)

    return answered
