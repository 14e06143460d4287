"""Restriction of processing (GDPR art. 18) and objection to new data (art. 21), by data subject."""
