"""What cannot work with the sources that there are, said before step 0."""

from bisect import bisect_right

import numpy as np

from pipeline.configfile import Place, Problem
from training.config import TrainConfig
from training.mixture import infeasible
from training.mixture.problems import named
from training.order.order import Order
from training.steps import Steps
from training.store.tokens import TokenStore


def feasibility(config: TrainConfig, store: TokenStore) -> list[Problem]:
    """Say what cannot work with these sources: unknown names, sources without tokens, more epochs than allowed."""
    sizes = dict(zip(store.sources, (documents.count_tokens for documents in store.train), strict=True))
    problems = infeasible(config, sizes)
    for name, settings in config.fim.items():
        if name in sizes and settings.rate and not store.tokenizer.has_fim:
            problems.append(Problem(("fim", name), "the tokenizer lacks sentinels; tokenize again"))
    if problems:
        return problems
    order = Order(config, store)
    places: dict[str, Place] = {}
    for place, name, read in named(config):
        if read:
            places.setdefault(name, place)
    contexts = np.array([stage.context for stage in order.steps.stages])
    sequences = order.mixture.sequences
    for source, name in enumerate(store.sources):
        most, place = order.caps.get(name, (config.max_epochs, places.get(name, ("max_epochs",))))
        needed = int(contexts @ sequences[:, source])
        # Rearranging only lengthens an epoch, and padding takes the place of documents, so nothing needs walking.
        if needed <= sizes[name] * most:
            continue
        passes = order.passes(source)
        if passes > most:
            fits = order.steps.tokens * most / passes
            steps = bisect_right(
                range(1, config.steps + 1), fits, key=lambda n: Steps(config.batch, n, config.context).tokens
            )
            free = contexts * sequences[:, source] @ [order.padding(source, p) for p in range(len(contexts))] / needed
            problems.append(
                Problem(
                    place,
                    f"source '{name}': the run needs {needed:,} tokens of it and it has {sizes[name]:,}: {passes:.1f} "
                    f"epochs{f' ({free:.1%} is padding)' if free >= 0.001 else ''}, and max_epochs is {most:g}; take "
                    f"at most {steps:,} of {config.steps:,} steps, give it {most / passes:.0%} of its weight, or raise "
                    f"max_epochs. So often read, it is worth {order.fresh_equivalent(source):,.0f} tokens of fresh "
                    "text (Muennighoff et al. 2023)",
                )
            )
    return problems
