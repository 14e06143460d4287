"""The product's own API, for researchers and data protection officers."""
