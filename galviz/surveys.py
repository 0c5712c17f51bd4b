"""What a survey calls its columns, its units, its classes and its cleaning steps.

A `Survey` is the only place that knows the names of a survey; everything downstream reads the manifest that
is written from it. A new survey is one more entry in `SURVEYS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from galviz.manifest import Column, SourceClass


@dataclass(frozen=True)
class Source:
    """A column as a foreign file holds it.

    `names` are the spellings known, compared without case. A value below `minimum`, at or above `maximum`, or
    infinite means "missing" and becomes null. A column that is not in the file is made by `made`, a formula of
    `galviz.catalogue.FORMULAS` and the columns that it reads, where those are there; else a `required` one is an
    error. `only_with` names a column without which `names` mean something else.
    """

    column: Column
    names: tuple[str, ...]
    required: bool = True
    minimum: float = float("-inf")
    maximum: float = float("inf")
    made: tuple[str, ...] = ()
    only_with: str = ""


@dataclass(frozen=True)
class Step:
    """One cleaning step: rows are kept where `low < value < high` for all `columns`, or the value is one of `values`.

    A missing value is not kept. Columns that the file lacks are passed over. A step is for labelled files
    (those with the column `only_with`), for unlabelled ones (those without the column `only_without`), or for all.
    """

    reason: str
    columns: tuple[str, ...]
    low: float = float("-inf")
    high: float = float("inf")
    values: tuple[int, ...] = ()
    only_with: str = ""
    only_without: str = ""

    @property
    def condition(self) -> str:
        """What a row must fulfil, in symbols."""
        names = self.columns[0] if len(self.columns) == 1 else f"{self.columns[0]}..{self.columns[-1]}"
        if self.values:
            return f"{names} in {{{', '.join(map(str, self.values))}}}"
        low = "" if self.low == float("-inf") else f"{self.low:g} < "
        high = "" if self.high == float("inf") else f" < {self.high:g}"
        return f"{low}{names}{high}" if low or high else f"{names} known"


@dataclass(frozen=True)
class Survey:
    """How to read the files of a survey, and what a page should make of them.

    `defaults` holds what the page shows first: the columns of `colour_magnitude` and of the `filters`, the
    `feature_sets` by title, and the `chosen_class`.
    `steps` are the cleaning steps in order. `class_names` turns spellings of a file (in capitals) into names of
    `classes`. `dropped` says of columns that are known and not read why that is so.
    """

    name: str
    title: str
    sources: tuple[Source, ...]
    classes: tuple[SourceClass, ...]
    features: tuple[str, ...]
    derived: tuple[Column, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    class_names: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    doi: str = ""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns in canonical order."""
        return tuple(source.column for source in self.sources)

    def manifest_fields(self, columns: Iterable[Column]) -> dict[str, Any]:
        """The fields of a `Manifest` that follow from the survey for a catalogue of these columns."""
        names = {column.name for column in columns}
        defaults = dict(self.defaults)
        if "filters" in defaults:
            defaults["filters"] = [name for name in defaults["filters"] if name in names]
        return {
            "classes": self.classes,
            "features": tuple(name for name in self.features if name in names),
            "derived": tuple(column for column in self.derived if set(column.formula[1:]) <= names),
            "defaults": defaults,
        }


# Colours of Clarke et al. 2020; the safe ones are of the Okabe-Ito palette.
GALAXY_QUASAR_STAR = (
    SourceClass("GALAXY", "galaxy", "galaxies", "#65ec65", "#009e73"),
    SourceClass("QSO", "quasar", "quasars", "#ff69b4", "#e69f00"),
    SourceClass("STAR", "star", "stars", "#1e90ff", "#56b4e9"),
)

SDSS_WISE_FEATURES = (
    "psf_u", "psf_g", "psf_r", "psf_i", "psf_z", "w1", "w2", "w3", "w4", "resolved_r",
)  # fmt: skip
# The rows of the table of Clarke et al. 2020, for comparison of models.
FEATURE_SETS = {
    "SDSS + WISE + resolved_r": list(SDSS_WISE_FEATURES),
    "SDSS + WISE": list(SDSS_WISE_FEATURES[:9]),
    "SDSS": list(SDSS_WISE_FEATURES[:5]),
    "SDSS + resolved_r": [*SDSS_WISE_FEATURES[:5], "resolved_r"],
    "WISE": list(SDSS_WISE_FEATURES[5:9]),
}

_SDSS = {"u": "em.opt.U", "g": "em.opt.B", "r": "em.opt.R", "i": "em.opt.I", "z": "em.opt.I"}
_WISE = {"w1": "em.IR.3-4um", "w2": "em.IR.4-8um", "w3": "em.IR.8-15um", "w4": "em.IR.15-30um"}

