"""The tokeniser's rules and the statistics of the papers once more, in plain Python over strings, as slow as it may be.

Tests hold the compiled kernels against it. It shares nothing with them but the word lists: characters are asked
of `unicodedata` one by one, tokens are strings, and n-grams are counted in a Counter.
"""

import re
import unicodedata
from collections import Counter
from itertools import pairwise

from filters.characters import _TERMINALS, _WITHOUT_SPACES, SIZE
from filters.tokens import LONGEST
from filters.words import ABBREVIATIONS, TOGETHER, UNITS


def category(char: str) -> str:
    return unicodedata.category(char) if ord(char) < SIZE else "Cn"


def letter(char: str) -> bool:
    return category(char)[0] == "L"


def mark(char: str) -> bool:
    return category(char)[0] == "M"


def number(char: str) -> bool:
    return category(char)[0] == "N"


def punctuation(char: str) -> bool:
    return category(char)[0] == "P"


def lower(char: str) -> bool:
    return category(char) in ("Ll", "Lo", "Lm", "Mn", "Mc", "Me")


def upper(char: str) -> bool:
    return category(char) in ("Lu", "Lt", "Lo", "Lm")


def peels(char: str) -> bool:
    return category(char)[0] in "PS" and char not in "-.@/\\^+|~"


def tails(char: str) -> bool:
    return peels(char) and char not in "%=§" and category(char) != "Sc"


def quote(char: str) -> bool:
    return char in "'\"`´‘’“”‚„,«»「」『』【】《》〈〉〔〕（）⟦⟧"


def single(char: str) -> bool:
    listed = any(first <= ord(char) <= last for first, last in _WITHOUT_SPACES)
    return listed and (letter(char) or number(char))


def terminal(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in _TERMINALS)


def simple(char: str) -> bool:
    """A letter of a script with spaces, a mark, or something that Unicode says nothing useful about."""
    return category(char)[0] in "LMC" and not single(char)


def address(word: str) -> bool:
    authority = word
    for i, char in enumerate(word):
        if char == "@":
            authority = word[i + 1 :]
        elif word[i : i + 3] == "://":
            authority = word[i + 3 :]
        elif char == "/" and (i == 0 or word[i - 1] not in ":/"):
            break
    end = next(
        (i for i, c in enumerate(authority) if not (letter(c) or number(c) or c in "-_.")),
        len(authority),
    )
    host, rest = authority[:end], authority[end:]
    # two dots side by side are no host's
    if ".." in host:
        return False
    name, _, top = host.rpartition(".")
    if not name or len(top) < 2 or not all(letter(c) and lower(c) for c in top):
        return False
    if not rest or rest[0] in "/?#":
        return True
    return rest[0] == ":" and len(rest) > 1 and number(rest[1])


def ending(word: str, has_number: bool, degrees: bool) -> int:
    """How many characters at the end of a word of two or more are a token of their own.

    Args:
        has_number: whether the run that it is part of has a number.
        degrees: whether it ends, in the run, with a degree sign, a letter for the scale, and a full stop.
    """
    last, before = word[-1], word[-2]
    if last == ".":
        if before == ".":
            return len(word) - len(word.rstrip("."))
        if upper(before) and not lower(before):
            return int(degrees or (len(word) > 2 and upper(word[-3])))
        return int(lower(before) or number(before) or tails(before) or before in "+-%")
    if tails(last):
        return 2 if tails(before) and before + last in TOGETHER else 1
    if number(before) and (last == "+" or (peels(last) and last != "=")):
        return 1
    if not letter(last):
        return 0
    small = word.translate({ord(c): c.lower() for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})
    if before in "'’":
        if small[-1] == "s" or (small[-1] in "md" and len(word) > 2):
            return 2
        return 3 if small[-1] == "t" and len(word) > 3 and small[-3] == "n" else 0
    if len(word) > 3 and word[-3] in "'’":
        return 3 if small[-2:] in ("ll", "re", "ve") else 0
    if has_number:
        digit = max(0, len(word) - 2)
        while digit > 0 and digit > len(word) - 5 and not number(word[digit]):
            digit -= 1
        hour = last == "m" and before in "ap"
        if number(word[digit]) and (not hour or digit < 2) and word[digit + 1 :] in UNITS:
            return len(word) - digit - 1
    return 0


def infixes(word: str) -> list[tuple[int, int]]:
    """Where tokens stand inside a word, as bounds."""
    found = []
    i = 1
    while i < len(word) - 1:
        char, before, after, rest = word[i], word[i - 1], word[i + 1], word[i:]
        width = 0
        if simple(char) or letter(char) or number(char):
            pass
        elif char == ".":
            if after == ".":
                width = len(rest) - len(rest.lstrip("."))
            elif (lower(before) or quote(before)) and (upper(after) or quote(after)):
                width = 1
        elif char == "…" or category(char) == "So":
            width = 1
        elif char == ",":
            width = int(letter(before) and letter(after))
        elif char in "-–—~":
            if letter(before) or number(before):
                width = min(3, len(rest) - len(rest.lstrip(char)))
                if width == len(rest) or not letter(rest[width]):
                    width = int(number(before) and number(after) and char == "-")
        elif char in ":/<=>":
            width = int((letter(before) or number(before)) and letter(after))
        elif char in "+*^":
            width = int(number(before) and (number(after) or after == "-"))
        if width:
            found.append((i, i + width))
        i += max(width, 1)
    return found


def pieces(run: str) -> list[str]:
    """A run without white space in parts of bounded length, unless it is of letters alone."""
    parts, part, plain = [], "", True
    if len(run) <= LONGEST:
        return [run]
    for char in run:
        if len(part) >= LONGEST and not (plain and simple(char)):
            parts.append(part)
            part, plain = "", True
        part += char
        plain = plain and simple(char)
    return [*parts, part]


