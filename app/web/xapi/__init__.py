"""The xAPI resources, as the standard names them."""
