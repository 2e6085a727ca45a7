import pytest
from pydantic import ValidationError

from datctl.models_writing import Fork, GivenSecretKey, NewEmpty, NewFolder


def test_a_folder_is_all_that_is_needed():
    asked = NewFolder.model_validate_json('{"folder": "/srv/site"}', strict=True)
    assert (asked.folder, asked.watch, asked.adopt, asked.copied) == (
        "/srv/site", False, "auto", False
    )  # fmt: skip


def test_copy_is_its_name_on_the_way():
    assert NewFolder.model_validate_json('{"folder": "/a", "copy": true}').copied
    sent = NewFolder(folder="/a", copied=True).model_dump_json(exclude_unset=True)
    assert sent == '{"folder":"/a","copy":true}'


def test_a_fork_names_a_version_by_number_or_tag():
    assert Fork.model_validate_json('{"version": 5}', strict=True).version == 5
    assert Fork.model_validate_json('{"version": "v1.0"}', strict=True).version == "v1.0"


@pytest.mark.parametrize("version", ['"5"', '"2019-01-01"', '"a/b"', '""', "-1", "true", '"a b"'])
def test_t43_what_could_be_mistaken_is_no_version_tag(version):
    with pytest.raises(ValidationError):
        Fork.model_validate_json(f'{{"version": {version}}}', strict=True)


@pytest.mark.parametrize(
    "text",
    ["{}", '{"new": null}', '{"new": {"titel": "x"}}', '{"new": {}, "folder": "/a"}',
     '{"new": {"title": 5}}', '{"new": {}, "mode": "latest"}'],
)  # fmt: skip
def test_t43_odd_fields_are_refused(text):
    with pytest.raises(ValidationError):
        NewEmpty.model_validate_json(text, strict=True)


@pytest.mark.parametrize("digits", ["", "ab" * 63, "ab" * 65, "xy" * 64])
def test_a_secret_key_has_128_digits(digits):
    with pytest.raises(ValidationError):
        GivenSecretKey(secret_key=digits)
    assert len(GivenSecretKey(secret_key="Ab" * 64).secret_key) == 128
