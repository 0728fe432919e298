"""Tar archives: the members that the standard library finds, and more where it gives up."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.readers.tar import entries, inside
from pipeline.readers.windows import window

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def archive(files, form=tarfile.GNU_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        for name, data in files:
            info = tarfile.TarInfo(name)
            if data is None:
                info.type = tarfile.DIRTYPE
                made.addfile(info)
            else:
                info.size = len(data)
                made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def contents(data, **options):
    raw = window(io.BytesIO(data))
    return [
        (entry.name, raw.peek(entry.start, entry.size)) if entry.error is None else entry.error
        for entry in entries(raw, **options)
        if entry.file or entry.error
    ]


@given(
    files=st.lists(st.tuples(st.text("abcé/", min_size=1, max_size=90), st.binary(max_size=1200)), max_size=8),
    form=st.sampled_from(list(FORMATS)),
)
def test_members_are_those_of_the_standard_library(files, form):
    files = [(f"x{name}y" * (3 if form != "ustar" else 1), data) for name, data in files]
    data = archive(
        [(name.replace("//", "/"), data) for name, data in files if len(name.encode()) < 90 or form != "ustar"],
        FORMATS[form],
    )
    with tarfile.open(fileobj=io.BytesIO(data)) as theirs:
        expected = [(member.name, theirs.extractfile(member).read()) for member in theirs if member.isfile()]
    assert contents(data) == expected


def test_folders_and_links_have_no_bytes():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"of type {kind.decode()}")
            info.type, info.linkname, info.size = kind, "/etc/passwd", 700
            made.addfile(info)
        info = tarfile.TarInfo("last")
        info.size = 3
        made.addfile(info, io.BytesIO(b"end"))
    assert contents(out.getvalue()) == [("last", b"end")]


def test_damage_costs_only_the_members_it_hit():
    files = [(f"{i}.tex", bytes([65 + i]) * 700) for i in range(5)]
    data = bytearray(archive(files))
    size = 512 + 1024
    data[2 * size : 2 * size + 100] = b"\xff" * 100  # the name of the third: its check sum is wrong
    assert contents(bytes(data)) == [*files[:2], "garbage", *files[3:]]
    whole = archive(files)
    assert contents(whole[: 2 * size + 800]) == [*files[:2], "truncated"]
    assert contents(whole[: 2 * size + 100]) == [*files[:2], "truncated"]


def test_archives_one_behind_another_are_one():
    first, second = [("a", b"1")], [("b", b"2")]
    assert contents(archive(first) + archive(second)) == first + second


def test_an_extended_header_of_any_size_is_not_believed():
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    assert contents(info.tobuf(tarfile.USTAR_FORMAT) + b"\0" * 2048) == ["garbage"]


def test_a_limit_ends_the_walk():
    data = archive([("a", b"1"), ("b", b"x" * 5000), ("c", b"3")])
    assert contents(data, limit=4000) == [("a", b"1"), "too_large"]
    assert contents(archive([("a", b"1")]) + b"\0" * 100_000, limit=50_000)[-1] == "too_large"


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "..", ".", "a\0b"])
def test_names_that_lead_out_are_not_taken(name):
    assert inside(name) is None


def test_names_are_put_in_order():
    assert inside("./a//b/../c.tex") == "a/c.tex"
