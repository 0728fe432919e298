"""What a file is: its language, whether somebody wrote it, and in what order a repository's files stand."""

import json
import sysconfig
from collections import Counter
from pathlib import Path

import pygments.lexers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers.code.binaries import is_binary, is_binary_name, read_text
from pipeline.readers.code.generated import is_generated, is_generated_name, is_minified, is_pointer
from pipeline.readers.code.heuristics import _compiled, _rules
from pipeline.readers.code.languages import candidates, language_by_name, language_named, language_of, languages
from pipeline.readers.code.notebooks import read_notebook
from pipeline.readers.code.order import dependency_order
from pipeline.readers.code.vendored import is_hidden, is_vendored

STDLIB = Path(sysconfig.get_paths()["stdlib"])


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [
        ("a.h", b"#include <stdio.h>\nint f(void);\n", "C"),
        ("a.h", b"#pragma once\n#include <vector>\nstd::vector<int> f();\n", "C++"),
        ("a.h", b"#import <Foundation/Foundation.h>\n@interface A : NSObject\n@end\n", "Objective-C"),
        ("a.m", b"% area\nfunction y = area(r)\ny = pi * r^2;\nend\n", "MATLAB"),
        ("a.m", b"#import <UIKit/UIKit.h>\n@implementation A\n@end\n", "Objective-C"),
        ("a.m", b":- module a.\n:- interface.\n", "Mercury"),
        ("a.pl", b"use strict;\nmy $x = 1;\n", "Perl"),
        ("a.pl", b":- module(a, [f/1]).\nf(X) :- g(X).\n", "Prolog"),
        ("a.t", b"use strict;\nuse Test::More;\n", "Perl"),
        ("a.ts", b"export const x: number = 1;\n", "TypeScript"),
        ("a.ts", b'<?xml version="1.0"?>\n<!DOCTYPE TS>\n<TS version="2.1">\n', "XML"),
        ("a.v", b"module adder(input a, output b);\nassign b = a;\nendmodule\n", "Verilog"),
        ("a.v", b"Require Import List.\nLemma x : True.\nProof. Qed.\n", "Rocq Prover"),
        ("a.v", b"module main\n\nfn main() {\n\tprintln('x')\n}\n", "V"),
        ("a.r", b"x <- c(1, 2)\nlibrary(stats)\n", "R"),
        ("a.R", b"f = function(x) x\n", "R"),
        ("a.rs", b"fn main() {}\n", "Rust"),
        ("a.d", b"module a;\nimport std.stdio;\nvoid main() {}\n", "D"),
        ("a.d", b"foo.o: foo.c foo.h\n", "Makefile"),
        ("a.sql", b"SELECT 1;\n", "SQL"),
        ("a.sql", b"SET NOCOUNT ON\nGO\nSELECT [dbo].[x]\n", "TSQL"),
        ("a.ml", b"let rec f x = match x with _ -> 1\n", "OCaml"),
        ("a.ml", b"structure A = struct end\n", "Standard ML"),
        ("a.cl", b"(defun f (x) x)\n", "Common Lisp"),
        ("a.cl", b"__kernel void f(__global int *a) {}\n", "OpenCL"),
        ("a.fs", b"module A\nlet x = 1\n", "F#"),
        ("a.fs", b"#version 330\nvoid main() {}\n", "GLSL"),
        ("a.inc", b"<?php echo 1;\n", "PHP"),
        ("a.s", b"\t.globl main\n\t.text\nmain:\n", "Unix Assembly"),
        ("a.md", b"# Title\n", "Markdown"),
        ("a.pp", b"class apache {\n  package { 'x': }\n}\n", "Puppet"),
        ("a.pro", b"QT += core\nTARGET = x\n", "QMake"),
        ("a.1", b".TH LS 1\n.SH NAME\n", "Roff Manpage"),
        ("a.1", b"some log of yesterday\n", None),
        ("a.yy", b"%token A\n%%\n", "Yacc"),
        ("run", b"#!/usr/bin/env -S python3.11 -u\n", "Python"),
        ("run", b"#!/bin/bash -e\n", "Shell"),
        ("run", b"#!/usr/local/bin/node\n", "JavaScript"),
        ("script", b"# -*- mode: ruby -*-\n", "Ruby"),
        ("script", b"-- vim: set ft=lua :\n", "Lua"),
        ("thing", b'<?xml version="1.0"?>\n<x/>\n', "XML"),
        ("thing", b"nothing tells\n", None),
        *[("Makefile", b"", "Makefile"), ("Dockerfile", b"", "Dockerfile"), ("CMakeLists.txt", b"", "CMake")],
        *[("x.d.ts", b"", "TypeScript"), ("x.ipynb", b"{}", "Jupyter Notebook"), ("a.tar.py", b"", "Python")],
        *[("BUILD.bazel", b"", "Starlark"), ("go.mod", b"", "Go Module"), (".bashrc", b"", "Shell")],
    ],
)
def test_languages(path, data, expected):
    found = language_of(f"some/folder/{path}", data)
    assert (None if found is None else found.name) == expected


