"""Judges objects on standard input by the schemas of the versions of Kubernetes that are named.

Prints each fault with its object and path, and how many objects were judged; exit code 1 with any fault.
"""

import functools
import sys

import kubernetes_validate
import yaml
from kubernetes_validate import utils

# It reads a file of megabytes for each object.
utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)

objects = [o for o in yaml.load_all(sys.stdin, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if o]
judged = faults = 0
for version in sys.argv[1:]:
    for o in objects:
        judged += 1
        try:
            kubernetes_validate.validate(o, version, strict=True)
        except kubernetes_validate.ValidationError as e:
            faults += 1
            path = ".".join(str(part) for part in e.path)
            print(f"{version}: {o['kind']} {o['metadata']['name']}: {path}: {e.message[:200]}")
print(f"{judged} objects")
sys.exit(1 if faults or not judged else 0)
