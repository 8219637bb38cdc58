"""Typed parameters of a run: what `params/*.yaml` and the notebooks' parameter cells may say.

Unknown names and wrong types are refused, with a suggestion, before any work starts. The defaults
are the `quick` profile; `params/paper.yaml` names the section of the paper behind each value.
"""

import difflib
import json
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pgmif.runs.order import ABLATIONS
from pgmif_core.images.modalities import Minmax
from pgmif_core.methods.names import LEARNED

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Few = Annotated[int, Field(ge=1, le=4096)]  # more would fill any memory
PLAIN_NAME = r"^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?\z"  # of a folder: it leads nowhere else
SHOWN_LETTERS = 80  # of a value that is refused
# of `code_of`: what is made from parameters notes their values, whatever else the class may say
VALUES = ("pgmif.runs.parameters:Parameters",)


class ParameterError(ValueError):
    """Parameters that cannot be used; lists every problem with what to do."""


class Parameters(BaseModel):
    """All parameters of the pipeline. Lengths in mm, intensities in [0, 1] unless the name says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    profile: str = Field("quick", description="name of this set of values; part of folder names")
    manifest: str = Field("data_manifest.csv", description="cohort manifest, relative to the root")
    allow_outside: bool = Field(False, description="allow manifest paths that leave its folder")
    assume_ras: bool = Field(False, description="take images without an orientation for RAS")
    allow_different_patients: bool = Field(
        False, description="allow series of one patient whose PatientID differs"
    )
    allow_unlikely: bool = Field(
        False, description="allow T1w and T2w that look exchanged, or like a localizer"
    )
    run: Annotated[str, Field(pattern=PLAIN_NAME)] = Field(
        "", description="name of the results folder; empty: cohort and profile"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(0, description="the one random seed")
    workers: Annotated[int, Field(ge=0, le=4096)] = Field(
        0, description="patient processes; 0: all cores"
    )
    dask_scheduler: str = Field(
        "", description="tcp://… of a Dask scheduler that spreads patients; empty: this machine"
    )

    phantom_train: Count = Field(20, description="phantom training patients taken")
    phantom_test: Count = Field(10, description="phantom test patients taken")
    phantom_slices: Few = Field(20, description="T2w slices of a phantom")
    phantom_thickness_mm: Positive = Field(4.4, description="distance of phantom slices")
    phantom_pixel_mm: Positive = Field(1.2, description="in-plane pixel of phantom T2w")

    register_bspline: bool = Field(True, description="B-spline after the rigid registration")
    register_affine: bool = Field(False, description="affine stage between rigid and B-spline")
    minmax_slices: Minmax = Field(
        "placed", description="brought to 0-1: slices placed on T2w's, or those acquired (the paper)"
    )
    slice_size: Annotated[int, Field(ge=32, le=2048)] = Field(
        192, description="side of the square slices"
    )
    reference_window_mm: Positive = Field(10.0, description="side of the reference window")
    reference_nearest_mm: NonNegative = Field(3.0, description="least distance from the tumour")
    reference_farthest_mm: Positive = Field(25.0, description="largest distance from the tumour")
    reference_choice: Literal["tissue", "slice"] = Field(
        "tissue", description="one tissue through all slices, or the calmest window of each slice"
    )

    released: bool = Field(False, description="take weights/ instead of training (phantoms only)")
    method: Literal[LEARNED] = Field(
        "pgmif", description="the learned method that 02_training trains"
    )
    epsilon: Positive = Field(1e-1, description="edge parameter ε of the normalized gradients")
    gradient_weights: list[NonNegative] = Field(
        [1.0, 8.0], description="Eq. 2 weight of T1w, T2w, further ones (1 where not given)"
    )
    adversarial: bool = Field(True, description="use the adversarial terms")
    gradient_scale: Positive = Field(0.3, description="PGMIF: weight of the gradient term : GAN 1")
    maximum_scale: Positive = Field(30.0, description="GMMCI: weight of Eq. 4 : GAN 1")
    mse_scale: Positive = Field(1 / 3, description="DLMWL: weight of Eq. 5 : GAN terms 1 (paper 1:3)")
    start: Literal["mean", "none"] = Field("mean", description="where the generator starts")
    channels: Few = Field(16, description="channels of the generator at half size")
    iterations: Count = Field(3000, description="training iterations")
    batch_size: Few = Field(8, description="crops per iteration")
    crop: Annotated[int, Field(ge=16)] = Field(64, description="side of the training crops")
    learning_rate: Positive = Field(2e-4, description="Adam, PGMIF and GMMCI")
    learning_rate_dlmwl: Positive = Field(1e-4, description="Adam, DLMWL")
    discriminator_rate: Positive = Field(
        1e-3, description="Adam, discriminators (DLMWL: × its rate / learning_rate)"
    )
    gradient_penalty: NonNegative = Field(1.0, description="of the discriminators, R1 and R2; 0: none")
    warm_up: Annotated[int, Field(ge=0, le=10**9)] = Field(
        400, description="iterations: the discriminators alone for half, then the generator ever faster"
    )
    anneal: bool = Field(False, description="learning rates fall to 0 along a half cosine")
    average_weights: bool = Field(True, description="keep the mean of all iterations' weights")
    checkpoint_every: Count = Field(250, description="iterations between checkpoints")
    validation_patients: Annotated[int, Field(ge=0)] = Field(
        3, description="training patients watched; held out where three times as many are there"
    )
    select_checkpoint: bool = Field(
        False, description="keep the checkpoint with the best validation score, not the last"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("cpu", description="where training runs")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="of the networks in training; bf16 pays where the device has it"
    )
    compiled: bool = Field(False, description="torch.compile in training; needs a C++ compiler")

    outside_methods: dict[str, str] = Field(
        {}, description="images of other programs, name: folder, relative to the root"
    )

    sobel_reading: Literal["crop", "crop_mean", "contour", "slice"] = Field(
        "crop", description="of Q: crop to the tumour and filter, as the paper, or a reading of 06"
    )

    ablation: Literal[ABLATIONS] = Field("epsilon", description="the decision that 09_ablations varies")
    ablation_values: list[float] = Field([], description="its values; empty: those of 09_ablations")

    replicate: Annotated[int, Field(ge=1, le=2**16)] = Field(
        1, description="11_seeds trains with the run's seed plus this"
    )

    replicate_methods: list[Literal[LEARNED]] = Field(
        [], description="learned methods that 11_seeds trains; empty: all that the run has"
    )

    unet_iterations: Count = Field(300, description="training iterations of a U-Net")
    unet_seeds: Count = Field(3, description="U-Nets trained per input")

    figure_patients: Count = Field(3, description="patients in figure 4")
    points: bool = Field(True, description="draw each patient as a point in the boxplots")
    dpi: Few = Field(200, description="resolution of PNG figures")

    @model_validator(mode="after")
    def _fit_together(self) -> "Parameters":
        if self.crop > self.slice_size:
            raise ValueError(f"crop {self.crop} is larger than slice_size {self.slice_size}")
        if self.adversarial and self.warm_up >= self.iterations:
            raise ValueError(f"warm_up {self.warm_up} is not below iterations {self.iterations}: the "
                             "generator would hardly learn")
        if self.reference_nearest_mm >= self.reference_farthest_mm:
            raise ValueError(f"reference_nearest_mm {self.reference_nearest_mm} is not below "
                             f"reference_farthest_mm {self.reference_farthest_mm}")
        return self


def modality_weights(weights: Sequence[float], modalities: Sequence[str]) -> tuple[float, ...]:
    """`gradient_weights` with one weight per modality; further modalities weigh 1 where not given."""
    if not 2 <= len(weights) <= len(modalities):
        raise ParameterError(
            f"gradient_weights: expected 2 to {len(modalities)} weights ({', '.join(modalities)}), "
            f"found {len(weights)}: {list(weights)}"
        )
    return (*weights, *[1.0] * (len(modalities) - len(weights)))


def _suggest(name: str) -> str:
    close = difflib.get_close_matches(name, Parameters.model_fields, 1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "see params/quick.yaml for all names."


def _problem(error: Mapping[str, Any]) -> str:
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ")
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        return f"unknown parameter {name!r}; {_suggest(name)}"
    found = error["input"]
    shown = found if isinstance(found, bool | int | float | str) else type(found).__name__
    shown = f"{shown!r:.{SHOWN_LETTERS}}"
    message = f"{name}: {error['msg'].lower()}, found {shown} ({type(found).__name__})"
    if name == "run":
        return f"{name}: expected a plain name of letters, digits, '.', '_' and '-', found {shown}"
    if isinstance(found, str):
        try:
            float(found)
        except ValueError:
            return message
        return f"{message}; it is text: leave the quotes out, or write 1.0e-3 with a point and a sign"
    return message


def check_parameters(values: Mapping[str, Any]) -> Parameters:
    """Parameters from a mapping; raises ParameterError that lists every problem.

    A whole number is accepted where a float is expected; nothing else is converted.
    """
    floats = {n for n, f in Parameters.model_fields.items() if "float" in str(f.annotation)}
    prepared = {
        name: float(v) if name in floats and type(v) is int
        else [float(x) if type(x) is int else x for x in v] if isinstance(v, list) else v
        for name, v in values.items()
    }
    try:
        return Parameters(**prepared)
    except ValidationError as error:
        problems = [_problem(e) for e in error.errors()]
        raise ParameterError(
            "parameters refused, nothing was started:\n" + "\n".join(f"  - {p}" for p in problems)
        ) from None


def _plain(annotation: Any) -> type:
    """The type of a value, without its limits (Annotated) or choices (Literal)."""
    first = (get_args(annotation) or (annotation,))[0]
    return first if isinstance(first, type) else type(first)


def parameter_line(name: str) -> str:
    """A parameter as a line of a notebook's cell: its type, its default, and what it means."""
    field = Parameters.model_fields[name]
    default = json.dumps(field.default) if isinstance(field.default, str) else repr(field.default)
    kind = type(field.default).__name__
    if kind in ("list", "dict"):  # of what, as plain types: list[float]
        kind += f"[{', '.join(_plain(inner).__name__ for inner in get_args(field.annotation))}]"
    return f"{name}: {kind} = {default}  # {field.description}"


