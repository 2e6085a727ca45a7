"""What to ask of whom, and what to tell them."""
