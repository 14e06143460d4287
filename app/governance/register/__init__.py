"""The register of processing activities (GDPR art. 30): versions, purposes, what is in force on a day."""
