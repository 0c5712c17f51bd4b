"""The columns that the simulator writes, in file order: those of the survey, and a few of its own."""

from __future__ import annotations

from dataclasses import replace

from galviz.manifest import Column
from galviz.simulate.survey import MEASURED
from galviz.surveys import SDSS_WISE

_KNOWN = {column.name: column for column in SDSS_WISE.columns}
_MISTAKES = "; as from a real pipeline, wrong for about one simulated source in two hundred"
_OWN = {
    **{
        f"{band}_limit": Column(
            f"{band}_limit", "bool", "flag", ucd="meta.code;phot.mag", kind="flag",
            description=f"True where {band} is a 95 % upper limit on the brightness; its uncertainty is then 0.543 mag",
        )
        for band in ("w3", "w4")
    },
    **{name: replace(_KNOWN[name], description=_KNOWN[name].description + _MISTAKES) for name in ("class", "redshift")},
    "sim_class": Column("sim_class", "int8", "simulation", ucd="src.class", kind="class", label="simulated class",
                        description="Class that was simulated; a real catalogue has none"),
    "sim_redshift": Column("sim_redshift", "float32", "simulation", ucd="src.redshift", label="simulated redshift",
                           description="Redshift that was simulated; a real catalogue has none"),
}  # fmt: skip


def schema(labelled: bool) -> tuple[Column, ...]:
    """The columns of a labelled (`class`, `redshift`) or unlabelled (`sim_class`, `sim_redshift`) catalogue."""
    truth = ("class", "redshift") if labelled else ("sim_class", "sim_redshift")
    names = ("objid", "ra", "dec", *MEASURED, "resolved_r", *truth)
    return tuple(_OWN.get(name) or _KNOWN[name] for name in names)
