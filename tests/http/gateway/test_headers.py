import pytest

from datd.archive.manifest import Manifest
from datd.http.gateway.headers import archive_headers, vary
from datd.http.gateway.origins import Site
from datd.keys import Key

KEY = Key(bytes(32))
OWN = Site("home", None, "", "/")
SHARED = Site("home", None, "/home", "/")


def policy(site, author=""):
    found = archive_headers(KEY, site, Manifest(content_security_policy=author))
    return found["Content-Security-Policy"]


def test_t46_pages_are_sandboxed_only_where_archives_share_an_origin():
    assert "sandbox" not in policy(OWN)
    assert policy(SHARED).startswith("sandbox;")


def test_t46_an_author_adds_a_policy_and_changes_none():
    for site in (OWN, SHARED):
        assert policy(site, "script-src *") == f"{policy(site)}, script-src *"


@pytest.mark.parametrize("author", ["", "script-src 'self'\r\nX: y", "img-src ä", "a\x00"])
def test_what_no_header_can_carry_is_left_out(author):
    assert policy(OWN, author) == policy(OWN)


def test_t46_only_a_shared_domain_that_was_configured_lets_others_embed():
    name = "Cross-Origin-Resource-Policy"
    assert archive_headers(KEY, SHARED, None)[name] == "same-origin"
    open_site = Site("home", None, "/home", "/", embeds=True)
    assert archive_headers(KEY, open_site, None)[name] == "cross-origin"


def test_a_sandboxed_page_has_no_policy_on_openers_which_browsers_refuse_together():
    name = "Cross-Origin-Opener-Policy"
    assert archive_headers(KEY, OWN, None)[name] == "same-origin"
    assert archive_headers(KEY, SHARED, None)[name] == "unsafe-none"


def test_what_an_answer_depends_on_is_said_once():
    headers = {"Vary": "Accept"}
    vary(headers, "Accept-Datetime", "Accept")
    assert headers == {"Vary": "Accept, Accept-Datetime"}
