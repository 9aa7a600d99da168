"""The committed dashboards, without a server: up to date with their code, well-formed, and with metrics of the
catalogue."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.metrics.catalogue import CATALOGUE
from grafana import build
from tests.support.dashboards import (
    BUILT_IN,
    GRAFANA,
    dashboards,
    panels,
    queries,
    used_variables,
    variable_queries,
    variables,
)
from tests.support.promql import names

ROOT = Path(__file__).parents[2]
DASHBOARDS = dashboards()
RUNBOOKS = "https://github.com/cams-exporter/cams-exporter/blob/main/"

TARGET_LABELS = frozenset({"job", "instance"})
MADE_LABELS = frozenset({"shown", "connection"})
"""Labels that queries make."""
OWN_LABELS: dict[str, frozenset[str]] = {metric.name: frozenset(metric.labels) for metric in CATALOGUE}
LABELS = {
    **OWN_LABELS,
    **{f"{metric.name}_bucket": OWN_LABELS[metric.name] | {"le"} for metric in CATALOGUE if metric.type == "histogram"},
    # prometheus_client's process collector
    "process_cpu_seconds_total": frozenset(),
    "process_resident_memory_bytes": frozenset(),
    "process_open_fds": frozenset(),
    "process_max_fds": frozenset(),
    "process_start_time_seconds": frozenset(),
    # Prometheus's own about every target
    "up": frozenset(),
    "scrape_duration_seconds": frozenset(),
}
"""Every series that a dashboard may use, and its labels in addition to the target's."""

each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


def expressions(dashboard: dict[str, Any]) -> list[tuple[str, str]]:
    """Every PromQL expression of a dashboard with its place, including variables."""
    found = [(query.where, query.expression) for query in queries(dashboard)]
    for name, query in variable_queries(dashboard).items():
        inner = re.fullmatch(r"(?:label_values\((.*), \w+|query_result\((.*))\)", query)
        assert inner, f"variable {name}: {query}"
        found.append((f"variable {name}", inner[1] or inner[2]))
    return found


def test_names_of_an_expression_are_found() -> None:
    """The checks below need this: it finds bare metrics, matched labels and grouped-by labels."""
    found = names('sum by (a, b) (rate(x{l="}", m!~"y|z"}[5m] offset $__interval)) / on (a) y or time() - 3e2')

    assert found.selected == {"x": {"l", "m"}, "y": frozenset()}
    assert found.listed == {"a", "b"}


def test_committed_json_is_what_the_code_makes() -> None:
    """The committed JSON is exactly the output of build.py."""
    committed = {
        file.name: file.read_text(encoding="utf-8") for file in (GRAFANA / "dashboards").iterdir() if file.is_file()
    }

    assert committed == build.rendered()


