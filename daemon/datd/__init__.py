"""datd: a daemon that keeps Dat archives alive."""

__version__ = "0.1.0"
