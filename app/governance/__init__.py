"""The register of processing activities, retention, the audit log."""
