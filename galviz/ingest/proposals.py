"""A description proposed for a file of an unknown survey, from its header and a look at its first rows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galviz.errors import IngestError
from galviz.ingest.matching import cleaned_name, plain_name, refuse_several
from galviz.ingest.readers import ColumnNote, ForeignTable
from galviz.manifest import Column, SourceClass
from galviz.surveys import GALAXY_QUASAR_STAR, GENERIC, Source, Survey
from galviz.surveys.generic import DEC_NAMES, ID_NAMES, MAGNITUDE_NAME, RA_NAMES
from galviz.surveys.model import colours, usual_defaults
from galviz.surveys.toml import survey_text
from galviz.surveys.units import factor, is_magnitude, known_unit, system_of

# What catalogues write where there is no value; one of them counts when it lies far from the other values.
SENTINELS = (-9999.0, 9999.0, -999.0, 999.0, -99.0, 99.0, -999.9, 999.9, -99.9, 99.9, -99.99, 99.99, 1e20, -1e20)
MOST_CLASSES = 20
_UCDS = {"magnitude": "phot.mag", "uncertainty": "stat.error", "extinction": "phys.absorption",
         "redshift": "src.redshift", "probability": "stat.probability"}  # fmt: skip
_EXACT = 2.0**53  # whole numbers up to here are exact in double precision
_MAGNITUDES = (-90.0, 90.0)  # beyond, a magnitude is a way to say that there is none
_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999")
_PLACE = GENERIC.sources[1:3]
_ROWS = 50_000  # of numbers that are looked at


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
        return (not self.whole or entry.kind == "integer") and _within(entry, self.unit, self.low, self.high)


# The first that fits counts; names and UCDs are compared without case.
RULES = (
    Rule("extinction", r"ext(inction)?_\w+|a_?v|a_[ugrizyjhk]\d?|e_?\(?b_?-?v\)?|\w*ebv\w*|sfd\w*",
         r"phys\.absorption"),
    Rule("uncertainty", r"e_\w+|\w*(err|uncert|_unc|sigma|sigm|msig|stdev|_rms)\w*|\w*_sd",
         r"stat\.(error|stdev|variance|rms)"),
    Rule("redshift", r"z|z_?(spec|phot|best|cmb|helio)\w*|\w*redshift\w*|\w*(spec|phot|photo)_?z", r"src\.redshift",
         -0.2, 8.0, unit=""),
    Rule("magnitude", rf"{MAGNITUDE_NAME}|z|y", r"phot\.mag(?!.*arith)", -5.0, 45.0, unit="mag"),
    Rule("colour", r"[ugrizyjhk]_[ugrizyjhk]|(bp|g)_(rp|bp|g)", r"phot\.colou?r|phot\.mag.*arith\.diff", -10.0, 15.0),
    Rule("probability", r"p_\w+|\w*prob\w*", r"stat\.(probability|likelihood)", 0.0, 1.0, unit=""),
    Rule("flag", r"\w*(flag|mask|warn|qual|bits|status|class|type)\w*", r"meta\.code", whole=True),
)  # fmt: skip
# Names of columns of classes, the most telling first.
_CLASS_NAMES = ("class", "true_class", "spectype", "spec_class", "label", r"\w*class\w*", r"\w*(obj|source|src)_?type",
                r"morph\w*", r"\w*type")  # fmt: skip
_CLASS_UCD = r"src\.class|meta\.code\.class|src\.morph\.type"
_VEGA = r"w[1-4]\w*|[jhk]s?(_\w+|mag)?|\w*(2mass|wise|gaia)\w*|phot_\w+_mean_mag|(bp|rp)mag"
_AB = r"(psf|cmod|cmodel|model|petro|fiber|aper|kron|dered)\w*_[ugrizy]|\w*(sdss|desi|des|decam|legacy|lsst|ps1)\w*"


@dataclass(frozen=True, eq=False)
class Look:
    """A column of a file: its name, what the file says of it, and its first values.

    `kind` is "integer", "number" or "text", and nothing where no value of the column can be read.
    """

    name: str
    note: ColumnNote
    kind: str
    values: NDArray[Any]

    @property
    def plain(self) -> str:
        return plain_name(self.name)

    @cached_property
    def known(self) -> NDArray[Any]:
        """The numbers that are neither missing nor sentinels."""
        finite = self._finite
        return finite[~_among(finite, self.sentinels)]

    @cached_property
    def sentinels(self) -> tuple[float, ...]:
        """Those of SENTINELS that occur, and lie farther from the other values than those spread."""
        finite = self._finite
        found = [value for value in SENTINELS if _among(finite, [value]).any()]
        rest = finite[~_among(finite, found)]
        if not found or not len(rest):
            return tuple(found)
        low, high = rest.min(), rest.max()
        return tuple(value for value in found if max(low - value, value - high) > max(high - low, 5.0))

    @property
    def _finite(self) -> NDArray[np.float64]:
        values = self.values.astype(np.float64) if self.kind in ("integer", "number") else np.empty(0)
        return values[np.isfinite(values)]

    def in_unit(self, unit: str | None) -> NDArray[np.float64] | None:
        """The known values in `unit`, or None where the file gives a unit that cannot be converted."""
        if unit is None or known_unit(self.note.unit) is None:
            return self.known
        ratio = factor(self.note.unit, unit)
        return None if ratio is None else self.known * ratio


def _among(values: NDArray[np.float64], wanted: Sequence[float]) -> NDArray[np.bool_]:
    """Where a value is one of the wanted ones, of single precision maybe."""
    result = np.zeros(len(values), bool)
    for value in wanted:
        result |= np.abs(values - value) <= 1e-6 * abs(value)
    return result


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

    Raises IngestError where it has no row, where no columns look like a position in degrees, and where two names
    are equal but for their case.
    """
    looks = look(table)
    place = _positions(table, looks)
    identity = _identifier(looks)
    truth, prediction = _class_columns(looks)
    classes, class_names = _classes([entry for entry in (truth, prediction) if entry])
    taken = [entry for entry in (*place, identity, truth, prediction) if entry]
    found: list[tuple[Source, str]] = [_placed(*pair) for pair in zip(_PLACE, place, strict=True)]
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
        source, remark = _measured(entry, names, classes, class_names)
        names.add(source.column.name)
        found.append((source, remark))
    return Proposal(
        _survey(table, [source for source, _ in found], classes, class_names, dropped),
        {source.column.name: remark for source, remark in found},
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


# The look


def look(table: ForeignTable) -> list[Look]:
    """Every column with its first values. Raises IngestError where there is no row, or a name occurs twice."""
    spelled: dict[str, list[str]] = {}
    for name in table.names:
        spelled.setdefault(plain_name(name), []).append(name)
    for names in spelled.values():
        refuse_several(table, names)
    numbers = _first_rows(table, table.names, "number")
    perhaps_whole = [name for name in table.names if name not in numbers or _is_whole(numbers[name])]
    integers = _first_rows(table, perhaps_whole, "integer")
    rest = [name for name in table.names if name not in numbers and name not in integers]
    texts = _first_rows(table, rest, "text")
    if not numbers and not integers and not texts:
        _read(table, dict.fromkeys(table.names, "text"))
        raise IngestError(f"{table.path} has no column that can be read; name a file with one value a row and column.")
    read = {"integer": integers, "number": numbers, "text": texts}
    rows = max(len(values) for columns in read.values() for values in columns.values())
    if rows == 0:
        raise IngestError(f"{table.path} has column names but no row; there is nothing to look at.")
    return [
        next(
            (_look(table, name, kind, found[name]) for kind, found in read.items() if name in found),
            _look(table, name, "", np.full(rows, np.nan)),
        )
        for name in table.names
    ]


def _look(table: ForeignTable, name: str, kind: str, values: NDArray[Any]) -> Look:
    seen = np.asarray(values, object) if kind == "text" else values[:_ROWS]
    return Look(name, table.columns.get(name, ColumnNote()), kind, seen)


def _first_rows(table: ForeignTable, names: Sequence[str], kind: str) -> dict[str, NDArray[Any]]:
    """The first values of those columns that can be read as `kind`: halves, where one column spoils the rest."""
    if not names:
        return {}
    try:
        return _read(table, dict.fromkeys(names, kind))
    except IngestError:
        middle = len(names) // 2
        if not middle:
            return {}
        return _first_rows(table, names[:middle], kind) | _first_rows(table, names[middle:], kind)


def _read(table: ForeignTable, kinds: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    chunk, _ = next(iter(table.chunks(kinds)), ({name: np.empty(0) for name in kinds}, 1.0))
    return chunk


def _is_whole(values: NDArray[Any]) -> bool:
    return bool(len(values)) and bool((np.isfinite(values) & (values == np.round(values))).all())


# What a column is


def _positions(table: ForeignTable, looks: Sequence[Look]) -> tuple[Look, Look]:
    found = [
        _best_position(looks, ucd, names, low, high)
        for ucd, names, low, high in (("pos.eq.ra", RA_NAMES, 0.0, 360.0), ("pos.eq.dec", DEC_NAMES, -90.0, 90.0))
    ]
    for entry, words in zip(found, ("right ascension (0 to 360 deg)", "declination (-90 to 90 deg)"), strict=True):
        if entry is None:
            raise IngestError(
                f"No column of {table.path} looks like a {words}; its columns are {_listed(table.names)}; rename the "
                "two columns of the position to ra and dec."
            )
    ra, dec = (entry for entry in found if entry)
    return ra, dec


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def _best_position(looks: Sequence[Look], ucd: str, names: Sequence[str], low: float, high: float) -> Look | None:
    ranked = []
    for place, entry in enumerate(looks):
        ucds = entry.note.ucd.lower()
        by_ucd = ucds.startswith(ucd) and "error" not in ucds
        if (
            entry.kind in ("integer", "number")
            and (by_ucd or entry.plain in names)
            and _within(entry, "deg", low, high)
        ):
            rank = names.index(entry.plain) if entry.plain in names else len(names)
            ranked.append((not (by_ucd and "meta.main" in ucds), not by_ucd, rank, place))
    return looks[min(ranked)[-1]] if ranked else None


def _within(entry: Look, unit: str | None, low: float, high: float) -> bool:
    """Whether nine tenths of the known values lie in the range; also where there is none."""
    values = entry.in_unit(unit)
    if values is None:
        return False
    return not len(values) or bool(((values >= low) & (values <= high)).mean() >= 0.9)


def _placed(known: Source, entry: Look) -> tuple[Source, str]:
    words = entry.note.description or known.column.description
    column = dataclasses.replace(known.column, ucd=entry.note.ucd or known.column.ucd, description=words)
    remark = _remark("position", entry)
    values = entry.in_unit("deg")
    if values is not None and len(values) and np.abs(values).max() <= np.radians(known.maximum) and not entry.note.unit:
        remark += '; small enough for radians: say file_unit = "rad" if it is in them'
    return dataclasses.replace(known, column=column, names=(_spelling(entry),), sentinels=entry.sentinels), remark


def _spelling(entry: Look) -> str:
    return entry.name if entry.name.lower() == entry.plain else entry.plain


def _identifier(looks: Sequence[Look]) -> Look | None:
    """The column of distinct whole numbers that is most like an identifier by UCD or name."""
    ranked = []
    for place, entry in enumerate(looks):
        if entry.kind != "integer" or len(np.unique(entry.values)) < len(entry.values):
            continue
        by_ucd = re.match(r"meta\.id", entry.note.ucd, re.IGNORECASE)
        if by_ucd or entry.plain in ID_NAMES or re.fullmatch(r"\w*_?id|id_\w+|\w*(objid|source_?id)\w*", entry.plain):
            known = entry.plain not in ID_NAMES
            ranked.append(("meta.main" not in entry.note.ucd, not by_ucd, known, place))
    return looks[min(ranked)[-1]] if ranked else None


def _identified(entry: Look) -> tuple[Source, str]:
    words = entry.note.description or "Identifier of the source"
    column = Column("objid", "int64", "id", "", entry.note.ucd or "meta.id;meta.main", words)
    return Source(column, (_spelling(entry),)), f"identifier: {len(entry.values):,} distinct whole numbers"


def _class_columns(looks: Sequence[Look]) -> tuple[Look | None, Look | None]:
    """The column of true classes and that of predicted ones, where there are such."""
    found: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
    for place, entry in enumerate(looks):
        by_ucd = bool(re.match(_CLASS_UCD, entry.note.ucd, re.IGNORECASE))
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
        name, "int8", role, "", entry.note.ucd or "src.class", entry.note.description or words,
        label=words.lower(), kind="class",
    )  # fmt: skip
    spellings = _spellings(entry)
    return Source(column, (_spelling(entry),)), f"classes: {', '.join(spellings)} in the first rows"


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
    name = _free_name("redshift" if role == "redshift" else cleaned_name(entry.plain), taken)
    low, high = _MAGNITUDES if role == "magnitude" else (float("-inf"), float("inf"))
    column = Column(
        name,
        {"flag": "int64", "other": "float64"}.get(role, "float32"),
        role,
        _unit(entry, role),
        entry.note.ucd or _UCDS.get(role, ""),
        entry.note.description,
        _system(entry) if role == "magnitude" else "",
        of_class,
    )
    source = Source(column, (_spelling(entry),), role == "magnitude", low, high, sentinels=entry.sentinels)
    return source, _remark(f"{role}{why}", entry)


def _role(entry: Look) -> tuple[str, str]:
    """The role of a column of numbers, and by what."""
    by_ucd = [rule for rule in RULES if re.match(rule.ucds, entry.note.ucd, re.IGNORECASE)]
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


def _free_name(name: str, taken: Iterable[str]) -> str:
    names = set(taken)
    return next(text for text in _numbered(name) if text not in names)


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name[:60]}_{number}"
        number += 1


def _remark(what: str, entry: Look) -> str:
    known = entry.known
    extent = f"{known.min():.6g} to {known.max():.6g}" if len(known) else "no value"
    missing = f"; {', '.join(f'{value:g}' for value in entry.sentinels)} for missing" if entry.sentinels else ""
    return f"{what}; {extent} in the first rows{missing}"