def test_extensions_agree_with_another_library():
    """Pygments names more extensions, and gives some of them to other languages; where both say something, it is the
    same nine times of ten."""
    told = Counter()
    for name, _, patterns, _ in pygments.lexers.get_all_lexers():
        ours = language_named(name)
        for pattern in patterns if ours is not None else ():
            if pattern.startswith("*.") and "*" not in pattern[1:] and "[" not in pattern:
                _, found = candidates(f"x{pattern[1:]}")
                told["same" if ours.name in found else "other" if found else "unknown"] += 1
    assert told["same"] > 300
    assert told["other"] < told["same"] / 10 and told["unknown"] < told["same"] / 5


def test_the_standard_library_is_python():
    files = [path for path in sorted(STDLIB.glob("*.py"))[:100] if path.stat().st_size]
    assert {language_of(path.name, path.read_bytes()).name for path in files} == {"Python"}
    assert {language_of("unnamed", b"#!/usr/bin/env python3\n" + path.read_bytes()).name for path in files} == {
        "Python"
    }


def test_the_tables_fit_together():
    table = languages()
    assert len(table.by_name) > 800 and {language.kind for language in table.by_name.values()} == {
        *("programming", "markup", "data", "prose")
    }
    patterns, usual, _ = _rules()
    for extension, rules in patterns.items():
        assert len(_compiled(extension)) == len(rules)
        assert {language for language, _ in rules} <= set(table.by_extension[extension]), extension
    for extension, language in usual.items():
        assert language in table.by_extension[extension], extension
    assert language_by_name("a/b.py").name == "Python" and language_by_name("a/b.h") is None
    assert language_named("c++") == language_named("CPP") == table.by_name["C++"]


@given(st.text(max_size=30), st.binary(max_size=300))
def test_any_name_and_content(path, data):
    found = language_of(path, data)
    assert found is None or found.name in languages().by_name
    assert isinstance(is_generated(path, data), bool) and isinstance(is_vendored(path), bool)
    text, _ = read_text(data)
    assert "\0" not in text
    assert text.encode("utf-8", "strict") is not None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *[
            (path, True)
            for path in ("a/node_modules/x.js", "vendor/a.go", "src/third-party/x.c", "3rdparty/x.h", "Pods/a.m")
        ],
        *[
            (path, True)
            for path in ("js/jquery-3.6.0.js", "js/bootstrap.bundle.js", "gradlew", "deps/lua/src/x.c", "sqlite3.c")
        ],
        *[
            (path, False)
            for path in ("a/vendoring.py", "tests/fixtures/x.py", "docs/conf.py", "src/jquery_like.js", "d3.py")
        ],
    ],
)
def test_vendored(path, expected):
    assert is_vendored(path) is expected


def test_hidden():
    assert is_hidden(".git/config") and is_hidden("a/__pycache__/x.pyc") and is_hidden("x/.DS_Store")
    assert not is_hidden(".github/workflows/x.yml") and not is_hidden("a/git/x")


@pytest.mark.parametrize(
    "path",
    [
        "Cargo.lock",
        "a/package-lock.json",
        "x.min.js",
        "a/b_pb2.py",
        "x.pb.go",
        "app.js.map",
        "Form1.Designer.cs",
        "y.tab.c",
    ],
)
def test_names_of_generated_files(path):
    assert is_generated_name(path)


@pytest.mark.parametrize(
    "path", ["Cargo.toml", "package.json", "admin.js", "a_pb.py", "map.js", "designer.cs", "lock.py"]
)
def test_names_of_written_files(path):
    assert not is_generated_name(path)


