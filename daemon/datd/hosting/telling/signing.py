"""How a receiver of webhooks knows that it is us who sends: headers of Standard Webhooks. Pure.

Source: the Standard Webhooks specification, "Signature scheme" and "Webhook metadata": HMAC-SHA256
over the message's id, its time and its body, joined by dots; secrets are base64 behind `whsec_`.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

PREFIX: Final = "whsec_"
# The specification's limits for a secret, in bytes; ours have 32.
MIN_SECRET: Final = 24
MAX_SECRET: Final = 64
SECRET_SIZE: Final = 32


def secret_text(secret: bytes) -> str:
    """A secret as people copy it."""
    return PREFIX + base64.b64encode(secret).decode()


def secret_bytes(text: str) -> bytes:
    """What stands in a secret.

    Raises:
        ValueError: It is none, too short or too long.
    """
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None
    if not MIN_SECRET <= len(secret) <= MAX_SECRET:
        raise ValueError(f"has {len(secret)} bytes, not {MIN_SECRET} to {MAX_SECRET}")
    return secret


def headers(secret: str, message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What goes with a delivery.

    Args:
        secret: As `secret_text` writes it.
        message: Id of the message, the same for each attempt.
        timestamp: Seconds since 1970, of this attempt.
        body: The message.
    """
    signed = b"%s.%d.%s" % (message.encode(), timestamp, body)
    digest = hmac.new(secret_bytes(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
