"""LeRobot: data that lerobot's own writers made comes in, of v3.0 and of v2.1, and ours goes out as
lerobot's own loader reads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import understudy
from ours import LENGTHS, SIDE, nothing_left, program, same, write
from understudy.errors import FileError, FormatError, UsageError
from understudy.exchange import export_lerobot, import_lerobot

# The last package that writes v2.1, beside the one that is installed.
OLD = os.environ.get("UNDERSTUDY_LEROBOT_OLD")

# Writes a dataset with a film, pictures, states and an action in every row, and all its numbers.
WRITER = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
folder, numbers = sys.argv[1:]
rng = np.random.default_rng(7)
to = LeRobotDataset.create(
    repo_id="test/arm", fps=10, root=folder, use_videos=True, robot_type="arm",
    features={
        "action": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "grip"]},
        "observation.state": {"dtype": "float32", "shape": (4,), "names": None},
        "observation.images.top": {"dtype": "video", "shape": (32, 48, 3),
                                   "names": ["height", "width", "channels"]},
        "observation.images.wrist": {"dtype": "image", "shape": (32, 48, 3),
                                     "names": ["height", "width", "channels"]}})
old = "task" in LeRobotDataset.add_frame.__code__.co_varnames[:3]
kept = {"lengths": [5, 8, 3], "action": [], "state": [], "top": [], "wrist": []}
down, right = np.mgrid[0:32, 0:48]
for e, n in enumerate(kept["lengths"]):
    for t in range(n):
        top = np.stack([4 * down, 3 * right, 0 * right + 12 * t + 40 * e], -1).astype(np.uint8)
        frame = {"action": rng.uniform(-5, 5, 3).astype(np.float32),
                 "observation.state": rng.normal(size=4).astype(np.float32),
                 "observation.images.top": top,
                 "observation.images.wrist": rng.integers(0, 256, (32, 48, 3), np.uint8)}
        for name in ("action", "state", "top", "wrist"):
            key = {"state": "observation.state"}.get(name, f"observation.images.{name}")
            kept[name].append(frame["action" if name == "action" else key])
        to.add_frame(frame, task=f"move {e % 2}") if old else to.add_frame(
            {**frame, "task": f"move {e % 2}"})
    to.save_episode()
if hasattr(to, "finalize"):
    to.finalize()
np.savez(numbers, **{k: np.stack(v) if k != "lengths" else v for k, v in kept.items()})
"""


