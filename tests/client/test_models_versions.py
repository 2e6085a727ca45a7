import json

from datctl.models_versions import Change, DifferencePage


def test_a_deletion_has_neither_size_nor_time():
    gone = Change.model_validate_json('{"version": 7, "type": "delete", "path": "/a"}')
    assert (gone.kind, gone.size, gone.mtime) == (None, None, None)


def test_from_and_to_are_the_names_on_the_way():
    page = DifferencePage(key="a" * 64, old_version=2, new_version=5, changes=[], next_cursor=None)
    sent = json.loads(page.model_dump_json())
    assert (sent["from"], sent["to"]) == (2, 5)
    assert DifferencePage.model_validate(sent) == page
