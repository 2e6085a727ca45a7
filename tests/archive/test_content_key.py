import json

import pytest
from tests.helpers.vectors import vectors

from datd import crypto
from datd.archive.content_key import checked_content_key, content_secret, has_small_order
from datd.archive.entries import Header
from datd.errors import ArchiveFormatError
from datd.keys import Key

METADATA = Key(crypto.key_pair(b"m" * 32).public)
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def add(one, other):
    """Addition on the Edwards curve of Ed25519."""
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return x % P, y % P


def x_of(y):
    """A point's x, or None if there is none with this y."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    root = pow(square, (P + 3) // 8, P)
    for x in (root, root * pow(2, (P - 1) // 4, P) % P):
        if x * x % P == square:
            return x
    return None


def torsion():
    """All eight points whose order divides 8: what the large prime order leaves of any point."""
    order = 2**252 + 27742317777372353535851937790883648493
    y = 2
    while True:
        x = x_of(y)
        y += 1
        if x is None:
            continue
        found, power, rest = (0, 1), (x, y - 1), order
        while rest:
            if rest & 1:
                found = add(found, power)
            power, rest = add(power, power), rest >> 1
        points = [(0, 1)]
        while (following := add(points[-1], found)) != (0, 1):
            points.append(following)
        if len(points) == 8:
            return points


def test_t28_all_points_of_small_order_are_known_however_written():
    for x, y in torsion():
        for written in {y, y + P if y + P < 2**255 else y}:
            for sign in (x & 1, 1 - (x & 1)):
                raw = (written | sign << 255).to_bytes(32, "little")
                assert has_small_order(raw), raw.hex()


def test_ordinary_keys_have_no_small_order():
    for seed in range(50):
        assert not has_small_order(crypto.key_pair(bytes([seed]) * 32).public)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (b"", "0 bytes"),
        (b"x" * 33, "33 bytes"),
        (METADATA.raw, "metadata feed"),
        (bytes(32), "anybody can sign"),
    ],
)
def test_t28_keys_that_cannot_be_are_refused_with_the_reason(key, reason):
    with pytest.raises(ArchiveFormatError, match=reason):
        checked_content_key(Header("hyperdrive", key), METADATA)


def test_a_feed_of_another_type_is_no_archive():
    key = crypto.key_pair(b"c" * 32).public
    assert checked_content_key(Header("hyperdrive", key), METADATA) == Key(key)
    with pytest.raises(ArchiveFormatError, match="plain feed of type 'hyperdb'"):
        checked_content_key(Header("hyperdb", key), METADATA)


def test_the_secret_of_a_content_feed_is_the_one_the_reference_derives():
    for row in json.loads((vectors("feeds") / "crypto.json").read_text())["keys"]:
        secret, public = bytes.fromhex(row["secretKey"]), bytes.fromhex(row["contentPublicKey"])
        assert content_secret(secret, Key(public)) == bytes.fromhex(row["contentSecretKey"])


def test_a_content_key_that_was_not_derived_has_no_secret():
    assert content_secret(crypto.key_pair(bytes(32)).secret, METADATA) is None
