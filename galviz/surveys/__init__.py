"""What a survey calls its columns, its units, its classes and its cleaning steps.

A `Survey` is the only place that knows the names of a survey; everything downstream reads the manifest that
is written from it. A new survey is one more entry in `SURVEYS`, or a file (`galviz.surveys.toml`).
"""

from __future__ import annotations

from galviz.surveys.columns import BEST, GALAXY_QUASAR_STAR, PREDICTION, PROBABILITIES
from galviz.surveys.generic import GENERIC
from galviz.surveys.model import Source, Step, Survey
from galviz.surveys.sdss_wise import (
    SDSS_ML,
    SDSS_ML_FIRST,
    SDSS_ML_LABELLED,
    SDSS_WISE,
    SDSS_WISE_LABELLED,
    SDSS_WISE_SAMPLE,
    SDSS_WISE_UNLABELLED,
)

__all__ = [
    "BEST", "GALAXY_QUASAR_STAR", "GENERIC", "PREDICTION", "PROBABILITIES", "SDSS_ML", "SDSS_ML_FIRST",
    "SDSS_ML_LABELLED", "SDSS_WISE", "SDSS_WISE_LABELLED", "SDSS_WISE_SAMPLE", "SDSS_WISE_UNLABELLED", "SURVEYS",
    "Source", "Step", "Survey",
]  # fmt: skip

SURVEYS: dict[str, Survey] = {
    survey.name: survey
    for survey in (
        SDSS_WISE, SDSS_WISE_LABELLED, SDSS_WISE_UNLABELLED, SDSS_ML, SDSS_ML_LABELLED, SDSS_ML_FIRST,
        SDSS_WISE_SAMPLE, GENERIC,
    )
}  # fmt: skip
