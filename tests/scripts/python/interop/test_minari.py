"""Minari: data that Minari wrote comes in, ours goes out and back, number for number."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import minari
import numpy as np
import pytest
import understudy
from gymnasium.spaces import Box, Dict, Discrete
from minari.data_collector import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage
from ours import LENGTHS, nothing_left, program, same, write
from understudy.errors import FileError, FormatError, UsageError
from understudy.exchange import export_minari, import_minari


def _made(path: Path) -> Path:
    path.mkdir()
    return path


class Drift(gymnasium.Env[dict[str, np.ndarray], np.ndarray]):
    """A point that drifts, with actions of another range and frames."""

    observation_space = Dict({"observation": Box(-np.inf, np.inf, (3,), np.float64),
                              "achieved_goal": Box(-np.inf, np.inf, (2,), np.float64),
                              "image": Box(0, 255, (8, 10, 3), np.uint8)})
    action_space = Box(np.array([-2, 0], np.float32), np.array([2, 8], np.float32))

    def _see(self) -> dict[str, np.ndarray]:
        image = np.full((8, 10, 3), int(self.t) * 3, np.uint8)
        return {"observation": self.x, "achieved_goal": self.x[:2], "image": image}

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[dict, dict]:
        super().reset(seed=seed)
        self.x, self.t = self.np_random.normal(size=3), 0
        return self._see(), {}

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        self.x, self.t = self.x + [*action, 0.1], self.t + 1
        return self._see(), float(self.x.sum()), self.t == 9, False, {}


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A dataset that Minari's own storage wrote, and what Minari reads in it."""
    env = Drift()
    env.action_space.seed(4)
    storage = MinariStorage.new(_made(tmp_path / "theirs") / "data", env.observation_space,
                                env.action_space, jpeg_encoding=False)
    for e in range(3):
        seen, rewards, ends, actions = [env.reset(seed=e)[0]], [], [], []
        for _ in range(5 + 2 * e):
            actions.append(env.action_space.sample())
            observation, reward, ended, _, _ = env.step(actions[-1])
            seen.append(observation)
            rewards.append(reward)
            ends.append(ended)
        columns = {k: np.stack([s[k] for s in seen]) for k in seen[0]}
        storage.update_episodes([EpisodeBuffer(
            observations=columns, actions=np.stack(actions), rewards=rewards, terminations=ends,
            truncations=[False] * len(ends), infos={})])
    storage.update_metadata({"dataset_id": "drift/play-v0", "minari_version": minari.__version__,
                             "algorithm_name": "play"})
    return tmp_path / "theirs"


def test_theirs_comes_in(theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "ours.h5"
    done = import_minari(theirs, out, task="drift", fps=10, state="observation")
    assert (done.episodes, done.rows) == (3, 6 + 8 + 10)
    assert done.notes == ("not taken over: achieved_goal",)
    data = minari.MinariDataset(theirs / "data")
    with understudy.Dataset(out) as d:
        assert d.dt == 0.1 and d.policy == "play" and d.camera == "image"
        for e, episode in enumerate(data.iterate_episodes()):
            found, first = d[e], int(d.offsets[e])
            rows = slice(first, first + len(found.states))
            np.testing.assert_array_equal(found.states, episode.observations["observation"])
            np.testing.assert_array_equal(found.pixels, episode.observations["image"])
            expected = (episode.actions.astype(np.float64) - [0, 4]) / [2, 4]
            np.testing.assert_array_equal(found.actions[:-1], expected.astype(np.float32))
            assert np.isnan(found.actions[-1]).all()
            np.testing.assert_array_equal(d.rewards[rows][:-1],
                                          episode.rewards.astype(np.float32))
            np.testing.assert_array_equal(d.terminated[rows][:-1], episode.terminations)
            assert d.terminated[rows][-1] == (e == 2) and d.truncated[rows][-1] == (e != 2)
    understudy_verify = program("dataset", "verify", out)
    assert "good: 3 episodes, 24 rows" in understudy_verify


def test_ours_goes_out_and_back(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours.h5")
    done = export_minari(ours, tmp_path / "out", id="drive/mix-v1")
    assert done.rows == sum(LENGTHS) - 3 and done.notes == ("frames without loss",)
    data = minari.MinariDataset(tmp_path / "out" / "data")
    assert data.total_steps == done.rows and data.id == "drive/mix-v1"
    with understudy.Dataset(ours) as d:
        for e, episode in enumerate(data.iterate_episodes()):
            np.testing.assert_array_equal(episode.observations["state"], d[e].states)
            np.testing.assert_array_equal(episode.observations["proprio"], d[e].proprio)
            np.testing.assert_array_equal(episode.observations["pixels"], d[e].pixels)
            np.testing.assert_array_equal(episode.actions, d[e].actions[:-1])
            assert episode.terminations[-1] == (e == 1) and episode.truncations[-1] == (e != 1)
    import_minari(tmp_path / "out", tmp_path / "back.h5", task="drive", dt=0.05)
    same(ours, tmp_path / "back.h5")


def test_by_its_id_and_by_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "all"))
    ours = write(tmp_path / "ours.h5", frames=False)
    (tmp_path / "all" / "drive").mkdir(parents=True)
    program("export", "minari", ours, "--id", "drive/mix-v1", "--out",
            tmp_path / "all" / "drive" / "mix-v1")
    told = program("import", "minari", "drive/mix-v1", "--task", "drive", "--fps", 20, "--out",
                   tmp_path / "back.h5")
    assert "3 episodes, 21 rows" in told
    same(ours, tmp_path / "back.h5", pixels=False)
    # Frames of another size are the library's own work.
    framed = write(tmp_path / "framed.h5")
    export_minari(framed, tmp_path / "framed")
    program("import", "minari", tmp_path / "framed", "--task", "drive", "--fps", 20, "--size", 16,
            "--fit", "letterbox", "--out", tmp_path / "small.h5")
    with understudy.Dataset(tmp_path / "small.h5") as d:
        assert (d.height, d.width) == (16, 16) and not d.pixels(0, 1)[0, 0].any()
    same(framed, tmp_path / "small.h5", pixels=False)