OBJID = Column("objid", "int64", "id", "", "meta.id;meta.main", "SDSS object identifier")
POSITION = (
    Column("ra", "float64", "position", "deg", "pos.eq.ra;meta.main", "Right ascension, ICRS J2000", label="RA"),
    Column("dec", "float64", "position", "deg", "pos.eq.dec;meta.main", "Declination, ICRS J2000", label="Dec"),
)
PSF = tuple(
    Column(f"psf_{band}", "float32", "magnitude", "mag", f"phot.mag;{ucd}",
           f"SDSS PSF magnitude, {band} band, not corrected for extinction", "AB", label=f"{band} PSF")
    for band, ucd in _SDSS.items()
)  # fmt: skip
CMODEL = {
    band: Column(f"cmod_{band}", "float32", "magnitude", "mag", f"phot.mag;{ucd}",
                 f"SDSS composite model magnitude, {band} band, not corrected for extinction", "AB",
                 label=f"{band} cmodel")
    for band, ucd in _SDSS.items()
}  # fmt: skip
PSF_ERRORS = tuple(
    Column(f"psferr_{band}", "float32", "uncertainty", "mag", f"stat.error;phot.mag;{ucd}",
           f"Uncertainty of psf_{band}")
    for band, ucd in _SDSS.items()
)  # fmt: skip
EXTINCTION = tuple(
    Column(f"ext_{band}", "float32", "extinction", "mag", f"phys.absorption.gal;{ucd}",
           f"Galactic extinction, {band} band")
    for band, ucd in _SDSS.items()
)  # fmt: skip
WISE = tuple(
    Column(name, "float32", "magnitude", "mag", f"phot.mag;{ucd}",
           f"WISE {name.upper()} profile-fit magnitude", "Vega", label=name.upper())
    for name, ucd in _WISE.items()
)  # fmt: skip
WISE_ERRORS = tuple(
    Column(f"{name}err", "float32", "uncertainty", "mag", f"stat.error;phot.mag;{ucd}", f"Uncertainty of {name}")
    for name, ucd in _WISE.items()
)  # fmt: skip
RESOLVED = Column("resolved_r", "float32", "morphology", "mag", "phot.mag;em.opt.R;arith.diff",
                  "How resolved a source is: |psf_r - cmod_r|, near 0 for a point source", "AB", scale="log",
                  label="resolved_r")  # fmt: skip
TRUTH = Column("class", "int8", "truth", "", "src.class", "Spectroscopic class", label="class", kind="class")
REDSHIFT = Column("redshift", "float32", "redshift", "", "src.redshift", "Spectroscopic redshift", label="redshift")
ZWARNING = Column("zwarning", "int32", "flag", "", "meta.code;src.redshift", "SDSS warning bits of the spectrum")
MATCH = Column("match_dist", "float32", "other", "arcsec", "pos.angDistance",
               "Separation of the SDSS and the WISE source")  # fmt: skip
PREDICTION = Column("class_pred", "int8", "prediction", "", "src.class;meta.modelled", "Predicted class",
                    label="predicted class", kind="class")  # fmt: skip
PROBABILITIES = tuple(
    Column(f"p_{entry.label}", "float32", "probability", "", "stat.probability;src.class",
           f"Probability of being a {entry.label}", of_class=entry.name, label=f"p({entry.label})")
    for entry in GALAXY_QUASAR_STAR
)  # fmt: skip
BEST = Column("p_best", "float32", "best_probability", "", "stat.probability;stat.max",
              "Probability of the predicted class", label="p(best)")  # fmt: skip


def _colour(name: str, a: str, b: str, label: str, system: str) -> Column:
    return Column(name, "float32", "colour", "mag", "phot.color", f"{a} - {b}", system, label=label,
                  formula=("difference", a, b))  # fmt: skip


SDSS_WISE_DERIVED = (
    _colour("u_g", "psf_u", "psf_g", "u - g", "AB"),
    _colour("g_r", "psf_g", "psf_r", "g - r", "AB"),
    _colour("r_i", "psf_r", "psf_i", "r - i", "AB"),
    _colour("i_z", "psf_i", "psf_z", "i - z", "AB"),
    _colour("z_w1", "psf_z", "w1", "z - W1", "AB - Vega"),
    _colour("w1_w2", "w1", "w2", "W1 - W2", "Vega"),
    _colour("w2_w3", "w2", "w3", "W2 - W3", "Vega"),
    _colour("w3_w4", "w3", "w4", "W3 - W4", "Vega"),
    Column("abs_u_z", "float32", "colour", "mag", "phot.color", "|u - z|", "AB", label="|u - z|",
           formula=("absolute_difference", "psf_u", "psf_z")),
    Column("abs_w1_w2", "float32", "colour", "mag", "phot.color", "|W1 - W2|", "Vega", label="|W1 - W2|",
           formula=("absolute_difference", "w1", "w2")),
    Column("sky_x", "float32", "projection", "", "pos.cartesian.x",
           "Hammer projection, right ascension to the left, 180 deg in the middle", formula=("hammer_x", "ra", "dec")),
    Column("sky_y", "float32", "projection", "", "pos.cartesian.y", "Hammer projection, north up",
           formula=("hammer_y", "ra", "dec")),
)  # fmt: skip


