"""What ``gradwatch import`` says where it cannot do what is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradwatch.errors import BadConfig
from gradwatch.history.command import import_history
from tests.client.history.logs import scalar, write_events


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tensorboard", "{folder}/nowhere"], "there is no "),
        (["tensorboard", "{folder}"], "there is no run of tensorboard in "),
        (["mlflow", "{folder}"], "there is no run of mlflow in "),
        (["wandb", "{folder}"], "there is no run of wandb in "),
        (["tensorboard", "{folder}", "--map", "loss"], "is no rule"),
    ],
)
def test_what_is_not_there_is_said(tmp_path: Path, arguments: list[str], said: str):
    given = [one.replace("{folder}", str(tmp_path)) for one in arguments]
    with pytest.raises(BadConfig, match=said):
        import_history(given)


def test_a_project_that_cannot_be_one_is_said(tmp_path: Path):
    write_events(tmp_path, (0, [scalar("loss", 1.0)]))
    with pytest.raises(BadConfig, match="--project"):
        import_history(["tensorboard", str(tmp_path), "--project", "a\nb"])


def test_a_dry_run_names_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    tags = ["loss", "epoch", "time", "eval/a", *(f"gradients/{layer}" for layer in range(6))]
    write_events(tmp_path, (0, [scalar(tag, 1.0) for tag in tags]))
    code = import_history(["tensorboard", str(tmp_path), "--dry-run", "--leave-out", "eval/*"])
    first = ", ".join(f"gradients/{layer}" for layer in range(4))
    assert code == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"    {first} and 2 more -> grad_norm of layers",
        "    as they are: epoch, loss",
        "    left out: 1 x eval/a",
        "    left out: 1 x time",
    ]
