"""The core never imports the application; every room imports only rooms on floors below it."""

import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def house(root):
    sys.path.insert(0, str(root / "scripts"))
    import house

    yield house
    sys.path.remove(str(root / "scripts"))


def test_the_core_imports_nothing_of_the_application(house):
    assert house.upward() == []


def test_floors_are_few_and_no_circle_is_there(house):
    for package, rooms in house.arrows().items():
        levels = house.floors(rooms)
        assert max(levels.values()) <= house.MOST_FLOORS[package], package
        assert all(levels[other] < levels[room] for room in rooms for other in rooms[room])


def test_a_circle_is_found(house):
    with pytest.raises(ValueError, match="a circle among a, b"):
        house.floors({"a": {"b"}, "b": {"a"}, "c": set()})


def test_the_command_prints_every_room_with_its_floor(root, house):
    done = subprocess.run([sys.executable, "scripts/house.py"], cwd=root, capture_output=True, text=True,
                          check=True)
    assert done.stdout.endswith("none upward, no circle\n")
    for package, rooms in house.arrows().items():
        assert f"{package}: {len(rooms)} rooms" in done.stdout
        assert all(f"  {room}" in done.stdout for room in rooms)


def test_the_page_and_the_picture_name_every_room(root, house):
    picture = (root / "docs/explanation/house.svg").read_text()
    for package, rooms in house.arrows().items():
        docstring = (root / package / "__init__.py").read_text()
        for room in rooms:
            assert f">{room}<" in picture, f"{room}: python scripts/house.py --picture …"
            assert room == "__main__" or f"`{room}`" in docstring, f"{package}: {room}"


@pytest.mark.parametrize("module", [
    "pgmif_core", "pgmif_core.networks", "pgmif_core.metrics", "pgmif_core.methods", "pgmif_core.images",
    "pgmif_core.training", "pgmif_core.evaluation", "pgmif_core.methods.names",
    "pgmif_core.images.modalities", "pgmif", "pgmif.runs.order", "pgmif.runs.parameters", "pgmif.cli",
])
def test_faces_and_tables_are_imported_without_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


FACES = """
import os
import pandas, scipy.ndimage, scipy.stats, SimpleITK, torch  # once; then each face in its own process
for name in ("networks", "metrics", "methods", "images", "training", "evaluation"):
    if os.fork() == 0:
        face = __import__(f"pgmif_core.{name}", fromlist=["__all__"])
        assert face.__all__, name
        missing = [n for n in face.__all__ if getattr(face, n, None) is None]
        assert not missing, (name, missing)
        os._exit(0)
    assert os.wait()[1] == 0, name
"""


def test_faces_give_what_they_list():
    subprocess.run([sys.executable, "-c", FACES], check=True)
