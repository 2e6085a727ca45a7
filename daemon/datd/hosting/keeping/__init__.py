"""What each archive keeps, what is there of it, and room for it."""
