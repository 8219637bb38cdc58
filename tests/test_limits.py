"""Names, sizes and numbers that lead outside, fill the memory or are no numbers are refused at once."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from pgmif.cohort.manifest import ManifestError, read_manifest
from pgmif.runs.parameters import ParameterError, check_parameters, plain_yaml, read_parameters
from pgmif_core.files import remove, replacing, replacing_folder
from pgmif_core.methods.pgmif_plus import PlusSettings, read_settings
from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.generator import Generator
from pgmif_core.networks.weights import load_generator


@pytest.mark.parametrize("run",
    ["../../evil", "/abs", "..", "a/b", "x\ny", "{method}", "-rf", ".", "a b",
                                 ".hidden", "a\0b", "x" * 200, "a\n", "Ü"])
def test_a_run_is_called_by_a_plain_name(run):
    with pytest.raises(ParameterError, match="run: expected a plain name"):
        check_parameters({"run": run})


@pytest.mark.parametrize("run", ["", "phantom-smoke", "study_2.1", "7"])
def test_plain_names_pass(run):
    assert check_parameters({"run": run}).run == run


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["epsilon", "learning_rate", "reference_window_mm", "gradient_scale"])
def test_parameters_are_finite(name, value):
    with pytest.raises(ParameterError, match=name):
        check_parameters({name: value})


def test_lists_of_parameters_are_finite():
    with pytest.raises(ParameterError, match="gradient_weights"):
        check_parameters({"gradient_weights": [1.0, math.nan]})


@pytest.mark.parametrize("text", [
    "a: &a [1]\nrun: *a", "run: [", "run: !!python/object:os.system x", "- a\n- b", "run: \udcff",
    "x" * 2_000_000, "{" * 5000,
])
def test_hostile_parameter_files_are_refused_in_a_short_message(tmp_path, text):
    path = tmp_path / "p.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ParameterError) as refused:
        read_parameters(path)
    assert str(path) in str(refused.value)
    assert len(str(refused.value)) < 600


def test_references_grow_to_nothing(tmp_path):
    lines = ["profile: smoke", "a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{k}: &a{k} [{','.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 9)]
    (tmp_path / "b.yaml").write_text("\n".join([*lines, "run: *a8"]))
    with pytest.raises(ParameterError, match="reference"):
        read_parameters(tmp_path / "b.yaml")
    with pytest.raises(ParameterError, match="reference"):
        plain_yaml("[&x 1, *x]")


HEADER = "subject,split,T1w,T2w,gtv,source,license"


def manifest(folder, subject="s1", t1w="a1.nii.gz", header=HEADER, rows=None):
    for name in ("a1", "a2", "ag", "b1", "b2", "bg"):
        (folder / f"{name}.nii.gz").write_bytes(b"x")
    rows = rows or [f"{subject},train,{t1w},a2.nii.gz,ag.nii.gz,x,y",
                    "s2,test,b1.nii.gz,b2.nii.gz,bg.nii.gz,x,y"]
    (folder / "m.csv").write_bytes("\n".join([header, *rows, ""]).encode("utf-8", "surrogateescape"))
    return folder / "m.csv"


@pytest.mark.parametrize("changes", [
    {"t1w": "a\0b.nii.gz"}, {"t1w": "x" * 300 + ".nii.gz"}, {"t1w": "x/" * 2500}, {"t1w": "loop"},
    {"t1w": "a\udcff.nii.gz"}, {"t1w": "a\x07.nii.gz"}, {"subject": "s" * 300}, {"subject": "a\0"},
    {"subject": "../x"}, {"subject": "=1+1"}, {"header": ",".join(f"c{k}" for k in range(50_000))},
    {"rows": [f"s{k},train,a{k},b{k},c{k},x,y" for k in range(50_000)]},
])
def test_hostile_manifests_are_refused_in_a_short_message(tmp_path, changes):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    read_manifest(manifest(tmp_path))
    with pytest.raises(ManifestError) as refused:
        read_manifest(manifest(tmp_path, **changes))
    assert len(str(refused.value)) < 100_000


@pytest.mark.parametrize("name",
    ["NA", "null", "NaN", "None", "nan", "n-a", "N-A", "True", "1e5", "007"])
def test_names_that_look_like_nothing_are_names(tmp_path, name):
    from io import StringIO

    import pandas as pd

    from pgmif.runs.run import AS_WRITTEN
    from pgmif_core.evaluation.paired import measures_by_patient

    cohort = read_manifest(manifest(tmp_path, subject=name))
    assert cohort.subjects("train") == [name]
    cnr = pd.DataFrame([(s, m, 1.0) for s in (name, "s2") for m in ("pgmif", "t2w")],
                       columns=["subject", "method", "cnr"])
    q = pd.DataFrame([(s, m, r, 0.5) for s in (name, "s2") for m in ("pgmif", "t2w") for r in ("T1w",
        "T2w")],
                     columns=["subject", "method", "reference", "q"])
    tables = (pd.read_csv(StringIO(t.to_csv(index=False)), **AS_WRITTEN) for t in (cnr, q))
    assert set(measures_by_patient(*tables)["subject"]) == {name, "s2"}


GOOD = {"method": "pgmif_plus", "shares": [0.5, 0.5], "sequences": ["T1w", "T2w"]}


@pytest.mark.parametrize(("name", "value"), [
    ("shares", [math.nan, math.nan]), ("shares", ["a", "b"]), ("shares", [0.5, 0.5] + [0.0] * 5),
    ("shares", [1.5, -0.5]), ("shares", "ab"), ("shares", None), ("gain", 1e308), ("gain", math.inf),
    ("gain", True), ("gain", 0), ("calm_gain", math.nan), ("edge", 1e-308), ("screening", math.inf),
    ("screening", 1e-300), ("standardised", "no"), ("compressed", 1), ("tensor", None),
    ("sequences", "T1w"), ("sequences", [1, 2]), ("method", "pgmif"), ("unknown", 1),
])
def test_settings_of_pgmif_plus_are_checked(tmp_path, name, value):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(GOOD))
    fused = METHODS["pgmif_plus"](torch.rand(1, 2, 32, 32), read_settings(path))
    assert torch.isfinite(fused).all()
    path.write_text(json.dumps({**GOOD, name: value}))
    with pytest.raises(ValueError, match="settings of pgmif_plus"):
        read_settings(path)


def test_settings_made_in_code_are_checked_too():
    with pytest.raises(ValueError, match="gain"):
        PlusSettings((0.5, 0.5), gain=math.nan)


@pytest.fixture
def weights(tmp_path):
    """`write(tensors=…, **metadata)` writes weights with something changed."""
    generator = Generator(2, 4)
    meta = {"generator": json.dumps(generator.settings), "training": '{"method": "pgmif"}'}

    def write(change=lambda tensors: tensors, **metadata):
        tensors = {n: t.clone().contiguous() for n, t in generator.state_dict().items()}
        save_file(change(tensors), tmp_path / "w.safetensors", {**meta, **metadata})
        return tmp_path / "w.safetensors"
    assert load_file(write())
    return write


@pytest.mark.parametrize("settings", [
    {"modalities": 2, "channels": 8000}, {"modalities": 2, "channels": 10**9},
        {"modalities": 2, "channels": 0},
    {"modalities": 2, "channels": -4}, {"modalities": 2.5}, {"modalities": "2"}, {"modalities": True},
    {"modalities": 10**6}, {"modalities": 2, "channels": 4, "start": "x"}, {"x": 1}, [2, 4], None, "x",
])
def test_a_description_is_refused_before_memory_is_taken(weights, settings):
    load_generator(weights())
    with pytest.raises(ValueError, match="description of a generator"):
        load_generator(weights(generator=json.dumps(settings)))


@pytest.mark.parametrize("training", ["[1]", "5", "null", '{"sequences": 5}', '{"sequences": [1]}',
                                      '{"method": 3}', "{"])
def test_a_description_of_the_training_is_checked(weights, training):
    with pytest.raises(ValueError, match="description of a generator"):
        load_generator(weights(training=training))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_are_finite(weights, bad):
    def change(tensors):
        name = next(n for n, t in tensors.items() if t.is_floating_point())
        tensors[name].view(-1)[0] = bad
        return tensors
    with pytest.raises(ValueError, match="finite weights"):
        load_generator(weights(change))


@pytest.mark.parametrize("spoil", [
    lambda n, t: -t - 1 if n.endswith("running_var") else t,
    lambda n, t: t * 1e30 if t.is_floating_point() and "running" not in n else t,
])
def test_finite_weights_that_give_no_image_are_refused(weights, spoil):
    with pytest.raises(ValueError, match="expected weights that give an image"):
        load_generator(weights(lambda tensors: {n: spoil(n, t) for n, t in tensors.items()}))


@pytest.mark.parametrize("kind", [torch.complex64, torch.int32])
def test_weights_are_floating_numbers(weights, kind):
    def change(tensors):
        return {n: t.to(kind) if n.endswith("0.weight") else t for n, t in tensors.items()}
    with pytest.raises(ValueError, match="expected weights of floating numbers"):
        load_generator(weights(change))


@pytest.mark.parametrize("text", ['{"a":' * 50_000, '{"method": "pgmif_plus"', "[]", "\0"])
def test_damaged_settings_are_refused(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ValueError, match="expected settings of pgmif_plus"):
        read_settings(tmp_path / "s.json")


def test_left_overs_of_an_equal_process_number_are_replaced(tmp_path):
    import os

    for name in (f".{os.getpid()}-a.csv", f".{os.getpid()}-new-b", f".{os.getpid()}-former-b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left").write_text("x")
    with replacing(tmp_path / "a.csv") as temporary:
        temporary.write_text("new")
    for content in ("one", "two"):
        with replacing_folder(tmp_path / "b") as temporary:
            (temporary / "c").write_text(content)
    assert (tmp_path / "a.csv").read_text() == "new"
    assert (tmp_path / "b" / "c").read_text() == "two"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "b"]
    remove(tmp_path / "absent")


@pytest.mark.parametrize(("name", "value"), [
    ("seed", 10**23), ("slice_size", 10**6), ("dpi", 10**6), ("crop", 10**9), ("channels", 10**6),
    ("phantom_slices", 10**9),
])
def test_parameters_have_an_upper_end(name, value):
    with pytest.raises(ParameterError, match=name):
        check_parameters({name: value})


@pytest.mark.parametrize(("text", "value"), [
    ("1e-3", 1e-3), ("1e2", 100.0), ("-2.5E+1", -25.0), ("e3", "e3"),
])
def test_numbers_with_an_exponent_are_numbers(text, value):
    assert plain_yaml(text) == value
