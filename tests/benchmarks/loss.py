"""The loss and its gradients on two CPU threads: CPU time and peak memory, against torch's own linear cross entropy.

Both sides get hidden states and an output matrix in float32 and one target in twenty without loss, and give the loss
and the gradients of both: F.linear and F.cross_entropy as they are, and the same function under torch.compile, which
is what a training loop in the manner of nanoGPT has. The first of the rounds warms up and compiles and is not counted;
peak memory is what the rounds added to the process that had all of it loaded.
"""

import json
import resource
import sys
import time
from functools import partial

import harness

SIZES = ((2048, 256, 8192), (8192, 256, 8192), (4096, 384, 32768), (2048, 512, 50304), (8192, 512, 50304))
"""Tokens, width, vocabulary."""
OPPONENTS = {"plain": "F.cross_entropy", "compiled": "compiled"}
THREADS = 2
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(harness.ROOT)}
"""Threads that wait must not count as work."""


def command(name: str, last: list[str]) -> list[str]:
    """What runs one side in a process of its own."""
    return [sys.executable, __file__, "--side", name, *last]


def work(side: str, tokens: int, width: int, vocabulary: int, rounds: int) -> None:
    """One side in this process: prints CPU seconds of its best round and the memory that the rounds added."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(THREADS)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(1, tokens, width, generator=generator, requires_grad=True)
    weight = (torch.randn(vocabulary, width, generator=generator) * 0.05).requires_grad_()
    targets = torch.randint(0, vocabulary, (1, tokens), generator=generator)
    targets[:, ::20] = -100

    def plain(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(F.linear(hidden, weight)[0], targets[0], reduction="sum")

    function = plain
    if side == "ours":
        from training.loss import linear_nll

        def function(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return linear_nll(hidden, weight, targets)[0]
    elif side == "compiled":
        function = torch.compile(plain, dynamic=False)
    few = hidden[:, :64].detach().requires_grad_()  # what is loaded and compiled counts for nobody
    function(few, weight, targets[:, :64]).backward()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(rounds + 1):
        hidden.grad = weight.grad = None
        start = time.process_time()
        function(hidden, weight, targets).backward()
        seconds.append(time.process_time() - start)
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"seconds": min(seconds[1:]), "mebibytes": added}))


def main() -> None:
    """Compare all sizes, or the first and the third."""
    given = harness.arguments(__doc__).parse_args()
    rows = []
    for size in SIZES[0:3:2] if given.quick else SIZES:
        what = "{:,} x {} states, {:,} words".format(*size)
        last = [*map(str, size), str(2 if given.quick else 3)]
        names = {"ours": "ours", **{label: name for name, label in OPPONENTS.items()}}
        sides = {label: partial(harness.run, command(name, last), ENVIRONMENT) for label, name in names.items()}
        taken = harness.compare(sides, 1 if given.quick else 3)
        for label in OPPONENTS.values():
            pair = {"ours": taken["ours"], label: taken[label]}
            rows.append(harness.row(what, "s CPU", pair, lambda used: used.seconds, more_is_better=False))
            rows.append(harness.row(what, "MiB", pair, lambda used: used.answer["mebibytes"], more_is_better=False))
    harness.report(rows, given.json)


if __name__ == "__main__":
    if "--side" in sys.argv:
        name, *numbers = sys.argv[sys.argv.index("--side") + 1 :]
        work(name, *map(int, numbers))
    else:
        main()
