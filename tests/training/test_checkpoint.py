"""Checkpoints under kills at every write, and under damage of every file."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from training import checkpoint

TENSORS = {
    "model": {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.tensor([1.5])},
    "optimizer": {"a.weight.exp_avg": torch.full((2, 3), -1.0)},
}


def save(folder: Path, step: int, keep: int = 10) -> Path:
    tensors = {name: {key: value + step for key, value in named.items()} for name, named in TENSORS.items()}
    return checkpoint.save(folder, step, tensors, {"step": step}, keep)


def check(path: Path, step: int) -> None:
    assert checkpoint.read_state(path) == {"step": step}
    for name, named in TENSORS.items():
        read = checkpoint.read_tensors(path, name)
        assert read.keys() == named.keys()
        assert all(torch.equal(read[key], value + step) for key, value in named.items())


def test_what_is_saved_comes_back_and_the_newest_are_kept(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path / "none") is None
    for step in (5, 100, 20, 30):
        save(tmp_path, step, keep=2)
    assert [path.name for path in checkpoint.all_of(tmp_path)] == ["step-00000030", "step-00000100"]
    found = checkpoint.latest(tmp_path)
    assert found is not None
    check(found, 100)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000030", "step-00000100"]
    made = tmp_path.with_suffix(".jsonl")
    assert [json.loads(line)["step"] for line in made.read_text().splitlines()] == [5, 20, 30, 100]
    made.write_text('{"step": 5}\n{"st')  # half a line
    save(tmp_path, 40, keep=2)
    assert [json.loads(line)["step"] for line in made.read_text().splitlines()] == [5, 30, 40, 100]


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    path = save(tmp_path, 5)
    (path / "model.safetensors").write_bytes(b"damaged")
    check(save(tmp_path, 5), 5)


KILLER = """
import os, sys, torch
from pathlib import Path
from training import checkpoint

folder = Path(sys.argv[1])
calls = {"count": 0, "die": 0}

def deadly(function):
    # the process dies just before this act, as under kill -9: nothing is cleaned up
    def act(*arguments, **named):
        calls["count"] += 1
        if calls["count"] == calls["die"]:
            os._exit(9)
        return function(*arguments, **named)
    return act

def save(step):
    tensors = {"model": {"a": torch.full((50,), float(step))}, "optimizer": {"a": torch.full((50,), -float(step))}}
    checkpoint.save(folder, step, tensors, {"step": step}, keep=2)

save(1)
save(2)
for holder, name in ((os, "fsync"), (os, "open"), (Path, "mkdir"), (Path, "rename"), (Path, "write_text"),
                     (checkpoint, "save_file"), (checkpoint.shutil, "rmtree"), (checkpoint, "_sha256")):
    setattr(holder, name, deadly(getattr(holder, name)))
step = kills = 0
for die in range(1, 1000):
    child = os.fork()
    if not child:
        calls.update(count=0, die=die)
        save(3)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls.update(count=0, die=0)
    newest = checkpoint.latest(folder)
    step = checkpoint.read_state(newest)["step"]
    tensors = checkpoint.read_tensors(newest, "model")["a"]
    assert step in (2, 3) and torch.equal(tensors, torch.full((50,), float(step))), (die, step)
    assert len(checkpoint.all_of(folder)) >= 2 or step == 3, die
    if code == 0:
        break
    kills += 1
    if step == 3:  # it died after the rename; go back to before it
        checkpoint.shutil.rmtree(newest)
        checkpoint.shutil.rmtree(folder)
        save(1)
        save(2)
    save(2)  # a later save is not disturbed by what the dead one left
assert step == 3
print(kills)
"""


def test_a_kill_before_any_act_of_a_save_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(tmp_path / "checkpoints")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 15
    assert "warning" not in done.stderr.lower()


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, damage: str
) -> None:
    save(tmp_path, 1)
    file = save(tmp_path, 2) / name
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0x10
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    else:
        file.unlink()
    with caplog.at_level(logging.WARNING):
        found = checkpoint.latest(tmp_path)
    assert found is not None
    check(found, 1)
    assert len(caplog.records) == 1
    assert "step-00000002" in caplog.text and "taking the checkpoint before it" in caplog.text
    if name != "manifest.json":
        assert name in caplog.text


def test_a_manifest_that_names_too_little_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    (path / "manifest.json").write_text(json.dumps({"step": 1, "files": {}}))
    with pytest.raises(checkpoint.CheckpointError, match="no manifest"):
        checkpoint.verify(path)


def test_what_changes_after_a_save_was_begun_is_not_in_it(tmp_path: Path) -> None:
    changing = {"model": {"a": torch.zeros(200_000)}}
    with checkpoint.Writer(tmp_path, keep=9) as writer:
        for step in range(1, 6):
            changing["model"]["a"].fill_(float(step))
            writer.save(step, changing, {"step": step})
            changing["model"]["a"].fill_(-1.0)
        changing["model"]["a"].fill_(6.0)
        writer.save(6, changing, {"step": 6}, last=True)
        assert len(checkpoint.all_of(tmp_path)) == 6
    for path in checkpoint.all_of(tmp_path):
        checkpoint.verify(path)
        step = checkpoint.read_state(path)["step"]
        assert torch.equal(checkpoint.read_tensors(path, "model")["a"], torch.full((200_000,), float(step)))


@pytest.mark.parametrize("then", ["save", "end"])
def test_an_error_of_the_thread_comes_up_at_the_next_save_or_the_end(tmp_path: Path, then: str) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    writer = checkpoint.Writer(tmp_path / "checkpoints", keep=2)
    writer.save(1, TENSORS, {"step": 1})
    with pytest.raises(FileExistsError):
        if then == "save":
            writer.save(2, TENSORS, {"step": 2})
        else:
            writer.__exit__(None, None, None)


def test_an_error_of_the_loop_is_not_hidden_by_one_of_the_thread(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(ValueError, match="the loop's own"), checkpoint.Writer(tmp_path / "checkpoints", 2) as writer:
        writer.save(1, TENSORS, {"step": 1})
        raise ValueError("the loop's own")
    assert "is lost" in caplog.text


def test_every_so_manieth_stays_for_ever(tmp_path: Path) -> None:
    with checkpoint.Writer(tmp_path, keep=2, keep_every=10) as writer:
        for step in range(2, 32, 2):
            writer.save(step, TENSORS, {"step": step})
    steps = [checkpoint.read_state(path)["step"] for path in checkpoint.all_of(tmp_path)]
    assert steps == [10, 20, 26, 28, 30]
