"""The catalogue of collections, and migrations."""
