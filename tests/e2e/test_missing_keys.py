"""Key files that are missing or malformed at a start or a reload: other accounts are polled, and no secret is shown."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, run_exporter, until, value
from tests.support.fleet import config, fleet, phones
from tests.support.patience import PATIENCE_SECONDS

SECRET = "wJalrXUtnFEMIK7MDENGbPxRfiCYEX"


def reloaded(exporter: ExporterProcess, settings: dict[str, Any]) -> tuple[int, str]:
    """Status and text of the answer to POST /-/reload."""
    exporter.write_config(settings)
    request = urllib.request.Request(f"{exporter.url}/-/reload", method="POST", data=b"")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def up(exporter: ExporterProcess, account: str) -> float | None:
    return value(exporter.scrape(), "cams_account_up", account=account)


def test_an_account_without_a_key_is_down_at_once_and_up_once_its_file_is_right_and_the_others_are_polled() -> None:
    """For any interval, and with one number: a missing key is reported soon, not after three hours."""
    world = World()
    main, other = fleet(world, 1), fleet(world, 2, name="other", start=10)
    main["credentials"]["access_key_secret_file"] = "later"
    del main["credentials"]["access_key_secret"]
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [main, other], scrape_interval="1h")) as exporter,
    ):
        until(lambda: [exporter.statuses()[phone] for phone in phones(2, 10)] == ["VERIFIED"] * 2, "others are polled")
        until(lambda: up(exporter, "main") == 0, "the account is down")
        assert up(exporter, "other") == 1
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        assert "accounts[0].credentials.access_key_secret_file: the file named here cannot be read" in exporter.log
        exporter.home.joinpath("later").write_text("secret-main\n")
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "polled once the file is right")
        until(lambda: up(exporter, "main") == 1, "the account is up")
        exporter.home.joinpath("later").unlink()
        exporter.reload()
        exporter.logged("configuration reloaded")
        assert exporter.log.count("an account that has a key keeps it, another is refused") == 2
        exporter.logged("keeping the credentials read before")
        assert up(exporter, "main") == 1


def test_a_secret_in_the_place_of_its_files_name_is_shown_nowhere() -> None:
    """Not in the log, not in an answer of /-/reload, not on a page, not in the check."""
    world = World()
    main, other = fleet(world, 1), fleet(world, 1, name="other", start=10)
    with (
        Simulator(world) as simulator,
        ExporterProcess(
            config(simulator.url, [main, other]), "--web.enable-lifecycle", "--log.level=debug"
        ) as exporter,
    ):
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        del main["credentials"]["access_key_secret"]
        main["credentials"]["access_key_secret_file"] = SECRET
        answers = [reloaded(exporter, config(simulator.url, [main, other]))]
        until(lambda: up(exporter, "main") == 0, "the account is down")
        assert up(exporter, "other") == 1
        seen = "".join(exporter.get(page)[1].decode() for page in ("/metrics", "/", "/numbers", "/-/ready"))
        main["credentials"] |= {"type": SECRET, "access_key_id": [SECRET], f"access_key_secret:{SECRET}": ""}
        answers.append(reloaded(exporter, config(simulator.url, [main, other])))
        checked = run_exporter("--config.check", f"--config.file={exporter.config_path}")
        seen += exporter.log + checked.stdout + checked.stderr
    assert [status for status, _ in answers] == [200, 500]
    assert "accounts[0].credentials" in answers[1][1]
    assert checked.returncode == 2
    assert SECRET not in seen + answers[0][1] + answers[1][1]
