"""Imports go one way: a change of the order is a change of the design, made here on purpose."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module imports from layers above its own and from its own, never from one below.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("galviz.errors", "galviz.version"),
    ("galviz.progress", "galviz.disk"),
    ("galviz.kernels",),
    ("galviz.clauses",),
    ("galviz.grammar",),
    ("galviz.selection",),
    ("galviz.formulas", "galviz.manifest", "galviz.healpix"),
    ("galviz.foreign",),
    ("galviz.catalogue",),
    ("galviz.surveys",),
    ("galviz.features", "galviz.work", "galviz.naming", "galviz.spare"),
    ("galviz.index", "galviz.requests"),
    ("galviz.scan", "galviz.coarse"),
    ("galviz.conditions",),
    ("galviz.marks", "galviz.values", "galviz.estimate"),
    ("galviz.exact", "galviz.tally"),
    ("galviz.draw",),
    ("galviz.listing",),
    (
        "galviz.ingest", "galviz.fetch", "galviz.simulate", "galviz.embed",
        "galviz.classify", "galviz.evaluate", "galviz.export",
    ),
    ("galviz.demo", "galviz.info", "galviz.verify"),
    ("galviz.__main__",),
    ("dashboard.state", "dashboard.style", "dashboard.tasks", "dashboard.graticule", "dashboard.pictures"),
    (
        "dashboard.controls", "dashboard.views", "dashboard.plots", "dashboard.runs", "dashboard.sheets",
        "dashboard.funnel",
    ),
    ("dashboard.explore", "dashboard.candidates", "dashboard.models", "dashboard.guide"),
    ("dashboard.app",),
    ("dashboard.server",),
)  # fmt: skip
TABS = ("dashboard.explore", "dashboard.candidates", "dashboard.models", "dashboard.guide")
INTERFACE = ("panel", "holoviews", "bokeh", "param")
PLACE = {module: level for level, layer in enumerate(LAYERS) for module in layer}

FILES = sorted(path for package in ("galviz", "dashboard") for path in (ROOT / package).rglob("*.py"))
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
    if path.stat().st_size
}


def imports(module: str, path: Path) -> Iterator[str]:
    """Dotted names of all that a file imports, wherever in the file it does."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) + 1 - node.level]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def noun(name: str) -> str | None:
    """The module of `LAYERS` that a dotted name belongs to; a package and what lies in it are one."""
    return next((module for module in PLACE if f"{name}.".startswith(f"{module}.")), None)


@pytest.mark.parametrize("module", [name for name in MODULES if name not in ("galviz", "dashboard")])
def test_imports_go_down_the_list_only(module: str) -> None:
    own = noun(module)
    assert own, f"{module} has no place in the order of layers; give it one"
    for name in imports(module, MODULES[module]):
        other = noun(name)
        if other and other != own:
            assert PLACE[other] <= PLACE[own], f"{module} imports {other}, which lies below it"


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("galviz")])
def test_the_library_knows_no_user_interface(module: str) -> None:
    for name in imports(module, MODULES[module]):
        assert name.split(".")[0] not in (*INTERFACE, "dashboard"), f"{module} imports {name}"


@pytest.mark.parametrize("module", [name for name in MODULES if noun(name) in TABS])
def test_tabs_never_import_each_other(module: str) -> None:
    for name in imports(module, MODULES[module]):
        assert noun(name) not in TABS or noun(name) == noun(module), f"{module} imports {name}"


def test_no_import_goes_in_a_circle() -> None:
    graph = {
        module: {noun(name) for path in [file] for name in imports(module, path)} for module, file in MODULES.items()
    }
    edges: dict[str, set[str]] = {}
    for module, targets in graph.items():
        if own := noun(module):
            edges.setdefault(own, set()).update(target for target in targets if target and target != own)
    done: set[str] = set()

    def visit(node: str, trail: tuple[str, ...]) -> None:
        assert node not in trail, f"import cycle: {' -> '.join((*trail, node))}"
        if node not in done:
            for target in edges.get(node, ()):
                visit(target, (*trail, node))
            done.add(node)

    for node in edges:
        visit(node, ())


def test_every_module_of_the_list_that_exists_is_seen() -> None:
    assert {"galviz.errors", "galviz.draw", "galviz.catalogue"} <= set(MODULES)
    assert noun("galviz.catalogue.Catalogue") == "galviz.catalogue"
    assert noun("numpy.galviz") is None


def test_broad_except_stands_in_tasks_alone() -> None:
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and module != "dashboard.tasks":
                broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
                assert not broad, f"{module}:{node.lineno} catches everything"
