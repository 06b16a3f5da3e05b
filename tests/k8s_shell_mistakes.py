"""Commands of manifests as shell texts: those in which something is wrong, with what is said, and those that are right.

They run in the image of the shipped job, with a claim at /mnt/store and its own empty disk at /tmp.
"""

from __future__ import annotations

from k8s_image_mistakes import RUN

NONE = "python ray_jobs/none.py"
NO_FILE = "no file 'ray_jobs/none.py'"
NO_SETTINGS = "no file 'configs/none.yaml'"
MODULE = "python -m ray_jobs.train_rounds"

WRONG: dict[str, tuple[str, str]] = {
    "file of an empty folder": ("cat /opt/none.yaml", "no file '/opt/none.yaml'"),
    "file that is copied from an empty folder": ("cp /data/none.yaml /tmp/a && cat /tmp/a", "no file '/data/none."),
    "sourced file of an empty folder": (". /opt/none.sh && ls", "no file '/opt/none.sh'"),
    "program after a sourced file that may be missing": (". /opt/none.sh || true; pyton a.py", "no command 'pyton'"),
    "list of packages": ("pip install -r requirements/none.txt", "no file 'requirements/none.txt'"),
    "list of packages of Python's pip": (
        "python -m pip install --requirement=/opt/toolace/none.txt", "no file '/opt/toolace/none.txt'"
    ),
    "bounds of packages": ("pip3 install -cnone.txt numpy", "no file 'none.txt'"),
    "program after an installation": ("pip install mine && pyton a.py", "no command 'pyton'"),
    "module of ours after an installation": ("pip install mine && python -m ray_jobs.none", "no module 'ray_jobs"),
    "script of accelerate": ("accelerate launch --num_processes 2 ray_jobs/none.py", NO_FILE),
    "script of accelerate's module": ("python -m accelerate.commands.launch ray_jobs/none.py", NO_FILE),
    "module of accelerate": ("accelerate launch -m ray_jobs.none", "no module 'ray_jobs.none'"),
    "script of DeepSpeed": ("deepspeed --num_gpus 2 ray_jobs/none.py", NO_FILE),
    "script at the end": (f"trap '{NONE}' EXIT; ls", NO_FILE),
    "script of another user": (f"su ray -c '{NONE}'", NO_FILE),
    "program of another user's login": ("su -s /bin/bash - ray --command='pyton a.py'", "no command 'pyton'"),
    "slip in a module of others": ("python -c 'import numpi'", "no module 'numpi': did you mean numpy?"),
    "module of nobody": ("python -c 'from nobodys_module import a'", "no module 'nobodys_module'"),
    "script after options of bash": (f'bash -euo pipefail -c "{NONE}"', NO_FILE),
    "script of bash with options": ("bash -o pipefail -eu ray_jobs/none.sh", "no file 'ray_jobs/none.sh'"),
    "script in a function": (f"f() {{ {NONE}; }}; f", NO_FILE),
    "script in a function by its word": (f"function f {{ {NONE}; }}\nf", NO_FILE),
    "script after a condition": (f"[[ -n $A && $B =~ ^(a|b)$ ]] && {NONE}", NO_FILE),
    "script after a here-document": (f"cat > /tmp/a <<EOF\nname: it's\nEOF\n{NONE}", NO_FILE),
    "script in a here-document": (f"bash <<-'EOF'\n\t{NONE}\n\tEOF\n", NO_FILE),
    "import in a here-document": ("python - <<EOF\nimport toolace.none\nEOF", "no module 'toolace.none'"),
    "script after a comment": (f"# it's fine\n{NONE}", NO_FILE),
    "script in a branch": (f"case $A in a|b) {NONE};; *) ls;; esac", NO_FILE),
    "script after a list": (f"A=(a 'b c'); {NONE}", NO_FILE),
    "quotes that do not end": ("echo 'a", "No closing quotation"),
    "brackets that do not end": ("echo $(ls", "No closing )"),
    "condition that does not end": ("[[ -f a", "No closing ]]"),
    "settings of a module": (f"{MODULE} --config configs/none.yaml", NO_SETTINGS),
    "option of a module": (f"{MODULE} --confg configs/demo.yaml", "--confg"),
    "setting of a module": (f"{MODULE} --config configs/demo.yaml --set rot=/mnt/store", "rot"),
    "settings of the package": ("python -m toolace run --config configs/none.yaml", NO_SETTINGS),
    "module in one word": ("python -umray_jobs.none", "no module 'ray_jobs.none'"),
    "Python with its version": (NONE.replace("python", "python3.11"), NO_FILE),
    "name that is served": ("serve run serve_apps.refine:none", "serve_apps.refine has no 'none'"),
    "module that is served": ("serve run serve_apps.none:build_app", "no module 'serve_apps.none'"),
    "settings that are served": ("serve run configs/none.yaml", NO_SETTINGS),
    "settings that are deployed": ("serve deploy configs/none.yaml", NO_SETTINGS),
    "subcommand of serve": ("serve deplyo configs/serve.yaml", "did you mean deploy?"),
    "sourced file": (f"source ray_jobs/none.sh; {RUN}", "no file 'ray_jobs/none.sh'"),
    "sourced file by its path": (f". /opt/toolace/env.sh; {RUN}", "no file '/opt/toolace/env.sh'"),
    "settings that are copied": (
        f"cp configs/none.yaml /tmp/a.yaml; {RUN.replace('configs/demo', '/tmp/a')}",
        NO_SETTINGS,
    ),
    "settings that are moved": ("mv -t /tmp configs/none.yaml", NO_SETTINGS),
    "file that is shown": ("cat configs/none.yaml", NO_SETTINGS),
    "file whose beginning is shown": ("python --version; head -n 5 configs/none.yaml", NO_SETTINGS),
    "file as input": ("while read -r a; do echo $a; done < configs/none.yaml", NO_SETTINGS),
    "script in a substitution": (f'echo "a $({NONE})"', NO_FILE),
    "script in backticks": (f"echo `{NONE}`", NO_FILE),
    "script in a substitution of a process": (f"sort <({NONE})", NO_FILE),
    "script behind xargs": (f"ls | xargs -n 1 -P 2 {NONE}", NO_FILE),
    "script behind eval": (f'eval "{NONE}"', NO_FILE),
    "script behind stdbuf": (f"stdbuf -oL -e L {NONE}", NO_FILE),
    "script behind env": (f"env -S '{NONE}'", NO_FILE),
    "script behind a lock": (f"flock -w 5 /tmp/lock -c '{NONE}'", NO_FILE),
    "script of torchrun": ("torchrun --standalone --nproc-per-node 2 ray_jobs/none.py --a b", NO_FILE),
    "module of torchrun": ("torchrun --nnodes=1 -m ray_jobs.none", "no module 'ray_jobs.none'"),
    "script of torch's launcher": ("python -m torch.distributed.run ray_jobs/none.py", NO_FILE),
    "script that is profiled": ("python -m cProfile -o /tmp/a ray_jobs/none.py", NO_FILE),
    "module that is profiled": ("python -m cProfile -m ray_jobs.none", "no module 'ray_jobs.none'"),
    "environment of what is submitted": ("ray job submit --runtime-env none.yaml -- ls", "no file 'none.yaml'"),
    "what is submitted without dashes": (f"ray job submit --no-wait {NONE}", NO_FILE),
    "name in a text of Python": ("python -c 'from toolace.errors import Nope'", "toolace.errors has no 'Nope'"),
    "name of the package": ("python -c 'from toolace import nope'", "toolace has no 'nope'"),
    "word in a bracket that is closed": (f"(exec > /tmp/log 2>&1; {NONE})", NO_FILE),
}  # fmt: skip

