"""`GET /metrics`: the daemon's own counters in the text formats that Prometheus reads.

Nothing is counted for it, and it costs nothing until somebody asks. Names end as Prometheus wants
them: `_total` counts since the daemon's start, `_bytes` and `_seconds` are units.
"""

import asyncio
import os
import platform
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import get_args

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from datd.hosting.archive import HostedArchive
from datd.hosting.library import Library
from datd.hosting.views import DaemonView, State
from datd.http.inputs import read_query
from datd.http.operation import Operation
from datd.http.stats import NoQuery


class MetricsRoutes:
    """Handlers of `/metrics`."""

    def __init__(self, library: Library, archives: int = 0) -> None:
        """Tell about a daemon.

        Args:
            library: All that it hosts.
            archives: So many archives, those hosted longest, get series of their own.
        """
        self._library = library
        self._archives = archives

    def operations(self) -> list[Operation]:
        """What can be asked of the daemon by a monitor."""
        return [
            Operation(
                "GET",
                "/metrics",
                self.get,
                name="get_metrics",
                summary="Numbers for Prometheus",
                scope="read",
                tag="Daemon",
                headers={"Accept": "`application/openmetrics-text` for that format."},
                answers={200: None},
                gives="text/plain",
                description="Single archives have series where `api.metrics_archives` says so.",
            )
        ]

    async def get(self, request: web.Request) -> web.Response:
        """`GET /metrics`."""
        read_query(request, NoQuery)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(0)
        lag = loop.time() - began
        disk = await asyncio.to_thread(_disk, self._library)
        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        registry.register(
            _Snapshot(self._library, await self._library.view(), disk, lag, self._archives)
        )
        encode, kind = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(
            body=encode(registry), headers={"Content-Type": kind, "Cache-Control": "no-store"}
        )


def _disk(library: Library) -> tuple[int, int] | None:
    """Bytes of the disk that archives lie on, free and in all; None if it does not tell."""
    folder = library.services.folder
    try:
        disk = os.statvfs(folder if folder.exists() else folder.parent)
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


