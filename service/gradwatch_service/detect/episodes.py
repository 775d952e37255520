"""Substrate S5: from levels per report to episodes; a finding where one opens, changes or ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeGuard

from gradwatch_service.detect.rule import Sighting, Signal
from gradwatch_service.detect.view import View
from gradwatch_service.domain import Evidence, Severity

MERGE_WITHIN = 64
Kind = Literal["opened", "worsened", "noted", "cleared"]


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch of reports in which a rule held; ``calm`` counts calm reports at its end."""

    severity: Severity
    opened_ordinal: int
    opened_step: int
    last_ordinal: int
    last_step: int
    calm: int = 0
    active: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """A transition of a rule's episode at one report; carries what the rule saw there.

    ``noted``: there is more to say, but the episode is as bad as it was. ``columns`` are those of
    the view's layer table.
    """

    rule: str
    kind: Kind
    severity: Severity
    ordinal: int
    step: int
    opened_ordinal: int
    opened_step: int
    evidence: tuple[Evidence, ...] = ()
    layers: tuple[str, ...] = ()
    columns: tuple[int, ...] = ()


def follow(
    rule: str, clear_after: int, episode: Episode | None, signal: Signal, view: View
) -> tuple[Episode | None, list[Finding]]:
    """Advance a rule's episode over the rows of a view."""
    findings: list[Finding] = []
    if signal.level is None and not _active(episode):
        return episode, findings
    for row in range(len(view)):
        episode, kind = _advance(episode, signal, view, row, clear_after)
        if episode is not None and kind is not None:
            findings.append(_finding(rule, kind, episode, signal, view, row))
    return episode, findings


def _active(episode: Episode | None) -> TypeGuard[Episode]:
    return episode is not None and episode.active


def _advance(
    episode: Episode | None, signal: Signal, view: View, row: int, clear_after: int
) -> tuple[Episode | None, Kind | None]:
    level = 0 if signal.level is None else int(signal.level[row])
    goes_on: Kind | None = "noted" if signal.noted is not None and signal.noted[row] else None
    if level:
        ordinal, step = int(view.ordinal[row]), int(view.step[row])
        episode, kind = _sighted(episode, Severity(level), ordinal, step)
        return episode, kind or goes_on
    if not _active(episode):
        return episode, None
    calm = episode.calm + 1 if _rests(episode, signal, row) else 0
    if calm >= clear_after:
        return replace(episode, calm=calm, active=False), "cleared"
    return (episode if calm == episode.calm else replace(episode, calm=calm)), goes_on


def _rests(episode: Episode, signal: Signal, row: int) -> bool:
    """Whether the report is calm; one without a measurement is as the one before it was."""
    if signal.known is None or signal.known[row]:
        return bool(signal.calm[row])
    return episode.calm > 0


def _sighted(
    episode: Episode | None, severity: Severity, ordinal: int, step: int
) -> tuple[Episode, Kind | None]:
    """The rule holds: open an episode, or go on with one that was last seen ≤ 64 reports ago."""
    if episode is None or (not episode.active and ordinal - episode.last_ordinal > MERGE_WITHIN):
        return Episode(severity, ordinal, step, ordinal, step), "opened"
    kind: Kind | None = "worsened" if severity > episode.severity else None
    return replace(
        episode,
        severity=max(severity, episode.severity),
        last_ordinal=ordinal,
        last_step=step,
        calm=0,
        active=True,
    ), kind if episode.active else "opened"


def _finding(
    rule: str, kind: Kind, episode: Episode, signal: Signal, view: View, row: int
) -> Finding:
    seen = Sighting(()) if kind == "cleared" else signal.describe(row)
    return Finding(
        rule=rule,
        kind=kind,
        severity=episode.severity,
        ordinal=int(view.ordinal[row]),
        step=int(view.step[row]),
        opened_ordinal=episode.opened_ordinal,
        opened_step=episode.opened_step,
        evidence=seen.evidence,
        layers=tuple(view.layers.names[column] for column in seen.columns),
        columns=seen.columns,
    )
