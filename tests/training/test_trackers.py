"""What trackers have of a run, read back with their own readers: TensorBoard's, wandb's files, trackio's database."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.configfile import ConfigError, ConfigFile
from training import trackers
from training.config import TrackingSettings, TrainConfig
from training.eventfile import EventFile
from training.trackers import Trackers, missing, numbers

ROW = {
    "step": 3,
    "tokens": 3072,
    "loss": 2.5,
    "loss_by_source": {"web": 2.0, "code/py": 3.0},
    "mfu": None,
    "lr": 1e-3,
    "order": "abc",
    "skipped": "loss",
}
SENT = {"tokens": 3072, "loss": 2.5, "loss_by_source/web": 2.0, "loss_by_source/code/py": 3.0, "lr": 1e-3}


def rows(first: int, last: int, offset: float = 0.0) -> list[dict[str, Any]]:
    return [
        {"step": step, "loss": 10.0 - step + offset, "loss_by_source": {"web": step}} for step in range(first, last)
    ]


class Fake:
    """A tracker that writes down what it is told."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.told: list[tuple[int, dict[str, float]]] = []
        self.closed: list[bool] = []
        self.fails_at = fails_at

    def log(self, step: int, values: Mapping[str, float]) -> None:
        if step == self.fails_at:
            raise ConnectionError("the server has gone")
        self.told.append((step, dict(values)))

    def close(self, failed: bool) -> None:
        self.closed.append(failed)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """What stands in for Weights & Biases."""
    made = Fake()
    monkeypatch.setattr(trackers, "_Wandb", lambda *args: made)
    return made


WANDB = TrackingSettings(use=("wandb",))


def test_all_numbers_of_a_row_have_the_journals_names() -> None:
    assert dict(numbers(ROW)) == SENT
    assert dict(numbers({"step": 1, "loss": {"web": 1.0}, "x": float("nan")}, "evaluation/")) == {
        "evaluation/loss/web": 1.0
    }


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    accumulator = events(tmp_path)
    with Trackers(TrackingSettings(use=("tensorboard",)), tmp_path, {"config": {"seed": "<b>1"}}) as tracked:
        tracked.log(0, {"step": 0, "loss": {"web": 9.0}}, "evaluation/")
        for row in rows(1, 6):
            tracked.log(row["step"], row)
        tracked.log(5, {"step": 5, "loss": {"web": 8.0}}, "evaluation/")
    assert scalars(accumulator(), "loss") == [(step, 10.0 - step) for step in range(1, 6)]
    assert scalars(accumulator(), "loss_by_source/web") == [(step, float(step)) for step in range(1, 6)]
    assert scalars(accumulator(), "evaluation/loss/web") == [(0, 9.0), (5, 8.0)]
    (text,) = accumulator().Tensors("run")
    assert '"seed": "<b>1"' in text.tensor_proto.string_val[0].decode()


def test_after_a_resume_tensorboard_has_each_step_once(tmp_path: Path) -> None:
    accumulator = events(tmp_path)
    tensorboard = TrackingSettings(use=("tensorboard",))
    with Trackers(tensorboard, tmp_path, {}) as tracked:
        for row in rows(1, 8):
            tracked.log(row["step"], row)
    with Trackers(tensorboard, tmp_path, {}, start=4) as tracked:
        for row in rows(5, 10, offset=0.5):
            tracked.log(row["step"], row)
    assert scalars(accumulator(), "loss") == [(s, 10.0 - s + 0.5 * (s > 4)) for s in range(1, 10)]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**50),
            st.dictionaries(st.text(min_size=1), st.floats(width=32, allow_nan=False), min_size=1),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=30, deadline=None)
def test_tensorboards_own_parser_reads_every_record(events: list[tuple[int, dict[str, float]]]) -> None:
    loader: ModuleType = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = EventFile(Path(folder), 0)
        for step, values in events:
            file.numbers(step, values)
        file.close()
        (path,) = Path(folder).iterdir()
        version, *found = loader.LegacyEventFileLoader(str(path)).Load()
    assert version.file_version == "brain.Event:2"
    read = [(event.step, {value.tag: value.simple_value for value in event.summary.value}) for event in found]
    assert read == events


