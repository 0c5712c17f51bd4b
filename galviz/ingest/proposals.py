"""A description proposed for a file of an unknown survey, from its header and a look at its first rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from galviz.ingest.looks import Look, look, remark, spelling, within
from galviz.ingest.matching import cleaned_name
from galviz.ingest.places import placed
from galviz.ingest.readers import ForeignTable
from galviz.manifest import Column, SourceClass
from galviz.surveys import GALAXY_QUASAR_STAR, GENERIC, Source, Survey
from galviz.surveys.generic import ID_NAMES, MAGNITUDE_NAME
from galviz.surveys.model import colours, usual_defaults
from galviz.surveys.toml import survey_text
from galviz.surveys.units import is_magnitude, known_unit, system_of

MOST_CLASSES = 20
_UCDS = {"magnitude": "phot.mag", "uncertainty": "stat.error", "extinction": "phys.absorption",
         "redshift": "src.redshift", "probability": "stat.probability"}  # fmt: skip
_EXACT = 2.0**53  # whole numbers up to here are exact in double precision
_MAGNITUDES = (-90.0, 90.0)  # beyond, a magnitude is a way to say that there is none
_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")


@dataclass(frozen=True)
class Rule:
    """What a column of numbers is: by its UCD or its name, and by where nine tenths of its values lie."""

    role: str
    names: str
    ucds: str
    low: float = float("-inf")
    high: float = float("inf")
    unit: str | None = None
    whole: bool = False

    def allows(self, entry: Look) -> bool:
        """Whether the values, in the unit of the rule where it has one, are such."""
        return (not self.whole or entry.kind == "integer") and within(entry, self.unit, self.low, self.high)


# The first that fits counts; names and UCDs are compared without case.
RULES = (
    Rule("extinction", r"ext(inction)?_(?!fl)\w+|a_?v|a_[ugrizyjhk]\d?|e_?\(?b_?-?v\)?|\w*ebm?v\w*|sfd\w*",
         r"phys\.absorption"),
    Rule("uncertainty", r"e_\w+|\w*(err|uncert|_unc|sigma|sigm|msig|cmsig|stdev|magstd|_rms)\w*|\w*_sd|sig(ra|de|dec)",
         r"stat\.(error|stdev|variance|rms)"),
    Rule("redshift", r"z|z_?(spec|phot|best|cmb|helio|sp$|ph$|ml$|b$|mode|median|value|pdf)\w*|\w*redshift\w*"
         r"|\w*(spec|phot|photo)_?z|(photo|phot|spec)_?z_(best|mode|median|mean|ml|mc)|\w+_z(best|pdf|_phot|_spec)"
         r"|phz_(best|mode|median|mean)", r"src\.redshift",
         -0.2, 8.0, unit=""),
    Rule("magnitude", rf"{MAGNITUDE_NAME}|z|y", r"phot\.mag(?!.*arith)", -5.0, 45.0, unit="mag"),
    Rule("colour", r"[ugrizyjhk]_[ugrizyjhk]|(bp|g)_(rp|bp|g)", r"phot\.colou?r|phot\.mag.*arith\.diff", -10.0, 15.0),
    Rule("probability", r"p_\w+|\w*prob\w*|p(star|galaxy|qso|quasar|gal)|class_star(_\w)?",
         r"stat\.(probability|likelihood)", 0.0, 1.0, unit=""),
    Rule("flag", r"\w*(flag|flg|mask|warn|qual|bits|status|class|type)\w*", r"meta\.code", whole=True),
)  # fmt: skip
# Names of columns of classes, the most telling first.
_CLASS_NAMES = ("class", "true_class", "spectype", "spec_class", "spcl", "label", r"(?!sub)\w*class\w*",
                r"\w*(obj|source|src)_?type", r"morph\w*", r"\w*type")  # fmt: skip
_CLASS_UCD = r"src\.class|meta\.code\.class|src\.morph\.type"
_VEGA = r"w[1-4]\w*|[jhk]s?(_\w+|mag)?|\w*(2mass|wise|gaia)\w*|phot_\w+_mean_mag|(bp|rp)mag"
_AB = r"(psf|cmod|cmodel|model|petro|fiber|aper|kron|dered)\w*_[ugrizy]|\w*(sdss|desi|des|decam|legacy|lsst|ps1)\w*"

_PHOTOMETRIC = r"ph|z_?(b|ml|pdf)$"  # in a redshift's UCD or name
_CORRECTED = r"dered\w*|\w+_(corr|dered)"  # for extinction by the Galaxy


@dataclass(frozen=True)
class Proposal:
    """A survey for a file, and why each column was taken for what it is, by name."""

    survey: Survey
    remarks: Mapping[str, str]
    preamble: tuple[str, ...]

    @property
    def text(self) -> str:
        """The TOML, with the reasons as comments."""
        return survey_text(self.survey, self.remarks, self.preamble)


def propose(table: ForeignTable) -> Proposal:
    """Describe a file from its names, units and UCDs and from its first rows.

    Raises IngestError where it has no row, where no columns look like a position, and where two names
    are equal but for their case.
    """
    looks = look(table)
    found, place = placed(table, looks)
    identity = _identifier(looks)
    truth, prediction = _class_columns(looks)
    classes, class_names = _classes([entry for entry in (truth, prediction) if entry])
    taken = [entry for entry in (*place, identity, truth, prediction) if entry]
    if identity:
        found.insert(0, _identified(identity))
    found += [_classed(entry, kind) for entry, kind in ((truth, "truth"), (prediction, "prediction")) if entry]
    dropped: dict[str, str] = {}
    names = {source.column.name for source, _ in found}
    for entry in looks:
        if entry in taken:
            continue
        if reason := _reason_to_drop(entry):
            dropped[entry.plain] = reason
            continue
        source, why = _measured(entry, names, classes, class_names)
        names.add(source.column.name)
        found.append((source, why))
    return Proposal(
        _survey(table, [source for source, _ in found], classes, class_names, dropped),
        {source.column.name: why for source, why in found},
        (
            f"Proposed from the header and the first rows of {table.path.name}.",
            "Read it and mend it, then say --survey with the name of this file.",
        ),
    )


def _survey(
    table: ForeignTable, sources: Sequence[Source], classes: tuple[SourceClass, ...],
    class_names: Mapping[str, str], dropped: Mapping[str, str],
) -> Survey:  # fmt: skip
    columns = [source.column for source in sources]
    magnitudes = [column for column in columns if column.role == "magnitude"]
    features = magnitudes or [column for column in columns if "flux" in f"{column.name} {column.ucd}".lower()]
    taken = {column.name for column in columns}
    made = tuple(column for column in colours(magnitudes) if column.name not in taken)
    defaults = usual_defaults(features, made)
    if classes:
        defaults["chosen_class"] = next((c.name for c in classes if c.name == "QSO"), classes[0].name)
    stem = re.sub(r"[^A-Za-z0-9]+", "-", table.path.name.partition(".")[0]).strip("-")[:64]
    return Survey(
        name=stem or "mine",
        title=f"Sources of {table.path.name}",
        sources=tuple(sources),
        classes=classes,
        features=tuple(column.name for column in features if column.role != "uncertainty"),
        derived=(*(column for column in GENERIC.derived if column.name not in taken), *made),
        defaults=defaults,
        steps=GENERIC.steps,
        class_names=class_names,
        dropped=dropped,
    )


# What a column is


def _identifier(looks: Sequence[Look]) -> Look | None:
    """The column of distinct whole numbers that is most like an identifier by UCD or name."""
    ranked = []
    for place, entry in enumerate(looks):
        if entry.kind != "integer" or len(np.unique(entry.values)) < len(entry.values):
            continue
        by_ucd = re.match(r"meta\.id", entry.plain_ucd)
        if by_ucd or entry.plain in ID_NAMES or re.fullmatch(r"\w*_?id|id_\w+|\w*(objid|source_?id)\w*", entry.plain):
            known = entry.plain not in ID_NAMES
            ranked.append(("meta.main" not in entry.plain_ucd, not by_ucd, known, place))
    return looks[min(ranked)[-1]] if ranked else None


def _identified(entry: Look) -> tuple[Source, str]:
    words = entry.note.description or "Identifier of the source"
    column = Column("objid", "int64", "id", "", entry.ucd or "meta.id;meta.main", words)
    return Source(column, (spelling(entry),)), f"identifier: {len(entry.values):,} distinct whole numbers"


def _class_columns(looks: Sequence[Look]) -> tuple[Look | None, Look | None]:
    """The column of true classes and that of predicted ones, where there are such."""
    found: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for place, entry in enumerate(looks):
        by_ucd = bool(re.match(_CLASS_UCD, entry.plain_ucd))
        if entry.kind == "text" and 0 < len(_spellings(entry)) <= MOST_CLASSES:
            rank = next(
                (n for n, names in enumerate(_CLASS_NAMES) if re.fullmatch(names, entry.plain)), len(_CLASS_NAMES)
            )
            if by_ucd or rank < len(_CLASS_NAMES):
                found["pred" in entry.plain].append((rank, place))
    truth, prediction = (looks[min(found[kind])[1]] if found[kind] else None for kind in (False, True))
    return truth, prediction


def _spellings(entry: Look) -> list[str]:
    """The distinct texts in capitals."""
    return sorted({str(text).strip().upper() for text in entry.values if text is not None and str(text).strip()})


def _classed(entry: Look, role: str) -> tuple[Source, str]:
    name, words = ("class", "Class") if role == "truth" else ("class_pred", "Predicted class")
    column = Column(
        name, "int8", role, "", entry.ucd or "src.class", entry.note.description or words,
        label=words.lower(), kind="class",
    )  # fmt: skip
    spellings = _spellings(entry)
    return Source(column, (spelling(entry),)), f"classes: {', '.join(spellings)} in the first rows"


def _classes(entries: Sequence[Look]) -> tuple[tuple[SourceClass, ...], dict[str, str]]:
    """The classes of the columns, and their other spellings."""
    usual = {entry.name: entry for entry in GALAXY_QUASAR_STAR}
    spellings = sorted({text for entry in entries for text in _spellings(entry)})
    synonyms = {text: "QSO" for text in spellings if text in ("QUASAR", "QUASARS")}
    names = list(dict.fromkeys(synonyms.get(text, text) for text in spellings))
    names.sort(key=lambda name: (name not in usual, name))
    return tuple(
        usual.get(name) or SourceClass(name, name.lower(), f"{name.lower()}s", colour, colour)
        for name, colour in zip(names, _cycled(_COLOURS), strict=False)
    ), synonyms


def _cycled(values: Sequence[str]) -> Iterator[str]:
    while True:
        yield from values


def _reason_to_drop(entry: Look) -> str:
    """Why a column is not read, or nothing."""
    if entry.kind == "text":
        return "text"
    if not entry.kind:
        return "neither numbers nor text, one value a row"
    if entry.kind == "integer" and np.abs(entry.values.astype(np.float64)).max(initial=0) >= _EXACT:
        return "whole numbers beyond 2^53, and not the identifier of the source"
    if not re.match(r"[A-Za-z_]", cleaned_name(entry.plain)):
        return "of a name that no column can have"
    return ""


def _measured(
    entry: Look, taken: Iterable[str], classes: Sequence[SourceClass], class_names: Mapping[str, str]
) -> tuple[Source, str]:
    """What a column of numbers is, and why."""
    role, why = _role(entry)
    of_class = _of_class(entry.plain, classes, class_names) if role == "probability" else ""
    role = "other" if role == "probability" and not of_class else role
    name = _name(entry, role, set(taken))
    low, high = _MAGNITUDES if role == "magnitude" else (float("-inf"), float("inf"))
    column = Column(
        name,
        {"flag": "int64", "other": "float64"}.get(role, "float32"),
        role,
        _unit(entry, role),
        entry.ucd or _UCDS.get(role, ""),
        entry.note.description,
        _system(entry) if role == "magnitude" else "",
        of_class,
        extinction="corrected" if role == "magnitude" and re.fullmatch(_CORRECTED, entry.plain) else "",
    )
    source = Source(column, (spelling(entry),), role == "magnitude", low, high, sentinels=entry.sentinels)
    return source, remark(f"{role}{why}", entry)


def _role(entry: Look) -> tuple[str, str]:
    """The role of a column of numbers, and by what."""
    by_ucd = [rule for rule in RULES if re.match(rule.ucds, entry.plain_ucd)]
    by_name = [rule for rule in RULES if re.fullmatch(rule.names, entry.plain, re.IGNORECASE)]
    for rules, words in ((by_ucd, " by its UCD"), (by_name, " by its name")):
        if rule := next((rule for rule in rules if rule.allows(entry)), None):
            return rule.role, words
    if is_magnitude(entry.note.unit) and not by_ucd and not by_name:
        return "magnitude", " by its unit"
    return "other", ""


def _of_class(name: str, classes: Sequence[SourceClass], class_names: Mapping[str, str]) -> str:
    """The one class that the name of a column speaks of, or nothing."""
    words = {text: entry.name for entry in classes for text in (entry.name.lower(), entry.label)}
    words |= {spelling.lower(): known for spelling, known in class_names.items()}
    found = {known for word, known in words.items() if word in name}
    return found.pop() if len(found) == 1 else ""


def _unit(entry: Look, role: str) -> str:
    if role == "magnitude":
        return "mag"
    plain = role in ("flag", "redshift", "probability")
    return "" if plain or known_unit(entry.note.unit) is None else entry.note.unit


def _system(entry: Look) -> str:
    if known := system_of(entry.note.unit):
        return known
    return next((s for s, names in (("Vega", _VEGA), ("AB", _AB)) if re.fullmatch(names, entry.plain)), "")


def _name(entry: Look, role: str, taken: set[str]) -> str:
    """A name that is free: its own, but redshift for the first spectroscopic one."""
    own = cleaned_name(entry.plain)
    photometric = re.search(_PHOTOMETRIC, f"{entry.plain_ucd} {entry.plain}")
    if role == "redshift" and not photometric and "redshift" not in taken:
        return "redshift"
    return next(name for name in _numbered(own) if name not in taken)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name[:60]}_{number}"
        number += 1
