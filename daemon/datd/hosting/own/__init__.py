"""Archives of ours: written here, with the secret key."""
