"""Throughput of datd beside the original programs, on this machine: `./dev bench`."""
