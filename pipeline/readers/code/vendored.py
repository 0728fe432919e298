"""Files that somebody else wrote and a project carries with it, by their paths, and folders with nothing to read.

The conventions are those by which linguist calls a file vendored, where they hold for the whole file or folder; tests,
examples and documentation of a project, which linguist sets aside too, are its own and stay.
"""

import re
from functools import lru_cache

_FOLDERS = re.compile(
    r"(?:^|/)(?:"
    r"node_modules|bower_components|jspm_packages|web_modules|vendors?|third[-_]?part(?:y|ies)|3rd[-_]?party|_?vendor(?:ed)?"
    r"|externals?|extern|Godeps|Pods|Carthage/Build|site-packages|dist-packages|\.eggs|\.?venv|virtualenv|\.tox|\.nox"
    r"|\.bundle|\.yarn/(?:releases|plugins|cache)|\.mvn/wrapper|gradle/wrapper|submodules|deps/\w+/src|[Dd]ependencies"
    r"|elm-stuff|\.stack-work|dist-newstyle|jquery(?:-ui)?[-\w.]*|ckeditor|tiny_?mce|MathJax|ace-builds|extjs"
    r"|cargo-vendor|[Cc]ode[Mm]irror/(?:lib|mode|theme|addon|keymap)|bootstrap-[\d.]+(?:-dist)?"
    r")/"
)
_TOOLS = frozenset(
    """
    gradlew gradlew.bat mvnw mvnw.cmd config.guess config.sub install-sh ltmain.sh depcomp missing mkinstalldirs
    ylwrap libtool.m4 ltoptions.m4 ltsugar.m4 ltversion.m4 lt~obsolete.m4 aclocal.m4 ppport.h cpplint.py
    ez_setup.py versioneer.py get-pip.py waf rebar rebar3 erlang.mk activator activator.bat doctest.h catch.hpp
    catch_amalgamated.hpp catch_amalgamated.cpp sqlite3.c sqlite3.h miniz.c miniz.h gtest-all.cc .pnp.js
    .pnp.cjs normalize.css font-awesome.css angular.js jquery.js d3.js backbone.js underscore.js modernizr.js
    mootools.js prototype.js
    """.split()
)
_SCRIPTS = re.compile(
    r"jquery(?:[-.](?:ui|effects|validate|unobtrusive|form|cookie|mobile|slim|\d+))*(?:\.[a-z]\w*)?\.js"
    r"|(?:bootstrap|angular|react|vue|ember|backbone|underscore|lodash|knockout|require|prototype|mootools|dojo|yui|d3"
    r"|three|moment|handlebars|modernizr|raphael|highcharts|html5shiv|respond|swfobject|zepto|less|socket\.io|chart"
    r"|leaflet|foundation|normalize|font-?awesome|animate|select2|ckeditor|tinymce|codemirror|highlight|prism|polyfill)"
    r"(?:[-.](?:v?\d\w*|bundle|pkgd|core|all|debug|dev|custom|esm|umd|cjs|runtime|global|full|slim))+\.(?:js|css|mjs)"
)
_HIDDEN = frozenset(".git .hg .svn CVS .bzr _darcs __pycache__ .idea .vs .DS_Store __MACOSX".split())


def is_vendored(path: str) -> bool:
    """Whether a path is that of a dependency which a project carries with it."""
    folder, _, name = path.rpartition("/")
    if _in_vendored(folder) or name in _TOOLS:
        return True
    if name.endswith((".js", ".css", ".mjs")):
        return _SCRIPTS.fullmatch(name) is not None
    return name.startswith("stb_") and name.endswith(".h")


def is_hidden(path: str) -> bool:
    """Whether a path belongs to a tool's own bookkeeping (version control, caches), not to the source."""
    folder, _, name = path.rpartition("/")
    return name in _HIDDEN or _in_hidden(folder)


@lru_cache(maxsize=1 << 14)
def _in_vendored(folder: str) -> bool:
    return _FOLDERS.search(f"{folder}/") is not None


@lru_cache(maxsize=1 << 14)
def _in_hidden(folder: str) -> bool:
    return not _HIDDEN.isdisjoint(folder.split("/"))
