"""Reliable byte streams between addresses."""