def test_jpeg_is_told_and_near(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours.h5")
    assert "with loss" in export_minari(ours, tmp_path / "out", jpeg=True).notes[0]
    import_minari(tmp_path / "out", tmp_path / "back.h5", task="drive", dt=0.05)
    same(ours, tmp_path / "back.h5", pixels=False)
    with understudy.Dataset(ours) as a, understudy.Dataset(tmp_path / "back.h5") as b:
        error = a.pixels(0, a.rows).astype(int) - b.pixels(0, b.rows)
    assert 0 < np.abs(error).mean() < 8


def test_what_is_not_said_is_asked_for(theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "no.h5"
    with pytest.raises(UsageError, match="time between its rows; expected --fps"):
        import_minari(theirs, out, task="drift")
    with pytest.raises(UsageError, match="expected --state, one of achieved_goal, observation"):
        import_minari(theirs, out, task="drift", fps=10)
    with pytest.raises(UsageError, match="expected --fps or --dt, found both"):
        import_minari(theirs, out, task="drift", fps=10, dt=0.1, state="observation")
    with pytest.raises(UsageError, match="--state: expected one of .*found 'x'"):
        import_minari(theirs, out, task="drift", fps=10, state="x")
    with pytest.raises(FormatError, match=r"episode 0, row \d: expected actions in \[-1, 1\]"):
        import_minari(theirs, out, task="drift", fps=10, state="observation", bound=1)
    nothing_left(tmp_path, "theirs")
    said = program("import", "minari", theirs, "--out", out, "--fps", 10, code=2)
    assert "expected --task NAME" in said
    assert "is for dinowm" in program("import", "minari", theirs, "--actions", "x", "--out", out,
                                      "--task", "drift", code=2)
    # A space without bounds.
    unbounded = MinariStorage.new(_made(tmp_path / "u") / "data", Box(-1, 1, (2,)),
                                  Box(-np.inf, np.inf, (1,)))
    unbounded.update_episodes([EpisodeBuffer(
        observations=np.zeros((3, 2), np.float32), actions=np.ones((2, 1), np.float32),
        rewards=[0, 0], terminations=[0, 0], truncations=[0, 1], infos={})])
    with pytest.raises(FormatError, match="cannot be read: there is no 'dataset_id'"):
        import_minari(tmp_path / "u", out, task="drift", fps=10)
    unbounded.update_metadata({"dataset_id": "u-v0", "minari_version": minari.__version__})
    with pytest.raises(UsageError, match="infinite; expected --bound"):
        import_minari(tmp_path / "u", out, task="drift", fps=10)
    assert import_minari(tmp_path / "u", out, task="drift", fps=10, bound=2).rows == 3


def test_bad_input(theirs: Path, tmp_path: Path) -> None:
    out = tmp_path / "no.h5"
    with pytest.raises(FileError, match="found none"):
        import_minari(tmp_path / "nowhere", out, task="drift", fps=10)
    with pytest.raises(FormatError, match="expected a Minari dataset"):
        import_minari(tmp_path, out, task="drift", fps=10)
    file = theirs / "data" / "main_data.hdf5"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    line = program("import", "minari", theirs, "--task", "drift", "--fps", 10, "--state",
                   "observation", "--out", out, code=1)
    assert "cannot be read" in line and str(theirs) in line
    file.unlink()
    assert str(theirs) in program("import", "minari", theirs, "--task", "drift", "--fps", 10,
                                  "--state", "observation", "--out", out, code=1)
    nothing_left(tmp_path, "theirs")
    discrete = MinariStorage.new(_made(tmp_path / "d") / "data", Box(-1, 1, (2,)), Discrete(4))
    discrete.update_metadata({"dataset_id": "d-v0", "minari_version": minari.__version__})
    with pytest.raises(FormatError, match="Box with one axis, found Discrete"):
        import_minari(tmp_path / "d", out, task="drift", fps=10)
    # What is there stays unless it may be replaced.
    ours = write(out)
    with pytest.raises(FileError, match="is there already"):
        export_minari(ours, theirs)
    with pytest.raises(FileError, match="expected a dataset|No such file|cannot be opened|found"):
        export_minari(tmp_path / "nowhere.h5", tmp_path / "x")
    nothing_left(tmp_path, "theirs", "d", "no.h5")
    export_minari(ours, theirs, overwrite=True)
    assert minari.MinariDataset(theirs / "data").total_episodes == 3
