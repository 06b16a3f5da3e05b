"""Mistakes planted into the shipped manifests, as in `k8s_mistakes.py`: what the image, or a program in it, has not."""

from __future__ import annotations

from k8s_mistakes import ARGS, HEAD, JOB, REDIS, SERVED, SERVICE, Mistakes

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
    "rows of the settings": instead("toolace run --set root=/mnt/store --set data.dev.path=r.jsonl", "'r.jsonl'"),
    "results on the node's own disk": instead(f"python ray_jobs/evaluate.py {ROWS} --out /tmp/s", "--out '/tmp/s' is"),
    "evolve's run on the node's own disk": instead("toolace evolve --config configs/demo_evolve.yaml", "root 'runs'"),
    "storage that nothing knows": instead(RUN.replace("/mnt/store/runs", "s4://bucket/runs"), "no place that is known"),
    "storage without a bucket": instead(RUN.replace("/mnt/store/runs", "s3://"), "root"),
    "model that does not ship": instead(f"{RUN} --set model.path=builtin:tiny_bas", "no model 'builtin:tiny_bas'"),
    "model in no volume": instead(f"{RUN} --set model.path=/mnt/models/m", "on no volume"),
    "option of a hook": (SERVICE, "drain.py, --deadline", "drain.py, --dedline", HOOK, "drain.py: "),
    "number of a hook": (SERVICE, '"690"', '"690s"', HOOK, "invalid int value"),
    "subcommand of ray": instead("ray stopp && ray stop", "did you mean stop?"),
    "subcommand of ray job": instead("ray job submitt -- ls", "ray job has no command 'submitt'"),
    "check of Ray": instead("ray helth-check", "did you mean health-check?"),
    "option of ray": instead("ray job submit --no-wiat -- ls", "No such option '--no-wiat'"),
    "what is submitted": instead("ray job submit -- python ray_jobs/train_ronds.py", "no file 'ray_jobs/train_ronds"),
    "import in a text": instead("python -c 'import toolace.nope'", "no module 'toolace.nope'"),
    "import from in a text": instead("python -c 'from ray_jobs.nope import main; main()'", "no module 'ray_jobs.nope'"),
    "text that is no Python": instead("python -c 'import'", "is no Python"),
    "option of Python with a value": instead("python -X faulthandler ray_jobs/non.py", "no file 'ray_jobs/non.py'"),
    "folder of a subshell": instead(f"(cd configs) && (cd configs && {RUN})", "(from /opt/toolace/configs)"),
    "where a container begins": (
        JOB, "          - name: ray-head\n", "          - name: ray-head\n            workingDir: /opt/nowhere\n",
        f"{HEAD}.containers[0].workingDir", "no folder '/opt/nowhere'",
    ),
    "where a job begins": (
        JOB, "          - name: ray-head\n",
        "          - name: ray-head\n            workingDir: /opt/toolace/configs\n",
        "spec.entrypoint", "no file 'ray_jobs/train_rounds.py' (from /opt/toolace/configs)",
    ),
    "Python of a runtime environment": (
        JOB, "    env_vars:\n", "    py_executable: uvv run\n    env_vars:\n",
        "spec.runtimeEnvYAML.py_executable", "no command 'uvv'",
    ),
    "program of another image": (
        REDIS, "exec redis-server", "exec redis-sever",
        "spec.template.spec.containers[0].args", "did you mean redis-server",
    ),
}  # fmt: skip

CONTAINER, NAME = "          - name: ray-head\n", f"{HEAD}.containers[0].env[0].name"
APPLICATION = "spec.serveConfigV2.applications[0]"
IMPORT = "      import_path:"


def variable(name: str, words: str) -> tuple[str, str, str, str, str]:
    """The head has a variable."""
    return JOB, CONTAINER, f'{CONTAINER}            env: [{{name: {name}, value: "1"}}]\n', NAME, words


def environment(line: str, field: str, words: str) -> tuple[str, str, str, str, str]:
    """The job's runtime environment says more."""
    return JOB, "    env_vars:\n", f"    {line}\n    env_vars:\n", f"spec.runtimeEnvYAML.{field}", words