@dataclass(eq=False, slots=True)
class _Snapshot(Collector):
    """All that is told at one moment."""

    library: Library
    view: DaemonView
    disk: tuple[int, int] | None
    lag: float
    archives: int

    def collect(self) -> Iterator[Metric]:
        """Every series, by family."""
        yield InfoMetricFamily(
            "datd_build",
            "Which datd runs, and on what.",
            {"version": self.view.version, "python": platform.python_version()},
        )
        yield from self._held()
        yield from self._traffic()
        yield from self._network()
        yield from self._jobs()
        yield from self._process()
        yield from _series(self.library.archives(), self.archives)

    def _held(self) -> Iterator[Metric]:
        states: tuple[str, ...] = get_args(State)
        yield _gauges(
            "datd_archives",
            "Archives by state.",
            ["state"],
            (([state], self.view.archives.get(state, 0)) for state in states),
        )
        summaries = [archive.record.summary for archive in self.library.archives()]
        for name, text, value in (
            ("datd_blocks", "Blocks held.", self.view.blocks_have),
            ("datd_held_bytes", "Bytes of blocks held.", self.view.bytes_have),
            (
                "datd_wanted_blocks",
                "Blocks that archives want, held ones included, as far as known.",
                sum(summary.blocks_total for summary in summaries),
            ),
            (
                "datd_wanted_bytes",
                "Bytes that archives want, held ones included, as far as known.",
                sum(summary.bytes_total for summary in summaries),
            ),
            (
                "datd_conflicts",
                "Archives whose key signed two histories.",
                sum(archive.record.conflict is not None for archive in self.library.archives()),
            ),
        ):
            yield GaugeMetricFamily(name, text, value)
        yield CounterMetricFamily(
            "datd_damaged_blocks",
            "Blocks found damaged on the disk; they are fetched again.",
            self.library.services.traffic.damaged,
        )

    def _traffic(self) -> Iterator[Metric]:
        saved = self.view.saved
        for name, text, value in (
            (
                "datd_downloaded_bytes",
                "Bytes of blocks from peers.",
                self.view.downloaded,
            ),
            ("datd_uploaded_bytes", "Bytes of blocks to peers.", self.view.uploaded),
            ("datd_dedup_asked_hashes", "Hashes asked for before their blocks.", saved.asked),
            ("datd_dedup_blocks", "Blocks found on this host instead of fetched.", saved.blocks),
            ("datd_dedup_saved_bytes", "Bytes of those blocks.", saved.bytes),
        ):
            yield CounterMetricFamily(name, text, value)

        yield _gauges(
            "datd_bandwidth_limit_bytes",
            "Bytes a second that may go this way; none where there is no limit.",
            ["direction"],
            (
                ([name], rate)
                for name, rate in self.view.limits._asdict().items()
                if rate is not None
            ),
        )

    def _network(self) -> Iterator[Metric]:
        swarm = self.library.services.swarm
        for name, text, value in (
            ("datd_connections", "Connections with peers.", swarm.connected),
            (
                "datd_peers_connected",
                "Peers connected, by archive.",
                self.view.peers_connected,
            ),
            ("datd_peers_known", "Peers known, by archive.", self.view.peers_known),
        ):
            yield GaugeMetricFamily(name, text, value)
        views = self.view.network_views
        yield _gauges(
            "datd_network_up",
            "Whether a network, transport or gateway works; none while that is not known.",
            ["network", "kind"],
            (([one.name, one.kind], one.working) for one in views if one.working is not None),
        )
        yield _gauges(
            "datd_network_figures",
            "What networks tell of themselves, as in the answer of /api/v1/stats.",
            ["network", "figure"],
            (([one.name, what], value) for one in views for what, value in one.numbers.items()),
        )

    def _jobs(self) -> Iterator[Metric]:
        jobs = self.library.workshop.jobs
        under_way = Counter(job.kind for job in jobs.all() if job.state == "running")
        yield _gauges(
            "datd_jobs",
            "Jobs under way, those that wait for their turn included.",
            ["kind"],
            (([kind], count) for kind, count in sorted(under_way.items())),
        )
        ended = CounterMetricFamily("datd_jobs_ended", "Jobs that ended.", labels=["kind", "state"])
        for (kind, state), count in sorted(jobs.ended.items()):
            ended.add_metric([kind, state], count)
        yield ended

    def _process(self) -> Iterator[Metric]:
        pool = self.library.services.pool
        yield GaugeMetricFamily("datd_open_files", "Files of archives held open.", pool.open_files)
        yield GaugeMetricFamily("datd_open_files_limit", "At most so many are.", pool.limit)
        if self.disk is not None:
            free, size = self.disk
            yield GaugeMetricFamily("datd_disk_free_bytes", "Free where archives lie.", free)
            yield GaugeMetricFamily("datd_disk_size_bytes", "Size of that disk.", size)
        yield GaugeMetricFamily(
            "datd_event_loop_lag_seconds",
            "How long one turn of the event loop took when this was asked.",
            self.lag,
        )


def _series(archives: list[HostedArchive], most: int) -> Iterator[Metric]:
    """Numbers of single archives, under their public names: a key would be in every monitor."""
    if not most:
        return
    chosen = archives[:most]
    labels = [(archive.key.discovery_key.raw.hex(), archive.name or "") for archive in chosen]
    summaries = [archive.record.summary for archive in chosen]
    traffic = [archive.traffic for archive in chosen]
    for name, text, values in (
        ("version", "Length of its metadata.", [one.version for one in summaries]),
        ("held_blocks", "Blocks held.", [one.blocks_have for one in summaries]),
        ("wanted_blocks", "Blocks wanted.", [one.blocks_total for one in summaries]),
        ("held_bytes", "Bytes held.", [one.bytes_have for one in summaries]),
        ("wanted_bytes", "Bytes wanted.", [one.bytes_total for one in summaries]),
        (
            "peers_connected",
            "Peers connected.",
            [sum(peer.state == "connected" for peer in one.peers()) for one in chosen],
        ),
    ):
        yield _gauges(
            f"datd_archive_{name}",
            f"Of one archive: {text}",
            ["discovery_key", "name"],
            zip(labels, values, strict=True),
        )
    for name, text, values in (
        ("downloaded_bytes", "Bytes from peers.", [one.downloaded.total for one in traffic]),
        ("uploaded_bytes", "Bytes to peers.", [one.uploaded.total for one in traffic]),
    ):
        family = CounterMetricFamily(
            f"datd_archive_{name}",
            f"Of one archive, since it is hosted: {text}",
            labels=["discovery_key", "name"],
        )
        for label, value in zip(labels, values, strict=True):
            family.add_metric(label, value)
        yield family
    yield GaugeMetricFamily(
        "datd_archives_without_series",
        "Archives beyond the setting api.metrics_archives.",
        len(archives) - len(chosen),
    )


def _gauges(
    name: str, text: str, labels: list[str], values: Iterable[tuple[Iterable[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for label, value in values:
        family.add_metric(list(label), value)
    return family
