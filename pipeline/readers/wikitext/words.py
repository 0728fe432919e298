"""Templates of words: other languages, pronunciations, names, dates and lists."""

from collections.abc import Callable

from pipeline.readers.wikitext.context import Context
from pipeline.readers.wikitext.languages import NAMES
from pipeline.readers.wikitext.patterns import Arguments

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_KINDS_OF_PRONUNCIATION = frozenset(
    """
    pron us uk uklang uslang us_dict uk_dict lang local also small or alsous usalso ukalso usuk ukus au nz ca ie gb
    """.split()
)
_SHIPS = "uss hms hmas hmcs hmnzs ss rms ms mv mt ins jds js rfa usns uscgc sms hmhs".split()
_NOTES = {"sharp": "♯", "flat": "♭", "natural": "♮", "double sharp": "𝄪", "double flat": "𝄫", "#": "♯", "b": "♭"}
_CHINESE = {
    "c": "Chinese",
    "s": "simplified Chinese",
    "t": "traditional Chinese",
    "p": "pinyin",
    "w": "Wade–Giles",
    "j": "Jyutping",
    "cy": "Cantonese Yale",
    "poj": "Pe̍h-ōe-jī",
    "l": "lit.",
}


def family(key: str, arguments: Arguments, context: Context) -> str | None:
    """Templates whose name ends in what they are about, such as `lang-fr` and `IPA-de`; None if it is another one."""
    beginning, dash, code = key.partition("-")
    if not dash or not code:
        return None
    if beginning == "lang":
        return _named(code, arguments[1], context)
    if beginning == "ipa":
        return _bracketed(arguments[1])
    if beginning == "ipac":
        return _phonemes(arguments, context)
    return None


def _named(code: str, text: str, context: Context) -> str:
    """A word after the name of its language, which an English wiki writes before it."""
    name = NAMES.get(code) or NAMES.get(code.partition("-")[0])
    return f"{name}: {text}" if name and text and context.language in ("en", "simple", "") else text


def _langx(arguments: Arguments, context: Context) -> str:
    if arguments["label"] == "none":
        return arguments.first(2, "text")
    return _named(arguments[1].lower(), arguments.first(2, "text"), context)


def _bracketed(sounds: str) -> str:
    return f"[{sounds}]" if sounds and sounds[0] not in "[/" else sounds


def _sounds(arguments: Arguments, context: Context) -> str:
    values = arguments.all()
    return values[-1] if len(values) < 3 else values[1]


def _phonemes(arguments: Arguments, context: Context) -> str:
    sounds = [value for value in arguments.all() if value.lower() not in _KINDS_OF_PRONUNCIATION]
    return f"/{''.join(sounds).replace('_', ' ')}/" if sounds else ""


def _respelled(arguments: Arguments, context: Context) -> str:
    return "-".join(arguments.all()).replace("-_-", " ")


def _nihongo(arguments: Arguments, context: Context) -> str:
    """English (Japanese, in Latin letters, more); without the English, what is in Latin letters comes first."""
    order = (1, 2, 3, 4) if arguments[1] else (3, 2, 4)
    first, *rest = [value for value in (arguments[place] for place in order) if value] or [""]
    inside = f" ({', '.join(rest)})" if rest else ""
    return f"{first}{inside}{' ' + arguments[5] if arguments[5] else ''}"


def _chinese(arguments: Arguments, context: Context) -> str:
    if arguments["s"] and arguments["s"] == arguments["t"]:
        return "; ".join(f"{name}: {arguments[key]}" for key, name in _CHINESE.items() if key != "s" and arguments[key])
    return "; ".join(f"{name}: {arguments[key]}" for key, name in _CHINESE.items() if arguments[key])


def _date(year: str, month: str, day: str, *, month_first: bool) -> str:
    if not month.isdigit() or not 1 <= int(month) <= 12:
        return year
    name = _MONTHS[int(month) - 1]
    if not day.isdigit():
        return f"{name} {year}"
    return f"{name} {int(day)}, {year}" if month_first else f"{int(day)} {name} {year}"


def _day(arguments: Arguments, context: Context) -> str:
    month_first = not arguments.first("df").lower().startswith("y")
    return _date(arguments[1], arguments[2], arguments[3], month_first=month_first)


def _as_of(arguments: Arguments, context: Context) -> str:
    if arguments["alt"]:
        return arguments["alt"]
    date = _date(arguments[1], arguments[2], arguments[3], month_first=arguments["df"].lower() == "us")
    word = "Since" if arguments["since"] else "As of"
    return f"{word.lower() if arguments['lc'] else word} {date}"


def _ship(kind: str) -> Callable[[Arguments, Context], str]:
    def show(arguments: Arguments, context: Context) -> str:
        name, hull, form = arguments[1], arguments[2], arguments[3]
        if form == "1":
            return hull
        if form == "2":
            return name
        return f"{kind} {name}" + (f" ({hull})" if hull and form != "3" else "")

    return show


def _joined(mark: str) -> Callable[[Arguments, Context], str]:
    return lambda arguments, context: mark.join(value for value in arguments.all() if value)


def _list(tag: str) -> Callable[[Arguments, Context], str]:
    def show(arguments: Arguments, context: Context) -> str:
        items = [value for value in arguments.all() if value]
        return f"<{tag}>{''.join(f'<li>{item}</li>' for item in items)}</{tag}>" if items else ""

    return show


def _music(arguments: Arguments, context: Context) -> str:
    return _NOTES.get(arguments[1].lower(), arguments[1])


SHOWN: dict[str, Callable[[Arguments, Context], str]] = {
    "langx": _langx,
    "ipa": _sounds,
    "respell": _respelled,
    "nihongo": _nihongo,
    "zh": _chinese,
    "zh-full": _chinese,
    "as of": _as_of,
    "music": _music,
    **dict.fromkeys(("hlist", "flat list"), _joined(" · ")),
    **dict.fromkeys(("linktext", "link text"), _joined("")),
    **dict.fromkeys(("ubl", "unbulleted list", "bulleted list", "plain list"), _list("ul")),
    **dict.fromkeys(("ordered list", "olist"), _list("ol")),
    **dict.fromkeys(
        (
            *("birth date", "birth date and age", "death date", "death date and age", "start date", "end date"),
            *("start date and age", "film date", "dts"),
        ),
        _day,
    ),
    **{name: _ship(name.upper()) for name in _SHIPS},
}
"""What is seen of a template, by its name in lower case."""
