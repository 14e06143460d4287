"""Subject access export (GDPR art. 15), and who received what."""
