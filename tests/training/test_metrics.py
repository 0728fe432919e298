"""The journal of a run: one line a step, also after crashes."""

from pathlib import Path

import pytest

from training.metrics import Journal, read_journal


def test_lines_after_the_step_gone_on_from_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path, 0) as journal:
        for step in range(1, 8):
            journal.write({"step": step, "loss": 1.0 / step})
    with Journal(path, 4) as journal:
        assert [row["step"] for row in read_journal(path)] == [1, 2, 3, 4]
        journal.write({"step": 5, "loss": 0.25})
        journal.sync()
        assert [row["step"] for row in read_journal(path)] == [1, 2, 3, 4, 5]
    assert list(read_journal(path))[-1] == {"step": 5, "loss": 0.25}


def test_half_a_line_at_the_end_is_what_a_crash_leaves(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    with Journal(path, 2) as journal:
        journal.write({"step": 2})
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"loss": 3}'])
def test_damage_elsewhere_is_an_error_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"step": 1}}\n{line}\n{{"step": 3}}\n')
    with pytest.raises(ValueError, match="metrics.jsonl:2"):
        list(read_journal(path))


def test_a_number_that_is_none_stays_json(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Journal(path, 0) as journal:
        journal.write({"step": 1, "loss": float("nan"), "loss_by_source": {"a": float("inf"), "b": 2.0}})
    assert list(read_journal(path)) == [{"step": 1, "loss": None, "loss_by_source": {"a": None, "b": 2.0}}]
