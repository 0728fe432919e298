"""How the time of the filters grows with the length of a document: nanoseconds a character, for hard texts.

There is no opponent: what is measured is whether any text makes a filter need more than time linear in its length. Each
text is a unit repeated up to 100,000, a million and ten million characters; all signals of Gopher (both), C4 and
FineWeb are measured, and lines removed. Of a linear filter a row shows the same numbers, but for caches of processors:
what does not fit into them any more takes a small factor longer.
"""

import json
import statistics
import time

import harness

UNITS = {
    "one letter": "a",
    "words": "some words, and more of them again ",
    "one word again": "word ",
    "lines": "A line of text, as it is.\n",
    "short lines": "a\n",
    "newlines": "\n",
    "spaces": " ",
    "dots": ".",
    "brackets": "[",
    "open citation": "[1",
    "brackets of both kinds": "()",
    "at signs": "a@",
    "schemes": "://",
    "abbreviations": "a.",
    "contractions": "n't's",
    "policy": "use cookies ",
    "Han": "日",
    "Thai": "ที่",
    "combining marks": "\u0301",
    "astral": "𠀀",
    "carriage returns": "\r",
}


def seconds(text: str) -> float:
    """CPU seconds for all filters over one document."""
    import polars as pl

    from filters import C4, C4Lines, FineWeb, Gopher, Repetition
    from pipeline.judge import measure

    docs = pl.DataFrame({"text": [text]})
    start = time.process_time()
    for name, step in {"repetition": Repetition(), "gopher": Gopher()}.items():
        docs = measure(docs, name, step)
    docs = C4Lines(terminal_punctuation=False).apply(docs, "c4_lines")
    for name, step in {"c4": C4(), "fineweb": FineWeb()}.items():
        docs = measure(docs, name, step)
    return time.process_time() - start


def prose(size: int) -> str:
    """Words that do not repeat themselves, in lines."""
    words = (f"{number * 2654435761 % 2**32:x}" for number in range(size // 6))
    return "\n".join(" ".join(line) for line in zip(*[words] * 12, strict=False))[:size]


def main() -> None:
    parser = harness.arguments(__doc__)
    options = parser.parse_args()
    sizes = [100_000, 1_000_000] if options.quick else [100_000, 1_000_000, 10_000_000]
    seconds("warm up ")
    rows: list[tuple[str, list[float]]] = []
    for name, unit in {**UNITS, "words that differ": ""}.items():
        taken = []
        for size in sizes:
            text = (unit * (size // len(unit) + 1))[:size] if unit else prose(size)
            taken.append(statistics.median(seconds(text) for _ in range(3)) / size * 1e9)
        rows.append((name, taken))
    print("".join(["text".ljust(26), *(f"{size:>14,}" for size in sizes), "   ns a character; last / first"]))
    for name, taken in rows:
        print("".join([name.ljust(26), *(f"{value:14.1f}" for value in taken), f"{taken[-1] / taken[0]:10.2f}x"]))
    if options.json:
        table = [{"text": name, "sizes": sizes, "nanoseconds": taken} for name, taken in rows]
        options.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
