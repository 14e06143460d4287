"""Media types, as the ``Content-Type`` of requests, documents and attachments gives them (RFC 9110, section 8.3)."""

from __future__ import annotations


def essence(content_type: str) -> str:
    """Type and subtype in lower case, without parameters: ``text/html`` of ``Text/HTML; charset=utf-8``."""
    return content_type.partition(";")[0].strip().lower()
