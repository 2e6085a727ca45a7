"""What happened, told to whoever follows."""
