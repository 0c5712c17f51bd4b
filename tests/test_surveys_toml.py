from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galviz.errors import IngestError
from galviz.formulas import FORMULAS
from galviz.grammar import RESERVED
from galviz.ingest import ingest
from galviz.manifest import Column, SourceClass
from galviz.surveys import SURVEYS, Source, Step, Survey
from galviz.surveys.checks import CHOICES, faults
from galviz.surveys.toml import _COLUMN, _DEFAULTS, _SOURCE, parse_survey, read_survey, survey_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in RESERVED)
CAPITALS = TEXT.map(str.upper).filter(lambda name: bool(name.strip()) and name == name.upper())
NUMBERS = st.floats(allow_nan=False)
COLOURS = st.from_regex(r"#[0-9a-fA-F]{6}", fullmatch=True)
UNITS = st.sampled_from(["", "deg", "mag", "arcsec", "mas/yr", "km / s", "%"])
FREE_ROLES = [role for role in CHOICES["role"]
              if role not in ("id", "position", "truth", "prediction", "probability", "best_probability")]  # fmt: skip


@st.composite
def columns(draw: st.DrawFn, name: str, role: str, classes: list[str]) -> Column:
    is_class = bool(classes) and draw(st.booleans())
    of_class = draw(st.sampled_from(classes)) if classes and (role == "probability" or draw(st.booleans())) else ""
    return Column(
        name, "int8" if is_class else draw(st.sampled_from(CHOICES["dtype"])), role, draw(UNITS), draw(TEXT),
        draw(TEXT), draw(TEXT), of_class, draw(st.sampled_from(CHOICES["scale"])), draw(TEXT),
        "class" if is_class else "number",
        extinction=draw(st.sampled_from(CHOICES["extinction"])),
    )  # fmt: skip


@st.composite
def sources(draw: st.DrawFn, column: Column, before: list[str]) -> Source:
    low, high = sorted(draw(st.lists(NUMBERS, min_size=2, max_size=2, unique=True)))
    made = ("difference", *draw(st.lists(st.sampled_from(before), min_size=2, max_size=2))) if before else ()
    return Source(
        column, tuple(draw(st.lists(TEXT, max_size=3))), draw(st.booleans()), low, high,
        made if draw(st.booleans()) else (), draw(st.sampled_from(["", *before])),
        tuple(draw(st.lists(NUMBERS, max_size=3))), column.unit if draw(st.booleans()) else "",
        draw(st.sampled_from(["", r"\w*mag", "a.b\\d"])),
    )  # fmt: skip


@st.composite
def steps(draw: st.DrawFn, names: list[str]) -> Step:
    low, high = sorted(draw(st.lists(NUMBERS, min_size=2, max_size=2, unique=True)))
    chosen = tuple(draw(st.lists(st.sampled_from(names), min_size=1)))
    return Step(draw(TEXT), chosen, low, high, tuple(draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3))),
                draw(st.sampled_from(["", *names])), draw(TEXT))  # fmt: skip


@st.composite
def surveys(draw: st.DrawFn) -> Survey:
    """Any description without fault, but that texts are short and there are few columns."""
    classes = draw(st.lists(st.builds(SourceClass, CAPITALS, TEXT, TEXT, COLOURS, st.just("") | COLOURS), max_size=3,
                            unique_by=lambda entry: entry.name))  # fmt: skip
    labels = [entry.name for entry in classes]
    names = draw(st.lists(NAMES, min_size=2, max_size=5, unique=True))
    found: list[Source] = []
    for place, name in enumerate(names):
        roles = [*FREE_ROLES, *(["probability"] if classes else [])]
        column = draw(columns(name, "position" if place < 2 else draw(st.sampled_from(roles)), labels))
        source = draw(sources(column, [entry.column.name for entry in found]))
        found.append(Source(column, source.names) if place < 2 else source)
    stored = [source.column.name for source in found if not source.pattern]
    derived = [
        Column(name, "float64", unit=draw(UNITS), label=draw(TEXT), formula=("maximum", *draw(some_of(stored))))
        for name in draw(st.lists(NAMES, max_size=2, unique=True))
    ]
    defaults: dict[str, Any] = {"filters": draw(some_of(stored))}
    defaults["feature_sets"] = draw(st.dictionaries(TEXT, some_of(stored), max_size=2))
    return Survey(
        draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)), draw(TEXT), tuple(found),
        tuple(classes), tuple(draw(some_of(stored))), tuple(derived), defaults if draw(st.booleans()) else {},
        tuple(draw(st.lists(steps(stored), max_size=2))),
        draw(st.dictionaries(CAPITALS, st.sampled_from(labels), max_size=2)) if labels else {},
        draw(st.dictionaries(TEXT, TEXT, max_size=2)), draw(TEXT),
    )  # fmt: skip


