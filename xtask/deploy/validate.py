"""Validates every resource of a folder of Kubernetes manifests against the schemas of Kubernetes itself.

Usage: validate.py FOLDER VERSION. Resources of other makers (CloudNativePG) and of kustomize have no schema there: of them only
the names are checked, each of which has to be used once. Fails with a line for each fault.
"""

import pathlib
import sys

import kubernetes_validate
import yaml


def main(folder: pathlib.Path, version: str) -> int:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    faults, checked, names = [], 0, set()
    files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    for missing in files.symmetric_difference(kustomization["resources"]):
        faults.append(f"{missing}: is either no resource of kustomization.yaml or no file")
    for file in sorted(files):
        for resource in yaml.safe_load_all((folder / file).read_text()):
            kind, name = resource["kind"], resource["metadata"]["name"]
            if (kind, name) in names:
                faults.append(f"{file}: a second {kind} {name}")
            names.add((kind, name))
            if resource["apiVersion"].split("/")[0].endswith("cnpg.io"):
                continue
            try:
                kubernetes_validate.validate(resource, version, strict=True)
                checked += 1
            except kubernetes_validate.ValidationError as error:
                faults.append(f"{file}: {kind} {name}: {error.message}")
    for fault in faults:
        print(fault)
    print(f"{checked} resources are valid for Kubernetes {version}")
    return 1 if faults or checked == 0 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
