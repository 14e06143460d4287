"""Authenticators: the ways of showing who asks (RFC 9110 11), each a class; a list of them is what the gate asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from app.access.principals import Principal
from app.core.errors import CredentialsRefused

AUTHORIZATION = "Authorization"
"""The field of a head that holds the credentials of every scheme of RFC 9110 11."""


class Fields(Protocol):
    """The header fields of a request."""

    def get(self, name: str, /) -> str | None:
        """The text of a field, whatever the case of its name; None without."""


class RequestHead(NamedTuple):
    """A request before its body is read.

    Attributes:
        method: Its method.
        path: The path of the resource.
        fields: Its header fields.
    """

    method: str
    path: str
    fields: Fields


class Authenticator(Protocol):
    """One way of showing who asks."""

    @property
    def field(self) -> str:
        """The header field in which its credentials come."""

    @property
    def challenge(self) -> str | None:
        """The challenge that asks for them (RFC 9110 11.3); None when no ``WWW-Authenticate`` can."""

    @property
    def advice(self) -> str:
        """A sentence that says how to send them."""

    def authenticate(self, head: RequestHead) -> Principal | None:
        """The principal that the head shows; None when it shows nothing in this way, so that another is asked.

        Raises:
            CredentialsRefused: it does, and these are malformed, unknown, revoked, ended or wrong; the answer does
                not say which.
        """


class Authenticators:
    """The ways that a service takes, in the order in which they are asked."""

    def __init__(self, ways: Sequence[Authenticator]) -> None:
        self._ways = tuple(ways)
        self.fields = tuple(dict.fromkeys(way.field for way in self._ways))
        """The header fields in which credentials may come."""
        self.challenges = tuple(way.challenge for way in self._ways if way.challenge is not None)
        """The challenges of ``WWW-Authenticate``, one for each way that has one."""

    def shown(self, head: RequestHead) -> bool:
        """True if the head has credentials, good or not."""
        return any(head.fields.get(field) is not None for field in self.fields)

    def principal(self, head: RequestHead) -> Principal:
        """The principal that sends a request.

        Raises:
            CredentialsRefused: it shows nobody, or what it shows is refused.
        """
        for way in self._ways:
            principal = way.authenticate(head)
            if principal is not None:
                return principal
        raise CredentialsRefused(" ".join(way.advice for way in self._ways))