def some_of(names: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), max_size=3)


@settings(max_examples=80, deadline=None)
@given(survey=surveys(), remark=TEXT)
def test_reading_inverts_writing(survey: Survey, remark: str) -> None:
    assert list(faults(survey)) == []
    text = survey_text(survey, {survey.sources[0].column.name: remark}, [remark])
    assert parse_survey(text) == survey


@pytest.mark.parametrize("survey", SURVEYS.values(), ids=SURVEYS)
def test_every_survey_can_be_written_and_read(survey: Survey, tmp_path: Path) -> None:
    path = tmp_path / "survey.toml"
    path.write_text(survey_text(survey), encoding="utf-8")
    assert read_survey(path) == survey


SHORT = """
name = "mine"

[columns.ra]
role = "position"

[columns.dec]
role = "position"
"""


def test_what_is_usual_need_not_be_said() -> None:
    more = """
        [columns.gmag]
        role = "magnitude"
        maximum = 90
        [columns.class]
        role = "truth"
        [classes.STAR]
        colour = "#1e90ff"
        [[steps]]
        reason = "too faint"
        columns = ["gmag"]
        high = 22
    """
    survey = parse_survey(SHORT + more)
    ra, _, magnitude, truth = survey.sources
    assert (ra.column.dtype, ra.names, ra.required) == ("float64", ("ra",), True)
    assert (magnitude.column.dtype, magnitude.maximum, type(magnitude.maximum)) == ("float32", 90.0, float)
    assert (truth.column.dtype, truth.column.kind) == ("int8", "class")
    assert survey.title == "mine"
    assert (survey.classes[0].label, survey.classes[0].plural) == ("star", "stars")
    assert survey.steps[0].condition == "gmag < 22"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[columns.ra", "is not TOML"),
        ("a = 1", "columns.dec.a is not a key of this format; allowed here are dtype, role"),
        ("[column.x]", "column is not a key of this format; allowed here are name, title"),
        ("[columns.x]\nrole = 3", "columns.x.role is '3', which must be a text"),
        ("[columns.x]\nminimum = '3'", "columns.x.minimum is '3', which must be a number"),
        ("[columns.x]\nminimum = true", "columns.x.minimum is 'True', which must be a number"),
        ("[columns.x]\nrequired = 0", "columns.x.required is '0', which must be true or false"),
        ("[columns.x]\nnames = 'x'", "columns.x.names is 'x', which must be a list of texts"),
        ("[columns.x]\nsentinels = ['x']", "which must be a list of numbers"),
        ("[columns.x.y]", "columns.x.y is not a key of this format"),
        ("[columns.'a b']", "columns.a b: 'a b' cannot name a column"),
        ("[columns.x]\nrole = 'magnitud'", "columns.x.role is 'magnitud'; allowed are id, position, magnitude"),
        ("[derived]\nx = 3", "derived.x must be a table"),
        ("[classes.STAR]", "classes.STAR.colour is ''; write a colour as #rrggbb"),
        ("[steps]\nreason = 'a'", r"steps must be an array of tables, written [[steps]]"),
        ("[[steps]]\ncolumns = ['ra']", "steps[1].reason is missing; add it"),
        ("[[steps]]\nreason = 'a'\ncolumns = ['ra']\nvalues = [0.5]", "steps[1].values is '[0.5]', which must be"),
        (
            "[[steps]]\nreason = 'a'\ncolumns = ['b']",
            "steps[1].columns names 'b', which is no column; there are dec, ra",
        ),
        ("[defaults]\ntheme = 'dark'", "defaults.theme is not a key of this format; allowed here are colour_magnitude"),
        ("[defaults.feature_sets]\nall = 'ra'", "defaults.feature_sets is"),
        ("[dropped]\nx = 1", "dropped.x is '1', which must be a text"),
    ],
)
def test_an_error_names_file_key_and_what_is_allowed(tmp_path: Path, more: str, words: str) -> None:
    path = tmp_path / "my.toml"
    path.write_text(SHORT + more)
    with pytest.raises(IngestError) as caught:
        read_survey(path)
    sentence = str(caught.value)
    assert sentence.startswith(str(path))
    assert words in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_file_without_a_name() -> None:
    with pytest.raises(IngestError, match="The description: name is missing; add it"):
        parse_survey("")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="There is no file"):
        read_survey(tmp_path / "none.toml")
    with pytest.raises(IngestError, match="Cannot read"):
        read_survey(tmp_path)
    (tmp_path / "latin.toml").write_bytes(SHORT.encode() + b"# \xe9")
    with pytest.raises(IngestError, match=f"is not UTF-8 at byte {len(SHORT) + 2}"):
        read_survey(tmp_path / "latin.toml")
    (tmp_path / "long.toml").write_text(SHORT + "#" * (1 << 20))
    with pytest.raises(IngestError, match="is longer than a description"):
        read_survey(tmp_path / "long.toml")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_mutant_is_a_survey_or_one_sentence(data: st.DataObject) -> None:
    text = survey_text(SURVEYS["sdss-wise"])
    place = data.draw(st.integers(0, len(text)))
    size = data.draw(st.integers(0, 12))
    mutant = (
        text[:place]
        + data.draw(st.sampled_from(["", "[", "'", "=", "1e999", "nan", "\n[columns.ra]\n"]))
        + text[place + size :]
    )
    try:
        survey = parse_survey(mutant)
    except IngestError as error:
        assert re.fullmatch(r"[^\n]+\.", str(error))
    else:
        assert parse_survey(survey_text(survey)) == survey


