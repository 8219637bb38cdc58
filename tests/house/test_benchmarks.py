"""The benchmarks measure what they say; no test here looks at a clock."""

import math

import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from speed import bench
from speed.growth import measure
from speed.losses import naive
from speed.published_fusers import FUSERS
from speed.timing import ConvolutionRecorder, Row, best_seconds, convolution_limit, peak_bytes

from pgmif_core.losses import weighted_gradient_loss
from pgmif_core.networks.generator import Generator
from pgmif_core.training.settings import TrainingSettings

PARAMETERS = {"PMGI": 41_633, "DenseFuse": 74_193, "IFCNN": 83_587, "U2Fusion": 659_217}


@pytest.mark.parametrize("name", FUSERS)
def test_published_networks_have_their_published_size_and_fuse(name):
    network = FUSERS[name]()
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS[name]
    assert network.eval()(torch.rand(1, 2, 20, 26)).shape == (1, 1, 20, 26)


def test_every_convolution_is_recorded_forward_and_backward():
    generator = Generator(channels=4)
    sources = torch.rand(1, 2, 16, 16)
    with ConvolutionRecorder() as recorder:
        generator(sources).sum().backward()
    kinds = [function is torch.ops.aten.convolution.default for function, _ in recorder.calls]
    assert kinds.count(True) == kinds.count(False) == 2 * 3 + 4  # encoders; joint, join (two), image
    with torch.inference_mode(), ConvolutionRecorder() as recorder:
        generator.eval()(sources)
    assert len(recorder.calls) == 10


def test_the_limit_is_below_the_work():
    layer = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1))
    image = torch.rand(4, 8, 96, 96)

    def work():
        hidden = layer(image)
        for _ in range(20):  # what a limit of bare convolutions leaves out
            hidden = hidden.sigmoid()
        hidden.sum().backward()

    whole, bare = convolution_limit(work, 3)
    assert 0 < bare < whole
    with pytest.raises(ValueError, match="found none"):
        convolution_limit(lambda: image.sum(), 1)


def test_works_take_turns():
    order = []
    times = best_seconds([lambda: order.append("a"), lambda: order.append("b")], 2, 3)
    assert "".join(order) == "aaabbb" * 2
    assert all(0 <= t < math.inf for t in times)


def test_peak_memory_is_what_is_held_at_one_time():
    def work():
        first = torch.ones(2**20)  # 4 MiB
        second = first + 1
        del first
        return second + 1

    assert peak_bytes(work) == pytest.approx(2 * 2**22, rel=0.01)


def test_the_naive_loss_is_the_same_loss():
    fused, sources = torch.rand(2, 1, 9, 11), torch.rand(2, 3, 9, 11)
    weights = (1.0, 8.0, 2.0)
    torch.testing.assert_close(naive(fused, sources, weights),
                               weighted_gradient_loss(fused, sources, weights, 0.03))


def test_literal_cnr_and_q_are_those_of_the_package():
    import numpy as np
    from speed.metrics import literal_cnr, literal_sobel

    from pgmif_core.metrics.paper import contrast_to_noise_ratio, generalized_sobel

    rng = np.random.default_rng(0)
    fused, source = rng.random((2, 2, 9, 7))
    source[0, :4] = 0.5  # flat: edges of strength 0
    tumour, reference = rng.random((2, 2, 9, 7)) < 0.4
    reference &= ~tumour
    assert literal_cnr(fused, tumour, reference) == pytest.approx(
        contrast_to_noise_ratio(fused, tumour, reference))
    assert literal_sobel(fused, source, tumour) == pytest.approx(
        generalized_sobel(fused, source, tumour))


def test_growth_is_measured_on_a_store_that_takes_no_room():
    found = measure(100)
    assert found["batch"] > 0
    assert found["mib"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_nothing_is_claimed(monkeypatch, capsys, root):
    from speed import gpu

    before = (root / "benchmarks" / "gpu.csv").exists()
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    assert gpu.main() == 2
    assert "found none: not measured" in capsys.readouterr().err
    assert (root / "benchmarks" / "gpu.csv").exists() == before


ROWS = [Row("a: fast", 1.0, "ms", 0.9, "≤ 1"), Row("b: slow", 2.0, "ms", 3.0, "≥ 5"),
        Row("c", 3.0, "s"), Row("d", 1.0, "s", 1.2)]


def test_rows_say_whether_they_hold():
    table = bench.table_of(ROWS)
    assert list(table.columns) == ["name", "value", "unit", "ratio", "target", "holds"]
    assert table["holds"].tolist() == ["yes", "no", "", ""]
    figure = bench.figure_of(table, "a machine")
    texts = [t.get_text() for t in figure.findobj(plt.Text)]
    assert {"a: fast", "b: slow", "3.00"} <= set(texts)
    assert "c" not in texts
    plt.close(figure)


def test_only_a_broken_benchmark_fails(monkeypatch, capsys, tmp_path):
    def broken():
        raise RuntimeError("no such thing")

    monkeypatch.setattr(bench, "find_root", lambda: tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # other tests follow in this process
    (tmp_path / "benchmarks").mkdir()
    slow = [Row("x", 9.0, "s", 9.0, "≤ 1")]
    monkeypatch.setattr("sys.argv", ["bench.py"])
    monkeypatch.setattr(bench, "parts", lambda _: {"one": lambda: slow, "two": broken})
    assert bench.main() == 1
    said = capsys.readouterr()
    assert "two: broken: RuntimeError: no such thing" in said.err
    assert "≤ 1" in said.out
    assert not (tmp_path / "benchmarks" / "results.csv").exists()
    monkeypatch.setattr(bench, "parts", lambda _: {"one": lambda: slow})
    assert bench.main() == 0
    written = pd.read_csv(tmp_path / "benchmarks" / "results.csv")
    assert written["holds"].tolist() == ["no"]
    assert (tmp_path / "benchmarks" / "results.png").stat().st_size > 3000
    monkeypatch.setattr("sys.argv", ["bench.py", "three"])
    with pytest.raises(SystemExit):
        bench.main()


def test_what_is_measured_on_a_gpu_runs(monkeypatch):
    from speed import gpu

    monkeypatch.setattr(gpu.torch.accelerator, "synchronize", lambda _: None)
    monkeypatch.setattr(gpu, "seconds_each", lambda work, *_: work() is None or 0.01)
    monkeypatch.setattr(gpu, "PAPER", TrainingSettings(batch_size=32, channels=2))
    rows = gpu.rows("cpu")
    assert [row["name"].split(",")[0] for row in rows] == [
        *["training iteration", "14"] * 2, "fusing 1 pair", "fusing 44 pairs"]
    assert [row.get("paper") for row in rows] == [60, None, 60, None, 100, None]
