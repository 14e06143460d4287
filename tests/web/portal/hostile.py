"""A name that does harm wherever it is not escaped."""

from __future__ import annotations

HOSTILE = "<script>alert('x')</script>&\"{{ 7*7 }}"
