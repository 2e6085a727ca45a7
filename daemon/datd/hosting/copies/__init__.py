"""Content that is here already, found by its hashes."""