ENVIRONMENT: Mistakes = {
    "variable of AWS": variable("AWS_SECRET_ACESS_KEY", "did you mean AWS_SECRET_ACCESS_KEY?"),
    "address of AWS": variable("AWS_ENDPONT_URL", "did you mean AWS_ENDPOINT_URL?"),
    "variable of the hub": variable("HF_TOKN", "did you mean HF_TOKEN?"),
    "variable of OpenMP": variable("OMP_NUM_THREDS", "did you mean OMP_NUM_THREADS?"),
    "variable of NCCL": variable("NCCL_SOKET_IFNAME", "did you mean NCCL_SOCKET_IFNAME?"),
    "variable of numba": variable("NUMBA_CASHE_DIR", "did you mean NUMBA_CACHE_DIR?"),
    "variable of oneDNN": variable("ONEDNN_VERBOS", "did you mean ONEDNN_VERBOSE?"),
    "variable of the profiler": variable("KINETO_LOGLEVEL", "did you mean KINETO_LOG_LEVEL?"),
    "variable of Gloo": variable("GLOO_SOKET_IFNAME", "did you mean GLOO_SOCKET_IFNAME?"),
    "variable of OpenBLAS": variable("OPENBLAS_NUM_THREDS", "did you mean OPENBLAS_NUM_THREADS?"),
    "variable of terminals": variable("NO_COLOUR", "did you mean NO_COLOR?"),
    "variable of the package": variable("TOOLACE_CASHE", "did you mean TOOLACE_CACHE?"),
    "variable of vLLM": variable("VLLM_LOGING_LEVEL", "VLLM_LOGING_LEVEL"),
    "variable of CUDA": variable("CUDA_VISIBLE_DEVICE", "did you mean CUDA_VISIBLE_DEVICES?"),
    "variable of wandb": variable("WANDB_APIKEY", "did you mean WANDB_API_KEY?"),
    "variable of Python": variable("PYTHONUNBUFERED", "did you mean PYTHONUNBUFFERED?"),
    "variable of nobody": variable("SPEED", "nothing in the image is known to read SPEED"),
    "variable of a job": (
        JOB, 'RAY_JOB_STOP_WAIT_TIME_S: "60"', "NCCL_DEBUGG: INFO",
        "spec.runtimeEnvYAML.env_vars.NCCL_DEBUGG", "did you mean NCCL_DEBUG?",
    ),
    "variable before a command": instead(f"TOOLACE_CASHE=/tmp/c {RUN}", "did you mean TOOLACE_CACHE?"),
    "variable by env": instead(f"env HF_TOKN=x {RUN}", "did you mean HF_TOKEN?"),
    "exported variable": instead(f"export OMP_NUM_THREDS=2 && {RUN}", "did you mean OMP_NUM_THREADS?"),
    "key that becomes a variable": (
        JOB, CONTAINER + "            image: toolace-cpu\n",
        CONTAINER + "            image: toolace-cpu\n            envFrom: [{secretRef: {name: ray-token}}]\n",
        "metadata.annotations[toolace/expects]", "Secret/ray-token/auth_token: nothing in the image",
    ),
    "setting of a runtime environment": (
        JOB, "    env_vars:\n", "    config: {setup_timeout: 5}\n    env_vars:\n",
        "spec.runtimeEnvYAML.config.setup_timeout", "Ray ignores it",
    ),
    "folder of a runtime environment": (
        JOB, "    env_vars:\n", "    working_dir: /opt/none\n    env_vars:\n",
        "spec.runtimeEnvYAML.working_dir", "no folder '/opt/none'",
    ),
    "hook of a runtime environment": environment(
        "worker_process_setup_hook: toolace.nothing.hook", "worker_process_setup_hook", "no module 'toolace.nothing'"
    ),
    "hook of a runtime environment with a colon": environment(
        'worker_process_setup_hook: "toolace.rounds:nope"', "worker_process_setup_hook", "has a colon"
    ),
    "packages of a checkout": environment("pip: requirements/cpu.txt", "pip", "no file 'requirements/cpu.txt'"),
    "packages of a checkout by uv": environment("uv: requirements/cpu.txt", "uv", "no file 'requirements/cpu.txt'"),
    "packages of a file that is not there": environment("conda: env.yaml", "conda", "no file 'env.yaml'"),
    "modules of a checkout": environment("py_modules: [benchmarks]", "py_modules", "no folder 'benchmarks'"),
    "runtime environment of an application": (
        SERVICE, IMPORT, f"      runtime_env: {{env_var: {{A: b}}}}\n{IMPORT}",
        f"{APPLICATION}.runtime_env.env_var", "no field 'env_var'",
    ),
    "variable of an application": (
        SERVICE, IMPORT, f"      runtime_env: {{env_vars: {{AWS_SECRET_ACESS_KEY: b}}}}\n{IMPORT}",
        f"{APPLICATION}.runtime_env.env_vars.AWS_SECRET_ACESS_KEY", "did you mean",
    ),
}  # fmt: skip

OURS = "serve_apps.refine:build_app"
ELSEWHERE = "toolace.serving.app:build_app"


