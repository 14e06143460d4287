"""Erasure (GDPR art. 17): steps, receipts, tombstones."""
