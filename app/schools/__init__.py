"""The directory of schools: what each is, where, and when it is open, edition by edition."""
