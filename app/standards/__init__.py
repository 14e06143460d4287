"""The standards that traces follow: xAPI, its profiles, and French identifiers. Pure."""
