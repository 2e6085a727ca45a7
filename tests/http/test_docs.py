import base64
import hashlib
import re
from html.parser import HTMLParser

from datd.http.docs import page

DOCS = "/api/v1/docs"


class Page(HTMLParser):
    """What stands in a page: places, links, tags; text between them."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.tags, self.words = [], [], set(), []
        self.open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.add(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[name] for name in ("href", "src") if name in given]
        if tag not in {"meta", "br", "!doctype"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


async def test_the_page_tells_every_operation_and_every_value(api):
    made = (await api.ask("/api/v1/openapi.json")).json
    seen = Page((await api.ask(DOCS)).body.decode())
    names = [one["operationId"] for methods in made["paths"].values() for one in methods.values()]
    assert set(seen.ids) >= {*names, *made["components"]["schemas"]}
    assert len(seen.ids) == len(set(seen.ids))
    text = "".join(seen.words)
    for path in made["paths"]:
        assert path in text
    assert not seen.open


async def test_the_page_needs_nothing_but_itself(api):
    answer = await api.ask(DOCS)
    seen = Page(answer.body.decode())
    places = [link for link in seen.links if not link.startswith("#")]
    assert places == ["openapi.json"]
    assert {link[1:] for link in seen.links if link.startswith("#")} <= set(seen.ids)
    assert not seen.tags & {"script", "img", "iframe", "object", "form", "link", "base"}


async def test_t46_only_the_style_of_the_page_may_run(api):
    answer = await api.ask(DOCS)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    [style] = re.findall("<style>(.*?)</style>", answer.body.decode(), re.DOTALL)
    named = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{named}'" in policy
    assert " style=" not in answer.body.decode()


def test_text_of_the_document_is_no_markup():
    odd = "<script>alert(1)</script> `<b>` **&**"
    text = page(
        {
            "info": {"description": odd},
            "paths": {
                "/<i>": {
                    "get": {
                        "operationId": "x", "summary": odd, "description": odd, "tags": [odd],
                        "parameters": [
                            {"name": odd, "in": "query", "schema": {"enum": [odd]},
                             "description": odd}
                        ],
                        "responses": {"200": {"description": odd}},
                        "security": [],
                    }
                }
            },
            "components": {"schemas": {"X": {"description": odd}}, "responses": {}},
        }
    )  # fmt: skip
    seen = Page(text)
    assert not seen.tags & {"script", "i"}
    assert "<script>alert(1)</script> <b> &" in "".join(seen.words)
