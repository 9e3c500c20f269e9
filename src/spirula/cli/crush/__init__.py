"""`spirula crush`: the hierarchy drawn for people, and what a change of it would move.

`show` and `plan` have no counterpart upstream. Called by the dispatcher only.
"""

from __future__ import annotations

import argparse

from spirula.cli.crush import plan, show


def main(argv: list[str]) -> int:
    """Runs the command; the result is the exit status."""
    parser = argparse.ArgumentParser(
        prog="spirula crush", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="show|plan")
    show.add_arguments(actions.add_parser("show", **show.HELP))
    plan.add_arguments(actions.add_parser("plan", **plan.HELP))
    try:
        request = parser.parse_args(argv)
    except SystemExit as end:  # argparse has printed what there is to say
        return end.code if isinstance(end.code, int) else 2
    action = {"show": show.run, "plan": plan.run}[request.action]
    return action(request)
