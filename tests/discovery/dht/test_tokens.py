from hypothesis import given
from hypothesis import strategies as st

from datd.discovery.dht.tokens import LIFETIME, Tokens

TOKENS = Tokens(b"secret")


@given(st.floats(0, 1e9), st.floats(0, LIFETIME))
def test_a_token_is_good_for_five_minutes_at_least(now, age):
    assert TOKENS.valid(TOKENS.token("10.0.0.1", now), "10.0.0.1", now + age)


@given(st.floats(0, 1e9), st.floats(2 * LIFETIME + 1, 1e9))
def test_a_token_is_good_for_ten_minutes_at_most(now, age):
    assert not TOKENS.valid(TOKENS.token("10.0.0.1", now), "10.0.0.1", now + age)


def test_a_token_is_of_its_host_and_its_node():
    token = TOKENS.token("10.0.0.1", 0)
    assert not TOKENS.valid(token, "10.0.0.2", 0)
    assert not Tokens(b"another").valid(token, "10.0.0.1", 0)


@given(st.binary(max_size=64))
def test_t31_no_other_bytes_are_a_token(data):
    assert not TOKENS.valid(data, "10.0.0.1", 0) or data == TOKENS.token("10.0.0.1", 0)
