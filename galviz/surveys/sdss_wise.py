"""SDSS x WISE: the tables of Clarke et al. 2020 (A&A 639, A84), the queries that they come from, and a real sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from galviz.manifest import Column
from galviz.surveys import columns as known
from galviz.surveys.model import Source, Step, Survey

# A column as a query names it that does not rename what the tables of SDSS (PhotoObjAll, SpecObj) and WISE call it.
_SDSS_TABLES = {"psf": "psfmag", "cmod": "cmodelmag", "psferr": "psfmagerr", "cmoderr": "cmodelmagerr",
                "ext": "extinction"}  # fmt: skip


def _table_names(column: Column) -> tuple[str, ...]:
    kind, _, band = column.name.partition("_")
    if kind in _SDSS_TABLES:
        return (f"{_SDSS_TABLES[kind]}_{band}",)
    return (column.name[:2] + ("sigmpro" if column.role == "uncertainty" else "mpro"),) if column.name[0] == "w" else ()


def _measured(column: Column, *names: str, required: bool = True) -> Source:
    """A measurement for which SDSS writes -9999 and WISE 9999 where there is none."""
    return Source(column, (column.name, *names), required, minimum=-100.0, maximum=9999.0)


def _of_tables(*columns: Column, required: bool = True) -> tuple[Source, ...]:
    return tuple(_measured(column, *_table_names(column), required=required) for column in columns)


PLACE = (
    Source(known.POSITION[0], ("ra",), minimum=0.0, maximum=360.001),
    Source(known.POSITION[1], ("dec",), minimum=-90.0, maximum=90.001),
)
PLACED = Step("a source needs a position", ("ra", "dec"))
_PSF_NAMES, _WISE_NAMES = tuple(column.name for column in known.PSF), tuple(column.name for column in known.WISE)
_CMODEL_NAMES = tuple(column.name for column in known.CMODEL.values())
_PREDICTED = ("class_pred", *(column.name for column in known.PROBABILITIES))
_SPECTROSCOPIC = ("class", "zwarning", "redshift")
_LABELLED_STEPS = (
    Step("the cmodel fit failed", _CMODEL_NAMES, low=0.0, only_with="class"),
    Step("the redshift is not to be trusted", ("zwarning",), values=(0, 16), only_with="class"),
    Step("no WISE magnitude", _WISE_NAMES, high=50.0, only_with="class"),
)
_UNLABELLED_STEPS = (
    Step("no usable PSF magnitude", _PSF_NAMES, low=0.0, high=35.0, only_without="class"),
    Step("no usable cmodel magnitude", ("cmod_r",), low=0.0, high=35.0, only_without="class"),
    Step("no usable WISE magnitude", _WISE_NAMES, low=0.0, high=30.0, only_without="class"),
)
_SPECTRA = "the identifier of a spectrum, beyond 64 bits with sign; objid names the source"

# Any of the tables, told apart by the columns that are there.
SDSS_WISE = Survey(
    name="sdss-wise",
    title="SDSS x WISE",
    sources=(
        Source(known.OBJID, ("objid",)),
        *PLACE,
        *_of_tables(*known.PSF),
        *_of_tables(*known.PSF_ERRORS, *known.EXTINCTION, required=False),
        *_of_tables(*known.CMODEL.values(), *known.CMODEL_ERRORS, required=False),
        *_of_tables(*known.WISE),
        *_of_tables(*known.WISE_ERRORS, required=False),
        Source(known.RESOLVED, ("resolved_r", "resolvedr"), minimum=-100.0, maximum=9999.0,
               made=("absolute_difference", "psf_r", "cmod_r")),
        Source(known.MATCH, ("match_dist",), required=False, minimum=0.0, maximum=9999.0),
        Source(known.TRUTH, ("class",), required=False),
        Source(known.ZWARNING, ("zwarning",), required=False),
        Source(known.REDSHIFT, ("redshift", "z"), required=False, minimum=-100.0, maximum=9999.0, only_with="class"),
        Source(known.PREDICTION, ("class_pred",), required=False),
        *(Source(column, (column.name, f"class_prob_{column.name[2:]}", f"prob_{column.name[2]}"), required=False,
                 minimum=0.0, maximum=1.001)
          for column in known.PROBABILITIES),
        Source(known.BEST, ("p_best", "prob_best"), required=False, minimum=0.0, maximum=1.001,
               made=("maximum", *_PREDICTED[1:])),
    ),
    classes=known.GALAXY_QUASAR_STAR,
    features=known.SDSS_WISE_FEATURES,
    derived=known.SDSS_WISE_DERIVED,
    defaults={
        "colour_magnitude": ["g_r", "psf_r"],
        "filters": ["psf_r", "resolved_r"],
        "chosen_class": "QSO",
        "feature_sets": known.FEATURE_SETS,
    },
    steps=(PLACED, *_LABELLED_STEPS, *_UNLABELLED_STEPS),
    class_names={"QUASAR": "QSO"},
    dropped={
        "z": "a photometric redshift, since the file has no spectroscopic class",
        **dict.fromkeys(("specobjid", "specobjid1", "specobjid.1"), _SPECTRA),
        "feature_1d": "the features of the paper projected to one axis",
    },
)  # fmt: skip


def _narrowed(
    survey: Survey, required: Sequence[str], left_out: Collection[str], more: Sequence[Source] = (), **changes: Any
) -> Survey:
    """`survey` for one kind of its files: columns that this kind always has, never has, and has beside the others."""
    sources = tuple(
        dataclasses.replace(
            source,
            required=source.required or source.column.name in required,
            made=source.made if set(left_out).isdisjoint(source.made) else (),
        )
        for source in survey.sources
        if source.column.name not in left_out
    )
    return dataclasses.replace(survey, sources=(*sources, *more), **changes)


_ERRORS_AND_EXTINCTION = tuple(
    column.name for column in (*known.PSF_ERRORS, *known.CMODEL_ERRORS, *known.EXTINCTION, *known.WISE_ERRORS)
)

SDSS_ML = _narrowed(
    SDSS_WISE,
    required=_PREDICTED,
    left_out=(*_SPECTROSCOPIC, *_CMODEL_NAMES, *_ERRORS_AND_EXTINCTION, "match_dist"),
    name="sdss-ml",
    title="SDSS x WISE sources without spectra, classified by Clarke et al. 2020",
    steps=(PLACED, *(step for step in _UNLABELLED_STEPS if step.columns != ("cmod_r",))),
    doi="10.5281/zenodo.3459293",
)

SDSS_WISE_LABELLED = _narrowed(
    SDSS_WISE,
    required=(*_SPECTROSCOPIC, *_CMODEL_NAMES),
    left_out=(*_PREDICTED, "p_best"),
    name="sdss-wise-labelled",
    title="SDSS x WISE sources with spectra, as queried by Clarke et al. 2020",
    steps=(PLACED, *_LABELLED_STEPS),
)

# The predictions are missing for the half of the sources that the forest learnt from. The SDSS_ML.py of the
# authors (github.com/informationcake/SDSS-ML, v1.0) writes the table df_spec_classprobs.pkl: what query_spec.sql asks
# for, then resolvedr, feature_1D, class_pred, prob_g, prob_q, prob_s and prob_best.
SDSS_ML_LABELLED = _narrowed(
    SDSS_WISE,
    required=(*_SPECTROSCOPIC, *_CMODEL_NAMES, *_PREDICTED),
    left_out=(),
    name="sdss-ml-labelled",
    title="SDSS x WISE sources with spectra, classified by Clarke et al. 2020",
    steps=(PLACED, *_LABELLED_STEPS),
    doi="10.5281/zenodo.3459293",
)

SDSS_WISE_UNLABELLED = _narrowed(
    SDSS_WISE,
    required=("cmod_r", "match_dist"),
    left_out=(*_SPECTROSCOPIC, *_PREDICTED, "p_best"),
    more=(
        Source(known.PHOTO_TYPE, ("type",)),
        Source(known.PHOTO_REDSHIFT_CLASS, ("photoz_class", "photoerrorclass"), required=False, minimum=-100.0),
        Source(known.PHOTO_REDSHIFT, ("photoz", "z"), required=False, minimum=-100.0, maximum=9999.0,
               only_with="photoz_class"),
        Source(known.PHOTO_REDSHIFT_ERROR, ("photoz_error", "zerr"), required=False, minimum=-100.0, maximum=9999.0,
               only_with="photoz_class"),
    ),
    name="sdss-wise-unlabelled",
    title="SDSS x WISE sources without spectra, as queried by Clarke et al. 2020",
    steps=(PLACED, *(dataclasses.replace(step, only_without="") for step in _UNLABELLED_STEPS)),
    dropped={"z": "a redshift of unknown kind, since the file has no photoErrorClass"},
)  # fmt: skip

_DEREDDENED = tuple(
    dataclasses.replace(
        column,
        description=column.description.replace("not corrected for", "corrected for Galactic"),
        extinction="corrected",
    )
    for column in known.PSF
)
# The files of 2019, the first version of the record: magnitudes that were corrected before the forest learnt from them.
SDSS_ML_FIRST = dataclasses.replace(
    SDSS_ML,
    name="sdss-ml-first",
    title="SDSS x WISE sources without spectra, classified by Clarke et al. 2019 (first version)",
    sources=tuple(
        dataclasses.replace(
            source, column=_DEREDDENED[known.PSF.index(source.column)], names=(f"{source.column.name}_corr",)
        )
        if source.column in known.PSF
        else source
        for source in SDSS_ML.sources
    ),
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
        *(_measured(column) for column in known.WISE),
        Source(known.TRUTH, ("class",)),
        Source(known.REDSHIFT, ("redshift", "z"), minimum=-100.0, maximum=9999.0),
        _measured(_PROXY, required=False),
    ),
    classes=known.GALAXY_QUASAR_STAR,
    features=known.SDSS_WISE_FEATURES[:-1],
    derived=known.SDSS_WISE_DERIVED,
    defaults={
        "colour_magnitude": ["g_r", "psf_r"],
        "filters": ["psf_r"],
        "chosen_class": "QSO",
        "feature_sets": {title: names for title, names in known.FEATURE_SETS.items() if "resolved_r" not in names},
    },
    steps=(PLACED,),
    class_names={"QUASAR": "QSO"},
    dropped={"proxy_src": "text that tells how resolved_proxy was made"},
)
