import pytest
from pydantic import ValidationError

from datctl.models import ArchiveChanges
from datctl.models_archive import Conflict, ImportRules, Saved
from datctl.models_writing import NewFolder

HISTORY = {"length": 3, "root_hash": "01", "signature": "02"}


def test_answers_of_a_newer_daemon_may_tell_more():
    assert Saved.model_validate({"blocks": 1, "bytes": 2, "seconds": 3}).bytes == 2
    told = Conflict.model_validate({"feed": "ab", "kept": None, "refused": HISTORY, "at": 1})
    assert told.refused.length == 3
    assert ImportRules.model_validate({"order": "any"}) == ImportRules()


@pytest.mark.parametrize("body", [NewFolder(folder="/a"), ArchiveChanges()])
def test_a_folder_is_imported_as_dat_does_unless_somebody_says_otherwise(body):
    usual = ImportRules()
    for name in ImportRules.model_fields:
        assert getattr(body, name) in (None, getattr(usual, name))


@pytest.mark.parametrize("fields", [{"follow_links": "outside"}, {"follow_links": True},
                                    {"delete": "yes"}, {"ignore_hidden": 1}])  # fmt: skip
def test_t43_odd_rules_are_refused(fields):
    for body in (NewFolder, ArchiveChanges):
        with pytest.raises(ValidationError):
            body.model_validate({"folder": "/a"} | fields if body is NewFolder else fields,
                                strict=True)  # fmt: skip
