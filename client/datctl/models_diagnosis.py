"""What the daemon finds wrong with itself and its host."""

from typing import Literal

from pydantic import BaseModel

FindingState = Literal["ok", "warn", "fail"]


class Finding(BaseModel):
    """One thing that was looked at.

    Attributes:
        check: What, in a stable word or two: "disk", "clock", "open_files", ….
        state: "fail": it keeps archives from being hosted; "warn": it may, or it does so for some.
        text: What was seen.
        advice: What to do about it; empty where nothing is to be done.
    """

    check: str
    state: FindingState
    text: str
    advice: str = ""


class Diagnosis(BaseModel):
    """Answer of `GET /diagnosis`."""

    findings: list[Finding]
