"""Every public page, and those who look at them."""

from __future__ import annotations

PAGES = (
    "",
    "processing-activities",
    "processing-activities/ent",
    "data-sets",
    "data-sets/ent_usage",
    "profiles",
    "legal-notice",
    "personal-data",
    "accessibility",
    "help",
    "site-map",
)
"""Paths below the language."""
