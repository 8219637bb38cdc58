"""The commands of `pgmif`, called as on a command line."""

import re

import typer
from typer.testing import CliRunner

from pgmif.cli import app

runner = CliRunner()
HEADER = "subject,split,T1w,T2w,gtv,source,license"
COLUMNS = ("gtv_roi", "gtv_label", "gtv_space", "manifest")  # `fuse` and `evaluate` have none


def call(*arguments, code=0):
    """What a command says on wide lines; it has to end with `code`."""
    result = runner.invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def main(arguments):
    """The exit code of a command, which says what it says in the streams of this process."""
    return app(arguments, standalone_mode=False) or 0


def options_of(command):
    """All options of a command."""
    return {name for p in typer.main.get_command(app).commands[command].params
            for name in (*p.opts, *p.secondary_opts)} | {"--help"}


def run(command, *arguments, code=2):
    """What a command says, all on one line; it may advise only what there is."""
    done = CliRunner().invoke(app, [command, *map(str, arguments)])
    assert done.exit_code == code, done.output + repr(done.exception)
    text = " ".join(done.output.split())
    advised = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    for other, given in re.findall(r"pgmif ([a-z]+)((?: --[a-z-]+)*)", text):
        own = set(given.split())
        assert own <= options_of(other), text
        advised -= own
    assert advised <= options_of(command), f"{command} advises what it has not: {text}"
    if command in ("fuse", "evaluate"):
        assert not [c for c in COLUMNS if c in text], text
    return text


def check(folder, code=2, options=(), **files):
    """What `check` says of the fixture `folder`, with other files for its first patient."""
    named = {"T1w": "T1w1.nii.gz", "T2w": "T2w1.nii.gz", "gtv": "gtv1.nii.gz"} | files
    rows = [f"a,train,{named['T1w']},{named['T2w']},{named['gtv']},x,y",
            "b,test,T1w2.nii.gz,T2w2.nii.gz,gtv2.nii.gz,x,y"]
    (folder / "m.csv").write_text("\n".join([HEADER, *rows, ""]))
    return run("check", folder / "m.csv", *options, code=code)


def fuse(folder, t1w="T1w1.nii.gz", t2w="T2w1.nii.gz", code=2, options=()):
    """What `fuse` says of two of its images; where it refuses them it writes nothing."""
    output = folder / "out.nii.gz"
    text = run("fuse", "--t1w", folder / t1w, "--t2w", folder / t2w, "-o", output, "--method", "pwa",
               "--slice-size", 32, *options, code=code)
    assert output.exists() is (code == 0)
    return text


def evaluate(folder, fused="fused.nii.gz", gtv="gtv1.nii.gz", source="T2w1.nii.gz", code=2, options=()):
    """What `evaluate` says of an image, a contour and a source."""
    return run("evaluate", folder / fused, "--gtv", folder / gtv, "--source", folder / source, *options,
               code=code)
