import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datctl.errors import DatdError
from datctl.lists import read_list

A, B, C = "dat://" + "a" * 64, "b" * 64, "dat://example.org"

# As in homebase's own manual and tests: both of its generations, and what js-yaml writes.
HOMEBASE = f"""
directory: ~/.homebase # where your data will be stored
domain: foo.bar
ports:
  http: 80
# enter your pinned dats here
dats:
  - url: {A}/
    name: mysite
    otherDomains:
      - mysite.com
      - my-site.com
  - url: {B}   # the second
    domains: othersite.com
proxies:
  - from: myproxy.com
    to: https://mysite.com/
"""


def links(text):
    return [item.link for item in read_list(text)]


def test_text_has_a_link_on_each_line():
    text = f"# all of them\n\n{A}\r\n  {B}  a remark\n{A}\n{C}"
    assert [(item.where, item.link) for item in read_list(text)] == [
        ("line 3", A), ("line 4", B), ("line 6", C)
    ]  # fmt: skip
    assert read_list(" \n# nothing\n") == []


def test_json_of_dat_store_pinning_services_and_datctl():
    assert links(json.dumps([A, B])) == [A, B]
    assert links(json.dumps({"items": [{"url": A, "title": "x"}, {"url": B}]})) == [A, B]
    assert links(f'{{"url": "{A}"}}\n{{"url": "{B}"}}\n') == [A, B]
    [item] = read_list(json.dumps([{"link": A, "name": "x", "tags": ["a", "b"], "key": "y"}]))
    assert (item.link, item.name, item.tags) == (A, "x", ["a", "b"])
    assert links("[]") == []


def test_homebase_names_its_dats():
    found = [(item.link, item.name) for item in read_list(HOMEBASE)]
    assert found == [(A + "/", "mysite"), (B, None)]


@pytest.mark.parametrize(
    "text",
    [
        f"dats:\n- url: '{A}'\n- domains:\n  - x.org\n  url: \"{B}\"\n",
        f"---\ndats:\n    -   url: {A}\n    -   name: x\n        url: {B}\n",
        f"httpMirror: true\ndats:\n  # mine\n  - url: {A}\n\n  - url: {B}",
        f"hyperdrives:\n- url: {A}\ndats:\n- url: {B}\n",
    ],
)
def test_homebase_as_people_write_it(text):
    assert links(text) == [A, B]


def test_one_dat_need_not_be_a_list_and_none_is_none():
    assert links(f"dats:\n  url: {A}\n  name: x\n") == [A]
    assert links("dats: []\nproxies: []\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        '[" "]',
        '[{"url": ""}]',
        "[{}]",
        "[[]]",
        "{nonsense",
        f"dats: [{{url: {A}}}]",
        "dats:\n  - &x\n    url: *y\n",
        "dats:\n  - url: >-\n      folded\n",
        "dats:\n  - url:\n",
        f"dats:\n  - {{url: {A}}}\n",
    ],
)
def test_what_is_not_understood_is_refused_and_not_skipped(text):
    with pytest.raises(DatdError):
        read_list(text)


@given(st.text(alphabet=" -:#[]{}\n'\"daturls&*>|1", max_size=60))
def test_any_text_is_read_or_refused(text):
    for prefix in ("", "dats:\n", "["):
        with contextlib.suppress(DatdError):
            assert all(item.link for item in read_list(prefix + text))
