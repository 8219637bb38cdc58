"""Names and sizes that lead outside or fill the memory are refused at once."""

import pytest

from pgmif.cohort.manifest import ManifestError, read_manifest

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
