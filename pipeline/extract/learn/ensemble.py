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
    feature: list[int] = []
    threshold: list[np.float32] = []
    children: list[list[int]] = []

    def add(part: Mapping[str, Any]) -> int:
        place = len(feature)
        children.append([-1, -1])
        if "split_feature" not in part:
            feature.append(-1)
            threshold.append(np.float32(part["leaf_value"]))
            return place
        if part["decision_type"] != "<=" or part["missing_type"] != "None":
            raise ValueError(f"a split by '{part['decision_type']}' with missing values '{part['missing_type']}'")
        feature.append(part["split_feature"])
        threshold.append(_rounded_down(part["threshold"]))
        children[place] = [add(part["left_child"]), add(part["right_child"])]
        return place

    roots = [add(tree["tree_structure"]) for tree in dump["tree_info"]]
    left, right = np.array(children, np.int32).reshape(-1, 2).T
    return Trees(
        np.array(roots, np.int32),
        np.array(feature, np.int32),
        np.array(threshold, np.float32),
        np.ascontiguousarray(left),
        np.ascontiguousarray(right),
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
