"""The hall: where feeds meet the network."""