def _measured(column: Column, *names: str, required: bool = True) -> Source:
    """A measurement for which SDSS writes -9999 and WISE 9999 where there is none."""
    return Source(column, (column.name, *names), required, minimum=-100.0, maximum=9999.0)


def _optional(*columns: Column) -> tuple[Source, ...]:
    return tuple(_measured(column, required=False) for column in columns)


PLACE = (
    Source(POSITION[0], ("ra",), minimum=0.0, maximum=360.001),
    Source(POSITION[1], ("dec",), minimum=-90.0, maximum=90.001),
)
_PLACED = Step("a source needs a position", ("ra", "dec"))
_PSF_NAMES, _WISE_NAMES = tuple(column.name for column in PSF), tuple(column.name for column in WISE)

# The published layout and the tables that it was made from: Clarke et al. 2020 (A&A 639, A84).
SDSS_WISE = Survey(
    name="sdss-wise",
    title="SDSS x WISE",
    sources=(
        Source(OBJID, ("objid", "objID")),
        *PLACE,
        *(_measured(column) for column in PSF),
        *_optional(*PSF_ERRORS, *EXTINCTION, *CMODEL.values()),
        *(_measured(column) for column in WISE),
        *_optional(*WISE_ERRORS),
        Source(RESOLVED, ("resolved_r", "resolvedr"), minimum=-100.0, maximum=9999.0,
               made=("absolute_difference", "psf_r", "cmod_r")),
        Source(MATCH, ("match_dist",), required=False, minimum=0.0, maximum=9999.0),
        Source(TRUTH, ("class",), required=False),
        Source(ZWARNING, ("zwarning",), required=False),
        Source(REDSHIFT, ("redshift", "z"), required=False, minimum=-100.0, maximum=9999.0, only_with="class"),
        Source(PREDICTION, ("class_pred",), required=False),
        *(Source(column, (column.name, f"class_prob_{column.name[2:]}"), required=False, minimum=0.0, maximum=1.001)
          for column in PROBABILITIES),
        Source(BEST, ("p_best",), required=False, minimum=0.0, maximum=1.001,
               made=("maximum", *(column.name for column in PROBABILITIES))),
    ),
    classes=GALAXY_QUASAR_STAR,
    features=SDSS_WISE_FEATURES,
    derived=SDSS_WISE_DERIVED,
    defaults={
        "colour_magnitude": ["g_r", "psf_r"],
        "filters": ["psf_r", "resolved_r"],
        "chosen_class": "QSO",
        "feature_sets": FEATURE_SETS,
    },
    steps=(
        _PLACED,
        Step("the cmodel fit failed", tuple(c.name for c in CMODEL.values()), low=0.0, only_with="class"),
        Step("the redshift is not to be trusted", ("zwarning",), values=(0, 16), only_with="class"),
        Step("no WISE magnitude", _WISE_NAMES, high=50.0, only_with="class"),
        Step("no usable PSF magnitude", _PSF_NAMES, low=0.0, high=35.0, only_without="class"),
        Step("no usable cmodel magnitude", ("cmod_r",), low=0.0, high=35.0, only_without="class"),
        Step("no usable WISE magnitude", _WISE_NAMES, low=0.0, high=30.0, only_without="class"),
    ),
    class_names={"QUASAR": "QSO"},
    dropped={"z": "a photometric redshift, since the file has no spectroscopic class"},
)  # fmt: skip

_DEREDDENED = tuple(
    dataclasses.replace(column, description=column.description.replace("not corrected for", "corrected for Galactic"))
    for column in PSF
)
_PROXY = Column("resolved_proxy", "float32", "other", "mag", "phot.mag;em.opt.R;arith.diff",
                "Stand-in for resolved_r, known for some sources, made in several ways; not a measurement",
                label="resolved proxy")  # fmt: skip

SDSS_WISE_SAMPLE = Survey(
    name="sdss-wise-sample",
    title="SDSS x WISE, spectroscopic sample corrected for Galactic extinction",
    sources=(
        *PLACE,
        *(_measured(column, f"mag_{column.name[-1]}") for column in _DEREDDENED),
        *(_measured(column) for column in WISE),
        Source(TRUTH, ("class",)),
        Source(REDSHIFT, ("redshift", "z"), minimum=-100.0, maximum=9999.0),
        _measured(_PROXY, required=False),
    ),
    classes=GALAXY_QUASAR_STAR,
    features=SDSS_WISE_FEATURES[:-1],
    derived=SDSS_WISE_DERIVED,
    defaults={
        "colour_magnitude": ["g_r", "psf_r"],
        "filters": ["psf_r"],
        "chosen_class": "QSO",
        "feature_sets": FEATURE_SETS,
    },
    steps=(_PLACED,),
    class_names={"QUASAR": "QSO"},
    dropped={"proxy_src": "text that tells how resolved_proxy was made"},
)

SURVEYS: dict[str, Survey] = {survey.name: survey for survey in (SDSS_WISE, SDSS_WISE_SAMPLE)}
