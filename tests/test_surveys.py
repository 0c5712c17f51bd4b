from __future__ import annotations

import pytest

from galviz.ingest.cleaning import applicable
from galviz.manifest import Column, SourceClass
from galviz.surveys import GENERIC, SDSS_WISE, SDSS_WISE_SAMPLE, SURVEYS, Source, Step, Survey
from galviz.surveys.checks import faults
from galviz.surveys.units import factor, is_magnitude, known_unit, system_of


@pytest.mark.parametrize("survey", SURVEYS.values(), ids=SURVEYS)
class TestEverySurvey:
    def test_has_no_fault(self, survey: Survey) -> None:
        assert list(faults(survey)) == []

    def test_lists_no_column_twice(self, survey: Survey) -> None:
        names = [column.name for column in (*survey.columns, *survey.derived)]
        assert len(names) == len(set(names))

    def test_reads_no_spelling_as_two_columns(self, survey: Survey) -> None:
        spellings = [name.lower() for source in survey.sources for name in {n.lower() for n in source.names}]
        assert len(spellings) == len(set(spellings))

    def test_compares_models_by_its_features(self, survey: Survey) -> None:
        sets = survey.defaults.get("feature_sets", {})
        assert set(survey.features) in [set(), *(set(names) for names in sets.values())]

    def test_gives_every_magnitude_a_unit_and_a_system_where_it_is_known(self, survey: Survey) -> None:
        magnitudes = [source.column for source in survey.sources if source.column.role == "magnitude"]
        assert magnitudes
        assert all(column.unit == "mag" and column.ucd for column in magnitudes)
        assert survey.is_open or all(column.system in ("AB", "Vega") for column in magnitudes)


def test_the_manifest_names_only_what_the_catalogue_has() -> None:
    columns = [column for column in SDSS_WISE.columns if column.name not in ("resolved_r", "w4")]
    fields = SDSS_WISE.manifest_fields(columns)
    assert fields["features"] == ("psf_u", "psf_g", "psf_r", "psf_i", "psf_z", "w1", "w2", "w3")
    assert fields["defaults"]["filters"] == ["psf_r"]
    assert "w3_w4" not in {column.name for column in fields["derived"]}
    assert "w2_w3" in {column.name for column in fields["derived"]}


def test_the_sample_never_offers_the_proxy_as_resolved_r() -> None:
    names = {column.name: column for column in SDSS_WISE_SAMPLE.columns}
    assert "resolved_r" not in names
    assert names["resolved_proxy"].role == "other"
    assert "resolved_r" not in SDSS_WISE_SAMPLE.features
    assert len(SDSS_WISE_SAMPLE.features) == 9


def test_the_sample_says_that_its_magnitudes_are_corrected() -> None:
    psf = [column for column in SDSS_WISE_SAMPLE.columns if column.name.startswith("psf_")]
    assert len(psf) == 5
    assert all(column.description.endswith(", corrected for Galactic extinction") for column in psf)
    assert {column.extinction for column in psf} == {"corrected"}
    assert {c.extinction for c in SDSS_WISE.columns if c.name.startswith(("psf_", "cmod_"))} == {"uncorrected"}


def test_a_labelled_file_is_cleaned_otherwise_than_an_unlabelled_one() -> None:
    common = {"ra", "dec", "psf_u", "psf_r", "cmod_r", "w1", "w4", "zwarning"}
    labelled = [step.condition for step in applicable(SDSS_WISE.steps, common | {"class"})]
    unlabelled = [step.condition for step in applicable(SDSS_WISE.steps, common)]
    assert labelled == ["ra..dec known", "0 < cmod_r", "zwarning in {0, 16}", "w1..w4 < 50"]
    assert unlabelled == ["ra..dec known", "0 < psf_u..psf_r < 35", "0 < cmod_r < 35", "0 < w1..w4 < 30"]


def test_a_step_for_columns_that_are_not_there_is_passed_over() -> None:
    assert applicable((Step("why", ("a", "b"), low=0.0),), {"c"}) == ()
    assert applicable((Step("why", ("a", "b"), low=0.0),), {"b"})[0].columns == ("b",)


def test_a_survey_without_features_takes_the_magnitudes_and_their_colours() -> None:
    columns = [*(Column(name, "float64", "position", "deg") for name in ("ra", "dec")),
               *(Column(name, "float32", "magnitude", "mag", label=name.upper()) for name in ("g", "r", "w1")),
               Column("seeing", "float32")]  # fmt: skip
    fields = GENERIC.manifest_fields(columns)
    assert fields["features"] == ("g", "r", "w1")
    derived = {column.name: column for column in fields["derived"]}
    assert set(derived) == {"sky_x", "sky_y", "g__r", "r__w1"}
    assert (derived["g__r"].formula, derived["g__r"].label) == (("difference", "g", "r"), "G - R")
    assert fields["defaults"] == {"filters": ["g", "r"], "colour_magnitude": ["g__r", "r"]}
    assert fields["classes"] == ()


@pytest.mark.parametrize(
    ("found", "wanted", "ratio"),
    [
        ("deg", "deg", 1.0),
        ("degrees", "deg", 1.0),
        ("rad", "deg", 57.29577951308232),
        ("hourangle", "deg", 15.0),
        ("arcmin", "arcsec", 60.0),
        ("mmag", "mag", 0.001),
        ("mag(AB)", "mag", 1.0),
        ("ABmag", "mag", 1.0),
        ("%", "", 0.01),
        ("", "", 1.0),
    ],
)
def test_units_are_converted(found: str, wanted: str, ratio: float) -> None:
    assert factor(found, wanted) == pytest.approx(ratio, rel=1e-15)


