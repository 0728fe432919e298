"""A plan as a picture (SVG), or as a page (HTML) with that picture and its numbers: one file without scripts."""

from pathlib import Path

from markupsafe import Markup

from training.plan.charts import charts
from training.plan.plan import TrainingPlan
from training.report.figure import figure
from training.report.names import amount, largest, short
from training.report.template import filled

SUFFIXES = (".svg", ".html")


def draw(plan: TrainingPlan, path: Path) -> None:
    """Write the file, as what its name says that it is."""
    text = svg(plan) if path.suffix == ".svg" else html(plan)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def svg(plan: TrainingPlan) -> str:
    """The picture."""
    return figure(list(charts(plan)), _title(plan), _words(plan), _description(plan))


def html(plan: TrainingPlan) -> str:
    """The page."""
    return filled(
        "training.plan", "page.html.jinja", plan=plan, title=_title(plan), words=_words(plan), figure=Markup(svg(plan))
    )


def _title(plan: TrainingPlan) -> str:
    return f"Plan of {short(Path(plan.name).name, 60)}"


def _words(plan: TrainingPlan) -> list[str]:
    """What stands below the title."""
    about = "counted" if plan.exact else "estimated from the bytes of the shards"
    return [
        f"{plan.steps:,} steps, {amount(plan.tokens)} tokens, {amount(plan.parameters)} parameters, {plan.flops:.2g} "
        f"floating-point operations; tokens of sources are {about}",
        *(["It cannot be done: " + short(plan.problems[0], 110)] if plan.problems else []),
    ]


def _description(plan: TrainingPlan) -> str:
    """The picture in words."""
    names, others = largest(plan.needed, 10)
    course, said = plan.course, []
    for name in names if course.shares else ():
        first, last = course.shares[name][0], course.shares[name][-1]
        source = plan.sources[name]
        said.append(f"{name}: {first:.1%} at first, {last:.1%} at last, {source.epochs:.2f} of {source.most:g} passes")
    if others:
        said.append(f"and {len(others)} other sources")
    lengths = ", ".join(f"{stage.context:,} tokens from step {stage.step:,}" for stage in plan.stages)
    rates = f"learning rate from {course.lr[0]:.2g} by {max(course.lr):.2g} to {course.lr[-1]:.2g}"
    return (
        f"{plan.steps:,} steps. Shares of tokens: {'; '.join(said) or 'not known'}. Sequences: {lengths}. The {rates}."
    )
