"""Web servers as a source of archives."""
