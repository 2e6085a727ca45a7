"""The protocol of one connection."""