def test_a_file_that_was_cut_off_is_read_up_to_there(tmp_path: Path) -> None:
    accumulator = events(tmp_path)
    with Trackers(TrackingSettings(use=("tensorboard",)), tmp_path, {}) as tracked:
        for row in rows(1, 5):
            tracked.log(row["step"], row)
    (path,) = (tmp_path / "tensorboard").iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    assert [step for step, _ in scalars(accumulator(), "loss")] == [1, 2, 3]


def events(out: Path) -> Any:
    """TensorBoard's reader of a run's folder, anew at each call."""
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read() -> Any:
        accumulator = module.EventAccumulator(str(out / "tensorboard"), size_guidance={"scalars": 0})
        return accumulator.Reload()

    return read


def scalars(accumulator: Any, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in accumulator.Scalars(name)]


def test_steps_that_were_sent_are_not_sent_again(tmp_path: Path, fake: Fake) -> None:
    with Trackers(WANDB, tmp_path, {}) as tracked:
        tracked.log(0, {"step": 0, "loss": {"web": 1.0}}, "evaluation/")
        for row in rows(1, 8):
            tracked.log(row["step"], row)
    with Trackers(WANDB, tmp_path, {}, start=4) as tracked:
        for row in rows(5, 10):
            tracked.log(row["step"], row)
            if row["step"] == 6:  # the crash came before this one
                tracked.log(6, {"step": 6, "loss": {"web": 0.5}}, "evaluation/")
    assert [step for step, values in fake.told if "loss" in values] == list(range(1, 10))
    assert [step for step, values in fake.told if "evaluation/loss/web" in values] == [0, 6]
    assert fake.closed == [False, False]


def test_a_run_that_begins_anew_sends_everything_under_another_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, told = [], []

    def make(settings: TrackingSettings, out: Path, description: Mapping[str, Any], id_: str) -> Fake:
        ids.append(id_)
        told.append(Fake())
        return told[-1]

    monkeypatch.setattr(trackers, "_Wandb", make)
    for start in (0, 2, 0):
        with Trackers(WANDB, tmp_path, {}, start=start) as tracked:
            for row in rows(start + 1, 4):
                tracked.log(row["step"], row)
    assert [[step for step, _ in fake.told] for fake in told] == [[1, 2, 3], [], [1, 2, 3]]
    assert ids[0] == ids[1] != ids[2]


def test_a_tracker_that_fails_is_told_once_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Fake
) -> None:
    broken = Fake(fails_at=2)
    monkeypatch.setattr(trackers, "_Trackio", lambda *args: broken)
    said: list[str] = []
    with Trackers(TrackingSettings(use=("trackio", "wandb")), tmp_path, {}, say=said.append) as tracked:
        for row in rows(1, 5):
            tracked.log(row["step"], row)
    assert [step for step, _ in fake.told] == [1, 2, 3, 4] and [step for step, _ in broken.told] == [1]
    assert len(said) == 1 and "trackio" in said[0] and "the server has gone" in said[0]
    assert broken.closed == []


def test_a_tracker_that_cannot_start_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake: Fake
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError("not logged in")

    monkeypatch.setattr(trackers, "_Trackio", refuse)
    said: list[str] = []
    with Trackers(TrackingSettings(use=("trackio", "wandb")), tmp_path, {}, say=said.append) as tracked:
        tracked.log(1, rows(1, 2)[0])
    assert len(fake.told) == 1 and len(said) == 1 and "not logged in" in said[0]


def test_a_run_that_an_error_ended_is_told_as_such(tmp_path: Path, fake: Fake) -> None:
    with pytest.raises(RuntimeError), Trackers(WANDB, tmp_path, {}):
        raise RuntimeError("out of memory")
    assert fake.closed == [True]


def test_without_trackers_nothing_is_written(tmp_path: Path) -> None:
    with Trackers(TrackingSettings(), tmp_path, {}) as tracked:
        tracked.log(1, ROW)
    assert not list(tmp_path.iterdir())


