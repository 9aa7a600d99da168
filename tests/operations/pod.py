"""A pod's container on this machine: its files under a folder, and its command line.

Like the kubelet, it writes Secrets as files at their mount paths.
"""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.operations.manifests import Manifest, container, one
from tests.support.exporter import run_exporter

Files = Mapping[str, str]


def check_configuration(
    manifests: Iterable[Manifest], root: Path, given: Mapping[str, Files] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the exporter with the container's own arguments and --config.check, over the pod's files under `root`.

    `given` are the Secrets that the manifests only name.  A path without a mounted volume stays unchanged, and does not
    exist.
    """
    manifests = list(manifests)
    pod = one(manifests, "Deployment")["spec"]["template"]["spec"]
    secrets = {**{m["metadata"]["name"]: _files(m) for m in manifests if m["kind"] == "Secret"}, **(given or {})}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container(manifests)["volumeMounts"]}

    def moved(text: str) -> str:
        for path in sorted(mounts, key=len, reverse=True):
            text = text.replace(f"{path}/", f"{root}{path}/")
        return text

    for path, volume in mounts.items():
        folder = Path(f"{root}{path}")
        folder.mkdir(parents=True)
        for name, text in secrets[volume["secret"]["secretName"]].items() if "secret" in volume else ():
            (folder / name).write_text(moved(text) if name.endswith(".yml") else text)
    return run_exporter(*map(moved, container(manifests)["args"]), "--config.check")


def _files(secret: Manifest) -> Files:
    encoded = {name: base64.b64decode(text).decode() for name, text in secret.get("data", {}).items()}
    return {**encoded, **secret.get("stringData", {})}
