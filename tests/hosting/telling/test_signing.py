import base64

import pytest

from datd.hosting.telling import signing


def test_the_example_of_the_specification():
    # Standard Webhooks, "Signature scheme": the values of its reference implementations' tests.
    headers = signing.headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_a_secret_is_read_as_it_was_written():
    secret = bytes(range(32))
    assert signing.secret_bytes(signing.secret_text(secret)) == secret
    assert signing.secret_text(secret).startswith("whsec_")


@pytest.mark.parametrize("size", [0, 23, 65])
def test_secrets_have_24_to_64_bytes(size):
    with pytest.raises(ValueError, match=f"has {size} bytes"):
        signing.secret_bytes("whsec_" + base64.b64encode(bytes(size)).decode())


@pytest.mark.parametrize("text", ["whsec_!", "whsec_ä", "whsec_abc"])
def test_what_is_no_secret(text):
    with pytest.raises(ValueError, match="base64"):
        signing.secret_bytes(text)