@pytest.fixture(scope="module", params=["v3.0", "v2.1"])
def theirs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder that lerobot wrote, and the numbers that it was given."""
    work = tmp_path_factory.mktemp(request.param)
    if request.param == "v2.1":
        assert OLD, "UNDERSTUDY_LEROBOT_OLD: expected the folder of lerobot 0.3"
    script = work / "writer.py"
    script.write_text(WRITER)
    path = OLD or "" if request.param == "v2.1" else ""
    done = subprocess.run([sys.executable, script, work / "arm", work / "numbers.npz"],
                          env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    info = json.loads((work / "arm" / "meta" / "info.json").read_text())
    assert info["codebase_version"] == request.param
    return work / "arm", dict(np.load(work / "numbers.npz"))


@pytest.mark.parametrize("camera", ["top", "wrist"])
def test_theirs_comes_in(theirs: Any, tmp_path: Path, camera: str) -> None:
    folder, given = theirs
    out = tmp_path / "ours.h5"
    done = import_lerobot(folder, out, task="arm", camera=f"observation.images.{camera}", bound=5)
    assert (done.episodes, done.rows) == (3, 16)
    assert "the actions in the last rows of 3 episodes are left out" in done.notes[0]
    other = {"top": "wrist", "wrist": "top"}[camera]
    assert done.notes[1] == f"not taken over: observation.images.{other}"
    assert done.notes[-1] == "tasks in words: move 0; move 1"
    with understudy.Dataset(out) as d:
        assert d.lengths.tolist() == given["lengths"].tolist() and d.dt == 0.1
        assert d.camera == camera
        np.testing.assert_array_equal(d.states, given["state"].astype(np.float64))
        np.testing.assert_array_equal(d.proprio, given["state"])
        last = np.cumsum(given["lengths"]) - 1
        inner = np.delete(np.arange(16), last)
        expected = (given["action"].astype(np.float64) / 5).astype(np.float32)
        np.testing.assert_array_equal(d.actions[inner], expected[inner])
        assert np.isnan(d.actions[last]).all()
        np.testing.assert_array_equal(d.times[:5], np.arange(5) * 0.1)
        error = np.abs(d.pixels(0, 16).astype(int) - given[camera])
    # A picture is kept as it is, a film within the error of its codec, each frame its own.
    print(f"\n{folder.parent.name} {camera}: mean error {error.mean():.3f}, largest {error.max()}")
    if camera == "wrist":
        assert not error.any()
    else:
        assert error.mean(axis=(1, 2, 3)).max() < 3
    assert "good: 3 episodes, 16 rows" in program("dataset", "verify", out)


@pytest.mark.filterwarnings("ignore:The video decoding")  # of lerobot's own reader
@pytest.mark.parametrize("video", [False, True])
def test_ours_goes_out_and_back(tmp_path: Path, video: bool) -> None:
    ours, out, back = write(tmp_path / "ours.h5"), tmp_path / "out", tmp_path / "back.h5"
    done = export_lerobot(ours, out, last="repeat", video=video, instruction="drive on")
    assert (done.episodes, done.rows) == (3, 21)
    assert any("have an action made here (repeat)" in n for n in done.notes)
    # What lerobot itself reads.
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    read = LeRobotDataset("understudy/out", root=out, video_backend="pyav")
    assert read.num_episodes == 3 and read.fps == 20
    with understudy.Dataset(ours) as d:
        pixels = d.pixels(0, d.rows)
        for row in range(d.rows):
            item = read[row]
            last = row + 1 in np.cumsum(LENGTHS)
            np.testing.assert_array_equal(item["action"], d.actions[row - 1 if last else row])
            np.testing.assert_array_equal(item["observation.state"], d.proprio[row])
            assert item["next.reward"].item() == d.rewards[row] and item["next.done"].item() == last
            assert item["task"] == "drive on"
            frame = np.moveaxis(item["observation.images.above"].numpy(), 0, 2) * 255
            assert np.abs(frame - pixels[row]).mean() < (3 if video else 1e-4)
    import_lerobot(out, back, task="drive", bound=1)
    same(ours, back, pixels=not video)
    if video:
        with understudy.Dataset(ours) as a, understudy.Dataset(back) as b:
            error = np.abs(a.pixels(0, 21).astype(int) - b.pixels(0, 21))
        print(f"\nAV1 and back: mean error {error.mean():.3f}, largest {error.max()}")
        assert error.mean(axis=(1, 2, 3)).max() < 3


def test_the_installed_version_is_written(tmp_path: Path) -> None:
    """With the package of v2.1 an export is of v2.1, and comes back as well."""
    assert OLD
    ours = write(tmp_path / "ours.h5")
    command = [sys.executable, "-m", "understudy", "export", "lerobot", ours, "--last", "zero",
               "--out", tmp_path / "old"]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": OLD}, capture_output=True,
                          text=True)
    assert done.returncode == 0 and "version v2.1" in done.stdout, done.stderr[-2000:]
    import_lerobot(tmp_path / "old", tmp_path / "back.h5", task="drive", bound=1)
    same(ours, tmp_path / "back.h5")


def test_last_rows(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours.h5", frames=False)
    assert export_lerobot(ours, tmp_path / "drop", last="drop").rows == 18
    export_lerobot(ours, tmp_path / "zero", last="zero")
    import_lerobot(tmp_path / "zero", tmp_path / "back.h5", task="drive", bound=1)
    same(ours, tmp_path / "back.h5", pixels=False)
    rows = parquet.read_table(tmp_path / "zero" / "data/chunk-000/file-000.parquet").to_pylist()
    assert rows[6]["action"] == [0, 0] and rows[6]["next.done"] and not rows[5]["next.done"]
    line = program("export", "lerobot", ours, "--out", tmp_path / "x", code=2)
    assert "expected --last HOW: the action of an episode's last row" in line
    odd = write(tmp_path / "odd.h5", frames=False, dt=0.3)
    with pytest.raises(UsageError, match="whole number of rows a second.*--fps says"):
        export_lerobot(odd, tmp_path / "x", last="zero")
    nothing_left(tmp_path, "ours.h5", "drop", "zero", "back.h5", "odd.h5")


def test_what_is_not_said_is_asked_for(theirs: Any, tmp_path: Path) -> None:
    folder, given = theirs
    out = tmp_path / "no.h5"
    cameras = "observation.images.top, observation.images.wrist"
    with pytest.raises(UsageError, match=f"expected --camera, one of {cameras}"):
        import_lerobot(folder, out, task="arm", bound=5)
    top = "observation.images.top"
    with pytest.raises(UsageError, match="how large actions are; expected --bound"):
        import_lerobot(folder, out, task="arm", camera=top)
    with pytest.raises(FormatError, match=r"row 0: expected actions in \[-0.1, 0.1\]"):
        import_lerobot(folder, out, task="arm", camera=top, bound=0.1)
    with pytest.raises(UsageError, match="--low: expected 1 or 3 numbers, found 2"):
        import_lerobot(folder, out, task="arm", camera=top, low=[0, 0], high=1)
    nothing_left(tmp_path)
    # The range of the data, where its statistics are those of the whole.
    if (folder / "meta" / "stats.json").exists():
        import_lerobot(folder, out, task="arm", camera=top, bounds_of_data=True)
        with understudy.Dataset(out) as d:
            low, high = given["action"].min(0), given["action"].max(0)
            expected = (given["action"][0] - (low + high) / 2) / ((high - low) / 2)
            np.testing.assert_allclose(d.actions[0], expected, atol=1e-6)
    else:
        with pytest.raises(UsageError, match="no statistics of the whole"):
            import_lerobot(folder, out, task="arm", camera=top, bounds_of_data=True)


def test_bad_input(theirs: Any, tmp_path: Path) -> None:
    out = tmp_path / "no.h5"

    def refused(change: Any, *words: str, code: int = 1) -> None:
        folder = tmp_path / "copy"
        shutil.copytree(theirs[0], folder)
        change(folder)
        line = program("import", "lerobot", folder, "--task", "arm", "--bound", 5, "--camera",
                       "observation.images.top", "--out", out, code=code)
        for word in words:
            assert word in line, line
        shutil.rmtree(folder)
        nothing_left(tmp_path)

    def cut(pattern: str) -> Any:
        def change(folder: Path) -> None:
            path = sorted(folder.glob(pattern))[-1]
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return change

    def drop(pattern: str) -> Any:
        return lambda folder: sorted(folder.glob(pattern))[-1].unlink()

    def say(version: str) -> Any:
        def change(folder: Path) -> None:
            path = folder / "meta" / "info.json"
            said = json.loads(path.read_text())
            path.write_text(json.dumps({**said, "codebase_version": version}))
        return change

    def shorten(folder: Path) -> None:
        """A film without its last frames, as the same codec keeps it."""
        import av

        path = sorted(folder.glob("videos/**/*.mp4"))[-1]
        with av.open(str(path)) as film:
            frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
        with av.open(str(path), "w") as to:
            stream = to.add_stream("libx264", rate=10)
            stream.height, stream.width, stream.pix_fmt = *SIDE, "yuv420p"
            for frame in frames[:-2]:
                to.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            to.mux(stream.encode())

    def lose_rows(folder: Path) -> None:
        path = sorted(folder.glob("data/**/*.parquet"))[-1]
        table = parquet.read_table(path)
        parquet.write_table(table.slice(0, len(table) - 1), path)

    refused(say("v2.0"), "expected a dataset of version v2.1 or v3.0, found v2.0")
    refused(drop("meta/info.json"), "info.json: expected a file, found none")
    refused(cut("meta/info.json"), "info.json: cannot be read")
    refused(cut("data/**/*.parquet"), ".parquet: cannot be read")
    refused(drop("data/**/*.parquet"), "expected the rows of episode")
    refused(lose_rows, "rows of episode 2, as meta says, found 2")
    refused(drop("videos/**/*.mp4"), ".mp4: expected a film, found none")
    refused(cut("videos/**/*.mp4"), ".mp4")
    refused(shorten, ".mp4: expected a frame at ", "episode 2, row 1, found its last at")
    with pytest.raises(FileError, match="expected the folder of a LeRobot dataset"):
        import_lerobot(tmp_path / "nowhere", out, task="arm", bound=5)
    nothing_left(tmp_path)
