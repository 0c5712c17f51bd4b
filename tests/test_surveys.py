from __future__ import annotations

import pytest

from galviz.formulas import FORMULAS
from galviz.ingest.cleaning import applicable
from galviz.surveys import SDSS_WISE, SDSS_WISE_SAMPLE, SURVEYS, Step, Survey


@pytest.mark.parametrize("survey", SURVEYS.values(), ids=SURVEYS)
class TestEverySurvey:
    def test_lists_no_column_twice(self, survey: Survey) -> None:
        names = [column.name for column in (*survey.columns, *survey.derived)]
        assert len(names) == len(set(names))

    def test_reads_no_spelling_as_two_columns(self, survey: Survey) -> None:
        spellings = [name.lower() for source in survey.sources for name in {n.lower() for n in source.names}]
        assert len(spellings) == len(set(spellings))

    def test_has_every_feature_filter_and_axis_that_it_names(self, survey: Survey) -> None:
        known = {column.name for column in (*survey.columns, *survey.derived)}
        sets = survey.defaults.get("feature_sets", {})
        used = {*survey.features, *survey.defaults["filters"], *survey.defaults["colour_magnitude"]}
        assert used <= known
        assert set(survey.features) in [set(names) for names in sets.values()]

    def test_makes_columns_from_earlier_ones(self, survey: Survey) -> None:
        seen: set[str] = set()
        for source in survey.sources:
            if source.made:
                assert source.made[0] in FORMULAS
                assert set(source.made[1:]) <= seen
            seen.add(source.column.name)

    def test_cleans_by_columns_that_it_knows(self, survey: Survey) -> None:
        known = {column.name for column in survey.columns}
        assert all(set(step.columns) <= known for step in survey.steps)

    def test_gives_every_magnitude_a_system_and_a_unit(self, survey: Survey) -> None:
        magnitudes = [column for column in survey.columns if column.role == "magnitude"]
        assert magnitudes
        assert all(column.unit == "mag" and column.system in ("AB", "Vega") and column.ucd for column in magnitudes)


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


def test_a_labelled_file_is_cleaned_otherwise_than_an_unlabelled_one() -> None:
    common = {"ra", "dec", "psf_u", "psf_r", "cmod_r", "w1", "w4", "zwarning"}
    labelled = [step.condition for step in applicable(SDSS_WISE.steps, common | {"class"})]
    unlabelled = [step.condition for step in applicable(SDSS_WISE.steps, common)]
    assert labelled == ["ra..dec known", "0 < cmod_r", "zwarning in {0, 16}", "w1..w4 < 50"]
    assert unlabelled == ["ra..dec known", "0 < psf_u..psf_r < 35", "0 < cmod_r < 35", "0 < w1..w4 < 30"]


def test_a_step_for_columns_that_are_not_there_is_passed_over() -> None:
    assert applicable((Step("why", ("a", "b"), low=0.0),), {"c"}) == ()
    assert applicable((Step("why", ("a", "b"), low=0.0),), {"b"})[0].columns == ("b",)
