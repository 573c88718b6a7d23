"""`understudy import` and `understudy export`: options and printing alone."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from typing import Any, NoReturn

from understudy.errors import Error, UsageError

Kinds = tuple[str, ...]
_FROM: Kinds = ("lerobot", "minari", "dinowm")
_TO: Kinds = ("lerobot", "minari")


def _numbers(text: str) -> list[float]:
    return [float(x) for x in text.split(",")]


# Option, kinds that it is for, type (None: a flag), what help calls the value, help.
_IMPORT: list[tuple[str, Kinds, Any, str, str]] = [
    ("out", _FROM, str, "F.h5", "what is written"),
    ("task", _FROM, str, "NAME", "what the trajectories are of"),
    ("bound", _FROM, float, "X", "the other program's actions lie in [-X, X]"),
    ("low", _FROM, _numbers, "X,...", "or between --low and --high, one number or one an action"),
    ("high", _FROM, _numbers, "X,...", "see --low"),
    ("bounds-of-data", ("lerobot",), None, "", "or between the least and the largest of the data"),
    ("dt", ("minari", "dinowm"), float, "S", "seconds between rows"),
    ("fps", ("minari", "dinowm"), float, "N", "the same, as so many rows a second"),
    ("camera", ("lerobot", "minari"), str, "KEY", "the frames, where there are several"),
    ("state", ("lerobot", "minari"), str, "KEY", "the states, where there are several"),
    ("proprio", ("minari", "dinowm"), str, "KEY",
     "the proprioception; dinowm: numbers of the state, such as 0-1,5"),
    ("actions", ("dinowm",), str, "NAME", "actions, rel_actions or abs_actions"),
    ("size", _FROM, int, "PX", "side of the frames; default: as they are"),
    ("fit", _FROM, str, "HOW", "crop, letterbox or stretch, as in dataset import"),
    ("crop", _FROM, str, "W:H:X:Y", "the part of the frames that is taken"),
    ("overwrite", _FROM, None, "", "replace an existing file"),
]
_EXPORT: list[tuple[str, Kinds, Any, str, str]] = [
    ("out", _TO, str, "DIR", "what is written"),
    ("last", ("lerobot",), str, "HOW",
     "the action of an episode's last row, which ours have not: repeat, zero, or drop the row"),
    ("instruction", ("lerobot",), str, "TEXT", "what is done, in words; default: the task's name"),
    ("video", ("lerobot",), None, "", "frames as a film, with loss; default: pictures, without"),
    ("fps", ("lerobot",), int, "N", "rows a second, where the time step does not say"),
    ("id", ("minari",), str, "NAME-v0", "Minari's name of it"),
    ("jpeg", ("minari",), None, "", "frames as JPEG, with loss"),
    ("overwrite", _TO, None, "", "replace an existing folder"),
]

_HELP = {
    "import": """\
lerobot  a dataset's folder of version v2.1 or v3.0.
minari   a dataset's folder, or its id on this machine.
dinowm   a folder of DINO-WM: states.pth, actions.pth, obses/.

Writes one file of ours, number for number, and says what it leaves out or has to make up. What the
source does not say is asked for.

Examples:
  understudy import lerobot pusht/ --task pusht --low 0 --high 512 --size 96 --out pusht.h5
  understudy import minari D4RL/pointmaze/umaze-v2 --task pointmaze --fps 10 --state observation
      --out maze.h5
  understudy import dinowm pusht_noise/train --actions rel_actions --bound 100 --fps 10
      --task pusht --out noise.h5
""",
    "export": """\
lerobot  a folder in the version of the installed lerobot.
minari   a folder that Minari reads.

Examples:
  understudy export lerobot train.h5 --last repeat --out train_lerobot
  understudy export minari train.h5 --id pointmaze/mix-v0 --out datasets/pointmaze/mix-v0
""",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parser(verb: str) -> _Parser:
    kinds, options = (_FROM, _IMPORT) if verb == "import" else (_TO, _EXPORT)
    what = "SOURCE" if verb == "import" else "F.h5"
    usage = f"Usage: understudy {verb} {'|'.join(kinds)} {what} --out OUT [options]"
    parser = _Parser(prog=f"understudy {verb}", usage="\0", add_help=False, epilog=_HELP[verb],
                     allow_abbrev=False, formatter_class=lambda prog: (
                         argparse.RawDescriptionHelpFormatter(prog, width=100)))
    parser.usage = usage
    parser.add_argument("kind", help=argparse.SUPPRESS)
    parser.add_argument("source", help=argparse.SUPPRESS)
    for name, of, kind, value, told in options:
        told = told if of == kinds else f"{', '.join(of)}: {told}"
        if kind is None:
            parser.add_argument(f"--{name}", action="store_true", default=None, help=told)
        else:
            parser.add_argument(f"--{name}", type=kind, metavar=value, help=told)
    return parser


def _help(verb: str) -> str:
    text = _parser(verb).format_help()
    return text.replace("usage: Usage:", "Usage:")


def _run(verb: str, words: list[str]) -> None:
    kinds, options = (_FROM, _IMPORT) if verb == "import" else (_TO, _EXPORT)
    if not words or words[0] not in kinds:
        raise UsageError(f"expected {', '.join(kinds[:-1])} or {kinds[-1]}, found "
                         f"{words[0] if words else 'nothing'!r} (see understudy {verb} --help)")
    given = {k: v for k, v in vars(_parser(verb).parse_args(words)).items() if v is not None}
    kind, source = given.pop("kind"), given.pop("source")
    for name, of, *_ in options:
        if name.replace("-", "_") in given and kind not in of:
            raise UsageError(f"--{name}: is for {', '.join(of)}, not for {kind}")
    asked = ["out", *(["task"] if verb == "import" else []),
             *(["last"] if (verb, kind) == ("export", "lerobot") else [])]
    for name, _, _, value, told in options:
        if name in asked and not given.get(name):
            raise UsageError(f"{kind}: expected --{name} {value}: {told}")
    import understudy.exchange as exchange

    done = getattr(exchange, f"{verb}_{kind}")(source, given.pop("out"), **given)
    print(f"{done.path}: {done.episodes} episodes, {done.rows} rows from {source}")
    for note in done.notes:
        print(f"  {note}")


def main(words: list[str]) -> int:
    """Runs `understudy` with these words, the first of which is import or export; the exit code."""
    verb, *rest = words
    if {"--help", "-h"} & set(rest):
        print(_help(verb), end="")
        return 0
    # Other packages chat; what matters is one line.
    logging.disable(logging.WARNING)
    quiet = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "SVT_LOG": "1"}
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    try:
        _run(verb, rest)
    except KeyboardInterrupt:
        print(f"understudy {verb}: stopped", file=sys.stderr)
        return 1
    except Error as e:
        print(f"understudy {verb}: {e}", file=sys.stderr)
        return 2 if isinstance(e, UsageError) else 1
    return 0
