"""Where commands run: on selected clusters, with runtime environments, sent by a submission, or before Ray's start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from k8s_planting import NO_CRDS

from k8s.check.__main__ import check

ENTRYPOINT, ENVIRONMENT = "spec.entrypoint", "spec.runtimeEnvYAML"
COMMAND = "spec.template.spec.containers[0].command"
ZIP = {"working_dir": "https://example.com/main.zip"}
RUN = "python ray_jobs/train_rounds.py --config configs/demo.yaml"
LIMITS = {"limits": {"cpu": "8", "memory": "16Gi"}}
SELECTOR = "spec.clusterSelector[ray.io/cluster]"
START = "spec.headGroupSpec.template.spec.containers[0]."


def ray(**head: Any) -> dict[str, Any]:
    """The specification of a cluster whose head's container says more; `pod`: what its pod says."""
    pod = head.pop("pod", {})
    container = {"name": "ray-head", "image": "toolace-cpu:0.1.0", "resources": LIMITS, **head}
    template = {"metadata": pod, "spec": {"containers": [container]}}
    return {"rayVersion": "2.60.0", "headGroupSpec": {"rayStartParams": {"num-cpus": "4"}, "template": template}}


def cluster(name: str = "shared", *, labels: dict[str, str] | None = None, **head: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels or {}}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": ray(**head)}


def job(entrypoint: str, environment: Any = None, **spec: Any) -> dict[str, Any]:
    spec = spec or {"rayClusterSpec": ray()}
    if environment:
        spec["runtimeEnvYAML"] = json.dumps(environment)
    spec["entrypoint"] = entrypoint
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "train"}, "spec": spec}


def plain_job(command: list[str], **container: Any) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "toolace-cpu:0.1.0", **container}]}
    pod["containers"][0]["command"] = command
    spec = {"template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": spec}


def found(folder: Path, *objects: dict[str, Any]) -> tuple[list[tuple[str, str]], set[str]]:
    (folder / "all.yaml").write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    findings, skipped = check(folder, NO_CRDS)
    return [(one.path, one.message) for one in findings], {one for one in skipped if "RayJob" in one}


def holds(findings: list[tuple[str, str]], *expected: tuple[str, str]) -> None:
    assert [path for path, _ in findings] == [path for path, _ in expected], findings
    assert all(words in said for (_, said), (_, words) in zip(findings, expected, strict=True)), findings


def selecting(entrypoint: str, environment: Any = None, name: str = "shared") -> dict[str, Any]:
    return job(entrypoint, environment, clusterSelector={"ray.io/cluster": name})


TYPO = {"env_vars": {"TOOLACE_CASHE": "/x"}}
CASHE = (f"{ENVIRONMENT}.env_vars.TOOLACE_CASHE", "did you mean TOOLACE_CACHE?")


def test_a_job_on_a_cluster_of_the_set_is_checked_in_its_image(tmp_path: Path) -> None:
    run = selecting("python train.py", {"env_vars": {"TOOLACE_CASHE": "/x", "SPEED": "1"}})
    findings, skipped = found(tmp_path, cluster(), run)
    speed = (f"{ENVIRONMENT}.env_vars.SPEED", "nothing in the image is known to read SPEED")
    holds(findings, (ENTRYPOINT, "no file 'train.py'"), speed, CASHE)
    assert not skipped


def test_what_such_a_job_writes_must_last_and_fit_there(tmp_path: Path) -> None:
    findings, _ = found(tmp_path, cluster(), selecting(f"{RUN} --set root=/tmp/runs --set train.workers=64"))
    holds(findings, (ENTRYPOINT, "on no lasting volume of the head's pods"), (ENTRYPOINT, "64 are needed at once"))


def test_a_cluster_is_selected_by_its_labels_too(tmp_path: Path) -> None:
    run = job("python train.py", clusterSelector={"team": "a"})
    findings, skipped = found(tmp_path, cluster(labels={"team": "a"}), cluster("other"), run)
    holds(findings, ("spec.clusterSelector", "names no cluster by the label"), (ENTRYPOINT, "no file 'train.py'"))
    assert not skipped


