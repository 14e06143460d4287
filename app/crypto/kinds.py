"""The kinds of blind index entries: one text under two kinds gives unrelated tokens (``IndexKey.token``)."""

from __future__ import annotations

SOURCE = "source"
AGENT = "agent"
RELATED_AGENT = "related-agent"
VERB = "verb"
ACTIVITY = "activity"
RELATED_ACTIVITY = "related-activity"
REGISTRATION = "registration"
SCHOOL = "school"
MONTH = "month"
DAY = "day"
