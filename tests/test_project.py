"""What surrounds the code keeps its word: lists that must agree, commands that must exist, a wheel that is whole."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import yaml

import galviz

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ANACONDA: dict[str, Any] = yaml.safe_load((ROOT / "anaconda-project.yml").read_text(encoding="utf-8"))
FOLDERS = ("galviz", "dashboard", "tests", "benchmarks", "scripts", ".ci")
TEXTS = {".py", ".md", ".toml", ".yml", ".yaml", ".css", ".js", ".html", ".svg", ".cfg", ".txt", ""}


def requirement(text: str) -> tuple[str, str]:
    """Name without extras, and the bounds in a fixed order."""
    match = re.fullmatch(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?\s*([<>=!~].*)?", text.strip())
    assert match, text
    return match[1].lower(), ",".join(sorted((match[2] or "").replace(" ", "").split(",")))


def requirements(entries: list[Any]) -> dict[str, str]:
    """Name to bounds; an entry {"pip": [...]} counts as what it lists."""
    flat = [item for entry in entries for item in (entry["pip"] if isinstance(entry, dict) else [entry])]
    return dict(requirement(item) for item in flat if item != "pip")


def tracked() -> Iterator[Path]:
    """The files of the project itself."""
    yield from (path for path in ROOT.iterdir() if path.is_file())
    for folder in FOLDERS:
        yield from (p for p in (ROOT / folder).rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    yield ROOT / "data" / "README.md"


def targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_anaconda_project_needs_what_pyproject_needs() -> None:
    python = {"python": PROJECT["project"]["requires-python"]}
    assert requirements(ANACONDA["packages"]) == requirements(PROJECT["project"]["dependencies"]) | python
    extra = requirements(PROJECT["project"]["optional-dependencies"]["test"])
    assert requirements(ANACONDA["env_specs"]["test"]["packages"]) == extra


def test_anaconda_project_has_its_commands() -> None:
    assert {"dashboard", "ingest", "test"} <= set(ANACONDA["commands"])
    for command in ANACONDA["commands"].values():
        assert command["env_spec"] in ANACONDA["env_specs"]


def third_party(folder: str) -> set[str]:
    """Distributions that the code of a folder imports."""
    names = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    known = packages_distributions()
    return {
        known[name][0].lower()
        for name in names - set(sys.stdlib_module_names) - {"galviz", "dashboard", "tests", "benchmarks", "scripts"}
        if name in known
    }


@pytest.mark.parametrize("folder", ["galviz", "dashboard", "benchmarks"])
def test_every_import_is_a_declared_dependency(folder: str) -> None:
    assert third_party(folder) <= set(requirements(PROJECT["project"]["dependencies"]))


def test_the_version_stands_in_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "galviz/version.py"
    assert re.search(rf"^## {re.escape(galviz.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_makefile_has_its_targets_and_continuous_integration_runs_the_tests() -> None:
    assert {"setup", "dashboard", "test", "lint", "bench", "clean"} <= targets()
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^make test$", script.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "data/README.md", "docs/fetch.md"])
def test_commands_in_the_documents_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    code = "\n".join(block or inline for block, inline in re.findall(r"```\w*\n(.*?)```|`([^`\n]+)`", text, re.DOTALL))
    assert set(re.findall(r"^make ([a-z]+)\b", code, re.MULTILINE)) <= targets()
    commands = set(re.findall(r"^(?:\.venv/bin/)?galviz ([a-z]+)\b", code, re.MULTILINE))
    source = (ROOT / "galviz" / "__main__.py").read_text(encoding="utf-8")
    known = {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert commands <= known


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/fetch.md"])
def test_files_that_the_documents_name_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    paths = re.findall(r"`((?:galviz|dashboard|tests|benchmarks|scripts|data)/[\w./-]+\.\w+)`", text)
    assert [path for path in paths if not (ROOT / path).is_file()] == []
    for table, path in re.findall(r"`([A-Z]{4,})` in `([\w/]+\.py)`", text):
        assert re.search(rf"^{table}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), (table, path)


def test_no_file_names_a_machine_or_a_package_index() -> None:
    marks = [
        "/wo" + "rk/",
        "/ro" + "ot/",
        "/ho" + "me/",
        "/Us" + "ers/",
        "index" + "-url",
        "pypi" + ".org",
        "files.python" + "hosted",
    ]
    found = [
        (path.relative_to(ROOT), mark)
        for path in tracked()
        if path.suffix in TEXTS and path.name not in (".git", ".coverage")
        for mark in marks
        if mark in path.read_text(encoding="utf-8", errors="replace")
    ]
    assert found == []


def test_the_wheel_holds_all_that_the_dashboard_needs(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    made = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    [wheel] = tmp_path.glob(f"galviz-{galviz.__version__}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.startswith("galviz-")}
        metadata = archive.read(f"galviz-{galviz.__version__}.dist-info/METADATA").decode()
    wanted = {
        str(path.relative_to(ROOT))
        for package in ("galviz", "dashboard")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == wanted
    assert any(name.startswith("galviz/tables/") for name in held)
    assert any(name.startswith("dashboard/static/") for name in held)
    assert "License-Expression: BSD-3-Clause" in metadata