@pytest.mark.parametrize(
    ("there", "name"), [("shared", "shred"), ("team-shared", "team-sharde"), ("train-gpu", "trian-gpu")]
)
def test_a_slip_in_the_name_of_a_selected_cluster_is_found(there: str, name: str, tmp_path: Path) -> None:
    findings, skipped = found(tmp_path, cluster(there), selecting("python /mnt/a.py", name=name))
    holds(findings, (SELECTOR, f"did you mean {there}?"))
    assert skipped


@pytest.mark.parametrize(
    ("there", "name"),
    [("team-1", "team-2"), ("team-gpu", "team-cpu"), ("prod-east", "prod-west"), ("shared", "gpu-shared"), ("a", "b")],
)
def test_other_numbers_words_and_short_words_make_a_name_of_its_own(there: str, name: str, tmp_path: Path) -> None:
    findings, skipped = found(tmp_path, cluster(there), selecting("python /mnt/a.py", name=name))
    assert findings == []
    assert skipped


def test_a_cluster_in_another_namespace_is_none_of_the_set(tmp_path: Path) -> None:
    theirs, mine = cluster(), selecting("python train.py")
    theirs["metadata"]["namespace"], mine["metadata"]["namespace"] = "a", "b"
    findings, skipped = found(tmp_path, theirs, mine)
    assert findings == []
    assert skipped


