"""Small data and a small model, made once."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import understudy

# Who starts the tests in the background has them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="session")
def train(work: Path) -> Path:
    path = work / "train.h5"
    understudy.collect("pointmaze", path, episodes=40, steps=60, seed=1, progress=False)
    return path


@pytest.fixture(scope="session")
def held(work: Path) -> Path:
    path = work / "held.h5"
    understudy.collect("pointmaze", path, episodes=24, steps=60, seed=2, progress=False)
    return path


@pytest.fixture(scope="session")
def model(work: Path, train: Path) -> Path:
    done = understudy.finetune(train, work / "model", steps=60, success_steps=200, progress=False)
    assert done.steps == 60 and done.one_step < 1
    assert done.success is not None and done.success.auroc > 0.7
    return work / "model"


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    path = tmp_path / "robot.xml"
    path.write_text(
        "<mujoco><worldbody><body><joint name='j' axis='0 1 0' range='-90 90'/>"
        "<geom type='capsule' fromto='0 0 0 0 0 .3' size='.04'/></body></worldbody>"
        "<actuator><motor joint='j' ctrlrange='-1 1'/></actuator></mujoco>"
    )
    return path
