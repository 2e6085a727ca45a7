"""Where things lie below the prefix of the API, and how versions are named there."""

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from datctl.connection import ANSWER_SECONDS, REPEATABLE
from datctl.errors import UsageError
from datctl.models_settings import SECTIONS, SettingChanges

DEFAULT_WAIT = 30.0
PAGE = 1_000
# A wait for peers is the daemon's to end; this much later its answer is overdue.
_ANSWER_AFTER_WAIT = 15.0

Version = int | str | datetime
"""A version by its number, by a name given to it, or as it was at a time (the reader's own zone
where a `datetime` has none)."""


def archive_path(reference: str) -> str:
    """An archive, named by a link, a key, the beginning of one, or a name."""
    return f"/archives/{_quoted(reference)}"


def file_path(archive: str, path: str) -> str:
    """A file of it, or a folder if the path ends in a slash."""
    return f"{archive_path(archive)}/files/{_quoted(path.lstrip('/'), safe='/')}"


def job_path(job: str) -> str:
    """A job, by its id."""
    return f"/jobs/{_quoted(job)}"


def webhook_path(webhook: str) -> str:
    """A webhook, by its id."""
    return f"/webhooks/{_quoted(webhook)}"


def token_path(token: str) -> str:
    """A token, by its id."""
    return f"/tokens/{_quoted(token)}"


def account_path(account: str) -> str:
    """An account, by its name."""
    return f"/accounts/{_quoted(account)}"


def _quoted(text: str, safe: str = "") -> str:
    try:
        return quote(text, safe=safe)
    except UnicodeEncodeError as error:  # half of a surrogate pair, from a name in another encoding
        raise UsageError("a name or path is no valid Unicode: write it in UTF-8") from error


def several(texts: Iterable[str]) -> list[str]:
    """Texts as JSON has them, whatever sequence the caller likes.

    Raises:
        UsageError: It is one text, which Python would take for its letters.
    """
    if isinstance(texts, str):
        raise UsageError(f"{texts!r} is one text where a list of them is expected: [{texts!r}]")
    return list(texts)


def if_match(etag: str | None) -> dict[str, str]:
    """Headers of a request that is meant for this state only."""
    return {} if etag is None else {"If-Match": etag}


def idempotent(key: str | None) -> dict[str, str]:
    """Headers of a request that may be sent again with the same key, and is done once."""
    return {} if key is None else {REPEATABLE: key}


def new_archive(key: str | None) -> dict[str, str]:
    """Headers of a request that makes an archive: with a key of ours if the caller has none.

    Only so it can be sent again where its connection ends before the answer.
    """
    return idempotent(os.urandom(16).hex() if key is None else key)


def version_text(version: Version | None) -> str | None:
    """A version as a parameter."""
    if isinstance(version, datetime):
        return version.astimezone().isoformat()
    return None if version is None else str(version)


def patience(wait: float) -> float:
    """Seconds without a byte after which an answer to somebody who waits so long is overdue."""
    return max(ANSWER_SECONDS, wait + _ANSWER_AFTER_WAIT)


def setting_changes(changes: Mapping[str, Any]) -> SettingChanges:
    """Changes by name, as in `network.upload_limit`, as the daemon takes them; values unchecked.

    Raises:
        UsageError: There is no such setting that could be changed.
    """
    sections: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        section, _, field = name.partition(".")
        if section not in SECTIONS or field not in SECTIONS[section].model_fields:
            raise UsageError(f"{name!r} is no setting that can be changed while the daemon runs")
        sections.setdefault(section, {})[field] = value
    given = {
        section: SECTIONS[section].model_construct(_fields_set=set(values), **values)
        for section, values in sections.items()
    }
    return SettingChanges.model_construct(_fields_set=set(given), **given)
