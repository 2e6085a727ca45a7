"""A node of the Mainline DHT."""
