#!/usr/bin/env bash
# A Ray cluster of several nodes on this machine, as separate `ray start` processes: a head without CPUs, and workers.
#
#   cluster/local.sh up [--workers 2] [--cpus 2] [--gpus 0]     start it, and print what to export to use it
#   cluster/local.sh status                                     nodes and exports; exit code 1 where one is not running
#   cluster/local.sh down                                       end what `up` started, and nothing else
#
# CPUs and GPUs are of each worker and logical: Ray counts and places them, whatever the machine has.
#
# TOOLACE_CLUSTER_DIR (default /tmp/toolace-cluster-UID) holds its state, token and logs; another one is another cluster.
# PYTHON is the interpreter of the nodes and of submitted jobs (default: .venv/bin/python of this checkout, then python3).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
default="$here/../.venv/bin/python"
[ -x "$default" ] || default=python3
exec "${PYTHON:-$default}" "$here/local_cluster.py" "$@"
