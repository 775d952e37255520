"""A team's training jobs, sent to a real server: what a board is for."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from gradwatch_service.domain import Frame
from gradwatch_service.store import packing
from tests.scenarios import scenario
from tests.servers import poll
from tests.streams import Scenario, cut, training

Steps = Sequence[Mapping[str, Any]]
# A few steps of a job that goes well, and one of a job that dies.
CALM: Steps = tuple(
    {"step": step, "loss": 2.0 - 0.1 * step, "grad_norm": 1.0} for step in range(10)
)
DEADLY: Steps = (
    {"step": 10, "loss": "NaN", "grad_norm": "NaN", "layers": {"fc": {"grad_norm": "NaN"}}},
)


LONG_NAME = "resnet50-imagenet-augmented-with-a-very-long-name-indeed"


@dataclass(frozen=True)
class Job:
    """One run: what it is called, what it sends, and how it ends; None: it goes on."""

    name: str
    sends: Scenario
    project: str = "lm"
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    end: str | None = None


def jobs() -> list[Job]:
    """One of each kind that a board has to tell apart."""
    sweep: Any = {"tags": ("sweep-7",), "config": {"max_steps": 2000}}
    tags = ("baseline", "augmented", "bf16")
    return [
        Job("gpt-small lr 6e-4", scenario("fast growth"), **sweep),
        Job("char-rnn tanh", scenario("through time"), tags=tags[:1], config={"steps": 400}),
        Job("deep-mlp fp16", scenario("not a number in one layer"), "vision", end="failed"),
        Job("vit-b16 warm-up", scenario("restless"), "vision", config={"total_steps": 1280}),
        Job("gpt-small lr 3e-4", training(480, seed=5), **sweep),
        Job(LONG_NAME, training(480, seed=7), "vision", tags, {"max_steps": 480}, end="finished"),
    ]


def send(http: httpx.Client, job: Job) -> str:
    """Send all of a job; returns the id of its run."""
    run = new_run(http, job.name, job.project, tags=[*job.tags], config=dict(job.config),
                  layers=[layer.as_json() for layer in job.sends.layers.layers])  # fmt: skip
    frames = cut(job.sends.frame, range(100, len(job.sends), 100))
    for seq, frame in enumerate(frames):
        put(http, run, seq, frame)
    if job.end is not None:
        body = {"state": job.end}
        assert http.post(f"/runs/{run}/finish", json=body).status_code == 200
    return run


def new_run(http: httpx.Client, name: str, project: str = "lm", **fields: Any) -> str:
    body = {"id": str(uuid.uuid4()), "project": project, "name": name, **fields}
    answer = http.post("/runs", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def push(http: httpx.Client, run: str, steps: Steps) -> None:
    """Send steps as curl would."""
    answer = http.post(f"/runs/{run}/steps", json={"steps": steps})
    assert answer.status_code == 201, answer.text


def put(http: httpx.Client, run: str, seq: int, frame: Frame) -> None:
    headers = {"content-type": "application/msgpack"}
    path = f"/runs/{run}/writers/rank0/frames/{seq}"
    answer = http.put(path, content=packing.pack(frame), headers=headers)
    assert answer.status_code == 201, answer.text


def firing(http: httpx.Client, run: str) -> list[dict[str, Any]]:
    """The firing alerts of a run, as soon as it is judged."""
    return list(http.get("/alerts", params={"run": run, "state": "firing"}).json()["items"])


def acknowledge_one(http: httpx.Client, run: str) -> None:
    """Somebody looks after what is wrong with a run."""
    poll(lambda: bool(firing(http, run)), "an alert fires")
    for alert in firing(http, run):
        answer = http.post(f"/alerts/{alert['id']}/acknowledge", json={"by": "Ada"})
        assert answer.status_code == 200
