"""The file of a tree ensemble: trees are taken out of LightGBM and written as plain arrays, as `trees.py` reads them.

The file is a zip of `.npy` arrays without pickles, and its bytes depend on its content alone.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.extract.trees import Trees

_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def exported(dump: Mapping[str, Any]) -> Trees:
    """Return the trees of LightGBM's `Booster.dump_model()`; raises ValueError for splits that are no thresholds.

    Thresholds are rounded down to float32, which changes no decision about numbers that are float32 themselves.
    """
    nodes: list[tuple[int, np.float32, int]] = []

    def room(places: int) -> int:
        nodes.extend([(-1, np.float32(0), 0)] * places)
        return len(nodes) - places

    def put(part: Mapping[str, Any], place: int) -> None:
        if "split_feature" not in part:
            nodes[place] = (-1, np.float32(part["leaf_value"]), 0)
            return
        if part["decision_type"] != "<=" or part["missing_type"] != "None":
            raise ValueError(f"a split by '{part['decision_type']}' with missing values '{part['missing_type']}'")
        child = room(2)
        nodes[place] = (part["split_feature"], _rounded_down(part["threshold"]), child)
        put(part["left_child"], child)
        put(part["right_child"], child + 1)

    roots = []
    for tree in dump["tree_info"]:
        roots.append(room(1))
        put(tree["tree_structure"], roots[-1])
    feature, threshold, child = zip(*nodes, strict=True)
    return Trees(
        np.array(roots, np.int32),
        np.array(feature, np.int16),
        np.array(threshold, np.float32),
        np.array(child, np.int32),
    )


def _rounded_down(value: float) -> np.float32:
    rounded = np.float32(value)
    return rounded if float(rounded) <= value else np.nextafter(rounded, np.float32(-np.inf))


def write(path: Path, trees: Trees, features: Sequence[str], version: int, data: str) -> None:
    """Write a model; equal models give equal bytes.

    Args:
        features: the names of the columns, in order.
        version: that of the features.
        data: SHA-256 of what was learned from, in hexadecimal.
    """
    about = {"features": np.array(features, np.str_), "version": np.array(version), "data": np.array(data, np.str_)}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, array in {**trees._asdict(), **about}.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", _LONG_AGO), content.getvalue(), zipfile.ZIP_DEFLATED, 9)
    part = path.with_name(path.name + ".part")
    part.write_bytes(packed.getvalue())
    part.replace(path)
