"""Pages for people, in French and English: templates, their words, their look. What they say is decided elsewhere."""
