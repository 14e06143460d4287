"""The processes of one store: membership, low watermark, claims, the clock they agree on."""
