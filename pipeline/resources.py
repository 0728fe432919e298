"""Where the recipes and the demo's corpus lie: at the top of a checkout, or inside the installed wheel."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent


def folder(name: Literal["configs", "data"]) -> Path:
    """Return the folder of recipes (`configs`) or of the demo's corpus builder (`data`).

    Raises FileNotFoundError where neither a checkout nor a wheel has it, which means that the installation is broken.
    """
    # A checkout is known by its pyproject.toml: beside an installed package, a folder `data` could be a stranger's.
    checkout, wheel = _PACKAGE.parent, _PACKAGE / name
    if (checkout / "pyproject.toml").is_file() and (checkout / name).is_dir():
        return checkout / name
    if wheel.is_dir():
        return wheel
    raise FileNotFoundError(
        f"the folder '{name}' of gristmill is neither at {checkout / name} nor at {wheel}; "
        "reinstall with: pip install --force-reinstall --no-deps gristmill"
    )
