"""The commands of the README's section "Run it" and of docs/deploy.md, without an engine, a registry or a cluster.

docker: the image's name, build arguments and the exporter's flags (`make test-image` builds and runs it).  helm: the
values, rendered.  kubectl: the folder, built; the Secret, made without a server.
"""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml

import exporter
from exporter.cli.flags import flags
from tests.operations.chart import CHART, render
from tests.operations.manifests import check_schemas, one
from tests.operations.tools import ROOT, python_tool
from tests.support.patience import PATIENCE_SECONDS

IMAGE = f"cams-exporter:{exporter.__version__}"
README = (ROOT / "README.md").read_text()
SECTIONS = README.partition("\n## Run it\n")[2].partition("\n## ")[0] + (ROOT / "docs" / "deploy.md").read_text()
COMMANDS = [
    shlex.split(line.removeprefix("$ "), comments=True)
    for block in re.findall(r"```console\n(.*?)```", SECTIONS, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


def commands(*beginning: str) -> list[list[str]]:
    """The rest of all commands that begin with `beginning`; there is at least one."""
    found = [command[len(beginning) :] for command in COMMANDS if command[: len(beginning)] == list(beginning)]
    assert found
    return found


def options(arguments: list[str], name: str) -> list[str]:
    """The values of an option that is given as two words."""
    return [after for option, after in itertools.pairwise(arguments) if option == name]


def test_every_command_is_of_a_kind_that_is_tried_here() -> None:
    kinds = {" ".join(command[:2]) for command in COMMANDS}
    tried = {"docker build", "docker run", "docker kill", "docker compose", "helm upgrade", "kubectl apply"}
    assert kinds == {*tried, "kubectl --namespace"}


def test_the_image_is_built_under_the_name_that_everything_else_uses() -> None:
    ((*arguments, context),) = commands("docker", "build")
    assert (ROOT / context / "Dockerfile").is_file()
    assert options(arguments, "--tag") == [IMAGE]
    known = re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {argument.partition("=")[0] for argument in options(arguments, "--build-arg")} <= set(known)


def test_containers_are_hardened_on_loopback_and_get_flags_the_exporter_knows() -> None:
    names = []
    for arguments in commands("docker", "run"):
        at = arguments.index(IMAGE)
        flags().parse_args(arguments[at + 1 :])
        assert "--read-only" in arguments
        assert options(arguments[:at], "--cap-drop") == ["ALL"]
        assert options(arguments[:at], "--publish") == ["127.0.0.1:10106:10106"]
        names += options(arguments[:at], "--name")
    assert [arguments[-1] for arguments in commands("docker", "kill")] == names


def named_files() -> list[str]:
    """The files that the README's configuration names."""
    configs = re.findall(r"```yaml\n(accounts:.*?)```", README, re.DOTALL)
    named = [file for config in configs for file in re.findall(r"^ +\w+_file: (\S+)", config, re.MULTILINE)]
    assert named
    return named


def test_a_container_has_the_files_that_its_configuration_names() -> None:
    """`config.yml` is in the working folder of the image, and other files are below a folder that is mounted."""
    (arguments,) = [arguments for arguments in commands("docker", "run") if "--demo" not in arguments]
    mounted = {volume.split(":")[1] for volume in options(arguments, "--volume")}
    (workdir,) = re.findall(r"^WORKDIR (/etc\S*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert workdir in mounted
    for file in named_files():
        assert {str(folder) for folder in Path(workdir, file).parents} & mounted, file


def test_the_composition_is_there() -> None:
    assert commands("docker", "compose") == [["up", "--build"]]
    assert (ROOT / "compose.yml").is_file()


def test_the_chart_is_installed_from_this_checkout_with_values_it_takes() -> None:
    for arguments in commands("helm", "upgrade", "--install"):
        release, chart, *rest = arguments
        assert ROOT / chart == CHART
        manifests = render(values(options(rest, "--set")), release)
        check_schemas(manifests)
        deployment = one(manifests, "Deployment")
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert deployment["metadata"]["name"] == "cams-exporter"
        assert "/" in container["image"], "no registry has an image of this name"
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        for file in () if "--demo" in container["args"] else named_files():
            assert {str(folder) for folder in Path("/etc/cams-exporter", file).parents} & mounted, file


def values(settings: list[str]) -> dict[str, Any]:
    """Helm's --set as a tree: dots go down, ``[0]`` is the only entry of a list, values are YAML."""
    tree: dict[str, Any] = {}
    for setting in settings:
        path, _, text = setting.partition("=")
        *parents, last = path.split(".")
        at = tree
        for parent in parents:
            name, is_list, _ = parent.partition("[0]")
            at = at.setdefault(name, [{}])[0] if is_list else at.setdefault(name, {})
        at[last] = yaml.safe_load(text)
    return tree


def test_the_folders_that_are_applied_can_be_built() -> None:
    for option, folder in commands("kubectl", "apply"):
        assert option == "--kustomize"
        kubectl("kustomize", str(ROOT / folder))


def test_the_secrets_are_those_that_the_chart_is_told_to_use(tmp_path: Path) -> None:
    """One has the configuration, the other the files that it names, in the folder where it names them."""
    made = {}
    for arguments in commands("kubectl", "--namespace", "monitoring", "create"):
        for file in arguments:
            if file.startswith("--from-file="):
                source = tmp_path / file.partition("=")[2]
                source.parent.mkdir(exist_ok=True)
                source.write_text("accounts: []\n")
        secret = yaml.safe_load(kubectl("create", *arguments, "--dry-run=client", "--output=yaml", cwd=tmp_path))
        made[secret["metadata"]["name"]] = set(secret["data"])
    told = [one for arguments in commands("helm", "upgrade") for one in options(arguments, "--set")]
    configuration, keys = made
    assert made == {configuration: {"config.yml"}, keys: {Path(file).name for file in named_files()}}
    assert {f"existingSecret={configuration}", f"secretMounts[0].name={keys}"} <= set(told)


def kubectl(*arguments: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(
        [python_tool("kubectl"), *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
