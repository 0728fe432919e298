"""What the commands and environments of LaTeX mean for a text: symbols, accents, arguments that are no text."""

import re
import unicodedata


def _all(names: str, value: str) -> dict[str, str]:
    """One value for each of the names."""
    return dict.fromkeys(names.split(), value)


def _pairs(text: str) -> dict[str, str]:
    """Names and values in turn."""
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


ACCENTS = {
    "`": "\u0300",
    "'": "\u0301",
    "^": "\u0302",
    "~": "\u0303",
    "=": "\u0304",
    "u": "\u0306",
    ".": "\u0307",
    '"': "\u0308",
    "r": "\u030a",
    "H": "\u030b",
    "v": "\u030c",
    "d": "\u0323",
    "c": "\u0327",
    "k": "\u0328",
    "b": "\u0331",
    "t": "\u0361",
}
"""The combining character of an accent, which stands before its letter in TeX and behind it in Unicode."""

SYMBOLS = {
    **_pairs(
        "LaTeX LaTeX TeX TeX BibTeX BibTeX LaTeXe LaTeX2e AmS AmS AmSTeX AmSTeX XeTeX XeTeX eTeX eTeX ss ß SS SS ae æ "
        "AE Æ oe œ OE Œ o ø O Ø l ł L Ł aa å AA Å i ı j ȷ dh ð DH Ð th þ TH Þ dj đ DJ Đ ng ŋ NG Ŋ S § P ¶ pounds £ "
        "copyright © dag † ddag ‡ textregistered ® texttrademark ™ textcopyright © texteuro € euro € ldots … dots … "
        "dotsc … cdots … textellipsis … textbullet • bullet • textendash – textemdash — textquoteleft ‘ "
        "textquoteright ’ textquotedblleft “ textquotedblright ” lq ‘ rq ’ glqq „ grqq “ guillemotleft « "
        "guillemotright » textbackslash \\ textasciitilde ~ textasciicircum ^ textunderscore _ textbar | textless < "
        "textgreater > textbraceleft { textbraceright } textdollar $ textdegree ° degree ° textmu µ micro µ textpm ± "
        "texttimes × No № textonehalf ½ textordmasculine º textordfeminine ª textsection § textparagraph ¶ slash / "
        "qed ∎ qedhere ∎ qedsymbol ∎ Square □ checkmark ✓ cmark ✓ percent % textquotesingle ' textquotedbl \""
    ),
    **_all("quad qquad space enspace thinspace nobreakspace hfill hfil hss hrulefill dotfill", " "),
    **_all("newline linebreak break cr tabularnewline", "\x01"),
    **_all("and And AND", "\x04"),
    "og": "« ",
    "fg": " »",
    "xspace": "",
}
"""Commands that stand for characters. U+0001 is a line break, U+0004 stands between authors."""

CONTROL = {
    "%": "%",
    "&": "&",
    "$": "$",
    "#": "#",
    "_": "_",
    "{": "{",
    "}": "}",
    " ": " ",
    "\n": " ",
    "\t": " ",
    ",": " ",
    ";": " ",
    ":": " ",
    ">": " ",
    "!": "",
    "/": "",
    "-": "",
    "@": "",
    "*": "",
    "|": "|",
}
"""Commands of one character that is no letter."""

ARGUMENTS = {
    **_all(
        "pagestyle thispagestyle pagenumbering bibliographystyle hypersetup hyphenation pacs address email affil "
        "affiliation inst institute institution orcid orcidlink ead thanksref tnotetext fntext cortext corref fnref "
        "tnoteref emailAdd IEEEauthorblockA preprint arxivnumber dedicated dedicatory altaffiliation altaffil "
        "authorrunning titlerunning runningtitle runningauthor shorttitle shortauthors lhead rhead chead lfoot rfoot "
        "cfoot fancyhead fancyfoot received accepted revised published volume pubyear jname setcitestyle graphicspath "
        "nocite newcounter stepcounter refstepcounter usetikzlibrary color cellcolor rowcolor columncolor pagecolor "
        "captionsetup lstset sisetup tikzset pgfplotsset urlstyle selectlanguage ccsdesc acmConference acmYear acmISBN "
        "acmDOI setcopyright subjclass cline noalign special write typeout index glossary addbibresource fontfamily "
        "fontseries fontshape psfig epsfig epsffile epsfbox plotone adjincludegraphics includepdf includestandalone "
        "conferenceinfo CopyrightYear crdata slugcomment date logo titlegraphic pagerange offprints authornotemark "
        "rotatebox tikz cmidrule markright numberwithin theoremstyle newlength foreignlanguage hspace vspace hphantom "
        "vphantom phantom enlargethispage addvspace",
        "*om",
    ),
    **_all("setlength addtolength addtocounter settowidth fontsize plottwo fcolorbox DeclareGraphicsExtensions", "mm"),
    **_all("markboth icmlaffiliation icmlcorrespondingauthor setkeys newfont hypertarget", "mm"),
    **_all("addcontentsline definecolor specialrule", "mmm"),
    **_all("includegraphics lstinputlisting verbatiminput inputminted", "*oom"),
    **_all("textcolor colorbox scalebox", "om"),
    **_all("framebox makebox", "oo"),
    **_all("hyperref footnotemark pagebreak nopagebreak nolinebreak allowdisplaybreaks printbibliography", "o"),
    **_all("addlinespace", "o"),
    **_all("bibliography hyperlink", "m"),
    "resizebox": "*mm",
    "multirow": "omom",
    "rule": "omm",
    "raisebox": "moo",
    "parbox": "ooom",
    "titleformat": "*mmmmm",
}
"""Arguments that are no text, to be left out: `*` a star, `o` one in brackets, `m` one in braces. Groups that follow
stay where they are."""

