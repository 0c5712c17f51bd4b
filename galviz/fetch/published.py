"""The published catalogues that can be fetched, and what their files are called.

A new one is one more entry in `PUBLISHED`; nothing else knows the names.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FileSet:
    """Files that make one catalogue together.

    `files` gives for each file the spellings known of its name, the first that the record has is taken. `survey` is
    the name of the survey in `galviz.surveys.SURVEYS` that reads them, `format` what they are: "pickle" runs code
    when it is read, anything else does not.
    """

    survey: str
    files: tuple[tuple[str, ...], ...]
    format: str


@dataclass(frozen=True)
class Published:
    """A published catalogue: the DOI of its data at Zenodo, and the files with and without spectroscopic classes."""

    name: str
    doi: str
    unlabelled: FileSet
    labelled: FileSet | None = None


# Clarke et al. 2020 (A&A 639, A84). Their code wrote the labelled table under another name before it was published.
SDSS_ML = Published(
    name="sdss-ml",
    doi="10.5281/zenodo.3459293",
    unlabelled=FileSet(
        survey="sdss-ml",
        files=(("SDSS-ML-galaxies.pkl",), ("SDSS-ML-quasars.pkl",), ("SDSS-ML-stars.pkl",)),
        format="pickle",
    ),
    labelled=FileSet(
        survey="sdss-ml-labelled", files=(("df_spec_classprobs.pkl", "df_classprobs.pkl"),), format="pickle"
    ),
)

PUBLISHED: dict[str, Published] = {published.name: published for published in (SDSS_ML,)}
