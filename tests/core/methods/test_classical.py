"""Classical fusion methods, each beside an independent reference."""

import numpy as np
import pytest
import pywt
import scipy.sparse as sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.sparse.linalg import spsolve

from pgmif_core.methods.classical import (
    fused_gradient,
    gradient_domain,
    guided_filter,
    laplacian_pyramid,
    principal_components,
    solve_screened_poisson,
    wavelet,
)
from pgmif_core.methods.registry import METHODS

CLASSICAL = [n for n, m in METHODS.items() if m.kind == "classical"]
SHAPES = [(1, 2, 37, 52), (2, 3, 40, 33), (1, 2, 8, 9)]


def random_sources(shape, seed=0):
    noise = np.random.default_rng(seed).random(shape)
    return torch.from_numpy(ndimage.gaussian_filter(noise, (0, 0, 1, 1)))


def strongest(parts):
    stack = np.stack(parts)
    return np.take_along_axis(stack, np.abs(stack).argmax(axis=0)[None], axis=0)[0]


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(CLASSICAL), st.integers(2, 3), st.integers(4, 40), st.integers(4, 40),
       st.integers(0, 99), st.sampled_from([torch.float32, torch.float64]))
def test_any_size_any_number_of_sources(name, modalities, height, width, seed, dtype):
    sources = random_sources((2, modalities, height, width), seed).to(dtype)
    before = sources.clone()
    fused = METHODS[name](sources)
    assert fused.shape == (2, 1, height, width)
    assert fused.dtype == dtype
    assert fused.min() >= 0
    assert fused.max() <= 1
    assert torch.equal(sources, before)


