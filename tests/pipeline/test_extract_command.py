"""`gristmill extract` as people meet it: what it prints, what it refuses, and what a page can do to a terminal."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.extract import main_text
from pipeline.extract.command import Extraction, InputError

SENTENCE = "Dieser Satz gehört zum Text der Seite, und er ist lang genug, um dafür genommen zu werden. "
PAGE = f"""<html lang=de><head><title>Titel | Blatt</title><meta name=author content="Ä. Beispiel">
<meta property=og:site_name content=Blatt><meta property=og:type content=article></head><body><nav><a href=/>Start</a>
</nav><article><h1>Titel</h1><p>{SENTENCE * 3}</p><p>{SENTENCE * 2}\u202e!</p></article></body></html>"""
URL = "https://blatt.example/2020/03/04/titel"


@pytest.fixture
def page(tmp_path):
    file = tmp_path / "page.html"
    file.write_text(PAGE)
    return file


@pytest.fixture
def gristmill(capsys, monkeypatch):
    """Run the command in this process; gives the exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["gristmill", "extract", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


def test_a_page_is_printed_as_its_main_text(gristmill, page):
    code, out, _ = gristmill(page)
    assert (code, out) == (0, main_text(PAGE) + "\n")
    assert out.count("Dieser Satz") == 5 and "Start" not in out
    assert gristmill(page, "--format", "markdown")[1].startswith("# Titel\n\nDieser Satz")


def test_json_has_what_the_page_says_of_itself(gristmill, page):
    code, out, _ = gristmill(page, "--format", "json", "--url", URL, "--preset", "quality", "--favor", "recall")
    (line,) = out.splitlines()
    row = json.loads(line)
    assert code == 0 and 0.5 < row.pop("confidence") <= 1
    assert row == {
        "origin": str(page),
        "url": URL,
        "encoding": "utf-8",
        "title": "Titel",
        "author": "Ä. Beispiel",
        "published": "2020-03-04",
        "declared_language": "de",
        "canonical_url": None,
        "license": None,
        "site": "Blatt",
        "page_type": "article",
        "text": main_text(PAGE, "quality"),
    }


def test_standard_input_in_an_encoding_that_nobody_says(page):
    command = [str(Path(sys.executable).parent / "gristmill"), "extract", "-"]
    pages = PAGE.replace("\u202e", "").encode("cp850")
    done = subprocess.run([*command, "--encoding", "cp850"], input=pages, capture_output=True, check=True)
    assert done.stdout.decode().count("gehört zum Text") == 5
    nothing = subprocess.run(command, input=b"", capture_output=True)
    assert (nothing.returncode, nothing.stderr) == (2, b"standard input is empty\n")


def test_archives_and_several_files_give_a_line_for_each_page(gristmill, page, tmp_path):
    archive = tmp_path / "crawl.warc"
    records = []
    for kind, status, body in (
        ("text/html", "200 OK", PAGE),
        ("text/html", "404 Not Found", "gone"),
        ("text/plain", "200 OK", "Only text."),
    ):
        http = f"HTTP/1.1 {status}\r\nContent-Type: {kind}; charset=utf-8\r\n\r\n{body}".encode()
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {URL}\r\nContent-Length: {len(http)}\r\n"
        records.append(head.encode() + b"Content-Type: application/http; msgtype=response\r\n\r\n" + http + b"\r\n\r\n")
    archive.write_bytes(b"".join(records) + b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 9\r\n\r\ncut")
    gristmill(page)  # which says that it compiles if nobody did before
    code, out, err = gristmill(archive, page, "--format", "json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and err == "1 records are no pages: read.status\n"
    assert [row["origin"].removeprefix(str(tmp_path)) for row in rows] == [
        "/crawl.warc#0",
        f"/crawl.warc#{len(records[0]) + len(records[1])}",
        f"/crawl.warc#{sum(map(len, records))}",
        "/page.html",
    ]
    assert rows[0]["text"] == rows[3]["text"] == main_text(PAGE) and rows[0]["published"] == "2020-03-04"
    assert rows[1]["text"] == "Only text." and rows[2]["error"] == "read.truncated"


def test_a_page_does_not_command_the_terminal(gristmill, page):
    """Text that is piped stays as it is; JSON can spell out anything, and always does."""
    assert "\u202e" in gristmill(page)[1]
    code, out, _ = gristmill(page, "--format", "json")
    assert "\u202e" not in out and "\u202e" in json.loads(out)["text"]
    (shown,) = Extraction([str(page)], "balanced", "balanced", "text", None, None).outputs(terminal=True)
    assert "\u202e" not in shown and "\\u202e!" in shown and "\n\n" in shown


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")
def test_a_terminal_is_known_when_there_is_one(page):
    import pty

    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).parent / "gristmill"), "extract", str(page)]
    subprocess.run(command, stdout=theirs, check=True)
    os.close(theirs)
    assert "\\u202e!" in os.read(ours, 1 << 16).decode()
    os.close(ours)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pag.html"], "no file {folder}/pag.html; did you mean 'page.html'?"),
        (["nowhere/page.html"], "no file {folder}/nowhere/page.html"),
        (["."], "{folder}/.: Is a directory"),
        (["empty.html"], "{folder}/empty.html is empty"),
        (["rows.jsonl"], "{folder}/rows.jsonl: pages are in HTML files and web archives"),
        (["page.html", "--preset", "balaced"], "--preset: there is no 'balaced'; did you mean 'balanced'?"),
        (["page.html", "--favor", "x"], "--favor: there is no 'x'; choose from: balanced, precision, recall"),
        (["page.html", "--format", "jsn"], "--format: there is no 'jsn'; did you mean 'json'?"),
        (["page.html", "--encoding", "utf-88"], "--encoding: there is no 'utf-88'"),
        (["page.html", "--encoding", "base64"], "--encoding: there is no 'base64'"),
        (["page.html", "page.html"], "several pages are written as --format json, a line for each"),
        (["page.html", "page.html", "--format", "json", "--url", URL], "--url is for one page, not for several"),
    ],
)
def test_what_cannot_work_is_said(gristmill, page, arguments, message):
    folder = page.parent
    (folder / "empty.html").touch()
    (folder / "rows.jsonl").write_text("{}")
    files = [
        f"{folder}/{word}" if word[0] != "-" and "html" in word or word in (".", "rows.jsonl") else word
        for word in arguments
    ]
    assert gristmill(*files) == (2, "", message.format(folder=folder) + "\n")


def test_the_first_page_tells_what_takes_so_long(gristmill, page, tmp_path, monkeypatch):
    """Whether something is compiled is known by a mark in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, second = gristmill(page), gristmill(page)
    assert "once on this machine" in first[2] and second[2] == ""
    assert first[:2] == second[:2]


def test_settings_are_checked_before_files_are_read(tmp_path):
    with pytest.raises(InputError, match="--preset"):
        Extraction([str(tmp_path / "none.html")], "x", "balanced", "text", None, None)
