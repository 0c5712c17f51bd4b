"""The About tab: what the catalogue is and how it was made, its columns, the conventions, and how to use the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import panel as pn

from dashboard import style
from dashboard.funnel import SHOWN, funnel_html
from dashboard.state import Session, Settings
from galviz import __version__
from galviz.catalogue import Catalogue
from galviz.ingest import SURVEY_TEXT
from galviz.manifest import Column, Group

_TOLD = (*SHOWN, SURVEY_TEXT)  # of a provenance, in the funnel or by `galviz survey`
PAPER = (
    "Clarke, A. O., Scaife, A. M. M., Greenhalgh, R. & Griguta, V. 2020, “Identifying galaxies, quasars, and stars "
    "with machine learning: A new catalogue of classifications for 111 million SDSS sources without spectra”, "
    "A&amp;A 639, A84; arXiv:1909.10963; data doi:10.5281/zenodo.3459293, code doi:10.5281/zenodo.3855160."
)
CONVENTIONS = (
    "Positions are ICRS, J2000, in degrees. Right ascension grows to the left, north is up; the whole sky is an "
    "equal-area Hammer projection.",
    "SDSS magnitudes are asinh magnitudes near AB, WISE magnitudes are Vega; colours across the two mix the systems, "
    "as the classifier does. Bright is at the top.",
    "resolved_r = |psf_r − cmod_r| is near 0 for a point source.",
    "A probability is the share of the trees that vote for a class: a multiple of 1/200 for 200 trees. Thresholds are "
    "strict: “p &gt; 0.9” leaves out 0.9 itself.",
    "Vote fractions are measured where spectra exist. Sources without spectra are fainter and of another class mix, so "
    "their purity is lower than the test set says.",
    "Intervals are Wilson score intervals at 95 %; that of F1 follows from the one of TP / (TP + FP + FN).",
    "Names are SDSS Jhhmmss.ss+ddmmss.s, cut off and never rounded. Object identifiers are text, every digit kept.",
    "A missing value is empty, never a number; it fulfils no condition.",
)
HELP = (
    ("drag in a view", "select a box, or with the lasso any shape; every other view follows"),
    ("drag on a histogram", "the same as moving its filter"),
    ("wheel", "zoom around the pointer"),
    ("pan tool, then drag", "move the view; the reset tool goes back to all of it"),
    ("chips beside the views", "each is one condition; a click removes it"),
    ("click a class in the legend", "switch it off and on"),
    ("number beside a slider", "type a value; Enter applies it"),
    ("Tab, Space, arrow keys", "reach, press and move any control without a mouse"),
    ("◐", "dark or light page"),
)


def guide_tab(session: Session, settings: Settings) -> pn.viewable.Viewable:
    """The About tab; follows the session's catalogue."""
    pane = pn.pane.HTML(guide_html(session.catalogue, session.labelled), sizing_mode="stretch_width", margin=0)

    def catalogue_changed(*_: object) -> None:
        pane.object = guide_html(session.catalogue, session.labelled)

    session.param.watch(catalogue_changed, "catalogue")
    return pn.Column(pane, sizing_mode="stretch_both", scroll="y-auto", margin=0, css_classes=["gv-guide", "gv-scroll"])


def guide_html(catalogue: Catalogue, labelled: Catalogue | None = None) -> str:
    """The whole text; everything that comes from a catalogue is escaped."""
    left = _catalogue_card(catalogue, "This catalogue")
    if labelled is not None:
        left += _catalogue_card(labelled, "Labelled catalogue, to train on and to test with")
    left += _card("Mouse and keys", _facts((keys, text) for keys, text in HELP))
    left += _card("Conventions", "<ul>" + "".join(f"<li>{text}</li>" for text in CONVENTIONS) + "</ul>")
    left += _card("Please cite", f"<p>{PAPER}</p><p class='gv-quiet'>This page is galviz {__version__}.</p>")
    right = _funnel_card(catalogue, "From the files to this catalogue")
    if labelled is not None and labelled != catalogue:
        right += _funnel_card(labelled, "From the files to the labelled catalogue")
    right += _columns_card(catalogue) + _making_card(catalogue)
    return f'<div class="gv-about"><div>{left}</div><div>{right}</div></div>'