DIMENSIONS = frozenset(
    (
        *(
            "vskip",
            "hskip",
            "kern",
            "raise",
            "lower",
            "hsize",
            "vsize",
            "parindent",
            "parskip",
            "baselineskip",
            "mskip",
        ),
        *(
            "textwidth",
            "textheight",
            "topmargin",
            "oddsidemargin",
            "evensidemargin",
            "columnsep",
            "tabcolsep",
            "voffset",
        ),
        *("hoffset", "magnification", "mathsurround", "abovedisplayskip", "belowdisplayskip", "leftskip", "rightskip"),
        *("headheight", "headsep", "footskip", "arraycolsep", "advance", "penalty", "baselinestretch", "linewidth"),
        *("overfullrule", "hbadness", "vbadness", "hfuzz", "vfuzz", "tolerance", "pageno", "hangindent", "hangafter"),
    )
)
"""Registers of plain TeX: what follows is a number with a unit."""
DIMENSION = re.compile(
    r"\s*(?:by\s*|to\s*)?=?\s*-?(?:[\d.,]+\s*(?:true\s*)?(?:pt|cm|mm|in|em|ex|bp|pc|sp|dd|cc|mu|\\[A-Za-z]+)?|\\[A-Za-z]+)"
    r"(?:\s*(?:plus|minus)\s*-?[\d.]+\s*(?:pt|cm|mm|in|em|ex|bp|pc|sp|fil{1,3}|mu)?)*"
)

MATH = frozenset(
    name + star
    for name in (
        *("equation", "align", "eqnarray", "gather", "multline", "flalign", "alignat", "xalignat", "xxalignat"),
        *("displaymath", "math", "dmath", "dgroup", "darray", "IEEEeqnarray", "mathpar", "empheq", "eqsplit"),
    )
    for star in ("", "*")
)
BY_LINE = frozenset(("align", "eqnarray", "gather", "flalign", "alignat", "xalignat", "dgroup", "IEEEeqnarray"))
"""Environments of mathematics that number each of their lines."""

VERBATIM = {
    **dict.fromkeys(("verbatim", "verbatim*", "alltt", "program", "Sinput", "Soutput", "verbatimtab"), ""),
    **dict.fromkeys(("Verbatim", "Verbatim*", "lstlisting", "lstlisting*", "BVerbatim", "LVerbatim"), "o"),
    "minted": "om",
    "pyconsole": "o",
    "pycode": "o",
    "python": "",
    "Schunk": "",
}
"""Environments whose text is code, with the arguments that come before it."""

LEFT_OUT = frozenset(
    (
        *(
            "comment",
            "tikzpicture",
            "pgfpicture",
            "picture",
            "pspicture",
            "pspicture*",
            "asy",
            "asydef",
            "feynmandiagram",
        ),
        *("fmffile", "fmfgraph", "fmfgraph*", "axis", "xy", "psfrags", "filecontents", "filecontents*", "CCSXML"),
        *("thebibliography", "references", "biblist", "bibdiv", "tikzcd", "pspicture", "dot2tex", "overpic"),
    )
)
"""Environments that hold no text: drawings, lists of references, files."""

