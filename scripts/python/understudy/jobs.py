"""The jobs, as the program's commands: collect, pretrain, finetune, evaluate.

Settings beyond the arguments named here are those of the command line, with _ for - in their names
(`understudy help COMMAND`); None leaves one at its default. `progress` is a callable that is told a
`Progress`, True for a bar, False for silence, None for a bar where somebody watches. Ctrl-C raises
KeyboardInterrupt at once and keeps what is done: the same call with resume=True goes on. Lines for
people go to the logger "understudy". Jobs run one at a time, as HDF5 takes one thread; other
threads of Python go on meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias, Unpack

import numpy as np
from numpy.typing import NDArray

from understudy._gl import prepare
from understudy._library import as_path, ffi, lib, text
from understudy._settings import (
    CollectSettings,
    EvalSettings,
    FinetuneSettings,
    PlannerSettings,
    PretrainSettings,
)
from understudy.dataset import files
from understudy.errors import UsageError
from understudy.hooks import Watcher, hooked, keep_error
from understudy.own import STOP, PlannerClass, PlannerFunction, Policy, PolicyTask, World, WorldEnv
from understudy.settings import fill, given, names, put
from understudy.task_list import TaskList

Path: TypeAlias = str | os.PathLike[str]


def _start(defaults: Any, kind: str) -> Any:
    c = ffi.new(f"{kind}*")
    c[0] = defaults()
    return c


def _numbers(r: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(r, name) for name in names}


# ---- collect ----


@dataclass(frozen=True)
class Collected:
    """What `collect` wrote."""

    path: str
    episodes: int  # in the file
    rows: int
    before: int  # rows that were there before
    redrawn: int  # episodes that diverged and were drawn anew
    cut: int  # episodes that diverged and are kept up to there
    complete: bool  # all had been there, and nothing was done
    height: int  # of frames
    width: int
    seconds: float  # that the new rows took
    warnings: int  # of MuJoCo
    features: str  # the file of the features; "" without `encode`


def collect(task: str, out: Path, *, policy: str | Policy | None = None,
            progress: Watcher = None, **settings: Unpack[CollectSettings]) -> Collected:
    """Plays a behaviour policy of a task (or "mjcf:FILE.xml") and records every env step with its
    frame in `out`.

    policy: one of the task's by name, its first by default; or a callable that is given a `Moment`
    and gives an action (A,), from several threads. The same seed gives the same file for any number
    of threads.
    """
    keep: list[Any] = []
    tasks = TaskList(task)
    c = _start(lib.us_collect_defaults, "UsCollectConfig")
    fill(lib.us_collect_settings, c, settings, keep)
    name = tasks.names[0]
    assert name is not None
    put(lib.us_collect_settings, c, "task", name, keep)
    put(lib.us_collect_settings, c, "out", out, keep)
    prepare()
    own = PolicyTask(tasks, name, policy) if callable(policy) else None
    put(lib.us_collect_settings, c, "policy", text(own.name) if own else policy, keep)
    c.tasks = tasks.pointer
    r = ffi.new("UsCollectResult*")
    with files, hooked(progress) as call:
        if own is not None:
            own.call = call
        call.check(lib.us_collect(c, r))
    numbers = ("episodes", "rows", "before", "redrawn", "cut", "height", "width", "seconds",
               "warnings")
    return Collected(path=os.fspath(out), complete=bool(r.complete), features=text(r.features),
                     **_numbers(r, numbers))


# ---- training ----


@dataclass(frozen=True)
class Success:
    """How well a model's success head does on pairs that were held back."""

    auroc: float
    threshold: float
    hits: float  # of the solved pairs, those that it calls solved
    alarms: float  # of the others, those that it calls solved
    pairs: int
    solved: int


@dataclass(frozen=True)
class Trained:
    """What `pretrain` or `finetune` came to."""

    folder: str
    complete: bool  # with resume: the finished run was there, and nothing below counts
    steps: int  # taken, earlier runs included
    horizon: int  # frames of the open-loop error
    one_step: float  # error of the next frame, as a ratio to repeating the last; nan: not measured
    open_loop: float  # the same of frame `horizon`
    chosen: str | None  # with film: the stage that was kept
    label_r2: float  # with film: of the labels
    label_correlation: float
    success: Success | None  # of finetune: of its head; None: the model has none


