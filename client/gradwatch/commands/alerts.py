"""``gradwatch alerts``: what is wrong, where, the first thing to do about it; and who does it."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Iterator, Mapping

from gradwatch.commands import Context
from gradwatch.errors import BadConfig
from gradwatch.terminal import age, text, write, write_json
from gradwatch.transport import API, items_of

LABELS = ("cause", "rule", "severity", "run", "run_name", "layer", "tag")
OPERATORS = ("!=", "!~", "=~", "=")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--project")
    parser.add_argument("--run", help="id of one run")
    parser.add_argument("--state", choices=("pending", "firing", "acknowledged", "resolved"))
    parser.add_argument("--severity", choices=("info", "warning", "error", "critical"))
    parser.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(act=_list)
    acts = parser.add_subparsers(metavar="ACT", title="what to do about them (default: list them)")
    _add_word(acts.add_parser("ack", help="say that you look after an alert"), "acknowledge")
    _add_word(acts.add_parser("resolve", help="say that an alert is over"), "resolve")
    _add_silence(acts.add_parser("silence", help="have nobody told of some alerts for a while"))
    ends = acts.add_parser("unsilence", help="end a silence before its time")
    ends.add_argument("id", help="id of the silence")
    ends.set_defaults(act=_unsilence)


def run(args: argparse.Namespace, context: Context) -> int:
    """List alerts, the newest first; acknowledge, resolve or silence them."""
    code: int = args.act(args, context)
    return code


def _add_word(parser: argparse.ArgumentParser, word: str) -> None:
    parser.add_argument("id", help="id of the alert, as `gradwatch alerts` shows it")
    parser.add_argument("-m", "--comment", default="", help="why, for the others")
    parser.set_defaults(act=_say, word=word)


def _add_silence(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", default="default", help="whose alerts (default: default)")
    parser.add_argument(
        "--for", dest="duration", required=True, metavar="TIME", help="such as 90s, 30m, 2h, 1d12h"
    )
    for name in LABELS:
        words = name.replace("_", " ")
        parser.add_argument(f"--{name.replace('_', '-')}", help=f"alerts of this {words}")
    parser.add_argument(
        "--match", action="append", default=[], help="such as run_name=~nightly-.* or layer!=fc1"
    )
    parser.add_argument("-m", "--comment", default="", help="why, for the others")
    parser.set_defaults(act=_silence)


def _list(args: argparse.Namespace, context: Context) -> int:
    answer = context.transport.get(
        f"{API}/alerts",
        project=args.project,
        run=args.run,
        state=args.state,
        severity=args.severity,
        limit=args.limit,
    )
    alerts = items_of(answer)
    for alert in alerts:
        if args.json:
            write_json(alert)
        else:
            _write_alert(alert)
    if not alerts and not args.json:
        write("no alerts")
    return 0


def _say(args: argparse.Namespace, context: Context) -> int:
    said = {"by": _me(), "comment": args.comment}
    answer = context.transport.post(f"{API}/alerts/{args.id}/{args.word}", said)
    _write_alert(answer.expect_success())
    return 0


def _silence(args: argparse.Namespace, context: Context) -> int:
    matchers = [*_named(args), *map(_matcher, args.match)]
    if not matchers:
        raise BadConfig("say which alerts, such as --cause plateau or --match run_name=~test-.*")
    wanted = {
        "project": args.project,
        "matchers": matchers,
        "duration": args.duration,
        "comment": args.comment,
        "by": _me(),
    }
    silence = context.transport.post(f"{API}/silences", wanted).expect_success()
    write(f"nobody is told of such alerts until {text(silence, 'ends_at')}")
    write(f"to end it before: gradwatch alerts unsilence {text(silence, 'id')}")
    return 0


def _unsilence(args: argparse.Namespace, context: Context) -> int:
    context.transport.delete(f"{API}/silences/{args.id}").expect_success()
    write("people are told again")
    return 0


def _named(args: argparse.Namespace) -> Iterator[dict[str, str]]:
    for name in LABELS:
        value = getattr(args, name)
        if value is not None:
            yield {"name": name, "op": "=", "value": value}


def _matcher(given: str) -> dict[str, str]:
    """A matcher as it is written: name, operator, value."""
    places = [(given.find(op), op) for op in OPERATORS if op in given]
    if not places:
        raise BadConfig(f"--match is a name, one of {' '.join(OPERATORS)}, and a value")
    at, op = min(places, key=lambda found: (found[0], OPERATORS.index(found[1])))
    return {"name": given[:at].strip(), "op": op, "value": given[at + len(op) :].strip()}


def _me() -> str:
    """Who says it, where no key tells the service."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        return "somebody"


def _write_alert(alert: Mapping[str, object]) -> None:
    for line in describe(alert):
        write(line)
    write(f"    run {text(alert, 'run_id')}, project {text(alert, 'project')}, "
          f"changed {age(alert.get('updated_at'))}")  # fmt: skip
    write(f"    alert {text(alert, 'id')}")


def describe(alert: Mapping[str, object]) -> list[str]:
    """An alert in a few lines: what, since which step, in which layers, and what to do first."""
    severity, state = text(alert, "severity").upper(), text(alert, "state")
    again = " again" if alert.get("regressed") and state != "resolved" else ""
    lines = [f"{severity:<8}  {state}{again}  {text(alert, 'title')}"]
    layers = alert.get("layers")
    where = f" in {', '.join(map(str, layers[:3]))}" if isinstance(layers, list) and layers else ""
    lines.append(
        f"    since step {text(alert, 'opened_step')}{where}; "
        f"cause: {text(alert, 'cause')}; rule: {text(alert, 'rule')}"
    )
    advice = alert.get("advice")
    if isinstance(advice, list) and advice and isinstance(advice[0], dict):
        lines.append(f"    do: {text(advice[0], 'title')}")
    return lines + _said(alert)


def _said(alert: Mapping[str, object]) -> list[str]:
    """Who looks after it, or resolved or silenced it."""
    comment = alert.get("comment")
    why = f": {comment}" if comment else ""
    lines = [
        f"    {word} by {alert[f'{word}_by']}{why}"
        for word in ("acknowledged", "resolved")
        if alert.get(f"{word}_by")
    ]
    return [*lines, "    silenced: nobody is told"] if alert.get("silenced_by") else lines
