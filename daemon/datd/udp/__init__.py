"""The one UDP socket that uTP, DNS discovery and the DHT share."""
