"""The wiring: the list of features, the container of their services, its life, the web application."""
