
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from pgmif_core.methods.names import SHOWN
from pgmif_core.methods.registry import METHODS, compared_methods
from pgmif_core.networks.generator import Generator, PatchDiscriminator
from pgmif_core.networks.weights import load_generator, write_weights
from pgmif_core.training.settings import TrainingSettings, content_loss

RULES = [n for n, m in METHODS.items() if m.kind not in ("learned", "fitted", "classical")]


@pytest.mark.parametrize("modalities", [2, 3])
@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (192, 168)])
@pytest.mark.parametrize("start", ["mean", "none"])
def test_generator_keeps_any_shape(modalities, shape, start):
    generator = Generator(modalities, 4, start).eval()
    fused = generator(torch.rand(1, modalities, *shape))
    assert fused.shape == (1, 1, *shape)
    assert (fused > 0).all()
    assert (fused < 1).all()


def test_mean_start_begins_at_the_average():
    sources = torch.rand(2, 2, 20, 24) * 0.9 + 0.05
    fused = Generator(2, 4, "mean").eval()(sources)
    torch.testing.assert_close(fused, sources.mean(dim=1, keepdim=True))


def test_generator_refuses_what_it_cannot_fuse():
    with pytest.raises(ValueError, match="at least two modalities"):
        Generator(1)
    with pytest.raises(ValueError, match="start must be one of"):
        Generator(2, start="zero")
    with pytest.raises(ValueError, match="fuses 2 modalities, found 3"):
        Generator(2, 4)(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("method", ["pgmif", "gmmci", "dlmwl"])
@pytest.mark.parametrize("modalities", [2, 3])
def test_every_source_receives_gradient_through_the_generator(method, modalities):
    generator = Generator(modalities, 4)
    torch.nn.init.normal_(generator.decoder.image.weight, std=0.1)
    weights = (1.0, 8.0, 2.0)[:modalities]
    loss = content_loss(TrainingSettings(method, modalities, gradient_weights=weights))
    sources = torch.rand(2, modalities, 16, 16, requires_grad=True)
    loss(generator(sources), sources.detach()).backward()
    assert (sources.grad.abs().amax(dim=(0, 2, 3)) > 0).all()
    for encoder in generator.encoders:
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_discriminators_do_not_leak_into_each_other():
    first, second = PatchDiscriminator(4), PatchDiscriminator(4)
    first(torch.rand(1, 1, 32, 32)).mean().backward()
    assert all(p.grad is None for p in second.parameters())
    assert first(torch.rand(2, 1, 65, 48)).shape[:2] == (2, 1)


def as_sources(array):
    return torch.from_numpy(array[None])


images = arrays(np.float64, st.tuples(st.integers(2, 3), st.integers(10, 13), st.integers(9, 12)),
                elements=st.floats(0, 1, width=16))


@settings(max_examples=40, deadline=None)
@given(images)
def test_rules_by_their_equations(array):
    x = as_sources(array)
    moi, pwa, mean = (METHODS[n](x)[0, 0].numpy() for n in ("moi", "pwa", "average"))
    assert (moi >= array - 1e-12).all()
    np.testing.assert_allclose(moi, array.max(axis=0))
    assert (pwa <= array.max(axis=0) + 1e-9).all()
    assert (pwa >= array.min(axis=0) - 1e-9).all()
    np.testing.assert_allclose(mean, array.mean(axis=0))
    total = array.sum(axis=0)
    literal = np.divide((array * array).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    np.testing.assert_allclose(pwa, literal, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(images, st.sampled_from(RULES), st.sampled_from([2, 3]))
def test_rules_commute_with_flips(array, name, axis):
    x = as_sources(array)
    torch.testing.assert_close(METHODS[name](x.flip(axis)).flip(axis), METHODS[name](x))


def test_controls_against_scipy():
    x = as_sources(np.random.default_rng(0).random((2, 21, 17)))
    expected = ndimage.gaussian_filter(x[0, 1].numpy(), 1.0, mode="nearest")
    blurred = METHODS["t2w_blurred"](x)[0, 0].numpy()
    np.testing.assert_allclose(blurred, expected, atol=1e-12)
    sharp = np.clip(2 * x[0, 1].numpy() - blurred, 0, 1)
    np.testing.assert_allclose(METHODS["t2w_sharpened"](x)[0, 0].numpy(), sharp, atol=1e-12)


def test_one_modality_and_missing_weights_are_refused():
    for name in METHODS:
        with pytest.raises(ValueError, match="modality ≥ 2"):
            METHODS[name](torch.rand(1, 1, 8, 8))
    with pytest.raises(ValueError, match="pass weights="):
        METHODS["pgmif"](torch.rand(1, 2, 8, 8))


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


# mean, SD and one pixel, torch 2.13.0 on CPU: changes only with the architecture
GOLDEN = [0.53204, 0.00201, 0.53202]


def test_golden_output_of_a_fixed_generator():
    with torch.random.fork_rng():
        torch.manual_seed(7)
        generator = Generator(2, 4, "none").eval()
        with torch.inference_mode():
            fused = generator(torch.linspace(0, 1, 2 * 16 * 12).reshape(1, 2, 16, 12))
    values = [float(fused.mean()), float(fused.std()), float(fused[0, 0, 5, 7])]
    assert values == pytest.approx(GOLDEN, abs=2e-4)



def test_a_third_modality_is_a_row_of_its_own():
    x = torch.rand(2, 3, 9, 7)
    rows = compared_methods(("T1w", "T2w", "CT"))
    assert list(rows)[:4] == ["t1w", "t2w", "ct", "pgmif"]
    assert set(rows) - set(METHODS) == {"ct"}
    for position, name in enumerate(("t1w", "t2w", "ct")):
        torch.testing.assert_close(rows[name](x)[:, 0], x[:, position])
    assert [n for n in SHOWN if n in rows] == list(rows)
    assert compared_methods(("T1w", "T2w")).keys() == METHODS.keys()