def test_a_list_is_short_for_use_and_wrong_names_are_told_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("data: x\nsteps: 1\ntracking: [tensorboard, wandb]\n")
    assert ConfigFile.read(path, ()).load(TrainConfig).tracking.use == ("tensorboard", "wandb")
    path.write_text("data: x\nsteps: 1\ntracking: [tensorbord]\n")
    with pytest.raises(ConfigError, match=r"run.yaml:3.*tensorbord.*tensorboard"):
        ConfigFile.read(path, ()).load(TrainConfig)


def test_a_package_that_is_not_there_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    found = missing(TrackingSettings(use=("tensorboard", "wandb", "trackio")))
    assert [problem.place for problem in found] == [("tracking", "use", 1), ("tracking", "use", 2)]
    assert all("gristmill[track]" in problem.message for problem in found)


SCRIPT = """
import json, sys
from pathlib import Path
from training.config import TrackingSettings
from training.trackers import Trackers
name, out, start, stop = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
failures = []
settings = TrackingSettings(use=(name,), project="p")
with Trackers(settings, out, {"config": {"seed": 1}}, start, failures.append) as tracked:
    for step in range(start + 1, stop):
        tracked.log(step, {"step": step, "loss": 10.0 - step, "loss_by_source": {"web": step}})
        if step == 3:
            tracked.log(step, {"step": step, "loss": {"web": 4.5}}, "evaluation/")
sys.stderr.write("".join(failures))
assert not failures
"""


def in_a_process_of_its_own(name: str, out: Path, **environment: str) -> None:
    """Seven steps, and after a resume from the fourth two more: the packages keep state for a whole process."""
    for start, stop in ((0, 8), (4, 10)):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, name, str(out), str(start), str(stop)],
            env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""


def test_wandb_offline_has_each_step_once(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="needs the extra [track]")
    out = tmp_path / "out"
    out.mkdir()
    in_a_process_of_its_own("wandb", out, WANDB_MODE="offline", HOME=str(tmp_path))
    records = [
        record for path in sorted((out / "wandb").glob("offline-run-*/*.wandb")) for record in wandb_records(path)
    ]
    runs = [record.run for record in records if record.HasField("run")]
    found = [
        {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.HasField("history")
    ]
    assert sorted((row["_step"], row["loss"]) for row in found if "loss" in row) == [
        (s, 10.0 - s) for s in range(1, 10)
    ]
    assert [(row["_step"], row["evaluation/loss/web"]) for row in found if "evaluation/loss/web" in row] == [(3, 4.5)]
    assert len(runs) == 2 and len({run.run_id for run in runs}) == 1 and {run.project for run in runs} == {"p"}


def wandb_records(path: Path) -> Iterator[Any]:
    """The records of a file of wandb: blocks of 32 KiB with pieces (checksum, length, kind), as LevelDB's logs have."""
    from wandb.proto import wandb_internal_pb2

    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole, at = whole + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # a whole record, or the last piece of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def test_trackio_has_each_step_once(tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="needs the extra [track]")
    out, database = tmp_path / "out", tmp_path / "trackio"
    out.mkdir()
    in_a_process_of_its_own("trackio", out, TRACKIO_DIR=str(database), HOME=str(tmp_path))
    reader = (
        "import json\n"
        "from trackio.sqlite_storage import SQLiteStorage as S\n"
        "print(json.dumps({run: S.get_logs('p', run) for run in S.get_runs('p')}, default=str))\n"
    )
    environment = {**os.environ, "TRACKIO_DIR": str(database)}
    done = subprocess.run([sys.executable, "-c", reader], env=environment, capture_output=True, text=True, check=True)
    ((name, logs),) = json.loads(done.stdout).items()
    assert name.startswith("out-")
    assert sorted((row["step"], row["loss"]) for row in logs if "loss" in row) == [(s, 10.0 - s) for s in range(1, 10)]
    assert [(row["step"], row["evaluation/loss/web"]) for row in logs if "evaluation/loss/web" in row] == [(3, 4.5)]
