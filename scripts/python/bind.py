"""Makes the binding from the public headers: the C source of understudy._core, and the typed
settings of the jobs.

The headers are the only list: they go through the preprocessor with the system's headers left out,
and what remains is what cffi reads. The compiler then checks every struct and function against the
real headers. Settings are X-macro lists, which the preprocessor turns into lines as well.

    bind.py --cc CC --root DIR --exports FILE --c core.c --settings _settings.py
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import tempfile
from pathlib import Path

import cffi

HERE = Path(__file__).parent

# What the headers take from others, as far as the binding needs it.
FAKES = {
    "stdint.h": "",
    "stddef.h": "",
    "cjson/cJSON.h": "typedef struct cJSON cJSON;",
    "mujoco/mujoco.h": """
        typedef double mjtNum;
        typedef struct mjModel_ { int64_t nq; int64_t nv; int64_t na; int64_t nu; ...; } mjModel;
        typedef struct mjData_ {
            double time; double* qpos; double* qvel; double* act; ...;
        } mjData;
    """,
}

# Class, list of settings, names that the Python function has as arguments of its own.
SETTINGS = [
    ("CollectSettings", "US_COLLECT_SETTINGS", "datasets/collect.h", "task out policy"),
    ("PretrainSettings", "US_PRETRAIN_SETTINGS", "datasets/training_jobs.h", "out"),
    ("FinetuneSettings", "US_FINETUNE_SETTINGS", "datasets/training_jobs.h", "data out"),
    ("EvalSettings", "US_EVAL_SETTINGS", "planner/eval.h", "data model planner"),
    ("PlannerSettings", "US_PLANNER_SETTINGS", "planner/planner.h", ""),
]
TYPES = {"INT": "int", "SEED": "int", "REAL": "float", "FLOAT": "float", "FLAG": "bool"}


def preprocess(cc: str, root: str, text: str) -> str:
    """The text behind the preprocessor, without the system's headers and without attributes."""
    with tempfile.TemporaryDirectory() as folder:
        for name, fake in FAKES.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(fake + "\n")
        command = [cc, "-E", "-P", "-nostdinc", "-D__attribute__(x)=", "-I", folder, "-I", root,
                   "-I", str(Path(root, "scripts/package")), "-x", "c", "-"]
        done = subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.PIPE)
        return done.stdout


def statements(text: str) -> list[str]:
    """Declarations of the top level, each with its semicolon; no functions that have a body."""
    found, depth, start = [], 0, 0
    for at, c in enumerate(text):
        depth += (c == "{") - (c == "}")
        if c == ";" and depth == 0:
            found.append(text[start : at + 1])
            start = at + 1
        elif c == "}" and depth == 0 and re.match(r"[^{]*\)\s*\{", text[start:at]):
            start = at + 1
    return found


def exported(declaration: str, names: set[str]) -> bool:
    """Whether the library has what is declared; types always."""
    if declaration.lstrip().startswith(("typedef", "struct", "enum", "union")):
        if not re.match(r"\s*(struct|enum|union)\s+\w+\s*\*?\s*us_", declaration):
            return True
    name = re.search(r"\b(us_\w+)\s*[\[(;=]", declaration)
    return name is not None and name.group(1) in names


def declarations(cc: str, root: str, exports: str) -> str:
    names = set(re.findall(r"\b(us_\w+);", Path(exports).read_text()))
    text = preprocess(cc, root, '#include "understudy.h"\n#include "planner/statistics.h"\n')
    kept = [s for s in statements(text) if exported(s, names)]
    return "\n".join(kept) + (HERE / "callbacks.cdef").read_text()


def settings(cc: str, root: str) -> str:
    lines = ['"""Settings of the jobs, made from the lists in the library\'s headers."""', "",
             "from __future__ import annotations", "", "import os", "from typing import TypedDict",
             ""]
    for name, macro, header, own in SETTINGS:
        show = "#define X(t, n, d, low, high, u, a, h) @@ #t, #n, (h), #d, #low, #high @@\n"
        text = preprocess(cc, root, f'#include "{header}"\n{show}{macro}(X)\n')
        lines += ["", f"class {name}(TypedDict, total=False):"]
        fields, manual = [], []
        for row in re.findall(r"@@ (.*?) @@", text.replace("\n", " ")):
            kind, field, told, preset, low, high = ast.literal_eval(f"({row})")
            if field in own.split():
                continue
            fields.append(f"    {field}: {TYPES.get(kind, 'str | os.PathLike[str]')}")
            default = "" if kind in ("TEXT", "FLAG") else f" (default {preset}, {low} .. {high})"
            manual.append(f"    {field}: {told}{default}")
        lines += ['    """One line each, as on the command line.', "", *manual, '    """', "",
                  *fields, ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("cc", "root", "exports", "c", "settings"):
        parser.add_argument(f"--{option}", required=True)
    a = parser.parse_args()
    ffi = cffi.FFI()
    ffi.set_source("understudy._core", '#include "scripts/python/bridge.h"\n')
    ffi.cdef(declarations(a.cc, a.root, a.exports))
    ffi.emit_c_code(a.c)
    Path(a.settings).write_text(settings(a.cc, a.root))


if __name__ == "__main__":
    main()
