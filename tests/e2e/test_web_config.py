"""One web configuration file, two servers: Debian's node_exporter and this exporter treat every client equally."""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
import trustme

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, awaited, run_exporter, series, total, until, value
from tests.support.fleet import config, fleet, phones
from tests.support.node_exporter import node_exporter
from tests.support.patience import PATIENCE_SECONDS
from tests.support.pki import client_file, server_files
from tests.support.prometheus import RealPrometheus
from tests.support.servers import OPENER, require_binary
from tests.support.webclients import CLIENTS, REFUSED, Credentials, curl, python

USER = ("prometheus", "correct horse")
WRONG_USERS = {
    "no password": None,
    "wrong password": ("prometheus", "wrong"),
    "unknown user": ("nobody", "correct horse"),
    "password of 100 bytes": ("prometheus", "x" * 100),
    "empty password": ("prometheus", ""),
}


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def users() -> str:
    return f"basic_auth_users:\n  {USER[0]}: {bcrypt.hashpw(USER[1].encode(), bcrypt.gensalt(4)).decode()}\n"


def write_web_config(folder: Path, authority: trustme.CA) -> Path:
    """Client certificates and passwords, as Prometheus's documentation shows them."""
    server_files(folder, authority)
    path = folder / "web.yml"
    path.write_text(
        "tls_server_config:\n"
        "  cert_file: server.crt\n"
        "  key_file: server.key\n"
        "  client_auth_type: RequireAndVerifyClientCert\n"
        "  client_ca_file: ca.crt\n"
        "  min_version: TLS12\n"
        "  cipher_suites:\n"
        "  - TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\n"
        "  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n"
        "http_server_config:\n"
        "  headers:\n"
        "    Strict-Transport-Security: max-age=31536000\n"
        f"{users()}"
    )
    return path


@contextmanager
def both(web_config: Path, scheme: str) -> Iterator[dict[str, str]]:
    """The URLs of the metrics of both servers, by name."""
    with (
        node_exporter(web_config, web_config.parent / "node_exporter.log") as theirs,
        ExporterProcess(None, "--demo", f"--web.config.file={web_config}") as exporter,
    ):
        yield {"node_exporter": f"{scheme}://{theirs}/metrics", "cams_exporter": f"{exporter.url}/metrics"}


def test_node_exporter_and_this_exporter_treat_every_client_equally(authority: trustme.CA, tmp_path: Path) -> None:
    """No certificate, one of another authority, the right one; no password, wrong ones, the right one; curl and
    Python."""
    require_binary("curl")
    web_config = write_web_config(tmp_path, authority)
    good, stranger = client_file(tmp_path, authority, "good"), client_file(tmp_path, trustme.CA(), "stranger")
    expected = {
        ("no certificate", "right password"): REFUSED,
        ("wrong certificate", "right password"): REFUSED,
        ("right certificate", "right password"): 200,
        **{("right certificate", what): 401 for what in WRONG_USERS},
    }
    certificates = {"no certificate": None, "wrong certificate": stranger, "right certificate": good}
    ca = tmp_path / "ca.crt"
    with both(web_config, "https") as urls:
        for server, url in urls.items():
            for client, ask in CLIENTS.items():
                seen = {
                    (certificate, what): ask(
                        url, Credentials(ca, certificates[certificate], WRONG_USERS.get(what, USER))
                    )
                    for certificate, what in expected
                }
                assert seen == expected, f"{client} at {server}"