def test_check_finds_a_dashboard_that_was_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--check`` fails and names the file, and changes nothing."""
    assert build.main(["--output", str(tmp_path)]) == 0
    assert build.main(["--output", str(tmp_path), "--check"]) == 0
    edited = tmp_path / "cams-numbers.json"
    edited.write_text("{}", encoding="utf-8")

    assert build.main(["--output", str(tmp_path), "--check"]) == 1

    assert "cams-numbers.json is out of date" in capsys.readouterr().err
    assert edited.read_text(encoding="utf-8") == "{}"


def test_dashboards_have_different_titles_and_uids() -> None:
    """Titles and uids are unique, because links and provisioning use them."""
    assert {one["title"] for one in DASHBOARDS.values()} == {"CAMS numbers", "CAMS exporter"}
    assert {one["uid"] for one in DASHBOARDS.values()} == {"cams-numbers", "cams-exporter"}


@each_dashboard
def test_panel_ids_are_unique(dashboard: dict[str, Any]) -> None:
    """Grafana drops one of two panels with the same id."""
    ids = [panel["id"] for panel in dashboard["panels"]]
    titles = [panel["title"] for panel in panels(dashboard)]

    assert len(ids) == len(set(ids))
    assert len(titles) == len(set(titles))


@each_dashboard
def test_panels_fill_the_grid_without_overlap(dashboard: dict[str, Any]) -> None:
    """Every cell of the 24 columns is covered once, by one panel."""
    cells = [
        cell
        for place in (panel["gridPos"] for panel in dashboard["panels"])
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    height = max(y for _, y in cells) + 1

    assert len(cells) == len(set(cells))
    assert set(cells) == set(itertools.product(range(24), range(height)))


@each_dashboard
def test_every_panel_says_what_it_shows(dashboard: dict[str, Any]) -> None:
    """A description, a unit, thresholds, and queries to the data source that was chosen."""
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]
        assert panel["datasource"] == chosen, panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["datasource"] == chosen for target in panel["targets"]), panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]
    for other in (*dashboard["annotations"]["list"], *variables(dashboard).values()):
        assert other.get("datasource", chosen) == chosen, other["name"]


@each_dashboard
def test_every_query_is_about_what_the_exporter_has(dashboard: dict[str, Any]) -> None:
    """Every metric is in the catalogue, every matched label belongs to its metric, every grouped-by label is known."""
    known = frozenset().union(*LABELS.values(), TARGET_LABELS, MADE_LABELS)
    for where, expression in expressions(dashboard):
        found = names(expression)
        assert found.selected, where
        for metric, labels in found.selected.items():
            assert metric in LABELS, f"{where}: no metric {metric}"
            assert labels <= LABELS[metric] | TARGET_LABELS, f"{where}: {metric} has no {labels - LABELS[metric]}"
        assert found.listed <= known, f"{where}: {found.listed - known}"


@each_dashboard
def test_every_query_keeps_to_the_chosen_jobs(dashboard: dict[str, Any]) -> None:
    """Without the job, `process_*` and `up` of everything that Prometheus scrapes would show."""
    for where, expression in expressions(dashboard):
        for metric, labels in names(expression).selected.items():
            assert "job" in labels or where == "variable job", f"{where}: {metric}"


@each_dashboard
def test_values_about_numbers_and_accounts_do_not_depend_on_the_instance(dashboard: dict[str, Any]) -> None:
    """With two replicas each number would appear twice, so only series about a process keep the instance.

    Inside an expression, time stamps and clock of an instance may be joined; the outermost grouping decides the labels.
    """
    processes = {"Exporters", "CPU", "Memory", "File descriptors", "Scrape duration", "Reloads refused"}
    processes |= {"Number files", "Replicas without the store", "Replicas", "Who holds which account"}
    processes |= {"Accounts held by replica", "Live replicas"}
    for query in queries(dashboard):
        _, title, *_ = query.where.split(" / ")
        if title not in processes and title != "annotation Configuration loaded":
            listed = names(query.expression).listed
            kept = re.search(r"\bby \(([^)]*)\)", query.expression)
            assert "instance" not in (kept[1] if kept else listed), query.where


@each_dashboard
def test_every_variable_is_defined_and_used(dashboard: dict[str, Any]) -> None:
    """No query uses a missing variable, and no variable is unused."""
    used = used_variables(json.dumps({key: dashboard[key] for key in ("panels", "annotations", "links")}))
    defined = set(variables(dashboard))

    assert {name for name in used if not name.startswith("__data")} <= defined | BUILT_IN
    assert defined <= used


@each_dashboard
def test_variables_offer_several_and_all(dashboard: dict[str, Any]) -> None:
    """ "All" of thousands of numbers must not become a huge regular expression: it is ``.*``, except for the job."""
    chosen = [one for one in variables(dashboard).values() if one["type"] == "query"]

    assert all(one["multi"] and one["includeAll"] and one["refresh"] == 2 for one in chosen)
    assert {one["name"]: one.get("allValue") for one in chosen if one["name"] != "job"} == {
        one["name"]: ".*" for one in chosen if one["name"] != "job"
    }
    assert "allValue" not in variables(dashboard)["job"]


def test_numbers_can_be_chosen_by_everything_that_names_them() -> None:
    """The numbers' dashboard has all variables, the exporter's those that fit an account."""
    every = ["datasource", "job", "account", "space", "number", "status", "exporter_url"]

    assert list(variables(DASHBOARDS["cams-numbers.json"])) == every
    assert list(variables(DASHBOARDS["cams-exporter.json"])) == ["datasource", "job", "account", "exporter_url"]


@pytest.mark.parametrize(
    ("dashboard", "other"), [("cams-numbers.json", "cams-exporter"), ("cams-exporter.json", "cams-numbers")]
)
def test_dashboard_links_to_the_other_the_status_page_and_the_runbooks(dashboard: str, other: str) -> None:
    """The other dashboard opens with the same choice and time."""
    links = {link["url"]: link for link in DASHBOARDS[dashboard]["links"]}

    assert links[f"/d/{other}"]["includeVars"]
    assert links[f"/d/{other}"]["keepTime"]
    assert set(links) == {f"/d/{other}", "${exporter_url:raw}/numbers", f"{RUNBOOKS}docs/runbooks/README.md"}


@each_dashboard
def test_addresses_are_put_together_so_that_grafana_breaks_none(dashboard: dict[str, Any]) -> None:
    """In a data link Grafana escapes a variable without a format: right for a name in a query, wrong for an address."""
    text = json.dumps(dashboard)

    assert "${exporter_url:raw}/numbers" in text
    assert "${exporter_url}" not in text
    assert re.findall(r"\$\{__data[\w.]+\}", text) == []


@each_dashboard
def test_every_runbook_linked_exists(dashboard: dict[str, Any]) -> None:
    """The runbook links of a panel lead to pages of this repository."""
    urls = {
        link["url"]
        for one in (dashboard, *panels(dashboard))
        for link in one["links"]
        if link["url"].startswith("https:")
    }

    assert len(urls) > 5
    for url in urls:
        assert url.startswith(RUNBOOKS), url
        assert (ROOT / url.removeprefix(RUNBOOKS)).is_file(), url


@each_dashboard
def test_tables_show_fields_that_their_queries_give(dashboard: dict[str, Any]) -> None:
    """A column is found by the name of a label or of a query's value; with a wrong name it would be missing."""
    for panel in panels(dashboard):
        steps = {step["id"]: step["options"] for step in panel.get("transformations", [])}
        if "filterFieldsByName" not in steps:
            continue
        shown = steps["filterFieldsByName"]["include"]["names"]
        values = {f"Value #{target['refId']}" for target in panel["targets"]}
        labels = frozenset().union(*(names(target["expr"]).listed for target in panel["targets"]))

        assert set(shown) <= values | labels, panel["title"]
        assert set(steps["organize"]["renameByName"]) == set(shown), panel["title"]
        assert all(target["format"] == "table" and target["instant"] for target in panel["targets"])


def test_provisioning_finds_the_dashboards_and_a_data_source() -> None:
    """The provider reads the folder that compose mounts.  The data source is the default, with which the variable
    starts."""
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/cams.yml").read_text(encoding="utf-8"))
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))

    assert [one["options"]["path"] for one in provider["providers"]] == ["/var/lib/grafana/dashboards"]
    assert [(one["type"], one["isDefault"]) for one in source["datasources"]] == [("prometheus", True)]
