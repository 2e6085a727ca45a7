"""Networks that tell who has an archive."""
