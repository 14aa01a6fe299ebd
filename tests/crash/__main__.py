"""python3 -m crash, with tests/ as the working folder: ./test crash and ./bench crash run it."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from crash import machine, report, sabotage  # noqa: E402
from crash.game import Game  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = """
examples:
    ./test crash                          some ten rounds, about 100 harms
    ./test crash --seed 17 --rounds 1     one round again
    ./test crash --only "kill runner"     only this kind of harm
    ./bench crash --kills 1000            the long form, for docs/reliability.md
"""


@dataclass
class Tools:
    binary: Path
    step: Path
    shim: Path


def arguments():
    parser = argparse.ArgumentParser(prog="crash", description="Kills everything of a Pelton, and looks what is lost.",
                                     epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first round (default: 1)")
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="harms altogether (default: 100)")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds, instead of as many as the harms need")
    parser.add_argument("--kills-per-round", type=int, default=12, metavar="N", help="(default: 12)")
    parser.add_argument("--builds", type=int, default=26, metavar="N", help="in each round (default: 26)")
    parser.add_argument("--only", action="append", metavar="KIND", choices=sorted(sabotage.KINDS),
                        help="only this kind of harm (may be given several times)")
    parser.add_argument("--without", action="append", default=[], metavar="KIND", choices=sorted(sabotage.KINDS),
                        help="not this kind of harm (may be given several times)")
    parser.add_argument("--build", type=Path, default=ROOT / "build", metavar="DIR", help="where the programs are")
    parser.add_argument("--evidence", type=Path, default=ROOT / "build" / "crash", metavar="DIR",
                        help="where a failing round's logs and state are kept (default: build/crash)")
    parser.add_argument("--keep", action="store_true", help="keep them of every round")
    parser.add_argument("--stop", action="store_true", help="stop at the first round that fails")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report to FILE")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the report's table between the page's markers")
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = max(1, round(options.kills / options.kills_per_round))
    return options


def find_abilities(options):
    """What this machine allows: sets network and loops, kinds and left_out."""
    abilities = {"shim"}
    options.network, options.loops = None, False
    try:
        machine.own_mounts()
        options.network = machine.Network(2)
        abilities.add("network")
    except OSError as error:
        print(f"crash: no network name spaces: {error}", flush=True)
    if machine.has_loops(options.folder):
        options.loops = True
        abilities.add("disk")
    here, options.left_out = sabotage.kinds_here(abilities)
    options.kinds = [kind for kind in here if kind not in options.without
                     and (not options.only or kind in options.only)]
    if not options.kinds:
        sys.exit("crash: of these kinds this machine allows none")


def repeat(options, seed):
    """The command that plays the round again."""
    words = ["./test", "crash", "--seed", str(seed), "--rounds", "1"]
    if (options.kills_per_round, options.builds) != (12, 26):
        words += ["--kills-per-round", str(options.kills_per_round), "--builds", str(options.builds)]
    for kind in options.only or []:
        words += ["--only", f'"{kind}"']
    for kind in options.without:
        words += ["--without", f'"{kind}"']
    return " ".join(words)


def tell(options, number, result):
    kinds = ", ".join(f"{count} {kind}" for kind, count in result.kills.most_common())
    verdict = "ok    " if not result.violations else "FAILED"
    print(f"{verdict} round {number}/{options.rounds}, seed {result.seed}: {result.builds} builds, {result.jobs} jobs, "
          f"{result.again} tried again, {result.seconds:.0f} s; {kinds}", flush=True)
    for violation in result.violations[:20]:
        print(f"    {violation}", flush=True)
    if result.violations:
        print(f"    evidence: {result.evidence}\n    again: {repeat(options, result.seed)}", flush=True)


def play(options):
    results = []
    for number in range(options.rounds):
        results.append(Game(options, options.seed + number).play())
        tell(options, number + 1, results[-1])
        if options.stop and results[-1].violations:
            break
    return results


def main():
    options = arguments()
    options.command = os.environ.get("CRASH_COMMAND", "python3 -m crash " + " ".join(sys.argv[1:]))
    build = options.build.resolve()
    options.tools = Tools(build / "pelton", build / "tests/crash/crash-step",
                          build / "tests/crash/crash-shim.so")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.folder = Path(tempfile.mkdtemp(prefix="pelton-crash-"))
    options.folder.chmod(0o755)
    begin = time.monotonic()
    try:
        find_abilities(options)
        done = report.Report(options, play(options), time.monotonic() - begin)
    finally:
        if getattr(options, "network", None):
            options.network.close()
        shutil.rmtree(options.folder, ignore_errors=True)
    if options.json:
        report.write(done, options.json)
    if options.page:
        done.into_page(options.page)
    print(done.text(), flush=True)
    failed = sum(bool(result.violations) for result in done.results)
    print(f"{len(done.results) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)


main()
