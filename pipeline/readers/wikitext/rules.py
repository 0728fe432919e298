"""Templates that are seen in the middle of a text, and those that show nothing there, by their names in lower case.

English comes first; the tables of other languages are used on top of it for their wikis. What has no rule here shows
what `templates.py` says of unknown templates. Facts: the documentation of each template on its wiki.
"""

from functools import lru_cache

from pipeline.readers.wikitext.patterns import table

_QUOTE = "<blockquote>{text|quote|1}[\n\n— {author|sign|cite|by|2}[, {source|title|3}]]</blockquote>"

_ENGLISH = table(
    {
        "{1}": """
            nowrap, nobr, j, small, smaller, big, larger, huge, noitalic, nobold, sc, smallcaps, sc2, smallcaps all, em,
            strong, abbr, abbrlink, tooltip, vanchor, visible anchor, mono, tt, kbd, samp, var, mvar, math, bigmath,
            serif, unicode, polytonic, not a typo, typo, as written, proper name, center, centre, ill, illm,
            interlanguage link, interlanguage link multi, link-interwiki, flatlist, plainlist, flag, flagcountry, flagu,
            underline, strike, bdi, hebrew, tq, xt, citation needed span, clarify span, columns-list, longitem, block
            indent, native phrase
        """,
        "{2}": """
            lang, wikt-lang, script, rtl-lang, sort, color, colour, font color, fontcolor, background color, legend,
            legend inline, legend2, hover title, align
        """,
        "{2|1}": "resize, native name",
        "{3|2}": "transl, transliteration, translit, xlit",
        "<code>{1}</code>": "code, codett",
        "⟨{1}⟩": "angbr, angle bracket, grapheme",
        "‘{1}’": "gloss",
        '"{1}"': "qi",
        "{1} (sic)": "sic",
        "<sub>{1}</sub>": "sub",
        "<sup>{1}</sup>": "sup",
        "<sup>{1}</sup><sub>{2}</sub>": "su",
        "×10<sup>{1}</sup>": "e, esp",
        "√{1}": "sqrt, radic",
        "|{1}|": "abs",
        "{1}°": "deg",
        "c. {1}[–{2}]": "circa, c., ca.",
        "fl. {1}[–{2}]": "floruit, fl.",
        "r. {1}[–{2}]": "reign, r.",
        "b. {1}": "b., born-in",
        "d. {1}": "d.",
        "US${1}": "us$, usd",
        "A${1}": "a$, aud",
        "C${1}": "ca$, c$, cad",
        "£{1}": "gbp, £",
        "€{1}": "euro, eur, €",
        "¥{1}": "jpy, cny, ¥, rmb",
        "₹{1}": "inr, ₹, indian rupee",
        "{1}[ § {2}]": "section link, slink",
        "{1}[ ({2})]": "flagathlete",
        "{1}[ {2}]": "sortname",
        "{1}-class[ {2}]": "sclass, sclass2, sclass-",
        "{1}[ {2}][ ({3})]": "ship",
        "{1} gauge": "track gauge, railgauge, rail gauge",
        "{1}+{2}[+{3}[+{4}]]": "keypress, key press",
        "{1}–{2}": "win-loss",
        "{1}/{2}": "rating",
        _QUOTE: """
            quote, quotation, blockquote, bquote, block quote, cquote, rquote, centered pull quote, pull quote,
            quote box, quotebox, quote frame, epigraph
        """,
        "<blockquote>{text|1}[\n\n— {author|sign|2}[, {source|3}]]</blockquote>": "poemquote, poem quote",
        "<blockquote>{1}\n\n{2}</blockquote>": "verse translation",
        "<dl><dt>{term|1}</dt></dl>": "term",
        "<dl><dd>{defn|1}</dd></dl>": "defn",
        "\u00a0": "nbsp, space, spaces, thinsp, thin space, hsp, hair space, nnbsp, pad, indent, in5",
        " · ": "·, dot, middot, •, bull, bullet, \\",
        " – ": "spaced ndash, snd, spnd, sndash, spaced en dash, dash",
        " — ": "spaced mdash, spaced em dash, sdash",
        "–": "ndash, en dash, endash",
        "—": "mdash, em dash, emdash",
        "−": "minus",
        "±": "±",
        "×": "×, times",
        "…": "ellipsis, ...",
        "'": "', apostrophe",
        "'s": "'s",
        "ʻ": "okina",
        "′": "prime",
        "″": "pprime",
        "&amp;": "&, ampersand",
        "π": "pi",
        "✓": "tick, check mark, check, aye, ya, y&",
        "✗": "cross, xmark, x mark, na cross",
        "<br>": "br, crlf, break",
        "ISBN {1}": "isbn, isbnt",
        "ISSN {1}": "issn",
        "OCLC {1}": "oclc",
        "arXiv:{1}": "arxiv",
        "doi:{1}": "doi",
    }
)