def deployed(said: str, path: str, words: str) -> tuple[str, str, str, str, str]:
    """A deployment of the application says more."""
    deployments = f"      deployments: [{{name: ingress, {said}}}]\n"
    return SERVICE, IMPORT, f"{deployments}{IMPORT}", f"{APPLICATION}.deployments[0].{path}", words


POLICY = "autoscaling_config.policy.policy_function"
NOPE = "toolace.serving.scaling:Nope"


def policy(name: str, words: str) -> tuple[str, str, str, str, str]:
    """A deployment scales by a function."""
    return deployed(f'autoscaling_config: {{policy: {{policy_function: "{name}"}}}}', POLICY, words)


SERVING: Mistakes = {
    "router that is none": deployed(
        'request_router_config: {request_router_class: "ray.serve.nope:X"}',
        "request_router_config.request_router_class", "no module 'ray.serve.nope'",
    ),
    "policy of scaling that is none": policy(NOPE, "has no 'Nope'"),
    "policy of scaling in a checkout": policy("tests.conftest:Nope", "no module 'tests.conftest'"),
    "policy of scaling without a name": policy("scaling", "is no import path"),
    "policy of an application": (
        SERVICE, IMPORT, f'      autoscaling_policy: {{policy_function: "{NOPE}"}}\n{IMPORT}',
        f"{APPLICATION}.autoscaling_policy.policy_function", "has no 'Nope'",
    ),
    "actor of a deployment": deployed(
        "deployment_actors: [{name: a, actor_class: 'toolace.nope:A'}]",
        "deployment_actors[0].actor_class", "no module",
    ),
    "fewest replicas above most": deployed(
        "autoscaling_config: {min_replicas: 5, max_replicas: 2}", "autoscaling_config", "max_replicas (2) must be",
    ),
    "first replicas above the usual most": deployed(
        "num_replicas: auto, autoscaling_config: {initial_replicas: 101}", "autoscaling_config", "max_replicas (100)",
    ),
    "deployment without its shape": (
        SERVICE, IMPORT, f"      deployments: [ingress]\n{IMPORT}", "spec.serveConfigV2", "cannot read it",
    ),
    "argument of the builder in the package": (
        SERVICE, f"{OURS}\n      args:\n", f"{ELSEWHERE}\n      args:\n        max_round_cap: 3\n",
        f"{ARGS}.max_round_cap", "max_round_cap",
    ),
    "served model that does not ship": (
        SERVICE, "builtin:tiny_base", "builtin:tiny_bas", f"{ARGS}.model.path", "no model 'builtin:tiny_bas'"
    ),
    "served run of a checkout": (SERVICE, '"builtin:tiny_base"', "runs/demo", f"{ARGS}.model.path", "on no volume"),
    "deployment that is none": (
        SERVICE, IMPORT, f"      deployments: [{{name: Enginee, num_replicas: 2}}]\n{IMPORT}",
        f"{APPLICATION}.deployments[0].name", "it has: ingress, EngineServer:toolace",
    ),
    "no pods behind the service": (
        SERVICE, "proxy_location: EveryNode", "proxy_location: HeadOnly",
        "spec.serveConfigV2.proxy_location", "has no pods",
    ),
    "hook ends before the drain": (SERVICE, '"690"', '"10"', HOOK, "below replicas.drain_s"),
    "hook ends after the pod": (SERVICE, '"690"', '"720"', HOOK, "not below terminationGracePeriodSeconds"),
    "no hook": (
        SERVICE, "preStop:\n                exec: {command: [python, cluster/drain.py, --deadline, \"690\"]}\n",
        "postStart:\n                exec: {command: [python, --version]}\n",
        f"{SERVED}.containers[0].lifecycle.preStop", "missing",
    ),
}  # fmt: skip

