"""Shared by the dashboards: variables, links, annotations, and the places of panels on the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import dashboard as kit
from grafana_foundation_sdk.models import dashboard

from exporter.metrics import catalogue
from grafana import queries
from grafana.panels import BLUE, DATASOURCE, PURPLE, RUNBOOKS

if TYPE_CHECKING:
    from grafana_foundation_sdk.cog.builder import Builder

    from grafana.panels import AnyPanel

NUMBERS_UID, EXPORTER_UID = "cams-numbers", "cams-exporter"
TAG = "cams"
EXPORTER_URL = "http://localhost:10106"
"""Default address of the exporter for links; the variable can change it."""
_WIDTH = 24
_EDITOR = "PrometheusVariableQueryEditor-VariableQuery"
_LIST_KINDS = {"label_values": 1, "query_result": 3}
"""Grafana's kinds of variable queries."""


class Board:
    """Builds one dashboard.  Panels get their ids and places in the order in which they are added."""

    def __init__(self, uid: str, title: str, description: str, *, since: str) -> None:
        self._panels = 0
        self._left = _WIDTH
        self._dashboard = (
            kit.Dashboard(title)
            .uid(uid)
            .description(description)
            .tags([TAG])
            .editable()
            .timezone("browser")
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
            .time(f"now-{since}", "now")
            .refresh("1m")
        )

    def row(self, title: str) -> None:
        """Begin a section."""
        if self._left not in (0, _WIDTH):
            raise ValueError(f"the panels above {title!r} leave {self._left} of {_WIDTH} columns empty")
        self._left = _WIDTH
        self._panels += 1
        self._dashboard.with_row(kit.Row(title).id(self._panels))

    def add(self, panel: AnyPanel, *, width: int, height: int) -> None:
        """Place a panel right of the last one, or on the next line when that one is full."""
        self._left = (self._left or _WIDTH) - width
        if self._left < 0:
            raise ValueError(f"a line of panels is wider than {_WIDTH} columns")
        self._panels += 1
        self._dashboard.with_panel(panel.id(self._panels).span(width).height(height))

    def build(
        self,
        variables: list[dashboard.VariableModel],
        links: list[Builder[dashboard.DashboardLink]],
        marks: list[Annotation],
    ) -> dashboard.Dashboard:
        """The finished dashboard."""
        built = self._dashboard.links(links).build()
        built.templating.list_val = variables
        built.annotations.list_val = [*marks]
        return built


class Annotation(dashboard.AnnotationQuery):
    """Marks on the graphs from a query.  The SDK's own class lacks the fields of Prometheus annotations.

    A mark stands where a series is above 0.  With `at_value` the value of the series is the time, in milliseconds.
    """

    def __init__(
        self, name: str, colour: str, query: str, text: str, *, min_step: str, tags: str, at_value: bool = False
    ) -> None:
        super().__init__(name=name, datasource=DATASOURCE, icon_color=colour)
        self._extra: dict[str, object] = {
            "target": {"refId": "Anno", "expr": query, "interval": min_step},
            "titleFormat": name,
            "textFormat": text,
            "tagKeys": tags,
            "useValueForTime": at_value,
        }

    def to_json(self) -> dict[str, object]:
        """The fields of an annotation, Prometheus's included."""
        return super().to_json() | self._extra


def marks() -> list[Annotation]:
    """Loads of the configuration and changes of status."""
    return [
        Annotation(
            "Configuration loaded",
            BLUE,
            queries.loads(),
            "{{instance}} started or reloaded its configuration",
            min_step="1m",
            tags="job,instance",
            at_value=True,
        ),
        Annotation(
            "Status changed",
            PURPLE,
            queries.status_changes(),
            "{{phone_number}} {{name}} of {{account}} became {{status}}",
            min_step="5m",
            tags="account,status",
        ),
    ]


def links(other_uid: str, other_title: str) -> list[Builder[dashboard.DashboardLink]]:
    """Links to the other dashboard with the same selection, to the exporter's status page, and to the runbooks."""
    return [
        kit.DashboardLink(other_title)
        .url(f"/d/{other_uid}")
        .icon("dashboard")
        .tooltip("Same accounts, same time")
        .include_vars(True)
        .keep_time(True),
        kit.DashboardLink("Status page")
        .url("${exporter_url:raw}/numbers")
        .icon("external link")
        .tooltip("Last polls, errors and RequestIds, live from the exporter")
        .target_blank(True),
        kit.DashboardLink("Runbooks")
        .url(f"{RUNBOOKS}README.md")
        .icon("doc")
        .tooltip("What to do about each alert")
        .target_blank(True),
    ]


def account_variables() -> list[dashboard.VariableModel]:
    """Data source, job, account, and the address of the exporter's pages.

    "All" of `job` is the list of the exporters' jobs, not ``.*``, because `process_*` and `up` exist for every job.
    """
    accounts = f"label_values({queries.of_job(catalogue.ACCOUNT_UP.name)}, account)"
    return [
        kit.DatasourceVariable("datasource").label("Data source").type("prometheus").build(),
        _choice("job", "Job", f"label_values({catalogue.BUILD_INFO.name}, job)"),
        _choice("account", "Account", accounts, everything=".*"),
        kit.TextBoxVariable("exporter_url")
        .label("Exporter URL")
        .description("The exporter's address for your browser. The link to its status page begins with it.")
        .default_value(EXPORTER_URL)
        .current(dashboard.VariableOption(text=EXPORTER_URL, value=EXPORTER_URL))
        .build(),
    ]


def number_variables() -> list[dashboard.VariableModel]:
    """The variables of the accounts, and space, number and status.

    The list of numbers shows number and name: the query joins both in one label, and a pattern splits them again.
    """
    *account, exporter_url = account_variables()
    status = queries.of_account(catalogue.STATUS)
    space = 'cust_space_id=~"$space"'
    info = queries.of_account(catalogue.INFO, space)
    shown = f'label_join({info}, "shown", " ", "phone_number", "name")'
    number = _choice(
        "number",
        "Number",
        f"query_result(count by (phone_number, shown) ({shown}))",
        everything=".*",
        pattern='/phone_number="(?<value>[^"]+)",shown="(?<text>.+?) ?"}/',
    )
    return [
        *account,
        _choice("space", "Space", f"label_values({status}, cust_space_id)", everything=".*"),
        number,
        _choice("status", "Status", f"label_values({status}, status)", everything=".*"),
        exporter_url,
    ]


def _choice(name: str, label: str, query: str, *, everything: str = "", pattern: str = "") -> dashboard.VariableModel:
    """A choice of several results of a query, or all.  `everything` is the regular expression for all; "": the list."""
    variable = (
        kit.QueryVariable(name)
        .label(label)
        .query({"query": query, "qryType": _LIST_KINDS[query.partition("(")[0]], "refId": _EDITOR})
        .datasource(DATASOURCE)
        .multi(True)
        .include_all(True)
        .current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    )
    if everything:
        variable.all_value(everything)
    if pattern:
        variable.regex(pattern)
    return variable.build()