def test_the_example_of_the_documentation_reads_its_file(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "surveys.md").read_text(encoding="utf-8")
    for kind in ("csv", "toml"):
        (tmp_path / f"small.{kind}").write_text(re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)[0])
    catalogue = ingest(tmp_path / "small.csv", tmp_path / "out", tmp_path / "small.toml")
    frame = catalogue.frame(["objid", "class", "gmag", "g_r"]).compute().sort_values("objid")
    assert frame["objid"].tolist() == [1001, 1002]
    assert frame["class"].tolist() == ["GALAXY", "QSO"]
    np.testing.assert_allclose(frame["g_r"], [0.39, 0.07], atol=1e-5)
    dropped = {step["kept where"]: step["dropped"] for step in catalogue.manifest.groups[0].provenance["steps"]}
    assert dropped.items() >= {"ra..dec known": 0, "quality in {1, 2}": 1}.items()


def test_the_documentation_lists_every_key_and_every_survey() -> None:
    text = (Path(__file__).parents[1] / "docs" / "surveys.md").read_text(encoding="utf-8")
    keys = re.findall(r"`([a-z_]+)`", text.partition("## Keys")[2])
    assert {*_COLUMN, *_SOURCE, *_DEFAULTS, *FORMULAS, *(role for role in CHOICES["role"])} <= set(keys)
    assert set(SURVEYS) <= set(re.findall(r"`([a-z-]+)`", text.partition("## A short example")[0]))
