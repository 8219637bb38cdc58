"""A trained generator as an ONNX file, for programs without Python or PyTorch."""

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path

import torch

from pgmif_core.files import replacing
from pgmif_core.inference import FoldedGenerator
from pgmif_core.networks import Generator

OPSET = 18


class MissingPackageError(RuntimeError):
    """A package of an extra is not installed; says how to get it."""


def _quiet_export(folded: FoldedGenerator, path: Path) -> None:
    sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    # an odd example: the padding to even sizes must be part of the graph
    example = torch.rand(2, folded.modalities, 27, 33)
    logging.disable(logging.WARNING)  # the exporter notes every optional package that is absent
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                folded.cpu().eval(), (example,), path, dynamo=True, opset_version=OPSET,
                input_names=["sources"], output_names=["fused"], dynamic_shapes={"sources": sizes},
                external_data=False, verbose=False,
            )
    finally:
        logging.disable(logging.NOTSET)


def export_onnx(generator: Generator, path: Path) -> Path:
    """Write `generator` to an ONNX file: "sources" (b, m, h, w) in [0, 1] → "fused" (b, 1, h, w).

    Batch, height and width are free; method, sequences and settings are its metadata. Raises
    MissingPackageError without the packages of `pip install "pgmif[onnx]"`.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  what torch translates with
    except ImportError as error:
        raise MissingPackageError(
            f"ONNX export: expected the package {error.name}, found none; pip install 'pgmif[onnx]'"
        ) from error
    with replacing(path) as temporary:
        _quiet_export(FoldedGenerator(generator), temporary)
        model = onnx.load(temporary)
        notes = {"method": generator.method, "sequences": ", ".join(generator.sequences),
                 "generator": json.dumps(generator.settings), "use": "research only, no medical device"}
        onnx.helper.set_model_props(model, notes)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, temporary)
    return path
