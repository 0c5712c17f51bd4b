"""A survey for files of which nothing is known but that they list positions: any magnitudes, no classes."""

from __future__ import annotations

import dataclasses

from galviz.manifest import Column
from galviz.surveys.columns import POSITION, SKY
from galviz.surveys.model import Source, Step, Survey

# Names of right ascension and declination in lower case, the more usual ones first, as SDSS, VizieR, Gaia, DES, LSST,
# DESI, Pan-STARRS, SExtractor, ObsCore, NED and SIMBAD write them.
PLACES = (
    ("ra", "dec"), ("raj2000", "dej2000"), ("raj2000", "decj2000"), ("_raj2000", "_dej2000"), ("ra_j2000", "dec_j2000"),
    ("ra_icrs", "de_icrs"), ("ra_icrs", "dec_icrs"), ("_ra.icrs", "_de.icrs"), ("_ra_icrs", "_de_icrs"),
    ("alpha_j2000", "delta_j2000"), ("alphawin_j2000", "deltawin_j2000"), ("alphapeak_j2000", "deltapeak_j2000"),
    ("ra_deg", "dec_deg"), ("ra_deg", "de_deg"), ("radeg", "dedeg"), ("radeg", "decdeg"), ("ra_d", "dec_d"),
    ("ra_degrees", "dec_degrees"), ("ra(deg)", "dec(deg)"), ("ra (deg)", "dec (deg)"), ("ra [deg]", "dec [deg]"),
    ("target_ra", "target_dec"), ("mean_fiber_ra", "mean_fiber_dec"), ("fiber_ra", "fiber_dec"),
    ("ramean", "decmean"), ("mean_ra", "mean_dec"), ("ra_mean", "dec_mean"), ("meanra", "meandec"),
    ("rastack", "decstack"), ("ra2000", "dec2000"), ("ra_2000", "dec_2000"), ("ra", "decl"), ("ra", "de"),
    ("right_ascension", "declination"), ("right ascension", "declination"), ("rightascension", "declination"),
    ("s_ra", "s_dec"), ("coord_ra", "coord_dec"), ("ra_corr", "dec_corr"), ("sc_ra", "sc_dec"),
    ("alpha_sky", "delta_sky"), ("alphawin_sky", "deltawin_sky"), ("alpha_world", "delta_world"),
    ("x_world", "y_world"), ("_ra", "_de"),
)  # fmt: skip
RA_NAMES, DEC_NAMES = (tuple(dict.fromkeys(pair[side] for pair in PLACES)) for side in (0, 1))
ID_NAMES = (
    "objid", "source_id", "sourceid", "targetid", "object_id", "objectid", "obj_id", "coadd_object_id",
    "gaia_source_id", "uniqueid", "id_object", "diaobjectid", "sobject_id", "photo_id", "cntr", "oid", "recno",
)  # fmt: skip
# Whole names, in any case: gmag, psfMag_u, phot_g_mean_mag, MAG_AUTO, j_m_2mass, u_psf, dered_r, w1mpro, r; never an
# uncertainty of them.
MAGNITUDE_NAME = (
    r"(?!e_|.*(err|unc|sig|std|flag|flg|limit|snr|_e$))"
    r"(\w*mag([_\d]\w*)?|w[1-4](mpro)?|[jhk]s?_m(_\w+)?|(psf|cmod|cmodel|model|aper|dered)_?[ugrizyjhk]\d?|"
    r"[ugrizyv]_(psf|petro|kron|auto|cmodel)|[ugrijhk]|ks)"
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
