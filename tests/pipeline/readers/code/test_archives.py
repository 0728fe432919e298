"""Archives of source code: the same files from every kind of them, and nothing bad from those that mean harm."""

import io
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.readers import CodeReader, reader_for

MODES = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz", ".crate": "w:gz"}


def tar_bytes(files, top="demo-1.0/", mode="w"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(top + path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zip_bytes(files, top="demo-1.0/", compression=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for path, data in files.items():
            archive.writestr(top + path, data)
    return out.getvalue()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Write an archive."""
    folder = tmp_path_factory.mktemp("archives")

    def write(name: str, data: bytes) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


def fates(records):
    return {record.signals["path"]: (record.text, record.drop, record.error, record.license) for record in records}


@pytest.fixture(scope="module")
def expected(tmp_path_factory, write, files, read_all):
    return fates(read_all(CodeReader(), write(tmp_path_factory.mktemp("truth") / "demo", files))[0])


@pytest.mark.parametrize("suffix", [*MODES, ".tar.zst", ".zip", ".whl"])
def test_every_packing_gives_the_same_files(suffix, place, files, expected, read_all):
    if suffix in (".zip", ".whl"):
        data = zip_bytes(files)
    elif suffix == ".tar.zst":
        data = zstandard.ZstdCompressor().compress(tar_bytes(files))
    else:
        data = tar_bytes(files, mode=MODES[suffix])
    records, _ = read_all(CodeReader(), place(f"demo-1.0{suffix}", data))
    assert fates(records) == expected
    assert {record.signals["repository"] for record in records} == {"demo-1.0"}


def test_several_things_at_the_top_are_all_of_the_path(place, files, read_all):
    data = zip_bytes(
        {f"demo/{path}": data for path, data in files.items()} | {"demo-1.0.dist-info/x.py": b"x = 1\n"}, top=""
    )
    records, _ = read_all(CodeReader(), place("demo-1.0-py3-none-any.whl", data))
    assert {record.signals["repository"] for record in records} == {"demo"}
    assert {record.signals["path"] for record in records} == {f"demo/{path}" for path in files} | {
        "demo-1.0.dist-info/x.py"
    }


@settings(max_examples=15)
@given(split_bytes=st.integers(1, 200_000))
def test_zips_in_any_splits(place, files, read_all, split_bytes):
    path = place("splits.zip", zip_bytes(files))
    assert read_all(CodeReader(), path, split_bytes) == read_all(CodeReader(), path)


def test_a_license_behind_the_files_counts(place, kept, read_all):
    late = {path: data for path, data in kept.items() if path not in ("LICENSE", "pyproject.toml")} | {
        "LICENSE": kept["LICENSE"]
    }
    records, _ = read_all(CodeReader(), place("late.tar.gz", tar_bytes(late, mode="w:gz")))
    assert {record.license for record in records} == {"Apache-2.0"} and all(record.text for record in records)


def test_paths_that_lead_out_are_quarantined(place, read_all):
    evil = {"../../etc/evil.py": b"x = 1\n", "/abs.py": b"x = 1\n", "ok/../../x.py": b"x = 1\n"}
    for path in (place("evil.tar", tar_bytes(evil, top="")), place("evil.zip", zip_bytes(evil, top=""))):
        records, _ = read_all(CodeReader(unlicensed=True), path)
        assert [record.error for record in records] == ["read.path"] * 3
        assert not any(record.text for record in records)


def test_links_and_devices_are_counted_and_not_followed(place, read_all):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for kind, target in ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.LNKTYPE, "../x"), (tarfile.CHRTYPE, "")):
            info = tarfile.TarInfo(f"demo/link{kind.decode()}.py")
            info.type, info.linkname = kind, target
            archive.addfile(info)
        folder = tarfile.TarInfo("demo/sub")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    records, ignored = read_all(CodeReader(), place("links.tar", out.getvalue()))
    assert records == [] and ignored.total() == 4
    with zipfile.ZipFile(out := io.BytesIO(), "w") as archive:
        link = zipfile.ZipInfo("demo/link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert read_all(CodeReader(), place("links.zip", out.getvalue())) == ([], {"link": 1})


def test_bombs_are_given_up(place, read_all):
    """300 MiB of zeros in 300 KB: more than what an archive of any size may unpack to."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(300):
            archive.writestr(f"demo/{number}.py", bytes(1 << 20))
    records, _ = read_all(CodeReader(unlicensed=True), place("bomb.zip", out.getvalue()))
    assert records[-1].error == "read.bomb" and 250 <= len(records) <= 258
    packer = zstandard.ZstdCompressor()
    data = packer.compress(tar_bytes({"LICENSE": bytes(300 << 20), "a.py": b"x = 1\n"}))
    records, _ = read_all(CodeReader(), place("bomb.tar.zst", data))
    assert [record.error for record in records] == ["read.bomb"]


def test_one_member_over_the_limit_costs_itself(place, kept, read_all):
    big = {"big.py": b"x = 1\n" * (1 << 20), **kept}
    for path in (place("big.zip", zip_bytes(big)), place("big.tar.gz", tar_bytes(big, mode="w:gz"))):
        records, _ = read_all(CodeReader(), path)
        assert [record.drop for record in records if record.text is None] == ["read.large"]
        assert len(records) == len(big)


def test_an_encrypted_member_and_an_unknown_method(place, kept, read_all):
    for flag, method, reason in ((1, 8, "read.encrypted"), (0, 99, "read.compression")):
        data = bytearray(zip_bytes(kept))
        at = data.rindex(b"PK\x01\x02", 0, data.index(b"conf/a.yaml", data.index(b"PK\x01\x02")))
        local = struct.unpack_from("<I", data, at + 42)[0]
        for place_of_flags, place_of_method in ((at + 8, at + 10), (local + 6, local + 8)):
            struct.pack_into("<H", data, place_of_flags, flag)
            struct.pack_into("<H", data, place_of_method, method)
        records, _ = read_all(CodeReader(), place("odd.zip", bytes(data)))
        assert {record.signals["path"]: record.error for record in records if record.error} == {"conf/a.yaml": reason}
        assert sum(record.text is not None for record in records) == len(kept) - 1


def test_a_zip_that_was_cut_off_gives_what_is_there(place, kept, read_all):
    data = zip_bytes(kept)
    whole = {path: content.decode("latin-1") for path, content in kept.items()}
    for end in range(30, len(data), len(data) // 23):
        records, _ = read_all(CodeReader(unlicensed=True), place("cut.zip", data[:end]))
        assert records[-1].error in ("read.directory", "read.corrupt")
        for record in records:
            if record.text is not None:
                assert record.text == whole[record.signals["path"].removeprefix("demo-1.0/")]
    records, _ = read_all(CodeReader(unlicensed=True), place("cut.zip", data[: data.index(b"PK\x01\x02")]))
    assert sum(record.text is not None for record in records) == len(kept)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_that_was_cut_off_gives_what_is_there(mode, place, kept, read_all):
    first, *rest = kept.items()
    noise = {"noise.txt": random.Random(1).randbytes(1 << 20).hex()[: 1 << 20].encode()}
    data = tar_bytes(dict([first]) | noise | dict(rest), mode=mode)
    suffix = {"w": ".tar", "w:gz": ".tar.gz", "w:bz2": ".tar.bz2", "w:xz": ".tar.xz"}[mode]
    for end in (len(data) // 2, len(data) * 2 // 3):
        records, _ = read_all(CodeReader(unlicensed=True), place(f"cut{suffix}", data[:end]))
        assert records[-1].error == "read.truncated"
        if mode in ("w", "w:gz"):  # the others pack nearly a megabyte at a time
            assert records[0].text == first[1].decode()


@settings(max_examples=60)
@given(st.data())
def test_no_flipped_byte_is_too_much(place, kept, read_all, data):
    suffix = data.draw(st.sampled_from([".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz"]))
    made = zip_bytes(kept) if suffix == ".zip" else tar_bytes(kept, mode={".tar": "w"}.get(suffix, f"w:{suffix[5:]}"))
    broken = bytearray(made)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(made) - 1))] ^= data.draw(st.integers(1, 255))
    records, _ = read_all(CodeReader(unlicensed=True), place(f"flipped{suffix}", bytes(broken)))
    assert all(record.text is not None or record.drop or record.error for record in records)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar", "x.tar.xz"])
@pytest.mark.parametrize("data", [b"", b"PK", b"no archive at all, only words" * 50, bytes(2000)])
def test_what_is_no_archive(name, data, place, read_all):
    records, _ = read_all(CodeReader(), place(name, data))
    assert not any(record.text for record in records)
    assert all(record.error for record in records)
    assert records or not data.strip(b"\0")


def test_suffixes_that_tell_the_reader():
    assert reader_for("dist/demo-1.0-py3-none-any.whl") == "code" and reader_for("demo-1.0.crate") == "code"
    assert reader_for("papers.tar.gz") is None
