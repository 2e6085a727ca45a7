"""From a folder on disk to entries and blocks of an archive."""
