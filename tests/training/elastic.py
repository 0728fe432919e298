"""Makes the batches of a run in processes that are killed, each of which goes on where the one before it was.

    python tests/training/elastic.py RUN FILE --kills 4

RUN has run.json, the tokenizer and the tokens of a training run. FILE gets a line for each step: hashes of its order
and of its batch.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from training.compute import Compute, Staged
from training.feed import Feed
from training.packing import batch
from training.provenance.trace import Trace

CPU = Compute(torch.device("cpu"), torch.float32, False, False)


def digest(staged: Staged) -> str:
    """Hash of a batch's arrays."""
    return hashlib.blake2b(b"".join(tensor.numpy().tobytes() for tensor in staged), digest_size=16).hexdigest()


def unheard(said: str, event: Mapping[str, Any]) -> None:
    raise AssertionError(f"{said} {event}")


def go_on(run: Path, file: Path) -> None:
    """What a process does: open everything anew, and make the batches of the steps that FILE does not have."""
    done = [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
    file.write_text("".join(done))
    order = Trace(run).order
    with file.open("a") as lines, Feed(order, CPU, len(done), order.config.steps, unheard) as feed:
        for portion, _ in feed:
            lines.write(json.dumps([portion.digest, digest(portion.staged)]) + "\n")
            lines.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--kills", type=int, default=4)
    options = parser.parse_args()
    draw = random.Random(0)
    file: Path = options.file
    file.touch()
    steps = json.loads((options.run / "run.json").read_text())["config"]["steps"]
    batch(Trace(options.run).order, 0)  # so that the code is compiled, which is all that the processes have from here
    stops = [*sorted(draw.sample(range(1, steps), options.kills)), steps + 1]
    for stop in stops:  # the last one is never reached
        child = os.fork()
        if not child:
            code = 1
            try:
                go_on(options.run, file)
                code = 0
            finally:
                os._exit(code)
        done, status = os.waitpid(child, os.WNOHANG)
        while not done:
            if file.read_bytes().count(b"\n") >= stop:
                os.kill(child, signal.SIGKILL)
            time.sleep(0.001)
            done, status = os.waitpid(child, os.WNOHANG)
        killed = os.WIFSIGNALED(status)
        assert killed or os.waitstatus_to_exitcode(status) == 0, "a process failed"
        print(json.dumps({"stop": stop, "killed": killed, "lines": file.read_bytes().count(b"\n")}), flush=True)


if __name__ == "__main__":
    main()
