import pytest
from pydantic import ValidationError

from datctl.models_diagnosis import Diagnosis


def test_an_answer_may_gain_fields_but_no_states():
    document = {"findings": [{"check": "disk", "state": "ok", "text": "x", "later": 1}]}
    assert Diagnosis.model_validate(document).findings[0].advice == ""
    document["findings"][0]["state"] = "odd"
    with pytest.raises(ValidationError):
        Diagnosis.model_validate(document)
