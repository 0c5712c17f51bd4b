from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dashboard.guide import guide_html, guide_tab, provenance_html
from dashboard.state import Session, Settings
from galviz.catalogue import Catalogue, open_catalogue
from galviz.ingest import ingest
from tests.foreign import sources, write
from tests.samples import write_catalogue

EVIL = "<img src=x onerror=alert(1)>"


def test_the_guide_lists_every_column_and_says_simulated(catalogue: Catalogue) -> None:
    text = guide_html(catalogue)
    for column in catalogue.manifest.columns.values():
        assert f"<code>{column.name}</code>" in text
    assert "gv-badge" in text
    real = replace(catalogue, manifest=replace(catalogue.manifest, simulated=False))
    assert "gv-badge" not in guide_html(real)
    assert "639, A84" in text


def test_everything_from_a_manifest_is_escaped(tmp_path: Path) -> None:
    made = write_catalogue(tmp_path / "evil", title=EVIL, doi=EVIL)
    assert "<img" not in guide_html(made, made)
    assert "<img" not in provenance_html({EVIL: [{EVIL: EVIL}, {"a": [EVIL]}], "b": {EVIL: EVIL}})


def test_the_text_of_a_survey_is_not_shown(tmp_path: Path) -> None:
    made = ingest(write(sources(3), tmp_path / "rows.csv"), tmp_path / "out", "sdss-wise").manifest.groups[0]
    text = guide_html(open_catalogue(tmp_path / "out"))
    assert "rows.csv" in text
    assert "[columns.psf_u]" in made.provenance["survey text"]
    assert "[columns.psf_u]" not in text


def test_provenance_shows_records_as_a_table_and_shortens_digests() -> None:
    text = provenance_html({"steps": [{"kept": 81314, "why": "z"}, {"kept": 7}], "sha256": "ab" * 32, "none": None})
    assert "<th>kept</th><th>why</th>" in text
    assert "<td>81,314</td><td>z</td>" in text
    assert "<td>7</td><td>–</td>" in text
    assert "ababababab" in text
    assert "ab" * 32 not in text


def test_the_guide_follows_the_catalogue(session: Session, tmp_path: Path) -> None:
    panel = guide_tab(session, Settings(tmp_path))
    session.catalogue = write_catalogue(tmp_path / "other", title="Another sky")
    assert "Another sky" in panel[0].object
