"""Environments: lists, quotations, theorems, floats, tables, code, and those that hold no text."""

from pipeline.readers.latex import mathematics, names
from pipeline.readers.latex.document import DEEPEST, Document, Handler
from pipeline.readers.latex.output import Items, Sink, Table, quoted

_MAX_NESTED = 6
"""Lists and quotations within one another; deeper ones are read as plain paragraphs."""


class Stop(Exception):
    """The document ends here."""


def _begin(document: Document, word: str) -> None:
    name = document.scanner.argument().strip()
    if name == "document":
        _begin_document(document)
        return
    if name in document.macros.environments:
        document.macros.expand(document.macros.environments[name].begin, document.scanner)
        return
    if name in names.MATH:
        document.drop_arguments("o" if name.startswith("empheq") else "")
        if name.startswith(("alignat", "xalignat", "xxalignat", "IEEEeqnarray")):
            document.drop_arguments("m")
        mathematics.inline(document, name) if name == "math" else mathematics.display(document, name)
        return
    if name in names.VERBATIM:
        _verbatim(document, name)
        return
    if name in names.LEFT_OUT:
        if document.scanner.until(f"\\end{{{name}}}") is not None:
            return
    document.drop_arguments(names.ENVIRONMENT_ARGUMENTS.get(name, ""))
    _open(document, name)


def _begin_document(document: Document) -> None:
    """Forget what the preamble wrote: it is settings, whatever it looks like."""
    if document.in_body:
        return  # the main file of another paper, or a subfile
    document.in_body = True
    document.scanner.package = False
    document.frames.clear()
    document.depth = 0
    document.tables.clear()
    document.lists.clear()
    document.captions.clear()
    document.notes.clear()
    document.top.blocks.clear()
    document.top.line.clear()
    document.sink = document.top


def _verbatim(document: Document, name: str) -> None:
    arguments = names.VERBATIM[name]
    language = ""
    for kind in arguments:
        if kind == "o":
            document.scanner.optional()
        else:
            language = document.scanner.argument().strip()
    text = document.scanner.until(f"\\end{{{name}}}")
    if text is None:
        return
    code = text.strip("\n").rstrip()
    if not code.strip():
        return
    fence = "```"
    while fence in code and len(fence) < 20:
        fence += "`"
    document.block(f"{fence}{language}\n{code}\n{fence}")


def _open(document: Document, name: str) -> None:
    if document.depth >= DEEPEST:
        document.open(name)
    elif name in names.LISTS:
        _open_list(document, name)
    elif name in names.QUOTES:
        _open_quote(document, name)
    elif name in names.FLOATS:
        _open_float(document, name)
    elif name in names.TABLES:
        _open_table_float(document, name)
    elif name in names.TABULAR:
        document.drop_arguments(names.TABULAR[name])
        _open_tabular(document, name)
    elif name in names.HEADED:
        _open_headed(document, name)
    elif name in document.theorems or name.rstrip("*") in names.THEOREMS or name.lower().startswith("proof"):
        _open_theorem(document, name)
    elif name.lower().startswith("algorithm"):
        document.scanner.optional()
        document.flush()
        document.captions.append(["Algorithm"])
        document.open(name, lambda: _close_algorithm(document))
    else:
        document.scanner.optional()
        if name in ("center", "flushleft", "flushright", "multicols", "titlepage", "minipage", "itquote"):
            document.flush()
        document.open(name)


def _open_list(document: Document, name: str) -> None:
    document.scanner.optional()
    document.flush()
    if len(document.lists) >= _MAX_NESTED:
        document.open(name)
        return
    items = Items(names.LISTS[name])
    document.lists.append(items)

    def done() -> None:
        document.lists.remove(items)
        text = items.render()
        document.write(f" {' '.join(text.split())} ") if document.inner() else document.block(text)

    document.open(name, done, items.sink)


def _item(document: Document, word: str) -> None:
    label = document.scanner.optional()
    if not document.lists or document.lists[-1].sink is not document.sink:
        document.flush()
        document.write("- ")
        if label:
            document.scanner.push(label + " ")
        return
    document.flush()
    if label and not label.isascii() or (label and any(mark in label for mark in "\\$~")):
        items = document.lists[-1]
        sink = Sink()

        def done() -> None:
            items.begin(sink.inline())

        document.open("", done, sink)
        document.scanner.push(label + "}")
    else:
        document.lists[-1].begin(label)


