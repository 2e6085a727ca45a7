"""Names for people: from `example.org` to the key of an archive (DEP-0005)."""