def _trained(out: Path, r: Any) -> Trained:
    v, s = r.validation, r.success
    head = Success(s.auroc, s.threshold, s.hits, s.alarms, s.pairs, s.solved) if s.pairs else None
    return Trained(os.fspath(out), bool(r.complete), r.steps, r.horizon,
                   v.one_step if v.measured else float("nan"),
                   v.open_loop if v.measured else float("nan"),
                   None if r.chosen == ffi.NULL else text(r.chosen), r.label_r2,
                   r.label_correlation, head)


def pretrain(data: Path | Iterable[Path] | Mapping[str, float], out: Path, *,
             progress: Watcher = None, **settings: Unpack[PretrainSettings]) -> Trained:
    """Trains a predictor on what happens next, without actions, into the folder `out`.

    data: a file, several, or a mapping of files to their shares of the samples.
    """
    keep: list[Any] = []
    c = _start(lib.us_pretrain_defaults, "UsPretrainConfig")
    fill(lib.us_pretrain_settings, c, settings, keep)
    put(lib.us_pretrain_settings, c, "out", out, keep)
    one = isinstance(data, (str, os.PathLike))
    paths: list[Path] = [data] if one else list(data)  # type: ignore[list-item, arg-type]
    if not 1 <= len(paths) <= lib.US_TRAINING_FILES:
        raise UsageError(f"data: expected 1 .. {lib.US_TRAINING_FILES} files, found {len(paths)}")
    names = [ffi.new("char[]", as_path(p)) for p in paths]
    c.data = keep_array = ffi.new("const char*[]", [*names, ffi.NULL])
    keep += [names, keep_array]
    if isinstance(data, Mapping):
        keep.append(ffi.new("double[]", [float(x) for x in data.values()]))
        c.weights = keep[-1]
    tasks = TaskList()
    c.tasks = tasks.pointer
    r = ffi.new("UsTrainResult*")
    with files, hooked(progress) as call:
        call.check(lib.us_pretrain(c, r))
    return _trained(out, r)


def finetune(data: Path, out: Path, *, task: str | None = None, progress: Watcher = None,
             **settings: Unpack[FinetuneSettings]) -> Trained:
    """Trains a world model with actions on trajectories of one task, into the folder `out`.

    task: "mjcf:FILE.xml" for data of such a one.
    """
    keep: list[Any] = []
    c = _start(lib.us_finetune_defaults, "UsFinetuneConfig")
    fill(lib.us_finetune_settings, c, settings, keep)
    put(lib.us_finetune_settings, c, "data", data, keep)
    put(lib.us_finetune_settings, c, "out", out, keep)
    tasks = TaskList(task)
    c.tasks, c.given = tasks.pointer, given(settings, keep)
    r = ffi.new("UsTrainResult*")
    with files, hooked(progress) as call:
        call.check(lib.us_finetune(c, r))
    return _trained(out, r)


# ---- evaluate ----


@dataclass(frozen=True)
class Rate:
    """A success rate with its Wilson interval at 95 %."""

    rate: float
    low: float
    high: float
    hits: int
    count: int


@dataclass(frozen=True)
class Row:
    """One row of the table: a planner and what it imagines in."""

    rates: dict[str, Rate]  # by rule: "first_hit", "last_step", ...
    hard: dict[str, Rate]  # the same of hard pairs
    first_hit: NDArray[np.int32]  # (count) env steps until the first success; -1: none
    distance: NDArray[np.float32]  # (count, blocks + 1) to the goal; NaN where it had ended
    actions: NDArray[np.float32]  # (count, blocks, K, A) as played
    seconds: float


@dataclass(frozen=True)
class Evaluated:
    """What `evaluate` found; `rows` by their names: "model", "state", "random", "oracle"."""

    task: str
    protocol: str
    rule: str  # that the protocol counts by
    pairs: int
    solved_at_start: int  # pairs that were drawn and left out
    complete: bool  # with resume: the JSON held the results of this very run; no rows then
    rows: dict[str, Row]

    def rate(self, row: str = "model", rule: str | None = None) -> Rate:
        """The success rate of a row by a rule, the protocol's by default."""
        return self.rows[row].rates[rule or self.rule]


