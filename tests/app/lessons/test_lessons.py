"""The lessons: unsolved they run and say what is missing; every solution in them is right."""

import ast
import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import papermill
import pytest
import torch
from scipy import ndimage, stats

from pgmif.lessons import LESSONS, attempt, check, exercise
from pgmif.lessons.measuring import case, ten_patients
from pgmif.lessons.tissue import air_pixels
from pgmif.runs.notebooks import cells_not_executed

NAMES = ["1_tissue_to_contrast", "2_gradients", "3_fusing_by_rule", "4_adversarial_terms",
         "5_measuring_honestly"]
NUMBER = re.compile(r'check\("(\d\.\d)", (\w+)\)')


def lesson(root, name):
    return json.loads((root / "notebooks" / "teaching" / f"{name}.ipynb").read_text())


def tagged(notebook, tag):
    cells = [c for c in notebook["cells"] if tag in c["metadata"].get("tags", [])]
    return ["".join(c["source"]) for c in cells]


def solution_code(markdown):
    return re.search(r"```python\n(.*?)\n```", markdown, re.S).group(1)


def solved(notebook):
    """The notebook with every exercise replaced by its solution."""
    answers = iter(tagged(notebook, "solution"))
    for cell in notebook["cells"]:
        if "exercise" in cell["metadata"].get("tags", []):
            cell["source"] = solution_code(next(answers))
    return notebook


@pytest.mark.parametrize("name", NAMES)
def test_each_exercise_has_a_check_a_hint_and_a_folded_solution(root, name):
    notebook = lesson(root, name)
    kinds = [(c["metadata"].get("tags") or [""])[0] for c in notebook["cells"]]
    places = [k for k, kind in enumerate(kinds) if kind == "exercise"]
    assert 4 <= len(places) <= 8
    for k in places:
        assert kinds[k + 1 : k + 3] == ["check", "solution"]
        assert notebook["cells"][k - 1]["source"][0].startswith("### Exercise")
    numbers = [NUMBER.search(text).group(1) for text in tagged(notebook, "check")]
    module = LESSONS[name[0]]
    exercises = __import__(f"pgmif.lessons.{module}", fromlist=["EXERCISES"]).EXERCISES
    assert numbers == list(exercises)
    for text in tagged(notebook, "solution"):
        assert text.startswith("<details><summary>Solution")
        ast.parse(solution_code(text))
    assert "**Aims.**" in "".join(notebook["cells"][0]["source"])


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_stripped(root, name):
    code = [c for c in lesson(root, name)["cells"] if c["cell_type"] == "code"]
    assert not any(c["outputs"] or c["execution_count"] for c in code)


@pytest.mark.parametrize("name", NAMES)
def test_on_colab_the_package_is_installed_from_the_address_given(root, name, monkeypatch):
    cell = "".join(next(c["source"] for c in lesson(root, name)["cells"] if c["cell_type"] == "code"))
    called = []
    shell = SimpleNamespace(system=called.append)
    exec(cell, {"get_ipython": lambda: shell})
    assert called == []
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    with pytest.raises(AssertionError, match="write the address"):
        exec(cell, {"get_ipython": lambda: shell})
    exec(cell.replace('""', '"https://example.org/pgmif"'), {"get_ipython": lambda: shell})
    assert called == ['pip install --quiet "pgmif[lab] @ git+https://example.org/pgmif"']


@pytest.mark.parametrize("name", NAMES)
def test_solutions_are_right_and_stubs_are_not(root, name, capsys):
    notebook = lesson(root, name)
    imports = next("".join(c["source"]) for c in notebook["cells"] if c["id"] == "imports")
    imported = {}
    exec(imports, imported)
    for kind in ("exercise", "solution"):
        namespace = dict(imported)
        for text, checked in zip(tagged(notebook, kind), tagged(notebook, "check"), strict=True):
            exec(text if kind == "exercise" else solution_code(text), namespace)
            number, answer = NUMBER.search(checked).groups()
            capsys.readouterr()
            check(number, namespace[answer])
            said = " ".join(capsys.readouterr().out.split())
            if kind == "solution":
                assert said.startswith(f"Exercise {number}: ✔ right."), said
            else:
                assert said.startswith(f"Exercise {number}: … not answered yet. Wanted: "), said
                assert "Hint: " in said


