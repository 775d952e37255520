"""What must be seen of a training whose gradient doubles with every step in one layer."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

GRAVE = ("error", "critical")
STEPS_TO_SEE_IT = 10


def assert_seen(
    api: str, run: str, layer: str | None, broke: int, headers: Mapping[str, str] | None = None
) -> None:
    """There is a grave alert soon after the break, and each of that time names the layer alone."""
    url = f"{api.rstrip('/')}/alerts"
    answer = httpx.get(url, params={"run": run}, headers=headers, trust_env=False)
    window = range(broke, broke + STEPS_TO_SEE_IT + 1)
    alerts = answer.json()["items"]
    grave = [one for one in alerts if one["severity"] in GRAVE and one["opened_step"] in window]
    assert grave, alerts
    wanted = [] if layer is None else [layer]
    assert [alert["layers"] for alert in grave] == [wanted] * len(grave)
    assert not [one for one in alerts if one["severity"] in GRAVE and one["opened_step"] < broke]
