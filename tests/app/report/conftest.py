"""The report of a finished run."""

from helpers.reports import clone, page  # noqa: F401  fixtures
