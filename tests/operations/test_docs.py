"""Every command, file and query in the README and the docs works as pasted, or a comment above it says why not.

The mark is ``<!-- not run: reason -->`` on the line before the block.  Files under /run/secrets are in a folder of the
test; everything else is used unchanged.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.cams.client import API_VERSION
from exporter.cams.operations import GetWhatsappHealthStatus, ListInstance, QueryChatappPhoneNumbers
from exporter.cli.flags import flags
from exporter.cluster.leases.timing import timing
from exporter.config import load, plan
from exporter.config.loader import ACCOUNT_KEYS, API_KEYS, CONFIG_KEYS
from exporter.config.sections.cluster import CLUSTER_KEYS
from exporter.config.sections.credential_types import CREDENTIALS_KEYS
from exporter.config.sections.discovery import DISCOVER_KEYS, HEALTH_KEYS
from exporter.config.settings import DEFAULT_LEASE_SECONDS, DEFAULT_SCRAPE_INTERVAL_SECONDS, ApiConfig
from exporter.metrics.catalogue import CATALOGUE
from exporter.model import OPERATION, spare_qps
from exporter.simulator import World
from exporter.web.security.config import load_web_config
from tests.operations import rulebook
from tests.operations.rulebook import METRICS
from tests.operations.tools import ROOT, system_tool
from tests.support import promql
from tests.support.exporter import ExporterProcess, run_exporter, until
from tests.support.fleet import exported, fleet, found, phones
from tests.support.markdown import Block, anchors, blocks, commands, inline_code, links
from tests.support.patience import PATIENCE_SECONDS
from tests.support.promtool import evaluate
from tests.support.servers import INSTALLED, server_binary

if TYPE_CHECKING:
    from collections.abc import Callable

HOME = "https://github.com/cams-exporter/cams-exporter"
RAW = "https://raw.githubusercontent.com/cams-exporter/cams-exporter"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page, ROOT)]
OUTPUT = frozenset({"text"})
"""Output that is shown, not pasted."""
SECRETS = ("cams-key-id", "cams-key-secret", "valkey-password")
FOREIGN_METRICS = {
    "up": {"job", "instance"},
    "process_start_time_seconds": {"job", "instance"},
    "node_textfile_mtime_seconds": {"file"},
    "node_time_seconds": set(),
}
"""Prometheus's, prometheus_client's and node_exporter's, beside the catalogue."""
NUMBERS = "8613800001234,cams-kei0001,support-line\n"
"""A CSV file without a header row."""
CONFIGURED_LABELS = {"name", "team", "env"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def of(*languages: str, run: bool = True) -> list[Any]:
    """The blocks in these languages, as parameters named by where they stand."""
    return [
        pytest.param(block, id=block.where)
        for block in BLOCKS
        if block.language in languages and bool(block.reason) != run
    ]


def with_secrets(text: str, folder: Path) -> str:
    """`text` with the secret files that it names made in `folder`."""
    secrets = folder / "secrets"
    secrets.mkdir(exist_ok=True)
    for name in SECRETS:
        (secrets / name).write_text("simulated", encoding="utf-8")
    return text.replace("/run/secrets", str(secrets))


@cache
def readme_config() -> str:
    """The configuration that the README shows: commands are run with it as ``config.yml``."""
    (found,) = (
        block.text for block in BLOCKS if block.where.startswith("README.md") and "\naccounts:" in f"\n{block.text}"
    )
    return found


# Blocks to paste


def test_every_block_says_what_it_is() -> None:
    """A block without a language, or in an unknown language, would not be tested."""
    checked = {"yaml", "json", "promql", "console"}
    assert {block.where for block in BLOCKS if block.language not in checked | OUTPUT and not block.reason} == set()


def test_a_reason_is_a_reason() -> None:
    reasons = {block.where: block.reason for block in BLOCKS if block.reason}
    assert all(len(reason.split()) >= 4 for reason in reasons.values()), reasons


@pytest.mark.parametrize("block", of("console"))
def test_commands_run_and_print_what_is_shown(block: Block, tmp_path: Path) -> None:
    """By a shell, in a folder with the README's configuration and this repository's files."""
    for name in ("prometheus", "deploy", "grafana", "config.example.yml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "config.yml").write_text(with_secrets(readme_config(), tmp_path), encoding="utf-8")
    (tmp_path / "numbers.csv").write_text(NUMBERS, encoding="utf-8")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ran = commands(block)
    assert ran
    for command, _ in ran:
        if command.startswith("openssl"):
            system_tool("openssl", "openssl")
    for command, shown in ran:
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert not shown or done.stdout == shown, command


EXAMPLES = ("config.example.yml", "web-config.example.yml")


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_check_that_an_example_names_passes(example: str, tmp_path: Path) -> None:
    """In a folder with the examples, as the kit writes them, and with the user's own files made from them."""
    for name in EXAMPLES:
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "config.yml").write_text(with_secrets(readme_config(), tmp_path), encoding="utf-8")
    own = tmp_path / "web-config.yml"
    own.write_text((ROOT / "web-config.example.yml").read_text(encoding="utf-8"), encoding="utf-8")
    make_certificates(own)
    named = re.findall(r"(?m)^#.*(cams_exporter --config\.check .*)$", (ROOT / example).read_text(encoding="utf-8"))
    assert len(named) == 2
    for command in named:
        done = run_exporter(*shlex.split(command)[1:], cwd=tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "valid" in done.stdout


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_is_accepted_by_what_reads_it(block: Block, tmp_path: Path) -> None:
    """The exporter's own loaders, promtool or amtool: the reader of a block is found by its keys."""
    document = yaml.safe_load(block.text)
    keys = set(document) if isinstance(document, dict) else {key for entry in document for key in entry}
    (reader,) = (reader for key, reader in READERS.items() if key in keys)
    file = tmp_path / "block.yml"
    file.write_text(with_secrets(block.text, tmp_path), encoding="utf-8")
    reader(file)


def same_blocks(page: str) -> dict[str, object]:
    """What the blocks of a page say to a machine, by where they stand: comments may be in another language."""
    said: dict[str, object] = {}
    for block in BLOCKS:
        if block.where.startswith(page):
            if block.language in {"yaml", "json"}:
                said[block.where] = yaml.safe_load(block.text)
            elif block.language == "console":
                said[block.where] = [(re.sub(r"\s+# .*", "", command), shown) for command, shown in commands(block)]
            else:
                said[block.where] = block.text
    return said


def test_the_chinese_quick_start_has_the_commands_and_files_of_the_readme() -> None:
    """Each of its blocks is one of the README's, so that it is run and checked with it."""
    readme = list(same_blocks("README.md").values())
    shown = same_blocks("docs/quickstart.zh-CN.md")
    assert len(shown) > 8
    assert {where: said for where, said in shown.items() if said not in readme} == {}


def read_config(file: Path) -> None:
    """With the number file that it may name."""
    (file.parent / "numbers.csv").write_text(f"phone_number,cust_space_id,name\n{NUMBERS}", encoding="utf-8")
    config = load(file)
    assert config.warnings == ()
    assert all(account.numbers for account in config.accounts)


def read_number_files(file: Path) -> None:
    """The keys of an account, with the CSV file that the README shows below them."""
    (shown,) = (block.text for block in BLOCKS if block.text.startswith("phone_number,"))
    (file.parent / "fleet.csv").write_text(shown, encoding="utf-8")
    (file.parent / "numbers").mkdir()
    (file.parent / "numbers" / "a.yml").write_text('- {phone_number: "12345", cust_space_id: s}\n', encoding="utf-8")
    account = {"name": "main", **yaml.safe_load(file.read_text(encoding="utf-8"))}
    file.write_text(json.dumps({"accounts": [account]}), encoding="utf-8")
    config = load(file)
    assert config.warnings == ()
    assert [number.labels for number in config.accounts[0].numbers] == [(("team", "sales"),), ()]


def read_discover(file: Path) -> None:
    """The keys of an account; the README shows the plan that follows from them."""
    account = {"name": "main", **yaml.safe_load(file.read_text(encoding="utf-8"))}
    file.write_text(json.dumps({"accounts": [account]}), encoding="utf-8")
    config = load(file)
    assert config.warnings == ()
    (shown,) = (block.text for block in BLOCKS if block.text.startswith("account  listing"))
    assert shown.strip() in plan(config)


def read_account_settings(file: Path) -> None:
    """The keys of an account, all of which take effect."""
    account = {"name": "main", "numbers": [{"phone_number": "12345", "cust_space_id": "s"}]}
    account |= yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({"accounts": [account]}), encoding="utf-8")
    config = load(file)
    (read,) = config.accounts
    assert config.warnings == ()
    assert read.scrape_interval_seconds != DEFAULT_SCRAPE_INTERVAL_SECONDS
    assert read.api not in {ApiConfig(), ApiConfig(timeout_seconds=read.api.timeout_seconds)}


def read_cluster(file: Path) -> None:
    """The section, beside an account with the defaults: something is left for the time without the store."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    numbers = [{"phone_number": "12345", "cust_space_id": "s"}]
    file.write_text(json.dumps({"accounts": [{"name": "main", "numbers": numbers}], **document}), encoding="utf-8")
    config = load(file)
    assert config.warnings == ()
    assert config.cluster is not None


def read_web_config(file: Path) -> None:
    make_certificates(file)
    read = load_web_config(file)
    assert read.users or read.tls


def make_certificates(file: Path) -> None:
    """Those that a web configuration names: a user has them."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    tls = document.get("tls_server_config", {})
    if tls:
        key, certificate = file.parent / tls["key_file"], file.parent / tls["cert_file"]
        request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost"
        openssl = system_tool("openssl", "openssl")
        made = [openssl, *request.split(), "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(made, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
        (file.parent / tls["client_ca_file"]).write_bytes(certificate.read_bytes())


def read_scrape_configs(file: Path) -> None:
    """The job's name must be one that the alert CamsExporterDown finds.  The user has the certificates."""
    tool("promtool", "check", "config", "--syntax-only", str(file))
    (pattern,) = {
        found
        for alert in rulebook.alerts()
        if alert.name == "CamsExporterDown"
        for found in re.findall(r'job=~"([^"]*)"', alert.expr)
    }
    for job in yaml.safe_load(file.read_text(encoding="utf-8"))["scrape_configs"]:
        assert re.fullmatch(pattern, job["job_name"])


def read_rules(file: Path) -> None:
    rules = yaml.safe_load(file.read_text(encoding="utf-8"))
    for rule in rules:
        judge_query(rule["expr"])
    file.write_text(json.dumps({"groups": [{"name": "docs", "rules": rules}]}), encoding="utf-8")
    tool("promtool", "check", "rules", "--lint=all", "--lint-fatal", str(file))


READERS: dict[str, Callable[[Path], None]] = {
    "accounts": read_config,
    "number_files": read_number_files,
    "discover": read_discover,
    "cluster": read_cluster,
    "scrape_interval": read_account_settings,
    "tls_server_config": read_web_config,
    "scrape_configs": read_scrape_configs,
    "alert": read_rules,
    "route": lambda file: tool("amtool", "check-config", str(file)),
}


def tool(name: str, *arguments: str) -> None:
    """Run promtool or amtool; its output is the failure."""
    binary = server_binary(name, f"{name.upper()}_BINARY", INSTALLED)
    ran = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert ran.returncode == 0, ran.stdout + ran.stderr


STATUS, LISTINGS, HEALTH = OPERATION, ("ListInstance", "QueryChatappPhoneNumbers"), "GetWhatsappHealthStatus"
POLICIES = ((STATUS,), (STATUS, *LISTINGS), (STATUS, *LISTINGS, HEALTH))
"""The operations that each policy allows: without discovery and health, with discovery, with both."""


def actions(block: Block) -> tuple[str, ...]:
    """The operations that a RAM policy allows; it has one statement, in the form that the console accepts."""
    policy = json.loads(block.text)
    assert policy["Version"] == "1"
    (statement,) = policy["Statement"]
    assert {key: value for key, value in statement.items() if key != "Action"} == {"Effect": "Allow", "Resource": "*"}
    named = statement["Action"]
    return tuple(action.removeprefix("cams:") for action in ([named] if isinstance(named, str) else named))


@pytest.mark.parametrize("block", of("json"))
def test_a_ram_policy_grants_what_a_feature_needs_and_nothing_more(block: Block) -> None:
    """The JSON shown is a RAM policy; it must not grow."""
    assert actions(block) in POLICIES


def test_there_is_a_policy_for_each_feature() -> None:
    """The actions are named like the operations that the exporter calls.  The README has the first one."""
    shown = {
        page: tuple(actions(block) for block in BLOCKS if block.language == "json" and block.where.startswith(page))
        for page in ("README.md", "docs/credentials.md")
    }
    assert shown == {"README.md": POLICIES[:1], "docs/credentials.md": POLICIES}
    called = {ListInstance.name, QueryChatappPhoneNumbers.name, GetWhatsappHealthStatus.name, OPERATION}
    assert set(POLICIES[-1]) == called


QUERIES = {block.where: block.text for block in BLOCKS if block.language == "promql"}


def test_every_query_runs(tmp_path: Path) -> None:
    """promtool evaluates all of them, over a replica with one good number."""
    shown = {metric.name: ", ".join(f'{label}="x"' for label in metric.labels) for metric in CATALOGUE}
    series = {f'{name}{{job="cams-exporter", instance="a", {labels}}}': "1x10" for name, labels in shown.items()}
    evaluate(tmp_path, series, [(f"count({query}) < 0", 5, {}) for query in QUERIES.values()])


@pytest.mark.parametrize("where", QUERIES)
def test_a_query_asks_for_metrics_and_labels_that_exist(where: str) -> None:
    judge_query(QUERIES[where])


def judge_query(query: str) -> None:
    used = promql.names(query)
    target = {"job", "instance"}
    assert used.selected
    for metric, labels in used.selected.items():
        assert labels <= {*METRICS.get(metric, ()), *FOREIGN_METRICS.get(metric, ()), *target}, metric
        assert metric in METRICS or metric in FOREIGN_METRICS, metric
    assert used.listed <= {label for labels in METRICS.values() for label in labels} | CONFIGURED_LABELS | target


# Texts


@each_page
def test_flags_that_are_named_exist(page: Path) -> None:
    """The exporter's own parser parses inline commands; values in capitals are placeholders."""
    known = {flag for action in flags()._actions for flag in action.option_strings}
    for code in inline_code(page):
        words = shlex.split(code.replace("'", ""))
        named = {word.partition("=")[0] for word in words if word.startswith("--")}
        if words[0] == "cams_exporter" or (len(words) == 1 and named and "." in words[0]):
            assert named <= known, code


@each_page
def test_keys_that_are_named_exist(page: Path) -> None:
    """Written as ``api.proxy``: a section and a key of it."""
    keys = {"api": API_KEYS, "discover": DISCOVER_KEYS, "health": HEALTH_KEYS, "cluster": CLUSTER_KEYS}
    keys |= {"accounts[]": ACCOUNT_KEYS, "credentials": CREDENTIALS_KEYS}
    for code in inline_code(page):
        section, _, key = code.partition(".")
        if section in keys and re.fullmatch(r"[a-z_]+", key):
            assert key in keys[section], code


def test_every_key_is_in_the_example() -> None:
    text = (ROOT / "config.example.yml").read_text(encoding="utf-8")
    every = {*CONFIG_KEYS, *API_KEYS, *ACCOUNT_KEYS, *DISCOVER_KEYS, *HEALTH_KEYS, *CLUSTER_KEYS, *CREDENTIALS_KEYS}
    assert {key for key in every if not re.search(rf"(?m)\b{key}:", text)} == set()


@each_page
def test_metrics_that_are_named_exist(page: Path) -> None:
    named = {found for code in inline_code(page) for found in re.findall(r"\bcams_(?!exporter\b)\w+", code)}
    assert named <= set(METRICS) | {metric.name for metric in CATALOGUE}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """Links to files of this repository and their headings, also by its address on GitHub; no other sites."""
    for link in links(page):
        own = re.fullmatch(rf"{HOME}/(?:blob|tree)/main/(.+)|{RAW}/main/(.+)", link)
        if re.match(r"https?:", link) and not own:
            continue
        target, _, anchor = (own[own.lastindex or 0] if own else link).partition("#")
        linked = ((ROOT if own else page.parent) / target).resolve() if target else page
        assert linked.exists(), link
        assert not anchor or anchor in anchors(linked), link


def test_the_api_page_names_the_version_and_the_operations_that_are_called() -> None:
    text = (ROOT / "docs" / "network.md").read_text(encoding="utf-8")
    assert all(f"version `{API_VERSION}`" in page for page in (text, (ROOT / "README.md").read_text(encoding="utf-8")))
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", text)) == set(POLICIES[-1])


@pytest.mark.parametrize("file", ["deploy/helm/cams-exporter/values.yaml", "deploy/kustomize/base/deployment.yaml"])
def test_the_memory_that_a_manifest_names_is_what_the_benchmarks_allow(file: str) -> None:
    """They are limits; benchmarks/RESULTS.md has beside them what was measured."""
    text = (ROOT / file).read_text(encoding="utf-8")
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    (shown,) = re.findall(
        r"Memory that the benchmarks allow: (\d+) MiB at ([\d,]+) numbers, (\d+) MiB at ([\d,]+)", text
    )
    allowed = re.findall(r"(?m)^\| RSS at ([\d,]+) numbers \| ≤ (\d+) MiB", results)
    assert [(shown[1], shown[0]), (shown[3], shown[2])] == allowed


def test_the_index_has_every_page() -> None:
    listed = {(ROOT / "docs" / link).resolve() for link in links(ROOT / "docs" / "README.md")}
    pages = {*(ROOT / "docs").glob("*.md"), ROOT / "docs" / "runbooks" / "README.md"} - {ROOT / "docs" / "README.md"}
    assert pages <= listed


@pytest.mark.parametrize("file", sorted((ROOT / "docs").glob("*.svg")), ids=lambda file: file.name)
def test_a_picture_is_readable_on_light_and_dark_pages_and_to_a_screen_reader(file: Path) -> None:
    """Well-formed, with a title and a description, colours for both schemes, and nothing loaded from other sites."""
    text = file.read_text(encoding="utf-8")
    root = ET.fromstring(text)  # noqa: S314 - a file of this repository
    names = [child.tag.rpartition("}")[2] for child in root]
    assert names[:2] == ["title", "desc"]
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r'(?:href|src)="https?:|@import|url\(http', text)


def test_the_page_on_replicas_says_what_the_lease_and_the_spare_rate_are() -> None:
    page = (ROOT / "docs" / "high-availability.md").read_text(encoding="utf-8")
    assert (
        f"for most of a lease: {timing(DEFAULT_LEASE_SECONDS).right_seconds:g} s of {DEFAULT_LEASE_SECONDS:g} s" in page
    )
    assert "With `quota: 10`, `qps: 5` and `replicas: 3`, each replica sends at most one request" in page
    assert spare_qps(5, 10, 3) == 1


def counted_series(exporter: ExporterProcess) -> list[float]:
    """How many each of three numbers has, then all accounts, all spaces, and the exporter."""
    labels = [{label for label, _ in has} for _, has in exporter.scrape()]
    numbers = sum("phone_number" in one for one in labels)
    accounts = sum("account" in one and "cust_space_id" not in one for one in labels)
    spaces = sum("cust_space_id" in one for one in labels) - numbers
    return [numbers / 3, accounts, spaces, len(labels) - numbers - accounts - spaces]


def test_the_series_counted_in_the_sizing_page_are_those_exposed() -> None:
    """Counted in a scrape of three numbers with an answer, configured and then found and checked."""
    page = (ROOT / "docs" / "sizing.md").read_text(encoding="utf-8")
    number, account, space, rest = [int(text) for text in re.findall(r"^\| each \w+ \| (\d+)", page, re.MULTILINE)]
    listed, checked, operation, listed_space = [
        int(text) for text in re.findall(r"^\| with `.*, each \w+ \| (\d+) more", page, re.MULTILINE)
    ]
    world = World()
    with exported(world, fleet(world, 3)) as exporter:
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        assert counted_series(exporter) == [number, account, space, rest]
    world = World()
    with exported(world, found(world, {"cams-a": phones(3)}, health={"interval": "1s"})) as exporter:
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        shown = [number + listed + checked, account + 3 * operation + 1, space + listed_space, rest]
        until(lambda: counted_series(exporter) == shown, f"{shown}, not {counted_series(exporter)}")