@pytest.mark.parametrize(("found", "wanted"), [("km", "deg"), ("mJy", "mag"), ("km/s", ""), ("h", "deg")])
def test_units_of_another_kind_are_not(found: str, wanted: str) -> None:
    assert factor(found, wanted) is None


@pytest.mark.parametrize("text", ["", " ", "---", "M", "1", "log(cm", "Counts per pixel", "-"])
def test_what_is_no_unit_is_not_known(text: str) -> None:
    assert known_unit(text) is None


def test_a_unit_can_name_a_photometric_system() -> None:
    assert [system_of(text) for text in ("mag(AB)", "ab_mag", "mag", "deg", "")] == ["AB", "AB", "", "", ""]


def test_a_unit_of_magnitudes_is_not_one_of_surface_brightness_or_of_any_logarithm() -> None:
    known = [text for text in ("mag", "mmag", "mag(AB)", "mag/arcsec2", "dex", "deg", "") if is_magnitude(text)]
    assert known == ["mag", "mmag", "mag(AB)"]


RA, DEC = (Source(Column(name, "float64", "position", "deg")) for name in ("ra", "dec"))
STAR = SourceClass("STAR", "star", "stars", "#1e90ff")


def made(*more: Source, **fields: object) -> Survey:
    base = {"name": "mine", "title": "", "sources": (RA, DEC, *more), "classes": (STAR,), "features": ()}
    return Survey(**(base | fields))  # type: ignore[arg-type]


def other(name: str = "a", kind: dict[str, str] | None = None, **fields: object) -> Source:
    return Source(Column(name, "float32", **(kind or {})), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("survey", "key", "words"),
    [
        (made(name="a/b"), "name", "is 'a/b'"),
        (made(sources=(RA,)), "columns", "two columns of the role position"),
        (made(other(kind={"role": "postion"})), "columns.a.role", "allowed are id, position"),
        (made(other(kind={"unit": "furlong/x"})), "columns.a.unit", "no unit of astropy.units"),
        (made(other(kind={"unit": "mag"}, unit="km")), "columns.a.file_unit", "cannot be converted to mag"),
        (made(other(unit="quux")), "columns.a.file_unit", "no unit of astropy.units"),
        (made(other(kind={"extinction": "yes"})), "columns.a.extinction", "corrected, uncorrected"),
        (made(other(kind={"kind": "class"})), "columns.a.dtype", "classes are int8"),
        (made(other(), other()), "columns.a.name", "there already"),
        (made(other(minimum=3.0, maximum=3.0)), "columns.a.minimum", "not below"),
        (made(other(sentinels=(float("nan"),))), "columns.a.sentinels", "leave it out"),
        (made(other(made=("sum", "ra"))), "columns.a.made", "begins with 'sum'"),
        (made(other(made=("difference", "ra"))), "columns.a.made", "1 columns, which it cannot take"),
        (made(other(made=("difference", "ra", "b"))), "columns.a.made", "names 'b'"),
        (made(other(only_with="b"), other("b")), "columns.a.only_with", "no column before it"),
        (made(other(pattern="(")), "columns.a.pattern", "no regular expression"),
        (made(other(kind={"role": "probability"})), "columns.a.of_class", "names ''"),
        (made(other(kind={"role": "probability", "of_class": "QSO"})), "columns.a.of_class", "there are STAR"),
        (made(other("a", {"role": "id"}), other("b", {"role": "id"})), "columns.b.role", "as that of a is"),
        (made(derived=(Column("a", "float32", formula=("difference", "ra", "w")),)), "derived.a.formula", "names 'w'"),
        (made(derived=(Column("a", "float32"),)), "derived.a.formula", "begins with ''"),
        (made(classes=(SourceClass("Star", "", "", "#000000"),)), "classes.Star", "not in capitals"),
        (made(classes=(SourceClass("STAR", "", "", "blue"),)), "classes.STAR.colour", "write a colour as #rrggbb"),
        (made(class_names={"Sun": "STAR"}), "class_names.Sun", "not in capitals"),
        (made(class_names={"SUN": "STARS"}), "class_names.SUN", "names 'STARS'"),
        (made(steps=(Step("why", ("ra", "b")),)), "steps[1].columns", "names 'b'"),
        (made(steps=(Step("why", ()),)), "steps[1].columns", "is empty"),
        (made(steps=(Step("why", ("ra",), only_with="b"),)), "steps[1].only_with", "names 'b'"),
        (made(steps=(Step("why", ("ra",), low=2, high=1),)), "steps[1].low", "not below"),
        (made(features=("b",)), "features", "names 'b'"),
        (made(defaults={"theme": "dark"}), "defaults.theme", "colour_magnitude, filters, chosen_class, feature_sets"),
        (made(defaults={"colour_magnitude": ["ra"]}), "defaults.colour_magnitude", "two columns"),
        (made(defaults={"filters": ["b"]}), "defaults.filters", "names 'b'"),
        (made(defaults={"feature_sets": {"all": ["b"]}}), "defaults.feature_sets.all", "names 'b'"),
        (made(defaults={"chosen_class": "QSO"}), "defaults.chosen_class", "names 'QSO'"),
    ],
)  # fmt: skip
def test_a_fault_names_the_key_and_what_is_allowed(survey: Survey, key: str, words: str) -> None:
    found = dict(faults(survey))
    assert key in found
    assert words in found[key]


def test_a_class_column_needs_classes() -> None:
    column = Column("class", "int8", "truth", kind="class")
    assert ("columns.class.kind", "is class, but there are no classes; add a table such as [classes.STAR]") in faults(
        made(Source(column), classes=())
    )
