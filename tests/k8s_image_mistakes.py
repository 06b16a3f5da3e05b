"""Mistakes planted into the shipped manifests, as in `k8s_mistakes.py`: what the image, or a program in it, has not."""

from __future__ import annotations

from k8s_mistakes import JOB, REDIS, SERVED, SERVICE, Mistakes

RUN = "python ray_jobs/train_rounds.py --config configs/demo.yaml --set root=/mnt/store/runs"
ROWS = "--data /mnt/store/rows.jsonl --model builtin:tiny_base"
HOOK = f"{SERVED}.containers[0].lifecycle.preStop.exec.command"


def instead(command: str, words: str) -> tuple[str, str, str, str, str]:
    """The job runs another command."""
    return JOB, f"entrypoint: {RUN}", f"entrypoint: {command}", "spec.entrypoint", words


COMMANDS: Mistakes = {
    "module of the checkout alone": instead("python -m benchmarks.scale --probe", "no module 'benchmarks.scale'"),
    "folder of the checkout alone": instead("python -m cluster.local_cluster up", "no module 'cluster.local_cluster'"),
    "tests as a module": instead("python -m tests.cluster_driver", "no module 'tests.cluster_driver'"),
    "shell script that is not there": instead("bash scripts/none.sh", "no file 'scripts/none.sh'"),
    "shell script beside": instead("sh ./run.sh", "no file './run.sh'"),
    "folder that is not there": instead(f"cd /opt/tolace && {RUN}", "no folder '/opt/tolace'"),
    "script of another folder": instead(f"cd configs && {RUN}", "no file 'ray_jobs/train_rounds.py'"),
    "program in a later line": instead(f'"ls\\n{RUN.replace("python", "pyton")}"', "no command 'pyton'"),
    "program behind a wrapper": instead(f"timeout -k 5 600 {RUN.replace('python', 'pyton')}", "no command 'pyton'"),
    "file of an option": instead("toolace refine --tools nope.json hi", "no file 'nope.json'"),
    "rows that are not there": instead("python ray_jobs/evaluate.py --data rows.jsonl --out /mnt/store/s", "'rows.js"),
    "rows of the settings": instead(f"{RUN} --set data.dev.path=rows.jsonl", "no file 'rows.jsonl'"),
    "results on the node's own disk": instead(f"python ray_jobs/evaluate.py {ROWS} --out /tmp/s", "--out '/tmp/s' is"),
    "evolve's run on the node's own disk": instead("toolace evolve --config configs/demo_evolve.yaml", "root 'runs'"),
    "storage that nothing knows": instead(RUN.replace("/mnt/store/runs", "s4://bucket/runs"), "no place that is known"),
    "storage without a bucket": instead(RUN.replace("/mnt/store/runs", "s3://"), "root"),
    "model that does not ship": instead(f"{RUN} --set model.path=builtin:tiny_bas", "no model 'builtin:tiny_bas'"),
    "model in no volume": instead(f"{RUN} --set model.path=/mnt/models/m", "on no volume"),
    "option of a hook": (SERVICE, "drain.py, --deadline", "drain.py, --dedline", HOOK, "drain.py: "),
    "number of a hook": (SERVICE, '"690"', '"690s"', HOOK, "invalid int value"),
    "program of another image": (
        REDIS, "exec redis-server", "exec redis-sever",
        "spec.template.spec.containers[0].command", "did you mean redis-server",
    ),
}  # fmt: skip

RIGHT = {
    "evaluation": f"python ray_jobs/evaluate.py {ROWS} --out /mnt/store/scores",
    "evaluation in object storage": "toolace evaluate --data s3://b/rows.jsonl --model org/model --out s3://b/scores",
    "a shell": f"bash -c 'set -e; mkdir -p /tmp/rows && cp /mnt/store/rows.jsonl /tmp/rows; {RUN}'",
    "a loop": f"for i in 1 2; do echo $i > /tmp/n; done; if test -f /tmp/n; then {RUN}; fi",
    "what was made before": f"mkdir -p /tmp/x && cd /tmp/x && cd /opt/toolace && {RUN} 2>&1 | tee /mnt/store/log",
    "variables": f"ROOT=/mnt/store; export ROOT; {RUN} --set seed=$SEED",
    "installed modules": "python -m ray.scripts.scripts status; python -m json.tool /mnt/store/a.json; pip --version",
}
"""Command lines in which nothing is wrong."""