class DeclaredParameters(Parameters):
    """Parameters of a notebook: reading one that its parameters cell does not name is an error.

    Otherwise it would silently take its default, whatever the run says.
    """

    def __getattribute__(self, name: str) -> Any:
        if name in Parameters.model_fields and name not in self.model_fields_set:
            raise ParameterError(
                f"this notebook uses {name!r}, which its parameters cell does not name; add "
                f"`{name} = {Parameters.model_fields[name].default!r}` to that cell"
            )
        return super().__getattribute__(name)


def notebook_parameters(namespace: dict[str, Any]) -> DeclaredParameters:
    """Check a notebook's parameters: `notebook_parameters(globals())` in its second cell.

    papermill only warns about names it does not know and then defines them; here any public plain
    value that is not a parameter is refused. The names found at the first call are noted in the
    namespace, so that running the notebook again does not mistake its results for parameters.
    """
    noted = namespace.setdefault("_names_at_first_check", set(namespace))
    plain = (bool, int, float, str, list, tuple, dict, type(None))
    values = {
        name: value
        for name, value in list(namespace.items())
        if not name.startswith("_")
        and name not in ("In", "Out")
        and (name in noted or name in Parameters.model_fields)
        and isinstance(value, plain)
        and not isinstance(value, types.ModuleType)
    }
    checked = check_parameters(values)
    return DeclaredParameters.model_construct(checked.model_fields_set, **dict(checked))
