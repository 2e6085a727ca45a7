import pytest
from pydantic import ValidationError

from datctl.models_settings import MIN_RATE, SECTIONS, Setting, SettingChanges
from datd import config, settings


def test_what_is_not_named_is_not_sent():
    asked = SettingChanges.model_validate({"network": {"upload_limit": None}})
    assert asked.model_dump(exclude_unset=True) == {"network": {"upload_limit": None}}


def test_misspelt_settings_are_refused():
    for wrong in ('{"network": {"upload": 1}}', '{"net": {}}', '{"network": {"upload_limit": 1}}'):
        with pytest.raises(ValidationError):
            SettingChanges.model_validate_json(wrong)


def test_an_answer_may_gain_fields():
    assert Setting.model_validate({"name": "a", "source": "file", "later": 1}).value is None


def test_the_daemon_has_all_of_them_with_the_same_limits():
    assert MIN_RATE == settings.MIN_RATE
    known = {one.name for one in config.configured(config.Config(api_token=None))}
    for section, model in SECTIONS.items():
        for name in model.model_fields:
            assert f"{section}.{name}" in known


def test_what_a_limit_may_be_stands_in_the_schema_as_it_is_checked():
    schema = SettingChanges.model_json_schema()["$defs"]["NetworkChanges"]
    (rate,) = [one for one in schema["properties"]["upload_limit"]["anyOf"] if "minimum" in one]
    assert rate["anyOf"] == [{"const": 0}, {"minimum": MIN_RATE}]
    for value in (0, MIN_RATE):
        SettingChanges.model_validate({"network": {"upload_limit": value}})
    for value in (-1, 1, MIN_RATE - 1):
        with pytest.raises(ValidationError):
            SettingChanges.model_validate({"network": {"upload_limit": value}})