@pytest.mark.parametrize(
    ("entrypoint", "environment", "expected"),
    [
        ("python ray_jobs/nope.py --config configs/nope.yaml", TYPO, [(ENTRYPOINT, "'ray_jobs/nope.py'"), CASHE]),
        ("python -m ray_jobs.nope", None, [(ENTRYPOINT, "no module 'ray_jobs.nope'")]),
        ("toolace runn", None, [(ENTRYPOINT, "no command 'runn'")]),
        ("toolace run --set rooot=/mnt/a", None, [(ENTRYPOINT, "rooot")]),
        (f"{RUN} --confg a", None, [(ENTRYPOINT, "--confg")]),
        ("mytool && python prepare.py && python -m mine && cd /data && " + RUN, None, []),
        ("toolace run --config /data/mine.yaml --set root=/data/runs", None, []),
        (f"{RUN} --set rounds.promote=local --set root=/data/runs --set model.path=/data/m", None, []),
        ("python train.py", {"env_vars": {"TOOLACE_MINE": "1"}}, []),
        ("python ray_jobs/mine.py", ZIP, []),
    ],
)
def test_of_a_job_on_a_cluster_that_is_not_known_the_projects_own_is_checked(
    entrypoint: str, environment: Any, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    findings, skipped = found(tmp_path, selecting(entrypoint, environment))
    holds(findings, *expected)
    assert len(skipped) == 1 and "what RayJob train runs on a cluster that it selects" in skipped.pop()


OF_IMAGE = {"working_dir": "/opt/toolace/ray_jobs"}
BROUGHT: dict[str, tuple[str, Any, str]] = {
    "a script of a zip": ("python train.py", ZIP, ""),
    "a script of a bucket": ("python train.py", {"working_dir": "s3://b/code.zip"}, ""),
    "a module of a zip": ("python -m mypkg.train", ZIP, ""),
    "a shell script of a zip": ("bash run.sh && ./other.sh", ZIP, ""),
    "a program of a zip": ("mytool", ZIP, ""),
    "a program of a zip with a slip": ("pyton train.py", ZIP, "no command 'pyton'"),
    "files of a zip": (f"cat a.txt; {RUN.replace('demo', 'mine')} --set root=s3://b/r", ZIP, ""),
    "a module of our name in a zip": ("python -m ray_jobs.mine --fast", ZIP, ""),
    "what is served of a zip": ("serve run mine:app", ZIP, ""),
    "an absolute path beside a zip": ("python /opt/toolace/ray_jobs/nope.py", ZIP, "'/opt/toolace/ray_jobs/nope.py'"),
    "our program beside a zip": ("toolace runn", ZIP, "no command 'runn'"),
    "options of our program beside a zip": ("toolace run --confg a", ZIP, "--confg"),
    "our program in another version": ("toolace runn", {"pip": ["toolace==9.0"]}, ""),
    "a module of another version": ("python -m toolace.nope", {"pip": ["toolace @ git+https://a/b.git"]}, ""),
    "our program in a zip": ("toolace runn", {"working_dir": "https://a/toolace/archive/main.zip"}, ""),
    "a module of modules": ("python -m mypkg.train", {"py_modules": ["s3://b/mypkg.zip"]}, ""),
    "a script beside modules": ("python train.py", {"py_modules": ["s3://b/mypkg.zip"]}, "no file 'train.py'"),
    "options beside modules": ("python -m ray_jobs.evaluate --dta a", {"py_modules": ["s3://b/p.zip"]}, "--dta"),
    "a program of packages": ("mlflow run .", {"pip": ["mlflow"]}, ""),
    "a program of uv": ("mlflow run .", {"uv": {"packages": ["mlflow"]}}, ""),
    "a program of conda": ("python3.12 -m mypkg", {"conda": {"dependencies": ["python=3.12"]}}, ""),
    "a module of packages": ("python -m mypkg.train", {"pip": ["mypkg"]}, ""),
    "a module of ours beside packages": ("python -m ray_jobs.nope", {"pip": ["mypkg"]}, "no module 'ray_jobs.nope'"),
    "a script beside packages": ("python train.py", {"pip": ["mypkg"]}, "no file 'train.py'"),
    "our program beside packages": ("toolace runn", {"pip": ["mypkg"]}, "no command 'runn'"),
    "a program of another folder": ("mytool", {"env_vars": {"PATH": "/mnt/bin:/usr/bin"}}, ""),
    "a script of a folder of the image": ("python evaluate.py --help", OF_IMAGE, ""),
    "a script that its folder has not": ("python nope.py", OF_IMAGE, "no file 'nope.py' (from /opt/toolace/ray_jobs)"),
    "a folder that is not there, said once": ("python nope.py", {"working_dir": "/opt/none"}, "no folder '/opt/none'"),
    "another image": ("mytool train.py", {"image_uri": "rayproject/ray:2.60.0"}, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BROUGHT)
def test_a_runtime_environment_brings_code_to_an_entrypoint(name: str, tmp_path: Path) -> None:
    entrypoint, environment, words = BROUGHT[name]
    findings, _ = found(tmp_path, job(entrypoint, environment))
    where = f"{ENVIRONMENT}.working_dir" if "folder" in words else ENTRYPOINT
    holds(findings, *([(where, words)] if words else []))


@pytest.mark.parametrize(
    ("options", "command", "words"),
    [
        (["--working-dir", "s3://b/c.zip"], "python train.py", ""),
        (["--working-dir", "s3://b/c.zip"], "toolace runn", "no command 'runn'"),
        (["--runtime-env-json", json.dumps(ZIP)], "python -m mypkg.train", ""),
        (["--runtime-env-json", '{"pip": ["mlflow"]}'], "mlflow run .", ""),
        (["--runtime-env-json", '{"pip": ["mlflow"]}'], "python train.py", "no file 'train.py'"),
        (["--runtime-env-json", "$ENVIRONMENT"], "python train.py", ""),
        (["--runtime-env", "/etc/env.yaml"], "mlflow run .", ""),
        (["--runtime-env", "/etc/env.yaml"], "python train.py", "no file 'train.py'"),
        ([], "mlflow run .", "no command 'mlflow'"),
    ],
)
def test_so_it_does_where_a_command_submits_a_job(options: list[str], command: str, words: str, tmp_path: Path) -> None:
    submit = plain_job(["ray", "job", "submit", *options, "--", *command.split()])
    submit["spec"]["template"]["spec"] |= {"volumes": [{"name": "a", "configMap": {"name": "a"}}]}
    mount = {"name": "a", "mountPath": "/etc/env.yaml", "subPath": "env.yaml"}
    submit["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] = [mount]
    data = {"env.yaml": "pip: [mlflow]\n"}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}
    holds(found(tmp_path, submit, settings)[0], *([(COMMAND, words)] if words else []))


SUBMITTED: dict[str, tuple[str, str]] = {
    "settings": ("-- run --config configs/dem.yaml --set rooot=s3://b/r", "no file 'configs/dem.yaml'"),
    "a setting": ("-- run --config configs/demo.yaml --set rooot=s3://b/r", "rooot"),
    "a command": ("-- runn", "no command 'runn'"),
    "an option": ("-- run --confg x", "--confg"),
    "an option of another command": ("-- evaluate --modell x", "--modell"),
    "what is no command of toolace": ("-- python ray_jobs/nope.py", "toolace has no command 'python'"),
    "a submission": ("-- submit -- run", "a job cannot submit"),
    "nothing": ("--name a", "nothing to do"),
    "results that are lost": ("-- run --config configs/demo.yaml", "results in 'runs' would be lost"),
    "results of a stage that are lost": ("-- evaluate --data s3://b/a --model org/m --out scores", "'scores' would be"),
    "a folder": ("--working-dir /opt/none -- run --config a.yaml", "no folder '/opt/none'"),
    "settings in another folder": ("--working-dir configs -- run --config configs/demo.yaml", "/opt/toolace/configs"),
    "a variable": ("--env TOOLACE_CASHE=/x -- run --set root=s3://b/r", "did you mean TOOLACE_CACHE?"),
    "an option beside a variable": ("--name $NAME -- run --confg x", "--confg"),
    "a model": ("-- run --set root=s3://b/r --set model.path=builtin:tiny_bas", "no model 'builtin:tiny_bas'"),
}  # fmt: skip
SENT: dict[str, str] = {
    "a run": "-- run --config configs/demo.yaml --set root=/mnt/runs",
    "a run in another folder": "--working-dir configs -- run --config demo.yaml --set root=s3://b/r",
    "places of the cluster": "-- evaluate --data /data/rows.jsonl --model /data/models/m --out /data/scores",
    "a run that is followed": "--follow --name demo",
    "a run that is stopped": "--stop -- run --config configs/demo.yaml",
    "words of the shell": "--env A -- run --config $CONFIG --set root=$ROOT",
    "help": "--help",
}


@pytest.mark.parametrize("name", SUBMITTED)
def test_a_mistake_in_what_toolace_submit_sends_is_found(name: str, tmp_path: Path) -> None:
    words, said = SUBMITTED[name]
    holds(found(tmp_path, plain_job(["toolace", "submit", *words.split()]))[0], (COMMAND, said))


@pytest.mark.parametrize("name", SENT)
def test_what_toolace_submit_may_send_is_left_alone(name: str, tmp_path: Path) -> None:
    env = [{"name": "A", "value": "b"}]
    text = f"echo $A; toolace submit {SENT[name]}"
    assert found(tmp_path, plain_job(["sh", "-c", text], env=env))[0] == []


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ({"command": ["echo 123"], "args": ["456"]}, None),
        ({"command": ["echo", "a;"], "args": ["pyton", "x"]}, ("args", "no command 'pyton'")),
        ({"args": ["cd /tmp && python ray_jobs/nope.py"]}, ("args", "no file 'ray_jobs/nope.py' (from /tmp)")),
        ({"command": ["/bin/bash", "-lc", "--"], "args": ["pyton; ray start --head"]}, ("args", "'pyton'")),
        (
            {"command": ["echo 123"], "pod": {"annotations": {"ray.io/overwrite-container-cmd": "true"}}},
            ("command", "no command 'echo 123'"),
        ),
    ],
)
def test_command_and_args_of_rays_container_are_one_line(
    head: dict[str, Any], said: tuple[str, str] | None, tmp_path: Path
) -> None:
    holds(found(tmp_path, cluster(**head))[0], *([(f"{START}{said[0]}", said[1])] if said else []))


