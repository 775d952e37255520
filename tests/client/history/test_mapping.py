"""Names of other tools become ours where they mean the same, or as the user says."""

from __future__ import annotations

import pytest

from gradwatch.errors import BadConfig
from gradwatch.history.mapping import Target, read_rules, target_of


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("loss", Target("loss")),
        ("train/loss", Target("loss")),
        ("Loss/train", Target("loss")),
        ("train_loss_step", Target("loss")),
        ("eval/loss", Target("eval/loss")),
        ("train/grad_norm", Target("grad_norm")),
        ("grad_2.0_norm_total", Target("grad_norm")),
        ("grad_norm/total", Target("grad_norm")),
        ("train/learning_rate", Target("lr")),
        ("lr-AdamW", Target("lr")),
        ("gradients/encoder.0.weight", Target("grad_norm", "encoder.0.weight")),
        ("grad_2.0_norm/fc.bias", Target("grad_norm", "fc.bias")),
        ("gradients/fc#norm", Target("grad_norm", "fc")),
        ("gradients/fc#max", Target("grad_max", "fc")),
        ("fc.weight.grad#norm", Target("grad_norm", "fc.weight")),
        ("parameters/fc#norm", Target("weight_norm", "fc")),
        ("update_norm/fc", Target("update_norm", "fc")),
        ("activations/fc#norm", None),
        ("step", None),
        ("train/epoch", Target("train/epoch")),
        ("a\nb", None),
    ],
)
def test_what_a_name_becomes_by_itself(name: str, wanted: Target | None):
    assert target_of(name)[1] == wanted


def test_rules_of_the_user_come_first():
    rules = read_rules(["Perf/L=loss", "norms/*/l2=grad_norm", "eval/*=", "a=b=lr", "loss="])
    assert target_of("perf/l", rules)[1] == Target("loss")
    assert target_of("norms/fc/l2", rules)[1] == Target("grad_norm", "fc")
    assert target_of("eval/loss", rules)[1] is None
    assert target_of("a=b", rules)[1] == Target("lr")
    assert target_of("loss", rules)[1] is None
    assert target_of("train/loss", rules)[1] == Target("loss")


@pytest.mark.parametrize("rule", ["loss", "=loss", "a=step", ""])
def test_what_is_no_rule_is_said(rule: str):
    with pytest.raises(BadConfig, match="is no rule"):
        read_rules([rule])
