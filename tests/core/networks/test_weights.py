"""Files of weights: written, read back, and refused where they are foreign or damaged."""

import json
import math
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import load_file, save_file

from pgmif_core.methods.registry import METHODS
from pgmif_core.networks.generator import Generator
from pgmif_core.networks.weights import load_generator, write_weights
from pgmif_core.training.settings import TrainingSettings


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
    # sums of infinities of both signs
    lambda n, t: t.sign() * 3e38 if t.is_floating_point() and "running" not in n else t,
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


def test_weights_round_trip(tmp_path):
    generator = Generator(3, 4)
    torch.nn.init.normal_(generator.decoder.image.weight)
    settings = asdict(TrainingSettings(modalities=3))
    path = write_weights(generator, settings, tmp_path / "w.safetensors", 200)
    sources = torch.rand(5, 3, 30, 22)
    with torch.inference_mode():
        expected = generator.eval()(sources)
    torch.testing.assert_close(METHODS["pgmif"](sources, path), expected)


def test_foreign_and_broken_weights_are_refused(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(ValueError, match="found no file"):
        load_generator(tmp_path / "none.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_text("not weights")
    with pytest.raises(ValueError, match="expected safetensors"):
        load_generator(text)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(2)}, foreign)
    with pytest.raises(ValueError, match="written by pgmif"):
        load_generator(foreign)
    for described in ("nonsense", '{"depth": 4}', "[1, 2]", '{"modalities": 1}'):
        stranger = tmp_path / "stranger.safetensors"
        save_file({"x": torch.zeros(2)}, stranger, {"generator": described})
        with pytest.raises(ValueError, match="expected the description of a generator"):
            load_generator(stranger)
    misfit = tmp_path / "misfit.safetensors"
    save_file({"x": torch.zeros(2)}, misfit, {"generator": '{"modalities": 2, "channels": 4}'})
    with pytest.raises(ValueError, match="do not fit"):
        load_generator(misfit)


def test_the_same_weights_are_the_same_bytes(tmp_path):
    """What was made from a file of weights is known by its bytes."""
    generator = Generator(channels=4)
    settings = asdict(TrainingSettings(channels=4)) | {"sequences": ("T1w", "né")}
    written = [write_weights(generator, settings, tmp_path / f"{k}.safetensors", 7).read_bytes()
               for k in range(6)]
    assert len(set(written)) == 1
    kept = load_file(tmp_path / "0.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in generator.state_dict().items())
    assert load_generator(tmp_path / "5.safetensors").sequences == ("T1w", "né")