def _card(title: str, body: str) -> str:
    return f'<section class="gv-sheet"><h2>{title}</h2>{body}</section>'


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs) + "</dl>"


def _catalogue_card(catalogue: Catalogue, title: str) -> str:
    manifest = catalogue.manifest
    e = style.escape
    note = (
        "<p class='gv-warn'><span class='gv-badge'>simulated</span> No source here exists on the sky.</p>"
        if manifest.simulated
        else ""
    )
    facts = [
        ("title", e(manifest.title)),
        ("sources", style.number(manifest.rows)),
        ("classes", ", ".join(e(entry.plural) for entry in manifest.classes) or "none"),
        ("survey", e(manifest.survey)),
        ("name, version", f"{e(manifest.name)}, {manifest.version}"),
        ("made", f"{e(manifest.created)} by {e(manifest.software)}"),
    ]
    if manifest.doi:
        facts.append(("doi", e(manifest.doi)))
    return _card(title, note + _facts(facts))


def _funnel_card(catalogue: Catalogue, title: str) -> str:
    funnel = funnel_html(catalogue.manifest.groups[0].provenance)
    return _card(title, funnel) if funnel else ""


def _columns_card(catalogue: Catalogue) -> str:
    columns = catalogue.manifest.columns.values()
    rows = "".join(_column_row(column) for column in columns)
    return _card(
        f"Columns ({len(columns)})",
        '<table class="gv-table"><thead><tr><th>name</th><th>unit</th><th>role</th><th>what it is</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>",
    )


def _column_row(column: Column) -> str:
    e = style.escape
    unit = " ".join(part for part in (column.unit, column.system, column.extinction) if part)
    text = e(column.description) + (f' <span class="gv-quiet">{e(column.ucd)}</span>' if column.ucd else "")
    role = column.role.replace("_", " ")
    name = f'<th scope="row"><code>{e(column.name)}</code></th>'
    return f"<tr>{name}<td>{e(unit)}</td><td>{e(role)}</td><td>{text}</td></tr>"


def _making_card(catalogue: Catalogue) -> str:
    parts = [
        f"<h3>{style.escape(_group_title(group))}</h3>"
        + provenance_html({key: value for key, value in group.provenance.items() if key not in _TOLD})
        for group in catalogue.manifest.groups
    ]
    return _card("How it was made", "".join(parts))


def _group_title(group: Group) -> str:
    if group.name == "base":
        return "Sources"
    return f"{group.name}: {', '.join(column.name for column in group.columns)}"


def provenance_html(value: Any) -> str:
    """Nested facts as nested lists; long digests shortened, lists of records as tables."""
    if isinstance(value, Mapping):
        if not value:
            return "–"
        pairs = ((style.escape(str(key).replace("_", " ")), provenance_html(entry))
                 for key, entry in value.items())  # fmt: skip
        return _facts(pairs)
    if isinstance(value, list | tuple):
        if value and all(isinstance(entry, Mapping) for entry in value):
            return _records(value)
        return ", ".join(style.escape(entry) for entry in value) or "–"
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) >= 10_000:
        return style.number(value)
    text = str(value)
    return style.escape(text if len(text) != 64 or " " in text else f"{text[:12]}…")


def _records(records: list[Mapping[str, Any]] | tuple[Mapping[str, Any], ...]) -> str:
    heads = list(dict.fromkeys(key for record in records for key in record))
    head = "".join(f"<th>{style.escape(str(key).replace('_', ' '))}</th>" for key in heads)
    rows = "".join(
        "<tr>" + "".join(f"<td>{provenance_html(record.get(key))}</td>" for key in heads) + "</tr>"
        for record in records
    )
    return f'<table class="gv-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
