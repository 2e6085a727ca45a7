import asyncio

from tests.helpers.daemon import eventually
from tests.helpers.operations.row import filled, put, send, theirs


async def etag(api, path, query=""):
    answer = await api.ask(path + query)
    assert answer.status == 200, answer
    return answer.headers["etag"]


async def test_nothing_new_is_304_and_anything_new_is_not(api):
    path = await filled(api)

    async def unchanged():  # its files are being counted in the background, for a while
        shown = await api.ask(path)
        known = shown.headers["etag"]
        again = await api.ask(path, f"If-None-Match: {known}")
        return (known, again) if shown.json["files"] == 3 and again.status == 304 else None

    known, again = await eventually(unchanged)
    assert (again.body, again.headers["etag"]) == (b"", known)
    await put(api, path, "new.txt")
    assert (await api.ask(path, f"If-None-Match: {known}")).status == 200


async def test_what_is_seen_counts_for_304(api):
    """Of an answer with fewer fields nothing changes where another field does."""
    path = await filled(api)
    known = await etag(api, path, "?fields=name")
    assert known != await etag(api, path)
    await put(api, path, "new.txt")
    assert (await api.ask(f"{path}?fields=name", f"If-None-Match: {known}")).status == 304


async def test_of_two_who_change_the_same_the_second_is_told(api):
    path = await theirs(api)
    seen = await etag(api, path)
    first = await send(api, "PATCH", path, {"tags": ["a"]}, f"If-Match: {seen}")
    second = await send(api, "PATCH", path, {"tags": ["b"]}, f"If-Match: {seen}")
    assert (first.status, second.status, second.kind) == (200, 412, "precondition")
    third = await send(api, "PATCH", path, {"tags": ["b"]}, f"If-Match: {first.headers['etag']}")
    assert third.json["tags"] == ["b"]


async def test_at_once_only_one_of_them_is_first(api):
    path = await theirs(api)
    seen = f"If-Match: {await etag(api, path)}"
    answers = await asyncio.gather(
        *(send(api, "PATCH", path, {"tags": [str(number)]}, seen) for number in range(8))
    )
    assert sorted(answer.status for answer in answers) == [200] + 7 * [412]


async def test_progress_does_not_hinder_a_change(api):
    """Numbers move all the time: only what can be set counts for a change."""
    path = await filled(api)
    seen = await etag(api, path)
    await put(api, path, "new.txt")
    changed = await send(api, "PATCH", path, {"tags": ["a"]}, f"If-Match: {seen}")
    assert changed.status == 200


async def test_an_archive_is_removed_only_as_it_was_seen(api):
    path = await theirs(api)
    seen = await etag(api, path)
    await send(api, "PATCH", path, {"name": "kept"})
    removed = await api.ask(path, f"If-Match: {seen}", method="DELETE")
    assert (removed.status, removed.kind) == (412, "precondition")
    assert (await api.ask(path)).json["name"] == "kept"
    assert (await api.ask(path, "If-Match: *", method="DELETE")).status == 204


async def test_a_condition_that_says_nothing_changes_nothing(api):
    path = await theirs(api)
    for header in ("If-Match: abc", "If-Match: ", 'If-Match: W/"abc"'):
        answer = await send(api, "PATCH", path, {"tags": ["x"]}, header)
        assert answer.kind in ("bad_request", "precondition")
    assert (await api.ask(path)).json["tags"] == []


async def test_tags_of_versions_given_at_once_are_all_kept(api):
    path = await filled(api)
    names = [f"tag{number}" for number in range(20)]
    await asyncio.gather(*(send(api, "PATCH", path, {"version_tags": {name: 1}}) for name in names))
    assert (await api.ask(path)).json["version_tags"] == dict.fromkeys(names, 1)
