"""Templates of numbers, units and chemical formulas."""

import re
from collections.abc import Callable

from pipeline.readers.scripts import lowered, raised
from pipeline.readers.wikitext.context import Context
from pipeline.readers.wikitext.functions import grouped
from pipeline.readers.wikitext.patterns import Arguments

_UNITS = {
    "km2": "km²",
    "m2": "m²",
    "cm2": "cm²",
    "mm2": "mm²",
    "m3": "m³",
    "cm3": "cm³",
    "km3": "km³",
    "mm3": "mm³",
    "sqmi": "sq mi",
    "mi2": "sq mi",
    "sqft": "sq ft",
    "ft2": "sq ft",
    "sqyd": "sq yd",
    "in2": "sq in",
    "sqin": "sq in",
    "cuft": "cu ft",
    "ft3": "cu ft",
    "cuin": "cu in",
    "in3": "cu in",
    "cuyd": "cu yd",
    "acre": "acres",
    "acres": "acres",
    "foot": "feet",
    "inch": "inches",
    "mile": "miles",
    "c": "°C",
    "f": "°F",
    "kph": "km/h",
    "kmh": "km/h",
    "nmi": "nautical miles",
    "kn": "knots",
    "lt": "long tons",
    "st": "short tons",
    "t": "tonnes",
    "usgal": "US gal",
    "impgal": "imp gal",
    "ozt": "troy ounces",
    "kwh": "kW⋅h",
    "ftlbf": "ft⋅lb",
    "lbft": "lb⋅ft",
    "nm": "N⋅m",
    "people/km2": "inhabitants per km²",
    "pd/km2": "inhabitants per km²",
    "/km2": "per km²",
    "pd/sqmi": "inhabitants per sq mi",
    "/sqmi": "per sq mi",
    "kg/m3": "kg/m³",
    "g/cm3": "g/cm³",
    "m/s2": "m/s²",
}
"""Symbols of units of Template:Convert that are not written as their code; by code in lower case."""
_BY_CASE = {"st": "stone", "nm": "nm"}
_RANGES = {
    "-": "–",
    "–": "–",
    "to": " to ",
    "and": " and ",
    "or": " or ",
    "by": " by ",
    "x": " × ",
    "×": " × ",
    "*": " × ",
    "xx": " × ",
    "+/-": " ± ",
    "±": " ± ",
    "to(-)": " to ",
    "and(-)": " and ",
}
_NUMBER = re.compile(r"[-−+]?[\d.,/+ ]{0,30}\d$")
_CHEMICAL = re.compile(r"(?<=[A-Za-z)\]])(\d+)|\(([0-9]*[+\-−])\)|(?<=[A-Za-z\d)])([+\-−])$")


def _convert(arguments: Arguments, context: Context) -> str:
    """The quantity as it is given, without what it is in other units: `{{convert|5|-|10|km2|sqmi}}` is 5–10 km²."""
    values = arguments.all()
    shown = ""
    for place, value in enumerate(values):
        if place % 2 == 0:
            if not _NUMBER.match(value):
                break  # the unit to convert to
            shown += _number(value)
        elif value.lower() in _RANGES:
            shown += _RANGES[value.lower()]
        else:
            shown += f" {unit(value)}" if shown else ""
            following = values[place + 1 : place + 3]
            # Feet and inches: a number and another unit, before the unit to convert to.
            if not following or not _NUMBER.match(following[0]) or len(following) < 2:
                break
            shown += " "
    return shown.strip()


def _number(value: str) -> str:
    return grouped(value.replace(",", "").replace("-", "−"))


def unit(code: str) -> str:
    """The symbol of a unit."""
    return _BY_CASE.get(code) or _UNITS.get(code.lower(), code)


def _value(arguments: Arguments, context: Context) -> str:
    """Template:Val: a number with its uncertainty, exponent and unit."""
    number, plus, minus = arguments[1], arguments[2], arguments[3]
    shown = grouped(number.replace("-", "−")) if number else ""
    if plus and minus:
        shown += f"{raised('+' + plus.lstrip('+'))}{lowered('−' + minus.lstrip('-−'))}"
    elif plus:
        shown += plus if plus.startswith("(") else f"±{plus}"
    if arguments["e"]:
        shown += f"{'×' if shown else ''}10{raised(arguments['e'].replace('−', '-'))}"
    before, after = arguments.first("p"), arguments.first("s", "end")
    symbol = arguments.first("u", "ul", "up", "upl")
    return f"{before}{shown}{after}{' ' + symbol if symbol else ''}"


def _fraction(arguments: Arguments, context: Context) -> str:
    match arguments.all():
        case [below]:
            return f"1/{below}"
        case [above, below]:
            return f"{above}/{below}"
        case [whole, above, below, *_]:
            return f"{whole} {above}/{below}"
    return ""


def _chem(arguments: Arguments, context: Context) -> str:
    """Template:Chem: symbols and numbers in turn, `{{chem|SO|4|2-}}`."""
    shown = ""
    for part in arguments.all():
        if part.isdigit():
            shown += lowered(part)
        elif re.fullmatch(r"\d*[+\-−]", part):
            shown += raised(part)
        else:
            shown += part
    return shown


def _chem2(arguments: Arguments, context: Context) -> str:
    """Template:Chem2: a formula as it is typed, `{{chem2|SO4(2-)}}`."""

    def written(found: re.Match[str]) -> str:
        return lowered(found[1]) if found[1] else raised(found[2] or found[3])

    return " ".join(_CHEMICAL.sub(written, word) for word in arguments[1].split()).replace("->", "→")


def _ordinal(arguments: Arguments, context: Context) -> str:
    number = arguments[1]
    if not number.isdigit():
        return number
    ending = "th" if number[-2:] in ("11", "12", "13") else {"1": "st", "2": "nd", "3": "rd"}.get(number[-1], "th")
    return number + ending


def _formatted(arguments: Arguments, context: Context) -> str:
    return grouped(arguments[1])


SHOWN: dict[str, Callable[[Arguments, Context], str]] = {
    **dict.fromkeys(("convert", "cvt"), _convert),
    "val": _value,
    **dict.fromkeys(("frac", "sfrac", "fraction"), _fraction),
    "chem": _chem,
    "chem2": _chem2,
    "ordinal": _ordinal,
    **dict.fromkeys(("nts", "formatnum", "fmtn"), _formatted),
}
"""What is seen of a template, by its name in lower case."""
