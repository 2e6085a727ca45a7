import hashlib
import re

import pytest

from datd.books.secrets import LOGIN_PREFIX, TOKEN_PREFIX, digest, secret_text


@pytest.mark.parametrize("prefix", [TOKEN_PREFIX, LOGIN_PREFIX])
def test_secrets_are_one_word_that_scanners_find(prefix):
    text = secret_text(prefix, bytes(range(32)))
    assert re.fullmatch(r"datd_(login_)?[a-z2-7]{52}", text)


def test_all_of_the_chance_is_in_a_secret():
    assert secret_text("", b"\0" * 31 + b"\1") != secret_text("", b"\0" * 32)
    with pytest.raises(AssertionError):
        secret_text(TOKEN_PREFIX, b"short")


def test_what_is_kept_is_a_plain_sha_256():
    assert digest(b"abc") == hashlib.sha256(b"abc").hexdigest()
