"""What all tests share: the real test data if there, one Ray instance for the run, and reproducible random examples."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Read by torch when it is first imported: sums in one thread, so that results do not depend on the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# And by its compiler: it starts no processes of its own, which would outlive the tests.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
# Ray's name for "this machine only": it listens on the loopback address, and so do the processes that tests start.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes run the tests, those of a file share one, as they share what its fixtures made; and all
    that need Ray share one, since two instances would take twice the time to start."""
    for item in items:
        ray = "ray_session" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("ray" if ray else item.nodeid.partition("::")[0]))


@pytest.fixture(scope="session")
def test_data() -> Callable[[str], Path]:
    """Give the path of a file or folder of the real test data, or skip the test where that data is not there."""

    def find(name: str) -> Path:
        root = os.environ.get("GRISTMILL_TEST_DATA")
        if not root:
            pytest.skip(f"needs real data: {name} (set GRISTMILL_TEST_DATA to the folder that has it)")
        path = Path(root) / name
        if not path.exists():
            pytest.skip(f"needs real data: {name} is not under GRISTMILL_TEST_DATA")
        return path

    return find


@pytest.fixture(scope="session")
def lid_model(request: pytest.FixtureRequest) -> Path:
    """The language model: from the test data or the cache, else fetched; a test is skipped where it cannot be had."""
    from filters import assets

    if assets.cached(assets.LID176) is None:
        given = Path(os.environ.get("GRISTMILL_TEST_DATA", "")) / "C-lid176-ftz"
        if given.joinpath(assets.LID176).is_file():
            os.environ["GRISTMILL_ASSETS"] = str(given)
            request.addfinalizer(lambda: os.environ.pop("GRISTMILL_ASSETS"))
    try:
        return assets.path(assets.LID176)
    except assets.AssetError as error:
        pytest.skip(f"the language model cannot be had: {error}")


@pytest.fixture(scope="session")
def ray_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the one Ray instance of the test run: this machine's two workers, loopback only, no dashboard.

    It starts with the first test that asks for it. Tests in this process are connected already; another process
    connects with the address.
    """
    ray = pytest.importorskip("ray", reason="needs the extra [ray]")
    context = ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=128 * 2**20,
    )
    yield context.address_info["gcs_address"]
    ray.shutdown()


@pytest.fixture(scope="session")
def demo_corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The demo's corpus, built once: files by source (`web`, `code`, `docs`)."""
    import runpy

    from pipeline import resources

    build = runpy.run_path(str(resources.folder("data") / "corpus.py"))["build"]
    corpus: dict[str, list[Path]] = build(tmp_path_factory.mktemp("corpus"))
    return corpus


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument: compressed ones have a time in them, and processes must agree on names."""
    return argname if isinstance(val, bytes) else None
