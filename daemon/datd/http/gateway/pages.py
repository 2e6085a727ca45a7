"""The gateway's own pages: listings of folders, errors, its front page. Pure: text in, HTML out.

Names and titles come from strangers (T-47): each is escaped, in links it is percent-encoded whole,
and signs that hide or turn text are shown as U+FFFD. The pages load nothing and send nothing; their
one style sheet and one script are allowed by their hashes.
"""

import base64
import hashlib
import html
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from datd.hosting.views import EntryView

STYLE = """
:root{color-scheme:light dark;--line:#8884;--dim:#666;--link:#0b57d0}
@media(prefers-color-scheme:dark){:root{--dim:#aaa;--link:#8ab4f8}}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h1{font-size:1.3rem;overflow-wrap:anywhere}
a{color:var(--link)}
p,footer{color:var(--dim)}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.3rem .5rem;border-bottom:1px solid var(--line)}
td:first-child{overflow-wrap:anywhere}
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
input{font:inherit;width:min(40rem,70%)}
input.v{width:7rem}
@media(max-width:35rem){.t{display:none}}
""".strip()

# Shown beside pages that follow their archive; the element that holds it says the version shown.
LIVE_SCRIPT = """
(()=>{const me=document.currentScript,from=me.dataset.version,at=me.dataset.events;
const events=new EventSource(at+"?from="+from);
events.addEventListener("version",()=>{events.close();location.reload()});
addEventListener("pagehide",()=>events.close());})();
""".strip()

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
# Controls, signs that turn or hide text, half surrogates, ends of lines.
_UNFIT = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


# `frame-ancestors`: a page of another site cannot lay it under its own buttons.
POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(LIVE_SCRIPT)}; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder to be listed.

    Attributes:
        title: Of the archive; may be empty.
        path: Its path below the root of the site; "/" is the root.
        prefix: What stands before that path in addresses.
        query: What has to stand behind them to stay in the version, as "?version=5"; or "".
        entries: One page of it.
        following: Where the next page starts; None: this is the last.
        version: Number of the version.
        events: Where new versions are told; None: this one is meant to stay.
    """

    title: str
    path: str
    prefix: str
    query: str
    entries: Sequence[EntryView]
    following: str | None
    version: int
    events: str | None = None


def folder_page(folder: Folder) -> str:
    """A listing in HTML."""
    rows = []
    if folder.path != "/":
        rows.append(
            f'<tr><td><a href="../{folder.query}">../</a></td>'
            '<td class="n"></td><td class="n t"></td></tr>'
        )
    for entry in sorted(folder.entries, key=lambda entry: entry.kind != "directory"):
        rows.append(_row(entry, folder.query))
    more = ""
    if folder.following is not None:
        joint = "&" if folder.query else "?"
        address = f"{folder.query}{joint}after={quote(folder.following, safe='')}"
        more = f'<p><a href="{html.escape(address)}" rel="next">More entries</a></p>'
    if not folder.entries:
        more = "<p>This folder is empty.</p>"
    newest = ' · <a href="?">the newest version</a>' if folder.query else ""
    body = (
        f"<h1>{_crumbs(folder)}</h1>"
        "<table><caption hidden>Files and folders</caption><thead><tr>"
        '<th scope="col">Name</th><th scope="col" class="n">Size</th>'
        '<th scope="col" class="n t">Changed</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>{more}"
        # A form, since programs that follow all links would fetch every version of everything.
        '<footer><form method="get"><p><label>Version <input name="version" class="v" '
        f'value="{folder.version}" autocomplete="off"></label> <button>Show</button>{newest} · '
        '<a href="?timemap" rel="nofollow">all versions</a></p></form></footer>'
    )
    script = ""
    if folder.events is not None:
        script = script_element(folder.version, folder.events, LIVE_SCRIPT)
    name = visible(folder.title) or "Dat archive"
    return document(f"{visible(folder.path)} · {name}", body + script)


def message_page(title: str, text: str, ways: Sequence[tuple[str, str]] = ()) -> str:
    """An error, or anything else that is said in a sentence.

    Args:
        title: In few words.
        text: The sentence.
        ways: Where to go on: addresses in percent encoding, and what lies there.
    """
    body = f'<h1>{html.escape(title)}</h1><p role="alert">{html.escape(text)}</p>'
    links = (f'<a href="{html.escape(to)}">{html.escape(what)}</a>' for to, what in ways)
    return document(title, f"{body}<p>{' · '.join(links)}</p>" if ways else body)


def problem_texts(document: bytes) -> tuple[str, str]:
    """Title and sentence of a problem's JSON, for a page."""
    try:
        found = json.loads(document)
        return str(found["title"]), str(found["detail"])
    except (ValueError, KeyError, TypeError):
        raise AssertionError(document) from None