def _open_quote(document: Document, name: str) -> None:
    document.scanner.optional()
    document.flush()
    if document.inner() or sum(frame.name in names.QUOTES for frame in document.frames[-50:]) >= _MAX_NESTED:
        document.open(name)
        return
    sink = Sink()
    document.open(name, lambda: document.block(quoted(sink.paragraphs())), sink)


def _open_float(document: Document, name: str) -> None:
    """Keep the captions of a float and nothing else."""
    document.scanner.optional()
    document.captions.append([names.FLOATS[name]])

    def done() -> None:
        _, *captions = document.captions.pop()
        if name in ("subfigure", "subcaptionblock") and document.captions:
            document.captions[-1] += captions
            return
        for caption in captions:
            document.block(caption)

    document.open(name, done, Sink())


def _open_table_float(document: Document, name: str) -> None:
    document.scanner.optional()
    document.captions.append(["Table"])
    sink = Sink()

    def done() -> None:
        _, *captions = document.captions.pop()
        sink.flush()
        document.flush()
        for block in [*captions, *(sink.blocks if document.options.tables else [])]:
            document.block(block)

    document.open(name, done, sink)


def _open_tabular(document: Document, name: str) -> None:
    captions = name.startswith(("longtable", "deluxetable"))
    if captions:
        document.captions.append(["Table"])
    outer = document.sink
    inner = bool(document.tables) and document.tables[-1].sink is outer
    table = Table()
    document.tables.append(table)

    def done() -> None:
        document.tables.pop()
        document.sink = outer
        text = table.render()
        if captions:
            for caption in document.captions.pop()[1:]:
                document.block(caption)
        if not document.options.tables:
            return
        if inner or (document.inner() and not document.captions):
            document.write(" " + " ".join(text.replace("|", " ").split()) + " ")
        else:
            document.block(text)

    document.open(name, done, table.sink)


def cell(document: Document) -> None:
    """End a cell, where a table is being written; elsewhere the sign means nothing."""
    if document.tables and document.tables[-1].sink is document.sink:
        document.tables[-1].cell()
        document.sink = document.tables[-1].sink
    else:
        document.write(" ")


def row(document: Document) -> bool:
    """End a row; False where no table is being written."""
    if not document.tables or document.tables[-1].sink is not document.sink:
        return False
    document.tables[-1].row()
    document.sink = document.tables[-1].sink
    return True


def _open_headed(document: Document, name: str) -> None:
    document.scanner.optional()
    sink = Sink()

    def done() -> None:
        sink.flush()
        blocks = [f"## {names.HEADED[name]}", *sink.blocks] if sink.blocks else []
        if not document.in_body:
            document.abstract += blocks
        for block in blocks if document.in_body else []:
            document.block(block)

    document.open(name, done, sink)


def _open_theorem(document: Document, name: str) -> None:
    document.flush()
    note = document.scanner.optional()
    if name in document.theorems:
        counter, printed = document.theorems[name]
    elif name.lower().startswith("proof"):
        counter, printed = "", "Proof"
    else:
        printed = names.THEOREMS[name.rstrip("*")]
        counter = "" if name.endswith("*") else name
    number = document.numbering.step(counter, printed) if counter else ""
    head = " ".join(filter(None, (printed, number)))
    document.open(name, document.flush)
    if printed == "Proof" and note:
        document.scanner.push(note + ". ")
    elif note:
        document.write(head + " (")
        document.scanner.push(note + "). ")
    elif head:
        document.write(head + ". ")


def _close_algorithm(document: Document) -> None:
    document.flush()
    for caption in document.captions.pop()[1:]:
        document.block(caption)


def _end(document: Document, word: str) -> None:
    name = document.scanner.argument().strip()
    if name == "document":
        if document.scanner.file() == document.main:
            raise Stop
        return
    if name in document.macros.environments:
        document.scanner.push(document.macros.environments[name].end)
        return
    closed = document.close_environment(name)
    if closed and name in ("center", "flushleft", "flushright", "multicols", "titlepage"):
        document.flush()


BEGIN_AND_END: dict[str, Handler] = {"begin": _begin, "end": _end, "item": _item}