CELLS = {
    **dict.fromkeys(("yes", "table-yes", "y"), "Yes"),
    **dict.fromkeys(("no", "table-no", "n"), "No"),
    "won": "Won",
    "nom": "Nominated",
    "lost": "Lost",
    "pending": "Pending",
    "partial": "Partial",
    "some": "Some",
    "any": "Any",
    "unknown": "Unknown",
    "maybe": "Maybe",
    "optional": "Optional",
    "free": "Free",
    "included": "Included",
    "active": "Active",
    "sho": "Shortlisted",
    "draw": "Draw",
    "eliminated": "Eliminated",
    "dropped": "Dropped",
    "terminated": "Terminated",
    "beta": "Beta",
    "yes-no": "Yes/No",
    **dict.fromkeys(("n/a", "na", "table-na"), "N/A"),
    **dict.fromkeys(("tba", "table-tba"), "TBA"),
    **dict.fromkeys(("?", "dunno"), "?"),
}
"""Cells of tables that show a word unless they are given another."""

_NOTHING = table(
    {
        "": """
            rp, sfn, sfnp, sfnm, sfnmp, sfnref, harv, harvnb, harvp, harvtxt, harvcol, harvcolnb, harvcoltxt, harvs,
            harvc, harvid, harvard citation, harvard citation no brackets, harvard citation text, citation, citec, refn,
            efn, efn-ua, efn-lr, efn-la, efn-lg, efn-ur, ref, note, ref label, note label, notetag, r, ran, rma,
            refbegin, refend, reflist, notelist, notelist-ua, notelist-lr, cnote, cref, cref2, page needed, page number
            needed, p., pp., vol., dead link, deadlink, webarchive, wayback, cbignore, inflation-fn, inflation/fn, isbn
            missing, bibleverse nb,
            citation needed, cn, fact, facts, clarify, clarification needed, who, whom, which, when, where, why, how, by
            whom, according to whom, vague, dubious, discuss, disputed inline, failed verification, verify source, vs,
            verification needed, better source, better source needed, unreliable source, unreliable source?,
            self-published inline, self-published source, primary source inline, third-party inline, original research
            inline, or, synthesis inline, syn, pov statement, pov-inline, neutrality inline, weasel inline,
            weasel-inline, peacock inline, peacock term, opinion, editorializing, quantify, specify, example needed,
            examples, definition needed, full citation needed, attribution needed, citation not found, update inline,
            update after, inconsistent, contradict-inline, contradiction-inline, undue weight inline, jargon inline,
            jargon-inline, copyedit inline, awkward, chronology citation needed, medical citation needed, medcn,
            pronunciation needed, needs ipa, ipa needed, disambiguation needed, dn, not in source, nonspecific,
            speculation inline, tone inline, time needed, year needed, season needed, unbalanced opinion, buzz,
            ambiguous, abbreviation needed,
            anchor, anchors, coord, coords, flagicon, flag icon, flagdeco, flagicon image, increase, decrease, steady,
            gain, loss, decreasepositive, increasenegative, ntsh, hs, hidden sort key, sort key, sortkey, dtsh, shy,
            zwsp, zwj, zwnj, wbr, clear, clr, -, toc, toc left, toc right, tocright, toc limit, toclimit, horizontal
            toc, compact toc, colorbox, color box, party color, party color cell, party shading, party name with color,
            fr icon, de icon, es icon, it icon, ru icon, icon, audio, listen, speaker icon, speakerlink, sndpron, ipa
            audio link, ipac-audio, image, wide image, css image crop, imdb title, imdb name, official website,
            official, url, commons, commons category, wiktionary, wikisource, wikiquote, wikinews, wikibooks,
            wikispecies, portal, portal inline, portal-inline,
            use dmy dates, use mdy dates, use british english, short description, authority control, main, main article,
            see, see also, see also2, further, further information, further2, details, about, for, for2, for-multi,
            distinguish, distinguish2, redirect, redirect2, redirect-distinguish, other uses, otheruses, other uses2,
            other people, other places, hatnote, rellink, broader, confused, confuse, technical reasons, correct title,
            italic title, lowercase title, lowercase, self reference, selfref, pp-move-indef, pp-semi-indef,
            pp-protected, pp, good article, featured article, div col, div col end, colbegin, colend, col-begin, col-2,
            col-3, col-4, col-break, col-end, end, s-end
        """
    }
)

