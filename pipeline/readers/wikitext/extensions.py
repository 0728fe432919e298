"""Comments and the tags whose content is no wikitext: they come first, as in MediaWiki's preprocessor.

What is between such tags ends at the first closing tag, whatever is inside. References, galleries and the like vanish;
code, formulas and text that is not to be parsed are put aside until the end.
"""

import re

from pipeline.readers.wikitext.context import Context

_REMOVED = (
    "ref|references|gallery|timeline|imagemap|graph|mapframe|maplink|templatestyles|templatedata|score|hiero|indicator"
    "|categorytree|inputbox|section|charinsert|dynamicpagelist|listing|rss|quiz|phonos|includeonly"
)
_KEPT = "nowiki|pre|math|chem|ce|syntaxhighlight|source|poem"
_OPENING = re.compile(rf"<!--|<({_REMOVED}|{_KEPT})(?![\w-])([^<>]*)>", re.IGNORECASE)
_CLOSING = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in (*_REMOVED.split("|"), *_KEPT.split("|"))}
_LONE = re.compile(rf"</?(?:noinclude|onlyinclude|{_REMOVED})(?![\w-])[^<>]*>", re.IGNORECASE)
_LANGUAGE = re.compile(r"\blang\s*=\s*[\"']?([\w+#-]+)", re.IGNORECASE)
_ENTITY = re.compile(r"&(?!#?\w+;)")


def strip(text: str, context: Context) -> str:
    """Return the text without comments and such tags, with marks for what is put aside."""
    out: list[str] = []
    at = 0
    unclosed: set[str] = set()
    while (found := _OPENING.search(text, at)) is not None:
        start, after = found.span()
        out.append(text[at:start])
        if found[1] is None:
            at = _after_comment(text, start)
            continue
        name = found[1].lower()
        at = after
        content = ""
        if not found[2].rstrip().endswith("/"):
            end = None if name in unclosed else _CLOSING[name].search(text, after)
            if end is None:
                unclosed.add(name)  # so that a page full of them is not searched to its end for each
                continue
            content, at = text[after : end.start()], end.end()
        if name == "poem":
            lines = content.strip("\n").split("\n")
            out.append(strip("<br>\n".join(line.lstrip() for line in lines), context))
        elif name in _KEPT_NAMES:
            out.append(_kept(name, found[2], content, context))
        elif name == "ref":
            context.counts["references"] += 1
    out.append(text[at:])
    return _LONE.sub("", "".join(out))


_KEPT_NAMES = frozenset(_KEPT.split("|"))


def formula(tex: str, context: Context, *, block: bool = False) -> str:
    """A formula in TeX, put aside."""
    tex = " ".join(tex.split())
    if not tex:
        return ""
    context.counts["formulas"] += 1
    mark = "$$" if block else "$"
    html = f"{mark}{escape(tex)}{mark}"
    return context.put_aside(f"<p>{html}</p>" if block else html)


def code(source: str, language: str | None, context: Context) -> str:
    """Lines of code, put aside."""
    name = f' class="language-{language}"' if language else ""
    return context.put_aside(f"<pre><code{name}>{escape(source.strip(chr(10)))}\n</code></pre>")


def escape(text: str) -> str:
    """Text as HTML that shows it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _kept(name: str, attributes: str, content: str, context: Context) -> str:
    if name == "math":
        return formula(content, context, block=re.search(r"display\s*=\s*[\"']?block", attributes) is not None)
    if name in ("chem", "ce"):
        return formula(f"\\ce{{{content.strip()}}}" if content.strip() else "", context)
    if name in ("syntaxhighlight", "source"):
        if re.search(r"\binline\b", attributes):
            return context.put_aside(f"<code>{escape(content)}</code>")
        language = _LANGUAGE.search(attributes)
        return code(content, language[1].lower() if language else None, context)
    # In these two entities mean what they mean everywhere.
    shown = _ENTITY.sub("&amp;", content).replace("<", "&lt;").replace(">", "&gt;")
    if name == "pre":
        return context.put_aside(f"<pre>{shown.removeprefix(chr(10))}\n</pre>")
    return context.put_aside(shown) if shown else ""


def _after_comment(text: str, start: int) -> int:
    """Where the text goes on after the comment at `start`; one that is alone on its line goes with its line."""
    end = text.find("-->", start)
    if end < 0:
        return len(text)
    end += 3
    before = start
    while before and text[before - 1] in " \t":
        before -= 1
    if before == 0 or text[before - 1] == "\n":
        after = end
        while after < len(text) and text[after] in " \t":
            after += 1
        if after < len(text) and text[after] == "\n":
            return after + 1
    return end