@pytest.mark.parametrize(
    ("path", "data", "expected"),
    [
        ("a.go", b"// Code generated by protoc-gen-go. DO NOT EDIT.\n\npackage x\n", True),
        ("a.py", b"# Generated by Django 3.2 on 2021-01-01 00:00\n\nfrom django\n", True),
        ("a.c", b"/* Generated by Cython 3.0.0 */\n", True),
        ("a.cs", b"// <auto-generated>\n//  x\n", True),
        ("a.js", b"/**\n * @generated SignedSource\n */\n", True),
        ("a.h", b"/* DO NOT EDIT THIS FILE - it is machine generated */\n#include <jni.h>\n", True),
        ("a.rb", b"# This file is auto-generated from the current state of the database.\n", True),
        ("a.ts", b"/* tslint:disable */\n/* This file was automatically generated by tool. */\n", True),
        ("a.js", b"x()\n//# sourceMappingURL=a.js.map\n", True),
        ("a.js", b"(function(){ var __webpack_require__ = 1 })()\n", True),
        ("a.py", b'"""Tools for code that is generated by other tools."""\n\nimport os\n', False),
        ("a.py", b"def f():\n    # Do not edit the list while it is being read.\n    pass\n", False),
        ("a.py", b'"""Read generated files."""\n' + b"x = 1\n" * 50 + b"# Code generated by x. DO NOT EDIT.\n", False),
        ("a.md", b"# Guide\n\nHow the reports are generated.\n", False),
    ],
)
def test_generated_by_content(path, data, expected):
    assert is_generated(path, data) is expected


def test_hardly_any_module_of_the_standard_library_is_called_generated():
    """Those that are, are: tables that tools wrote, which say so."""
    files = [path for path in STDLIB.rglob("*.py") if "site-packages" not in path.parts]
    found = {path.name for path in files if is_generated(path.name, path.read_bytes())}
    assert {"keyword.py", "token.py", "stringprep.py"} & found
    assert len(found) < len(files) / 100


def test_minified():
    script, python = language_named("JavaScript"), language_named("Python")
    code = b"var a=function(b){return b+1};" * 40
    assert is_minified(script, code) and not is_minified(script, code.replace(b";", b";\n"))
    assert not is_minified(python, b"x = 'a long line, but not so long'\n" * 20)
    assert is_minified(python, b"x = [" + b"1," * 20_000 + b"]\n")
    assert not is_minified(language_named("Markdown"), b"a paragraph " * 500)
    assert not is_minified(None, code)


def test_binary():
    assert is_binary(b"\x7fELF\0\0") and is_binary(bytes(range(32)) * 10)
    assert not is_binary(b"plain\ttext\r\n\x0c") and not is_binary("x = 'é'\n".encode("utf-16"))
    assert is_binary_name("a/B.PNG") and not is_binary_name("a.py") and not is_binary_name("png")
    assert is_pointer(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n") and not is_pointer(b"version 1\n")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("s = 'é'".encode(), "s = 'é'"),
        (b"\xef\xbb\xbfx = 1", "x = 1"),
        ("# coding: latin-1\ns = 'é'".encode("latin-1"), "# coding: latin-1\ns = 'é'"),
        (
            "# -*- coding: euc-jp -*-\ns = 'こんにちは世界'".encode("euc-jp"),
            "# -*- coding: euc-jp -*-\ns = 'こんにちは世界'",
        ),
        ("x = 'ü'".encode("utf-16"), "x = 'ü'"),
        (b"", ""),
    ],
)
def test_encodings(data, text):
    assert read_text(data)[0] == text


def cell(kind, source, **more):
    return {"cell_type": kind, "source": source, **more}


def test_notebooks():
    notebook = {
        "cells": [
            cell("markdown", ["# Title\n", "\n", "words"]),
            cell("code", ["x = 1\n", "x"], outputs=[{"data": {"image/png": "AAAA"}}]),
            cell("code", ""),
            cell("raw", "plain"),
            cell("code", "%%bash\nls"),
            cell("code", "print('```')"),
        ],
        "metadata": {"kernelspec": {"language": "julia"}},
    }
    assert read_notebook(json.dumps(notebook)) == (
        "# Title\n\nwords\n\n```julia\nx = 1\nx\n```\n\nplain\n\n```bash\n%%bash\nls\n```\n\n"
        "````julia\nprint('```')\n````\n"
    )
    old = {
        "worksheets": [
            {"cells": [{"cell_type": "heading", "level": 2, "source": "H"}, {"cell_type": "code", "input": "1"}]}
        ]
    }
    assert read_notebook(json.dumps(old)) == "## H\n\n```python\n1\n```\n"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 1}', "{" * 9999, '{"worksheets": 3}'])
def test_what_is_no_notebook(text):
    assert read_notebook(text) is None


@pytest.mark.parametrize("text", ['{"cells": [1, null, {"source": 3}, {"source": [1]}]}', '{"cells": []}'])
def test_a_notebook_with_nothing_in_it(text):
    assert read_notebook(text) == ""


