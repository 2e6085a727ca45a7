import pytest

from datd.http.access import NOBODY, Access
from datd.http.operation import Scope
from datd.keys import Key

MINE, OTHER = Key(b"\1" * 32), Key(b"\2" * 32)
SCOPES: tuple[Scope, ...] = ("public", "read", "control", "admin")


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_holds_those_before_it(scope):
    allowed = [one for one in SCOPES if Access("x", scope).allows(one)]
    assert allowed == list(SCOPES[: SCOPES.index(scope) + 1])


def test_pins_need_an_account_and_an_account_has_nothing_else():
    ada = Access("account:ada", "public", account="ada")
    assert ada.allows("account")
    assert ada.allows("public")
    assert not any(ada.allows(scope) for scope in ("read", "control", "admin"))
    assert not Access("api.token", "admin").allows("account")
    assert not NOBODY.allows("account")


def test_a_restriction_hides_all_other_archives_and_makes_no_administrator():
    free = Access("x", "admin")
    bound = Access("x", "admin", archives=frozenset({MINE.hex}))
    assert free.may_see(MINE)
    assert free.may_see(OTHER)
    assert bound.may_see(MINE)
    assert not bound.may_see(OTHER)
    assert free.is_admin
    assert not bound.is_admin
    assert not Access("x", "control").is_admin
