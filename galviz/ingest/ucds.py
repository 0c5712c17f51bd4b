"""UCDs, what a column is in the words of the IVOA; those of before 2005 as today's."""

from __future__ import annotations

import re

# The UCD1 that SkyServer, IRSA and older files of VizieR give, as UCD1+; the first that fits counts.
_OLD = (
    (r"pos_eq_ra_main", "pos.eq.ra;meta.main"),
    (r"pos_eq_dec_main", "pos.eq.dec;meta.main"),
    (r"pos_eq_ra\w*", "pos.eq.ra"),
    (r"pos_eq_dec\w*", "pos.eq.dec"),
    (r"pos_gal_lon\w*", "pos.galactic.lon"),
    (r"pos_gal_lat\w*", "pos.galactic.lat"),
    (r"id_main", "meta.id;meta.main"),
    (r"id_\w+", "meta.id"),
    (r"error|\w+_error", "stat.error"),
    (r"(phot_)?extin\w*", "phys.absorption"),
    (r"phot_flux\w*", "phot.flux"),
    (r"phot_(ci|color)\w*", "phot.color"),
    (r"phot_\w+", "phot.mag"),
    (r"redshift\w*", "src.redshift"),
    (r"class_\w+", "src.class"),
    (r"code_\w+", "meta.code"),
)


def modern(ucd: str) -> str:
    """A UCD as it is, or, where it is of the old kind and known, in the words of today."""
    lower = ucd.strip().lower()
    return next((words for pattern, words in _OLD if re.fullmatch(pattern, lower)), ucd.strip())