def ordered(files):
    return dependency_order({path: (language_of(path, text.encode()).name, text) for path, text in files.items()})


@pytest.mark.parametrize(
    ("files", "first", "second"),
    [
        ({"a.py": "import b\n", "b.py": ""}, "b.py", "a.py"),
        ({"p/a.py": "from . import b\n", "p/b.py": ""}, "p/b.py", "p/a.py"),
        ({"p/a.py": "from ..q.b import x\n", "q/b.py": ""}, "q/b.py", "p/a.py"),
        ({"src/p/a.py": "from p.b import x\n", "src/p/b.py": ""}, "src/p/b.py", "src/p/a.py"),
        ({"a.c": '#include "inc/b.hpp"\n', "inc/b.hpp": ""}, "inc/b.hpp", "a.c"),
        ({"a.js": "const b = require('./lib/b')\n", "lib/b.js": ""}, "lib/b.js", "a.js"),
        ({"a.js": "import x from './lib'\n", "lib/index.js": ""}, "lib/index.js", "a.js"),
        ({"com/A.java": "import com.x.B;\n", "com/x/B.java": ""}, "com/x/B.java", "com/A.java"),
        ({"a.go": 'import (\n\t"x.org/m/util"\n)\n', "util/u.go": ""}, "util/u.go", "a.go"),
        ({"src/a.rs": "mod b;\n", "src/b.rs": ""}, "src/b.rs", "src/a.rs"),
        ({"src/a.rs": "use crate::c::D;\n", "src/c.rs": ""}, "src/c.rs", "src/a.rs"),
        ({"a.rb": "require_relative 'lib/b'\n", "lib/b.rb": ""}, "lib/b.rb", "a.rb"),
        ({"A.hs": "import qualified Data.B as B\n", "Data/B.hs": ""}, "Data/B.hs", "A.hs"),
        ({"test_a.py": "", "z.py": ""}, "z.py", "test_a.py"),
        ({"a.py": "", "README.md": ""}, "README.md", "a.py"),
    ],
)
def test_what_is_imported_comes_first(files, first, second):
    order = ordered(files)
    assert sorted(order) == sorted(files)
    assert order.index(first) < order.index(second)


@given(st.integers(2, 12), st.data())
def test_every_order_keeps_to_the_imports(count, data):
    """Modules that import only such with higher numbers: no circle, so every import must come before."""
    higher = [list(range(one + 1, count)) for one in range(count)]
    uses = [data.draw(st.sets(st.sampled_from(others)) if others else st.just(set())) for others in higher]
    names = data.draw(st.permutations([f"m{number}" for number in range(count)]))
    lines = [[f"import {names[two]}\n" for two in sorted(others)] for others in uses]
    files = {f"{name}.py": "".join(imports) for name, imports in zip(names, lines, strict=True)}
    order = ordered(files)
    assert sorted(order) == sorted(files)
    for one, others in enumerate(uses):
        for two in others:
            assert order.index(f"{names[two]}.py") < order.index(f"{names[one]}.py")
    assert ordered(dict(reversed(files.items()))) == order


def test_circles_and_files_that_import_themselves():
    order = ordered({"a.py": "import b\nimport a\n", "b.py": "import c\n", "c.py": "import a\n", "d.py": "import a\n"})
    assert sorted(order) == ["a.py", "b.py", "c.py", "d.py"] and order[-1] == "d.py"


def test_a_hundred_thousand_imports():
    """Of a file at most 400 count, and none behind its first 64 KiB."""
    files = {f"m{number}.py": "".join(f"import m{other}\n" for other in range(1000)) for number in range(200)}
    assert len(ordered(files)) == 200


@pytest.mark.parametrize("extension", [".h", ".m", ".pl", ".r", ".mod", ".cl", ".lean", ".inc", ".sql", ".v", ".py"])
@pytest.mark.parametrize("data", [b"\n" * 40_000, b" " * 40_000, b";" * 40_000, b"a.o" * 10_000, b"class a " * 4000])
def test_content_that_means_harm_is_read_in_reasonable_time(extension, data):
    language_of(f"a{extension}", data)
    is_generated(f"a{extension}", data)
    dependency_order({"a.py": ("Python", data.decode()), "b.c": ("C", data.decode())})


@pytest.mark.parametrize(
    "name", ["." * 100_000, "jquery" + "-1.1" * 5000 + "x.js", "react" + ".1" * 5000 + "!.js", "a/" * 2000]
)
def test_names_that_mean_harm(name):
    assert isinstance(is_vendored(name), bool) and isinstance(is_generated_name(name), bool)
    assert language_by_name(name) is None or name.endswith(".js")
