"""Parameters: names, kinds, limits, and files that are no parameters."""

import math
from typing import get_args

import pytest
import yaml

from pgmif.runs.parameter_files import plain_yaml, read_parameters
from pgmif.runs.parameters import (
    ParameterError,
    Parameters,
    check_parameters,
    notebook_parameters,
    parameter_line,
)
from pgmif.runs.root import find_root
from pgmif_core.images.regions import Choice
from pgmif_core.metrics.paper import Reading


def test_quick_yaml_lists_every_default(root):
    values = yaml.safe_load((root / "params" / "quick.yaml").read_text())
    assert values == Parameters().model_dump()


@pytest.mark.parametrize("profile", ["quick", "smoke", "paper"])
def test_profiles_are_valid(root, profile):
    assert read_parameters(root / "params" / f"{profile}.yaml").profile == profile


@pytest.mark.parametrize(("values", "message"), [
    ({"epsilonn": 0.1}, "did you mean 'epsilon'"),
    ({"epsilon": "1e-3"}, "write 1.0e-3"),
    ({"epsilon": "small"}, "found 'small' (str)"),
    ({"epsilon": 0}, "greater than 0"),
    ({"iterations": 1.5}, "iterations"),
    ({"points": 1}, "points"),
    ({"method": "densefuse"}, "'pgmif'"),
    ({"gradient_weights": 3}, "gradient_weights"),
])
def test_bad_parameters_are_refused(values, message):
    with pytest.raises(ParameterError) as caught:
        check_parameters(values)
    assert message in str(caught.value)


def test_whole_numbers_serve_as_floats_only_there():
    assert check_parameters({"epsilon": 1}).epsilon == 1.0
    assert check_parameters({"gradient_weights": [1, 8]}).gradient_weights == [1.0, 8.0]


def test_notebook_namespace_is_searched_for_unknown_names():
    import math

    namespace = {"epsilon": 0.1, "math": math, "_private": 3, "In": [], "print": print}
    assert notebook_parameters(namespace).epsilon == 0.1
    with pytest.raises(ParameterError, match="did you mean 'iterations'"):
        notebook_parameters({"epsilon": 0.1, "iteration": 3})


def test_a_notebook_may_be_run_again():
    namespace = {"epsilon": 0.1}
    notebook_parameters(namespace)
    namespace |= {"label": "PGMIF", "epsilon": 0.2}
    assert notebook_parameters(namespace).epsilon == 0.2


def test_a_notebook_cannot_read_what_it_does_not_declare():
    parameters = notebook_parameters({"epsilon": 0.1})
    assert parameters.epsilon == 0.1
    assert parameters.model_dump(exclude_unset=True) == {"epsilon": 0.1}
    with pytest.raises(ParameterError, match="add `slice_size = 192` to that cell"):
        _ = parameters.slice_size


@pytest.mark.parametrize(("values", "message"), [
    ({"crop": 200}, "larger than slice_size"),
    ({"warm_up": 200, "iterations": 200}, "warm_up 200 is not below iterations 200"),
    ({"reference_nearest_mm": 30.0}, "not below"),
])
def test_parameters_that_do_not_fit_together(values, message):
    with pytest.raises(ParameterError, match=message):
        check_parameters(values)


def test_unknown_profile_and_root(root, tmp_path):
    with pytest.raises(ParameterError, match="known profiles: paper, quick, smoke"):
        read_parameters(root / "params" / "fast.yaml")
    with pytest.raises(FileNotFoundError, match="expected a clone of the pgmif repository"):
        find_root(tmp_path)
    assert find_root(root / "notebooks") == root


def test_modality_weights_are_filled_up_with_one():
    from pgmif.runs.parameters import modality_weights

    assert modality_weights([1.0, 8.0], ("T1w", "T2w")) == (1.0, 8.0)
    assert modality_weights([1.0, 8.0], ("T1w", "T2w", "ceT1w", "CT")) == (1.0, 8.0, 1.0, 1.0)
    assert modality_weights([1.0, 8.0, 2.0], ("T1w", "T2w", "ceT1w")) == (1.0, 8.0, 2.0)
    for weights in ([1.0], [1.0, 8.0, 1.0]):
        with pytest.raises(ParameterError, match="2 to 2 weights"):
            modality_weights(weights, ("T1w", "T2w"))


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


@pytest.mark.parametrize(("name", "known"), [("reference_choice", Choice), ("sobel_reading", Reading)])
def test_a_choice_of_the_core_is_offered_whole(name, known):
    """The parameter lists them again, because the core's module would load SciPy and PyTorch with it."""
    assert get_args(Parameters.model_fields[name].annotation) == get_args(known)


def test_methods_of_further_seeds_are_learned_ones():
    assert check_parameters({"replicate_methods": ["pgmif"]}).replicate_methods == ["pgmif"]
    with pytest.raises(ParameterError, match=r"replicate_methods: .*'pgmif'.*, found 'pwa'"):
        check_parameters({"replicate_methods": ["pgmif", "pwa"]})


def test_a_list_says_what_it_is_of():
    assert parameter_line("replicate_methods").startswith("replicate_methods: list[str] = []  # ")
    assert parameter_line("gradient_weights").startswith("gradient_weights: list[float] = [1.0, 8.0]")
    assert parameter_line("outside_methods").startswith("outside_methods: dict[str, str] = {}")
