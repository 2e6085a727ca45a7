import pytest
from pydantic import ValidationError

from datctl.models_pinning import NewPin, PinnedDat


def test_fields_of_other_clients_are_passed_over():
    found = NewPin.model_validate_json('{"url": "dat://x", "domains": null, "otherName": 1}')
    assert (found.url, found.name) == ("dat://x", None)


@pytest.mark.parametrize(
    "fields", [{}, {"url": ""}, {"url": "x" * 3_000}, {"url": "x", "name": "\n"}]
)
def test_odd_pins_are_refused(fields):
    with pytest.raises(ValidationError):
        NewPin.model_validate(fields)


def test_every_item_has_the_fields_of_the_specification():
    item = PinnedDat(url="dat://x", diskUsage=0, progress=0, state="searching").model_dump()
    assert {"url", "name", "title", "description", "additionalUrls"} <= item.keys()