def test_both_servers_refuse_a_file_that_breaks_later_and_serve_again_once_it_is_fixed(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """Without a restart of either server, a rotated certificate and a new password take effect at once."""
    web_config = write_web_config(tmp_path, authority)
    valid = web_config.read_text()
    own = Credentials(tmp_path / "ca.crt", client_file(tmp_path, authority), USER)
    with both(web_config, "https") as urls:

        def statuses() -> set[int]:
            return {python(url, own) for url in urls.values()}

        assert statuses() == {200}
        web_config.write_text(valid.replace("server.key", "missing.key"))
        until(lambda: statuses() == {REFUSED}, "both have noticed")
        web_config.write_text(valid)
        until(lambda: statuses() == {200}, "both have recovered")

        other = trustme.CA()
        server_files(tmp_path, other)
        until(lambda: statuses() == {REFUSED}, "the old authority is no longer trusted, nor the new server by the old")
        own = Credentials(tmp_path / "ca.crt", client_file(tmp_path, other, "other"), USER)
        until(lambda: statuses() == {200}, "both have the new certificates")

        web_config.write_text(valid.partition("basic_auth_users")[0] + users().replace(USER[0], "someone-else"))
        until(lambda: statuses() == {401}, "the user is gone")


def run_curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def test_a_refused_client_learns_why_and_is_counted_and_logged(authority: trustme.CA, tmp_path: Path) -> None:
    """Without a certificate by an alert, with HTTP on the TLS port by an answer: as from Go's servers."""
    require_binary("curl")
    web_config = write_web_config(tmp_path, authority)
    ca, client = str(tmp_path / "ca.crt"), str(client_file(tmp_path, authority))
    with ExporterProcess(None, "--demo", f"--web.config.file={web_config}") as exporter:
        metrics = f"{exporter.url}/metrics"
        assert "alert" in run_curl("--cacert", ca, metrics).stderr
        clear = run_curl(metrics.replace("https://", "http://"))
        assert clear.stdout == "Client sent an HTTP request to an HTTPS server.\n"
        name = "cams_exporter_refused_connections_total"
        own = ("--cacert", ca, "--cert", client, "--user", ":".join(USER))
        scraped = awaited(
            lambda: series(run_curl(*own, metrics).stdout),
            lambda scraped: total(scraped, name) >= 2,
            "both are counted",
        )
        assert value(scraped, name, reason="client_certificate_missing") == 1
        assert value(scraped, name, reason="not_tls") == 1
        assert total(scraped, name) == 2

        def refused() -> list[str]:
            return [line for line in exporter.log.splitlines() if 'msg="connection refused"' in line]

        refusals = awaited(refused, lambda lines: len(lines) >= 2, "both are logged")
        for line, reason in zip(refusals, ("client_certificate_missing", "not_tls"), strict=True):
            assert f"reason={reason} " in line
            assert "remote=127.0.0.1 " in line
            assert "level=info" in line


TLS = "cert_file: server.crt, key_file: server.key"
HTTP_1 = "http_server_config: {http2: false}"


@pytest.mark.parametrize(
    ("scheme", "text", "without", "own"),
    [
        ("http", "tls_server_config: {}\nbasic_auth_users:\nhttp_server_config:\n", 200, 200),
        ("http", "tls_server_config:\nhttp_server_config: {headers: }\n", 200, 200),
        ("https", f"tls_server_config: {{{TLS}, min_version: TLS10, client_auth_type: ''}}", 200, 200),
        ("https", f"tls_server_config: {{{TLS}, client_auth_type: RequireAndVerifyClientCert}}", REFUSED, REFUSED),
        (
            "https",
            f"{{tls_server_config: {{{TLS}, cipher_suites: [TLS_AES_128_GCM_SHA256]}}, {HTTP_1}}}",
            200,
            200,
        ),
    ],
    ids=["empty sections", "null sections", "old version", "authorities of the system", "suites of TLS 1.3"],
)
def test_unusual_files_are_treated_equally(
    authority: trustme.CA, tmp_path: Path, scheme: str, text: str, without: int, own: int
) -> None:
    """Both accept or refuse a client without a certificate, and a client of an unknown authority, in the same way."""
    server_files(tmp_path, authority)
    web_config = tmp_path / "web.yml"
    web_config.write_text(text)
    client = client_file(tmp_path, authority)
    with both(web_config, scheme) as urls:
        for url in urls.values():
            assert python(url, Credentials(tmp_path / "ca.crt")) == without
            assert python(url, Credentials(tmp_path / "ca.crt", client)) == own


def test_client_certificates_are_asked_for_and_no_longer_while_both_run(authority: trustme.CA, tmp_path: Path) -> None:
    """If a file protects less, this exporter waits: two checks, some time apart, must find the same file."""
    web_config = tmp_path / "web.yml"
    server_files(tmp_path, authority)
    strict = f"tls_server_config: {{{TLS}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert}}"
    web_config.write_text(strict)
    nobody = Credentials(tmp_path / "ca.crt")
    own = Credentials(tmp_path / "ca.crt", client_file(tmp_path, authority))
    with both(web_config, "https") as urls:

        def statuses(client: Credentials) -> set[int]:
            return {python(url, client) for url in urls.values()}

        assert (statuses(nobody), statuses(own)) == ({REFUSED}, {200})
        web_config.write_text(f"tls_server_config: {{{TLS}}}")
        until(lambda: statuses(nobody) == {200}, "both ask for no certificate")
        web_config.write_text(strict)
        until(lambda: statuses(nobody) == {REFUSED}, "both ask for one again")
        assert statuses(own) == {200}


def test_passwords_without_tls_are_asked_for_alike(authority: trustme.CA, tmp_path: Path) -> None:
    """Only the first 72 bytes of a password count, as in bcrypt."""
    web_config = tmp_path / "web.yml"
    web_config.write_text(f"{users()}  long: {bcrypt.hashpw(b'x' * 72, bcrypt.gensalt(4)).decode()}\n")
    nobody = Credentials(tmp_path / "unused")
    with both(web_config, "http") as urls:
        for url in urls.values():
            assert curl(url, nobody) == 401
            assert curl(url, Credentials(nobody.authority, user=USER)) == 200
            assert curl(url, Credentials(nobody.authority, user=("long", "x" * 100))) == 200
            assert curl(url, Credentials(nobody.authority, user=("long", "x" * 71))) == 401
        probes = [urls["cams_exporter"].replace("/metrics", path) for path in ("/-/healthy", "/-/ready")]
        assert curl(probes[0], nobody) == 200
        assert curl(probes[1], nobody) in {200, 503}  # ready once every number was polled


def test_prometheus_scrapes_over_mutual_tls_with_a_password(authority: trustme.CA, tmp_path: Path) -> None:
    """With a wrong password the target is down, with the reason.  A rotated certificate interrupts nothing."""
    web_config = write_web_config(tmp_path, authority)
    client = str(client_file(tmp_path, authority))
    with ExporterProcess(None, "--demo", f"--web.config.file={web_config}") as exporter:

        def job(name: str, password: str) -> dict[str, object]:
            return {
                "job_name": name,
                "scheme": "https",
                "tls_config": {"ca_file": str(tmp_path / "ca.crt"), "cert_file": client, "key_file": client},
                "basic_auth": {"username": USER[0], "password": password},
                "static_configs": [{"targets": [exporter.target]}],
            }

        jobs = [job("right", USER[1]), job("wrong", "guessed")]
        with RealPrometheus(config={"scrape_configs": jobs}) as prometheus:

            def health() -> dict[str, tuple[str, str]]:
                return {one["labels"]["job"]: (one["health"], one["lastError"]) for one in prometheus.targets()}

            expected = {"right": ("up", ""), "wrong": ("down", "server returned HTTP status 401 Unauthorized")}
            prometheus.wait_until(lambda: health() == expected, "the right password scrapes, the wrong one does not")
            prometheus.wait_for_series('cams_phone_number_verification_status{job="right",status="VERIFIED"} == 1')
            server_files(tmp_path, authority)
            before = prometheus.value('count_over_time(up{job="right"}[1h])')
            assert before is not None
            prometheus.wait_until(
                lambda: (prometheus.value('count_over_time(up{job="right"}[1h])') or 0) >= before + 1,
                "another scrape",
            )
            prometheus.wait_until(lambda: health() == expected, "nothing is interrupted")  # a busy machine may fail one
            assert prometheus.query('count_over_time(cams_exporter_build_info{job="wrong"}[1h])') == []


def post(url: str, **headers: str) -> tuple[int, str]:
    """Status and body of a POST."""
    request = urllib.request.Request(url, method="POST", headers=headers)
    try:
        with OPENER.open(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class TestReload:
    """`POST /-/reload` of a real exporter."""

    def test_200_means_in_force_and_500_has_every_fault_and_changes_nothing(self) -> None:
        world = World()
        main, more = fleet(world, 2), fleet(world, 1, name="more", start=100)
        with (
            Simulator(world) as simulator,
            ExporterProcess(config(simulator.url, [main]), "--web.enable-lifecycle") as exporter,
        ):
            exporter.write_config(config(simulator.url, [main, more]))
            assert post(f"{exporter.url}/-/reload")[0] == 200
            assert set(exporter.statuses()) == {*phones(2), *phones(1, 100)}
            exporter.write_config(config(simulator.url, [main | {"qps": 99}], scrape_intervall="1s"))
            status, body = post(f"{exporter.url}/-/reload")
            assert status == 500
            assert "scrape_intervall: unknown key" in body
            assert "accounts[0].qps: " in body
            assert len(exporter.statuses()) == 3
            assert value(exporter.scrape(), "cams_exporter_config_last_reload_successful") == 0
            assert post(f"{exporter.url}/-/reload", Origin="https://evil.example")[0] == 403

    def test_signals_and_requests_do_not_get_in_each_others_way(self) -> None:
        world = World()
        section = fleet(world, 2)
        with (
            Simulator(world) as simulator,
            ExporterProcess(config(simulator.url, [section]), "--web.enable-lifecycle") as exporter,
        ):
            for _ in range(10):
                exporter.reload()
                assert post(f"{exporter.url}/-/reload") == (200, "the configuration is in force\n")
            until(lambda: exporter.log.count("configuration reloaded") >= 10, "each request had a reload of its own")
            assert len(exporter.statuses()) == 2
            assert "level=error" not in exporter.log

    def test_without_the_flag_it_is_forbidden(self) -> None:
        with ExporterProcess(None, "--demo") as exporter:
            assert post(f"{exporter.url}/-/reload")[0] == 403


class TestConfigCheck:
    """`--config.check` with `--web.config.file`."""

    def test_a_good_file_is_said_to_be_good(self, authority: trustme.CA, tmp_path: Path) -> None:
        web_config = write_web_config(tmp_path, authority)
        done = run_exporter("--config.check", "--demo", f"--web.config.file={web_config}")
        assert (done.returncode, done.stderr.count("error")) == (0, 0)
        assert done.stdout.endswith(f"{web_config}: valid: TLS with client certificates, 1 user, no rate limit\n")

    def test_every_fault_of_both_files_is_said_and_no_secret(self, tmp_path: Path) -> None:
        main, web_config = tmp_path / "config.yml", tmp_path / "web.yml"
        main.write_text("scrape_intervall: 60s\n")
        web_config.write_text("basic_auth_users: {a: s3cr3t}\ntls_server_config: {min_version: SSL3}\n")
        done = run_exporter("--config.check", f"--config.file={main}", f"--web.config.file={web_config}")
        assert done.returncode == 2
        assert f"{main}:1: scrape_intervall: unknown key" in done.stderr
        assert f"{web_config}:1: basic_auth_users.a: is not a bcrypt hash" in done.stderr
        assert "missing one of cert or cert_file" in done.stderr
        assert 'unknown TLS version: "SSL3"' in done.stderr
        assert "s3cr3t" not in done.stderr + done.stdout
        assert done.stdout == ""

    def test_a_bad_file_stops_the_start_with_the_same_words(self, tmp_path: Path) -> None:
        web_config = tmp_path / "web.yml"
        web_config.write_text("tls_server_config: {cert_file: a.crt, key_file: b.key}\n")
        done = run_exporter("--demo", "--web.listen-address=127.0.0.1:0", f"--web.config.file={web_config}")
        assert done.returncode == 2
        faults = [line for line in done.stderr.splitlines() if line.startswith(f"{web_config}:1: ")]
        assert [fault.partition('" ')[2][:50] for fault in faults] == [
            "cannot be read: no such file or directory; create "
        ] * 2
        assert "listening" not in done.stderr


def test_a_file_that_is_replaced_as_kubernetes_does_is_followed(authority: trustme.CA, tmp_path: Path) -> None:
    """A mounted secret is a folder behind a symbolic link, and the link is replaced."""
    for name in ("v1", "v2"):
        (tmp_path / name).mkdir()
        server_files(tmp_path / name, authority)
        (tmp_path / name / "web.yml").write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}\n")
    shutil.copy(tmp_path / "v1" / "ca.crt", tmp_path / "ca.crt")
    (tmp_path / "data").symlink_to("v1")
    own = Credentials(tmp_path / "ca.crt")
    with ExporterProcess(None, "--demo", f"--web.config.file={tmp_path}/data/web.yml") as exporter:
        assert python(f"{exporter.url}/metrics", own) == 200
        (tmp_path / "v2" / "server.key").write_text("broken")
        (tmp_path / "next").symlink_to("v2")
        (tmp_path / "next").rename(tmp_path / "data")
        until(lambda: python(f"{exporter.url}/metrics", own) == REFUSED, "it has noticed")
        exporter.logged("no request is accepted until it is fixed")
        server_files(tmp_path / "v2", authority)
        until(lambda: python(f"{exporter.url}/metrics", own) == 200, "it has recovered")
