from typing import Annotated

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, Field

from datd.http.inputs import Query
from datd.http.openapi import document, errors_of
from datd.http.operation import Operation
from datd.http.problems import KINDS


class Base(BaseModel):
    """Below all.

    Attributes:
        old: Told by the
            class above.
    """

    old: int


class Thing(Base):
    """A thing.

    More of it.

    Attributes:
        name: What it is called.
    """

    name: str | None = None


class Asked(Query):
    """Parameters.

    Attributes:
        limit: At most so many.
    """

    limit: Annotated[int, Field(ge=1)] = 5
    word: str | None = None


async def handler(request):
    raise AssertionError(request)


def operation(**rest):
    given = {
        "method": "POST", "path": "/things/{key}", "name": "make_thing", "summary": "Make it",
        "scope": "control", "tag": "Things",
    } | rest  # fmt: skip
    return Operation(handler=handler, **given)


def described(**rest):
    made = document([operation(**rest)])
    OpenAPIV31SpecValidator(made).validate()
    return made, made["paths"]["/things/{key}"]["post"]


async def test_the_whole_interface_is_a_valid_document(api):
    made = (await api.ask("/api/v1/openapi.json")).json
    OpenAPIV31SpecValidator(made).validate()
    assert made["openapi"] == "3.1.0"
    assert made["paths"]["/api/v1/archives/{key}"]["patch"]["operationId"] == "change_archive"


async def test_every_operation_of_the_app_is_in_the_document(api):
    made = (await api.ask("/api/v1/openapi.json")).json
    for path, methods in made["paths"].items():
        # Names of no archive, job, …: whatever is answered, the address exists.
        target = path.replace("{", "no-").replace("}", "")
        allowed = (await api.ask(target, method="TRACE")).headers["allow"].split(", ")
        told = {method.upper() for method in methods} | ({"HEAD"} if "get" in methods else set())
        assert set(allowed) == told | {"OPTIONS"}, path


def test_what_docstrings_say_of_fields_stands_beside_them():
    made, _ = described(answers={200: Thing})
    thing = made["components"]["schemas"]["Thing"]
    assert thing["description"] == "A thing.\n\nMore of it."
    assert thing["properties"]["name"]["description"] == "What it is called."
    assert thing["properties"]["old"]["description"] == "Told by the class above."


def test_parameters_are_those_of_the_model_and_of_the_path():
    _, one = described(query=Asked, headers={"If-Match": "An ETag."})
    found = {parameter["name"]: parameter for parameter in one["parameters"]}
    assert (found["key"]["required"], found["key"]["in"]) == (True, "path")
    assert found["limit"] == {
        "name": "limit", "in": "query", "required": False, "description": "At most so many.",
        "schema": {"type": "integer", "minimum": 1, "default": 5},
    }  # fmt: skip
    assert found["word"]["schema"] == {"type": "string"}  # nothing in an address is null
    assert found["If-Match"]["in"] == "header"


def test_a_body_may_be_one_of_several():
    _, one = described(bodies=(Thing, Base), examples={"One": {"old": 1}})
    content = one["requestBody"]["content"]["application/json"]
    assert [kind["$ref"].rpartition("/")[2] for kind in content["schema"]["anyOf"]] == [
        "Thing",
        "Base",
    ]
    assert one["requestBody"]["required"]
    assert [example["value"] for example in content["examples"].values()] == [{"old": 1}]


def test_each_error_names_the_problems_that_it_can_be():
    _, one = described(errors=("conflict", "exists"))
    problem = one["responses"]["409"]["content"]["application/problem+json"]["schema"]
    assert problem["properties"]["type"]["enum"] == [
        "urn:datd:problem/conflict",
        "urn:datd:problem/exists",
    ]


@pytest.mark.parametrize(
    ("scope", "security", "guarded"),
    [("public", [], False), ("read", [{"token": ["read"]}], True)],
)
def test_who_may_is_told(scope, security, guarded):
    _, one = described(scope=scope)
    assert one["security"] == security
    assert ("401" in one["responses"]) is guarded


def test_every_problem_named_exists():
    for one in (operation(), operation(bodies=(Thing,), scope="public")):
        assert set(errors_of(one)) <= set(KINDS)


def test_waiting_is_announced_where_it_helps():
    made, one = described()
    for status in ("429", "503"):
        name = one["responses"][status]["$ref"].rpartition("/")[2]
        assert "Retry-After" in made["components"]["responses"][name]["headers"]
