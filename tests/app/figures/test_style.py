"""Figures are saved with their numbers, shown once, and take a style of one's own."""

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from pgmif.figures.style import new_figure, save_figure, style_values


def test_save_figure_writes_raster_vector_and_numbers(tmp_path):
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    path = save_figure(figure, tmp_path, "x", pd.DataFrame({"a": [1]}), dpi=50)
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "x.pdf").read_bytes()[:4] == b"%PDF"
    assert (tmp_path / "x.csv").read_text() == "a\n1\n"
    assert len(list(tmp_path.iterdir())) == 3
    plt.close("all")


def test_figures_show_once_under_any_backend():
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    figure, axes = new_figure(2, 2)
    axes[0, 0].plot([0, 1])
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == before, "pyplot, and so a notebook's backend, knows nothing of it"


def test_a_style_file_of_ones_own_goes_over_ours(tmp_path):
    style = tmp_path / "journal.mplstyle"
    style.write_text("# mine\nfont.size: 11\naxes.spines.top: True\n")
    values, ours = style_values(str(style)), style_values()
    assert values["font.size"] == 11
    assert values["axes.spines.top"]
    assert values["axes.titlesize"] == ours["axes.titlesize"]
    assert ours["font.size"] == 8
    with pytest.raises(ValueError, match="expected a matplotlib style file, found none"):
        style_values(str(tmp_path / "gone.mplstyle"))
    style.write_text("font.sise: 11\n")
    with pytest.raises(ValueError, match=r"does not know font\.sise"):
        style_values(str(style))
