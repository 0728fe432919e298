"""A plan as charts: shares over time, lengths of sequences, batches, the learning rate, passes over each source."""

from collections.abc import Iterator, Sequence

from training.plan.plan import TrainingPlan
from training.report.chart import COLOURS, OTHERS, Chart, Line
from training.report.names import largest, short, together

NAMED = len(COLOURS)
"""Sources that have a colour of their own, the others' among them."""
_CELLS = 26


def charts(plan: TrainingPlan) -> Iterator[Chart]:
    """All that there is something to see of."""
    course = plan.course

    def line(name: str, values: Sequence[float], colour: int = 0, style: str = "") -> Line:
        return Line(name, list(zip(course.steps, values, strict=True)), colour, style)

    names, others = largest(plan.needed, NAMED)
    if course.shares:
        areas = [line(short(name, _CELLS), course.shares[name], _colour(i)) for i, name in enumerate(names)]
        if others:
            areas.append(line(f"{len(others)} others", together(course.shares, others), OTHERS))
        yield Chart("shares of tokens by source", areas, form=".0%", exact=".2%", stacked=True)
    if len(plan.stages) > 1:
        note = "tokens; " + ", ".join(f"{stage.context:,} from step {stage.step:,}" for stage in plan.stages)
        yield Chart("length of sequences", [line("tokens of a sequence", course.context)], note, ",.6g", zero=True)
    if len(set(course.rows)) > 1:
        yield Chart("sequences of a step", [line("sequences", course.rows)], form=",.6g", zero=True)
    yield Chart("learning rate", [line("learning rate", course.lr)], form=".2g", exact=".4g", zero=True)
    if course.shares:
        yield _passes(plan, names, others)


def _passes(plan: TrainingPlan, names: Sequence[str], others: Sequence[str]) -> Chart:
    """Over each source, with the most that are allowed wherever they are in sight."""
    course = plan.course
    series = {name: plan.epochs(name) for name in plan.sources}
    shown = [(name, short(name, _CELLS), _colour(i)) for i, name in enumerate(names)]
    if others:
        # the one of them that comes nearest to its most, or furthest beyond it
        worst = max(others, key=lambda name: plan.sources[name].epochs / plan.sources[name].most)
        shown.append((worst, f"{short(worst, _CELLS - 8)} (others)", OTHERS))
    top = max(series[name][-1] for name, _, _ in shown)
    lines = [Line(words, list(zip(course.steps, series[name], strict=True)), colour) for name, words, colour in shown]
    for most in sorted({plan.sources[name].most for name, _, _ in shown}):
        if most <= 1.5 * top:
            whose = [(words, colour) for name, words, colour in shown if plan.sources[name].most == most]
            words, colour = (
                (f"at most {most:g}", OTHERS) if len(whose) > 1 else (f"{whose[0][0]}: {most:g}", whose[0][1])
            )
            lines.append(Line(words, [(course.steps[0], most), (course.steps[-1], most)], colour, "dashed"))
    marks: dict[int, str] = {}
    for name, words, _ in shown:
        most = plan.sources[name].most
        above = next((step for step, epochs in zip(course.steps, series[name], strict=True) if epochs > most), None)
        if above is not None:
            marks[above] = f"{words} has been read {most:g} times, which is the most"
    note = "over each source; 1.25 is a quarter into the second; dashed is the most that is allowed"
    return Chart("passes", lines, note, ".3g", marks=marks, zero=True, exact=".3f")


def _colour(i: int) -> int:
    """Colours in their order, the grey one last."""
    return i if i < OTHERS else i + 1 if i < len(COLOURS) - 1 else OTHERS
