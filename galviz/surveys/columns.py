"""The columns of SDSS and WISE: what each of them is, whichever survey lists them."""

from __future__ import annotations

from galviz.manifest import Column, SourceClass
from galviz.surveys.model import colour

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
           f"SDSS PSF magnitude, {band} band, not corrected for extinction", "AB", label=f"{band} PSF",
           extinction="uncorrected")
    for band, ucd in _SDSS.items()
)  # fmt: skip
CMODEL = {
    band: Column(f"cmod_{band}", "float32", "magnitude", "mag", f"phot.mag;{ucd}",
                 f"SDSS composite model magnitude, {band} band, not corrected for extinction", "AB",
                 label=f"{band} cmodel", extinction="uncorrected")
    for band, ucd in _SDSS.items()
}  # fmt: skip
PSF_ERRORS, CMODEL_ERRORS = (
    tuple(
        Column(f"{kind}err_{band}", "float32", "uncertainty", "mag", f"stat.error;phot.mag;{ucd}",
               f"Uncertainty of {kind}_{band}")
        for band, ucd in _SDSS.items()
    )
    for kind in ("psf", "cmod")
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
PHOTO_TYPE = Column("type", "int32", "flag", "", "meta.code.class;src.morph",
                    "SDSS photometric type: 3 where extended, 6 where a point source")  # fmt: skip
PHOTO_REDSHIFT = Column("photoz", "float32", "redshift", "", "src.redshift.phot", "SDSS photometric redshift",
                        label="photometric redshift")  # fmt: skip
PHOTO_REDSHIFT_ERROR = Column("photoz_error", "float32", "uncertainty", "", "stat.error;src.redshift.phot",
                              "Uncertainty of photoz, to be trusted where photoz_class is 1")  # fmt: skip
PHOTO_REDSHIFT_CLASS = Column("photoz_class", "int32", "flag", "", "meta.code.qual;src.redshift.phot",
                              "SDSS photoErrorClass: 1 is the best, below 0 far from the training set")  # fmt: skip
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

SKY = (
    Column("sky_x", "float32", "projection", "", "pos.cartesian.x",
           "Hammer projection, right ascension to the left, 180 deg in the middle", formula=("hammer_x", "ra", "dec")),
    Column("sky_y", "float32", "projection", "", "pos.cartesian.y", "Hammer projection, north up",
           formula=("hammer_y", "ra", "dec")),
)  # fmt: skip
SDSS_WISE_DERIVED = (
    colour("u_g", "psf_u", "psf_g", "u - g", "AB"),
    colour("g_r", "psf_g", "psf_r", "g - r", "AB"),
    colour("r_i", "psf_r", "psf_i", "r - i", "AB"),
    colour("i_z", "psf_i", "psf_z", "i - z", "AB"),
    colour("z_w1", "psf_z", "w1", "z - W1", "AB - Vega"),
    colour("w1_w2", "w1", "w2", "W1 - W2", "Vega"),
    colour("w2_w3", "w2", "w3", "W2 - W3", "Vega"),
    colour("w3_w4", "w3", "w4", "W3 - W4", "Vega"),
    Column("abs_u_z", "float32", "colour", "mag", "phot.color", "|u - z|", "AB", label="|u - z|",
           formula=("absolute_difference", "psf_u", "psf_z")),
    Column("abs_w1_w2", "float32", "colour", "mag", "phot.color", "|W1 - W2|", "Vega", label="|W1 - W2|",
           formula=("absolute_difference", "w1", "w2")),
    *SKY,
)  # fmt: skip
