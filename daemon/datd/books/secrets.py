"""Secrets that are given out once and kept as hashes: tokens and logins. Pure.

They have 32 random bytes, so one plain hash hides them: there is nothing to guess through. Whoever
reads the catalogue, or a backup of it, learns no secret.
"""

import base64
import hashlib

SECRET_SIZE = 32

# Scanners of sources and logs find what begins so, and readers see what they found.
TOKEN_PREFIX = "datd_"
LOGIN_PREFIX = "datd_login_"


def secret_text(prefix: str, chance: bytes) -> str:
    """A secret as it is given out: lower case letters and digits, one double click.

    Args:
        prefix: What it begins with.
        chance: 32 random bytes.
    """
    if len(chance) != SECRET_SIZE:
        raise AssertionError(len(chance))
    return prefix + base64.b32encode(chance).decode("ascii").rstrip("=").lower()


def digest(secret: bytes) -> str:
    """What is kept of a secret, and what it is found by, in hex.

    To look a secret up by its hash takes a time that tells nothing of any other secret.
    """
    return hashlib.sha256(secret).hexdigest()
