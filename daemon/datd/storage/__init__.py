"""Bytes at offsets: memory, disk, and the SLEEP files made of them."""
