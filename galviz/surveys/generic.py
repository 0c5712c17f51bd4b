"""A survey for files of which nothing is known but that they list positions: any magnitudes, no classes."""

from __future__ import annotations

import dataclasses

from galviz.manifest import Column
from galviz.surveys.columns import POSITION, SKY
from galviz.surveys.model import Source, Step, Survey

RA_NAMES = (
    "ra", "raj2000", "_raj2000", "ra_j2000", "ra_icrs", "alpha_j2000", "alphawin_j2000", "ra_deg", "radeg", "target_ra",
    "ramean", "mean_ra", "ra_mean", "meanra", "ra2000", "right_ascension", "s_ra", "coord_ra",
)  # fmt: skip
DEC_NAMES = (
    "dec", "dej2000", "decj2000", "_dej2000", "dec_j2000", "de_icrs", "dec_icrs", "delta_j2000", "deltawin_j2000",
    "dec_deg", "decdeg", "dedeg", "target_dec", "decl", "decmean", "mean_dec", "dec_mean", "meandec", "dec2000",
    "declination", "s_dec", "coord_dec",
)  # fmt: skip
ID_NAMES = (
    "objid", "source_id", "sourceid", "targetid", "object_id", "objectid", "obj_id", "coadd_object_id",
    "gaia_source_id", "uniqueid", "id_object",
)  # fmt: skip
# Whole names, in any case: gmag, psfMag_u, phot_g_mean_mag, MAG_AUTO, j_m, w1mpro, r; never an uncertainty of them.
MAGNITUDE_NAME = (
    r"(?!e_|.*(err|unc|sig|flag|limit|snr|_e$))"
    r"(\w*mag([_\d]\w*)?|w[1-4](mpro)?|[jhk]s?_m|(psf|cmod|cmodel|model|aper)_?[ugrizyjhk]\d?|[ugrijhk]|ks)"
)

GENERIC = Survey(
    name="generic",
    title="Sources of an unknown survey",
    sources=(
        Source(Column("objid", "int64", "id", "", "meta.id;meta.main", "Identifier of the source"), ID_NAMES, False),
        Source(dataclasses.replace(POSITION[0], description="Right ascension"), RA_NAMES,
               minimum=0.0, maximum=360.001),
        Source(dataclasses.replace(POSITION[1], description="Declination"), DEC_NAMES,
               minimum=-90.0, maximum=90.001),
        Source(Column("magnitudes", "float32", "magnitude", "mag", "phot.mag", "Magnitude, taken for one by its name"),
               required=False, minimum=-90.0, maximum=90.0, pattern=MAGNITUDE_NAME),
        Source(Column("z", "float32", "magnitude", "mag", "phot.mag;em.opt.I",
                      "Magnitude, taken for one beside magnitudes of the r and i bands"),
               ("zmag", "z"), required=False, minimum=-90.0, maximum=90.0, only_with="i"),
    ),
    classes=(),
    features=(),
    derived=SKY,
    steps=(Step("a source needs a position", ("ra", "dec")),),
    dropped={"z": "a magnitude or a redshift: the file does not say which"},
)  # fmt: skip
