"""What each learned method trains with."""

import pytest
from helpers.cohorts import Described

from pgmif.runs.parameters import check_parameters
from pgmif.steps.training import training_settings
from pgmif_core.methods.names import LEARNED, LITERAL, NAMES


@pytest.fixture
def settings_of(root):
    def of(method, **values):
        return training_settings(Described(root, "x", check_parameters(values), ""), method)

    return of


def test_discriminators_learn_at_the_same_part_of_their_generators_rate(settings_of):
    rates = {m: settings_of(m, learning_rate=3e-4, learning_rate_dlmwl=1e-4, discriminator_rate=9e-4)
             for m in ("pgmif", "gmmci", "dlmwl")}
    assert {m: (s.learning_rate, pytest.approx(s.discriminator_rate)) for m, s in rates.items()} == {
        "pgmif": (3e-4, 9e-4), "gmmci": (3e-4, 9e-4), "dlmwl": (1e-4, 3e-4)}


@pytest.mark.parametrize("method", [m for m in LEARNED if NAMES[m].own])
def test_no_parameter_changes_what_a_method_fixes(settings_of, method):
    values = {"start": "mean", "epsilon": 0.2, "learning_rate": 1e-3, "learning_rate_dlmwl": 1e-3,
              "discriminator_rate": 1e-3, "gradient_penalty": 5.0, "warm_up": 7, "anneal": True,
              "average_weights": True, "gradient_scale": 9.0, "maximum_scale": 9.0, "mse_scale": 9.0}
    settings = settings_of(method, **values)
    assert {name: getattr(settings, name) for name in NAMES[method].own} == NAMES[method].own
    assert settings.content_scale == 1.0
    assert values.keys() & LITERAL.keys() == LITERAL.keys() - {"summed"}  # each of them was tried
