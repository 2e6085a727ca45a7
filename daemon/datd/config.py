"""Settings: built-in defaults < TOML file < systemd credentials < environment < command line."""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from datd.errors import ConfigError
from datd.hosting.tuning import Configured, Source
from datd.settings import (
    ApiSettings,
    DiscoverySettings,
    GatewaySettings,
    LogSettings,
    NamingSettings,
    NetworkSettings,
    PinningSettings,
    Section,
    StorageSettings,
    SwarmSettings,
    WebhookSettings,
    WebSettings,
)


class _Environment(EnvSettingsSource):
    """Reads single settings, never a whole section: `DATD_API` is the client's variable."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        sections = {
            "datd_network",
            "datd_swarm",
            "datd_discovery",
            "datd_naming",
            "datd_web",
            "datd_api",
            "datd_gateway",
            "datd_pinning",
            "datd_storage",
            "datd_webhooks",
            "datd_log",
        }
        return {k: v for k, v in super()._load_env_vars().items() if k.lower() not in sections}

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """A list is written with commas, as people expect, or as in JSON."""
        if not str(value).lstrip().startswith(("[", "{")):
            # A bare number is one more port of the server before it.
            parts = re.split(r"\s*,\s*(?!\d+\s*(?:,|$))", str(value))
            return [part.strip() for part in parts if part.strip()]
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError as error:
            raise ConfigError(
                f"{field_name} = {value!r} in the environment is no list: {error}"
            ) from None


class Config(BaseSettings):
    """All settings. Each can also be given as `DATD_SECTION__NAME` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="DATD_", env_nested_delimiter="__", extra="forbid", secrets_dir=None
    )

    data_dir: Path | None = Field(default=None, description="Where everything is kept.")
    event_loop: Literal["auto", "asyncio", "uvloop"] = Field(
        default="auto", description="What turns; auto: uvloop where it is installed."
    )
    import_roots: list[Path] | None = Field(
        default=None,
        description="Folders that may be published (the user's home; as a service: none).",
    )
    owner_keys: Path | None = Field(
        default=None,
        description="Secret keys of the dat command (~/.dat/secret_keys; as a service: none).",
    )
    api_token: SecretStr | None = Field(
        None, min_length=1, description="Token of the API, instead of a made one."
    )
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    swarm: SwarmSettings = Field(default_factory=SwarmSettings)
    discovery: DiscoverySettings = Field(default_factory=DiscoverySettings)
    naming: NamingSettings = Field(default_factory=NamingSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    gateway: GatewaySettings = Field(default_factory=GatewaySettings)
    pinning: PinningSettings = Field(default_factory=PinningSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    webhooks: WebhookSettings = Field(default_factory=WebhookSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    # What the command line and the file say; `load` makes a class of its own for it.
    _overrides: ClassVar[dict[str, Any]] = {}
    _file: ClassVar[dict[str, Any]] = {}

    @classmethod
    def source_of(cls, *names: str) -> Source:
        """Which source a setting comes from, by its section, if it is in one, and its name."""
        if _in(cls._overrides, names):
            return "command_line"
        if "_".join(("datd", "__".join(names))) in map(str.lower, os.environ):
            return "environment"
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if credentials is not None and (Path(credentials) / names[0]).is_file():
            return "credential"
        return "file" if _in(cls._file, names) else "default"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line, environment, credentials, then the file: its values are the arguments."""
        given = InitSettingsSource(settings_cls, cls._overrides)
        environment = _Environment(settings_cls)
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if credentials is None:
            return given, environment, init_settings
        secrets = SecretsSettingsSource(settings_cls, secrets_dir=credentials, env_prefix="")
        return given, environment, secrets, init_settings


def load(path: Path | None, overrides: Mapping[str, Any]) -> Config:
    """Read all sources.

    Args:
        path: Configuration file; None for the usual places, where it may be absent.
        overrides: Settings of the command line, nested like the file.

    Raises:
        ConfigError: A setting is wrong or unknown, or a file that was named cannot be read.
    """
    file = path or _usual_file()
    text = _read(file) if file is not None else ""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}") from None
    chosen = type("Config", (Config,), {"_overrides": _given(overrides), "_file": values})
    try:
        return cast(Config, chosen(**values))
    except ValidationError as error:
        raise ConfigError(_explain(error, file, text)) from None
    except SettingsError as error:
        raise ConfigError(str(error)) from None


def configured(config: Config) -> list[Configured]:
    """All settings, as they are shown: where nothing is said, what is done then."""
    usual = {
        "data_dir": data_folder(config),
        "import_roots": import_roots(config),
        "owner_keys": owner_keys(config),
        "api.socket": socket_path(config),
    }
    found: list[tuple[FieldInfo, Any, tuple[str, ...]]] = []
    for name, field in Config.model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Section):
            for inner, inner_field in type(value).model_fields.items():
                found.append((inner_field, getattr(value, inner), (name, inner)))
        else:
            found.append((field, value, (name,)))
    return [
        Configured(
            name=(full := ".".join(names)),
            value=_plain(usual.get(full, value)),
            source=config.source_of(*names),
            description=field.description or "",
            secret=isinstance(value, SecretStr) or full == "api_token",
        )
        for field, value, names in found
    ]


def checked(name: str, value: object) -> object:
    """A value for the setting of a section, as it is used.

    Raises:
        ConfigError: It is not possible.
    """
    section, _, field = name.partition(".")
    factory = Config.model_fields[section].default_factory
    try:
        return getattr(cast(Any, factory).model_validate({field: value}), field)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{name} = {str(value)[:80]!r}: {said}") from None


def data_folder(config: Config) -> Path:
    """Where everything is kept: setting, systemd's state folder, or the user's own."""
    if config.data_dir is not None:
        return config.data_dir.expanduser()
    state = os.environ.get("STATE_DIRECTORY")
    if state:
        return Path(state.split(":")[0])
    home = os.environ.get("XDG_DATA_HOME") or _home() / ".local/share"
    return Path(home) / "datd"


def import_roots(config: Config) -> list[Path]:
    """Folders of this host that may be published: the user's home unless it says otherwise.

    A service acts for whoever may use its API, which is not the user it runs as: then none.
    """
    if config.import_roots is not None:
        return [root.expanduser() for root in config.import_roots]
    return [] if os.environ.get("STATE_DIRECTORY") else [_home()]


def owner_keys(config: Config) -> Path | None:
    """Where the `dat` command of this user keeps secret keys, for archives that are taken over.

    They are this user's own, so a service uses none unless it is told to.
    """
    if config.owner_keys is not None:
        return config.owner_keys.expanduser()
    if os.environ.get("STATE_DIRECTORY"):
        return None
    return _home() / ".dat" / "secret_keys"


def socket_path(config: Config) -> Path | None:
    """Where the API's Unix socket lies; None if this user has no runtime folder."""
    if config.api.socket is not None:
        return config.api.socket.expanduser()
    runtime = os.environ.get("RUNTIME_DIRECTORY")
    if runtime:
        return Path(runtime.split(":")[0]) / "api.sock"
    user = os.environ.get("XDG_RUNTIME_DIR")
    return Path(user) / "datd" / "api.sock" if user else None


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a number in a container, of which no file of users knows
        raise ConfigError("this user has no home: set $HOME to a folder") from None


def _usual_file() -> Path | None:
    named = os.environ.get("DATD_CONFIG")
    if named:
        return Path(named)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or _home() / ".config")
    for path in (Path("/etc/datd/datd.toml"), home / "datd/datd.toml"):
        if path.exists():
            return path
    return None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{file} cannot be read: {reason}") from None


def _given(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the command line did not say."""
    nested = {k: _given(v) if isinstance(v, Mapping) else v for k, v in overrides.items()}
    return {name: value for name, value in nested.items() if value is not None and value != {}}


def _explain(error: ValidationError, file: Path | None, text: str) -> str:
    first = error.errors()[0]
    names = [str(part) for part in first["loc"]]
    line = _line_of(names, text)
    # A number is a place in a list, which one variable holds as a whole.
    variable = "DATD_" + "__".join(part for part in first["loc"] if isinstance(part, str)).upper()
    if variable in os.environ:
        where = f"${variable}"
    elif line is not None:
        where = f"{file}, line {line}"
    else:
        where = "settings"
    name, said = ".".join(names), first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        return f"{where}: there is no setting {name}"
    if isinstance(first["input"], Mapping) and first["type"] == "value_error":
        return f"{where}: {name}: {said}"  # several settings of a table do not go together
    return f"{where}: {name} = {str(first['input'])[:80]!r}: {said}"


def _in(values: Mapping[str, Any], names: Sequence[str]) -> bool:
    found: Any = values
    for name in names:
        if not isinstance(found, Mapping) or name not in found:
            return False
        found = found[name]
    return True


def _plain(value: Any) -> Any:
    """A value as JSON has it; secrets become nothing."""
    if isinstance(value, SecretStr):
        return None
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _line_of(names: list[str], text: str) -> int | None:
    """The line of a TOML text on which a setting (or the table it stands in) is given."""
    table: list[str] = []
    found = None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([\w.\"]+)\s*\]", line)
        if header:
            table = header.group(1).replace('"', "").split(".")
            if table == names[: len(table)]:
                found = found or number
            continue
        given = re.match(r"\s*\"?(\w+)\"?\s*=", line)
        if given and [*table, given.group(1)] == names[: len(table) + 1]:
            return number
    return found