def front_page(names: bool) -> str:
    """What stands at `/` of the gateway itself. It does not tell which archives are here.

    Args:
        names: Whether archives are found by name, too.
    """
    or_name = ", or the name of an archive that is hosted here" if names else ""
    return document(
        "Dat gateway",
        "<h1>Dat gateway</h1>"
        '<form action="/" method="get"><p><label for="link">A link, such as dat://KEY/path'
        f'{or_name}:</label></p><p><input id="link" name="link" '
        'required autocomplete="off" spellcheck="false"> <button>Open</button></p></form>',
    )


def document(title: str, body: str) -> str:
    """A whole page; `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        # Without an icon of its own a page is asked for one elsewhere.
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def script_element(version: int, events: str, script: str = "", source: str = "") -> str:
    """The element that reloads a page when there is a newer version."""
    where = f' src="{html.escape(source)}"' if source else ""
    return (
        f'<script{where} data-version="{version}" data-events="{html.escape(events)}">'
        f"{script}</script>"
    )


def visible(name: str) -> str:
    """A stranger's text with every sign to be seen: what hides or turns others becomes U+FFFD."""
    if name.isprintable():
        return name  # nearly all are, and that is found out a hundred times as fast
    return "".join("\ufffd" if unicodedata.category(s) in _UNFIT else s for s in name)


def link_to(name: str, *, is_folder: bool = False) -> str:
    """A relative link to an entry of the folder shown; can be nothing but that."""
    encoded = quote(name.encode("utf-8", "replace"), safe="")
    return f"./{encoded}{'/' if is_folder else ''}"


def size_text(size: int) -> str:
    """A number of bytes for people."""
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{size} B" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def _row(entry: EntryView, query: str) -> str:
    name = entry.path.rpartition("/")[2]
    is_folder = entry.kind == "directory"
    shown = f"<bdi>{html.escape(visible(name))}{'/' if is_folder else ''}</bdi>"
    size = size_text(entry.size) if entry.kind == "file" else ""
    link = html.escape(link_to(name, is_folder=is_folder) + query)
    return (
        f'<tr><td><a href="{link}">{shown}</a></td><td class="n">{size}</td>'
        f'<td class="n t">{_time(entry.mtime)}</td></tr>'
    )


def _time(seconds: float) -> str:
    # 0 is what has no time; years beyond 9999 are no dates of ours.
    if not 0 < seconds < 253_402_300_799:
        return ""
    moment = datetime.fromtimestamp(int(seconds), UTC)
    return f'<time datetime="{moment.isoformat()}">{moment:%Y-%m-%d %H:%M}</time>'


def _crumbs(folder: Folder) -> str:
    parts = [part for part in folder.path.split("/") if part]
    root = html.escape(visible(folder.title) or "Dat archive")
    query = html.escape(folder.query)
    crumbs = [f'<a href="{html.escape(folder.prefix)}/{query}"><bdi>{root}</bdi></a>']
    address = folder.prefix
    for part in parts:
        address += "/" + quote(part.encode("utf-8", "replace"), safe="")
        crumbs.append(
            f'<a href="{html.escape(address)}/{query}"><bdi>{html.escape(visible(part))}</bdi></a>'
        )
    return " / ".join(crumbs)
