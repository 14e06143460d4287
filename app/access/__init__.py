"""Authorisation: sources, credentials, scopes."""
