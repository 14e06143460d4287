"""Persons who sign in: their accounts, their roles with perimeters, their sessions."""