RIGHT = {
    "evaluation": f"python ray_jobs/evaluate.py {ROWS} --out /mnt/store/scores",
    "evaluation in object storage": "toolace evaluate --data s3://b/rows.jsonl --model org/model --out s3://b/scores",
    "a shell": f"bash -c 'set -e; mkdir -p /tmp/rows && cp /mnt/store/rows.jsonl /tmp/rows; {RUN}'",
    "a loop": f"for i in 1 2; do echo $i > /tmp/n; done; if test -f /tmp/n; then {RUN}; fi",
    "what was made before": f"mkdir -p /tmp/x && cd /tmp/x && cd /opt/toolace && {RUN} 2>&1 | tee /mnt/store/log",
    "folders that the image has": f"cd configs; ls; cd /tmp && cd /mnt/store && cd /opt/toolace && {RUN}",
    "words about programs": "toolace --help; toolace run --help; python ray_jobs/train_base.py --help",
    "variables": f"ROOT=/mnt/store; export ROOT; {RUN} --set seed=$SEED",
    "variables of libraries": f"OMP_NUM_THREADS=2 HF_HUB_OFFLINE=1 {RUN}",
    "options of Python": f"python -X faulthandler -W ignore -u {RUN.removeprefix('python ')}",
    "a subshell": f"(cd /opt/toolace && {RUN}); (cd configs; ls); {RUN} --set seed=$(date +%s)",
    "Ray's own command": f"ray status && ray health-check; ray job submit --no-wait --working-dir . -- {RUN}",
    "a text of Python": "python -c 'import ray_jobs, toolace.rounds, json; from toolace.config import Config'",
    "installed modules": "python -m ray.scripts.scripts status; python -m json.tool /mnt/store/a.json; pip --version",
    "what the base has": f"df -h && uname -a; nproc; time /bin/sh -c 'ls /usr/bin' && /usr/local/bin/{RUN}",
    "settings that were copied": f"cp /mnt/store/x.yaml /tmp/x.yaml && {RUN.replace('configs/demo', '/tmp/x')}",
    "settings that were fetched": f"wget -O /tmp/x.yaml https://a.b/c && {RUN.replace('configs/demo', '/tmp/x')}",
    "settings that were written": f"echo 'seed: 3' > /tmp/x.yaml; {RUN.replace('configs/demo', '/tmp/x')}",
    "settings that a text wrote": (
        f'python -c \'open("/tmp/x.yaml", "w").write("")\'; {RUN.replace("configs/demo", "/tmp/x")}'
    ),
}
"""Command lines in which nothing is wrong."""

READ = (
    "AWS_ENDPOINT_URL_S3 AWS_REGION HF_TOKEN HF_HOME HF_HUB_OFFLINE HUGGING_FACE_HUB_TOKEN OMP_NUM_THREADS NCCL_DEBUG "
    "NCCL_IB_HCA CUDA_VISIBLE_DEVICES NVIDIA_DRIVER_CAPABILITIES VLLM_LOGGING_LEVEL VLLM_CPU_KVCACHE_SPACE PYTHONPATH "
    "WANDB_API_KEY WANDB_MODE MLFLOW_TRACKING_URI TORCH_LOGS TORCHINDUCTOR_CACHE_DIR PYTORCH_CUDA_ALLOC_CONF POD_IP "
    "TRITON_CACHE_DIR GOMP_SPINCOUNT HTTPS_PROXY TOKENIZERS_PARALLELISM RAY_memory_usage_threshold RAY_DEDUP_LOGS "
    "TOOLACE_CACHE GOOGLE_APPLICATION_CREDENTIALS KUBERNETES_SERVICE_HOST DS_ACCELERATOR LLGUIDANCE_LOG_LEVEL "
    "PROMETHEUS_MULTIPROC_DIR CUBLAS_WORKSPACE_CONFIG OTEL_EXPORTER_OTLP_ENDPOINT OTEL_SDK_DISABLED GRPC_VERBOSITY "
    "GRPC_ENABLE_FORK_SUPPORT RAYON_NUM_THREADS MALLOC_CONF MALLOC_ARENA_MAX AZURE_CLIENT_ID ARROW_S3_LOG_LEVEL CC "
    "TRANSFORMERS_VERBOSITY PIP_INDEX_URL FLASHINFER_WORKSPACE_BASE DS_ACCELERATOR ACCELERATE_USE_DEEPSPEED "
    "UCX_TLS MKL_NUM_THREADS NO_COLOR FORCE_COLOR IFS LINES NUMBA_CACHE_DIR NUMBA_NUM_THREADS NUMBA_DISABLE_JIT CI "
    "KINETO_LOG_LEVEL KINETO_USE_DAEMON ONEDNN_VERBOSE DNNL_MAX_CPU_ISA ONEDNN_PRIMITIVE_CACHE_CAPACITY MKLDNN_VERBOSE "
    "GLOO_SOCKET_IFNAME GLOO_DEVICE_TRANSPORT OPENBLAS_NUM_THREADS OPENBLAS_CORETYPE ATEN_CPU_CAPABILITY MKL_VERBOSE "
    "TORCH_DISABLE_ADDR2LINE TORCH_SHOW_DISPATCH_TRACE PYTORCH_JIT_LOG_LEVEL TP_VERBOSE_LOGGING KMP_BLOCKTIME "
    "CUDNN_LOGLEVEL_DBG NVSHMEM_DEBUG TIKTOKEN_CACHE_DIR DEBIAN_FRONTEND GLIBC_TUNABLES LOCAL_WORLD_SIZE OMP_PROC_BIND"
)
"""Variables that have a reader."""