RIGHT: dict[str, str] = {
    "files that are not known": "cat /etc/fstab /var/a /vault/secrets/a /mnt/store/a",
    "a file that a program may have made": "python ray_jobs/evaluate.py --help; cat /opt/a.txt /data/a.txt",
    "a file that is made in an empty folder": "mkdir -p /opt/a && cp configs/demo.yaml /opt/a/b && cat /opt/a/b",
    "commands of a file that is not known": ". /vault/secrets/a && mine; source /mnt/store/a.sh; other",
    "lists of packages": "pip install -r /mnt/store/a.txt -c https://example.com/b.txt",
    "what an installation brings": "pip install mine && mine --fast && python -m mine && python -c 'import mine.part'",
    "other commands of accelerate": "accelerate env; accelerate launch --no_python mine.py; accelerate launch $SCRIPT",
    "a script of accelerate": "accelerate launch --multi_gpu ray_jobs/evaluate.py --help",
    "what is made before the end": "trap 'cat a.txt' EXIT; ls > a.txt",
    "traps of other kinds": "trap - EXIT; trap EXIT; trap '' TERM; f() { ls; }; trap f 2; trap -p; trap 'kill $!' INT",
    "home of another user": "su - ray -c 'python mine.py'; ls",
    "modules of others": "python -c 'import numpy, yaml.nodes, pyarrow.fs, distutils, tomllib'",
    "a module that may be missing": "python - <<EOF\ntry:\n  import nobodys\nexcept ImportError:\n  pass\nEOF",
    "a module in a folder of one's own": "cd /mnt/store && python -c 'import mine'",
    "a module on a path of one's own": "PYTHONPATH=/mnt/store python -c 'import mine'",
    "a module on a path that is added": "python -c 'import sys; sys.path.insert(0, \"/mnt/store\"); import mine'",
    "options of bash": f'bash -euo pipefail -c "{RUN}"; bash -o pipefail -O extglob -c "{RUN}"',
    "here-documents": (
        f"cat > /tmp/a.yaml <<EOF\nname: $A it's\nEOF\npython - <<-'E' | tee /tmp/log\n\tprint(1)\n\tE\n{RUN}"
    ),
    "settings of a here-document": (
        f"python <<E\nopen('/tmp/a.yaml', 'w')\nE\n{RUN.replace('configs/demo', '/tmp/a')}"
    ),
    "a text after <<<": f"tr a b <<< \"it's\" > /tmp/a.yaml; {RUN.replace('configs/demo', '/tmp/a')}",
    "functions": f"main() {{ helper; {RUN}; }}\nhelper() ( ls )\nfunction other {{ ls; }} 2>&1\nmain && other",
    "conditions": f"if [[ -n $A && ( $A == b* || $B =~ ^(a|b)$ ) ]]; then {RUN}; fi; [[ $# -gt 0 ]] || {RUN}",
    "lists": f"A=(a b 'c d'); A+=(e); echo \"${{A[@]}}\" ${{#A[@]}}; {RUN}",
    "comments": f"# it's fine; (\n{RUN} # and so's this",
    "branches": f"case $A in (a|b) ls ;; 'c d') {RUN} ;; *) echo no ;; esac && ls",
    "arithmetic": f"((i = 1 << 2)); for ((i = 0; i < 3; i++)); do echo $((i * (2 + $(nproc)))); done; {RUN}",
    "quotes": "echo $'it\\'s' \"a \\\"b\\\" ${A:-'c'} $(echo \"d e\")\" 'f' g\\ h",
    "input and output": "{ ls; } &> /tmp/a; (ls) >> /tmp/b 2>&1; cat /tmp/a < /tmp/b | tee >(wc -l) 3>&-",
    "words of bash": "readarray -t A < configs/demo.yaml; select a in b; do break; done; sleep 1 & disown; jobs",
    "what Kubernetes puts in": "echo $(POD_IP) && ls $(date +%s)",
    "a folder that a variable says": "cd $WORK && python train.py --a b && cat configs/x.yaml",
    "the folder before": "cd /mnt/store && pushd a && popd && python train.py; cd - && ls; cd && ls",
    "braces": "mkdir -p /tmp/{a,b} && cd /tmp/a",
    "a file that is asked for": "if [ -f configs/none.yaml ]; then cat configs/none.yaml; fi; [[ -f a ]] && . ./a",
    "a file that may be missing": "cat configs/none.yaml || true; . ./none.sh 2> /dev/null || :",
    "a file of a program": "python ray_jobs/evaluate.py --help > a.txt; cat a.txt results.json; mv results.json /tmp",
    "files of others": "cat /etc/nothing /mnt/store/a configs/*.yaml; cp -r configs/. /tmp/; ls < /tmp/x; cat -",
    "commands of an environment": ". /mnt/store/venv/bin/activate && mytool",
    "commands of another folder": "export PATH=/mnt/store/bin:$PATH; mytool",
    "modules of another folder": "cd /mnt/store/app && python -m train; PYTHONPATH=/mnt/store/lib python -m other",
    "own modules": f"{RUN.replace('python ray_jobs/train_rounds.py', MODULE)}; python -m toolace --help",
    "what is served": "serve run serve_apps.refine:build_app model=x && serve run configs/serve.yaml; serve status",
    "what is served from another folder": "cd /mnt/store && serve run app:build; serve run --working-dir s3://a/b c:d",
    "what is submitted": (
        "ray job submit --working-dir /mnt/store/code -- python main.py; ray job submit --working-dir s3://a/b.zip -- "
        f"python main.py; ray job submit --runtime-env /mnt/store/a.yaml -- {RUN}"
    ),
    "wrappers": (
        "ls | xargs -I {} python {}; find . -print0 | xargs -0 -n 1 wc -l; stdbuf -oL nice -n 5 ls; command -v none; "
        "taskset -c 0-3 ionice -c 2 ls; exec -a name ls; eval \"$(cat /mnt/store/a)\"; env -u A HF_HOME=/tmp ls"
    ),
    "torch's launcher": "torchrun --standalone --nproc-per-node=2 ray_jobs/evaluate.py --help; torchrun -m json.tool",
    "profilers": "python -m cProfile -o /tmp/a -s time ray_jobs/evaluate.py --help; python -m trace -t /mnt/store/a.py",
    "options of Python": "python -um json.tool -; python3.11 -Wignore -X dev -c 'import json'; python -",
    "names in a text of Python": (
        "python -c 'from toolace import errors, __version__; from toolace.errors import ToolaceError as E; import ray'"
    ),
    "results with redirections": "toolace run --set root=/mnt/store/runs > /mnt/store/a 2> /mnt/store/b",
}  # fmt: skip