@pytest.mark.parametrize("name", [n for n in CLASSICAL if n != "poisson"])
@pytest.mark.parametrize("shape", SHAPES)
def test_equal_sources_come_back(name, shape):
    one = random_sources(shape)[:, :1]
    torch.testing.assert_close(METHODS[name](one.expand(shape)), one, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", CLASSICAL)
def test_constant_sources_stay_constant(name):
    sources = torch.full((1, 2, 21, 30), 0.3)
    torch.testing.assert_close(METHODS[name](sources), sources[:, :1], atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", CLASSICAL)
def test_slices_do_not_influence_each_other(name):
    sources = random_sources((3, 2, 33, 41))
    together = METHODS[name](sources)
    alone = torch.cat([METHODS[name](sources[k : k + 1]) for k in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-9, rtol=0)


def test_laplacian_pyramid_by_scipy():
    def smaller(x):
        kernel = np.array([1, 4, 6, 4, 1]) / 16
        for axis in (0, 1):
            x = ndimage.correlate1d(x, kernel, axis=axis, mode="nearest")
        return x[::2, ::2]

    def larger(x, shape):
        padded = np.pad(x, 1, mode="edge")
        wide = np.zeros([2 * n for n in padded.shape])
        wide[::2, ::2] = padded
        for axis in (0, 1):  # zeros between samples, then twice the filter
            wide = ndimage.correlate1d(wide, np.array([1, 4, 6, 4, 1]) / 8, axis=axis, mode="constant")
        return wide[2 : 2 + shape[0], 2 : 2 + shape[1]]

    sources = random_sources((1, 2, 39, 32))
    images, details = list(sources[0].numpy()), []
    for _ in range(4):
        base = [smaller(x) for x in images]
        details.append(strongest([x - larger(s, x.shape) for x, s in zip(images, base, strict=True)]))
        images = base
    expected = np.mean(images, axis=0)
    for detail in reversed(details):
        expected = larger(expected, detail.shape) + detail
    result = laplacian_pyramid(sources)[0, 0].numpy()
    np.testing.assert_allclose(result, expected.clip(0, 1), atol=1e-12)


def test_laplacian_pyramid_is_not_shifted():
    rows, columns = torch.meshgrid(*(torch.arange(97.0) - 48,) * 2, indexing="ij")
    disc = 1 / (1 + ((rows**2 + columns**2).sqrt() - 20).exp())
    fused = laplacian_pyramid(torch.stack((disc, torch.full_like(disc, 0.4)))[None])[0, 0]
    torch.testing.assert_close(fused, fused.flip(0), atol=1e-5, rtol=0)
    torch.testing.assert_close(fused, fused.flip(1), atol=1e-5, rtol=0)
    ramp = (0.5 + rows / 200).expand(97, 97)
    fused = laplacian_pyramid(torch.stack((ramp, torch.full_like(ramp, 0.5)))[None])[0, 0]
    torch.testing.assert_close(fused[40:57], ((ramp + 0.5) / 2)[40:57], atol=2e-3, rtol=0)


def test_equal_sources_sharpen_each_other_in_the_gradient_domain():
    """√m times the gradient, as its authors have it: the tables' readers are told."""
    one = random_sources((1, 1, 20, 30))
    field = fused_gradient(one.expand(1, 3, 20, 30))
    torch.testing.assert_close(field.norm(), 3**0.5 * fused_gradient(one).norm())


def test_wavelet_by_single_levels():
    def fuse(images, level):
        if level == 0:
            return np.mean(images, axis=0)
        parts = [pywt.dwt2(x, "sym4") for x in images]
        bands = tuple(strongest([p[1][b] for p in parts]) for b in range(3))
        base = fuse([p[0] for p in parts], level - 1)
        shape = bands[0].shape
        return pywt.idwt2((base[: shape[0], : shape[1]], bands), "sym4")

    sources = random_sources((1, 2, 64, 71))
    levels = pywt.dwt_max_level(64, "sym4")
    assert levels >= 2
    expected = fuse(list(sources[0].numpy()), min(4, levels))[:64, :71].clip(0, 1)
    np.testing.assert_allclose(wavelet(sources)[0, 0].numpy(), expected, atol=1e-12)


def test_guided_filter_by_regression_in_every_window():
    def window(x, i, j, r):
        return x[max(0, i - r) : i + r + 1, max(0, j - r) : j + r + 1].ravel()

    def box(x, r):
        return np.array([[window(x, i, j, r).mean() for j in range(x.shape[1])]
                         for i in range(x.shape[0])])

    def guided(guide, image, r, epsilon):
        slope, offset = np.empty_like(image), np.empty_like(image)
        for i, j in np.ndindex(image.shape):
            g, p = window(guide, i, j, r), window(image, i, j, r)
            slope[i, j] = ((g * p).mean() - g.mean() * p.mean()) / (g.var() + epsilon)
            offset[i, j] = p.mean() - slope[i, j] * g.mean()
        return box(slope, r) * guide + box(offset, r)

    images = random_sources((1, 2, 17, 22), seed=3)[0].numpy()
    edges = [np.abs(ndimage.laplace(x, mode="nearest")) for x in images]
    salient = [ndimage.gaussian_filter(x, 5, mode="nearest", truncate=1) for x in edges]
    chosen = np.argmax(salient, axis=0)
    bases = [box(x, 15) for x in images]
    expected = np.zeros_like(images[0])
    for part, r, epsilon in ((bases, 45, 0.3), (images - np.array(bases), 7, 1e-6)):
        maps = [guided(x, (chosen == k).astype(float), r, epsilon) for k, x in enumerate(images)]
        maps = np.clip(maps, 0, 1)
        expected += (maps / maps.sum(axis=0) * np.array(part)).sum(axis=0)
    result = guided_filter(torch.from_numpy(images[None]))[0, 0].numpy()
    np.testing.assert_allclose(result, expected.clip(0, 1), atol=1e-9)


@pytest.mark.parametrize("shape", [(7, 9), (12, 5)])
def test_poisson_by_the_normal_equations(shape):
    rng = np.random.default_rng(1)
    field, towards, screening = rng.normal(size=(1, 2, *shape)), rng.random((1, 1, *shape)), 0.03
    field[:, 0, -1], field[:, 1, :, -1] = 0, 0
    height, width = shape

    def difference(n):  # forward, 0 in the last row
        return sparse.diags([np.r_[-np.ones(n - 1), 0], np.ones(n - 1)], [0, 1], format="csr")

    down = sparse.kron(difference(height), sparse.eye(width))
    right = sparse.kron(sparse.eye(height), difference(width))
    matrix = down.T @ down + right.T @ right + screening * sparse.eye(height * width)
    wanted = down.T @ field[0, 0].ravel() + right.T @ field[0, 1].ravel()
    expected = spsolve(matrix.tocsc(), wanted + screening * towards.ravel()).reshape(shape)
    result = solve_screened_poisson(torch.from_numpy(field), torch.from_numpy(towards), screening)
    np.testing.assert_allclose(result[0, 0].numpy(), expected, atol=1e-10)


def test_poisson_recovers_an_image_from_its_gradients():
    from pgmif_core.gradients import image_gradient

    image = random_sources((1, 1, 30, 41))
    result = solve_screened_poisson(image_gradient(image)[:, 0], image.mean().expand_as(image), 1e-6)
    torch.testing.assert_close(result, image, atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="screening must be positive"):
        solve_screened_poisson(image_gradient(image)[:, 0], image, 0.0)


def test_fused_gradient_by_svd():
    sources = random_sources((1, 3, 9, 11), seed=4)
    x = sources[0].numpy()
    field = fused_gradient(sources)[0].numpy()
    for i, j in np.ndindex(8, 10):
        jacobian = np.array([[s[i + 1, j] - s[i, j], s[i, j + 1] - s[i, j]] for s in x])
        _, values, directions = np.linalg.svd(jacobian)
        expected = values[0] * directions[0]
        if expected @ jacobian.mean(axis=0) < 0:
            expected = -expected
        np.testing.assert_allclose(field[:, i, j], expected, atol=1e-9)


def test_gradient_domain_keeps_edges_of_one_source_alone():
    step = torch.full((1, 2, 40, 40), 0.25)
    step[:, 1, :, 20:] = 0.75
    fused = gradient_domain(step)[0, 0]
    across = fused[:, 20] - fused[:, 19]
    torch.testing.assert_close(across, torch.full((40,), 0.5), atol=0.06, rtol=0)


def test_principal_components_by_svd():
    sources = random_sources((1, 3, 20, 31), seed=5)
    flat = sources[0].flatten(1).numpy()
    first = np.abs(np.linalg.svd((flat - flat.mean(axis=1, keepdims=True)).T)[2][0])
    expected = np.tensordot(first / first.sum(), sources[0].numpy(), 1)
    np.testing.assert_allclose(principal_components(sources)[0, 0].numpy(), expected, atol=1e-12)


def test_gradient_domain_with_weights_and_epsilon():
    sources = torch.rand(2, 3, 17, 22, generator=torch.Generator().manual_seed(0))
    plain = gradient_domain(sources)
    mean = sources.mean(1, keepdim=True)
    direct = solve_screened_poisson(fused_gradient(sources), mean, 0.05).clamp(0, 1)
    torch.testing.assert_close(plain, direct)
    torch.testing.assert_close(gradient_domain(sources, weights=(2, 2, 2)), plain)
    torch.testing.assert_close(gradient_domain(sources, epsilon=1e6), plain, atol=1e-5, rtol=0)
    one = gradient_domain(sources, weights=(0, 1, 0), screening=1e3)
    torch.testing.assert_close(one, sources[:, 1:2], atol=0.01, rtol=0)
    flat = gradient_domain(sources, epsilon=1e-6)
    assert flat.std() < 0.2 * plain.std(), "edges far above ε flatten to it"
    for bad in ({"weights": (1, 1)}, {"weights": (0, 0, 0)}, {"weights": (1, -1, 1)}, {"epsilon": 0},
                {"gain": -1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            gradient_domain(sources, **bad)