def cut(run: str) -> list[str]:
    """The tokens of a run without white space."""
    if all(map(simple, run)) or all(map(number, run)):
        return [run]
    has_number = any(map(number, run))
    cuts = {0, len(run)}
    first, last = 0, len(run)
    moved = True
    while moved and last - first > 1:
        word = run[first:last]
        quoted = word[0] in "'’"
        if word in ABBREVIATIONS or ((quoted or len(word) == 2) and word in TOGETHER):
            first = last
            break
        moved = False
        if quoted and (tails(word[-1]) or word[-1] == ".") and word[:-1] in TOGETHER:
            step = 0
        elif word.startswith(".."):
            step = len(word) - len(word.lstrip("."))
        elif peels(word[0]) or (word[0] == "+" and not number(word[1])):
            step = 2 if peels(word[1]) and word[:2] in TOGETHER else 1
        else:
            step = 0
        if step:
            first += step
            cuts.add(first)
            moved = True
        if last - first < 2:
            continue
        word = run[first:last]
        if word in ABBREVIATIONS:
            continue
        step = ending(word, has_number, run[:last].endswith(("°C.", "°F.", "°K.")))
        if step:
            last -= step
            cuts.add(last)
            moved = True
    if any(map(single, run)):
        for i, char in enumerate(run):
            if (single(char) or peels(char)) and not mark(char):
                end = i + 1
                while end < len(run) and mark(run[end]):
                    cuts.discard(end)
                    end += 1
                cuts |= {i, end}
    elif not address(run[first:last]):
        for start, end in infixes(run[first:last]):
            cuts |= {first + start, first + end}
    return [run[start:end] for start, end in pairwise(sorted(cuts))]


def tokens(text: str) -> list[str]:
    return [token for run in text.split() for piece in pieces(run) for token in cut(piece)]


def sentences(text: str) -> int:
    """A sentence begins with a line, and with the first token after an end mark that is more than punctuation."""
    count = 0
    for line in text.splitlines():
        stopped = False
        for i, token in enumerate(tokens(line)):
            if i == 0:
                count += 1
            if len(token) == 1 and terminal(token):
                stopped = True
            elif stopped and not all(map(punctuation, token)):
                count += i > 0
                stopped = False
    return count


def repeats(items: list[str]) -> tuple[int, int]:
    """How many items occurred before, and their characters."""
    seen: set[str] = set()
    again = []
    for item in items:
        if item in seen:
            again.append(item)
        seen.add(item)
    return len(again), sum(map(len, again))


def lines(text: str, short: int) -> dict[str, int]:
    """What `filters.kernels.LINE_COUNTS` names."""
    split, runs, paragraphs = text.splitlines(), re.split("\n+", text), re.split("\n{2,}", text.strip())
    full = [line for line in text.split("\n") if line.strip()]
    return {
        "hashes": text.count("#"),
        "ellipses": text.count("...") + text.count("…"),
        "newlines": text.count("\n"),
        "lines": len(split),
        "bullet_lines": sum(line.lstrip().startswith(("•", "-")) for line in split),
        "ellipsis_lines": sum(line.rstrip().endswith(("...", "…")) for line in split),
        "runs": len(runs),
        "duplicate_runs": repeats(runs)[0],
        "duplicate_chars": repeats(runs)[1],
        "blank_duplicate_chars": repeats([run for run in runs if not run.strip()])[1],
        "full_lines": len(full),
        "terminal_lines": sum(terminal(line[-1]) for line in full),
        "short_lines": sum(len(line) <= short for line in full),
        "paragraphs": len(paragraphs),
        "duplicate_paragraphs": repeats(paragraphs)[0],
        "duplicate_paragraph_chars": repeats(paragraphs)[1],
    }


def repeated(words: list[str]) -> list[int]:
    """The characters of the most frequent 2- to 4-gram, then of 5- to 10-grams that occurred before (Gopher, A1)."""
    answer = []
    for n in (2, 3, 4):
        grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        top, count = max(grams.items(), key=lambda item: item[1], default=((), 0))
        answer.append(len(" ".join(top)) * count)
    for n in range(5, 11):
        seen: set[tuple[str, ...]] = set()
        chars = i = 0
        while i <= len(words) - n:
            gram = tuple(words[i : i + n])
            if gram in seen:
                chars += sum(map(len, gram))
                i += n
            else:
                seen.add(gram)
                i += 1
        answer.append(chars)
    return answer


CITATION = re.compile(r"\[\d*\]|\[edit\]|\[citation needed\]")
POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


def c4_lines(text: str, end_marks: bool, min_words: int, max_word_length: int) -> tuple[str, Counter[str]]:
    """What C4 leaves of a page, and how many lines were removed for what, with the number of citation marks."""
    kept: list[str] = []
    counts: Counter[str] = Counter()
    for raw in text.splitlines():
        line = raw.strip()
        words = line.split()
        if any(len(word) > max_word_length for word in words):
            counts["long_word"] += 1
            continue
        line, marks = CITATION.subn("", line)
        counts["citations_removed"] += marks
        lower = line.lower()
        if end_marks and (not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...")):
            counts["no_end_mark"] += 1
        elif len(words) < min_words:
            counts["few_words"] += 1
        elif "lorem ipsum" in lower:
            kept.append(line)
        elif "javascript" in lower:
            counts["javascript"] += 1
        elif "{" not in line and any(phrase in lower for phrase in POLICIES):
            counts["policy"] += 1
        else:
            kept.append(line)
    return "\n".join(kept).strip(), counts
