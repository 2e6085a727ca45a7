"""Routes of the daemon's own settings: looked at, and changed while it runs."""

from typing import Any

from aiohttp import web

from datctl import models_settings as models
from datd.errors import ConfigError
from datd.hosting.tuning import Configured, Tuning
from datd.http import shapes
from datd.http.inputs import read_body, read_query
from datd.http.operation import PREFIX, Operation
from datd.http.problems import Problem
from datd.http.stats import NoQuery

_UNITS: dict[str, models.Unit] = {
    "_bytes": "bytes", "keep_free": "bytes", "_limit": "bytes/s", "_seconds": "seconds",
}  # fmt: skip


class TuningRoutes:
    """Handlers of `/settings`."""

    def __init__(self, tuning: Tuning) -> None:
        self._tuning = tuning

    def operations(self) -> list[Operation]:
        """What can be asked of settings."""
        return [
            Operation(
                "GET",
                f"{PREFIX}/settings",
                self.list,
                name="list_settings",
                summary="All settings of the daemon, and where each comes from",
                scope="admin",
                tag="Daemon",
                answers={200: models.SettingList},
                description="Secrets are named, and never shown.",
            ),
            Operation(
                "PATCH",
                f"{PREFIX}/settings",
                self.change,
                name="change_settings",
                summary="Change settings while the daemon runs",
                scope="admin",
                tag="Daemon",
                bodies=(models.SettingChanges,),
                examples={
                    "By day": {"network": {"upload_limit": 500_000}},
                    "By night": {"network": {"upload_limit": 0}},
                    "As it is configured": {"network": {"upload_limit": None}},
                    "To find a fault": {"log": {"level": "debug"}},
                },
                answers={200: models.SettingList},
                errors=("damaged", "disk_full", "read_only"),
                description="What is not named stays as it is; `null` goes back to what is "
                "configured; a limit of bandwidth of 0 is none. Changes hold at once, and over "
                "restarts.",
            ),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """`GET /settings`."""
        read_query(request, NoQuery)
        return self._answer()

    async def change(self, request: web.Request) -> web.Response:
        """`PATCH /settings`."""
        read_query(request, NoQuery)
        asked = await read_body(request, models.SettingChanges)
        changes = {
            f"{section}.{name}": value
            for section, values in asked.model_dump(exclude_unset=True).items()
            for name, value in values.items()
        }
        try:
            await self._tuning.change(changes)
        except ConfigError as error:
            raise Problem("bad_request", f"In the body: {error}.") from None
        return self._answer()

    def _answer(self) -> web.Response:
        return shapes.json_response(
            models.SettingList(settings=[_shape(one) for one in self._tuning.all()])
        )


def _shape(one: Configured) -> models.Setting:
    return models.Setting(
        name=one.name,
        value=None if one.secret else _encodable(one.value),
        source=one.source,
        configured=None if one.secret else _encodable(one.configured),
        changeable=one.changeable,
        secret=one.secret,
        unit=next((unit for end, unit in _UNITS.items() if one.name.endswith(end)), None),
        description=one.description,
    )


def _encodable(value: Any) -> Any:
    """Paths may hold bytes that are no text."""
    if isinstance(value, list):
        return [_encodable(part) for part in value]
    return shapes.encodable(value) if isinstance(value, str) else value
