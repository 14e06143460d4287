"""Whose data may only be stored (GDPR art. 18), and who objects to new ones (art. 21)."""
