"""Other people's data: LeRobot (v2.1, v3.0), Minari and DINO-WM's folders of .pth files.

    from understudy.exchange import import_lerobot, export_minari
    import_lerobot("pusht", "pusht.h5", task="pusht", low=[0, 0], high=[512, 512])
    export_minari("train.h5", "folder")

On the command line `understudy import lerobot|minari|dinowm` and `understudy export
lerobot|minari`. The other packages are needed only by what uses them. What a file does not say (how
large actions are, the time between rows, which camera) has to be given; what is taken over is so
number for number, and `Exchanged.notes` says what is not. Frames keep their size unless `size`,
`fit` or `crop` are given, which are those of `understudy dataset import`.

A row of a dataset here is a moment: its frame and state, and the action that follows, which the
last row of an episode has not. Minari's T actions and T + 1 observations are just that. LeRobot and
DINO-WM have an action in every row; nothing that the last one did is in the file, so it is left
out.
"""

from __future__ import annotations

from understudy.exchange.common import Exchanged
from understudy.exchange.dinowm import import_dinowm
from understudy.exchange.lerobot import export_lerobot, import_lerobot
from understudy.exchange.minari import export_minari, import_minari

__all__ = [
    "Exchanged", "export_lerobot", "export_minari", "import_dinowm", "import_lerobot",
    "import_minari",
]  # fmt: skip
