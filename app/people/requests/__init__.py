"""Data-subject requests (GDPR art. 12): due dates, steps."""