def test_other_containers_are_run_as_they_are_written(tmp_path: Path) -> None:
    one = cluster()
    pod = one["spec"]["headGroupSpec"]["template"]["spec"]
    pod["containers"].append({"name": "b", "image": "toolace-cpu:0.1.0", "command": ["echo 1"]})
    pod["initContainers"] = [{"name": "c", "image": "toolace-cpu:0.1.0", "command": ["echo 2"]}]
    findings, _ = found(tmp_path, one, plain_job(["echo 3"]))
    assert {said.partition(" (")[0] for _, said in findings} == {f"the image has no command 'echo {n}'" for n in "123"}


def test_what_is_made_before_ray_starts_is_there(tmp_path: Path) -> None:
    made = {"command": ["mkdir -p /tmp/a && cp configs/demo.yaml"], "args": ["/tmp/a/x.yaml"]}
    run = job("toolace run --config /tmp/a/x.yaml --set root=s3://b/r", rayClusterSpec=ray(**made))
    assert found(tmp_path, run)[0] == []


GRPC = "spec.serveConfigV2.grpc_options.grpc_servicer_functions"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("serve_apps.nope.add_X_to_server", "no module 'serve_apps.nope'"),
        ("serve_apps.refine.add_X_to_server", "serve_apps.refine has no 'add_X_to_server'"),
        ("ray.serve.generated.serve_pb2_grpc.add_RayServeAPIServiceServicer_to_server", ""),
    ],
)
@pytest.mark.parametrize("environment", [{}, {"runtime_env": ZIP}])
def test_what_proxies_import_for_grpc_is_looked_for(
    target: str, words: str, environment: dict[str, Any], tmp_path: Path
) -> None:
    application = {"name": "a", "import_path": "ray.serve.llm:build_openai_app", **environment}
    served = {"grpc_options": {"grpc_servicer_functions": [target]}, "applications": [application]}
    spec = {"serveConfigV2": json.dumps(served), "rayClusterConfig": ray()}
    service = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "a"}, "spec": spec}
    holds(found(tmp_path, service)[0], *([(f"{GRPC}[0]", words)] if words else []))


