"""Append-only registers: tree, bitfield, feed."""
