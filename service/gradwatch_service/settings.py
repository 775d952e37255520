"""Every setting of the service, read once at the start from the environment or from flags."""

from __future__ import annotations

import ipaddress

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 2**20
REPEAT_SECONDS_MAX = 30 * 86_400


class Retention(BaseModel):
    """For how many days after a run's last sign of life its reports are kept; none: for ever."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    raw_days: int | None = Field(default=None, ge=1)
    downsampled_days: int | None = Field(default=None, ge=1)


class Settings(BaseSettings):
    """Environment variables with the prefix ``GRADWATCH_``; flags of ``gradwatch serve`` win."""

    model_config = SettingsConfigDict(env_prefix="GRADWATCH_", extra="ignore", frozen=True)

    database_url: str = Field(default="sqlite:///gradwatch.db", description="SQLAlchemy URL")
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(
        default=8321, ge=0, le=65535, description="port to listen on, 0 picks a free one"
    )
    workers: int = Field(
        default=1, ge=1, description="server processes on that port; more than one need PostgreSQL"
    )
    allow_unauthenticated: bool = Field(
        default=False, description="listen beyond loopback although nobody has to show a key"
    )
    require_key: bool = Field(default=False, description="ask everybody for a key, on loopback too")
    allowed_hosts: str = Field(
        default="",
        description="names of the service besides loopback's, by commas; other Hosts are refused",
    )
    requests_per_second: float = Field(
        default=50.0, gt=0, description="requests of one key a second, then 429"
    )
    requests_burst: int = Field(
        default=200, ge=1, description="requests of one key at once; bytes in proportion"
    )
    bytes_per_second: int = Field(
        default=4 * MIB, gt=0, description="body bytes of one key a second, then 429"
    )
    embedded_worker: bool = Field(default=True, description="run the worker inside the server")
    worker_tick_seconds: float = Field(
        default=5.0, gt=0, description="pause between two worker ticks"
    )

    public_url: str = Field(
        default="http://127.0.0.1:8321", description="where people reach the service, for links"
    )
    group_wait_seconds: float = Field(
        default=5.0, ge=0, description="to collect a run's news before the first message"
    )
    group_interval_seconds: float = Field(
        default=300.0, ge=0, description="between messages about a run, unless it gets worse"
    )
    repeat_seconds: float = Field(
        default=14_400.0,
        gt=0,
        le=REPEAT_SECONDS_MAX,
        description="until what still fires is told again",
    )
    deliveries_per_minute: int = Field(
        default=10, gt=0, description="messages a minute on a channel, the last of them a digest"
    )
    delivery_timeout_seconds: float = Field(
        default=10.0, gt=0, description="for a channel to take a message"
    )

    body_bytes_max: int = Field(default=4 * MIB, gt=0, description="bytes of a body on the wire")
    inflated_bytes_max: int = Field(
        default=16 * MIB, gt=0, description="bytes of a body, decompressed"
    )
    inflation_ratio_max: int = Field(
        default=200, gt=0, description="decompressed bytes per byte sent"
    )
    inflation_free_bytes: int = Field(
        default=MIB, ge=0, description="bytes the ratio does not count for"
    )
    ballast_bytes: int = Field(
        default=16 * MIB, ge=0, description="spare file beside SQLite, for deleting on a full disk"
    )
    requests_in_flight_max: int = Field(default=256, gt=0, description="requests at once, then 503")
    bytes_in_flight_max: int = Field(
        default=64 * MIB, gt=0, description="body bytes at once, then 503"
    )
    header_deadline_seconds: float = Field(
        default=10.0, gt=0, description="for the head of a request to arrive"
    )
    body_deadline_seconds: float = Field(default=30.0, gt=0, description="for a body to arrive")
    answer_deadline_seconds: float = Field(
        default=30.0, gt=0, description="for a caller to take 64 KiB of an answer, or its rest"
    )
    handler_deadline_seconds: float = Field(default=20.0, gt=0, description="for a write to commit")

    live_streams_max: int = Field(
        default=100,
        gt=0,
        description="streams of events at once, half of them of one project; then 503",
    )

    backtest_seconds_max: float = Field(
        default=15.0, gt=0, le=60, description="for a back-test; runs not reached are left out"
    )
    backtest_reports_max: int = Field(
        default=2_000_000, gt=0, description="reports that one back-test judges at most"
    )

    retention_raw_days: int | None = Field(
        default=None, ge=1, description="days that reports are kept as they came, of a silent run"
    )
    retention_downsampled_days: int | None = Field(
        default=None, ge=1, description="days that its series are kept at all, down-sampled"
    )
    retention_projects: dict[str, Retention] = Field(
        default={}, description="projects with days of their own, as JSON"
    )

    outgoing_allow: str = Field(
        default="", description="networks and host[:port] that channels may reach although internal"
    )
    apprise_schemes: str = Field(
        default="discord,feishu,gchat,incidentio,lark,line,opsgenie,pagertree,pbul,pover,ryver,"
        "signl4,slack,tgram,wxteams",
        description="kinds of Apprise URL that channels may use",
    )

    @property
    def retention(self) -> Retention:
        """What holds for projects without days of their own."""
        return Retention(
            raw_days=self.retention_raw_days, downsampled_days=self.retention_downsampled_days
        )

    @property
    def may_share(self) -> bool:
        """Whether the database takes what more than one process writes."""
        return not self.database_url.startswith("sqlite")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address the service listens on."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def needs_key(self) -> bool:
        """Whether everybody has to show a key: wherever others than this machine can ask."""
        return self.require_key or not (self.is_loopback or self.allow_unauthenticated)

    @property
    def hosts(self) -> frozenset[str] | None:
        """The names under which the service may be addressed, besides loopback's; None: any."""
        named = frozenset(name.strip().lower() for name in self.allowed_hosts.split(",")) - {""}
        is_open = not named and (self.needs_key or not self.is_loopback)
        return None if is_open or "*" in named else named

    @property
    def cookie_name(self) -> str:
        """Of the dashboards' sessions; browsers take the prefix over TLS only."""
        return "__Host-gradwatch" if self.needs_key else "gradwatch"
