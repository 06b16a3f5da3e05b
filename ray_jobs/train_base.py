"""Train a tiny base model: python ray_jobs/train_base.py --config configs/tiny_base.yaml [--set steps=20]"""

from __future__ import annotations

import argparse

from toolace.threads import share_cores
from toolace.training.scratch_config import load_tiny_base_config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="YAML file with the settings of TinyBaseConfig")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")
    arguments = parser.parse_args()
    share_cores()
    config = load_tiny_base_config(arguments.config, arguments.set)
    from toolace.training.scratch import train_base

    overrides = "".join(f" --set {item}" for item in arguments.set)
    train_base(config, f"python ray_jobs/train_base.py --config {arguments.config}{overrides}")


if __name__ == "__main__":
    main()
