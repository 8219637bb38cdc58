"""The checker of annotations that jaxtyping's import hook puts on every function while tests run."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # a whole number is taken for a float