class EvaluateSettings(EvalSettings, PlannerSettings, total=False):
    """Those of the evaluation and of its planner."""


def _row(r: Any, pairs: Any) -> Row:
    rates: tuple[dict[str, Rate], dict[str, Rate]] = ({}, {})
    for rule in range(lib.US_RULE_COUNT):
        if not lib.us_result_answers(r, rule):
            continue
        for hard in (0, 1):
            f = lib.us_result_rate(r, pairs, rule, hard)
            name = text(lib.us_rules[rule].name)
            rates[hard][name] = Rate(f.rate, f.low, f.high, f.hits, f.count)
    n, blocks = r.count, r.blocks

    def numbers(p: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
        size = 4 * int(np.prod(shape))
        return np.frombuffer(ffi.buffer(p, size), np.float32).reshape(shape).copy()

    ends = [r.outcome[i] for i in range(n)]
    hits = np.array([e.first_hit if e.finite else -1 for e in ends], np.int32)
    return Row(rates[0], rates[1], hits, numbers(r.distance, (n, blocks + 1)),
               numbers(r.actions, (n, blocks, r.block, r.action)), r.wall_all)


@ffi.def_extern(error=STOP, onerror=keep_error)  # type: ignore[untyped-decorator]
def us_py_eval_open(user: Any, row: int, config: Any, out: Any) -> int:
    # A World as an env for a row of an evaluation that asks for it.
    world: World = ffi.from_handle(user)
    if config.block != world.block:
        raise UsageError(f"{world.name}: expected blocks of {config.block} env steps as "
                         f"the task has, found {world.block}")
    out[0] = WorldEnv(world, config.slots).lend()
    return 0


def evaluate(model: Path | World | None, data: Path, *,
             planner: str | PlannerFunction | None = None, progress: Watcher = None,
             **settings: Unpack[EvaluateSettings]) -> Evaluated:
    """Plans in a model, plays in the simulator and counts successes over start / goal pairs of
    held-out trajectories.

    model: a folder, a `World` of your own, or None with rows="oracle,random". planner: a name, or a
    callable that is given a `Plan` and gives actions (n, replan, K, A). The same seed gives the
    same episodes for any batch and threads.
    """
    keep: list[Any] = []
    c = _start(lib.us_eval_defaults, "UsEvalConfig")
    plan = ffi.addressof(c, "plan")
    task: Any = settings.get("task")
    tasks = TaskList(task)
    own_names = names(lib.us_eval_settings)
    for name, value in settings.items():
        if name == "task":
            value = tasks.names[0]
        if name in own_names:
            put(lib.us_eval_settings, c, name, value, keep)
        else:
            put(lib.us_planner_settings, plan, name, value, keep)
    put(lib.us_eval_settings, c, "data", data, keep)
    c.tasks, c.given = tasks.pointer, given(settings, keep)
    if isinstance(model, World):
        keep += [ffi.new_handle(model)]
        c.own, c.user = lib.us_py_eval_open, keep[-1]
        c.own_row = lib.US_ROW_state if model.state else lib.US_ROW_model
    else:
        put(lib.us_eval_settings, c, "model", model, keep)
    prepare()
    own = PlannerClass(planner) if callable(planner) else None
    if own is not None:
        c.own_planner = own.pointer
    else:
        put(lib.us_eval_settings, c, "planner", planner, keep)
    r = ffi.new("UsEvalResult*")
    with files, hooked(progress) as call, own.making() if own else nullcontext():
        call.check(lib.us_eval(c, r))
    try:
        return _evaluated(r)
    finally:
        lib.us_eval_free(r)


def _evaluated(r: Any) -> Evaluated:
    pairs = ffi.addressof(r, "pairs")
    rows = {} if r.complete else {
        text(lib.us_eval_row_names[k]): _row(ffi.addressof(r.row[k]), pairs)
        for k in range(lib.US_ROW_COUNT) if r.on[k]}
    return Evaluated(text(r.task.name), text(r.protocol.name),
                     text(lib.us_rules[r.protocol.rule].name), r.pairs.count,
                     r.pairs.solved_at_start, bool(r.complete), rows)
