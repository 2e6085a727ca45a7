import pytest
from pydantic import ValidationError

from datctl.models_auth import AccountChanges, NewAccount, NewToken


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "ä", "a" * 64, "a\n", "../x"])
def test_names_of_accounts_are_plain(name):
    with pytest.raises(ValidationError):
        NewAccount(name=name, password="correct horse")


@pytest.mark.parametrize("password", ["", "1234567", "x" * 257])
def test_passwords_have_a_length_that_makes_sense(password):
    with pytest.raises(ValidationError):
        AccountChanges(password=password)


def test_a_token_reads_unless_it_is_said_otherwise_and_has_no_other_fields():
    assert NewToken(name="x").scope == "read"
    with pytest.raises(ValidationError):
        NewToken.model_validate({"name": "x", "id": "mine"})