def uncapped_holm(p):
    order = np.argsort(p)
    result = np.empty_like(p)
    result[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return result


WRONG = [
    ("1.1", lambda pd, t1, t2, tr, te: pd * np.exp(-tr / t1) * np.exp(-te / t2), "Expected"),
    ("1.2", {"T1w": "fat", "T2w": "csf"}, "T2w: csf has"),
    ("1.2", {"T1w": "fat", "T2w": "gold"}, "expected one of fat"),
    ("1.2", "fat", 'Expected {"T1w"'),
    ("1.3", 74, "too large"),
    ("1.4", 5, "too small"),
    ("1.5", "σ", "Expected numbers"),
    ("2.1", lambda x: np.stack(np.gradient(x)), "found"),
    ("2.1", lambda x: np.diff(x, axis=0), "Expected shape"),
    ("2.2", lambda g, e: g / np.sqrt((g**2).sum(0)), "finite"),
    ("2.3", lambda f, s: -((f * s).sum(0)).mean(), "Expected"),
    ("2.4", lambda x: 0.5 * x + 0.1, "Eq. 2 gives"),
    ("2.4", lambda x: x - x.min(), "still points its own way"),
    ("2.4", lambda x: -x, "lie in"),
    ("2.4", lambda x: x**2, "Eq. 2 gives"),
    ("2.5", 0.001, "a larger ε"),
    ("2.5", 5.0, "a smaller ε"),
    ("3.1", lambda s: (s**2).sum(0) / s.sum(0), "0/0 gives NaN"),
    ("3.2", (np.full((2, 2), 0.5), np.full((2, 2), 0.5)), "must show something"),
    ("3.2", (np.eye(3), np.eye(3)), "standard deviation of"),
    ("3.2", (3 * np.eye(3), 3 - 3 * np.eye(3)), "lie in"),
    ("3.3", 0.02, "too large"),
    ("3.4", lambda d: np.abs(d).max(0), "largest magnitude"),
    ("3.4", lambda d: d.max(0), "largest value"),
    ("3.5", lambda s: s.mean(0), "Expected"),
    ("4.1", lambda t: -np.log(1 / (1 + np.exp(-t))).mean(), "infinity"),
    ("4.1", lambda t: np.log1p(np.exp(t)).mean(), "Expected"),
    ("4.2", (0.69, 0.69), "Expected 1.386"),
    ("4.2", 0.69, "Expected (generator"),
    ("4.3", lambda a, b: abs(a.mean() - b.mean()), "Expected"),
    ("4.4", 1, "equally frequent"),
    ("5.1", lambda i, t, r: (i[r].mean() - i[t].mean()) / i[r].std(), "sign matters"),
    ("5.1", lambda i, t, r: abs(i[t].mean() - i[r].mean()) / i[r].std(), "sign matters"),
    ("5.1", lambda i, t, r: (i[t].mean() - i[r].mean()) / i.std(), "Expected"),
    ("5.2", lambda f, s: np.tanh(f / s / 2).mean(), "0/0 gives NaN"),
    ("5.3", np.zeros((4, 4)), "Expected shape"),
    ("5.3", 2.0 * np.ones((192, 192)), "lie in"),
    ("5.1", lambda i, t, r: (i[t].mean() - i[~t].mean()) / i[~t].std(), "Expected"),
    ("5.1", lambda i, t, r: (i[t].mean() - i[r].mean()) / i[r].std(ddof=1), "divide by n"),
    ("5.5", 0.6, "twenty different people"),
    ("5.5", 0.0043, "A paired t-test"),
    ("5.5", 0.0059 / 2, "one-sided"),
    ("5.6", 0.05, "too large"),
    ("5.6", 1 / 1024, "That is one side"),
    ("5.7", lambda p: p * len(p), "Expected"),
    ("5.7", uncapped_holm, "Expected 1 at"),
    ("5.2", lambda f, s: np.tanh(np.where(f + s == 0, 1, s / f) / 2).mean(), "exchanged"),
    ("5.3", np.full((192, 192), 0.5), "same grey everywhere"),
    ("5.3", np.random.default_rng(0).random((192, 192)), "hardly resembles T2w"),
    ("5.4", np.indices((192, 192)).sum(axis=0) % 2, "hardly resembles T2w"),
    ("1.3", 0.036, "looks like seconds"),
    ("1.4", -25.6, "before the excitation"),
    ("1.5", air_pixels().std(), "spread of the magnitudes"),
]


@pytest.mark.parametrize(("number", "answer", "message"), WRONG)
def test_wrong_answers_are_told_what_is_wrong(number, answer, message, capsys):
    check(number, answer)
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith(f"Exercise {number}: ✘")
    assert message in said


@pytest.mark.parametrize(("number", "answer"), [
    ("5.3", lambda: ndimage.uniform_filter(case().t2w, 3)),  # falls below 0 by rounding
    ("5.3", lambda: torch.from_numpy(ndimage.gaussian_filter(case().t2w, 1.0))),
    ("5.4", lambda: np.clip(2 * case().t2w, 0, 1)),
    ("5.5", lambda: round(stats.wilcoxon(*ten_patients()).pvalue, 4)),
    ("5.6", lambda: 0.002),
    ("1.3", lambda: 36.0),
])
def test_right_answers_of_another_kind_are_accepted(number, answer, capsys):
    check(number, answer())
    assert "✔ right" in capsys.readouterr().out


def test_pictures_after_a_check_survive_any_answer():
    image = np.zeros((4, 5))
    wrong = (lambda x: 1 / 0, lambda x: None, lambda x: x[:2], lambda x: "x", lambda x: x * np.nan)
    for function in wrong:
        assert attempt(function, image) is None
    np.testing.assert_array_equal(attempt(lambda s: s.mean(axis=0), np.ones((2, 4, 5))), np.ones((4, 5)))
    slice_ = case()
    flat = np.zeros_like(slice_.t2w)
    usable = slice_.usable({"T2w": slice_.t2w, "a": ..., "b": None, "c": np.zeros((3, 3)), "d": flat})
    assert list(usable) == ["T2w", "d"]
    assert np.isnan(slice_.cnr(usable["d"]))


def test_whatever_an_answer_does_the_check_goes_on(capsys):
    def broken(*_):
        raise KeyError("mine")

    for answer in (..., None, broken, object(), [], float("nan"), "x" * 10):
        for number in ("1.1", "1.3", "2.4", "3.2", "4.1", "5.3"):
            check(number, answer)
            assert "✔" not in capsys.readouterr().out


def test_in_notebooks_a_hint_is_folded_and_what_an_answer_holds_is_escaped(monkeypatch):
    shown = []
    monkeypatch.setattr("pgmif.lessons.display", shown.append)
    check("1.2", {"T1w": "<b>fat</b>", "T2w": "fat"})
    check("1.3", ...)
    check("5.6", 2 / 2**10)
    wrong, unanswered, right = (note._repr_html_() for note in shown)
    assert "&lt;b&gt;fat&lt;/b&gt;" in wrong
    assert "<b>" not in wrong
    assert "<details><summary>Hint</summary>compute both signals" in unanswered
    assert "✔ right." in right
    assert "<details>" not in right
    assert len({note.split(";")[0] for note in (wrong, unanswered, right)}) == 3, "three colours"


def test_an_unknown_exercise_names_those_there_are():
    with pytest.raises(ValueError, match=r"'2\.9': expected one of 2\.1, 2\.2"):
        exercise("2.9")
    with pytest.raises(ValueError, match="'9'"):
        exercise("9")


@pytest.mark.slow
@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_runs_under_papermill(root, tmp_path, name, answered):
    notebook = lesson(root, name)
    path = tmp_path / f"{name}.ipynb"
    path.write_text(json.dumps(solved(notebook) if answered else notebook))
    done = papermill.execute_notebook(
        str(path), str(tmp_path / "out.ipynb"), kernel_name="python3", progress_bar=False,
        cwd=str(tmp_path),  # lessons need nothing of the repository but the package
    )
    assert cells_not_executed(done) == []
    checks = [c for c in done.cells if "check" in c.metadata.get("tags", [])]
    for cell in checks:
        said = " ".join(o["data"]["text/plain"] for o in cell.outputs)
        assert ("✔ right" if answered else "… not answered yet. Wanted") in said
    pictures = [o for c in done.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) >= 2
