"""Profiles, patterns and French nomenclatures: verdicts on what comes in."""
