#!/usr/bin/env python3
"""The walks of tools/demo: every step is a line, checked; the exit status is 0 only if all of them held."""
import argparse
import signal
import subprocess
import sys
import time

from stage import BOLD, PLAIN, Stage, Wrong
from nodes import Nodes
from one_provider import OneProvider
from six_platforms import SixPlatforms


def play(walk, text):
    """One walk from its title to its clean end; False when a step did not hold."""
    Stage.part(text)
    try:
        walk.walk()
        return True
    except (Wrong, RuntimeError, OSError, subprocess.SubprocessError, KeyError, ValueError, AssertionError) as e:
        print(f"\ntools/demo: step {Stage.number} did not hold: {e}", file=sys.stderr)
        print("the end of grantd's log:\n" + walk.log_tail(), file=sys.stderr)
        return False
    finally:
        walk.clean()


def walks(args):
    """What is played, in order; each is made when its turn comes."""
    if args.nodes:
        return [(lambda: Nodes(args.build, args.nodes),
                 f"{args.nodes} nodes on one PostgreSQL, one killed in the middle of a refresh")]
    return [(lambda: OneProvider(args.build, args.by_hand), "One provider, a real server, a crash in the middle of a refresh"),
            (lambda: SixPlatforms(args.build), "Six platforms, one link, 400 days")]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--by-hand", action="store_true", help="you approve in the first part")
    parser.add_argument("--nodes", type=int, choices=range(2, 10), metavar="N", help="N nodes on one PostgreSQL instead")
    args = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    began = time.monotonic()
    try:
        held = all(play(walk(), text) for walk, text in walks(args))
    except KeyboardInterrupt:
        sys.exit(130)
    if not held:
        sys.exit(1)
    print(f"\n{BOLD}All {Stage.number} steps held, {time.monotonic() - began:.0f} s.{PLAIN} Nothing is left running.")


if __name__ == "__main__":
    main()
