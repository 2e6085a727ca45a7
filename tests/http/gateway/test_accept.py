import pytest
from hypothesis import given
from hypothesis import strategies as st

from datd.http.gateway.accept import choose, names_html

FORMS = ("text/html", "application/json", "text/plain")
CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "text/html"),
        ("", "text/html"),
        ("*/*", "text/html"),
        (CHROMIUM, "text/html"),
        ("application/json", "application/json"),
        ("text/plain, text/html;q=0.5", "text/plain"),
        ("text/*", "text/html"),
        ("text/*;q=0.3, application/json;q=0.4", "application/json"),
        ("text/html;q=0, */*", "application/json"),
        ("image/png", None),
        ("*/*;q=0", None),
        ("APPLICATION/JSON ; Q=0.9", "application/json"),
        ("text/plain;format=flowed;q=0.2, application/json;q=0.1", "text/plain"),
    ],
)
def test_what_a_client_likes_best_is_chosen(header, chosen):
    assert choose(header, FORMS) == chosen


@given(st.text(max_size=300))
def test_t43_any_header_gives_a_choice(header):
    assert choose(header, FORMS) in (*FORMS, None)


def test_browsers_say_html_and_programs_do_not():
    assert names_html(CHROMIUM)
    assert not any(map(names_html, (None, "*/*", "application/json")))
