"""DINO-WM's folders, as its recorders write them with torch.save."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import understudy
from ours import nothing_left, program
from understudy.errors import FileError, FormatError, UsageError
from understudy.exchange import import_dinowm

LENGTHS = [6, 4, 9]


def write(folder: Path, *, mp4: bool = False, first: bool = False) -> dict[str, torch.Tensor]:
    """Three episodes padded to nine rows; frames as tensors, colours first or last, or as films."""
    g = torch.Generator().manual_seed(5)
    data = {"states": torch.randn(3, 9, 5, generator=g, dtype=torch.float64),
            "rel_actions": 100 * (2 * torch.rand(3, 9, 2, generator=g) - 1)}
    (folder / "obses").mkdir(parents=True)
    for name, x in data.items():
        torch.save(x, folder / f"{name}.pth")
    data["frames"] = torch.randint(0, 256, (3, 9, 16, 24, 3), generator=g, dtype=torch.uint8)
    for e, n in enumerate(LENGTHS):
        name = folder / "obses" / f"episode_{e:03d}"
        frames = data["frames"][e, :n]
        if mp4:
            film(name.with_suffix(".mp4"), frames.numpy())
        else:
            torch.save(frames.permute(0, 3, 1, 2).contiguous() if first else frames,
                       name.with_suffix(".pth"))
    return data


def film(path: Path, frames: np.ndarray) -> None:
    """A film without loss: RGB in H.264."""
    import av

    with av.open(str(path), "w") as to:
        stream = to.add_stream("libx264rgb", rate=10, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "rgb24"
        for frame in frames:
            to.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        to.mux(stream.encode())


@pytest.mark.parametrize("lengths", ["pth", "pkl"])
@pytest.mark.parametrize("kind", ["last", "first", "mp4"])
def test_comes_in(tmp_path: Path, lengths: str, kind: str) -> None:
    folder, out = tmp_path / "theirs", tmp_path / "ours.h5"
    data = write(folder, mp4=kind == "mp4", first=kind == "first")
    if lengths == "pth":
        torch.save(torch.tensor(LENGTHS), folder / "seq_lengths.pth")
    else:
        (folder / "seq_lengths.pkl").write_bytes(pickle.dumps(np.array(LENGTHS)))
    torch.save(torch.full((3, 9, 2), 7.0), folder / "velocities.pth")
    done = import_dinowm(folder, out, task="pusht", fps=10, bound=100, proprio="0-1,5")
    assert (done.episodes, done.rows) == (3, 19) and done.notes[0] == "actions: rel_actions"
    with understudy.Dataset(out) as d:
        assert d.dt == 0.1 and d.state == 7 and d.lengths.tolist() == LENGTHS
        for e, n in enumerate(LENGTHS):
            states = data["states"][e, :n].numpy()
            np.testing.assert_array_equal(d[e].states[:, :5], states)
            assert (d[e].states[:, 5:] == 7).all()
            np.testing.assert_array_equal(d[e].proprio[:, :2], states[:, :2].astype(np.float32))
            expected = data["rel_actions"][e, : n - 1].numpy().astype(np.float64) / 100
            np.testing.assert_array_equal(d[e].actions[:-1], expected.astype(np.float32))
            np.testing.assert_array_equal(d[e].pixels, data["frames"][e, :n])


def test_what_is_not_said_is_asked_for(tmp_path: Path) -> None:
    folder, out = tmp_path / "theirs", tmp_path / "no.h5"
    write(folder)
    with pytest.raises(UsageError, match="how large actions are; expected --bound"):
        import_dinowm(folder, out, task="pusht", fps=10)
    with pytest.raises(UsageError, match="expected --fps or --dt"):
        import_dinowm(folder, out, task="pusht", bound=100)
    with pytest.raises(UsageError, match="--proprio: expected numbers of the state of 0 to 4"):
        import_dinowm(folder, out, task="pusht", fps=10, bound=100, proprio="5")
    torch.save(torch.zeros(3, 9, 2), folder / "abs_actions.pth")
    with pytest.raises(UsageError, match="expected --actions, one of rel_actions, abs_actions"):
        import_dinowm(folder, out, task="pusht", fps=10, bound=100)
    nothing_left(tmp_path, "theirs")
    # Without lengths all rows count, and these have no frames.
    with pytest.raises(FormatError, match="expected 9 frames as episode 0 has rows, found 6"):
        import_dinowm(folder, out, task="pusht", fps=10, bound=100, actions="rel_actions")
    nothing_left(tmp_path, "theirs")


def test_bad_input(tmp_path: Path) -> None:
    folder, out = tmp_path / "theirs", tmp_path / "no.h5"
    words = ("import", "dinowm", folder, "--task", "pusht", "--fps", 10, "--bound", 100, "--out",
             out)
    assert "expected a folder of DINO-WM" in program(*words, code=1)
    write(folder, mp4=True)
    lengths = folder / "seq_lengths.pkl"
    lengths.write_bytes(pickle.dumps([6, 4, 9]))
    # A film with fewer frames than rows, one that is cut, one that is gone.
    path = folder / "obses" / "episode_002.mp4"
    film(path, np.zeros((5, 16, 24, 3), np.uint8))
    line = program(*words, code=1)
    assert f"{path}: expected 9 frames as episode 2 has rows, found 5" in line
    path.write_bytes(path.read_bytes()[:200])
    assert f"{path}: cannot be decoded" in program(*words, code=1)
    path.unlink()
    assert f"{path}: expected a film, found none" in program(*words, code=1)
    # What a pickle would run is not run, in either kind of file.
    trap = tmp_path / "trap"
    trap.mkdir()
    run = b"cos\nsystem\n(S'touch " + str(trap / "sprung").encode() + b"'\ntR."
    lengths.write_bytes(run)
    assert "expected numbers, found os.system" in program(*words, code=1)
    lengths.unlink()
    (folder / "states.pth").write_bytes(run)
    assert f"{folder / 'states.pth'}: cannot be read" in program(*words, code=1)
    nothing_left(trap)
    (folder / "states.pth").unlink()
    with pytest.raises(FileError, match="states.pth: expected a file of PyTorch, found none"):
        import_dinowm(folder, out, task="pusht", fps=10, bound=100)
    nothing_left(tmp_path, "theirs", "trap")