_OTHERS = {
    "de": table(
        {
            "<blockquote>{text|1}[\n\n— {autor|2}]</blockquote>": "zitat",
            "„{text|1}“": '"',
            "§ {1}[ {2}]": "§",
            "": "0, fn, fnz, fußnote, sortkey, sortkeyname, belege fehlen, anker, navigationsleiste, siehe auch",
        }
    ),
    "fr": table(
        {
            "{1}[{2}] siècle": "s, s-",
            "{1}[{2}] siècle av. J.-C.": "-s, -s-",
            "av. J.-C.": "av jc",
            "er": "er",
            "re": "re",
            "e": "e",
            "<sup>{1}</sup>": "exp",
            "<sub>{1}</sub>": "ind",
            "{1}[ {2}]": "nb, nombre, unité, unité/2",
            "{1}[ {2}[ {3}]]": "date, date-",
            "« {1} »": "citation, guil, citation étrangère",
            "<blockquote>{texte|1}[\n\n— {auteur|2}[, {source|3}]]</blockquote>": "citation bloc",
            "{2}": "langue",
            "{texte|trad|fr|1}": "lien",
            "– {1} –": "incise",
            "{1}": "noble, petites capitales, référence nécessaire, refnec, référence souhaitée",
            "p. {1}": "p.",
            "c'est-à-dire": "càd, cad",
            "": "note, quand, qui, où, drapeau",
        }
    ),
    "es": table(
        {
            "<blockquote>{1}[\n\n— {2}[, {3}]]</blockquote>": "cita",
            "siglo {1}": "siglo",
            "{1}[ {2}]": "unidad",
            "{1}": "esd, versalita",
            "": "cita requerida, bandera, quién, cuándo",
        }
    ),
    "it": table(
        {
            "<blockquote>{1}[\n\n— {2}]</blockquote>": "citazione",
            "{1}[ {ul|u|2}]": "m",
            "{1}": "maiuscoletto, senza fonte, chiarire",
            "": "bandiera",
        }
    ),
    "pt": table(
        {
            "<blockquote>{1}[\n\n— {2}]</blockquote>": "citação, citação2, quote1",
            "século {1}": "séc",
            "{1}[ {2}]": "fmtn",
            "": "carece de fontes, quem, quando",
        }
    ),
    "nl": table({"<blockquote>{1}[\n\n— {2}]</blockquote>": "citaat", "": "bron?, vlag"}),
    "pl": table({"<blockquote>{1}[\n\n— {2}]</blockquote>": "cytat", "": "odn, fakt, uwaga, flaga, kiedy, kto"}),
    "ru": table(
        {
            "<blockquote>{1}[\n\n— {автор|2}]</blockquote>": "цитата",
            "{1}": "s, число, comment, iw",
            "{2|1}": "не переведено, не переведено 2, не переведено 3, не переведено 5, нп, нп3, нп5",
            "": "нет аи, источник?, когда, кто, что, где, уточнить, флаг, переход, sfn0, якорь",
        }
    ),
    "ja": table(
        {
            "{label|1}": "仮リンク",
            "{1}（{2}）": "読み仮名",
            "{1}": "ruby, 旧字体, 補助漢字フォント, jis2004フォント",
            "": "要出典, 要ページ番号, いつ, 誰, どこ",
        }
    ),
    "zh": table(
        {
            "{1}": "le, 僻字",
            "{4|3}": "tsl",
            "": "來源請求, 来源请求, 誰, 谁, 何时, 何時",
        }
    ),
}
"""By language of the wiki."""

FAMILIES = (
    ("infobox", ""),
    ("navbox", ""),
    ("cite ", ""),
    ("script/", "{1}"),
    ("link-", "{1}"),
)
"""By the beginning of the name."""


@lru_cache(maxsize=16)
def rules(language: str) -> dict[str, str]:
    """Patterns by name for the wiki of a language."""
    return {**_NOTHING, **_ENGLISH, **_OTHERS.get(language, {})}
