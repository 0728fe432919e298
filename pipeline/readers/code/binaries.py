"""What is no text: by the extension, so that it need not be read, or by its bytes; and text in whatever encoding."""

import posixpath
import re

from pipeline.readers.encoding import decode

_EXTENSIONS = frozenset(
    """
    7z a aab aac aif aiff apk ar arw avi avif blend bmp bz2 cab caf class cr2 crx cur db3 deb dex dll dmg doc
    docx dotx dwg dylib ear egg elf eot exe fbx flac flv gem gif glb gz h5 hdf5 heic icns ico ipa iso jar jfif
    jks jpe jpeg jpg jxl ka ko lz lz4 lzma m4a m4v mdb mid midi mkv mov mp3 mp4 mpeg mpg msi nef node npy npz
    nupkg o odp ods odt oga ogg ogv onnx opus otf pack parquet pch pcx pdb pdf pickle png ppt pptx psd pt pth
    ptx pyc pyd pyo rar rlib rmeta rpm safetensors sketch snk so sqlite sqlite3 swc swf tar tflite tga tgz tif
    tiff ttc ttf war wasm wav webm webp whl wma wmv woff woff2 xcf xls xlsx xz zip zst zstd
    """.split()
)
_CONTROL = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LOOKED_AT = 8000  # as much as git looks at
_COOKIE = re.compile(rb"coding[=:][ \t]*([-\w.]+)")


def is_binary_name(path: str) -> bool:
    """Whether files of this name are never text."""
    return posixpath.splitext(path)[1][1:].lower() in _EXTENSIONS


def is_binary(data: bytes) -> bool:
    """Whether bytes are no text: a zero byte in the first 8,000, or many other control characters."""
    head = data[:_LOOKED_AT]
    if head.startswith(_UTF16):
        return len(head) % 2 == 1 and len(head) == len(data)
    return b"\0" in head or len(_CONTROL.findall(head)) > len(head) // 50


def read_text(data: bytes) -> tuple[str, str]:
    """The text of a source file and the name of its encoding: by its mark, as UTF-8, as its first lines declare (PEP
    263 and Emacs write `coding: latin-1`), or by detection."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        found = _COOKIE.search(b"\n".join(data[:400].split(b"\n", 2)[:2]))
        text, name = decode(data, found[1].decode() if found else None)
    else:
        name = "utf-8"
    return text.removeprefix("\ufeff").replace("\0", ""), name