@pytest.mark.parametrize(
    ("environment", "target", "words"),
    [
        ({"pip": ["mine"]}, "mine.app:build", ""),
        ({"pip": ["mine"]}, "serve_apps.nope:build", "no module 'serve_apps.nope'"),
        ({}, "mine.app:build", "no module 'mine.app'"),
    ],
)
def test_packages_bring_what_is_served(environment: dict[str, Any], target: str, words: str, tmp_path: Path) -> None:
    application = {"name": "a", "import_path": target, "runtime_env": environment}
    spec = {"serveConfigV2": json.dumps({"applications": [application]}), "rayClusterConfig": ray()}
    service = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "a"}, "spec": spec}
    where = "spec.serveConfigV2.applications[0].import_path"
    holds(found(tmp_path, service)[0], *([(where, words)] if words else []))


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("nvidia-smi || true", ""),
        ("timeout 9 nvidia-smi 2> /dev/null || :", ""),
        ("$TOOL make || true; cat made.txt", ""),
        ("nvidia-smi; true", "no command 'nvidia-smi'"),
        ("nvidia-smi || nvidia-smy", "no command"),
    ],
)
def test_a_command_whose_failure_is_allowed_may_be_missing(entrypoint: str, words: str, tmp_path: Path) -> None:
    findings, _ = found(tmp_path, job(entrypoint))
    assert bool(findings) == bool(words)
    assert all(words in said for _, said in findings)