FLOATS = {
    **dict.fromkeys(
        (
            *("figure", "figure*", "wrapfigure", "SCfigure", "SCfigure*", "floatingfigure", "sidewaysfigure"),
            *("sidewaysfigure*", "teaserfigure", "marginfigure", "figurehere", "scheme", "plate", "figwindow"),
        ),
        "Figure",
    ),
    **dict.fromkeys(("subfigure", "subcaptionblock"), ""),
}
"""Environments of which only the caption is text, by the name that is printed before its number."""
TABLES = frozenset(
    ("table", "table*", "sidewaystable", "sidewaystable*", "wraptable", "tablehere", "margintable", "tablewindow")
)
TABULAR = {
    **dict.fromkeys(("tabular", "longtable", "supertabular", "mpsupertabular", "array", "longtabu", "tabu"), "om"),
    **dict.fromkeys(("tabular*", "tabularx", "tabulary", "longtable*", "tabularew", "xltabular"), "mom"),
    "deluxetable": "om",
    "deluxetable*": "om",
    "tblr": "om",
    "NiceTabular": "om",
    "ruledtabular": "",
}
"""Environments that are tables, with their arguments."""
LISTS = {
    **dict.fromkeys(
        ("itemize", "itemize*", "compactitem", "asparaitem", "inparaitem", "trivlist", "list", "tightitemize"), "-"
    ),
    **dict.fromkeys(
        ("enumerate", "enumerate*", "compactenum", "asparaenum", "inparaenum", "tightenumerate", "steps"), "1"
    ),
    **dict.fromkeys(("description", "compactdesc", "asparadesc", "labeling", "basedescript"), ":"),
}
QUOTES = frozenset(("quote", "quotation", "verse", "displayquote", "epigraphs"))
HEADED = {
    **dict.fromkeys(("abstract", "abstract*", "onecolabstract", "summary"), "Abstract"),
    **dict.fromkeys(("acknowledgments", "acknowledgements", "acknowledgment", "acknowledgement"), "Acknowledgments"),
    "acks": "Acknowledgments",
    "ack": "Acknowledgments",
    "theacknowledgments": "Acknowledgments",
}
"""Environments, and commands with or without an argument, that print a heading of their own."""
ENVIRONMENT_ARGUMENTS = {
    **dict.fromkeys(("minipage", "multicols", "adjustbox", "spacing", "addmargin", "tcolorbox", "mdframed"), "ooom"),
    **dict.fromkeys(("adjustwidth", "textblock", "textblock*", "changemargin"), "mm"),
    "list": "mm",
    "tcolorbox": "o",
    "mdframed": "o",
    "IEEEbiography": "om",
    "CJK": "mm",
    "CJK*": "mm",
    "wrapfigure": "omom",
    "floatingfigure": "m",
    "SCfigure": "o",
    "wraptable": "omom",
    "figwindow": "o",
    "algorithmic": "o",
    "algorithm": "o",
    "algorithm2e": "o",
    "otherlanguage": "m",
    "otherlanguage*": "m",
}

THEOREMS = {
    **{name: name.capitalize() for name in ("theorem", "lemma", "proposition", "corollary", "definition", "remark")},
    **{name: name.capitalize() for name in ("example", "conjecture", "claim", "assumption", "notation", "question")},
    **{name: name.capitalize() for name in ("problem", "exercise", "observation", "hypothesis", "axiom", "fact")},
    "thm": "Theorem",
    "lem": "Lemma",
    "prop": "Proposition",
    "cor": "Corollary",
    "coro": "Corollary",
    "corr": "Corollary",
    "defn": "Definition",
    "defi": "Definition",
    "dfn": "Definition",
    "rem": "Remark",
    "rmk": "Remark",
    "rema": "Remark",
    "exa": "Example",
    "exm": "Example",
    "ex": "Example",
    "conj": "Conjecture",
    "assu": "Assumption",
    "propn": "Proposition",
    "lemm": "Lemma",
    "theo": "Theorem",
    "prob": "Problem",
}
"""Environments that papers call theorems where they do not say it themselves, or say it in a file that is not there."""

SECTIONS = {
    "part": 0,
    "chapter": 1,
    "section": 2,
    "subsection": 3,
    "subsubsection": 4,
    "paragraph": 5,
    "subparagraph": 6,
    "paragraph*": 5,
    "subsubsubsection": 5,
}

ALGORITHM = {
    "state": "\x01",
    "statex": "\x01",
    "require": "\x01Require: ",
    "ensure": "\x01Ensure: ",
    "return": "return ",
    "if": "\x01if ",
    "elsif": "\x01else if ",
    "else": "\x01else",
    "endif": "\x01end if",
    "for": "\x01for ",
    "forall": "\x01for all ",
    "endfor": "\x01end for",
    "while": "\x01while ",
    "endwhile": "\x01end while",
    "repeat": "\x01repeat",
    "until": "\x01until ",
    "loop": "\x01loop",
    "endloop": "\x01end loop",
    "procedure": "\x01procedure ",
    "endprocedure": "\x01end procedure",
    "function": "\x01function ",
    "endfunction": "\x01end function",
    "comment": " ▷ ",
    "print": "\x01print ",
    "input": "\x01Input: ",
    "output": "\x01Output: ",
    "true": "true",
    "false": "false",
    "to": " to ",
    "or": " or ",
    "not": "not ",
    "kwin": "\x01Input: ",
    "kwout": "\x01Output: ",
    "kwdata": "\x01Data: ",
    "kwresult": "\x01Result: ",
}
"""Commands of the packages that print algorithms (algorithmic, algorithmicx, algorithm2e), in small letters."""


def accented(accent: str, letter: str) -> str:
    """The letters with the accent on the first: the composed character if Unicode has it."""
    letter = {"\\i": "i", "\\j": "j", "\\imath": "i", "ı": "i", "ȷ": "j"}.get(letter.strip(), letter)
    if not letter or not letter[0].isalpha():
        return letter
    return unicodedata.normalize("NFC", letter[0] + ACCENTS[accent]) + letter[1:]
