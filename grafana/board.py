"""What the dashboards share: variables, links, annotations, and the order of panels on the grid."""

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
"""Where people reach the exporter, unless they say otherwise in the variable."""
_WIDTH = 24
_EDITOR = "PrometheusVariableQueryEditor-VariableQuery"
_LIST_KINDS = {"label_values": 1, "query_result": 3}
"""How Grafana's editor of variables shows a query."""


class Board:
    """One dashboard in the making: panels get their ids and places in the order in which they are added."""

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
    """Marks on the graphs from a query; the SDK's own class lacks the fields that Prometheus annotations have.

    A mark stands where a series is above 0, or, with `at_value`, at the time that its value gives in milliseconds.
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
    """To the other dashboard with the same selection, to the exporter's status page, to the runbooks."""
    return [
        kit.DashboardLink(other_title)
        .url(f"/d/{other_uid}")
        .icon("dashboard")
        .tooltip("The same accounts and the same time")
        .include_vars(True)
        .keep_time(True),
        kit.DashboardLink("Status page")
        .url("${exporter_url:raw}/numbers")
        .icon("external link")
        .tooltip("Last polls, errors and RequestIds, as the exporter sees them now")
        .target_blank(True),
        kit.DashboardLink("Runbooks")
        .url(f"{RUNBOOKS}README.md")
        .icon("doc")
        .tooltip("What to do about each alert")
        .target_blank(True),
    ]


def account_variables() -> list[dashboard.VariableModel]:
    """Data source, job, account, and where the exporter's pages are.

    All of `job` is the list of the exporters' jobs and not ``.*``: `process_*` and `up` exist for every job.
    """
    accounts = f"label_values({queries.of_job(catalogue.ACCOUNT_UP.name)}, account)"
    return [
        kit.DatasourceVariable("datasource").label("Data source").type("prometheus").build(),
        _choice("job", "Job", f"label_values({catalogue.BUILD_INFO.name}, job)"),
        _choice("account", "Account", accounts, everything=".*"),
        kit.TextBoxVariable("exporter_url")
        .label("Exporter URL")
        .description("Where your browser reaches the exporter: the link to its status page begins with this.")
        .default_value(EXPORTER_URL)
        .current(dashboard.VariableOption(text=EXPORTER_URL, value=EXPORTER_URL))
        .build(),
    ]


def number_variables() -> list[dashboard.VariableModel]:
    """Those of the accounts, and space, number and status.

    A number is chosen by itself and its name: a label that holds both is made for the list and taken apart again.
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
    """Several of what a query finds, or all; `everything` is the regular expression for all, the list when empty."""
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
